/** Certificates by ACME, from Debian's pebble: everything on 127.0.0.1, with names of a name server of the test. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.js';
import type { AcmeFailed, AcmeObtained } from '../../src/observe/acme.js';
import type { AccessRecord, TlsFailure } from '../../src/observe/record.js';
import { createProxy, type Proxy } from '../../src/server/proxy.js';
import { authorityFile, certificate, certificateFile, authority } from '../fixtures/certificates.js';
import { DnsServer } from '../fixtures/dns-server.js';
import { HurriedClock } from '../fixtures/hurried-clock.js';
import { Inbox } from '../fixtures/inbox.js';
import {
  needPebble,
  type Pebble,
  pebbleAuthorityFile,
  type PebbleOptions,
  startPebble,
} from '../fixtures/peers/pebble.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';
import { quietPort } from '../fixtures/ports.js';

type Listener = Extract<NonNullable<ConfigInput['listeners']>[number], object>;
type Tls = NonNullable<Listener['tls']>;
type Order = Exclude<NonNullable<Tls['acme']>, readonly unknown[]>;

const CHAT = 'live.example.test';
const HOUR_MS = 60 * 60 * 1000;

describe.skipIf(needPebble.missing)(`pebble${needPebble.note}`, () => {
  describe.each(['tls-alpn-01', 'http-01'] as const)('%s', (challenge) => {
    test('a certificate is obtained, shown, and kept for the next start', async () => {
      const it = await setUp({ order: { challenge } });
      const first = await it.start();
      expect(await first.happened('acme.ordered')).toMatchObject({ domains: [CHAT], validTo: undefined });
      const obtained = (await first.happened('acme.obtained')) as AcmeObtained;
      expect(obtained.domains).toEqual([CHAT]);
      expect(obtained.renewAt < obtained.validTo).toBe(true);
      const ca = await it.pebble!.root();
      const shown = await shownAt(first.port, { ca });
      expect(shown.subjectAltName).toBe(`DNS:${CHAT}`);
      expect(shown.issuer).toMatch(/Pebble Intermediate/);
      // A chain: the root alone is believed.
      const end = await running(connectWs(`wss://127.0.0.1:${first.port}/`, [], trusting(ca)));
      end.socket.send('hello');
      expect(await end.messages.next()).toBe('hello');
      expectGuarded(it.folder);
      await first.stop();

      const again = await it.start();
      expect((await shownAt(again.port, { ca })).serialNumber).toBe(shown.serialNumber);
      expect(again.told).toEqual([]);
    });
  });

  test('http-01 comes before a redirect, and only while it is awaited', async () => {
    const it = await setUp({
      order: { challenge: 'http-01', domains: [CHAT, 'www.example.test'] },
      routes: (to) => [{ redirect: 'https' }, { to, websocket: {} }],
    });
    const proxy = await it.start();
    const records = new Inbox<AccessRecord>('records');
    proxy.proxy.on('request.finished', (record) => records.push(record));
    await proxy.happened('acme.obtained');
    const asked = records.all.filter(({ path }) => path.startsWith('/.well-known/acme-challenge/'));
    expect(asked.map(({ status, host }) => [status, host?.replace(/:\d+$/, '')])).toEqual(
      expect.arrayContaining([
        [200, CHAT],
        [200, 'www.example.test'],
      ]),
    );
    const { subjectAltName } = await shownAt(proxy.port, { ca: await it.pebble!.root() });
    expect(subjectAltName).toBe(`DNS:${CHAT}, DNS:www.example.test`);
    // It is over.
    expect(await statusAt(proxy.plainPort, asked[0]!.path)).toBe(308);
    expect(await statusAt(proxy.plainPort, '/.well-known/acme-challenge/none')).toBe(308);
  });

  test('beside certificates from files, with SNI, for clients that must have certificates of their own', async () => {
    const port = await quietPort();
    const it = await setUp({
      tls: {
        certificates: { cert: certificateFile('chat'), key: certificateFile('chat') },
        clientCertificates: { ca: authorityFile },
        minVersion: 1.3,
      },
      directory: `https://127.0.0.1:${port}/dir`,
      pebble: false,
    });
    const mine = { cert: certificate('client'), key: certificate('client') };
    const proxy = await it.start();
    await proxy.happened('acme.failed');
    // That of files is there for its name, and for those that nobody knows; nothing for what is still to come.
    const own = { ...mine, ca: authority };
    expect((await shownAt(proxy.port, { ...own, servername: 'chat.example.test' })).subject).toBe('CN=chat');
    expect((await shownAt(proxy.port, { ...own, servername: 'x.test' })).subject).toBe('CN=chat');
    await expect(shownAt(proxy.port, own)).rejects.toThrow(/handshake failure/);
    const pebble = await running(startPebble({ ...it.forPebble(proxy), port }));
    it.clock.pass(HOUR_MS);
    await proxy.happened('acme.obtained');
    const ca = await pebble.root();
    expect((await shownAt(proxy.port, { ...mine, ca })).subjectAltName).toBe(`DNS:${CHAT}`);
    expect((await shownAt(proxy.port, { ...own, servername: 'chat.example.test' })).subject).toBe('CN=chat');
    await expect(shownAt(proxy.port, { ca })).rejects.toThrow(/certificate required/);
  });

  test('a renewal swaps the certificate; an open wss tunnel goes on', async () => {
    const it = await setUp();
    const proxy = await it.start();
    await proxy.happened('acme.ordered');
    const { validTo, renewAt } = (await proxy.happened('acme.obtained')) as AcmeObtained;
    const ca = await it.pebble!.root();
    const before = await shownAt(proxy.port, { ca });
    const end = await running(connectWs(`wss://127.0.0.1:${proxy.port}/`, [], trusting(ca)));
    end.socket.send('before');
    expect(await end.messages.next()).toBe('before');

    it.clock.pass(renewAt.getTime() - it.clock.date().getTime() - HOUR_MS);
    expect(proxy.told).toEqual(['acme.ordered', 'acme.obtained']);
    it.clock.pass(2 * HOUR_MS);
    expect(await proxy.happened('acme.ordered')).toMatchObject({ validTo });
    await proxy.happened('acme.renewed');
    const after = await shownAt(proxy.port, { ca });
    expect(after.serialNumber).not.toBe(before.serialNumber);
    end.socket.send('after');
    expect(await end.messages.next()).toBe('after');
    expectGuarded(it.folder);
  });

  test('an authority that is down at the start is tried again, and found', async () => {
    const port = await quietPort();
    const it = await setUp({ directory: `https://127.0.0.1:${port}/dir`, pebble: false });
    const proxy = await it.start();
    const failed = (await proxy.happened('acme.failed')) as AcmeFailed;
    expect(failed.detail).toBe(`127.0.0.1:${port} cannot be reached: connect ECONNREFUSED 127.0.0.1:${port}`);
    expect(failed.validTo).toBeUndefined();
    const waitsMs = failed.retryAt.getTime() - it.clock.date().getTime();
    expect(waitsMs).toBeGreaterThan(5000);
    expect(waitsMs).toBeLessThan(15_000);
    const failures = new Inbox<TlsFailure>('failures of TLS');
    proxy.proxy.on('tls.failed', (failure) => failures.push(failure));
    await expect(shownAt(proxy.port, {})).rejects.toThrow(/handshake failure/);
    expect((await failures.next()).reason).toMatch(/there is no certificate yet for live\.example\.test/);
    await expect(shownAt(proxy.port, { maxVersion: 'TLSv1.2' })).rejects.toThrow(/handshake failure/);
    expect((await failures.next()).reason).toMatch(/there is no certificate yet for live\.example\.test/);

    const pebble = await running(startPebble({ ...it.forPebble(proxy), port }));
    it.clock.pass(waitsMs);
    await proxy.happened('acme.obtained');
    await shownAt(proxy.port, { ca: await pebble.root() });
  });

  test('an order that is refused is told in the authority’s words, and not tried again soon', async () => {
    const it = await setUp({ order: { domains: [CHAT, 'elsewhere.example.test'] } });
    const elsewhere = createServer((socket) => socket.on('error', () => {}).destroy());
    elsewhere.listen(0, '127.0.0.2');
    await once(elsewhere, 'listening');
    onTestFinished(() => void elsewhere.close());
    it.names.records.set('elsewhere.example.test', { A: ['127.0.0.2'] });
    const proxy = await it.start();
    const failed = (await proxy.happened('acme.failed')) as AcmeFailed;
    expect(failed.detail).toMatch(
      /^elsewhere\.example\.test could not be proven by tls-alpn-01: .*127\.0\.0\.2.*\((?:connection|tls|unauthorized)\)$/,
    );
    expect(failed.retryAt.getTime() - it.clock.date().getTime()).toBeGreaterThan(4 * 60_000);
    await expect(shownAt(proxy.port, {})).rejects.toThrow(/handshake failure/);
  });

  test('a folder that cannot be written to: nothing is ordered', async () => {
    const it = await setUp();
    mkdirSync(it.folder, { recursive: true });
    const inTheWay = join(it.folder, `127.0.0.1-${new URL(it.pebble!.directory).port}-dir`);
    writeFileSync(inTheWay, 'in the way');
    const proxy = await it.start();
    const failed = (await proxy.happened('acme.failed')) as AcmeFailed;
    expect(failed.detail).toMatch(/^nothing can be kept in .*: EEXIST/);
    expect(it.pebble!.log.all.filter((line) => line.includes('POST'))).toEqual([]);
  });

  test('a stop in the middle of an order waits for nothing', async () => {
    const it = await setUp({ pebble: { PEBBLE_VA_NOSLEEP: '0', PEBBLE_VA_SLEEPTIME: '300' } });
    const proxy = await it.start();
    await it.pebble!.log.next((line) => line.includes('tls-alpn-01') || line.includes('Sleeping'));
    // The authority sleeps for minutes.
    await proxy.stop();
    expect(proxy.told).toEqual(['acme.ordered']);
  });

  test('a reload brings ACME to a listener that is open, and takes it away', async () => {
    const it = await setUp();
    const file = { cert: certificateFile('chat'), key: certificateFile('chat') };
    const ordering = it.config();
    const [{ address }, plain] = ordering.listeners as [Listener, string];
    const fromFile = { ...ordering, listeners: [{ address, tls: { certificates: file } }, plain] };
    const proxy = await it.start(fromFile);
    expect(proxy.told).toEqual([]);
    await proxy.proxy.reload(ordering);
    await proxy.happened('acme.obtained');
    const ca = await it.pebble!.root();
    await shownAt(proxy.port, { ca });
    expect((await proxy.proxy.reload(ordering)).changes).toEqual([]);
    await shownAt(proxy.port, { ca });
    await proxy.proxy.reload(fromFile);
    expect((await shownAt(proxy.port, { ca: authority })).subject).toBe('CN=chat');
    await proxy.proxy.reload(ordering);
    await shownAt(proxy.port, { ca });
    expect(proxy.told).toEqual(['acme.ordered', 'acme.obtained']);
  });
});

interface Options {
  readonly order?: Partial<Order>;
  readonly tls?: Partial<Tls>;
  readonly routes?: (to: string) => ConfigInput['routes'];
  /** Its environment; false: it is not started. */
  readonly pebble?: PebbleOptions['env'] | false;
  readonly directory?: string;
}

