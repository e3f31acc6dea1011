import { fileURLToPath } from 'node:url';
import type { ConfigInput } from '../../config/schema.js';
import type { AccessRecord } from '../../observe/record.js';
import { createProxy, type Proxy } from '../../server/proxy.js';
import type { Backend } from './backend.js';
import { startChatBackend } from './chat-backend.js';
import { EventFeed } from './event-feed.js';
import { startHixieBackend } from './hixie-backend.js';
import { converse } from './hixie-run.js';
import { startSocketIoBackend } from './socketio-backend.js';
import { startWebBackend } from './web-backend.js';

const DEFAULT_PORT = 8080;
/** How many ports from the default one on are tried when none was asked for. */
const MAX_PORT_TRIES = 50;
/** How long open conversations may take to end when the demo stops. */
const STOP_TIMEOUT_MS = 1000;
/** Top folder of the package, from `src/cli/demo` and from `dist/cli/demo` alike. */
const PAGE_ROOT = fileURLToPath(new URL('../../../demo', import.meta.url));

export interface DemoOptions {
  /** Default: 8080, or the next free one. A port that was asked for is taken or the demo fails; 0 is any free one. */
  readonly port?: number;
  /** Default: 127.0.0.1, so that nobody else can reach the demo. */
  readonly host?: string;
  /** Hears of every finished request and session. */
  readonly onRecord?: (record: AccessRecord) => void;
  /** Takes the lines that say what runs where. */
  readonly print?: (line: string) => void;
}

export interface Demo {
  /** The page: `http://127.0.0.1:8080/`. */
  readonly url: string;
  readonly proxy: Proxy;
  /** Lets conversations end, then closes everything. */
  stop(): Promise<void>;
}

/** What `tidegate demo` does: sample backends, Tidegate in front of them on one port, and a page to try it in. */
export async function runDemo(options: DemoOptions = {}): Promise<Demo> {
  const { host = '127.0.0.1', onRecord, print = () => {} } = options;
  const backends: Backend[] = [];
  let proxy: Proxy | undefined;
  const feed = new EventFeed(() => proxy?.sessions ?? []);

  try {
    // The first path that fits takes the request, so the page, which takes every path, comes last.
    backends.push(await startChatBackend());
    const socketIo = await startSocketIoBackend();
    if (socketIo !== undefined) backends.push(socketIo);
    backends.push(await startHixieBackend());
    const web = await startWebBackend({
      root: PAGE_ROOT,
      info: () => ({ backends: backends.map(({ name, what, paths, url }) => ({ name, what, paths, url })) }),
      readEvents: (stream) => feed.read(stream),
      converse: (stream, query) => converse(stream, query, { host: dialHost(host), port: portOf(proxy) }),
    });
    backends.push(web);

    proxy = await startProxy(options.port, (port) => {
      const proxy = createProxy(makeConfig(host, port, backends));
      proxy.on('session.opened', (session) => feed.sessionOpened(session));
      proxy.on('session.closed', (record, session) => feed.sessionClosed(record, session));
      proxy.on('request.finished', (record) => feed.requestFinished(record));
      if (onRecord !== undefined) {
        proxy.on('session.closed', onRecord);
        proxy.on('request.finished', onRecord);
      }
      return proxy;
    });
  } catch (error) {
    feed.stop();
    await Promise.all(backends.map((backend) => backend.stop()));
    throw error;
  }

  const url = `http://${bracketed(dialHost(host))}:${portOf(proxy)}/`;
  for (const line of describe(url, backends)) print(line);
  return {
    url,
    proxy,
    stop: async () => {
      feed.stop();
      await stopAll(proxy, backends);
    },
  };
}

function makeConfig(host: string, port: number, backends: readonly Backend[]): ConfigInput {
  return {
    listeners: [{ address: `${bracketed(host)}:${port}` }],
    upstreams: Object.fromEntries(backends.map(({ name, url }) => [name, url])),
    routes: backends.map(({ name, paths }) => ({ name, match: { path: [...paths] }, to: name })),
  };
}

async function startProxy(wanted: number | undefined, make: (port: number) => Proxy): Promise<Proxy> {
  const first = wanted ?? DEFAULT_PORT;
  const last = wanted ?? DEFAULT_PORT + MAX_PORT_TRIES - 1;
  for (let port = first; ; port++) {
    const proxy = make(port);
    try {
      await proxy.start();
      return proxy;
    } catch (error) {
      if (!isAddressInUse(error) || port >= last) throw error;
    }
  }
}

/** The backends take their leave first, so that clients hear why (1001); what is left then is cut. */
async function stopAll(proxy: Proxy, backends: readonly Backend[]): Promise<void> {
  await Promise.all([
    proxy.stop({ timeoutMs: STOP_TIMEOUT_MS }),
    ...backends.map((backend) => backend.stop()),
  ]);
}

/** What runs where, for people. */
function describe(url: string, backends: readonly Backend[]): string[] {
  const rows = backends.map(({ paths, what, url }) => [paths.join(' '), what, url] as const);
  const width = (column: 0 | 1): number => Math.max(...rows.map((row) => row[column].length));
  return [
    `Tidegate is in front of ${backends.length} backends on one port. Open ${url}`,
    '',
    ...rows.map(([paths, what, to]) => `  ${paths.padEnd(width(0))}  ${what.padEnd(width(1))}  ${to}`),
    '',
  ];
}

function portOf(proxy: Proxy | undefined): number {
  const port = proxy?.listeners[0]?.port;
  if (port === undefined) throw new Error('the demo’s proxy is not listening');
  return port;
}

/** The address to dial for one that is listened on. */
function dialHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function isAddressInUse(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
}
