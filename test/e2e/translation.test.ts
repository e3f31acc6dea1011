/** Clients of one generation before servers of another: heads byte for byte, and what ends such a session. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../src/base/manual-clock.js';
import { systemDeps } from '../../src/base/system.js';
import type { AccessRecord } from '../../src/observe/record.js';
import { challengeResponse, keyNumber } from '../../src/protocol/handshake/hixie.js';
import { acceptFor } from '../../src/protocol/handshake/hybi.js';
import { writeClose, writeFrame } from '../../src/protocol/frames/writer.js';
import { createProxy, type Proxy } from '../../src/server/proxy.js';
import { hixie76Answer, hixie76Head, hixieText, hixieVectors } from '../fixtures/hixie.js';
import { Inbox } from '../fixtures/inbox.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { accept, headOf, upgradeHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';

const vector = hixieVectors[0]!;

interface Started {
  readonly proxy: Proxy;
  readonly records: Inbox<AccessRecord>;
  readonly port: number;
  /** Undefined: time is not the test’s. */
  readonly clock: ManualClock | undefined;
}

async function start(
  to: string,
  relay: 'stream' | 'auto',
  websocket: object,
  manual = false,
): Promise<Started> {
  const clock = manual ? new ManualClock() : undefined;
  const deps = clock === undefined ? systemDeps : { ...systemDeps, clock };
  const config = {
    listeners: ['127.0.0.1:0'],
    upstreams: { old: { servers: [to], sticky: { key: 'a secret of sixteen characters' } } },
    routes: [{ to: 'old', websocket }],
    drain: { spread: 0 },
    relay,
  };
  const proxy = createProxy(config, { deps });
  const records = new Inbox<AccessRecord>('the access records');
  proxy.on('session.closed', (record) => records.push(record));
  proxy.on('request.finished', (record) => records.push(record));
  await proxy.start();
  onTestFinished(() => proxy.stop({ timeoutMs: 0 }));
  return { proxy, records, port: proxy.listeners[0]!.port, clock };
}

/** The lines of a head by lower-case name. */
function fieldsOf(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    lines.slice(1).map((line) => {
      const at = line.indexOf(': ');
      return [line.slice(0, at).toLowerCase(), line.slice(at + 2)];
    }),
  );
}

interface Opened {
  readonly client: RawPeer;
  readonly server: RawPeer;
  /** What each has seen of the handshake. */
  readonly offer: string[];
  readonly answer: string[];
}