/** A name server, a folder, an echoing server, and a pebble that looks for challenges where the proxy will listen. */
async function setUp(options: Options = {}) {
  const names = await DnsServer.listen();
  for (const name of [CHAT, 'www.example.test']) names.records.set(name, { A: ['127.0.0.1'] });
  const parent = mkdtempSync(join(tmpdir(), 'tidegate-acme-'));
  onTestFinished(() => rmSync(parent, { recursive: true }));
  const folder = join(parent, 'certificates');
  const server = await running(startWsServer());
  const clock = new HurriedClock();
  // pebble must be told where to look before it starts, and the proxy where pebble is.
  const ports = { tlsPort: await quietPort(), httpPort: await quietPort() };
  const forPebble = (proxy?: Pick<RunningAcme, 'port' | 'plainPort'>): PebbleOptions => ({
    ...(proxy === undefined ? ports : { tlsPort: proxy.port, httpPort: proxy.plainPort }),
    nameServer: names.address,
  });
  const pebble: Pebble | undefined =
    options.pebble === false
      ? undefined
      : await running(startPebble({ ...forPebble(), ...(options.pebble && { env: options.pebble }) }));
  const order = {
    domains: CHAT,
    storage: 'certificates',
    termsOfServiceAgreed: true,
    email: 'ops@example.test',
    directory: options.directory ?? pebble!.directory,
    ca: pebbleAuthorityFile,
    ...options.order,
  } satisfies Order;
  const to = { to: server.url, websocket: { idleTimeout: 'never' } };
  const config = (): ConfigInput => ({
    listeners: [
      { address: `127.0.0.1:${ports.tlsPort}`, tls: { acme: order, ...options.tls } },
      `127.0.0.1:${ports.httpPort}`,
    ],
    routes: options.routes?.(server.url) ?? [to],
  });
  return {
    names,
    folder,
    clock,
    pebble,
    forPebble,
    config,
    start: (own: ConfigInput = config()) => start(own, parent, clock),
  };
}

