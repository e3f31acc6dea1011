import { describe, expect, it } from 'vitest';
import { HeaderList } from '../http/header-list.js';
import {
  type Conversation,
  opened,
  deliver,
  wait,
  report,
  failure,
} from '../../../test/fixtures/ws-over-http.js';

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