/** A raw Hixie-76 client before a raw RFC 6455 server. */
async function openOldClient(port: number, backend: RawServer, more: string[] = []): Promise<Opened> {
  const client = await RawPeer.connect(port);
  client.write(hixie76Head(vector, 'x', more));
  client.writeHex(vector.key3);
  const server = await backend.accept();
  const offer = await server.head();
  const accepted = acceptFor(fieldsOf(offer)['sec-websocket-key']!);
  server.write(
    headOf(
      'HTTP/1.1 101 Switching Protocols',
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Accept: ${accepted}`,
    ),
  );
  const answer = await client.head();
  expect((await client.take(16)).toString('hex')).toBe(vector.challenge);
  return { client, server, offer, answer };
}

/** A raw RFC 6455 client before a raw Hixie-76 server. */
async function openOldServer(port: number, backend: RawServer, first = ''): Promise<Opened> {
  const client = await RawPeer.connect(port);
  client.write(upgradeHead('x', ['Cookie: a=1']));
  const { server, offer } = await acceptOld(backend, first);
  return { client, server, offer, answer: await client.head() };
}

async function acceptOld(backend: RawServer, first = '') {
  const server = await backend.accept();
  const offer = await server.head();
  const fields = fieldsOf(offer);
  // In the same packet, as the servers of the time need it.
  expect(server.unread).toHaveLength(8);
  const key3 = await server.take(8);
  const [one, two] = ['1', '2'].map((at) => keyNumber(fields[`sec-websocket-key${at}`]!) as number);
  const challenge = challengeResponse(one!, two!, key3);
  const head = Buffer.from(hixie76Answer('ws://inside/socket.io/websocket'));
  server.write(Buffer.concat([head, challenge, Buffer.from(first, 'hex')]));
  return { server, offer };
}

const mask = Buffer.alloc(4);
const masked = (text: string, opcode = 1) => writeFrame({ opcode, payload: text, mask });

describe.each(['stream', 'auto'] as const)('relay: %s', (relay) => {
  describe('handshakes', () => {
    test('a Hixie-76 client before RFC 6455: both heads', async () => {
      const backend = await RawServer.listen();
      const { port, proxy } = await start(backend.url, relay, { upstreamGeneration: 'rfc6455' });
      const { offer, answer } = await openOldClient(port, backend, [
        'Cookie: a=1',
        'Sec-WebSocket-Protocol: chat',
      ]);
      const key = fieldsOf(offer)['sec-websocket-key'];
      expect(offer).toEqual([
        'GET /socket.io/websocket HTTP/1.1',
        'Upgrade: websocket',
        'Connection: Upgrade',
        'Host: x',
        'Origin: http://example.com',
        'Cookie: a=1',
        'Sec-WebSocket-Version: 13',
        `Sec-WebSocket-Key: ${key}`,
        'Sec-WebSocket-Protocol: chat',
        'X-Forwarded-For: 127.0.0.1',
        'X-Forwarded-Proto: http',
        'X-Forwarded-Host: x',
      ]);
      expect(answer.slice(0, 5)).toEqual([
        'HTTP/1.1 101 WebSocket Protocol Handshake',
        'Upgrade: WebSocket',
        'Connection: Upgrade',
        'Sec-WebSocket-Origin: http://example.com',
        'Sec-WebSocket-Location: ws://x/socket.io/websocket',
      ]);
      // The cookie that it is to stick by.
      expect(answer.slice(5)).toEqual([expect.stringMatching(/^Set-Cookie: /)]);
      expect(proxy.sessions).toMatchObject([{ generation: 'hixie-76', upstreamGeneration: 'rfc6455' }]);
    });

    test('an RFC 6455 client before Hixie-76: both heads, and the first frame', async () => {
      const backend = await RawServer.listen();
      const { port } = await start(backend.url, relay, { upstreamGeneration: 'hixie-76' });
      const { client, offer, answer } = await openOldServer(port, backend, hixieText('~m~2~m~id'));
      const fields = fieldsOf(offer);
      expect(offer).toEqual([
        'GET /chat?room=1 HTTP/1.1',
        'Host: x',
        'Connection: Upgrade',
        'Upgrade: WebSocket',
        'Origin: http://example.com',
        'Cookie: a=1',
        `Sec-WebSocket-Key1: ${fields['sec-websocket-key1']}`,
        `Sec-WebSocket-Key2: ${fields['sec-websocket-key2']}`,
        'X-Forwarded-For: 127.0.0.1',
        'X-Forwarded-Proto: http',
        'X-Forwarded-Host: x',
      ]);
      expect(answer.slice(0, 4)).toEqual([
        'HTTP/1.1 101 Switching Protocols',
        'Upgrade: websocket',
        'Connection: Upgrade',
        `Sec-WebSocket-Accept: ${accept}`,
      ]);
      expect(await client.take(11)).toEqual(writeFrame({ opcode: 1, payload: '~m~2~m~id' }));
    });

    test('what the server refuses is passed on as it is', async () => {
      const backend = await RawServer.listen();
      const { port, records } = await start(backend.url, relay, { upstreamGeneration: 'hixie-76' });
      const client = await RawPeer.connect(port);
      client.write(upgradeHead('x'));
      const server = await backend.accept();
      await server.head();
      server.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\n\r\nno');
      const answer = (await client.rest()).toString();
      expect(answer).toMatch(/^HTTP\/1.1 403 Forbidden\r\n/);
      expect(answer).toContain('\r\nSet-Cookie: a=1\r\n');
      expect(answer.endsWith('\r\n\r\nno')).toBe(true);
      expect(await records.next()).toMatchObject({ status: 403, upstreamGeneration: 'hixie-76' });
    });

    test.each([
      [
        'the challenge for other keys',
        'hixie-76',
        upgradeHead('x'),
        hixie76Answer('ws://x/') + 'x'.repeat(16),
      ],
      [
        'the accept value for the client’s own key',
        'rfc6455',
        hixie76Head(vector, 'x') + Buffer.from(vector.key3, 'hex').toString('latin1'),
        headOf(
          'HTTP/1.1 101 Switching Protocols',
          'Upgrade: websocket',
          'Connection: Upgrade',
          `Sec-WebSocket-Accept: ${accept}`,
        ),
      ],
    ])('%s opens nothing', async (_, upstreamGeneration, head, answer) => {
      const backend = await RawServer.listen();
      const { port, records } = await start(backend.url, relay, { upstreamGeneration });
      const client = await RawPeer.connect(port);
      client.write(head);
      const server = await backend.accept();
      await server.head();
      server.write(answer);
      expect((await client.rest()).toString()).toMatch(/^HTTP\/1.1 502 /);
      expect(await server.ended).toBe('reset');
      expect(await records.next()).toMatchObject({ outcome: 'failed(UPSTREAM_SWITCH_INVALID)' });
    });

    test('an extension that the server takes although none was offered opens nothing', async () => {
      const backend = await RawServer.listen();
      const { port } = await start(backend.url, relay, { upstreamGeneration: 'rfc6455' });
      const client = await RawPeer.connect(port);
      const deflate = 'Sec-WebSocket-Extensions: permessage-deflate';
      client.write(upgradeHead('x', ['Sec-WebSocket-Version: 8', deflate], ['Sec-WebSocket-Version']));
      const server = await backend.accept();
      const fields = fieldsOf(await server.head());
      expect(fields).not.toHaveProperty('sec-websocket-extensions');
      server.write(
        headOf(
          'HTTP/1.1 101 Switching Protocols',
          'Upgrade: websocket',
          'Connection: Upgrade',
          `Sec-WebSocket-Accept: ${acceptFor(fields['sec-websocket-key']!)}`,
          deflate,
        ),
      );
      expect((await client.rest()).toString()).toMatch(/^HTTP\/1.1 502 /);
    });

    test.each(['4', '99'])('version %s cannot be translated: 426 with those that can', async (version) => {
      const backend = await RawServer.listen();
      const { port, records } = await start(backend.url, relay, { upstreamGeneration: 'rfc6455' });
      const client = await RawPeer.connect(port);
      client.write(upgradeHead('x', [`Sec-WebSocket-Version: ${version}`], ['Sec-WebSocket-Version']));
      const answer = (await client.rest()).toString();
      expect(answer).toMatch(/^HTTP\/1.1 426 Upgrade Required\r\n/);
      expect(answer).toContain('\r\nSec-WebSocket-Version: 13, 8, 7\r\n');
      expect(answer).toContain('taken: hixie-75, hixie-76, hybi-07, hybi-08, rfc6455');
      expect(backend.accepted).toHaveLength(0);
      expect(await records.next()).toMatchObject({ outcome: 'failed(HANDSHAKE_GENERATION_REFUSED)' });
    });

    test('a draft between Hixie-76 and HyBi-04 is refused too', async () => {
      const backend = await RawServer.listen();
      const { port } = await start(backend.url, relay, { upstreamGeneration: 'hixie-76' });
      const client = await RawPeer.connect(port);
      client.write(hixie76Head(vector, 'x', ['Sec-WebSocket-Draft: 2']));
      expect((await client.rest()).toString()).toMatch(/^HTTP\/1.1 426 /);
    });

    test('a subprotocol that RFC 6455 cannot spell is refused with a reason', async () => {
      const backend = await RawServer.listen();
      const { port } = await start(backend.url, relay, { upstreamGeneration: 'rfc6455' });
      const client = await RawPeer.connect(port);
      client.write(hixie76Head(vector, 'x', ['Sec-WebSocket-Protocol: two words']));
      const answer = (await client.rest()).toString();
      expect(answer).toMatch(/^HTTP\/1.1 400 /);
      expect(answer).toContain('the subprotocol "two words" cannot be offered to an RFC 6455 server');
    });

    test('who speaks what the server speaks goes on as ever', async () => {
      const backend = await running(startWsServer({ perMessageDeflate: true }));
      const { port, records } = await start(backend.url, relay, { upstreamGeneration: 'rfc6455' });
      const client = await running(connectWs(`ws://127.0.0.1:${port}/chat`));
      expect(client.socket.extensions).toContain('permessage-deflate');
      client.socket.close(1000);
      await client.closed;
      expect(await records.next()).not.toHaveProperty('upstreamGeneration', 'rfc6455');
    });
  });

  describe('ends', () => {
    test('drained, a Hixie-76 client: FF 00, and its echo is 1001', async () => {
      const backend = await running(startWsServer());
      const { proxy, port, records } = await start(backend.url, relay, { upstreamGeneration: 'rfc6455' });
      const client = await RawPeer.connect(port);
      client.write(hixie76Head(vector, 'x'));
      client.writeHex(vector.key3 + hixieText('in the middle of things'));
      await client.until('things\xff');
      const end = await backend.ends.next();
      const stopped = proxy.stop();
      expect((await client.take(2)).toString('hex')).toBe('ff00');
      client.writeHex('ff00');
      client.end();
      expect(await end.closed).toEqual({ code: 1001, reason: '' });
      await stopped;
      expect(await records.next()).toMatchObject({
        outcome: 'drained',
        closedBy: 'proxy',
        messagesFromClient: 1,
        messagesFromUpstream: 1,
        closeCodeFromClient: 1005,
      });
    });

    test('drained, before a Hixie-76 server: 1001, then FF 00', async () => {
      const backend = await RawServer.listen();
      const { proxy, port, records } = await start(backend.url, relay, { upstreamGeneration: 'hixie-76' });
      const starting = connectWs(`ws://127.0.0.1:${port}/chat`);
      const { server } = await acceptOld(backend);
      const client = await running(starting);
      client.socket.send('hello');
      await server.until('hello\xff');
      const stopped = proxy.stop();
      expect(await client.closed).toEqual({ code: 1001, reason: '' });
      expect((await server.rest()).toString('hex')).toBe('ff00');
      server.writeHex('ff00');
      server.end();
      await stopped;
      expect(await records.next()).toMatchObject({ outcome: 'drained', closeCodeFromClient: 1001 });
    });

    test('idle: 1001 to the one, FF 00 to the other', async () => {
      const backend = await RawServer.listen();
      const websocket = { upstreamGeneration: 'hixie-76', idleTimeout: '3s' };
      const { port, records, clock } = await start(backend.url, relay, websocket, true);
      const { client, server } = await openOldServer(port, backend);
      clock!.advance(5000);
      expect(await client.take(8)).toEqual(writeClose(1001, 'idle'));
      expect((await server.rest()).toString('hex')).toBe('ff00');
      client.write(writeClose(1001, '', mask));
      server.end();
      client.end();
      expect(await records.next()).toMatchObject({ outcome: 'idle-timeout', closedBy: 'proxy' });
    });

    test('the age of a session: told like a drain', async () => {
      const backend = await RawServer.listen();
      const websocket = { upstreamGeneration: 'rfc6455', maxAge: '5s', maxAgeJitter: '0%' };
      const { port, records, clock } = await start(backend.url, relay, websocket, true);
      const { client, server } = await openOldClient(port, backend);
      clock!.advance(7000);
      expect((await client.take(2)).toString('hex')).toBe('ff00');
      client.writeHex('ff00');
      await server.take(8);
      server.write(writeClose(1001));
      client.end();
      server.end();
      expect(await records.next()).toMatchObject({ outcome: 'limit', detail: 'maxAge reached' });
    });

    test('pings of ours go to the side that knows them', async () => {
      const backend = await RawServer.listen();
      const websocket = { upstreamGeneration: 'hixie-76', ping: { interval: '1s', timeout: '2s' } };
      const { proxy, port, records, clock } = await start(backend.url, relay, websocket, true);
      const { client, server } = await openOldServer(port, backend);
      clock!.advance(2000);
      const ping = await client.take(6);
      expect(ping.subarray(0, 2).toString('hex')).toBe('8904');
      client.write(Buffer.concat([Buffer.from('8a8400000000', 'hex'), ping.subarray(2), masked('x')]));
      expect((await server.take(3)).toString('hex')).toBe(hixieText('x'));
      expect(proxy.sessions).toHaveLength(1);
      clock!.advance(2000);
      await client.take(6);
      clock!.advance(4000);
      expect((await server.rest()).toString('hex')).toBe('ff00');
      server.end();
      client.destroy();
      expect(await records.next()).toMatchObject({ outcome: 'client-lost', messagesFromClient: 1 });
    });

    test.each([
      [
        'client',
        'too much',
        1009,
        'TRANSLATION_TOO_LARGE',
        'message of more than 1024 bytes, from the client',
      ],
      ['client', 'bad text', 1007, 'TRANSLATION_TEXT_INVALID', 'text is not UTF-8, from the client'],
      [
        'client',
        'binary',
        1003,
        'TRANSLATION_BINARY',
        'binary messages cannot be said in Hixie, from the client',
      ],
      [
        'client',
        'unmasked',
        1002,
        'TRANSLATION_FRAME_INVALID',
        'frame is not masked (RFC 6455 §5.1), from the client',
      ],
      ['upstream', 'bad text', 1007, 'TRANSLATION_TEXT_INVALID', 'text is not UTF-8, from the upstream'],
      [
        'upstream',
        'too much',
        1009,
        'TRANSLATION_TOO_LARGE',
        'message of more than 1024 bytes, from the upstream',
      ],
    ] as const)('%s: %s is Close %d', async (side, what, code, outcome, reason) => {
      const backend = await RawServer.listen();
      const websocket = { upstreamGeneration: 'hixie-76', maxTranslatedBytes: 1024 };
      const { port, records } = await start(backend.url, relay, websocket);
      const { client, server } = await openOldServer(port, backend);
      if (side === 'client') {
        const frame = {
          'too much': masked('x'.repeat(1025)),
          'bad text': Buffer.from('818100000000c3', 'hex'),
          binary: masked('x', 2),
          unmasked: writeFrame({ opcode: 1, payload: 'x' }),
        }[what];
        client.write(frame);
      } else {
        server.writeHex(what === 'bad text' ? '00c3ff' : `00${'61'.repeat(1025)}`);
      }
      expect(await client.take(4 + Buffer.byteLength(reason))).toEqual(writeClose(code, reason));
      expect((await server.rest()).toString('hex')).toBe('ff00');
      server.end();
      client.write(writeClose(code, '', mask));
      client.end();
      const record = await records.next();
      expect(record).toMatchObject({ status: 101, outcome: `failed(${outcome})`, closedBy: 'proxy' });
      expect(record.detail).toContain(reason);
    });

    test('maxMessageBytes of a side counts before that', async () => {
      const backend = await RawServer.listen();
      const websocket = { upstreamGeneration: 'rfc6455', maxMessageBytes: { upstream: 10 } };
      const { port, records } = await start(backend.url, relay, websocket);
      const { client, server } = await openOldClient(port, backend);
      server.write(writeFrame({ opcode: 1, payload: 'x'.repeat(11) }));
      expect((await client.take(2)).toString('hex')).toBe('ff00');
      const close = await server.take(2);
      const payload = await server.take(4 + (close[1]! & 0x7f));
      expect((payload[4]! ^ payload[0]!) * 256 + (payload[5]! ^ payload[1]!)).toBe(1009);
      client.end();
      server.end();
      expect(await records.next()).toMatchObject({ outcome: 'limit', closedBy: 'proxy' });
    });

    test.each(['client', 'upstream'] as const)('a reset of the %s is one on the other side', async (side) => {
      const backend = await RawServer.listen();
      const { port, records } = await start(backend.url, relay, { upstreamGeneration: 'rfc6455' });
      const { client, server } = await openOldClient(port, backend);
      const [one, other] = side === 'client' ? [client, server] : [server, client];
      one.reset();
      expect(await other.ended).toBe('reset');
      expect(await records.next()).toMatchObject({ outcome: `${side}-lost`, closedBy: side });
    });

    test('a server that breaks off in a message is lost, and its half is not passed on', async () => {
      const backend = await RawServer.listen();
      const { port, records } = await start(backend.url, relay, { upstreamGeneration: 'hixie-76' });
      const { client, server } = await openOldServer(port, backend);
      server.writeHex('00616263');
      server.end();
      expect((await client.rest()).toString('hex')).toBe('');
      client.end();
      expect(await records.next()).toMatchObject({ outcome: 'upstream-lost' });
    });
  });

  test('large messages both ways at once, whole', async () => {
    const backend = await running(startWsServer());
    const websocket = { upstreamGeneration: 'rfc6455', maxTranslatedBytes: '8MiB' };
    const { port } = await start(backend.url, relay, websocket);
    const client = await RawPeer.connect(port);
    client.write(hixie76Head(vector, 'x'));
    client.writeHex(vector.key3);
    await client.head();
    await client.take(16);
    const texts = Array.from({ length: 4 }, (_, i) => `${i}✓`.repeat(1024 * 1024));
    for (const text of texts) client.writeHex(hixieText(text));
    for (const text of texts) {
      const bytes = await client.take(Buffer.byteLength(text) + 2);
      expect(bytes.equals(Buffer.from(hixieText(text), 'hex'))).toBe(true);
    }
  });

  test('observe: false looks at frames all the same where they are translated', async () => {
    const backend = await running(startWsServer());
    const websocket = { upstreamGeneration: 'rfc6455', observe: false };
    const { proxy, port } = await start(backend.url, relay, websocket);
    const client = await RawPeer.connect(port);
    client.write(hixie76Head(vector, 'x'));
    client.writeHex(vector.key3 + hixieText('a'));
    await client.until('\x00a\xff');
    await eventually(() => proxy.sessions[0]?.messagesFromUpstream === 1, 'the message is counted');
    const stopped = proxy.stop();
    expect((await client.take(2)).toString('hex')).toBe('ff00');
    client.end();
    await stopped;
  });
});
