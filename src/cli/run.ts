import { AdminFailure } from '../admin/failure.js';
import { formatDuration } from '../base/units.js';
import type { ReloadResult } from '../admin/target.js';
import type { Config, ConfigInput } from '../config/schema.js';
import { printable } from '../observe/access-log.js';
import { createProxy, type Proxy } from '../server/proxy.js';
import { AccessOutput } from './access-output.js';
import { EXIT_FAILED } from './failure.js';
import type { LoadedConfig } from './load.js';
import type { Log } from './output.js';
import { Reloader } from './reloader.js';
import { ServiceManager } from './service-manager.js';
import { NO_FILE, reloadOnSignal, reopenOnSignal, StopSignals } from './signals.js';
import { describeListening, describeStart } from './summary.js';
import { tellCertificates } from './tell-certificates.js';

/** How often a stop tells how far it has come. */
const PROGRESS_MS = 5000;

export interface RunOptions {
  /** What was written, already known to be fine. */
  readonly input: ConfigInput;
  /** What it was parsed to. */
  readonly config: Config;
  /** The file it came from, if it did; it is what a reload reads again. */
  readonly loaded?: LoadedConfig;
  readonly log: Log;
}

/**
 * Runs a proxy until SIGTERM, SIGINT or a drain over its admin API, and lets it drain; a second signal cuts everything
 * at once. SIGHUP reads the configuration file again, SIGUSR1 opens the file of the access log again.
 *
 * @returns the exit code: 0 after a drain, 1 when a second signal cut it short
 */
export async function run({ input, config, loaded, log }: RunOptions): Promise<number> {
  const baseDir = loaded?.document.baseDir;
  const onReload = (): Promise<ReloadResult> => (reloader === undefined ? refuseReload() : reloader.reload());
  const proxy = createProxy(input, { onReload, ...(baseDir === undefined ? {} : { baseDir }) });
  const access = new AccessOutput(config.accessLog, log, baseDir);
  const serviceManager = new ServiceManager({ log });
  const reloader = loaded && new Reloader({ loaded, proxy, access, log, serviceManager });
  proxy.on('session.closed', access.write);
  proxy.on('request.finished', access.write);
  proxy.on('fault', (error) => log.error(error.stack ?? error.message));
  proxy.on('session.opened', ({ id, client, generation, route, server }) =>
    log.debug(`session ${id} opened: ${client} speaks ${generation} on ${route} with ${server}`),
  );
  proxy.on('tls.failed', ({ listener, address, reason }) =>
    log.debug(printable(`TLS handshake of ${address} at ${listener} failed: ${reason}`)),
  );
  proxy.on('gateway.trouble', ({ session, route, client, problem }) =>
    log.warn(printable(`gateway ${route}, session ${session} of ${client}: ${problem}`)),
  );
  proxy.on('backplane.link', (state, detail) =>
    log[state === 'up' ? 'info' : 'warn'](printable(`backplane ${state}: ${detail}`)),
  );
  proxy.on('backplane.gap', (channel, missed) =>
    log.warn(
      printable(
        `backplane: ${missed ?? 'some'} messages of ${channel === undefined ? 'any channel' : `channel ${channel}`} may be missing`,
      ),
    ),
  );
  proxy.on('backplane.trouble', (detail) => log.warn(printable(`backplane: ${detail}`)));
  proxy.on('node.lost', (node, sessions) =>
    log.warn(`node ${node} is lost; backends are told here of the end of its ${sessions} sessions`),
  );
  proxy.on('node.outcast', (sessions) =>
    log.warn(
      `this node was out of touch with the others, who have told of the end of ${sessions} of its sessions: these end now`,
    ),
  );
  proxy.on('listener.exhausted', (listener, code) =>
    log.error(
      `${listener} can take no clients (${code}): raise the limit of open files; they wait meanwhile`,
    ),
  );
  proxy.on('server.changed', ({ upstream, server, state, reason }) => {
    const line = printable(`upstream ${upstream}: ${server} is ${state}: ${reason}`);
    if (state === 'up') log.info(line);
    else log.warn(line);
  });
  proxy.on('server.unresolved', (upstream, detail) => log.warn(printable(`upstream ${upstream}: ${detail}`)));
  tellCertificates(proxy, log);
  const stopProgress = tellProgress(proxy, log, serviceManager);
  const stopReopening = reopenOnSignal(access, log);
  const stopReloading = reloadOnSignal((signal) => {
    if (reloader !== undefined) void reloader.reloadAndTell(signal);
    else log.info(`${signal}: ${NO_FILE}`);
  });
  const signals = new StopSignals();
  try {
    await proxy.start();
    reloader?.start();
    log.page(
      describeStart({
        config,
        from: loaded?.shown,
        listeners: proxy.listeners,
        admin: proxy.admin,
        publish: proxy.publish,
        engine: proxy.engine,
        missingEngine: proxy.missingEngine,
      }),
    );
    for (const warning of proxy.warnings) log.warn(warning);
    serviceManager.ready(`listening on ${proxy.listeners.map(describeListening).join(', ')}`);
    return await runToEnd(proxy, signals, log, serviceManager);
  } finally {
    stopProgress();
    stopReopening();
    stopReloading();
    reloader?.close();
    signals.close();
    access.close();
    await serviceManager.close();
  }
}

