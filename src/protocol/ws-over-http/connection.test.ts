import assert from 'node:assert/strict';
import { describe, expect, it } from 'vitest';
import { HeaderList } from '../http/header-list.js';
import { WsOverHttpConnection } from './connection.js';
import {
  type ConnectionLimits,
  type ConnectionOptions,
  connectionDefaults,
  limitDefaults,
} from './options.js';
import { requestFields } from './request-fields.js';
import { type RetryOptions, retryDefaults } from './retries.js';
import type { Action, EventsResponse, MessageType } from './types.js';

type Options = Partial<Omit<ConnectionOptions, 'limits' | 'retry'>> & {
  limits?: Partial<ConnectionLimits>;
  retry?: Partial<RetryOptions>;
};

/** A connection, with bytes as latin-1 text. */
class Conversation {
  readonly connection: WsOverHttpConnection;

  constructor({ limits, retry, ...rest }: Options = {}) {
    this.connection = new WsOverHttpConnection({
      ...connectionDefaults,
      random: () => 0.5,
      ...rest,
      limits: { ...limitDefaults, ...limits },
      retry: { ...retryDefaults, ...retry },
    });
  }

  get state() {
    return this.connection.state;
  }

  text(content: string, type: MessageType = 'TEXT') {
    return this.connection.onClientMessage(type, Buffer.from(content, 'latin1'));
  }

  /** The next request’s body; it must be there. */
  sent() {
    const request = this.connection.nextRequest();
    if (request === undefined) throw new Error('there is no request to send');
    return request.body.toString('latin1');
  }

  request() {
    return this.connection.nextRequest();
  }

  answer(body = '', fields: string[] = [], status = 200) {
    return this.connection.onResponse(response(body, fields, status));
  }

  /** Sends what is to be sent, which must be `request`, and answers it. */
  turn(request: string, body = '', ...fields: string[]) {
    assert.equal(this.sent(), request);
    return this.answer(body, fields);
  }
}

function response(body: string, fields: string[], status = 200): EventsResponse {
  return {
    status,
    fields: HeaderList.fromRaw(['Content-Type', 'application/websocket-events', ...fields]),
    body: Buffer.from(body, 'latin1'),
  };
}

function opened(options: Options = {}, ...fields: string[]): Conversation {
  const conversation = new Conversation(options);
  conversation.turn('OPEN\r\n', 'OPEN\r\n', ...fields);
  expect(conversation.state).toBe('open');
  return conversation;
}

const deliver = (type: MessageType, content: string): Action => ({
  do: 'deliver',
  event: { type, content: Buffer.from(content, 'latin1') },
});
const close = (code: number, reason = ''): Action => ({ do: 'close', code, reason });
const wait = (ms: number, what: 'retry' | 'keep-alive'): Action => ({ do: 'wait', ms, for: what });
const report = (problem: string) => ({ do: 'report', problem: expect.stringContaining(problem) as string });
const failure = (problem: string) => [report(problem), close(1011)];

const NORMAL = '\x03\xe8';
const KEEP_ALIVE = ['Keep-Alive-Interval', '60'];

