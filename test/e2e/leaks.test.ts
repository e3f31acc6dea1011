/** Ten thousand connections, each cut at a random point of its life: nothing may be left of them. */
import { existsSync, readdirSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { createProxy } from '../../src/server/proxy.js';
import { testedRelay } from '../fixtures/proxy.js';
import { CountingClock } from '../fixtures/counting-clock.js';
import { hixie76Answer, hixie76Head, hixieText, hixieVectors } from '../fixtures/hixie.js';
import { eventually } from '../fixtures/raw-peer.js';
import { frames, switchHead, upgradeHead } from '../fixtures/rfc6455.js';

const CONNECTIONS = 10_000;
const AT_ONCE = 40;

const vector = hixieVectors[0]!;
const hello = Buffer.from(frames.hello, 'hex');
const maskedHello = Buffer.from(frames.maskedHello, 'hex');

/** What the client sends in all, per generation; and what the backend answers. */
const scripts = [
  {
    sends: Buffer.concat([Buffer.from(upgradeHead('x'), 'latin1'), maskedHello, maskedHello]),
    answers: Buffer.concat([Buffer.from(switchHead(), 'latin1'), hello, hello]),
  },
  {
    sends: Buffer.concat([
      Buffer.from(hixie76Head(vector, 'x'), 'latin1'),
      Buffer.from(vector.key3 + hixieText('up'), 'hex'),
    ]),
    answers: Buffer.concat([
      Buffer.from(hixie76Answer('ws://x/'), 'latin1'),
      Buffer.from(vector.challenge + hixieText('down'), 'hex'),
    ]),
  },
  {
    sends: Buffer.from('GET /plain HTTP/1.1\r\nHost: x\r\n\r\n'),
    answers: Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'),
  },
  {
    sends: Buffer.from(upgradeHead('x'), 'latin1'),
    answers: Buffer.from('HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhello'),
  },
];

test('no socket, timer, session or listener is left behind', { timeout: 120_000 }, async () => {
  const random = seeded(20101122);
  const backendSockets = new Set<Socket>();
  const backend = createServer({ allowHalfOpen: true }, (socket) => {
    backendSockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => backendSockets.delete(socket));
    socket.once('data', (first) => {
      const script =
        scripts.find(({ sends }) => first.subarray(0, 20).equals(sends.subarray(0, 20))) ??
        scripts[random(4)]!;
      cutSomewhere(socket, script.answers, random);
    });
    socket.on('data', () => {});
    // Some backends never close by themselves; they go when the proxy tells them to.
    socket.on('end', () => socket.end());
  });
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void backend.close());

  const clock = new CountingClock();
  const proxy = createProxy(
    {
      ...testedRelay,
      listeners: ['127.0.0.1:0'],
      upstreams: {
        backend: { servers: `http://127.0.0.1:${(backend.address() as AddressInfo).port}`, retries: 0 },
      },
      routes: [
        {
          to: 'backend',
          websocket: { handshakeTimeout: '500ms', halfCloseTimeout: '1s' },
          responseTimeout: '500ms',
        },
      ],
    },
    { deps: { clock } },
  );
  const faults: Error[] = [];
  let finished = 0;
  let opened = 0;
  proxy.on('fault', (error) => faults.push(error));
  proxy.on('session.opened', () => opened++);
  proxy.on('session.closed', () => finished++);
  proxy.on('request.finished', () => finished++);
  await proxy.start();
  onTestFinished(() => proxy.stop({ timeoutMs: 0 }));
  const { port } = proxy.listeners[0]!;
  const before = activeResources();

  let started = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (started++ < CONNECTIONS) await cutConnection(port, random);
    }),
  );

  await eventually(
    () => proxy.sessions.length === 0 && proxy.activeRequests === 0,
    'every session and request ended',
  );
  await eventually(() => clock.pending === 0, 'every timer gone');
  expect(faults).toEqual([]);
  expect(opened).toBeGreaterThan(CONNECTIONS / 20);
  expect(finished).toBeGreaterThan(CONNECTIONS / 2);
  await proxy.stop({ timeoutMs: 0 });
  await eventually(() => backendSockets.size === 0, 'every upstream connection closed');
  await eventually(() => activeResources().sockets <= before.sockets, 'every socket closed');
  await eventually(() => activeResources().descriptors <= before.descriptors, 'every descriptor closed');
});

/** One client: sends its script up to a random byte and leaves in a random way, sometimes after hearing something. */
function cutConnection(port: number, random: (below: number) => number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.on('end', () => socket.end());
    const { sends } = scripts[random(4)]!;
    const whole = random(3) > 0;
    socket.on('connect', () => {
      socket.write(whole ? sends : sends.subarray(0, random(sends.length)));
      if (!whole || random(3) === 0) leave(socket, random);
    });
    if (whole) {
      socket.on('data', () => {
        if (random(2) === 0) socket.write(maskedHello.subarray(0, random(11)));
        leave(socket, random);
      });
    } else {
      socket.resume();
    }
  });
}

function cutSomewhere(socket: Socket, answers: Buffer, random: (below: number) => number): void {
  const whole = random(3) > 0;
  socket.write(whole ? answers : answers.subarray(0, random(answers.length)));
  if (!whole || random(4) === 0) leave(socket, random);
}

function leave(socket: Socket, random: (below: number) => number): void {
  const ways = [() => socket.end(), () => socket.destroy(), () => socket.resetAndDestroy()];
  ways[random(3)]!();
}

function activeResources(): { sockets: number; descriptors: number } {
  const names = process.getActiveResourcesInfo();
  return {
    sockets: names.filter((name) => name === 'TCPSocketWrap').length,
    // A relay engine may hold descriptors that Node knows nothing of.
    descriptors: existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0,
  };
}

/** Park and Miller's generator: the same cuts in every run. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}
