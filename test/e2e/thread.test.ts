/**
 * The complaints of the 2010 thread that Tidegate began with, one test each, named after the complaint. The backends
 * are raw sockets, so that every byte that leaves the proxy can be looked at; the same with software of the time is in
 * test/interop/old-software.test.ts.
 */
import { createHash } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { hixie76Answer, hixie76Head, hixieText, hixieVectors, type HixieVector } from '../fixtures/hixie.js';
import { startProxy, type RunningProxy } from '../fixtures/proxy.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';

const hostile = hixieVectors.find((vector) => vector.name.includes('NUL'))!;
const draft = hixieVectors[0]!;
const firstFrame = '007e6d7e31367e6d7e35383930353938383531323536303733ff';

async function setUp(): Promise<{ proxy: RunningProxy; backend: RawServer; client: RawPeer; host: string }> {
  const backend = await RawServer.listen();
  const proxy = await startProxy(backend.url);
  onTestFinished(() => proxy.stop());
  const client = await RawPeer.connect(proxy.port);
  return { proxy, backend, client, host: `127.0.0.1:${proxy.port}` };
}

/** Plays the backend's part: reads head and key3, answers with the challenge. */
async function answer(server: RawPeer, vector: HixieVector, host: string, frames = ''): Promise<string[]> {
  const head = await server.head();
  expect((await server.take(8)).toString('hex')).toBe(vector.key3);
  const location = `ws://${host}/socket.io/websocket`;
  server.write(
    Buffer.concat([
      Buffer.from(hixie76Answer(location), 'latin1'),
      Buffer.from(vector.challenge + frames, 'hex'),
    ]),
  );
  return head;
}

async function expectOpen(client: RawPeer, vector: HixieVector): Promise<string[]> {
  const head = await client.head();
  expect(head[0]).toBe('HTTP/1.1 101 WebSocket Protocol Handshake');
  expect((await client.take(16)).toString('hex')).toBe(vector.challenge);
  return head;
}

/** Text both ways, then the Hixie close, and the record of it all. */
async function expectTalk(client: RawPeer, server: RawPeer, proxy: RunningProxy): Promise<void> {
  client.writeHex(hixieText('from the browser'));
  expect((await server.until(Buffer.of(0xff))).toString('hex')).toBe(hixieText('from the browser'));
  server.writeHex(hixieText('from the server'));
  expect((await client.until(Buffer.of(0xff))).toString('hex')).toBe(hixieText('from the server'));
  client.writeHex('ff00');
  expect((await server.take(2)).toString('hex')).toBe('ff00');
  server.writeHex('ff00');
  server.end();
  expect((await client.rest()).toString('hex')).toBe('ff00');
  client.end();
  expect(await proxy.nextRecord()).toMatchObject({
    status: 101,
    generation: 'hixie-76',
    messagesFromClient: 1,
    outcome: 'client-closed',
  });
}

