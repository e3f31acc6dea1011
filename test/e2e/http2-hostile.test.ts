/** Clients of HTTP/2 that mean harm: each costs its own connection, and nobody else’s. */
import { constants } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startBackend } from '../fixtures/http-backend.js';
import { Http2Client } from '../fixtures/http2-client.js';
import { startProxy, type RunningProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';

const { NGHTTP2_CANCEL } = constants;
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

async function start(http2: boolean | object = true) {
  let asked = 0;
  const backend = await startBackend((_req, res) => {
    asked++;
    res.end('fine');
  });
  const listeners = [{ address: '127.0.0.1:0', http2, headerTimeout: '1s' }];
  const proxy = await running(startProxy({ listeners, routes: [{ to: backend.url }] }));
  return { proxy, asked: () => asked };
}

async function expectServing(proxy: RunningProxy): Promise<void> {
  const client = await Http2Client.connect(proxy.url);
  expect(await client.ask({ ':path': '/' })).toMatchObject({ status: 200, body: 'fine' });
}

test('streams opened and reset at once, thousands of them (CVE-2023-44487): the connection is ended', async () => {
  const { proxy, asked } = await start();
  const { session } = await Http2Client.connect(proxy.url);
  const ended = new Promise((resolve) => session.once('close', resolve));
  let opened = 0;
  const flood = (): void => {
    for (let i = 0; i < 100 && !session.destroyed && !session.closed && opened < 20_000; i++, opened++) {
      const stream = session.request({ ':path': '/' });
      stream.on('error', () => {});
      stream.close(NGHTTP2_CANCEL);
    }
    if (!session.destroyed && !session.closed && opened < 20_000) setImmediate(flood);
  };
  flood();
  await ended;
  expect(opened).toBeLessThan(20_000);
  expect(asked()).toBeLessThan(5000);
  await expectServing(proxy);
});

test('a header block without end (CONTINUATION flood): the connection is ended', async () => {
  const { proxy } = await start();
  const socket = await greet(proxy.port);
  const ended = new Promise((resolve) => socket.once('close', resolve));
  // HEADERS for stream 1 without END_HEADERS, then one piece after the other.
  socket.write(frame(1, 0x1, 1, Buffer.from('8286', 'hex')));
  const piece = frame(
    9,
    0,
    1,
    Buffer.concat([
      Buffer.from('0004', 'hex'),
      Buffer.from('x-aa'),
      Buffer.from('01', 'hex'),
      Buffer.from('b'),
    ]),
  );
  const pour = (): void => {
    if (socket.destroyed) return;
    if (socket.write(Buffer.concat(Array.from({ length: 100 }, () => piece)))) setImmediate(pour);
    else socket.once('drain', pour);
  };
  pour();
  await ended;
  await expectServing(proxy);
});

test.each([
  ['a frame longer than was agreed on', frame(0, 0, 1, Buffer.alloc(20_000))],
  ['DATA on a stream that was never opened', frame(0, 0, 1, Buffer.from('x'))],
  ['a window that overflows', Buffer.concat([windowUpdate(0x7fffffff), windowUpdate(0x7fffffff)])],
  ['a request whose fields are broken', frame(1, 0x5, 1, Buffer.from('828684', 'hex'))],
])('%s costs that connection, or that stream, alone', async (_, bytes) => {
  const { proxy, asked } = await start();
  const socket = await greet(proxy.port);
  socket.write(bytes);
  socket.end();
  await new Promise((resolve) => socket.once('close', resolve));
  expect(asked()).toBe(0);
  await expectServing(proxy);
});

describe('what is configured holds', () => {
  test('no more streams at a time than maxConcurrentStreams', async () => {
    const { proxy } = await start({ maxConcurrentStreams: 3 });
    const { session } = await Http2Client.connect(proxy.url);
    expect(session.remoteSettings.maxConcurrentStreams).toBe(3);
  });

  test('a head larger than maxHeaderBytes is refused', async () => {
    const { proxy, asked } = await start();
    const client = await Http2Client.connect(proxy.url);
    const answer = await client.ask({ ':path': '/', 'x-large': 'x'.repeat(40_000) }).catch(() => undefined);
    expect(answer?.status).not.toBe(200);
    expect(asked()).toBe(0);
    await expectServing(proxy);
  });
});

/** A connection with the preface and empty settings sent. */
async function greet(port: number): Promise<Socket> {
  const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {});
  onTestFinished(() => void socket.destroy());
  socket.resume();
  socket.once('end', () => socket.destroy());
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.write(Buffer.concat([PREFACE, frame(4, 0, 0, Buffer.alloc(0))]));
  return socket;
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function windowUpdate(by: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(by);
  return frame(8, 0, 0, payload);
}
