/** Beside Pushpin: the order of what is published, duplicates, and filters. */
import type { IncomingMessage } from 'node:http';
import type { WsEvent } from '../../../src/protocol/ws-over-http/types.js';
import {
  ARRIVES,
  goodBye,
  had,
  isText,
  onOpen,
  order,
  webSocketsBesidePushpin,
  type WsCase,
} from '../../fixtures/beside-pushpin-ws.js';

const CLOSED = 'closed 1000 bye';

const cases: Readonly<Record<string, WsCase>> = {
  'duplicates are dropped': {
    answer: twoChannels,
    script: publishes([
      ['one', 1],
      ['one again', 1],
      ['two', 2],
      ['one once more', 1],
    ]),
  },
  'what overtakes its predecessor waits for it': {
    answer: twoChannels,
    script: publishes([
      ['one', 1],
      ['three', 3, 2],
      ['four', 4, 3],
      ['two', 2, 1],
      ['two again', 2, 1],
    ]),
  },
  'what waits in vain comes later': {
    answer: twoChannels,
    script: publishes(
      [
        ['one', 1],
        ['five', 5, 4],
        ['two', 2, 1],
      ],
      'five',
    ),
  },
  'no sequence': {
    answer: twoChannels,
    script: publishes([
      ['one', 1, undefined, true],
      ['five', 5, 4, true],
      ['two', 2, 1, true],
    ]),
  },
  'duplicates without a sequence': {
    answer: twoChannels,
    script: publishes([
      ['one', 1, undefined, true],
      ['one again', 1, undefined, true],
    ]),
    differs: {
      pushpin: { client: ['open', `text ${ARRIVES}`, 'text one', 'text the end', CLOSED] },
      tidegate: { client: ['open', `text ${ARRIVES}`, 'text one', 'text one again', 'text the end', CLOSED] },
    },
  },
  'skip-self': filtered(['skip-self'], { user: 'ann' }, [
    ['of ann', { sender: 'ann' }],
    ['of bob', { sender: 'bob' }],
    ['of nobody', {}],
  ]),
  'skip-users': filtered(['skip-users'], { user: 'ann' }, [
    ['not ann', { skip_users: 'bob,ann' }],
    ['not bob', { skip_users: 'bob' }],
  ]),
  'require-sub': filtered(['require-sub'], {}, [
    ['for others', { require_sub: 'elsewhere' }],
    ['for all', {}],
  ]),
  'var-subst': filtered(['var-subst'], { name: 'ann', user: 'a' }, [
    ['hello %(name)s, 100%% sure', {}],
    ['%(nobody)s', {}],
    ['%(name', {}],
    ['%d', {}],
    ['plain', {}],
  ]),
  'build-id': filtered(['build-id'], { id_format: 'id-%(CHANNEL)s' }, [
    ['at %I', {}, '7'],
    ['then at %I', {}, '8'],
    ['at %(a)I', {}, '9'],
    ['plain', {}, '10'],
  ]),
  'build-id in hexadecimal': filtered(['build-id'], { id_format: 'x', id_encoding: 'hex' }, [
    ['at %(ab)I', {}],
  ]),
  'build-id of a WebSocket’s own': {
    ...filtered(['build-id'], { id_format: 'my-id' }, [['at %I', {}]]),
    differs: {
      pushpin: { client: ['open', `text ${ARRIVES}`, 'text the end', CLOSED] },
      tidegate: { client: ['open', `text ${ARRIVES}`, 'text at my-id', 'text the end', CLOSED] },
    },
  },
  'build-id of a channel that the client has not': filtered(['build-id'], { id_format: '%(elsewhere)s' }, [
    ['at %I', {}],
    ['plain', {}],
  ]),
  'build-id without a format': filtered(['build-id'], {}, [
    ['at %I', {}],
    ['plain', {}],
  ]),
  'content filters that the subscription has not': {
    script: async (end) => {
      await end.subscribed();
      await end.say({ content: 'filtered', 'content-filters': ['var-subst'] });
      await end.say({ content: 'the end' });
      await had('text the end')(end);
      await goodBye(end);
    },
  },
  'a filter that there is not': {
    answer: (event, request) => {
      const channel = new URL(request.url!, 'http://x').search;
      return onOpen(
        order({ type: 'subscribe', channel: `${channel}-no`, filters: ['no-such-filter'] }),
        order({ type: 'subscribe', channel }),
      )(event);
    },
    script: async (end) => {
      await end.subscribed();
      await end.say({ content: 'to the filtered' }, { channel: `${end.channel}-no` });
      await end.say({ content: 'the end' });
      await had('text the end')(end);
      const isLogged = end.door.warnings().some((line) => line.includes('no-such-filter'));
      end.client.push(isLogged ? 'logged' : 'not logged');
      await goodBye(end);
    },
    differs: {
      pushpin: {
        client: ['open', `text ${ARRIVES}`, 'text to the filtered', 'text the end', 'not logged', CLOSED],
      },
      tidegate: { client: ['open', `text ${ARRIVES}`, 'text the end', 'logged', CLOSED] },
    },
  },
  'an id that nobody has heard': {
    answer: (event, request) => {
      const channel = `${new URL(request.url!, 'http://x').search}-late`;
      return isText(event) ? { events: [order({ type: 'subscribe', channel })] } : undefined;
    },
    script: async (end) => {
      await end.subscribed();
      const late = { channel: `${end.channel}-late`, id: '1' };
      await end.say({ content: 'to nobody' }, late);
      end.socket.send('x');
      await end.subscribed(late.channel);
      await end.say({ content: 'again' }, late);
      await end.say({ content: 'the end' }, { channel: late.channel });
      await had('text the end')(end);
      await goodBye(end);
    },
    differs: {
      pushpin: { client: ['open', `text ${ARRIVES}`, `text ${ARRIVES}, 2`, 'text the end', CLOSED] },
      tidegate: {
        client: ['open', `text ${ARRIVES}`, `text ${ARRIVES}, 2`, 'text again', 'text the end', CLOSED],
      },
    },
  },
  'several items at once, and for several kinds of clients': {
    script: async (end) => {
      await end.subscribed();
      const stream = { 'http-stream': { content: 'not for me' } };
      await end.publish([
        { channel: end.channel, formats: { ...stream, 'ws-message': { content: 'one' } } },
        { channel: end.channel, formats: stream },
        { channel: end.channel, 'ws-message': { content: 'two' } },
        { channel: end.channel, formats: { 'ws-message': { action: 'close', code: '4005' } } },
      ]);
      await end.client.next((line) => line.startsWith('closed'));
      // As for what each tells the backend, there is a case of its own.
      await end.backend.next((body) => body.startsWith('CLOSE'));
      end.backend.all.pop();
    },
  },
};

