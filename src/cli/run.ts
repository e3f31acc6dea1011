import { formatDuration } from '../base/units.js';
import type { Config, ConfigInput } from '../config/schema.js';
import { printable } from '../observe/access-log.js';
import { createProxy, type Proxy } from '../server/proxy.js';
import { EXIT_FAILED } from './failure.js';
import { type Log, openAccessLog } from './output.js';
import { StopSignals } from './signals.js';
import { describeStart } from './summary.js';

export interface RunOptions {
  /** What was written, already known to be fine. */
  readonly input: ConfigInput;
  /** What it was parsed to. */
  readonly config: Config;
  /** The file it came from, for the summary. */
  readonly from?: string;
  /** Where relative file names start; default the working directory. */
  readonly baseDir?: string;
  readonly log: Log;
}

/**
 * Runs a proxy until SIGTERM or SIGINT, then lets it drain; a second signal cuts everything at once.
 *
 * @returns the exit code: 0 after a drain, 1 when a second signal cut it short
 */
export async function run({ input, config, from, baseDir, log }: RunOptions): Promise<number> {
  const proxy = createProxy(input, baseDir === undefined ? {} : { baseDir });
  const access = config.accessLog && openAccessLog(config.accessLog.format, log);
  if (access) {
    proxy.on('session.closed', access.write);
    proxy.on('request.finished', access.write);
  }
  proxy.on('fault', (error) => log.error(error.stack ?? error.message));
  proxy.on('session.opened', ({ id, client, generation, route, server }) =>
    log.debug(`session ${id} opened: ${client} speaks ${generation} on ${route} with ${server}`),
  );
  proxy.on('server.changed', ({ upstream, server, state, reason }) => {
    const line = printable(`upstream ${upstream}: ${server} is ${state}: ${reason}`);
    if (state === 'up') log.info(line);
    else log.warn(line);
  });
  proxy.on('server.unresolved', (upstream, detail) => log.warn(printable(`upstream ${upstream}: ${detail}`)));
  const signals = new StopSignals();
  try {
    await proxy.start();
    log.page(
      describeStart({
        config,
        from,
        listeners: proxy.listeners,
        admin: proxy.admin,
        engine: proxy.engine,
        missingEngine: proxy.missingEngine,
      }),
    );
    for (const warning of proxy.warnings) log.warn(warning);
    return await stopOnSignal(proxy, signals, log);
  } finally {
    signals.close();
    access?.close();
  }
}

async function stopOnSignal(proxy: Proxy, signals: StopSignals, log: Log): Promise<number> {
  const signal = await signals.next();
  const work = describeWork(proxy);
  const drained = proxy.stop();
  log.info(`${signal}: taking no new work; ${work} ${describeWait(proxy)}`);
  const end = await Promise.race([drained, signals.next()]);
  if (end === undefined) {
    log.info('stopped');
    return 0;
  }
  log.warn(`${end} again: cutting ${describeWork(proxy)}`);
  await Promise.all([proxy.stop({ timeoutMs: 0 }), drained]);
  return EXIT_FAILED;
}

function describeWork({ sessions, activeRequests }: Proxy): string {
  return `${count(sessions.length, 'session')} and ${count(activeRequests, 'request')}`;
}

function describeWait({ plan }: Proxy): string {
  const { drainTimeoutMs } = plan;
  return drainTimeoutMs === 0 ? 'are cut' : `may take ${formatDuration(drainTimeoutMs)} to finish`;
}

function count(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? '' : 's'}`;
}
