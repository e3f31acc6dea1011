/**
 * Pushpin and Tidegate before the same backend, with the same client: what the client sees and what the backend is
 * asked are the same, but where docs/gateway.md ("Differences from Pushpin") says otherwise. Needs Debian's pushpin.
 *
 * Here: messages both ways, and what a backend orders.
 */
import type { IncomingMessage } from 'node:http';
import type { WsEvent } from '../../../src/protocol/ws-over-http/types.js';
import {
  BYE,
  goodBye,
  had,
  isText,
  onOpen,
  onText,
  order,
  text,
  webSocketsBesidePushpin,
  type WsCase,
} from '../../fixtures/beside-pushpin-ws.js';

const CLOSED = 'closed 1000 bye';

const cases: Readonly<Record<string, WsCase>> = {
  'texts and binaries, there and back': {
    script: async (end) => {
      for (const content of ['hello', 'is it a tunnel? ⇄', Buffer.from([0, 255, 16])]) {
        end.socket.send(content);
        await end.client.next((line) => /^(?:text|binary)/.test(line));
      }
      await goodBye(end);
    },
  },
  'a message in fragments': {
    script: async (end) => {
      end.socket.send('one ', { fin: false });
      end.socket.send('and two', { fin: true });
      await had('text one and two')(end);
      await goodBye(end);
    },
  },
  'a message of 150 kB': {
    answer: (event) => (isText(event) ? { events: [text(`m:${event.content.length}`)] } : undefined),
    script: async (end) => {
      end.socket.send('x'.repeat(150_000));
      await had('text 150000')(end);
      await goodBye(end);
    },
  },
  'what is published, and messages without a prefix': {
    answer: onText({ events: [text('nobody'), text('m:somebody')] }),
    script: async (end) => {
      await end.subscribed();
      await end.say({ content: 'high water' });
      await had('text high water')(end);
      await end.say({ 'content-bin': 'AP8Q' });
      await had('binary 00ff10')(end);
      await end.say({ 'content-bin': 'aGk=', type: 'text' });
      await had('text hi')(end);
      end.socket.send('x');
      await had('text somebody')(end);
      await goodBye(end);
    },
  },
  'messages without a prefix, in the log': {
    answer: onText({ events: [text('nobody'), text('m:somebody')] }),
    script: async (end) => {
      end.socket.send('x');
      await had('text somebody')(end);
      end.client.push(end.door.warnings().some((line) => line.includes('prefix')) ? 'logged' : 'not logged');
      await goodBye(end);
    },
    differs: {
      pushpin: { client: ['open', 'text somebody', 'not logged', CLOSED] },
      tidegate: { client: ['open', 'text somebody', 'logged', CLOSED] },
    },
  },
  'without GRIP': {
    answer: (event) =>
      event.type === 'OPEN'
        ? { headers: { 'sec-websocket-extensions': '' }, events: [event, text('m:as it is'), text('c:{}')] }
        : undefined,
    script: async (end) => {
      await had('text m:as it is')(end);
      await had('text c:{}')(end);
      await goodBye(end);
    },
  },
  'another prefix': {
    answer: (event) => {
      const headers = { 'sec-websocket-extensions': 'grip; message-prefix="to-client:"' };
      if (event.type === 'OPEN') return { headers, events: [event, text('m:dropped'), text('to-client:1')] };
      return isText(event) ? { events: [text('to-client:2')] } : undefined;
    },
    script: async (end) => {
      await had('text 1')(end);
      end.socket.send('x');
      await had('text 2')(end);
      await goodBye(end);
    },
  },
  'no prefix': {
    answer: (event) => {
      const headers = { 'sec-websocket-extensions': 'grip; message-prefix=""' };
      if (event.type === 'OPEN') return { headers, events: [event, text('m:whole'), text('c:{}')] };
      return isText(event) ? { events: [text('2')] } : undefined;
    },
    script: async (end) => {
      await had('text m:whole')(end);
      end.socket.send('x');
      await had('text 2')(end);
      await goodBye(end);
    },
  },
  'events spelt otherwise': {
    answer: (event) =>
      isText(event)
        ? { body: 'TEXT 0A\r\nm:89abcdef\r\nSURPRISE 3\r\nabc\r\nHELLO\r\nTEXT 04\r\nm:ok\r\n' }
        : event.type === 'OPEN'
          ? { body: 'OPEN 0\r\n\r\nTEXT 4\r\nm:in\r\n' }
          : undefined,
    script: async (end) => {
      await had('text in')(end);
      end.socket.send('x');
      await had('text 89abcdef')(end);
      await had('text ok')(end);
      await goodBye(end);
    },
  },
  'events in one answer, very many of them': {
    answer: onText({ events: Array.from({ length: 2000 }, (_, at) => text(`m:${at}`)) }),
    script: async (end) => {
      end.socket.send('x');
      await had('text 1999')(end);
      await goodBye(end);
    },
  },
  'the order of subscribing and unsubscribing': {
    answer: (event) =>
      isText(event) ? { events: [text(event.content.toString()), text('m:done')] } : undefined,
    script: async (end) => {
      await end.subscribed();
      const other = `${end.channel}-other`;
      end.socket.send(`c:{"type":"subscribe","channel":"${other}"}`);
      await end.subscribed(other);
      end.socket.send(`c:{"type":"unsubscribe","channel":"${end.channel}"}`);
      await had('text done')(end);
      // Pushpin unsubscribes a moment later than it answers.
      end.socket.send(`c:{"type":"subscribe","channel":"${end.channel}-barrier"}`);
      await end.subscribed(`${end.channel}-barrier`);
      await end.say({ content: 'not for me' });
      await end.say({ content: 'for me' }, { channel: other });
      await had('text for me')(end);
      await goodBye(end);
      // They name the channels, which are the run’s own.
      end.backend.all.length = 0;
    },
  },
  'orders that make no sense': {
    answer: onText({ events: [text('c:{'), order({ type: 'dance' }), text('c:[]'), text('m:still there')] }),
    script: async (end) => {
      end.socket.send('x');
      await had('text still there')(end);
      await goodBye(end);
    },
  },
  'a keep-alive': {
    answer: onOpen(order({ type: 'keep-alive', content: 'are you there?', timeout: 1 })),
    script: async (end) => {
      await had('text are you there?')(end);
      await goodBye(end);
    },
  },
  'a delayed message, flushed': {
    answer: onOpen(
      order({ type: 'send-delayed', content: 'later', timeout: 600 }),
      order({ type: 'flush-delayed' }),
    ),
    script: async (end) => {
      await had('text later')(end);
      await goodBye(end);
    },
  },
  'a backend that detaches': {
    answer: (event) =>
      isText(event) ? { events: [text('m:I am off'), order({ type: 'detach' })] } : undefined,
    script: async (end) => {
      await end.subscribed();
      end.socket.send('x');
      await had('text I am off')(end);
      await end.say({ content: 'goes on' });
      await had('text goes on')(end);
      end.socket.terminate();
    },
  },
  'an empty text': {
    answer: onText({ events: [text('m:')] }),
    script: async (end) => {
      end.socket.send('');
      await had('text ')(end);
      await goodBye(end);
    },
    differs: {
      pushpin: { backend: ['OPEN', 'TEXT', BYE] },
      tidegate: { backend: ['OPEN', 'TEXT 0', BYE] },
    },
  },
  'a ping of the client': {
    answer: ({ type }) =>
      type === 'PING' ? { events: [{ type: 'PONG', content: Buffer.from('k') }] } : undefined,
    script: async (end) => {
      end.socket.ping('k');
      await had('pong k')(end);
      await goodBye(end);
    },
    differs: {
      pushpin: { backend: ['OPEN', 'PING 1\r\nk', BYE] },
      tidegate: { backend: ['OPEN', BYE] },
    },
  },
  'pings and pongs of the backend, and one that is published': {
    answer: (event) => (isText(event) ? { events: [frame('PONG', 'q'), frame('PING', 'p')] } : undefined),
    script: async (end) => {
      await end.subscribed();
      end.socket.send('x');
      await had('pong q')(end);
      await had('ping p')(end);
      await end.say({ type: 'ping', content: 'k' });
      await had('ping k')(end);
      await goodBye(end);
      const bodies = end.backend.all.splice(0).join('\r\n');
      end.backend.all.push(bodies);
    },
    differs: {
      pushpin: { backend: [['OPEN', 'TEXT 1\r\nx', 'PONG 1\r\np', 'PONG 1\r\nk', BYE].join('\r\n')] },
      tidegate: { backend: [['OPEN', 'TEXT 1\r\nx', BYE].join('\r\n')] },
    },
  },
  'a request in flight, and what comes meanwhile': {
    answer: inOrder(),
    script: async (end) => {
      for (let at = 0; at < 50; at++) end.socket.send(String(at));
      await had('text 49')(end);
      await goodBye(end);
      // However many requests they came in.
      const together = end.backend.all.splice(0).join('\r\n');
      end.backend.all.push(together);
    },
  },
};

const frame = (type: 'PING' | 'PONG', content: string): WsEvent => ({ type, content: Buffer.from(content) });

/** Fails where a second request comes before the first is answered. */
function inOrder(): WsCase['answer'] {
  const inFlight = new Map<string, IncomingMessage>();
  return async (event, request) => {
    const id = String(request.headers['connection-id']);
    const other = inFlight.get(id);
    if (other !== undefined && other !== request) return { events: [text('m:two requests at once')] };
    inFlight.set(id, request);
    await new Promise((resolve) => setTimeout(resolve, 5));
    inFlight.delete(id);
    return event.type === 'TEXT' ? { events: [text(`m:${event.content.toString()}`)] } : undefined;
  };
}

webSocketsBesidePushpin('messages', cases);
