/** What a tunnel costs that is open and silent. Every run has a proxy of its own, or it would measure the runs before. */

import { setTimeout as pause } from 'node:timers/promises';
import { runClient } from '../lib/load.mjs';
import { kernelSocketBytes } from '../lib/machine.mjs';
import { cpuNsBetween, sampleCpu, sampleMemory } from '../lib/process-tree.mjs';

/** What any proxy allocates once, at its first connections, is no cost of a tunnel. */
const FIRST_CONNECTIONS = 200;
const SETTLE_MS = 1_500;
const WATCH_MS = 1_000;
const MAX_ROUNDS = 2;

export function idleCases({ modes, tunnels }) {
  if (!modes.has('idle')) return [];
  return [
    {
      id: `idle-${tunnels}`,
      claim: 'idle',
      title: `Idle: ${tunnels.toLocaleString('en')} tunnels`,
      unit: 'tunnel',
      mode: 'idle',
      connections: tunnels,
      size: 64,
      hasLatency: false,
      needsFreshProxy: true,
      maxRounds: MAX_ROUNDS,
      run: (context) => run(context, tunnels),
    },
  ];
}

async function run({ load, cores, target, proxy }, tunnels) {
  const client = (args) => runClient(load, cores.client, { ...target, size: 64, ...args });
  await client({ mode: 'handshake', connections: 16, messages: FIRST_CONNECTIONS, 'warm-up': 0 });
  await pause(SETTLE_MS);

  const kernelBefore = kernelSocketBytes();
  const before = proxy && sampleMemory(proxy.pids);
  const figures = {};
  await runClient(
    load,
    cores.client,
    { ...target, mode: 'idle', connections: tunnels, size: 64 },
    async (when) => {
      if (when === 'after') return;
      await pause(SETTLE_MS);
      const cpu = proxy && sampleCpu(proxy.pids);
      await pause(WATCH_MS);
      figures.kernelBytesPerTunnel = (kernelSocketBytes() - kernelBefore) / tunnels;
      if (proxy === undefined) return;
      const after = sampleMemory(proxy.pids);
      figures.idleCpuMsPerSecond = cpuNsBetween(cpu, sampleCpu(proxy.pids)) / 1e6 / (WATCH_MS / 1000);
      figures.bytesPerTunnel = (after.privateBytes - before.privateBytes) / tunnels;
      figures.proportionalBytesPerTunnel = (after.proportionalBytes - before.proportionalBytes) / tunnels;
      figures.baseBytes = before.privateBytes;
    },
  );
  return figures;
}
