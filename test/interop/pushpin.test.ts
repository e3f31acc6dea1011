/**
 * Pushpin and Tidegate before the same backend, with the same client: what the client sees and what the backend is
 * asked are the same, but where docs/gateway.md ("Differences from Pushpin") says otherwise. Needs Debian's pushpin.
 */
import { createServer, type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { decodeEvents, encodeEvents } from '../../src/protocol/ws-over-http/events.js';
import type { WsEvent } from '../../src/protocol/ws-over-http/types.js';
import { Inbox } from '../fixtures/inbox.js';
import { listening, type Listening } from '../fixtures/listening.js';
import { needCommand } from '../fixtures/need.js';
import { type RunningProxy, startProxy } from '../fixtures/proxy.js';
import { PUSHPIN_START_MS, type Pushpin, startPushpin } from '../fixtures/pushpin.js';

const need = needCommand('pushpin');

/** What one of the two did. */
interface Seen {
  /** `open`, `text …`, `binary …`, `ping …`, `pong …`, `closed CODE REASON`, `refused STATUS BODY`, in order. */
  readonly client: readonly string[];
  /** The bodies of the requests, as they were. */
  readonly backend: readonly string[];
}

interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly events?: readonly WsEvent[];
  readonly body?: string;
}

interface Case {
  /** What the backend answers to an event that is not answered as usual; undefined: as usual. */
  readonly answer?: (event: WsEvent, request: IncomingMessage) => Answer | undefined;
  /** What the client does once it is open. Each waits for what it causes. */
  readonly script?: (end: End) => Promise<void>;
  readonly headers?: Readonly<Record<string, string>>;
  /** On purpose: what each of them is seen to do. Undefined: both the same. */
  readonly differs?: { readonly pushpin: Partial<Seen>; readonly tidegate: Partial<Seen> };
}

interface End {
  readonly socket: WebSocket;
  readonly client: Inbox<string>;
  readonly backend: Inbox<string>;
  publish(format: object): Promise<void>;
  /** Resolves when what is published arrives: Pushpin opens the client before it has subscribed it. */
  subscribed(): Promise<void>;
}

const ARRIVES = 'what is published arrives';

const text = (content: string): WsEvent => ({ type: 'TEXT', content: Buffer.from(content) });
const close = (code: number, reason = ''): WsEvent => {
  const content = Buffer.alloc(2 + Buffer.byteLength(reason));
  content.writeUInt16BE(code);
  content.write(reason, 2);
  return { type: 'CLOSE', content };
};
const isText = (event: WsEvent): boolean => event.type === 'TEXT';
const onText = (answer: Answer) => (event: WsEvent) => (isText(event) ? answer : undefined);
const goodBye = async ({ socket, backend }: End): Promise<void> => {
  socket.close(1000, 'bye');
  await backend.next((body) => body.startsWith('CLOSE'));
};