describe('the examples of the protocol', () => {
  const SUBSCRIBE = 'c:{"channel":"room1","type":"subscribe"}';

  it('E1: open, accepted, subscribed', () => {
    const c = new Conversation({ offersGrip: true, offeredSubprotocols: ['chat.v1', 'chat.v2'] });
    const request = c.request()!;
    const replayed = HeaderList.fromRaw([
      ...['Host', 'app.example', 'Cookie', 'sid=42', 'Sec-WebSocket-Version', '13'],
      ...['Sec-WebSocket-Protocol', 'chat.v1,chat.v2'],
    ]);
    const sender = {
      connectionId: '7e3b0f97-d72e-4f6a-96bc-c86ddc246e1f',
      grip: { signature: 'eyJ0.eyJl.AdHU', features: 'status' },
    };
    const head = [...requestFields(replayed, request, sender)].map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    expect(head.join('') + request.body.toString()).toBe(
      'Host: app.example\r\nCookie: sid=42\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Protocol: chat.v1,chat.v2\r\nSec-WebSocket-Extensions: grip\r\n' +
        'Grip-Sig: eyJ0.eyJl.AdHU\r\nGrip-Feature: status\r\nAccept: application/websocket-events\r\n' +
        'Connection-Id: 7e3b0f97-d72e-4f6a-96bc-c86ddc246e1f\r\n' +
        'Content-Type: application/websocket-events\r\nContent-Length: 6\r\n' +
        'Tidegate-Request-Seq: 1\r\nOPEN\r\n',
    );
    const body = `OPEN\r\nTEXT 28\r\n${SUBSCRIBE}\r\n`;
    expect(body).toHaveLength(57);
    const actions = c.answer(body, [
      ...['Sec-WebSocket-Extensions', 'grip', 'Sec-WebSocket-Protocol', 'chat.v1', 'Set-Meta-User', 'alice'],
      ...['Keep-Alive-Interval', '60', 'Content-Length', '57'],
    ]);
    expect(actions).toEqual([
      {
        do: 'accept',
        acceptance: {
          subprotocol: 'chat.v1',
          fields: new HeaderList(),
          grip: { messagePrefix: Buffer.from('m:') },
        },
      },
      deliver('TEXT', SUBSCRIBE),
      wait(60_000, 'keep-alive'),
    ]);
  });

  it('E2: a batch of client events, a mixed reply', () => {
    const c = opened({}, 'Set-Meta-User', 'alice');
    c.text('hello');
    c.text('\x00\xff\x10', 'BINARY');
    c.text('', 'PING');
    const request = c.request()!;
    expect(request.body.toString('latin1')).toBe('TEXT 5\r\nhello\r\nBINARY 3\r\n\x00\xff\x10\r\nPING\r\n');
    expect(request.body).toHaveLength(36);
    expect([...request.meta]).toEqual([['User', 'alice']]);
    expect(c.answer('TEXT 7\r\nm:HELLO\r\nBINARY 5\r\nm:\x00\xff\x10\r\nPONG\r\n')).toEqual([
      deliver('TEXT', 'm:HELLO'),
      deliver('BINARY', 'm:\x00\xff\x10'),
      deliver('PONG', ''),
    ]);
  });

  it('E3: a partial acceptance', () => {
    const c = opened();
    c.text('[foo][hello');
    expect(c.turn('TEXT b\r\n[foo][hello\r\n', '', 'Content-Bytes-Accepted', '5')).toEqual([]);
    expect(c.request()).toBeUndefined();
    expect(c.connection.bufferedBytes).toBe(6);
    c.text(' world]');
    const request = c.request()!;
    expect(request.replayedBytes).toBe(6);
    expect(request.body.toString()).toBe('TEXT 6\r\n[hello\r\nTEXT 7\r\n world]\r\n');
    expect(c.answer('TEXT 6\r\nm:[ok]\r\n')).toEqual([deliver('TEXT', 'm:[ok]')]);
    expect(c.connection.bufferedBytes).toBe(0);
    expect(c.request()).toBeUndefined();
  });

  it('E4: the client closes', () => {
    const c = opened();
    c.connection.onClientClose(1000, Buffer.from('bye'));
    expect(c.turn(`CLOSE 5\r\n${NORMAL}bye\r\n`, `CLOSE 2\r\n${NORMAL}\r\n`)).toEqual([close(1000)]);
    expect(c.state).toBe('over');
    expect(c.request()).toBeUndefined();
  });

  it('E5: the client is gone', () => {
    const c = opened();
    c.connection.onClientLost();
    const request = c.request()!;
    expect(request.kind).toBe('disconnect');
    expect(request.body.toString()).toBe('DISCONNECT\r\n');
    expect(c.answer()).toEqual([]);
    expect(c.state).toBe('over');
  });

  it('E6: a keep-alive', () => {
    const c = opened({}, ...KEEP_ALIVE);
    expect(c.request()).toBeUndefined();
    c.connection.onTime();
    expect(c.turn('')).toEqual([wait(60_000, 'keep-alive')]);
    expect(c.request()).toBeUndefined();
  });

  it('E7: what serve-grip answers', () => {
    const c = new Conversation({ offersGrip: true, offeredSubprotocols: ['chat.v1'] });
    c.sent();
    const actions = c.answer(`OPEN\r\nTEXT 28\r\n${SUBSCRIBE}\r\n`, [
      ...[
        'Sec-WebSocket-Protocol',
        'chat.v1',
        'Keep-Alive-Interval',
        '60',
        'Sec-WebSocket-Extensions',
        'grip',
      ],
      ...['Set-Meta-user', 'alice', 'Date', 'now', 'Connection', 'close', 'Transfer-Encoding', 'chunked'],
    ]);
    expect(actions[0]).toEqual({
      do: 'accept',
      acceptance: {
        subprotocol: 'chat.v1',
        fields: HeaderList.fromRaw(['Date', 'now']),
        grip: { messagePrefix: Buffer.from('m:') },
      },
    });
    c.text('x');
    expect([...c.request()!.meta]).toEqual([['user', 'alice']]);
  });
});

