/** How a stop lets go of WebSockets: told by Close frames, spread, bounded; on both engines. */
import { createServer } from 'node:http';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../src/base/manual-clock.js';
import { systemRandom } from '../../src/base/system.js';
import type { ConfigInput } from '../../src/config/schema.js';
import type { AccessRecord } from '../../src/observe/record.js';
import { createProxy, type Proxy } from '../../src/server/proxy.js';
import { hixie76Answer, hixie76Head, hixieText, hixieVectors } from '../fixtures/hixie.js';
import { Inbox } from '../fixtures/inbox.js';
import { listening } from '../fixtures/listening.js';
import { needChromium, startSite, useBrowser } from '../fixtures/peers/browser.js';
import { connectWs, startWsServer, type WsEnd } from '../fixtures/peers/ws.js';
import { rawPair } from '../fixtures/raw-pair.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { frames, switchHead, upgradeHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';

interface Started {
  readonly proxy: Proxy;
  readonly records: Inbox<AccessRecord>;
  readonly port: number;
  readonly url: string;
  readonly clock: ManualClock | undefined;
}

interface Setting {
  readonly to: string;
  readonly relay: 'stream' | 'auto';
  readonly websocket?: object;
  readonly drain?: ConfigInput['drain'];
  /** Time is the test’s. */
  readonly manual?: boolean;
}

async function start({ to, relay, websocket = {}, drain, manual }: Setting): Promise<Started> {
  const clock = manual ? new ManualClock() : undefined;
  const config: ConfigInput = {
    listeners: ['127.0.0.1:0'],
    routes: [{ to, websocket }],
    relay,
    ...(drain === undefined ? {} : { drain }),
  };
  const proxy = createProxy(config, clock === undefined ? {} : { deps: { clock, random: systemRandom } });
  const records = new Inbox<AccessRecord>('the access records');
  proxy.on('session.closed', (record) => records.push(record));
  proxy.on('request.finished', (record) => records.push(record));
  await proxy.start();
  onTestFinished(() => proxy.stop({ timeoutMs: 0 }));
  const { port } = proxy.listeners[0]!;
  return { proxy, records, port, url: `ws://127.0.0.1:${port}/chat`, clock };
}