describe('"the 8 bytes of Sec-WebSocket-Key3 behind the head, which the proxy drops"', () => {
  test.each(hixieVectors)('they arrive whole, in the head’s packet: $name', async (vector) => {
    const { proxy, backend, client, host } = await setUp();
    client.write(
      Buffer.concat([Buffer.from(hixie76Head(vector, host), 'latin1'), Buffer.from(vector.key3, 'hex')]),
    );
    const server = await backend.accept();
    await answer(server, vector, host);
    await expectOpen(client, vector);
    await expectTalk(client, server, proxy);
  });

  test.each([draft, hostile])(
    'in a later packet, the backend not even dialled before: $name',
    async (vector) => {
      const { proxy, backend, client, host } = await setUp();
      await client.writeSlowly([hixie76Head(vector, host)]);
      expect(backend.accepted).toHaveLength(0);
      client.writeHex(vector.key3);
      const server = await backend.accept();
      await answer(server, vector, host);
      await expectOpen(client, vector);
      await expectTalk(client, server, proxy);
    },
  );

  test.each([draft, hostile])('head and key one byte at a time: $name', async (vector) => {
    const { proxy, backend, client, host } = await setUp();
    const bytes = Buffer.concat([
      Buffer.from(hixie76Head(vector, host), 'latin1'),
      Buffer.from(vector.key3, 'hex'),
    ]);
    await client.writeSlowly(Array.from(bytes, (byte) => Buffer.of(byte)));
    const server = await backend.accept();
    await answer(server, vector, host);
    await expectOpen(client, vector);
    await expectTalk(client, server, proxy);
  });

  test('announced as Content-Length: 8 by some clients, sent on without it', async () => {
    const { proxy, backend, client, host } = await setUp();
    client.write(hixie76Head(draft, host, ['Content-Length: 8']));
    client.writeHex(draft.key3);
    const server = await backend.accept();
    const head = await answer(server, draft, host);
    expect(head.join('\n')).not.toMatch(/content-length/i);
    await expectOpen(client, draft);
    await expectTalk(client, server, proxy);
  });

  test('head and key3 leave in one write, exactly 8 bytes, and frames behind them wait for the verified answer', async () => {
    const reads: Buffer[] = [];
    const backend = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (chunk) => reads.push(chunk));
      socket.once('data', () => socket.write(hixie76Answer('ws://x/')));
      onTestFinished(() => void socket.destroy());
      backend.emit('socket', socket);
    });
    await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void backend.close());
    const accepted = new Promise<import('node:net').Socket>((resolve) => backend.once('socket', resolve));
    const proxy = await startProxy(`http://127.0.0.1:${(backend.address() as { port: number }).port}`);
    onTestFinished(() => proxy.stop());
    const client = await RawPeer.connect(proxy.port);
    const host = `127.0.0.1:${proxy.port}`;
    client.write(
      Buffer.concat([
        Buffer.from(hixie76Head(hostile, host), 'latin1'),
        Buffer.from(hostile.key3 + hixieText('too early'), 'hex'),
      ]),
    );
    const socket = await accepted;
    await new Promise((resolve) => socket.once('data', resolve));
    // The head of the answer alone opens nothing: the frame is still held back.
    await client.writeSlowly([Buffer.from(hixieText('also early'), 'hex')]);
    expect(client.received).toHaveLength(0);
    expect(reads).toHaveLength(1);
    expect(reads[0]!.subarray(-12).toString('hex')).toBe(`0d0a0d0a${hostile.key3}`);
    const framesArrive = new Promise<void>((resolve) => {
      socket.on('data', () => {
        if (
          Buffer.concat(reads.slice(1)).toString('hex') ===
          hixieText('too early') + hixieText('also early')
        )
          resolve();
      });
    });
    socket.write(Buffer.from(hostile.challenge, 'hex'));
    await expectOpen(client, hostile);
    await framesArrive;
  });

  test('a client that never sends them gets a 408 in time, and no backend is troubled', async () => {
    const backend = await RawServer.listen();
    const proxy = await startProxy({
      listeners: ['127.0.0.1:0'],
      routes: [{ to: backend.url, websocket: { handshakeTimeout: '150ms' } }],
    });
    onTestFinished(() => proxy.stop());
    const client = await RawPeer.connect(proxy.port);
    client.write(hixie76Head(draft, 'x'));
    client.writeHex('00112233');
    expect((await client.head())[0]).toBe('HTTP/1.1 408 Request Timeout');
    expect((await client.rest()).toString()).toContain('HANDSHAKE_KEY_TIMEOUT');
    expect(backend.accepted).toHaveLength(0);
  });
});