describe('the handshake', () => {
  it('is refused with the backend’s own answer', () => {
    const c = new Conversation();
    c.sent();
    const fields = HeaderList.fromRaw(['Content-Type', 'text/plain', 'X-Why', 'no', 'Content-Length', '2']);
    expect(c.connection.onResponse({ status: 403, fields, body: Buffer.from('no') })).toEqual([
      {
        do: 'refuse',
        status: 403,
        fields: HeaderList.fromRaw(['Content-Type', 'text/plain', 'X-Why', 'no']),
        body: Buffer.from('no'),
      },
    ]);
    expect(c.state).toBe('over');
    expect(c.request()).toBeUndefined();
  });

  it.each([
    ['a 200 of another type', 200, 'text/html'],
    ['a 503, which is tried again only later on', 503, 'text/html'],
    ['events with another status', 201, 'application/websocket-events'],
  ])('is refused by %s', (_name, status, type) => {
    const c = new Conversation();
    c.sent();
    const fields = HeaderList.fromRaw(['Content-Type', type]);
    const actions = c.connection.onResponse({ status, fields, body: Buffer.from('OPEN\r\n') });
    expect(actions).toMatchObject([{ do: 'refuse', status }]);
    expect(c.state).toBe('over');
  });

  it('takes a content type with parameters', () => {
    const c = new Conversation();
    c.sent();
    const fields = HeaderList.fromRaw(['Content-Type', 'application/websocket-events; charset=utf-8']);
    expect(
      c.connection.onResponse({ status: 200, fields, body: Buffer.from('OPEN 0\r\n\r\n') }),
    ).toMatchObject([{ do: 'accept' }]);
  });

  it.each<[string, string, string[]]>([
    ['nothing', '', []],
    ['nothing and an interval of 0', '', ['Keep-Alive-Interval', '0']],
    ['events that do not begin with OPEN', 'TEXT 1\r\nx\r\nOPEN\r\n', []],
    ['CLOSE alone', 'CLOSE\r\n', []],
    ['DISCONNECT', 'DISCONNECT\r\n', []],
    ['two OPENs', 'OPEN\r\nOPEN\r\n', []],
    ['a malformed body', 'OPEN\r\nTEXT 5\r\nx', []],
    ['a subprotocol that was not offered', 'OPEN\r\n', ['Sec-WebSocket-Protocol', 'c']],
    ['content that was not there accepted', 'OPEN\r\n', ['Content-Bytes-Accepted', '1']],
    ['a coded body', 'OPEN\r\n', ['Content-Encoding', 'gzip']],
  ])('is answered 502 where the backend answers with %s, which is told of the end', (_name, body, fields) => {
    const c = new Conversation({ offeredSubprotocols: ['a', 'b'] });
    c.sent();
    expect(c.answer(body, fields)).toMatchObject([
      { do: 'report', problem: expect.stringMatching(/^the backend [^\n]+$/) as string },
      { do: 'refuse', status: 502 },
    ]);
    expect(c.turn('DISCONNECT\r\n')).toEqual([]);
    expect(c.state).toBe('over');
  });

  it('waits for a backend that decides later, and asks again after the interval', () => {
    const c = new Conversation();
    expect(c.turn('OPEN\r\n', '', 'Keep-Alive-Interval', '1')).toEqual([wait(20_000, 'keep-alive')]);
    expect(c.state).toBe('pending');
    expect(c.request()).toBeUndefined();
    c.connection.onTime();
    // The interval stays as it was said.
    expect(c.turn('OPEN\r\n')).toEqual([wait(20_000, 'keep-alive')]);
    c.connection.onTime();
    expect(c.request()).toMatchObject({ kind: 'open', seq: 3 });
    expect(c.answer('OPEN\r\n')).toMatchObject([{ do: 'accept' }, { do: 'wait' }]);
  });

  it('is not hurried by a client that speaks too early', () => {
    const c = new Conversation();
    c.turn('OPEN\r\n', '', ...KEEP_ALIVE);
    c.text('a');
    expect(c.request()).toBeUndefined();
    c.connection.onTime();
    c.turn('OPEN\r\n', 'OPEN\r\n');
    c.turn('TEXT 1\r\na\r\n');
  });

  it('may be granted, spoken to and closed in one answer', () => {
    const c = new Conversation();
    expect(c.turn('OPEN\r\n', 'OPEN\r\nTEXT 2\r\nhi\r\nCLOSE 2\r\n\x0f\xa1\r\n')).toMatchObject([
      { do: 'accept' },
      deliver('TEXT', 'hi'),
      close(4001),
    ]);
  });

  it.each(['not-reached', 'before-body-written'] as const)('is answered 502 and not put off: %s', (kind) => {
    const c = new Conversation();
    c.sent();
    expect(c.connection.onFailure(kind, 'refused')).toMatchObject([
      report('gave no answer: refused'),
      { do: 'refuse', status: 502 },
    ]);
    expect(c.state).toBe('over');
  });

  it('that the backend may have granted unheard is ended by DISCONNECT', () => {
    const c = new Conversation();
    c.sent();
    expect(c.connection.onFailure('ambiguous', 'timeout')).toMatchObject([{}, { do: 'refuse', status: 502 }]);
    c.turn('DISCONNECT\r\n');
    expect(c.state).toBe('over');
  });

  describe('whose client is gone', () => {
    it('before it was asked for is not asked for', () => {
      const c = new Conversation();
      c.connection.onClientLost();
      expect(c.state).toBe('over');
      expect(c.request()).toBeUndefined();
    });

    it('is ended by DISCONNECT once it is granted, and nothing is said to the client', () => {
      const c = new Conversation();
      c.sent();
      c.connection.onClientLost();
      expect(c.request()).toBeUndefined();
      expect(c.answer('OPEN\r\nTEXT 2\r\nhi\r\n', KEEP_ALIVE)).toEqual([]);
      c.turn('DISCONNECT\r\n');
      expect(c.state).toBe('over');
    });

    it('is ended by DISCONNECT where the backend decides later', () => {
      const c = new Conversation();
      c.turn('OPEN\r\n', '', ...KEEP_ALIVE);
      c.connection.onClientLost();
      c.turn('DISCONNECT\r\n');
      expect(c.state).toBe('over');
    });

    it('is over when it is refused', () => {
      const c = new Conversation();
      c.sent();
      c.connection.onClientLost();
      expect(c.answer('no', [], 403)).toEqual([]);
      expect(c.state).toBe('over');
    });

    it('is over when the backend is not reached', () => {
      const c = new Conversation();
      c.sent();
      c.connection.onClientLost();
      expect(c.connection.onFailure('not-reached', 'refused')).toEqual([report('refused')]);
      expect(c.state).toBe('over');
    });
  });
});

