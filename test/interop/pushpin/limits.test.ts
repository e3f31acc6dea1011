/** Beside Pushpin: large messages, many channels, clients that do not keep up. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import {
  ARRIVES,
  goodBye,
  had,
  isText,
  onOpen,
  onText,
  order,
  text,
  webSocketsBesidePushpin,
  type WsCase,
  type WsEnd,
} from '../../fixtures/beside-pushpin-ws.js';

const countBytes: WsCase['answer'] = (event) =>
  isText(event) ? { events: [text(`m:${event.content.length} bytes`)] } : undefined;
const CLOSED = 'closed 1000 bye';
const MAX_MESSAGE_BYTES = 1024 * 1024;

const cases: Readonly<Record<string, WsCase>> = {
  'a message of 250 kB': {
    answer: countBytes,
    script: async (end) => {
      end.socket.send('x'.repeat(250_000));
      if ((await end.client.next()) === 'text 250000 bytes') await goodBye(end);
    },
    differs: {
      pushpin: { client: ['open', 'closed 1006 '] },
      tidegate: { client: ['open', 'text 250000 bytes', CLOSED] },
    },
  },
  'the largest message, and one more byte': {
    answer: countBytes,
    script: async (end) => {
      end.socket.send('x'.repeat(MAX_MESSAGE_BYTES));
      if (!(await end.client.next()).startsWith('text')) return;
      end.socket.send('x'.repeat(MAX_MESSAGE_BYTES + 1));
    },
    differs: {
      pushpin: { client: ['open', 'closed 1006 '] },
      tidegate: {
        client: ['open', `text ${MAX_MESSAGE_BYTES} bytes`, expect.stringMatching(/^closed 1009 /)],
      },
    },
  },
  'a large message for the client': {
    answer: onText({ events: [text(`m:${'x'.repeat(40_000)}`)] }),
    script: async (end) => {
      end.socket.send('x');
      await had('long 40000')(end);
      end.client.push(end.frames.length === 1 ? 'whole' : `in pieces of up to ${Math.max(...end.frames)}`);
      await goodBye(end);
    },
    differs: {
      pushpin: { client: ['open', 'long 40000', 'in pieces of up to 16384', CLOSED] },
      tidegate: { client: ['open', 'long 40000', 'whole', CLOSED] },
    },
  },
  'a large message that is published': {
    script: async (end) => {
      await end.subscribed();
      await end.say({ content: 'x'.repeat(100_000) });
      await had('long 100000')(end);
      end.client.push(end.frames.filter((bytes) => bytes > 1000).length === 1 ? 'whole' : 'in pieces');
      await goodBye(end);
    },
    differs: {
      pushpin: { client: ['open', `text ${ARRIVES}`, 'long 100000', 'in pieces', CLOSED] },
      tidegate: { client: ['open', `text ${ARRIVES}`, 'long 100000', 'whole', CLOSED] },
    },
  },
  '20 channels': channels(20, [0, 19]),
  '101 channels': {
    ...channels(101, [0, 19, 20, 99, 100]),
    differs: {
      pushpin: { client: ['open', `text ${ARRIVES}`, 'text to 0', 'text to 19', 'text the end', CLOSED] },
      tidegate: {
        client: [
          'open',
          `text ${ARRIVES}`,
          ...[0, 19, 20, 99].map((at) => `text to ${at}`),
          'text the end',
          CLOSED,
        ],
      },
    },
  },
  'a client that takes nothing for a while': {
    script: pausedClient,
    differs: {
      pushpin: { client: ['open', `text ${ARRIVES}`, 'some are lost', 'text the end', CLOSED] },
      tidegate: {
        client: ['open', `text ${ARRIVES}`, 'some are lost', expect.stringMatching(/^closed 1013 /)],
      },
    },
  },
};

/** Subscribes to so many, and says something to some of them. */
function channels(count: number, spokenTo: readonly number[]): WsCase {
  return {
    answer: (event, request) => {
      const { search } = new URL(request.url!, 'http://x');
      const names = Array.from({ length: count }, (_, at) => `${search}-${at}`);
      return onOpen(...names.map((channel) => order({ type: 'subscribe', channel })))(event);
    },
    script: async (end) => {
      // In order: who is in the first twenty is in them all.
      await end.subscribed(`${end.channel}-19`);
      for (const at of spokenTo) await end.say({ content: `to ${at}` }, { channel: `${end.channel}-${at}` });
      await end.say({ content: 'the end' }, { channel: `${end.channel}-0` });
      await had('text the end')(end);
      await goodBye(end);
    },
  };
}

const ROUNDS = 16;
const ITEMS = 8;

/** 12.8 MB in all are more than the kernel’s buffers and the two take together. */
async function pausedClient(
  end: WsEnd,
  whenStillOpen: () => Promise<unknown> = () => Promise.resolve(),
): Promise<void> {
  await end.subscribed();
  end.socket.pause();
  const item = { channel: end.channel, formats: { 'ws-message': { content: 'x'.repeat(100_000) } } };
  const items = Array.from({ length: ITEMS }, () => item);
  for (let round = 0; round < ROUNDS; round++) await end.publish(items);
  end.socket.resume();
  const outcome = end.client.next((line) => !line.startsWith('long'));
  // Again and again: it is lost as long as there is no room for it.
  do await end.say({ content: 'the end' });
  while ((await Promise.race([outcome, sleep(100, 'not yet')])) === 'not yet');
  if ((await outcome) === 'text the end') {
    await whenStillOpen();
    await goodBye(end);
  }
  const { all } = end.client;
  const arrived = all.filter((line) => line.startsWith('long')).length;
  const others = all.filter((line) => !line.startsWith('long'));
  all.splice(0, all.length, ...others.slice(0, 2), arrived < ROUNDS * ITEMS ? 'some are lost' : 'all came');
  all.push(...new Set(others.slice(2)));
}

/** What the one session that there is has lost, as `/v1/sessions` has it. */
async function lostBySessions({ door }: WsEnd): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${door.publishPort}/v1/sessions`);
  if (!response.ok) return `no /v1/: ${response.status}`;
  const { sessions } = (await response.json()) as { sessions: { dropped: number }[] };
  return sessions.length === 1 && sessions[0]!.dropped > 0 ? 'counted' : JSON.stringify(sessions);
}

webSocketsBesidePushpin('limits', cases);
webSocketsBesidePushpin(
  'a client that may lose messages',
  {
    'is told nothing; Tidegate counts': {
      script: (end) => pausedClient(end, async () => end.client.push(await lostBySessions(end))),
      differs: {
        pushpin: {
          client: ['open', `text ${ARRIVES}`, 'some are lost', 'text the end', 'no /v1/: 404', CLOSED],
        },
        tidegate: {
          client: ['open', `text ${ARRIVES}`, 'some are lost', 'text the end', 'counted', CLOSED],
        },
      },
    },
  },
  { gateway: { slowConsumer: { policy: 'drop-oldest' } } },
);