describe('"the server answers before the key, at once, or a byte at a time"', () => {
  test('the head at once, the challenge later: the client sees both together, or nothing', async () => {
    const { proxy, backend, client, host } = await setUp();
    client.write(hixie76Head(draft, host));
    client.writeHex(draft.key3);
    const server = await backend.accept();
    // Written for the proxies of 2010: this server answers as soon as it has the head.
    await server.writeSlowly([hixie76Answer(`ws://${host}/`)]);
    await server.head();
    await server.take(8);
    expect(client.received).toHaveLength(0);
    server.writeHex(draft.challenge);
    await expectOpen(client, draft);
    await expectTalk(client, server, proxy);
  });

  test.each([draft, hostile])('split at every byte: $name', async (vector) => {
    const { proxy, backend, client, host } = await setUp();
    client.write(hixie76Head(vector, host));
    client.writeHex(vector.key3);
    const server = await backend.accept();
    const bytes = Buffer.concat([
      Buffer.from(hixie76Answer(`ws://${host}/`), 'latin1'),
      Buffer.from(vector.challenge + firstFrame, 'hex'),
    ]);
    await server.head();
    await server.take(8);
    await server.writeSlowly(Array.from(bytes, (byte) => Buffer.of(byte)));
    await expectOpen(client, vector);
    expect((await client.until(Buffer.of(0xff))).toString('hex')).toBe(firstFrame);
    await expectTalk(client, server, proxy);
  });
});

describe('"Connection: Upgrade is rewritten to close or keep-alive"', () => {
  test('the backend and the client both see Connection: Upgrade and Upgrade: WebSocket', async () => {
    const { backend, client, host } = await setUp();
    client.write(hixie76Head(draft, host));
    client.writeHex(draft.key3);
    const server = await backend.accept();
    const request = await answer(server, draft, host);
    expect(request).toEqual(expect.arrayContaining(['Connection: Upgrade', 'Upgrade: WebSocket']));
    expect(await expectOpen(client, draft)).toEqual(
      expect.arrayContaining(['Connection: Upgrade', 'Upgrade: WebSocket']),
    );
  });
});

describe('"Transfer-Encoding: chunked and a stray chunk size are added to the 101; the 16 bytes have no Content-Length"', () => {
  test('the answer is the backend’s own: phrase, order and case, no Content-Length, no Transfer-Encoding', async () => {
    const { backend, client, host } = await setUp();
    client.write(hixie76Head(draft, host));
    client.writeHex(draft.key3);
    const server = await backend.accept();
    await server.head();
    server.write(
      [
        'HTTP/1.1 101 Whatever The Backend Says',
        'UPGRADE: WebSocket',
        'Connection: Upgrade',
        'X-First: 1',
        'Transfer-Encoding: chunked',
        'Content-Length: 16',
        'sec-websocket-LOCATION: ws://internal:3000/wrong',
        'Sec-WebSocket-Origin: http://example.com',
        'Set-Cookie: a=1',
        'Set-Cookie: b=2',
        '',
        '',
      ].join('\r\n'),
    );
    server.writeHex(draft.challenge);
    expect(await client.head()).toEqual([
      'HTTP/1.1 101 Whatever The Backend Says',
      'UPGRADE: WebSocket',
      'Connection: Upgrade',
      'X-First: 1',
      `sec-websocket-LOCATION: ws://${host}/socket.io/websocket`,
      'Sec-WebSocket-Origin: http://example.com',
      'Set-Cookie: a=1',
      'Set-Cookie: b=2',
    ]);
    expect((await client.take(16)).toString('hex')).toBe(draft.challenge);
    expect(client.unread).toHaveLength(0);
  });
});