describe.each(['stream', 'auto'] as const)('relay: %s', (relay) => {
  test('both sides see exactly the configured code and reason, then an orderly end', async () => {
    const backend = await running(startWsServer());
    const drain = { spread: 0, closeCode: 4001, reason: 'zurück um 8' };
    const { proxy, records, url } = await start({ to: backend.url, relay, drain });
    const client = await running(connectWs(url));
    client.socket.send('hello');
    expect(await client.messages.next()).toBe('hello');
    const server = await backend.ends.next();
    await proxy.stop();
    expect(await client.closed).toEqual({ code: 4001, reason: 'zurück um 8' });
    expect(await server.closed).toEqual({ code: 4001, reason: 'zurück um 8' });
    expect(await records.next()).toMatchObject({
      outcome: 'drained',
      closedBy: 'proxy',
      closeCodeFromClient: 4001,
      messagesFromClient: 1,
      messagesFromUpstream: 1,
    });
  });

  test('in the middle of a message the Close waits for its end; 1001 unless told otherwise', async () => {
    const backend = await RawServer.listen();
    const { proxy, port } = await start({ to: backend.url, relay, drain: { spread: 0 } });
    const { client, server } = await rawPair(port, backend);
    // Half of a frame.
    server.writeHex(frames.hello.slice(0, 8));
    await client.take(4);
    const stopped = proxy.stop();
    await eventually(() => proxy.draining?.told === 1, 'the Close is on its way');
    expect(client.unread.length).toBe(0);
    server.writeHex(frames.hello.slice(8) + frames.hello);
    // The rest of the frame, then ours, and nothing of what follows.
    expect((await client.take(7)).toString('hex')).toBe(frames.hello.slice(8) + frames.close1001);
    client.writeHex(frames.maskedClose1001);
    expect((await server.take(8)).toString('hex')).toBe(frames.maskedClose1001);
    server.writeHex(frames.close1001);
    expect(await client.ended).toBe('end');
    expect(await server.ended).toBe('end');
    client.end();
    server.end();
    await stopped;
    expect(client.unread.length).toBe(0);
  });

  test('a client of 2010 gets FF 00, and its echo goes to the server', async () => {
    const backend = await RawServer.listen();
    const { proxy, records, port } = await start({ to: backend.url, relay, drain: { spread: 0 } });
    const vector = hixieVectors[0]!;
    const client = await RawPeer.connect(port);
    client.write(hixie76Head(vector, 'x'));
    client.writeHex(vector.key3);
    const server = await backend.accept();
    await server.head();
    await server.take(8);
    server.write(hixie76Answer('ws://x/socket.io/websocket'));
    server.writeHex(vector.challenge + hixieText('a'));
    await client.head();
    await client.take(16 + 3);
    const stopped = proxy.stop();
    expect((await client.take(2)).toString('hex')).toBe('ff00');
    client.writeHex('ff00');
    expect((await server.take(2)).toString('hex')).toBe('ff00');
    server.writeHex('ff00');
    expect([await client.ended, await server.ended]).toEqual(['end', 'end']);
    client.end();
    server.end();
    await stopped;
    expect(await records.next()).toMatchObject({
      generation: 'hixie-76',
      outcome: 'drained',
      closedBy: 'proxy',
    });
  });

  test('many are told one by one over the window, in time for their answers', async () => {
    const COUNT = 40;
    const backend = await running(startWsServer());
    const { proxy, url, clock } = await start({
      to: backend.url,
      relay,
      drain: { spread: '2s', timeout: '30s' },
      manual: true,
    });
    const clients: WsEnd[] = [];
    for (let i = 0; i < COUNT; i++) clients.push(await running(connectWs(url)));
    let stopped = false;
    void proxy.stop().then(() => (stopped = true));
    const toldAt: number[] = [];
    for (let ms = 0; ms < 2000; ms += 100) {
      clock!.advance(100);
      const { waiting } = proxy.draining!;
      toldAt.push(COUNT - waiting);
      await eventually(() => proxy.sessions.length === waiting, `${waiting} are left at ${ms} ms`);
    }
    expect(await Promise.all(clients.map(({ closed }) => closed))).toEqual(
      clients.map(() => ({ code: 1001, reason: '' })),
    );
    // Two in each tenth of a second, give or take the place within a slot.
    for (const [i, told] of toldAt.entries()) expect(Math.abs(told - (i + 1) * 2)).toBeLessThanOrEqual(1);
    await eventually(() => stopped, 'the proxy has stopped');
  });

  test('who is not told, or does not answer, is cut at the deadline', async () => {
    const backend = await RawServer.listen();
    const setting = { to: backend.url, relay, manual: true, websocket: { closeTimeout: 'never' } };
    const { proxy, records, port, clock } = await start({ ...setting, drain: { timeout: '3s' } });
    const { client, server } = await rawPair(port, backend);
    const stopped = proxy.stop();
    clock!.advance(2999);
    expect((await client.take(4)).toString('hex')).toBe(frames.close1001);
    expect(proxy.draining).toMatchObject({ told: 1, waiting: 0, untold: 0 });
    expect(client.ending).toBeUndefined();
    clock!.advance(1);
    expect(await client.ended).toBe('reset');
    expect(await server.ended).toBe('reset');
    await stopped;
    expect(await records.next()).toMatchObject({ outcome: 'drained', closedBy: 'proxy' });
  });

  test('frames that are not read: nothing is put in, they may end by themselves or are cut', async () => {
    const backend = await running(startWsServer());
    const setting = { to: backend.url, relay, manual: true, websocket: { observe: false } };
    const { proxy, url, clock } = await start({ ...setting, drain: { timeout: '3s', spread: 0 } });
    const [one, other] = [await running(connectWs(url)), await running(connectWs(url))];
    const stopped = proxy.stop();
    expect(proxy.draining).toMatchObject({ told: 0, waiting: 0, untold: 2 });
    one.socket.send('still here');
    expect(await one.messages.next()).toBe('still here');
    one.socket.close(1000);
    expect(await one.closed).toMatchObject({ code: 1000 });
    clock!.advance(3000);
    expect(await other.closed).toMatchObject({ code: 1006 });
    await stopped;
  });

  test('a handshake under way finishes and is closed then; requests under way finish', async () => {
    const backend = await RawServer.listen();
    const { proxy, records, port } = await start({ to: backend.url, relay, drain: { spread: 0 } });
    const late = await RawPeer.connect(port);
    // A connection that has already asked for something is not idle and stays open.
    late.write('GET /plain HTTP/1.1\r\nHost: x\r\n\r\n');
    const plain = await backend.accept();
    await plain.head();
    const client = await RawPeer.connect(port);
    client.write(upgradeHead('x'));
    const server = await backend.accept();
    await server.head();
    const stopped = proxy.stop();
    server.write(switchHead());
    await client.head();
    expect((await client.take(4)).toString('hex')).toBe(frames.close1001);
    client.writeHex(frames.maskedClose1001);
    await server.take(8);
    server.writeHex(frames.close1001);
    await client.ended;
    await server.ended;
    client.end();
    server.end();
    expect(await records.next()).toMatchObject({ status: 101, outcome: 'drained' });
    plain.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    await late.until('ok');
    late.end();
    await stopped;
  });

  test('a handshake that never finishes gets 503 at the deadline', async () => {
    const backend = await RawServer.listen();
    const drain = { timeout: '3s', spread: 0 };
    const { proxy, records, port, clock } = await start({ to: backend.url, relay, drain, manual: true });
    const client = await RawPeer.connect(port);
    client.write(upgradeHead('x'));
    await (await backend.accept()).head();
    const stopped = proxy.stop();
    clock!.advance(3000);
    expect((await client.head())[0]).toBe('HTTP/1.1 503 Service Unavailable');
    expect(await records.next()).toMatchObject({ status: 503, outcome: 'failed(PROXY_STOPPING)' });
    client.end();
    await stopped;
  });

  test('a plain request that never finishes gets 503 at the deadline; one in the middle of its answer is cut', async () => {
    const backend = await RawServer.listen();
    const drain = { timeout: '3s', spread: 0 };
    const { proxy, records, port, clock } = await start({ to: backend.url, relay, drain, manual: true });
    const [asking, reading] = [await RawPeer.connect(port), await RawPeer.connect(port)];
    asking.write('GET /asking HTTP/1.1\r\nHost: x\r\n\r\n');
    const mute = await backend.accept();
    await mute.head();
    reading.write('GET /reading HTTP/1.1\r\nHost: x\r\n\r\n');
    const halting = await backend.accept();
    await halting.head();
    halting.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
    await reading.until('half');
    const stopped = proxy.stop();
    clock!.advance(3000);
    await stopped;
    expect((await asking.rest()).toString()).toMatch(/^HTTP\/1\.1 503 .*PROXY_STOPPING/s);
    expect((await reading.rest()).toString()).toBe('');
    const outcome = 'failed(PROXY_STOPPING)';
    const ended = [await records.next(), await records.next()];
    expect(ended).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ path: '/asking', status: 503, outcome }),
        expect.objectContaining({ path: '/reading', status: 200, outcome, bytesFromUpstream: 4 }),
      ]),
    );
    expect([await mute.ended, await halting.ended]).not.toContain(undefined);
  });

  test('a new handshake, on a server that is not ours to close, gets 503', async () => {
    const backend = await running(startWsServer());
    const { proxy, records } = await start({ to: backend.url, relay });
    const server = createServer();
    proxy.attach(server);
    const { port } = await running(listening(server));
    await running(connectWs(`ws://127.0.0.1:${port}/chat`));
    const stopped = proxy.stop();
    const client = await RawPeer.connect(port);
    client.write(upgradeHead('x'));
    const answer = (await client.rest()).toString('latin1');
    expect(answer.split('\r\n')[0]).toBe('HTTP/1.1 503 Service Unavailable');
    expect(answer).toContain('PROXY_STOPPING');
    expect(await records.next(({ status }) => status === 503)).toMatchObject({
      outcome: 'failed(PROXY_STOPPING)',
    });
    await stopped;
  });

  test('a server’s own Close that comes first is its own', async () => {
    const backend = await RawServer.listen();
    const { proxy, records, port } = await start({ to: backend.url, relay, drain: { spread: 0 } });
    const { client, server } = await rawPair(port, backend);
    server.writeHex(frames.close1001);
    await client.take(4);
    const stopped = proxy.stop();
    client.writeHex(frames.maskedClose1001);
    expect([await client.ended, await server.ended]).toEqual(['end', 'end']);
    expect(client.unread.length).toBe(0);
    client.end();
    server.end();
    await stopped;
    expect(await records.next()).toMatchObject({ outcome: 'upstream-closed', closedBy: 'upstream' });
  });
});

