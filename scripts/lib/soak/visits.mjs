/** What the clients of the soak do: one visit is one connection, from its first byte to its end. */

import { setTimeout as pause } from 'node:timers/promises';
import { hixie76, rfc6455 } from './dialects.mjs';
import { httpVisit } from './http-visit.mjs';
import { Wire } from './wire.mjs';

const kinds = { rfc6455: 45, 'hixie-76': 25, http: 30 };
const dialects = { rfc6455, 'hixie-76': hixie76 };

/** How a visit ends, and how often. */
const endings = {
  close: 20,
  fin: 12,
  reset: 12,
  'fin in the handshake': 6,
  'reset in the handshake': 6,
  'reset before the answer': 6,
  'fin in a frame': 6,
  'reset in a frame': 8,
  'reset with echoes unread': 8,
  'close by upstream': 6,
  'fin by upstream': 6,
  'reset by upstream': 6,
  'refused by upstream': 4,
  'no answer from upstream': 4,
  'false answer from upstream': 4,
};

/** The status a spoilt handshake must come to, and the backend's part in it. */
const spoilt = {
  'refused by upstream': { query: 'answer=refuse', status: 403 },
  'no answer from upstream': { query: 'answer=vanish', status: 502 },
  'false answer from upstream': { query: 'answer=false', status: 502 },
};

const upstreamEndings = {
  'close by upstream': 'close',
  'fin by upstream': 'fin',
  'reset by upstream': 'reset',
};

/** Draws a visit: `{ name, run }`, where `run` rejects when something was other than it should be. */
export function drawVisit(port, random) {
  const kind = random.weighted(kinds);
  if (kind === 'http') return httpVisit(port, random);
  const ending = random.weighted(endings);
  return {
    name: `${kind}: ${ending}`,
    run: () => webSocketVisit(port, dialects[kind](random), ending, random),
  };
}

async function webSocketVisit(port, dialect, ending, random) {
  const wire = new Wire(port, loopback(random));
  try {
    if (ending.endsWith('the handshake')) return await cutHandshake(wire, dialect, ending, random);
    if (spoilt[ending]) return await meetRefusal(wire, dialect, spoilt[ending]);

    const rounds = random.between(1, 12);
    wire.write(dialect.hello(`/echo?end=${upstreamEndings[ending] ?? 'none'}&after=${rounds}`));
    if (ending === 'reset before the answer') {
      await nap(random);
      return await wire.reset();
    }
    const status = await dialect.readAnswer(wire);
    if (status !== 101) throw new Error(`the answer was ${status}`);
    await talk(wire, dialect, rounds, upstreamEndings[ending], random);
    return await part(wire, dialect, ending, random);
  } finally {
    await wire.reset();
  }
}

/** Some of the head and then nothing more. */
async function cutHandshake(wire, dialect, ending, random) {
  const hello = dialect.hello('/echo');
  wire.write(hello.subarray(0, random.between(0, hello.length - 1)));
  await nap(random);
  await (ending.startsWith('fin') ? wire.end() : wire.reset());
}

async function meetRefusal(wire, dialect, { query, status }) {
  wire.write(dialect.hello(`/echo?${query}`));
  const answer = await dialect.readAnswer(wire);
  if (answer !== status) throw new Error(`the answer was ${answer}, not ${status}`);
  await wire.end();
}

/** Rounds of messages, each answered by its echo. In the last of them the upstream may end it all. */
async function talk(wire, dialect, rounds, upstreamEnding, random) {
  for (let round = 1; round <= rounds; round++) {
    const text = `${round} `.padEnd(random.chance(0.05) ? 20_000 : random.between(2, 400), 'soak ');
    wire.write(dialect.message(text));
    if (round === rounds && upstreamEnding === 'reset') return;
    const echo = await dialect.readMessage(wire);
    if (echo !== text) throw new Error(`a wrong echo: ${echo.length} characters for ${text.length}`);
    if (random.chance(0.5)) await nap(random);
  }
}

async function part(wire, dialect, ending, random) {
  switch (ending) {
    case 'close':
      wire.write(dialect.close());
      await dialect.readClose(wire);
      await wire.drain();
      return wire.end();
    case 'fin':
      return wire.end();
    case 'reset':
      return wire.reset();
    case 'fin in a frame':
    case 'reset in a frame': {
      const frame = dialect.message('cut short '.repeat(random.between(1, 2_000)));
      wire.write(frame.subarray(0, random.between(1, frame.length - 1)));
      await nap(random);
      return ending.startsWith('fin') ? wire.end() : wire.reset();
    }
    case 'reset with echoes unread':
      wire.pause();
      for (let i = 0; i < 20; i++) wire.write(dialect.message('unread '.repeat(2_000)));
      await nap(random);
      return wire.reset();
    case 'close by upstream':
      await dialect.readClose(wire);
      wire.write(dialect.close());
      return wire.end();
    default:
      // The upstream has cut it: the end must come to us too.
      await wire.drain();
      return wire.end();
  }
}

const nap = (random) => pause(random.between(0, 40));

/** On Linux all of 127.0.0.0/8 is this machine; many addresses mean that ports never run out. */
function loopback(random) {
  return process.platform === 'linux' ? `127.0.0.${random.between(1, 200)}` : '127.0.0.1';
}
