import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConfigInput } from '../../config/schema.js';
import type { AccessRecord } from '../../observe/record.js';
import { createProxy, type Proxy } from '../../server/proxy.js';
import type { Backend } from './backend.js';
import { selfSigned } from './certificate.js';
import { startChatBackend } from './chat-backend.js';
import { EventFeed } from './event-feed.js';
import { startGatewayBackend } from './gateway-backend.js';
import { startHixieBackend } from './hixie-backend.js';
import { converse } from './hixie-run.js';
import { startSocketIoBackend } from './socketio-backend.js';
import { startWebBackend } from './web-backend.js';

const DEFAULT_PORT = 8080;
const DEFAULT_HTTPS_PORT = 8443;
/** How many ports from the default one on are tried when none was asked for. */
const MAX_PORT_TRIES = 50;
/** How long open conversations may take to end when the demo stops. */
const STOP_TIMEOUT_MS = 1000;
/** Top folder of the package, from `src/cli/demo` and from `dist/cli/demo` alike. */
const PAGE_ROOT = fileURLToPath(new URL('../../../demo', import.meta.url));

export interface DemoOptions {
  /** Default: 8080, or the next free one. A port that was asked for is taken or the demo fails; 0 is any free one. */
  readonly port?: number;
  /** Where it speaks TLS and HTTP/2. Default: 8443, or the next free one; any free one where `port` is 0. */
  readonly httpsPort?: number;
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
  /** The page over TLS, and HTTP/2 for browsers: `https://127.0.0.1:8443/`. */
  readonly httpsUrl: string;
  readonly proxy: Proxy;
  /** Lets conversations end, then closes everything. */
  stop(): Promise<void>;
}

/**
 * What `tidegate demo` does: sample backends, Tidegate in front of them on one port, and on another with TLS, and a page
 * to try it in.
 */
