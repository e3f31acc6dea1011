import { describe, expect, it } from 'vitest';
import { FieldLines } from '../http/field-lines.js';
import { HeaderList } from '../http/header-list.js';
import { requestFields } from './request-fields.js';
import {
  Conversation,
  opened,
  deliver,
  close,
  wait,
  report,
  failure,
  NORMAL,
  KEEP_ALIVE,
} from '../../../test/fixtures/ws-over-http.js';

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
    const { text } = requestFields(FieldLines.of(replayed), request, sender);
    expect(text + request.body.toString()).toBe(
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

it('an answer without a request is a fault of the caller', () => {
  const c = opened();
  expect(() => c.answer()).toThrow('without a request');
  expect(() => c.connection.onFailure('ambiguous', '')).toThrow('without a request');
});
