import { describe, expect, it } from 'vitest';
import { opened, close, wait, failure, NORMAL, KEEP_ALIVE } from '../../../test/fixtures/ws-over-http.js';

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