interface RunningAcme {
  readonly proxy: Proxy;
  readonly port: number;
  readonly plainPort: number;
  /** The names of what has happened since, and was not awaited. */
  readonly told: readonly string[];
  happened(name: string): Promise<unknown>;
  stop(): Promise<void>;
}

async function start(config: ConfigInput, baseDir: string, clock: HurriedClock): Promise<RunningAcme> {
  const proxy = createProxy(config, { baseDir, deps: { clock } });
  onTestFinished(() => proxy.stop({ timeoutMs: 0 }));
  const events = new Inbox<{ readonly name: string; readonly value: unknown }>('events of ACME');
  for (const name of ['acme.ordered', 'acme.obtained', 'acme.renewed', 'acme.failed'] as const) {
    proxy.on(name, (value: unknown) => events.push({ name, value }));
  }
  proxy.on('fault', (error) => events.end(`fault: ${error.stack}`));
  await proxy.start();
  const [secure, plain] = proxy.listeners;
  return {
    proxy,
    port: secure!.port,
    plainPort: plain!.port,
    get told() {
      return events.all.map(({ name }) => name);
    },
    async happened(name) {
      const { name: what, value } = await events.next(
        (event) => event.name === name || event.name === 'acme.failed',
      );
      if (what !== name) throw new Error(`expected ${name}, but: ${JSON.stringify(value)}`);
      return value;
    },
    stop: () => proxy.stop({ timeoutMs: 0 }),
  };
}

