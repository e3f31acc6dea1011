import { describe, expect, it } from 'vitest';
import {
  opened,
  deliver,
  close,
  wait,
  report,
  failure,
  NORMAL,
  KEEP_ALIVE,
} from '../../../test/fixtures/ws-over-http.js';

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
