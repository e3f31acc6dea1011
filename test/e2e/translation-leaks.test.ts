/** Thousands of translated sessions, each broken off in its own way: nothing may be left of them. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { challengeResponse, keyNumber } from '../../src/protocol/handshake/hixie.js';
import { acceptFor } from '../../src/protocol/handshake/hybi.js';
import { writeClose, writeFrame, writeHixieClose, writeHixieText } from '../../src/protocol/frames/writer.js';
import { createProxy } from '../../src/server/proxy.js';
import { CountingClock } from '../fixtures/counting-clock.js';
import { hixie76Answer, hixie76Head, hixieVectors } from '../fixtures/hixie.js';
import { eventually } from '../fixtures/raw-peer.js';
import { headOf, upgradeHead } from '../fixtures/rfc6455.js';

const CONNECTIONS = 2000;
const AT_ONCE = 40;
const vector = hixieVectors[0]!;
const mask = Buffer.alloc(4);

/** What a side says in its own words: texts, half a text, a goodbye, and what cannot be translated. */
const words = {
  hixie: [
    writeHixieText('hello'),
    Buffer.from('0061', 'hex'),
    writeHixieClose(),
    Buffer.from('00c3ff', 'hex'),
  ],
  client: [
    writeFrame({ opcode: 1, payload: 'hello', mask }),
    writeFrame({ opcode: 9, payload: '?', mask }),
    writeFrame({ opcode: 1, payload: 'half', mask }).subarray(0, 8),
    writeClose(1000, '', mask),
    writeFrame({ opcode: 2, payload: 'b', mask }),
  ],
  upstream: [
    writeFrame({ opcode: 1, payload: 'hello' }),
    writeFrame({ opcode: 9, payload: '?' }),
    writeClose(1000),
    writeFrame({ opcode: 2, payload: 'b' }),
  ],
};

type Random = (below: number) => number;

test('no socket, timer, session or listener is left behind', { timeout: 120_000 }, async () => {
  const random = seeded(20101123);
  const backendSockets = new Set<Socket>();
  const backend = createServer({ allowHalfOpen: true }, (socket) => {
    backendSockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => backendSockets.delete(socket));
    socket.once('data', (first) => answer(socket, first, random));
    socket.on('end', () => socket.end());
  });
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void backend.close());

  const to = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`;
  const times = { handshakeTimeout: '500ms', halfCloseTimeout: '1s', closeTimeout: '1s' };
  const clock = new CountingClock();
  const proxy = createProxy(
    {
      listeners: ['127.0.0.1:0'],
      routes: [
        { match: { path: '/chat' }, to, websocket: { upstreamGeneration: 'hixie-76', ...times } },
        { to, websocket: { upstreamGeneration: 'rfc6455', ...times } },
      ],
    },
    { deps: { clock } },
  );
  const faults: Error[] = [];
  const outcomes = new Map<string, number>();
  proxy.on('fault', (error) => faults.push(error));
  proxy.on('session.closed', ({ outcome = '' }) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1));
  await proxy.start();
  onTestFinished(() => proxy.stop({ timeoutMs: 0 }));
  const { port } = proxy.listeners[0]!;
  const before = openSockets();

  let started = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (started++ < CONNECTIONS) await breakOff(port, random);
    }),
  );
  await eventually(() => proxy.sessions.length === 0 && proxy.activeRequests === 0, 'every session ended');
  await eventually(() => clock.pending === 0, 'every timer gone');
  expect(faults).toEqual([]);
  const sum = [...outcomes.values()].reduce((one, other) => one + other, 0);
  // That there was something to leave behind. How many got so far depends on how busy the machine is.
  expect(sum).toBeGreaterThan(CONNECTIONS / 4);
  const usual = ['client-closed', 'upstream-closed', 'client-lost', 'failed(TRANSLATION_BINARY)'];
  expect(usual.filter((outcome) => (outcomes.get(outcome) ?? 0) > 10)).toEqual(usual);
  await proxy.stop({ timeoutMs: 0 });
  await eventually(() => backendSockets.size === 0, 'every upstream connection closed');
  await eventually(() => openSockets() <= before, 'every socket closed');
});

/** A client of one generation: its handshake, some words, and it leaves in some way. */
function breakOff(port: number, random: Random): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.on('end', () => socket.end());
    const isOld = random(2) === 0;
    const head = isOld
      ? Buffer.concat([Buffer.from(hixie76Head(vector, 'x')), Buffer.from(vector.key3, 'hex')])
      : Buffer.from(upgradeHead('x'));
    socket.on('connect', () => socket.write(head));
    socket.once('data', () => talk(socket, isOld ? words.hixie : words.client, random));
  });
}

/** A server that proves whatever handshake it is offered, talks, and leaves in some way. */
function answer(socket: Socket, first: Buffer, random: Random): void {
  const text = first.toString('latin1');
  const field = (name: string): string | undefined => new RegExp(`${name}: (.*)\r\n`, 'i').exec(text)?.[1];
  const key = field('Sec-WebSocket-Key');
  if (key !== undefined) {
    const accept = `Sec-WebSocket-Accept: ${acceptFor(key)}`;
    socket.write(headOf('HTTP/1.1 101 Yes', 'Upgrade: websocket', 'Connection: Upgrade', accept));
  } else {
    const [one, two] = ['1', '2'].map((at) => keyNumber(field(`Sec-WebSocket-Key${at}`)!) as number);
    const challenge = challengeResponse(one!, two!, first.subarray(-8));
    socket.write(Buffer.concat([Buffer.from(hixie76Answer('ws://x/')), challenge]));
  }
  talk(socket, key === undefined ? words.hixie : words.upstream, random);
}

function talk(socket: Socket, said: readonly Buffer[], random: Random): void {
  socket.resume();
  for (let left = random(3); left > 0; left--) socket.write(said[random(said.length)]!);
  const ways = [() => socket.end(), () => socket.destroy(), () => socket.resetAndDestroy()];
  // Clients go; servers go, or stay until they are told to.
  if (said !== words.upstream || random(2) === 0) setImmediate(ways[random(3)]!);
}

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
}

/** Park and Miller's generator. */
function seeded(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}