describe('messages', () => {
  it('wait while a request is in flight, and leave together in the next', () => {
    const c = opened();
    c.text('a');
    expect(c.sent()).toBe('TEXT 1\r\na\r\n');
    c.text('b');
    c.text('\x01', 'BINARY');
    c.text('');
    c.text('p', 'PING');
    c.text('', 'PONG');
    expect(c.request()).toBeUndefined();
    c.answer();
    c.turn('TEXT 1\r\nb\r\nBINARY 1\r\n\x01\r\nTEXT 0\r\n\r\nPING 1\r\np\r\nPONG\r\n');
    expect(c.request()).toBeUndefined();
  });

  it('number their requests', () => {
    const c = opened();
    c.text('a');
    expect(c.request()?.seq).toBe(2);
    c.answer();
    c.text('b');
    expect(c.request()?.seq).toBe(3);
  });

  it('are batched up to the limits', () => {
    const c = opened({ limits: { maxRequestBytes: 4, maxRequestEvents: 3 } });
    for (const content of ['abc', 'de', 'f', 'g', 'h', 'i']) c.text(content);
    c.turn('TEXT 3\r\nabc\r\nTEXT 2\r\nde\r\n');
    c.turn('TEXT 1\r\nf\r\nTEXT 1\r\ng\r\nTEXT 1\r\nh\r\n');
    c.turn('TEXT 1\r\ni\r\n');
  });

  it('leave one by one for a backend that wants it so, the Close too', () => {
    const c = opened({ limits: { maxRequestEvents: 1 } });
    c.text('');
    c.text('');
    c.connection.onClientClose(undefined, Buffer.alloc(0));
    c.turn('TEXT 0\r\n\r\n');
    c.turn('TEXT 0\r\n\r\n');
    c.turn('CLOSE\r\n', 'CLOSE\r\n');
    expect(c.state).toBe('over');
  });

  it('of the backend reach the client in order', () => {
    const c = opened();
    c.text('x');
    c.sent();
    expect(c.answer('TEXT\r\nTEXT 2\r\n\xc3\xbc\r\nPING\r\nPONG 1\r\np\r\nBINARY 1\r\n\xff\r\n')).toEqual([
      deliver('TEXT', ''),
      deliver('TEXT', '\xc3\xbc'),
      deliver('PING', ''),
      deliver('PONG', 'p'),
      deliver('BINARY', '\xff'),
    ]);
  });

  it('of unknown types are passed over, which is reported', () => {
    const c = opened();
    c.text('x');
    c.sent();
    expect(c.answer('PAUSE 1\r\nx\r\nTEXT 1\r\ny\r\nPAUSE\r\n')).toEqual([
      report('unknown types, which were passed over: PAUSE'),
      deliver('TEXT', 'y'),
    ]);
  });

  it('larger than the buffer are fine, and larger than the limit on messages are not', () => {
    const c = opened({ limits: { bufferBytes: 100, maxMessageBytes: 1000 } });
    const large = 'x'.repeat(1000);
    expect(c.text(large)).toEqual([]);
    expect(c.connection.isFull).toBe(true);
    c.turn(`TEXT 3e8\r\n${large}\r\n`);
    expect(c.connection.isFull).toBe(false);
    c.text('before');
    expect(c.text(`${large}x`)).toEqual([report('has 1001 bytes; at most 1000 are taken'), close(1009)]);
    c.turn('TEXT 6\r\nbefore\r\nDISCONNECT\r\n');
    expect(c.state).toBe('over');
  });

  it('fill the buffer until they are accepted', () => {
    const c = opened({ limits: { bufferBytes: 300 } });
    c.text('x'.repeat(100));
    expect(c.connection.isFull).toBe(false);
    c.sent();
    c.text('y'.repeat(100));
    expect(c.connection.isFull).toBe(true);
    expect(c.connection.bufferedBytes).toBe(200);
    c.answer();
    expect(c.connection.isFull).toBe(false);
    expect(c.connection.bufferedBytes).toBe(100);
  });

  it('fill the buffer also where they are empty', () => {
    const c = opened({ limits: { bufferBytes: 10_000 } });
    let count = 0;
    while (!c.connection.isFull && count < 1000) {
      c.text('');
      count++;
    }
    expect(c.connection.isFull).toBe(true);
    expect(count).toBeLessThan(200);
  });
});

