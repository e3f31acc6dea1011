/** Beside Pushpin: refusals, Closes, and backends that fail, break the protocol or are away. */
import { request as httpRequest } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import {
  type Answer,
  ARRIVES,
  BYE,
  close,
  goodBye,
  had,
  isText,
  onText,
  text,
  webSocketsBesidePushpin,
  type WsCase,
  type WsEnd,
} from '../../fixtures/beside-pushpin-ws.js';

const onOpening =
  (answer: Answer): WsCase['answer'] =>
  (event) =>
    event.type === 'OPEN' ? answer : undefined;
const says =
  (message: string) =>
  async ({ socket }: WsEnd): Promise<void> =>
    socket.send(message);
/** Pushpin tears the connection; Tidegate says why. */
const tornOr1011 = {
  pushpin: { client: ['open', 'closed 1006 '] },
  tidegate: { client: ['open', 'closed 1011 '] },
};
const refused = (status: number): string =>
  expect.stringMatching(new RegExp(`^refused ${status} `)) as string;
const refusedByBoth = { pushpin: { client: [refused(502)] }, tidegate: { client: [refused(502)] } };

const cases: Readonly<Record<string, WsCase>> = {
  'a refusal': {
    answer: () => ({ status: 403, headers: { 'content-type': 'text/plain' }, body: 'not today' }),
  },
  'a refusal by a failure': {
    answer: () => ({ status: 500, headers: { 'content-type': 'text/plain' }, body: 'broken' }),
  },
  'a redirection': {
    answer: () => ({ status: 302, headers: { 'content-type': 'text/plain', location: '/x' }, body: 'there' }),
  },
  'a handshake answered by nothing': { answer: onOpening({ events: [] }), differs: refusedByBoth },
  'a handshake answered by a message': {
    answer: onOpening({ events: [text('m:x')] }),
    differs: refusedByBoth,
  },
  'a handshake answered by what are no events': {
    answer: onOpening({ body: 'OPEN x\r\n' }),
    differs: refusedByBoth,
  },
  'a handshake taken and closed at once': {
    answer: onOpening({ events: [{ type: 'OPEN' }, close(4003, 'no')] }),
    script: ({ backend }) => backend.next((body) => body.startsWith('CLOSE')),
  },

  'a Close of the backend': {
    answer: onText({ events: [close(4001, 'log in again'), text('m:too late')] }),
    script: async (end) => {
      end.socket.send('x');
      await had('closed 4001 log in again')(end);
      await end.backend.next((body) => /^(?:CLOSE|DISCONNECT)/.test(body));
    },
  },
  'a Close of the backend without a code': {
    answer: onText({ body: 'CLOSE\r\n' }),
    script: async (end) => {
      end.socket.send('x');
      await had('closed 1000 ')(end);
      await end.backend.next((body) => /^(?:CLOSE|DISCONNECT)/.test(body));
    },
  },
  'a Close of the client without a code': {
    script: async ({ socket, backend }) => {
      socket.close();
      await backend.next((body) => body.startsWith('CLOSE'));
    },
  },
  'a Close of the client answered with another code': {
    answer: ({ type }) => (type === 'CLOSE' ? { events: [close(4009, 'other')] } : undefined),
    script: goodBye,
  },
  'a Close that the backend does not answer': {
    answer: ({ type }) => (type === 'CLOSE' ? { events: [] } : undefined),
    script: goodBye,
    differs: {
      pushpin: { client: ['open', 'closed 1006 '] },
      tidegate: { client: ['open', 'closed 1000 bye'] },
    },
  },
  'a Close with a code that may not be sent': {
    answer: onText({ events: [close(0)] }),
    script: says('x'),
    differs: {
      pushpin: { client: ['open', 'Invalid WebSocket frame: invalid status code 0', 'closed 1006 '] },
      tidegate: { client: ['open', 'closed 1000 '] },
    },
  },
  'a Close that is published': {
    script: async ({ say, subscribed, backend }) => {
      await subscribed();
      await say({ action: 'close', code: 4002, reason: 'over' });
      await backend.next((body) => body.startsWith('CLOSE'));
    },
    differs: {
      pushpin: { client: ['open', `text ${ARRIVES}`, 'closed 4002 over'], backend: ['OPEN', 'CLOSE'] },
      tidegate: {
        client: ['open', `text ${ARRIVES}`, 'closed 4002 over'],
        backend: ['OPEN', 'CLOSE 6\r\n\u000f\u00a2over'],
      },
    },
  },
  'a client that is gone': {
    script: async ({ socket, backend }) => {
      socket.terminate();
      await backend.next((body) => body === 'DISCONNECT');
    },
  },
  'a backend that does not know the client': {
    answer: onText({ body: 'DISCONNECT\r\n' }),
    script: says('x'),
    differs: tornOr1011,
  },

  'a backend that fails': { answer: onText({ status: 500 }), script: says('x'), differs: tornOr1011 },
  'a backend that answers something else': {
    answer: onText({ headers: { 'content-type': 'text/html' }, body: '<p>' }),
    script: says('x'),
    differs: tornOr1011,
  },
  'a length that is none': { answer: onText({ body: 'TEXT x\r\n' }), script: says('x'), differs: tornOr1011 },
  'OPEN for a second time': { answer: onText({ body: 'OPEN\r\n' }), script: says('x'), differs: tornOr1011 },
  'an answer of more than a megabyte': {
    answer: onText({ body: Buffer.alloc(1_100_000, 'TEXT 2\r\nm:\r\n') }),
    script: says('x'),
    differs: tornOr1011,
  },
  'events that are cut short': {
    answer: (event) =>
      isText(event)
        ? event.content.toString() === 'x'
          ? { body: 'TEXT 8\r\nm:half' }
          : undefined
        : undefined,
    script: async (end) => {
      end.socket.send('x');
      const line = await end.client.next();
      if (line === 'text half') await goodBye(end);
    },
    differs: {
      pushpin: { client: ['open', 'text half', 'closed 1000 bye'] },
      tidegate: { client: ['open', 'closed 1011 '] },
    },
  },
  'content without its end of a line': {
    answer: onText({ body: 'TEXT 4\r\nm:ok!!TEXT 3\r\nm:2\r\n' }),
    script: async (end) => {
      end.socket.send('x');
      if ((await end.client.next()) !== 'text ok') return;
      await had('text 2')(end);
      await goodBye(end);
    },
    differs: {
      pushpin: { client: ['open', 'text ok', 'text 2', 'closed 1000 bye'] },
      tidegate: { client: ['open', 'closed 1011 '] },
    },
  },

  'a backend that is away for a while': {
    script: async (end) => {
      await end.withoutBackend(async () => {
        end.socket.send('one');
        end.socket.send('two');
        // Long enough for the first attempt to fail; the next comes after a second at the earliest.
        await sleep(300);
      });
      await had('text one')(end);
      await had('text two')(end);
      await goodBye(end);
      const together = end.backend.all.splice(0).join('\r\n');
      end.backend.all.push(together);
    },
  },
  ...Object.fromEntries([502, 503, 504].map((status) => [`${status} for once`, failsOnceWith(status)])),
  'events that a client sends itself': {
    script: async (end) => {
      const headers = { 'content-type': 'application/websocket-events', 'connection-id': 'x' };
      const { port } = end.door;
      const req = httpRequest({
        port,
        host: '127.0.0.1',
        method: 'POST',
        path: `/x${end.channel}`,
        headers,
        agent: false,
      });
      const answered = new Promise<string>((resolve, reject) => {
        req.once('error', reject);
        req.once('response', (res) => void buffer(res).then(() => resolve(`POST ${res.statusCode}`), reject));
      });
      req.end('OPEN\r\n');
      end.client.push(await answered);
      await goodBye(end);
    },
  },
};

/** The second of two requests that are the same is answered, with what tells that they are. */
function failsOnceWith(status: number): WsCase {
  const failed = new Map<string, string>();
  return {
    answer: (event, { headers }) => {
      const id = String(headers['connection-id']);
      const number = String(headers['tidegate-request-seq']);
      if (!isText(event)) return undefined;
      const before = failed.get(id);
      failed.set(id, number);
      return before === undefined ? { status } : { events: [text(`m:${before}, and again ${number}`)] };
    },
    script: async (end) => {
      end.socket.send('x');
      if ((await end.client.next()).startsWith('text')) await goodBye(end);
    },
    differs: {
      pushpin: { client: ['open', 'closed 1006 '] },
      tidegate: {
        client: ['open', 'text 2, and again 2', 'closed 1000 bye'],
        backend: ['OPEN', 'TEXT 1\r\nx', 'TEXT 1\r\nx', BYE],
      },
    },
  };
}

webSocketsBesidePushpin('refusals, Closes and failures', cases);
