import { createWebSocketControlMessage, WebSocketContext } from '@fanoutio/grip';
import { describe, expect, it } from 'vitest';
import { HeaderList } from '../http/header-list.js';
import { readControlMessage } from './ws-control.js';
import { readGripExtension, sortMessage } from './ws-messages.js';

const read = (value: unknown) =>
  readControlMessage(typeof value === 'string' ? value : JSON.stringify(value));
const messageOf = (value: unknown) => {
  const reading = read(value);
  if (!reading.ok) throw new Error(reading.problem);
  return reading.message;
};

describe('readControlMessage', () => {
  it.each<[string, object]>([
    ['{"channel":"room1","type":"subscribe"}', { type: 'subscribe', channel: 'room1', filters: [] }],
    [
      '{"type":"subscribe","channel":"a","filters":["skip-self","var-subst"]}',
      { type: 'subscribe', channel: 'a', filters: ['skip-self', 'var-subst'] },
    ],
    ['{"type":"unsubscribe","channel":"a"}', { type: 'unsubscribe', channel: 'a' }],
    ['{"type":"detach","more":1}', { type: 'detach' }],
    ['{"type":"session","id":"s"}', { type: 'session', id: 's' }],
    ['{"type":"session"}', { type: 'session', id: undefined }],
    ['{"type":"set-meta","name":"user","value":"alice"}', { type: 'set-meta', name: 'user', value: 'alice' }],
    ['{"type":"set-meta","name":"user","value":""}', { type: 'set-meta', name: 'user', value: '' }],
    ['{"type":"set-meta","name":"user"}', { type: 'set-meta', name: 'user', value: undefined }],
    [
      '{"type":"keep-alive","message-type":"ping","content":"k","timeout":30}',
      {
        type: 'keep-alive',
        message: { messageType: 'ping', content: Buffer.from('k'), timeoutMs: 30_000, mode: 'idle' },
      },
    ],
    [
      '{"type":"keep-alive","content-bin":"aw==","mode":"interval"}',
      {
        type: 'keep-alive',
        message: { messageType: 'text', content: Buffer.from('k'), timeoutMs: 55_000, mode: 'interval' },
      },
    ],
    ['{"type":"keep-alive","timeout":30}', { type: 'keep-alive', message: undefined }],
    [
      '{"type":"send-delayed","message-type":"binary","content-bin":"AP8=","timeout":"3"}',
      { type: 'send-delayed', messageType: 'binary', content: Buffer.from([0, 255]), timeoutMs: 3000 },
    ],
    [
      '{"type":"send-delayed","content":"x"}',
      { type: 'send-delayed', messageType: 'text', content: Buffer.from('x'), timeoutMs: 1000 },
    ],
    ['{"type":"flush-delayed"}', { type: 'flush-delayed' }],
  ])('reads %s', (json, message) => {
    expect(read(json)).toEqual({ ok: true, message });
  });

  it.each<[string, string]>([
    ['{', 'grip control message is not valid JSON'],
    ['7', 'grip control object is not an object (c: expected an object)'],
    ['{}', "grip control object does not contain 'type' (c.type: expected a string that is not empty)"],
    [
      '{"type":"set-hold"}',
      "'type' contains unknown value: set-hold (c.type: expected subscribe, unsubscribe, ",
    ],
    ['{"type":"subscribe"}', "grip control object does not contain 'channel'"],
    ['{"type":"subscribe","channel":""}', "grip control object contains 'channel' with invalid value"],
    [
      '{"type":"subscribe","channel":"a","filters":"b"}',
      "grip control object contains 'filters' with wrong type",
    ],
    [
      '{"type":"subscribe","channel":"a","filters":[1]}',
      'filters contains element with wrong type (c.filters[0]',
    ],
    [
      '{"type":"subscribe","channel":"a","filters":["b"]}',
      "no such filter 'b' for channel 'a'; there are skip-self",
    ],
    ['{"type":"unsubscribe","channel":7}', "grip control object contains 'channel' with wrong type"],
    ['{"type":"set-meta"}', "grip control object does not contain 'name'"],
    ['{"type":"keep-alive","content":"","message-type":"x"}', "contains 'message-type' with unknown value"],
    [
      '{"type":"keep-alive","content":"","timeout":-1}',
      "grip control object contains 'timeout' with invalid value",
    ],
    [
      '{"type":"keep-alive","content":"","mode":"x"}',
      "contains 'mode' with unknown value (c.mode: expected idle, interval)",
    ],
    [
      '{"type":"keep-alive","content-bin":"/w=="}',
      "contains 'content-bin' with invalid value (c.content-bin: expected UTF-8",
    ],
    ['{"type":"send-delayed"}', "grip control object does not contain 'content' or 'content-bin'"],
  ])('says in one line what is wrong with %s', (json, problem) => {
    const reading = read(json);
    expect(reading).toEqual({ ok: false, problem: expect.stringContaining(problem) as string });
  });

  it('reads what GRIP’s own library writes', () => {
    expect(messageOf(createWebSocketControlMessage('subscribe', { channel: 'x' }))).toEqual({
      type: 'subscribe',
      channel: 'x',
      filters: [],
    });
    const context = new WebSocketContext('id', {}, [], 'prefix-');
    context.subscribe('a');
    context.unsubscribe('a');
    context.detach();
    context.send('hello');
    context.sendBinary(new Uint8Array([0, 255]));
    const sorted = context.getOutgoingEvents().map(({ type, content }) => {
      const bytes = Buffer.from(content as Uint8Array);
      const sorted = sortMessage(type === 'TEXT' ? 'text' : 'binary', bytes, Buffer.from('m:'));
      return sorted.kind === 'control' ? messageOf(sorted.json) : sorted;
    });
    expect(sorted).toEqual([
      { type: 'subscribe', channel: 'prefix-a', filters: [] },
      { type: 'unsubscribe', channel: 'prefix-a' },
      { type: 'detach' },
      { kind: 'message', content: Buffer.from('hello') },
      { kind: 'message', content: Buffer.from([0, 255]) },
    ]);
  });
});