type Item = readonly [content: string, id: number, prevId?: number, noSeq?: boolean];

/** Of all of them, what arrives until one that has no id, or until the last that is awaited. */
function publishes(items: readonly Item[], last?: string): WsCase['script'] {
  return async (end) => {
    // Another channel tells when the client is subscribed: this one must not know of an id before.
    await end.subscribed(`${end.channel}-other`);
    for (const [content, id, prevId, noSeq] of items) {
      const prev = prevId === undefined ? {} : { 'prev-id': String(prevId) };
      await end.say({ content }, { id: String(id), ...prev, ...(noSeq && { 'no-seq': true }) });
    }
    if (last === undefined) await end.say({ content: 'the end' });
    await had(`text ${last ?? 'the end'}`)(end);
    await goodBye(end);
  };
}

function twoChannels(event: WsEvent, request: IncomingMessage): ReturnType<NonNullable<WsCase['answer']>> {
  return onOpen(...subscriptions(new URL(request.url!, 'http://x').search))(event);
}

function filtered(
  filters: readonly string[],
  meta: Readonly<Record<string, string>>,
  items: readonly (readonly [content: string, meta: object, id?: string])[],
): WsCase {
  return {
    answer: (event, request) => {
      const channel = new URL(request.url!, 'http://x').search;
      const metas = Object.entries(meta).map(([name, value]) =>
        order({ type: 'set-meta', name, value: value.replace('CHANNEL', channel) }),
      );
      return onOpen(...metas, ...subscriptions(channel, filters))(event);
    },
    script: async (end) => {
      await end.subscribed(`${end.channel}-other`);
      for (const [content, meta, id] of items) await end.say({ content }, { meta, ...(id && { id }) });
      await end.say({ content: 'the end' }, { channel: `${end.channel}-other` });
      await had('text the end')(end);
      await goodBye(end);
    },
  };
}

/** The second without filters, to know when the first is there. */
const subscriptions = (channel: string, filters: readonly string[] = []): WsEvent[] => [
  order({ type: 'subscribe', channel, filters }),
  order({ type: 'subscribe', channel: `${channel}-other` }),
];

webSocketsBesidePushpin('what is published', cases, { atOnce: true });