async function refuseReload(): Promise<never> {
  throw new AdminFailure('NOT_IMPLEMENTED', NO_FILE);
}

/** A stop may come from a signal or from the admin API; the first signal of its own cuts nothing short. */
async function runToEnd(
  proxy: Proxy,
  signals: StopSignals,
  log: Log,
  serviceManager: ServiceManager,
): Promise<number> {
  const stopped = new Promise<undefined>((resolve) => proxy.on('stopped', () => resolve(undefined)));
  let told = 'told to drain';
  proxy.on('stopping', () => {
    const what = `${told}: taking no new work; ${describeWork(proxy)} ${describeWait(proxy)}`;
    log.info(what);
    serviceManager.stopping(what, leftMs(proxy));
  });
  const first = await Promise.race([signals.next(), stopped]);
  if (first !== undefined) {
    if (proxy.stopping) log.info(`${first}: still draining; ${describeWork(proxy)} open`);
    told = first;
    proxy.beginStop({});
    const second = await Promise.race([signals.next(), stopped]);
    if (second !== undefined) {
      log.warn(`${second} again: cutting ${describeWork(proxy)}`);
      await proxy.stop({ timeoutMs: 0 });
      return EXIT_FAILED;
    }
  }
  log.info('stopped');
  return 0;
}

/** Says now and then how far a stop has come. Returns what ends that. */
function tellProgress(proxy: Proxy, log: Log, serviceManager: ServiceManager): () => void {
  const timer = setInterval(() => {
    const { draining } = proxy;
    if (draining === undefined) return;
    const { told, waiting, untold } = draining;
    const open = `${describeWork(proxy)} open (${told} told to close, ${waiting} to be told, ${untold} without a Close frame)`;
    const what = `draining: ${open}; what is left is cut in ${Math.ceil(leftMs(proxy) / 1000)}s`;
    log.info(what);
    serviceManager.status(what);
  }, PROGRESS_MS).unref();
  return () => clearInterval(timer);
}

function describeWork({ sessions, activeRequests }: Proxy): string {
  return `${count(sessions.length, 'session')} and ${count(activeRequests, 'request')}`;
}

function describeWait(proxy: Proxy): string {
  if (proxy.draining === undefined) return 'are cut';
  const left = leftMs(proxy);
  // What has passed since is nothing to tell.
  return `may take ${formatDuration(left > 999 ? Math.round(left / 1000) * 1000 : Math.round(left))} to finish`;
}

/** Until a drain cuts what is open. */
function leftMs({ draining }: Proxy): number {
  return draining === undefined ? 0 : Math.max(0, draining.deadline.getTime() - Date.now());
}

function count(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? '' : 's'}`;
}