describe('"the 16-byte challenge reply" is checked by us', () => {
  test.each([
    [
      'one wrong bit',
      (challenge: Buffer) => Buffer.from(challenge.map((byte, i) => (i === 15 ? byte ^ 1 : byte))),
    ],
    ['a chunk size in front of it', (challenge: Buffer) => Buffer.concat([Buffer.from('10\r\n'), challenge])],
    ['hashed without key3', () => createHash('md5').update('x').digest()],
  ])('%s: 502, and nothing opens', async (_name, spoil) => {
    const { proxy, backend, client, host } = await setUp();
    client.write(hixie76Head(draft, host));
    client.writeHex(draft.key3 + hixieText('never to arrive'));
    const server = await backend.accept();
    await server.head();
    await server.take(8);
    server.write(hixie76Answer(`ws://${host}/`));
    server.write(spoil(Buffer.from(draft.challenge, 'hex')));
    expect((await client.head())[0]).toBe('HTTP/1.1 502 Bad Gateway');
    expect((await client.rest()).toString()).toContain('UPSTREAM_SWITCH_INVALID');
    await server.closed;
    expect(server.unread).toHaveLength(0);
    expect(await proxy.nextRecord()).toMatchObject({
      status: 502,
      outcome: 'failed(UPSTREAM_SWITCH_INVALID)',
    });
  });
});

describe('"the first frame (~m~16~m~…) shares a packet with the answer"', () => {
  test('it arrives as a frame', async () => {
    const { proxy, backend, client, host } = await setUp();
    client.write(hixie76Head(draft, host));
    client.writeHex(draft.key3);
    const server = await backend.accept();
    await answer(server, draft, host, firstFrame);
    await expectOpen(client, draft);
    expect((await client.until(Buffer.of(0xff))).toString('hex')).toBe(firstFrame);
    await expectTalk(client, server, proxy);
  });
});

describe('"frames from the client are parsed as a new HTTP request and answered 400"', () => {
  test('nothing after the switch is read as HTTP, whatever it looks like', async () => {
    const { backend, client, host } = await setUp();
    client.write(hixie76Head(draft, host));
    client.writeHex(draft.key3);
    const server = await backend.accept();
    await answer(server, draft, host);
    await expectOpen(client, draft);
    const request = 'GET /internal HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\n\r\n';
    client.write(request);
    expect((await server.until('\r\n\r\n')).toString('latin1')).toBe(request);
    const response = 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n';
    server.write(response);
    expect((await client.until('\r\n\r\n')).toString('latin1')).toBe(response);
    expect(backend.accepted).toHaveLength(1);
  });
});

describe('"data flows only from server to client"', () => {
  test('a hundred messages each way, at the same time', async () => {
    const { backend, client, host } = await setUp();
    client.write(hixie76Head(draft, host));
    client.writeHex(draft.key3);
    const server = await backend.accept();
    await answer(server, draft, host);
    await expectOpen(client, draft);
    let up = '';
    let down = '';
    for (let i = 0; i < 100; i++) {
      up += hixieText(`up ${i}`);
      down += hixieText(`down ${i}`);
      client.writeHex(hixieText(`up ${i}`));
      server.writeHex(hixieText(`down ${i}`));
    }
    expect((await server.take(up.length / 2)).toString('hex')).toBe(up);
    expect((await client.take(down.length / 2)).toString('hex')).toBe(down);
  });
});

describe('the request exactly as the thread prints it', () => {
  test('goes through although its second key leaves a remainder', async () => {
    const vector = { key1: "'6F24 >168D1m/2T7b", key2: '3 84w6 5 u{U45 7 17', key3: '0d0a00ff0d0a0d0a' };
    const numbers = Buffer.alloc(8);
    numbers.writeUInt32BE(624168127, 0);
    // Servers of 2010 took the integer part.
    numbers.writeUInt32BE(Math.floor(3846545717 / 5), 4);
    const challenge = createHash('md5').update(numbers).update(Buffer.from(vector.key3, 'hex')).digest('hex');
    const whole = { ...vector, name: '', number1: 0, number2: 0, challenge };
    const { proxy, backend, client, host } = await setUp();
    client.write(hixie76Head(whole, host, ['Cookie: session=1']));
    client.writeHex(whole.key3);
    const server = await backend.accept();
    const head = await answer(server, whole, host);
    expect(head).toContain(`Sec-WebSocket-Key2: ${vector.key2}`);
    await expectOpen(client, whole);
    await expectTalk(client, server, proxy);
  });
});