const cases: Readonly<Record<string, Case>> = {
  'texts and binaries, there and back': {
    script: async (end) => {
      for (const content of ['hello', 'is it a tunnel? ⇄', Buffer.from([0, 255, 16])]) {
        end.socket.send(content);
        await end.client.next((line) => /^(?:text|binary)/.test(line));
      }
      await goodBye(end);
    },
  },
  'what is published, and messages without a prefix': {
    answer: onText({ events: [text('nobody'), text('m:somebody')] }),
    script: async (end) => {
      await end.subscribed();
      await end.publish({ content: 'high water' });
      await end.client.next((line) => line === 'text high water');
      end.socket.send('x');
      await end.client.next((line) => line === 'text somebody');
      await goodBye(end);
    },
  },
  'without GRIP': {
    answer: (event) =>
      event.type === 'OPEN'
        ? { headers: { 'sec-websocket-extensions': '' }, events: [event, text('m:as it is')] }
        : undefined,
    script: async (end) => {
      await end.client.next((line) => line === 'text m:as it is');
      await goodBye(end);
    },
  },
  'what is bound comes back, what is forged does not': {
    headers: { 'Meta-User': 'forged', 'Grip-Sig': 'forged', 'Connection-Id': 'forged' },
    answer: (event, { headers }) => {
      if (event.type === 'OPEN') return { headers: { 'set-meta-user': 'ann' }, events: [event] };
      const { 'meta-user': user, 'connection-id': id } = headers;
      const isForged = id === 'forged' || headers['grip-sig'] === 'forged';
      return isText(event) ? { events: [text(`m:${String(user)}, ${isForged}`)] } : undefined;
    },
    script: async (end) => {
      end.socket.send('who am I?');
      await end.client.next((line) => line === 'text ann, false');
      await goodBye(end);
    },
  },
  'a refusal': {
    answer: () => ({ status: 403, headers: { 'content-type': 'text/plain' }, body: 'not today' }),
  },
  'a Close of the backend': {
    answer: onText({ events: [close(4001, 'log in again')] }),
    script: async ({ socket, client, backend }) => {
      socket.send('x');
      await client.next((line) => line === 'closed 4001 log in again');
      await backend.next((body) => /^(?:CLOSE|DISCONNECT)/.test(body));
    },
  },
  'a Close that the backend does not answer': {
    answer: ({ type }) => (type === 'CLOSE' ? { events: [] } : undefined),
    script: goodBye,
    differs: {
      pushpin: { client: ['open', 'closed 1006 '] },
      tidegate: { client: ['open', 'closed 1000 bye'] },
    },
  },
  'a backend that fails': {
    answer: onText({ status: 500 }),
    script: async ({ socket }) => socket.send('x'),
    differs: {
      pushpin: { client: ['open', 'closed 1006 '] },
      tidegate: { client: ['open', 'closed 1011 '] },
    },
  },
  'a Close with a code that may not be sent': {
    answer: onText({ events: [close(0)] }),
    script: async ({ socket }) => socket.send('x'),
    differs: {
      pushpin: { client: ['open', 'closed 1006 '] },
      tidegate: { client: ['open', 'closed 1000 '] },
    },
  },
  'a content type with a parameter': {
    answer: (event) =>
      event.type === 'OPEN'
        ? { headers: { 'content-type': 'application/websocket-events; charset=utf-8' }, events: [event] }
        : undefined,
    script: goodBye,
    differs: {
      pushpin: { client: ['refused 200 OPEN\r\n'] },
      tidegate: { client: ['open', 'closed 1000 bye'] },
    },
  },
  'a Close that is published': {
    script: async ({ publish, subscribed, backend }) => {
      await subscribed();
      await publish({ action: 'close', code: 4002, reason: 'over' });
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
  'an empty text': {
    answer: onText({ events: [text('m:')] }),
    script: async (end) => {
      end.socket.send('');
      await end.client.next((line) => line === 'text ');
      await goodBye(end);
    },
    differs: {
      pushpin: { backend: ['OPEN', 'TEXT', 'CLOSE 5\r\n\u0003\u00e8bye'] },
      tidegate: { backend: ['OPEN', 'TEXT 0', 'CLOSE 5\r\n\u0003\u00e8bye'] },
    },
  },
  'a ping': {
    answer: ({ type }) =>
      type === 'PING' ? { events: [{ type: 'PONG', content: Buffer.from('k') }] } : undefined,
    script: async (end) => {
      end.socket.ping('k');
      await end.client.next((line) => line === 'pong k');
      await goodBye(end);
    },
    differs: {
      pushpin: { backend: ['OPEN', 'PING 1\r\nk', 'CLOSE 5\r\n\u0003\u00e8bye'] },
      tidegate: { backend: ['OPEN', 'CLOSE 5\r\n\u0003\u00e8bye'] },
    },
  },
};

describe.skipIf(need.missing)(`beside Pushpin${need.note}`, () => {
  let backend: Listening;
  let pushpin: Pushpin;
  let tidegate: RunningProxy;
  /** Requests of the run at hand: its name is the query. */
  const runs = new Map<string, { readonly it: Case; readonly requests: Inbox<string> }>();

  beforeAll(async () => {
    backend = await listening(
      createServer((req, res) => {
        void buffer(req).then((body) => {
          const query = new URL(req.url!, 'http://x').search;
          const { it, requests } = runs.get(query)!;
          const { events = [] } = decodeEvents(body);
          const answers = events.map((event) => it.answer?.(event, req) ?? usually(event, query));
          const { status = 200, headers, body: refusal } = Object.assign({}, ...answers) as Answer;
          res.writeHead(status, {
            'content-type': 'application/websocket-events',
            'sec-websocket-extensions': 'grip',
            ...headers,
          });
          res.end(refusal ?? encodeEvents(answers.flatMap(({ events }) => events ?? [])));
          requests.push(body.toString('latin1').trimEnd());
        });
      }),
    );
    tidegate = await startProxy({
      listeners: ['127.0.0.1:0'],
      routes: [{ gateway: { to: backend.url, grip: { key: 'changeme' } } }],
      publish: '127.0.0.1:0',
    });
    pushpin = await startPushpin(need.path!, backend.port);
  }, PUSHPIN_START_MS);
  afterAll(async () => {
    await pushpin?.stop();
    await tidegate?.stop();
    await backend?.stop();
  });

  test.each(Object.entries(cases))('%s', async (name, it) => {
    const { port } = tidegate.proxy.publish as { port: number };
    const ours = await run(`?t-${encodeURIComponent(name)}`, it, tidegate.port, port);
    const theirs = await run(`?p-${encodeURIComponent(name)}`, it, pushpin.port, pushpin.publishPort);
    if (it.differs === undefined) {
      expect(ours).toEqual(theirs);
    } else {
      expect({ pushpin: theirs, tidegate: ours }).toMatchObject(it.differs);
    }
  });

  async function run(query: string, it: Case, port: number, publishPort: number): Promise<Seen> {
    const requests = new Inbox<string>('requests');
    runs.set(query, { it, requests });
    const client = new Inbox<string>('the client');
    const socket = new WebSocket(`ws://127.0.0.1:${port}/chat${query}`, { headers: it.headers ?? {} });
    const ended = new Promise<void>((resolve) => {
      socket.on('error', () => {});
      socket.on('open', () => client.push('open'));
      socket.on('message', (data: Buffer, isBinary) =>
        client.push(isBinary ? `binary ${data.toString('hex')}` : `text ${data.toString()}`),
      );
      socket.on('pong', (data) => client.push(`pong ${data.toString()}`));
      socket.on('close', (code, reason) => {
        client.push(`closed ${code} ${reason.toString()}`);
        client.end('closed');
        resolve();
      });
      socket.on('unexpected-response', (_, response) => {
        void buffer(response).then((body) => {
          client.push(`refused ${response.statusCode} ${body.toString()}`);
          resolve();
        });
      });
    });
    const first = await client.next();
    const publish = async (format: object, more: object = {}): Promise<void> => {
      const items = [{ channel: query, formats: { 'ws-message': format }, ...more }];
      const url = `http://127.0.0.1:${publishPort}/publish/`;
      const response = await fetch(url, { method: 'POST', body: JSON.stringify({ items }) });
      expect(response.status).toBe(200);
    };
    const subscribed = async (): Promise<void> => {
      const arrival = client.next((line) => line === `text ${ARRIVES}`);
      // With one id, so that only the first that somebody gets is given to anybody.
      do await publish({ content: ARRIVES }, { id: 'arrives' });
      while ((await Promise.race([arrival, sleep(20, 'not yet')])) === 'not yet');
    };
    if (first === 'open') await it.script?.({ socket, client, backend: requests, publish, subscribed });
    await ended;
    return { client: client.all, backend: requests.all.filter(isOfTheScript) };
  }
});

/** What comes once the client has gone is not awaited, and so not compared. */
const isOfTheScript = (body: string): boolean => body !== '';

/** Opens, on a channel of its own; echoes. */
function usually(event: WsEvent, channel: string): Answer {
  if (event.type === 'OPEN') {
    return { events: [event, text(`c:${JSON.stringify({ type: 'subscribe', channel })}`)] };
  }
  if (event.type === 'TEXT' || event.type === 'BINARY') {
    return { events: [{ ...event, content: Buffer.concat([Buffer.from('m:'), event.content]) }] };
  }
  return { events: event.type === 'CLOSE' ? [event] : [] };
}