describe('Content-Bytes-Accepted', () => {
  const accepted = (bytes: number | string) => ['Content-Bytes-Accepted', String(bytes)];

  it('0 keeps all until something comes, and is no loop', () => {
    const c = opened();
    c.text('ab');
    c.turn('TEXT 2\r\nab\r\n', '', ...accepted(0));
    expect(c.request()).toBeUndefined();
    c.text('c', 'BINARY');
    expect(c.request()).toMatchObject({ replayedBytes: 2 });
    c.answer('', accepted(0));
    expect(c.request()).toBeUndefined();
    c.connection.refresh();
    expect(c.request()).toMatchObject({ replayedBytes: 3 });
  });

  it('offers what is left with what came meanwhile at once', () => {
    const c = opened();
    c.text('ab');
    c.sent();
    c.text('cd');
    c.answer('', accepted(1));
    const request = c.request()!;
    expect(request.body.toString()).toBe('TEXT 1\r\nb\r\nTEXT 2\r\ncd\r\n');
    expect(request.replayedBytes).toBe(1);
  });

  it('leaves the rest of a message as a message of its type, whatever was accepted before it', () => {
    const c = opened();
    c.text('ab');
    c.text('cd', 'BINARY');
    c.text('ef', 'PING');
    c.sent();
    c.text('g');
    c.answer('', accepted(3));
    c.turn('BINARY 1\r\nd\r\nPING 2\r\nef\r\nTEXT 1\r\ng\r\n', '', ...accepted(1));
    c.text('h');
    expect(c.request()).toMatchObject({ replayedBytes: 3 });
  });

  it('takes empty messages along with what they follow, but none that were not offered', () => {
    const c = opened();
    c.text('a');
    c.text('');
    c.text('b');
    c.sent();
    c.text('');
    c.answer('', accepted(1));
    c.turn('TEXT 1\r\nb\r\nTEXT 0\r\n\r\n', '', ...accepted(1));
    expect(c.request()).toBeUndefined();

    const d = opened();
    d.text('a');
    d.sent();
    d.text('');
    d.answer('', accepted(1));
    d.turn('TEXT 0\r\n\r\n');
  });

  it('offers what is left with a keep-alive', () => {
    const c = opened({}, ...KEEP_ALIVE);
    c.text('ab');
    expect(c.turn('TEXT 2\r\nab\r\n', '', ...accepted(1))).toEqual([wait(60_000, 'keep-alive')]);
    c.connection.onTime();
    expect(c.request()).toMatchObject({ replayedBytes: 1 });
    expect(c.answer('', accepted(1))).toEqual([wait(60_000, 'keep-alive')]);
    c.connection.onTime();
    c.turn('');
  });

  it.each([
    ['more than was offered', 3, '3 bytes of content are accepted, but only 2 were offered'],
    ['no number', 'all', 'Content-Bytes-Accepted is no number'],
    ['a negative number', -1, 'Content-Bytes-Accepted is no number'],
  ])('%s is an error', (_name, bytes, problem) => {
    const c = opened();
    c.text('ab');
    c.sent();
    expect(c.answer('', accepted(bytes))).toEqual(failure(problem));
    c.turn('DISCONNECT\r\n');
    expect(c.state).toBe('over');
  });

  it('of nothing is an error where more waits than one request holds', () => {
    const c = opened({ limits: { maxRequestBytes: 2 } }, ...KEEP_ALIVE);
    c.text('ab');
    c.text('cd');
    c.sent();
    expect(c.answer('', accepted(0))).toEqual(failure('nothing is accepted'));
  });

  it('of something is none', () => {
    const c = opened({ limits: { maxRequestBytes: 2 } });
    c.text('ab');
    c.text('cd');
    c.turn('TEXT 2\r\nab\r\n', '', ...accepted(1));
    c.turn('TEXT 1\r\nb\r\nTEXT 2\r\ncd\r\n');
  });

  it('of nothing by an empty message alone is progress', () => {
    const c = opened({ limits: { maxRequestEvents: 1 } });
    c.text('');
    c.text('x');
    c.turn('TEXT 0\r\n\r\n', '', ...accepted(0));
    c.turn('TEXT 1\r\nx\r\n');
  });

  it('that leaves a full buffer is offered again as long as it helps, as a paused client cannot add to it', () => {
    const c = opened({ limits: { bufferBytes: 10 } });
    c.text('x'.repeat(20));
    c.turn(`TEXT 14\r\n${'x'.repeat(20)}\r\n`, '', ...accepted(5));
    expect(c.connection.isFull).toBe(true);
    expect(c.request()).toMatchObject({ replayedBytes: 15 });
    expect(c.answer('', accepted(0))).toEqual(failure('leaves 15 bytes of content unaccepted'));
  });

  it('that leaves a full buffer is no error where something came meanwhile', () => {
    const c = opened({ limits: { bufferBytes: 10 } });
    c.text('x'.repeat(20));
    c.sent();
    c.text('y');
    expect(c.answer('', accepted(0))).toEqual([]);
    expect(c.request()).toMatchObject({ replayedBytes: 20 });
    expect(c.answer('', accepted(0))).toEqual(failure('leaves 21 bytes of content unaccepted'));
  });

  it('that leaves a full buffer is no error with keep-alives', () => {
    const c = opened({ limits: { bufferBytes: 10 } }, ...KEEP_ALIVE);
    c.text('x'.repeat(20));
    c.sent();
    expect(c.answer('', accepted(0))).toEqual([wait(60_000, 'keep-alive')]);
    expect(c.request()).toBeUndefined();
    c.connection.onTime();
    expect(c.request()).toMatchObject({ replayedBytes: 20 });
  });

  describe('with a CLOSE', () => {
    const BYE = `CLOSE 5\r\n${NORMAL}bye\r\n`;
    const closing = (fields: string[] = []) => {
      const c = opened({}, ...fields);
      c.text('ab');
      c.connection.onClientClose(1000, Buffer.from('bye'));
      expect(c.sent()).toBe(`TEXT 2\r\nab\r\n${BYE}`);
      return c;
    };

    it('counts its bytes after those of messages', () => {
      const c = closing();
      expect(c.answer(`CLOSE 2\r\n${NORMAL}\r\n`, accepted(7))).toEqual([close(1000)]);
      expect(c.state).toBe('over');
    });

    it.each([2, 6])('must accept it when it accepts all messages (%d of 7)', (bytes) => {
      const c = closing(KEEP_ALIVE);
      expect(c.answer('', accepted(bytes))).toEqual(failure('but not the CLOSE'));
      c.turn('DISCONNECT\r\n');
    });

    it('is not told where messages are left, and is said again behind them', () => {
      const c = closing();
      expect(c.answer('', accepted(1))).toEqual([]);
      expect(c.state).toBe('closing');
      const request = c.request()!;
      expect(request.body.toString('latin1')).toBe(`TEXT 1\r\nb\r\n${BYE}`);
      expect(request.replayedBytes).toBe(1);
      expect(c.answer()).toEqual([close(1000, 'bye')]);
      expect(c.state).toBe('over');
    });

    it('is an error where messages are left for ever', () => {
      const c = closing();
      expect(c.answer('', accepted(0))).toEqual(failure('leaves 2 bytes of content unaccepted'));
    });

    it('waits for the keep-alive where messages are left', () => {
      const c = closing(KEEP_ALIVE);
      expect(c.answer('', accepted(0))).toEqual([wait(60_000, 'keep-alive')]);
      expect(c.request()).toBeUndefined();
      c.connection.onTime();
      c.turn(`TEXT 2\r\nab\r\n${BYE}`, 'CLOSE\r\n');
      expect(c.state).toBe('over');
    });

    it('of another request that does not fit makes progress the rule', () => {
      const c = opened({ limits: { maxRequestEvents: 1 } }, ...KEEP_ALIVE);
      c.text('ab');
      c.connection.onClientClose(1000, Buffer.alloc(0));
      c.sent();
      expect(c.answer('', accepted(0))).toEqual(failure('nothing is accepted'));
    });
  });
});

describe('keep-alive', () => {
  it('is off until an interval is said, and goes on until another one is', () => {
    const c = opened();
    c.text('a');
    expect(c.turn('TEXT 1\r\na\r\n', '', 'Keep-Alive-Interval', '30')).toEqual([wait(30_000, 'keep-alive')]);
    c.connection.onTime();
    expect(c.turn('')).toEqual([wait(30_000, 'keep-alive')]);
    c.connection.onTime();
    expect(c.turn('', '', 'Keep-Alive-Interval', '5')).toEqual([wait(20_000, 'keep-alive')]);
    c.connection.onTime();
    expect(c.turn('', '', 'Keep-Alive-Interval', 'never')).toEqual([]);
    expect(c.request()).toBeUndefined();
  });

  it('does not run while there is something to say', () => {
    const c = opened({}, ...KEEP_ALIVE);
    c.text('a');
    c.sent();
    c.text('b');
    expect(c.answer()).toEqual([]);
    expect(c.turn('TEXT 1\r\nb\r\n')).toEqual([wait(60_000, 'keep-alive')]);
  });

  it('that is late asks nothing more', () => {
    const c = opened({}, ...KEEP_ALIVE);
    c.text('a');
    c.sent();
    c.connection.onTime();
    c.answer();
    expect(c.request()).toBeUndefined();
  });

  it('may bring something for the client', () => {
    const c = opened({}, ...KEEP_ALIVE);
    c.connection.onTime();
    expect(c.turn('', 'TEXT 1\r\nx\r\n')).toEqual([deliver('TEXT', 'x'), wait(60_000, 'keep-alive')]);
  });
});

