import { describe, expect, it } from 'vitest';
import { HeaderList } from '../http/header-list.js';
import { Meta } from './meta.js';
import {
  contentBytesAccepted,
  contentCoding,
  isEvents,
  keepAliveInterval,
  readAcceptance,
  refusalFields,
} from './response-fields.js';

const list = (...raw: string[]) => HeaderList.fromRaw(raw);

describe('isEvents', () => {
  it.each([
    ['application/websocket-events', true],
    ['application/websocket-events; charset=utf-8', true],
    ['Application/WebSocket-Events;charset=utf-8', true],
    [' application/websocket-events ', true],
    ['application/websocket-events2', false],
    ['text/html; application/websocket-events', false],
    ['', false],
  ])('%j: %s', (value, expected) => {
    expect(isEvents(list('content-type', value))).toBe(expected);
  });

  it('takes no answer without a type, or with two', () => {
    expect(isEvents(list())).toBe(false);
    const type = 'application/websocket-events';
    expect(isEvents(list('Content-Type', type, 'Content-Type', 'text/html'))).toBe(false);
  });
});

describe('keepAliveInterval', () => {
  it.each<[string, number | 'off']>([
    ['60', 60_000],
    [' 60 ', 60_000],
    ['20', 20_000],
    ['19', 20_000],
    ['1', 20_000],
    ['0', 'off'],
    ['-5', 'off'],
    ['', 'off'],
    ['1.5', 'off'],
    ['soon', 'off'],
    ['60s', 'off'],
  ])('%j: %s', (value, expected) => {
    expect(keepAliveInterval(list('keep-alive-interval', value), 20_000)).toBe(expected);
  });

  it('stays as it is where it is not said', () => {
    expect(keepAliveInterval(list(), 20_000)).toBeUndefined();
  });
});

it('contentBytesAccepted reads a number of bytes', () => {
  const read = (value: string) => contentBytesAccepted(list('Content-Bytes-Accepted', value));
  expect(contentBytesAccepted(list())).toBeUndefined();
  expect(read('0')).toBe(0);
  expect(read(' 12 ')).toBe(12);
  for (const value of ['', '-1', '1.5', 'all', '1, 1', '0x5']) expect(read(value)).toBe('invalid');
});

it('contentCoding tells a coded body', () => {
  expect(contentCoding(list('Content-Encoding', 'gzip'))).toBe('gzip');
  expect(contentCoding(list('Content-Encoding', 'Identity'))).toBeUndefined();
  expect(contentCoding(list())).toBeUndefined();
});