describe('keys that hide no number are refused before anything is dialled', () => {
  const good = draft.key1;
  test.each([
    ['no space (a forged request)', '12345678', good],
    ['no digit', 'ab c d', good],
    ['too large a number', '99999999999999999 9', good],
    ['missing second key', good, undefined],
  ])('%s', async (_name, key1, key2) => {
    const { backend, client, host } = await setUp();
    const lines = hixie76Head({ key1, key2: key2 ?? '' }, host).split('\r\n');
    client.write(
      lines.filter((line) => key2 !== undefined || !line.startsWith('Sec-WebSocket-Key2')).join('\r\n'),
    );
    expect((await client.head())[0]).toBe('HTTP/1.1 400 Bad Request');
    expect((await client.rest()).toString()).toMatch(/HANDSHAKE_INVALID\nSec-WebSocket-Key[12] /);
    expect(backend.accepted).toHaveLength(0);
  });
});

describe('a key3 that is a request', () => {
  test('never reaches a plain server as one: the connection is not reused', async () => {
    const { backend, client, host } = await setUp();
    client.write(hixie76Head(draft, host));
    client.write('GET /x H');
    const server = await backend.accept();
    await server.head();
    server.write('HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope');
    expect(await client.head()).toContain('Connection: close');
    expect((await client.rest()).toString()).toBe('nope');
    await server.ended;
    expect(server.unread.toString()).toBe('GET /x H');
  });
});

describe('Hixie-75', () => {
  const firstBytes =
    'HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n';
  const head = (host: string) =>
    `GET /echo?x=1 HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: ${host}\r\nOrigin: http://example.com\r\n\r\n`;

  test('the first 85 bytes of the answer are literally those that browsers compare', async () => {
    const { proxy, backend, client, host } = await setUp();
    client.write(head(host));
    const server = await backend.accept();
    await server.head();
    server.write(
      `${firstBytes}WebSocket-Origin: http://example.com\r\nWebSocket-Location: ws://inside:1/\r\n\r\n`,
    );
    server.writeHex(firstFrame);
    expect((await client.take(85)).toString('latin1')).toBe(firstBytes);
    expect(await client.head()).toEqual([
      'WebSocket-Origin: http://example.com',
      `WebSocket-Location: ws://${host}/echo?x=1`,
    ]);
    expect((await client.until(Buffer.of(0xff))).toString('hex')).toBe(firstFrame);
    client.writeHex(hixieText('hello'));
    expect((await server.until(Buffer.of(0xff))).toString('hex')).toBe(hixieText('hello'));
    client.end();
    expect(await server.ended).toBe('end');
    server.end();
    expect(await client.ended).toBe('end');
    expect(await proxy.nextRecord()).toMatchObject({
      generation: 'hixie-75',
      outcome: 'client-closed',
      messagesFromClient: 1,
    });
  });

  test.each([
    ['another origin', 'WebSocket-Origin: http://evil.example\r\nWebSocket-Location: ws://x/\r\n'],
    ['no location', 'WebSocket-Origin: http://example.com\r\n'],
  ])('an answer with %s opens nothing', async (_name, lines) => {
    const { backend, client, host } = await setUp();
    client.write(head(host));
    const server = await backend.accept();
    await server.head();
    server.write(`${firstBytes}${lines}\r\n`);
    expect((await client.head())[0]).toBe('HTTP/1.1 502 Bad Gateway');
    await server.closed;
  });
});

test('the raw client and server of these tests are plain sockets', async () => {
  // A guard for the fixture: without the proxy the same bytes go straight through.
  const backend = await RawServer.listen();
  const direct = connect(backend.port, '127.0.0.1');
  onTestFinished(() => void direct.destroy());
  direct.write(hixie76Head(draft, 'x'));
  expect((await (await backend.accept()).head())[0]).toBe('GET /socket.io/websocket HTTP/1.1');
});
