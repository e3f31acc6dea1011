import { EXIT_FAILED, UsageError } from '../failure.js';
import { Log, openAccessLog, print } from '../output.js';
import { NO_FILE, reloadOnSignal, StopSignals } from '../signals.js';

/** `tidegate demo [--port PORT] [--https-port PORT]`: a page to try it in, with sample backends behind the proxy. */
export async function demo(options: {
  readonly port?: string;
  readonly httpsPort?: string;
}): Promise<number> {
  const port = options.port === undefined ? {} : { port: parsePort('--port', options.port) };
  const httpsPort =
    options.httpsPort === undefined ? {} : { httpsPort: parsePort('--https-port', options.httpsPort) };
  const { runDemo } = await import('../demo/index.js');
  const log = new Log('info');
  const access = openAccessLog({ format: 'auto' }, log);
  const stopReloading = reloadOnSignal((signal) => log.info(`${signal}: ${NO_FILE}`));
  const signals = new StopSignals();
  try {
    const running = await runDemo({ ...port, ...httpsPort, onRecord: access.write, print });
    await signals.next();
    const cut = await Promise.race([running.stop(), signals.next()]);
    return cut === undefined ? 0 : EXIT_FAILED;
  } finally {
    signals.close();
    stopReloading();
    access.close();
  }
}

function parsePort(option: string, text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new UsageError(`${option}: expected a port from 0 to 65535, found ${JSON.stringify(text)}`);
}