describe('readAcceptance', () => {
  const read = (raw: string[], offered: string[] = [], offersGrip = true) =>
    readAcceptance(list(...raw), offered, offersGrip);

  it('takes a subprotocol that was offered', () => {
    expect(read(['sec-websocket-protocol', 'b'], ['a', 'b']).acceptance?.subprotocol).toBe('b');
    expect(read([], ['a', 'b']).acceptance?.subprotocol).toBeUndefined();
    expect(read(['Sec-WebSocket-Protocol', ''], ['a']).acceptance?.subprotocol).toBeUndefined();
  });

  it.each([
    ['one that was not offered', ['Sec-WebSocket-Protocol', 'c'], ['a', 'b']],
    ['one where none was offered', ['Sec-WebSocket-Protocol', 'a'], []],
    ['another case', ['Sec-WebSocket-Protocol', 'A'], ['a']],
    ['a list', ['Sec-WebSocket-Protocol', 'a, b'], ['a', 'b']],
    ['two', ['Sec-WebSocket-Protocol', 'a', 'Sec-WebSocket-Protocol', 'b'], ['a', 'b', 'a, b']],
  ])('does not take %s', (_name, raw, offered) => {
    const { acceptance, problem } = read(raw, offered);
    expect(acceptance).toBeUndefined();
    expect(problem).toContain('was chosen; offered: ');
  });

  it.each<[string, string | undefined]>([
    ['grip', 'm:'],
    ['GRIP', 'm:'],
    ['grip; message-prefix="x"', 'x'],
    ['grip; message-prefix=x', 'x'],
    ['grip;Message-Prefix = "x:" ', 'x:'],
    ['grip; message-prefix=""', ''],
    ['grip; message-prefix="a\\"b\\\\c"', 'a"b\\c'],
    ['grip; message-prefix="a;b,c"', 'a;b,c'],
    ['grip; message-prefix="a\\";b"', 'a";b'],
    ['grip; other=1; message-prefix="x"', 'x'],
    ['permessage-deflate; a="grip, b", grip; message-prefix="x"', 'x'],
    ['permessage-deflate', undefined],
    ['gripper', undefined],
    ['', undefined],
  ])('reads GRIP from %j: %j', (value, prefix) => {
    const { acceptance } = read(['Sec-WebSocket-Extensions', value]);
    expect(acceptance?.grip?.messagePrefix.toString()).toBe(prefix);
  });

  it('has a prefix in UTF-8 as its bytes came', () => {
    const value = Buffer.from('grip; message-prefix="ü"').toString('latin1');
    expect(read(['Sec-WebSocket-Extensions', value]).acceptance?.grip?.messagePrefix.toString()).toBe('ü');
  });

  it('has no GRIP that was not offered', () => {
    expect(read(['Sec-WebSocket-Extensions', 'grip'], [], false).acceptance?.grip).toBeUndefined();
  });

  it('leaves for the 101 only what is meant for the client', () => {
    const raw = [
      ...[
        'Content-Type',
        'application/websocket-events',
        'Content-Length',
        '57',
        'Content-Encoding',
        'identity',
      ],
      ...[
        'Keep-Alive-Interval',
        '60',
        'Set-Meta-User',
        'alice',
        'set-meta-',
        'x',
        'Content-Bytes-Accepted',
        '0',
      ],
      ...['Sec-WebSocket-Extensions', 'grip', 'Sec-WebSocket-Protocol', 'a', 'Sec-WebSocket-Accept', 'x'],
      ...['Grip-Hold', 'stream', 'Connection', 'close, X-Hop', 'X-Hop', '1', 'Transfer-Encoding', 'chunked'],
      ...['Upgrade', 'websocket', 'Trailer', 'X', 'Alt-Svc', 'h3'],
      ...[
        'Set-Cookie',
        'a=1',
        'Date',
        'now',
        'Set-Cookie',
        'b=2',
        'Content-Security-Policy',
        "default-src 'self'",
      ],
    ];
    expect(read(raw, ['a']).acceptance?.fields.toRaw()).toEqual(raw.slice(-8));
  });
});

it('refusalFields leaves the answer, but not what is between backend and gateway', () => {
  const fields = refusalFields(
    list(
      ...['Content-Type', 'text/plain', 'Content-Length', '9', 'X-Why', 'no', 'Set-Meta-User', 'a'],
      ...[
        'Grip-Hold',
        'stream',
        'Keep-Alive-Interval',
        '60',
        'Transfer-Encoding',
        'chunked',
        'Connection',
        'close',
      ],
    ),
  );
  expect(fields.toRaw()).toEqual(['Content-Type', 'text/plain', 'X-Why', 'no']);
});

describe('Meta', () => {
  it('compares names without regard to case, and says them as they were last spelled', () => {
    const meta = new Meta();
    meta.apply(list('Set-Meta-User', 'alice', 'X', 'y', 'SET-META-Room', '1', 'Set-Meta-', 'nobody'));
    expect([...meta]).toEqual([
      ['User', 'alice'],
      ['Room', '1'],
    ]);
    meta.apply(list('set-meta-user', 'bob'));
    expect([...meta]).toEqual([
      ['user', 'bob'],
      ['Room', '1'],
    ]);
    expect(meta.bytes).toBe('userbobRoom1'.length);
  });

  it('deletes by an empty value', () => {
    const meta = new Meta();
    meta.apply(list('Set-Meta-User', 'alice', 'Set-Meta-Room', '1'));
    meta.apply(list('Set-Meta-USER', ' ', 'Set-Meta-Unknown', ''));
    expect([...meta]).toEqual([['Room', '1']]);
    expect(meta.bytes).toBe(5);
  });
});