describe('sortMessage', () => {
  const sort = (type: 'text' | 'binary', content: string, prefix = 'm:') =>
    sortMessage(type, Buffer.from(content), Buffer.from(prefix));

  it('takes the prefix off, or drops what has none', () => {
    expect(sort('text', 'm:HELLO')).toEqual({ kind: 'message', content: Buffer.from('HELLO') });
    expect(sort('binary', 'm:')).toEqual({ kind: 'message', content: Buffer.alloc(0) });
    expect(sort('text', 'hello')).toEqual({ kind: 'neither' });
    expect(sort('text', 'm')).toEqual({ kind: 'neither' });
    expect(sort('binary', 'c:{}')).toEqual({ kind: 'neither' });
  });

  it('hears control messages whatever the prefix is', () => {
    expect(sort('text', 'c:{"é":1}')).toEqual({ kind: 'control', json: '{"é":1}' });
    expect(sort('text', 'c:{}', '')).toEqual({ kind: 'control', json: '{}' });
    expect(sort('binary', 'c:{}', '')).toEqual({ kind: 'message', content: Buffer.from('c:{}') });
    expect(sort('text', 'anything', '')).toEqual({ kind: 'message', content: Buffer.from('anything') });
    expect(sort('text', '→x', '→')).toEqual({ kind: 'message', content: Buffer.from('x') });
  });
});

describe('readGripExtension', () => {
  it.each<[string | undefined, string | undefined]>([
    [undefined, undefined],
    ['permessage-deflate', undefined],
    ['gripped', undefined],
    ['grip', 'm:'],
    ['GRIP', 'm:'],
    ['permessage-deflate, grip; message-prefix="x"', 'x'],
    ['grip; message-prefix=""', ''],
    ['grip; message-prefix=abc', 'abc'],
    ['grip; message-prefix="a;\\"b,"', 'a;"b,'],
  ])('%s', (value, prefix) => {
    const headers = HeaderList.fromRaw(value === undefined ? [] : ['Sec-WebSocket-Extensions', value]);
    expect(readGripExtension(headers)).toEqual(
      prefix === undefined ? { kind: 'off' } : { kind: 'on', messagePrefix: Buffer.from(prefix) },
    );
  });
});
