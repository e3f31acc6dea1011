/** Beside Pushpin: handshakes, and what requests tell the backend of a client. */
import type { IncomingMessage } from 'node:http';
import { expect } from 'vitest';
import {
  goodBye,
  had,
  isText,
  text,
  webSocketsBesidePushpin,
  type WsCase,
} from '../../fixtures/beside-pushpin-ws.js';

/** What one of them adds: its libraries, or it itself. */
const OWN_FIELDS = /^(?:accept-encoding|connection|grip-feature|tidegate-.*|x-forwarded-.*)$/;
const FILTERS = ['skip-self', 'skip-users', 'require-sub', 'build-id', 'var-subst']
  .map((name) => `filter:${name}`)
  .join(', ');
const SWITCHED = 'websocket,upgrade,string,28';
const CLOSED = 'closed 1000 bye';
const SIGNED_BY = (issuer: string): string => `{"typ":"JWT","alg":"HS256"} {"exp":true,"iss":"${issuer}"}`;
const twice = (line: string): string[] => [line, line];

const cases: Readonly<Record<string, WsCase>> = {
  'what is bound comes back, what is forged does not': {
    headers: { 'Meta-User': 'forged', 'Grip-Sig': 'forged', 'Connection-Id': 'forged' },
    answer: (event, { headers }) => {
      if (event.type === 'OPEN') return { headers: { 'set-meta-user': 'ann' }, events: [event] };
      const { 'meta-user': user, 'connection-id': id } = headers;
      const isForged = id === 'forged' || headers['grip-sig'] === 'forged';
      if (!isText(event)) return undefined;
      // An empty one unbinds.
      return {
        headers: { 'SET-META-User': user === 'ann' ? 'bob' : '' },
        events: [text(`m:${String(user)}, ${isForged}`)],
      };
    },
    script: async (end) => {
      for (const user of ['ann', 'bob', 'undefined']) {
        end.socket.send('who am I?');
        await had(`text ${user}, false`)(end);
      }
      await goodBye(end);
    },
  },
  'what the backend is told of the client': {
    ...askedTwice(({ headers }) => {
      const { 'sec-websocket-key': key, 'connection-id': id, 'grip-sig': signature, ...told } = headers;
      const names = Object.keys(told).filter((name) => !OWN_FIELDS.test(name));
      const isSigned = /^[\w-]+\.[\w-]+\.[\w-]+$/.test(String(signature));
      const fields = names.sort().map((name) => (name === 'host' ? name : `${name}: ${String(told[name])}`));
      return [...fields, key?.length, isSigned, id !== undefined].join('\n');
    }),
    headers: {
      Cookie: 'sid=42',
      Origin: 'http://a.example',
      'User-Agent': 'me',
      'X-Own': '1',
      Accept: 'x/y',
    },
    protocols: ['chat.v1', 'chat.v2'],
  },
  'what else the backend is told': {
    ...askedTwice(({ headers }) =>
      Object.keys(headers)
        .filter((name) => OWN_FIELDS.test(name))
        .sort()
        .join(),
    ),
    differs: {
      pushpin: { client: ['open', ...twice('text accept-encoding,grip-feature'), CLOSED] },
      tidegate: {
        client: [
          'open',
          ...twice(
            'text connection,grip-feature,tidegate-request-seq,x-forwarded-for,x-forwarded-host,x-forwarded-proto',
          ),
          CLOSED,
        ],
      },
    },
  },
  'what each says that it can do': {
    ...askedTwice(({ headers }) => String(headers['grip-feature'])),
    differs: {
      pushpin: { client: ['open', ...twice(`text status, session, link:next, ${FILTERS}`), CLOSED] },
      tidegate: { client: ['open', ...twice(`text status, link:next, link:gone, ${FILTERS}`), CLOSED] },
    },
  },
  'who signs': {
    ...askedTwice(({ headers }) => {
      const parts = String(headers['grip-sig']).split('.', 2);
      const [head, claims] = parts.map((part) => Buffer.from(part, 'base64url').toString());
      const { exp } = JSON.parse(claims!) as { exp: number };
      const isForAnHour = Math.abs(exp * 1000 - Date.now() - 3_600_000) < 300_000;
      return `${head} ${claims!.replace(String(exp), String(isForAnHour))}`;
    }),
    differs: {
      pushpin: { client: ['open', ...twice(`text ${SIGNED_BY('pushpin')}`), CLOSED] },
      tidegate: { client: ['open', ...twice(`text ${SIGNED_BY('tidegate')}`), CLOSED] },
    },
  },
  'a request told from another': {
    // The same message twice: whether what is asked is the same, too.
    answer: theSameTwice(),
    script: async (end) => {
      end.socket.send('x');
      await had('text first')(end);
      end.socket.send('x');
      await end.client.next((line) => /^text (?:changed|the same)/.test(line));
      await goodBye(end);
    },
    differs: {
      pushpin: { client: ['open', 'text first', 'text the same', CLOSED] },
      tidegate: { client: ['open', 'text first', 'text changed: tidegate-request-seq', CLOSED] },
    },
  },
  'a subprotocol that was offered': {
    protocols: ['a', 'b'],
    answer: (event) =>
      event.type === 'OPEN'
        ? { headers: { 'sec-websocket-protocol': 'b' }, events: [event, text('m:agreed')] }
        : undefined,
    script: async (end) => {
      await had('text agreed')(end);
      end.client.push(`speaks ${end.socket.protocol}`);
      await goodBye(end);
    },
  },
  'a subprotocol that nobody offered': {
    answer: (event) =>
      event.type === 'OPEN' ? { headers: { 'sec-websocket-protocol': 'b' }, events: [event] } : undefined,
    differs: {
      pushpin: { client: ['Server sent a subprotocol but none was requested', 'closed 1006 '] },
      tidegate: { client: [expect.stringMatching(/^refused 502 /)] },
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
  'what the client is told with its 101': {
    answer: (event) =>
      event.type === 'OPEN'
        ? {
            headers: {
              'x-own': '1',
              'set-cookie': 'a=b',
              'keep-alive-interval': '60',
              'set-meta-user': 'ann',
              'grip-channel': 'x',
            },
            events: [event],
          }
        : undefined,
    script: async (end) => {
      const { upgrade, connection, date, 'sec-websocket-accept': accept, ...fields } = end.switching();
      const switched = [upgrade, connection, typeof date, accept?.length].join().toLowerCase();
      // A server of Node adds its own to the first connection, and Pushpin hands it on.
      const names = Object.keys(fields).filter((name) => name !== 'keep-alive');
      for (const line of [switched, ...names.sort().map((name) => `${name}: ${String(fields[name])}`)]) {
        end.client.push(line);
      }
      await goodBye(end);
    },
    differs: {
      pushpin: {
        client: ['open', SWITCHED, 'grip-channel: x', 'set-cookie: a=b', 'x-own: 1', CLOSED],
      },
      tidegate: { client: ['open', SWITCHED, 'set-cookie: a=b', 'x-own: 1', CLOSED] },
    },
  },
};

/** The client gets what is read of the request for its handshake, and of the one for a message. */
function askedTwice(read: (request: IncomingMessage) => string): WsCase {
  return {
    answer: (event, request) => {
      const told = text(`m:${read(request)}`);
      if (event.type === 'OPEN') return { events: [event, told] };
      return isText(event) ? { events: [told] } : undefined;
    },
    script: async (end) => {
      await end.client.next((line) => line.startsWith('text'));
      end.socket.send('and now?');
      await end.client.next((line) => line.startsWith('text'));
      await goodBye(end);
    },
  };
}

/** Says which fields of the second request have changed; a signature may. */
function theSameTwice(): WsCase['answer'] {
  const first = new Map<string, IncomingMessage['headers']>();
  return (event, { headers }) => {
    if (!isText(event)) return undefined;
    const before = first.get(String(headers['connection-id']));
    first.set(String(headers['connection-id']), headers);
    if (before === undefined) return { events: [text('m:first')] };
    const names = new Set([...Object.keys(before), ...Object.keys(headers)]);
    const changed = [...names].filter((name) => name !== 'grip-sig' && before[name] !== headers[name]);
    return { events: [text(changed.length > 0 ? `m:changed: ${changed.join()}` : 'm:the same')] };
  };
}

webSocketsBesidePushpin('handshakes', cases);