describe('refresh', () => {
  it('asks at once', () => {
    const c = opened();
    c.connection.refresh();
    c.turn('');
    expect(c.request()).toBeUndefined();
  });

  it('asks once more after the request in flight', () => {
    const c = opened({}, ...KEEP_ALIVE);
    c.text('a');
    c.sent();
    c.connection.refresh();
    c.connection.refresh();
    expect(c.request()).toBeUndefined();
    expect(c.answer()).toEqual([]);
    c.turn('');
    expect(c.request()).toBeUndefined();
  });

  it('asks nothing of a connection that is not open', () => {
    const c = new Conversation();
    c.turn('OPEN\r\n', '', ...KEEP_ALIVE);
    c.connection.refresh();
    expect(c.request()).toBeUndefined();
  });
});

describe('Set-Meta', () => {
  it('goes with every request from then on', () => {
    const c = opened({}, 'Set-Meta-User', 'alice');
    c.text('a');
    expect([...c.request()!.meta]).toEqual([['User', 'alice']]);
    c.answer('', ['set-meta-user', '', 'Set-Meta-Room', '1']);
    c.text('b');
    expect([...c.request()!.meta]).toEqual([['Room', '1']]);
  });

  it('has a limit', () => {
    const c = opened({ limits: { maxMetaBytes: 10 } }, 'Set-Meta-A', '123456789');
    c.text('a');
    c.sent();
    expect(c.answer('', ['Set-Meta-B', '1'])).toEqual(failure('set 12 bytes of Meta; at most 10 are kept'));
  });
});

describe('retries', () => {
  it.each([
    ['not-reached', (c: Conversation) => c.connection.onFailure('not-reached', 'x')],
    ['before-body-written', (c: Conversation) => c.connection.onFailure('before-body-written', 'x')],
    ['502', (c: Conversation) => c.answer('', [], 502)],
    ['503', (c: Conversation) => c.answer('', [], 503)],
    ['504', (c: Conversation) => c.answer('', [], 504)],
  ])('after %s send the same again, then what came meanwhile', (_name, fail) => {
    const c = opened();
    c.text('a');
    const request = c.request();
    c.text('b');
    expect(fail(c)).toEqual([wait(1500, 'retry')]);
    expect(c.request()).toBeUndefined();
    c.text('c');
    expect(c.request()).toBeUndefined();
    c.connection.onTime();
    expect(c.request()).toBe(request);
    expect(c.request()).toBeUndefined();
    c.answer();
    const next = c.request()!;
    expect(next.body.toString()).toBe('TEXT 1\r\nb\r\nTEXT 1\r\nc\r\n');
    expect(next.seq).toBe(request!.seq + 1);
    expect(c.state).toBe('open');
  });

  const exhausted = (c: Conversation) => {
    const waits: number[] = [];
    for (;;) {
      const [first, ...rest] = c.connection.onFailure('not-reached', 'refused');
      if (first?.do !== 'wait') return { waits, actions: [first, ...rest] };
      waits.push(first.ms);
      c.connection.onTime();
      c.sent();
    }
  };

  it('wait longer each time, and end after five; then the client is closed with 1011', () => {
    const c = opened({ random: () => 0 });
    c.text('ab');
    c.sent();
    c.text('c');
    const { waits, actions } = exhausted(c);
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000]);
    expect(actions).toEqual(failure('gave no answer: refused; messages of the client lost: 2 (3 bytes)'));
    expect(c.connection.bufferedBytes).toBe(0);
    // Tried as long once more, alone.
    expect(c.sent()).toBe('DISCONNECT\r\n');
    expect(exhausted(c)).toEqual({
      waits,
      actions: [report('told that the client is gone, gave no answer')],
    });
    expect(c.state).toBe('over');
    expect(c.request()).toBeUndefined();
  });

  it('are spread, and bounded as configured', () => {
    const c = opened({
      random: () => 0.999,
      retry: { attempts: 3, firstWaitMs: 10, maxWaitMs: 15, jitterMs: 100 },
    });
    c.text('a');
    c.sent();
    expect(exhausted(c).waits.map(Math.floor)).toEqual([109, 114, 114]);
  });

  it('are counted anew for the next request', () => {
    const c = opened({ retry: { attempts: 1 } });
    for (const content of ['a', 'b']) {
      c.text(content);
      c.sent();
      expect(c.connection.onFailure('not-reached', 'x')).toEqual([wait(1500, 'retry')]);
      c.connection.onTime();
      c.sent();
      c.answer();
    }
  });

  it('are not made where the backend may have read the request', () => {
    const c = opened();
    c.text('a');
    c.sent();
    expect(c.connection.onFailure('ambiguous', 'reset')).toEqual(failure('gave no answer: reset'));
  });

  it('are made even there by choice', () => {
    const c = opened({ retry: { ambiguous: true } });
    c.text('a');
    const request = c.request();
    expect(c.connection.onFailure('ambiguous', 'reset')).toEqual([wait(1500, 'retry')]);
    c.connection.onTime();
    expect(c.request()).toBe(request);
  });

  it('are made after the statuses that are configured, and no others', () => {
    const c = opened({ retry: { statuses: [429] } });
    c.text('a');
    c.sent();
    expect(c.answer('', [], 429)).toEqual([wait(1500, 'retry')]);
    c.connection.onTime();
    c.sent();
    expect(c.answer('', [], 503)).toEqual(failure('answered 503, no events'));
  });

  it('repeat the acceptance accounts of the request', () => {
    const c = opened();
    c.text('ab');
    c.turn('TEXT 2\r\nab\r\n', '', 'Content-Bytes-Accepted', '1');
    c.text('c');
    c.sent();
    c.answer('', [], 503);
    c.text('d');
    c.connection.onTime();
    const again = c.request()!;
    expect(again.replayedBytes).toBe(1);
    expect(again.body.toString()).toBe('TEXT 1\r\nb\r\nTEXT 1\r\nc\r\n');
    c.answer('', ['Content-Bytes-Accepted', '0']);
    expect(c.request()!.body.toString()).toBe('TEXT 1\r\nb\r\nTEXT 1\r\nc\r\nTEXT 1\r\nd\r\n');
  });

  it('go on after the client is gone, who is reported behind what it said', () => {
    const c = opened();
    c.text('a');
    c.sent();
    c.connection.onFailure('not-reached', 'x');
    c.connection.onClientLost();
    expect(c.request()).toBeUndefined();
    c.connection.onTime();
    c.turn('TEXT 1\r\na\r\n', 'TEXT 1\r\nx\r\n');
    c.turn('DISCONNECT\r\n');
  });
});