export async function runDemo(options: DemoOptions = {}): Promise<Demo> {
  const { host = '127.0.0.1', onRecord, print = () => {} } = options;
  const backends: Backend[] = [];
  let proxy: Proxy | undefined;
  const feed = new EventFeed(() => proxy?.sessions ?? []);
  const identity = writeIdentity(host);

  try {
    // The first path that fits takes the request, so the page, which takes every path, comes last.
    backends.push(await startChatBackend());
    backends.push(
      await startGatewayBackend({
        publish: (body) => publish(publishUrlOf(proxy), body),
        onExchange: (exchange) => feed.exchanged(exchange),
      }),
    );
    const socketIo = await startSocketIoBackend();
    if (socketIo !== undefined) backends.push(socketIo);
    backends.push(await startHixieBackend());
    const web = await startWebBackend({
      root: PAGE_ROOT,
      info: () => ({
        ports: portsOf(proxy),
        backends: backends.map(({ name, what, paths, url }) => ({ name, what, paths, url })),
      }),
      readEvents: (stream) => feed.read(stream),
      converse: (stream, query) =>
        converse(stream, query, { host: dialHost(host), port: portsOf(proxy).http }),
    });
    backends.push(web);

    proxy = await startProxy(options, (ports) => {
      const proxy = createProxy(makeConfig(host, ports, identity, backends));
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
    identity.remove();
    await Promise.all(backends.map((backend) => backend.stop()));
    throw error;
  }

  const ports = portsOf(proxy);
  const url = `http://${bracketed(dialHost(host))}:${ports.http}/`;
  const httpsUrl = `https://${bracketed(dialHost(host))}:${ports.https}/`;
  for (const line of describe({ url, httpsUrl, publishUrl: publishUrlOf(proxy) }, backends)) print(line);
  return {
    url,
    httpsUrl,
    proxy,
    stop: async () => {
      feed.stop();
      await stopAll(proxy, backends);
      identity.remove();
    },
  };
}

interface Ports {
  readonly http: number;
  readonly https: number;
}

function makeConfig(
  host: string,
  ports: Ports,
  { file }: IdentityFile,
  backends: readonly Backend[],
): ConfigInput {
  const tls = { certificates: [{ cert: file, key: file }] };
  return {
    listeners: [
      { address: `${bracketed(host)}:${ports.http}` },
      { address: `${bracketed(host)}:${ports.https}`, tls },
    ],
    upstreams: Object.fromEntries(backends.map(({ name, url }) => [name, url])),
    routes: backends.map(({ name, paths, isGateway }) => ({
      name,
      match: { path: [...paths] },
      ...(isGateway ? { gateway: { to: name } } : { to: name }),
    })),
    publish: '127.0.0.1:0',
  };
}

/** On the ports that were asked for, or the next free ones behind the usual. */
async function startProxy(wanted: DemoOptions, make: (ports: Ports) => Proxy): Promise<Proxy> {
  let http = wanted.port ?? DEFAULT_PORT;
  let https = wanted.httpsPort ?? (wanted.port === 0 ? 0 : DEFAULT_HTTPS_PORT);
  for (let tries = 1; ; tries++) {
    const proxy = make({ http, https });
    try {
      await proxy.start();
      return proxy;
    } catch (error) {
      if (!isAddressInUse(error) || tries >= MAX_PORT_TRIES) throw error;
      if (error.port === http && wanted.port === undefined) http++;
      else if (error.port === https && wanted.httpsPort === undefined) https++;
      else throw error;
    }
  }
}

interface IdentityFile {
  /** PEM, certificate and key. */
  readonly file: string;
  remove(): void;
}

/** A certificate for this demo alone, in a folder that only this user can read, for as long as the demo runs. */
function writeIdentity(host: string): IdentityFile {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-demo-'));
  const file = join(folder, 'self-signed.pem');
  const { cert, key } = selfSigned([...new Set(['localhost', '127.0.0.1', '::1', dialHost(host)])]);
  writeFileSync(file, cert + key, { mode: 0o600 });
  return { file, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** The backends take their leave first, so that clients hear why (1001); what is left then is cut. */
async function stopAll(proxy: Proxy, backends: readonly Backend[]): Promise<void> {
  await Promise.all([
    proxy.stop({ timeoutMs: STOP_TIMEOUT_MS }),
    ...backends.map((backend) => backend.stop()),
  ]);
}

/** What runs where, for people. */
function describe(
  { url, httpsUrl, publishUrl }: Readonly<Record<'url' | 'httpsUrl' | 'publishUrl', string>>,
  backends: readonly Backend[],
): string[] {
  const rows = backends.map(({ paths, what, url }) => [paths.join(' '), what, url] as const);
  const width = (column: 0 | 1): number => Math.max(...rows.map((row) => row[column].length));
  return [
    `Tidegate is in front of ${backends.length} backends on one port. Open ${url}`,
    `The same over TLS and HTTP/2: ${httpsUrl} (its certificate was made just now: let your browser go on)`,
    '',
    ...rows.map(([paths, what, to]) => `  ${paths.padEnd(width(0))}  ${what.padEnd(width(1))}  ${to}`),
    `  What is published to ${publishUrl} reaches /gateway, channel "room".`,
    '',
  ];
}

function portsOf(proxy: Proxy | undefined): Ports {
  const [http, https] = proxy?.listeners.map(({ port }) => port) ?? [];
  if (http === undefined || https === undefined) throw new Error('the demo’s proxy is not listening');
  return { http, https };
}

function publishUrlOf(proxy: Proxy | undefined): string {
  const address = proxy?.publish;
  if (address === undefined || !('port' in address)) throw new Error('the demo’s proxy does not publish');
  return `http://127.0.0.1:${address.port}/publish/`;
}

async function publish(url: string, body: string): Promise<void> {
  const response = await fetch(url, { method: 'POST', body });
  if (!response.ok) throw new Error(`publishing answered ${response.status}: ${await response.text()}`);
}

/** The address to dial for one that is listened on. */
function dialHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function isAddressInUse(error: unknown): error is Error & { readonly port?: number } {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
}
