import { describe, expect, it } from 'vitest';
import { HeaderList } from '../http/header-list.js';
import {
  Conversation,
  deliver,
  close,
  wait,
  report,
  KEEP_ALIVE,
} from '../../../test/fixtures/ws-over-http.js';

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