describe('a backend that fails after OPEN', () => {
  const answers: [string, string, string[], number][] = [
    ['500', '', [], 500],
    ['404', '', [], 404],
    ['204', '', [], 204],
    ['a malformed body', 'TEXT 5\r\nx', [], 200],
    ['content without its CRLF', 'TEXT 1\r\nx', [], 200],
    ['a second OPEN', 'OPEN\r\n', [], 200],
    ['a second OPEN behind a message', 'TEXT 1\r\nx\r\nOPEN\r\n', [], 200],
    ['a text that is not UTF-8', 'TEXT 1\r\n\xff\r\n', [], 200],
    ['a ping that fits no frame', `PING 7e\r\n${'x'.repeat(126)}\r\n`, [], 200],
    ['a coded body', '', ['Content-Encoding', 'br'], 200],
  ];

  it.each(answers)(
    '(%s) closes the client with 1011, and is told of the end',
    (_name, body, fields, status) => {
      const c = opened();
      c.text('a');
      c.sent();
      const actions = c.answer(body, fields, status);
      expect(actions).toEqual(failure('the backend '));
      expect(actions.filter((action) => action.do === 'deliver')).toEqual([]);
      // The client answers the Close, then its connection ends.
      c.connection.onClientClose(1011, Buffer.alloc(0));
      c.text('late');
      c.turn('DISCONNECT\r\n');
      c.connection.onClientLost();
      expect(c.state).toBe('over');
      expect(c.request()).toBeUndefined();
    },
  );

  it('by an answer of another type', () => {
    const c = opened();
    c.text('a');
    c.sent();
    const fields = HeaderList.fromRaw(['Content-Type', 'text/html']);
    expect(c.connection.onResponse({ status: 200, fields, body: Buffer.alloc(0) })).toEqual(
      failure('answered 200'),
    );
  });

  it('by DISCONNECT is not told what it said itself', () => {
    const c = opened();
    c.text('a');
    c.sent();
    c.text('b');
    expect(c.answer('TEXT 1\r\nx\r\nDISCONNECT\r\nTEXT 1\r\ny\r\n')).toEqual([
      deliver('TEXT', 'x'),
      ...failure('does not know the connection (DISCONNECT); messages of the client lost: 1 (1 bytes)'),
    ]);
    expect(c.state).toBe('over');
    expect(c.request()).toBeUndefined();
  });
});

describe('the backend closes', () => {
  it.each([
    ['with code and reason', 'CLOSE 6\r\n\x0f\xa1kick\r\n', close(4001, 'kick')],
    ['without a code', 'CLOSE\r\n', close(1000)],
    ['with an empty content', 'CLOSE 0\r\n\r\n', close(1000)],
    ['with code 0, as js-grip does', 'CLOSE 2\r\n\0\0\r\n', close(1000)],
    ['with a code that must not leave', 'CLOSE 2\r\n\x03\xee\r\n', close(1000)],
    ['with one byte', 'CLOSE 1\r\n\x03\r\n', close(1000)],
  ])('%s', (_name, body, expected) => {
    const c = opened({}, ...KEEP_ALIVE);
    c.text('a');
    c.sent();
    // No keep-alive from here on.
    expect(c.answer(body)).toEqual([expected]);
    expect(c.state).toBe('closing');
    expect(c.request()).toBeUndefined();
    c.connection.onClientClose(1000, Buffer.alloc(0));
    expect(c.turn(`CLOSE 2\r\n${NORMAL}\r\n`)).toEqual([]);
    expect(c.state).toBe('over');
  });

  it('and nothing behind it counts, not even a second OPEN', () => {
    const c = opened();
    c.text('a');
    c.sent();
    const actions = c.answer(
      'TEXT 1\r\nx\r\nCLOSE\r\nTEXT 1\r\ny\r\nCLOSE 2\r\n\x0f\xa1\r\nOPEN\r\nDISCONNECT\r\n',
    );
    expect(actions).toEqual([deliver('TEXT', 'x'), close(1000)]);
    // What the client said before its answer still reaches the backend, which has nothing more to say.
    c.text('b');
    expect(c.turn('TEXT 1\r\nb\r\n', 'TEXT 1\r\nz\r\nCLOSE\r\n')).toEqual([]);
  });

  it('and is told DISCONNECT where the client goes without its answer', () => {
    const c = opened();
    c.text('a');
    c.turn('TEXT 1\r\na\r\n', 'CLOSE\r\n');
    c.connection.onClientLost();
    c.turn('DISCONNECT\r\n');
    expect(c.state).toBe('over');
  });
});