/** Who a server says that it is, to somebody who looks closely. */
async function shownAt(port: number, options: object) {
  const socket: TLSSocket = connect({
    host: '127.0.0.1',
    port,
    servername: CHAT,
    checkServerIdentity: () => undefined,
    ...options,
  });
  try {
    await once(socket, 'secureConnect');
    const shown = socket.getPeerX509Certificate()!;
    // TLS 1.3 refuses clients after they are through. This gets a 400 of Tidegate's own.
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await once(socket, 'data');
    return shown;
  } finally {
    socket.on('error', () => {}).destroy();
  }
}

const trusting = (ca: string) => ({ ca, servername: CHAT }) as const;

async function statusAt(port: number, path: string): Promise<number> {
  return await new Promise((resolve, reject) => {
    const req = get({ port, path, host: '127.0.0.1', headers: { host: CHAT }, agent: false }, (res) => {
      res.resume();
      resolve(res.statusCode!);
    });
    req.on('error', reject);
  });
}

/** Keys are for their owner only, and nothing half-written lies about. */
function expectGuarded(folder: string): void {
  const [authority_] = readdirSync(folder);
  const inside = join(folder, authority_!);
  expect(statSync(inside).mode & 0o777).toBe(0o700);
  expect(readdirSync(inside).toSorted()).toEqual(['account.key', `${CHAT}.pem`]);
  for (const name of readdirSync(inside)) expect(statSync(join(inside, name)).mode & 0o777).toBe(0o600);
}