describe.skipIf(needChromium.missing)(`Chromium${needChromium.note}`, () => {
  const browser = useBrowser();

  test.each(['stream', 'auto'] as const)(
    'relay %s: a page sees 1001 and a clean end, never 1006',
    async (relay) => {
      const site = await running(startSite());
      const drain = { spread: '300ms', reason: 'back in a minute' };
      const { proxy, records, port } = await start({ to: site.url, relay, drain });
      const context = await browser.newContext();
      const pages = await Promise.all(
        [1, 2, 3].map(async () => {
          const page = await context.newPage();
          await page.goto(`http://127.0.0.1:${port}/`);
          await page.evaluate('live.open([])');
          expect(await page.evaluate('live.echo("flowing")')).toBe('flowing');
          return page;
        }),
      );
      await proxy.stop();
      for (const page of pages) {
        expect(await page.evaluate('live.closed')).toEqual({
          code: 1001,
          reason: 'back in a minute',
          wasClean: true,
        });
        const end = await site.ends.next();
        expect(await end.closed).toEqual({ code: 1001, reason: 'back in a minute' });
        const record = await records.next(({ status }) => status === 101);
        expect(record).toMatchObject({ outcome: 'drained', closedBy: 'proxy', closeCodeFromClient: 1001 });
      }
    },
  );
});