describe('the client closes', () => {
  it('without a code', () => {
    const c = opened();
    c.connection.onClientClose(undefined, Buffer.alloc(0));
    expect(c.turn('CLOSE\r\n', 'CLOSE\r\n')).toEqual([close(1000)]);
    expect(c.state).toBe('over');
  });

  it('and is answered with its own code where the backend says nothing', () => {
    const c = opened();
    c.connection.onClientClose(4001, Buffer.from('bye'));
    expect(c.turn('CLOSE 5\r\n\x0f\xa1bye\r\n')).toEqual([close(4001, 'bye')]);
    expect(c.state).toBe('over');
  });

  it('and with keep-alives the backend is asked until it closes', () => {
    const c = opened({}, ...KEEP_ALIVE);
    c.connection.onClientClose(1000, Buffer.alloc(0));
    expect(c.turn(`CLOSE 2\r\n${NORMAL}\r\n`, 'TEXT 1\r\nx\r\n')).toEqual([
      deliver('TEXT', 'x'),
      wait(60_000, 'keep-alive'),
    ]);
    c.connection.onTime();
    expect(c.turn('')).toEqual([wait(60_000, 'keep-alive')]);
    c.connection.onTime();
    expect(c.turn('', 'CLOSE 2\r\n\x0f\xa1\r\n')).toEqual([close(4001)]);
    expect(c.state).toBe('over');
  });

  it('and a backend that was told, and fails then, is not told again', () => {
    const c = opened({}, ...KEEP_ALIVE);
    c.connection.onClientClose(1000, Buffer.alloc(0));
    c.turn(`CLOSE 2\r\n${NORMAL}\r\n`);
    c.connection.onTime();
    c.sent();
    expect(c.answer('', [], 500)).toEqual(failure('answered 500'));
    expect(c.state).toBe('over');
    expect(c.request()).toBeUndefined();
  });

  it('and is over when it does not wait for the answer: the backend was told', () => {
    const c = opened({}, ...KEEP_ALIVE);
    c.connection.onClientClose(1000, Buffer.alloc(0));
    c.turn(`CLOSE 2\r\n${NORMAL}\r\n`);
    c.connection.onClientLost();
    expect(c.state).toBe('over');
    expect(c.request()).toBeUndefined();
  });

  it('and goes before the CLOSE has left: it is told once', () => {
    const c = opened({}, ...KEEP_ALIVE);
    c.text('a');
    c.sent();
    c.connection.onClientClose(1000, Buffer.alloc(0));
    c.connection.onClientLost();
    c.answer();
    expect(c.turn(`CLOSE 2\r\n${NORMAL}\r\n`)).toEqual([]);
    expect(c.state).toBe('over');
  });

  it('behind what it said before', () => {
    const c = opened();
    c.text('a');
    c.sent();
    c.text('b');
    c.connection.onClientClose(1000, Buffer.alloc(0));
    c.text('after the Close');
    c.answer();
    expect(c.turn(`TEXT 1\r\nb\r\nCLOSE 2\r\n${NORMAL}\r\n`, 'CLOSE\r\n')).toEqual([close(1000)]);
  });

  it('and a backend that fails at that is told DISCONNECT', () => {
    const c = opened();
    c.connection.onClientClose(1000, Buffer.alloc(0));
    c.sent();
    expect(c.answer('', [], 500)).toEqual(failure('answered 500'));
    c.turn('DISCONNECT\r\n');
    expect(c.state).toBe('over');
  });

  it('and a backend that answers DISCONNECT has forgotten it, which is fine', () => {
    const c = opened();
    c.connection.onClientClose(1001, Buffer.alloc(0));
    c.sent();
    expect(c.answer('DISCONNECT\r\n')).toEqual([close(1001)]);
    expect(c.state).toBe('over');
  });
});

describe('the client is gone', () => {
  it('behind what it said before', () => {
    const c = opened();
    c.text('a');
    c.sent();
    c.text('b');
    c.connection.onClientLost();
    expect(c.answer('TEXT 1\r\nx\r\n')).toEqual([]);
    c.turn('TEXT 1\r\nb\r\nDISCONNECT\r\n');
    expect(c.state).toBe('over');
  });

  it.each([500, 501, 404])('and any answer is final: %d', (status) => {
    const c = opened();
    c.text('a');
    c.connection.onClientLost();
    c.sent();
    expect(c.answer('', [], status)).toEqual([
      report(`told that the client is gone, answered ${status}; messages of the client lost: 1 (1 bytes)`),
    ]);
    expect(c.state).toBe('over');
  });

  it('and what the answer says is not looked at', () => {
    const c = opened();
    c.connection.onClientLost();
    expect(c.turn('DISCONNECT\r\n', 'OPEN\r\nTEXT 9\r\n')).toEqual([]);
    expect(c.state).toBe('over');
  });

  it('and a 503 is a reason to try again', () => {
    const c = opened();
    c.connection.onClientLost();
    c.sent();
    expect(c.answer('', [], 503)).toEqual([wait(1500, 'retry')]);
    c.connection.onTime();
    c.turn('DISCONNECT\r\n');
    expect(c.state).toBe('over');
  });

  it('and silence is final', () => {
    const c = opened();
    c.connection.onClientLost();
    c.sent();
    expect(c.connection.onFailure('ambiguous', 'timeout')).toEqual([report('gave no answer: timeout')]);
    expect(c.state).toBe('over');
  });

  it('twice is once', () => {
    const c = opened();
    c.connection.onClientLost();
    c.turn('DISCONNECT\r\n');
    c.connection.onClientLost();
    expect(c.request()).toBeUndefined();
  });
});

describe('detach', () => {
  it('tells the backend CLOSE, and the client nothing', () => {
    const c = opened({}, ...KEEP_ALIVE);
    c.text('a');
    c.connection.detach();
    c.text('b');
    expect(c.turn('TEXT 1\r\na\r\nCLOSE\r\n', 'TEXT 1\r\nx\r\nCLOSE\r\n')).toEqual([]);
    expect(c.state).toBe('over');
    expect(c.request()).toBeUndefined();
  });

  it('wants no answer', () => {
    const c = opened({}, ...KEEP_ALIVE);
    c.connection.detach();
    expect(c.turn('CLOSE\r\n')).toEqual([]);
    expect(c.state).toBe('over');
  });
});

it('an answer without a request is a fault of the caller', () => {
  const c = opened();
  expect(() => c.answer()).toThrow('without a request');
  expect(() => c.connection.onFailure('ambiguous', '')).toThrow('without a request');
});
