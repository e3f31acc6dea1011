import { runClient } from './load.mjs';
import { coreBusyMs } from './machine.mjs';
import { cpuNsBetween, sampleCpu } from './process-tree.mjs';

/**
 * One run under load. The proxy's CPU time is read while nothing is under way, before the measured part and after it,
 * so that it is exactly what those messages cost.
 *
 * @param {object} context
 * @param {string} context.load
 * @param {{ proxy: string, client: string, backend: string }} context.cores
 * @param {{ port: number, tls?: string }} context.target where the client connects, and with TLS the certificate there
 * @param {import('./load.mjs').Backend} context.backend
 * @param {import('./proxy.mjs').RunningProxy} [context.proxy] absent: the client speaks to the backend itself
 * @param {{ seconds: number, warmUpSeconds: number, messages?: number }} context.length
 * @param {Record<string, string | number>} args of the client
 */
export async function runLoaded({ load, cores, target, backend, proxy, length }, args) {
  const samples = [];
  const sample = () => {
    samples.push({
      proxy: proxy && sampleCpu(proxy.pids),
      backend: sampleCpu([backend.pid]),
      proxyCoreMs: coreBusyMs(cores.proxy),
    });
  };
  const done = await runClient(
    load,
    cores.client,
    {
      ...target,
      ...args,
      seconds: length.seconds,
      'warm-up': length.warmUpSeconds,
      ...(length.messages !== undefined && { messages: length.messages }),
    },
    sample,
  );
  const [before, after] = samples;
  const elapsedMs = done.elapsedNs / 1e6;
  const backendMs = cpuNsBetween(before.backend, after.backend) / 1e6;
  const clientMs = done.cpuNs / 1e6;
  const loadMs = cores.client === cores.backend ? clientMs + backendMs : Math.max(clientMs, backendMs);
  const figures = {
    perSecond: (done.messages / elapsedMs) * 1e3,
    bytesPerSecond: (done.bytes / elapsedMs) * 1e3,
    p50Us: done.latencyNs.p50 / 1e3,
    p99Us: done.latencyNs.p99 / 1e3,
    loadBusy: loadMs / elapsedMs,
    messages: done.messages,
  };
  if (proxy !== undefined) {
    const proxyMs = cpuNsBetween(before.proxy, after.proxy) / 1e6;
    figures.cpuUs = (proxyMs * 1e3) / done.messages;
    figures.proxyBusy = proxyMs / elapsedMs;
    if (before.proxyCoreMs !== undefined) {
      figures.foreign = Math.max(0, after.proxyCoreMs - before.proxyCoreMs - proxyMs) / elapsedMs;
    }
  }
  return figures;
}
