import { HttpResponseFormat, HttpStreamFormat, Item, WebSocketMessageFormat } from '@fanoutio/grip';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type PublishProblem,
  publishProblemText,
  type PublishReading,
  readPublishBody,
} from './publish-body.js';
import { decodeItem, encodeItem } from './publish-json.js';
import type { PublishItem } from './types.js';

const limits = { maxItems: 100, maxContentBytes: 1000 };
const read = (body: unknown) =>
  readPublishBody(typeof body === 'string' ? body : JSON.stringify(body), limits);

const plain: PublishItem = {
  channel: 'room1',
  id: undefined,
  prevId: undefined,
  noSeq: false,
  meta: {},
  wsMessage: undefined,
  httpStream: undefined,
  httpResponse: undefined,
};

/** The one item of a body, which must be good. */
function itemOf(item: unknown): PublishItem {
  const reading = read({ items: [item] });
  if (!reading.ok) throw new Error(publishProblemText(reading.problems));
  expect(reading.items).toHaveLength(1);
  return reading.items[0]!;
}

function problemsOf(reading: PublishReading): readonly PublishProblem[] {
  return reading.ok ? [] : reading.problems;
}

/** The text of the 400 for an item that must be bad. */
function problemOf(item: unknown): string {
  const reading = read({ items: [item] });
  if (reading.ok) throw new Error('it was taken');
  return publishProblemText(reading.problems);
}

describe('readPublishBody', () => {
  it.each([
    '{"items":[{"channel":"room1","id":"2","prev-id":"1","formats":{"ws-message":{"content":"hi"}}}]}',
    '{"items":[{"formats":{"ws-message":{"content":"hi"}},"id":"2","prev-id":"1","channel":"room1"}]}',
    '{"items":[{"ws-message":{"content":"hi"},"id":"2","prev-id":"1","channel":"room1"}]}',
  ])('reads the message of %s', (body) => {
    expect(read(body)).toEqual({
      ok: true,
      items: [
        {
          ...plain,
          id: '2',
          prevId: '1',
          wsMessage: { action: 'send', type: 'text', content: Buffer.from('hi'), contentFilters: undefined },
        },
      ],
    });
  });

  it('reads a kick', () => {
    const body =
      '{"items":[{"channel":"conn-7e0c","formats":{"ws-message":{"action":"close","code":4001,"reason":"kicked"}}}]}';
    expect(read(body)).toMatchObject({
      ok: true,
      items: [{ channel: 'conn-7e0c', wsMessage: { action: 'close', code: 4001, reason: 'kicked' } }],
    });
  });

  it('takes numbers as strings, meta, and what names a channel’s sequence', () => {
    const item = itemOf({
      channel: 'a',
      meta: { sender: 'alice' },
      'no-seq': true,
      size: '12',
      formats: {
        'http-response': {
          code: '404',
          headers: [
            ['X', '1'],
            ['X', '2'],
          ],
          body: '',
        },
      },
    });
    expect(item).toMatchObject({
      noSeq: true,
      meta: { sender: 'alice' },
      httpResponse: {
        code: 404,
        reason: undefined,
        headers: [
          ['X', '1'],
          ['X', '2'],
        ],
        body: { bytes: Buffer.alloc(0) },
      },
    });
  });

  it('takes the type of a message from where its content stands', () => {
    const typeOf = (format: object) => itemOf({ channel: 'a', 'ws-message': format }).wsMessage;
    expect(typeOf({ content: 'x' })).toMatchObject({ type: 'text' });
    expect(typeOf({ 'content-bin': 'AP8Q' })).toMatchObject({
      type: 'binary',
      content: Buffer.from([0, 255, 16]),
    });
    expect(typeOf({ 'content-bin': '-_8', content: 'x' })).toMatchObject({
      content: Buffer.from([251, 255]),
    });
    expect(typeOf({ type: 'text', 'content-bin': 'eA==' })).toMatchObject({ type: 'text' });
    expect(typeOf({ type: 'ping' })).toMatchObject({ type: 'ping', content: Buffer.alloc(0) });
  });

  it('tells content filters that are absent from none', () => {
    const filtersOf = (filters: unknown) =>
      itemOf({ channel: 'a', 'http-stream': { content: '', 'content-filters': filters } }).httpStream;
    expect(filtersOf(undefined)).toMatchObject({ contentFilters: undefined });
    expect(filtersOf([])).toMatchObject({ contentFilters: [] });
    expect(filtersOf(['build-id'])).toMatchObject({ contentFilters: ['build-id'] });
  });

  it('reads every action, and ignores formats and actions that mean nothing where they stand', () => {
    expect(
      itemOf({
        channel: 'a',
        formats: {
          'ws-message': { action: 'refresh' },
          'http-stream': { action: 'close', content: '' },
          'http-response': { action: 'hint' },
          carrier_pigeon: 7,
        },
      }),
    ).toMatchObject({
      wsMessage: { action: 'refresh' },
      httpStream: { action: 'close' },
      httpResponse: { action: 'hint' },
    });
    const hinted = itemOf({
      channel: 'a',
      formats: { 'ws-message': { action: 'hint' }, 'http-stream': { action: 'hint' } },
    });
    expect(hinted).toMatchObject({ wsMessage: undefined, httpStream: { action: 'hint' } });
    expect(itemOf({ channel: 'room1', formats: { unknown: {} } })).toEqual(plain);
    expect(read({ items: [] })).toEqual({ ok: true, items: [] });
  });

  it.each<[string, string]>([
    ['', 'Body is not valid JSON.\n'],
    ['{"items":[', 'Body is not valid JSON.\n'],
    ['[]', 'Invalid format.\n'],
    ['7', 'Invalid format.\n'],
    ['{}', "Invalid format: object does not contain 'items'\n"],
    ['{"items":{}}', "Invalid format: object contains 'items' with wrong type\n"],
    ['{"items":[7]}', 'Invalid format: publish item object is not an object\n'],
    ['{"items":[{}]}', "Invalid format: publish item object does not contain 'channel'\n"],
    ['{"items":[{"channel":"a"}]}', 'Invalid format: no formats specified\n'],
    ['{"items":[{"channel":"a","formats":{}}]}', 'Invalid format: no formats specified\n'],
    [
      '{"items":[{"channel":"a","formats":7}]}',
      "Invalid format: publish item object contains 'formats' with wrong type\n",
    ],
    ['{"items":[{"channel":"a","http-stream":7}]}', "Invalid format: 'http-stream' is not an object\n"],
  ])('refuses %s as Pushpin does', (body, line) => {
    const reading = read(body);
    expect(reading.ok).toBe(false);
    expect(publishProblemText(problemsOf(reading))).toMatch(
      new RegExp(`^${line.replaceAll(/[.()]/g, '\\$&')}`),
    );
  });

  it.each<[object, string, string]>([
    [{ content: 7 }, "'ws-message' contains 'content' with wrong type", 'content: '],
    [{}, "'ws-message' does not contain 'content' or 'content-bin'", ': '],
    [{ type: 'smoke', content: '' }, "'ws-message' contains 'type' with unknown value", 'type: '],
    [{ action: 'shout', content: '' }, "'ws-message' contains 'action' with unknown value", 'action: '],
    [{ action: 'close', code: 'x' }, "'ws-message' contains 'code' with wrong type", 'code: '],
    [{ action: 'close', code: null }, "'ws-message' contains 'code' with wrong type", 'code: '],
    [{ action: 'close', code: -1 }, "'ws-message' contains 'code' with invalid value", 'code: '],
    [
      { content: '', 'content-filters': [1] },
      'content-filters contains element with wrong type',
      'content-filters[0]: ',
    ],
    [{ 'content-bin': '*' }, "'ws-message' contains 'content-bin' with invalid value", 'content-bin: '],
    [
      { type: 'text', 'content-bin': '/w==' },
      "'ws-message' contains 'content-bin' with invalid value",
      'content-bin: ',
    ],
    [
      { type: 'ping', content: 'x'.repeat(126) },
      "'ws-message' contains 'content' with invalid value",
      'content: ',
    ],
    [{ content: 'é'.repeat(501) }, "'ws-message' contains 'content' with invalid value", 'content: '],
  ])('refuses the ws-message %j', (format, line, place) => {
    const [first, second] = problemOf({ channel: 'a', formats: { 'ws-message': format } }).split('\n');
    expect(first).toBe(`Invalid format: ${line}`);
    expect(second).toContain(
      place === ': ' ? 'items[0].formats.ws-message: ' : `items[0].formats.ws-message.${place}`,
    );
    expect(second).toContain('; expected ');
  });

  it.each<[object, string]>([
    [{ code: 42, body: '' }, "'http-response' contains 'code' with invalid value"],
    [{}, "'http-response' does not contain 'body', 'body-bin', or 'body-patch'"],
    [{ headers: 'x', body: '' }, "'http-response' contains 'headers' with wrong type"],
    [{ headers: [['a']], body: '' }, 'headers contains list with wrong number of elements'],
    [{ headers: { a: 1 }, body: '' }, "headers contains 'a' with wrong type"],
    [{ headers: { a: 'b\r\nSet-Cookie: c' }, body: '' }, "headers contains 'a' with invalid value"],
    [{ headers: { 'a b': 'c' }, body: '' }, "headers contains 'a b' with invalid value"],
    [{ reason: 'a\nb', body: '' }, "'http-response' contains 'reason' with invalid value"],
    [{ 'body-patch': {} }, "'http-response' contains 'body-patch' with wrong type"],
  ])('refuses the http-response %j', (format, line) => {
    expect(problemOf({ channel: 'a', 'http-response': format })).toMatch(
      `Invalid format: ${line}\nitems[0].`,
    );
  });

  it('refuses a patch that nests too deep for whoever walks it', () => {
    const deep = JSON.parse('['.repeat(200) + ']'.repeat(200)) as unknown;
    expect(
      problemOf({ channel: 'a', 'http-response': { 'body-patch': [{ op: 'add', path: '', value: deep }] } }),
    ).toContain(
      "items[0].http-response.body-patch: 'http-response' contains 'body-patch' with invalid value; expected at most 100 levels",
    );
  });

  it('takes all or nothing, and tells of each bad item once', () => {
    const reading = read({
      items: [
        { channel: 'a', 'ws-message': { content: '' } },
        { channel: 7 },
        { channel: 'b', formats: { 'http-stream': {} } },
      ],
    });
    expect(reading).toMatchObject({
      ok: false,
      problems: [{ place: 'items[1].channel' }, { place: 'items[2].formats.http-stream' }],
    });
    expect(publishProblemText(problemsOf(reading))).toBe(
      [
        "Invalid format: publish item object contains 'channel' with wrong type",
        "items[1].channel: publish item object contains 'channel' with wrong type; expected a string",
        "items[2].formats.http-stream: 'http-stream' does not contain 'content' or 'content-bin'; expected one of them",
        '',
      ].join('\n'),
    );
  });

  it('keeps to its limits', () => {
    const item = { channel: 'a', 'ws-message': { content: '' } };
    expect(read({ items: Array.from({ length: 100 }, () => item) })).toMatchObject({ ok: true });
    expect(read({ items: Array.from({ length: 101 }, () => item) })).toMatchObject({
      ok: false,
      problems: [{ place: 'items', accepted: 'at most 100 items, not 101' }],
    });
    const many = read({ items: Array.from({ length: 30 }, () => ({})) });
    expect(publishProblemText(problemsOf(many))).toMatch(/\nand 20 more\n$/);
  });

  it('takes nothing from where JSON has nothing', () => {
    expect(problemOf(JSON.parse('{"__proto__":{"channel":"a"},"ws-message":{"content":""}}'))).toContain(
      "does not contain 'channel'",
    );
  });
});

describe('what GRIP’s own library publishes', () => {
  const exported = (...args: ConstructorParameters<typeof Item>) => ({
    ...new Item(...args).export(),
    channel: 'room1',
  });

  it('is read', () => {
    expect(itemOf(exported(new WebSocketMessageFormat('hi'), 'id-2', 'id-1'))).toEqual({
      ...plain,
      id: 'id-2',
      prevId: 'id-1',
      wsMessage: { action: 'send', type: 'text', content: Buffer.from('hi'), contentFilters: undefined },
    });
    expect(itemOf(exported(new WebSocketMessageFormat(new Uint8Array([0, 255])))).wsMessage).toMatchObject({
      type: 'binary',
      content: Buffer.from([0, 255]),
    });
    expect(itemOf(exported(new WebSocketMessageFormat(null, true, 4001))).wsMessage).toEqual({
      action: 'close',
      code: 4001,
      reason: '',
    });
    expect(
      itemOf(
        exported([new HttpStreamFormat(null, true), new HttpResponseFormat('200', 'Fine', { A: 'b' }, 'x')]),
      ),
    ).toMatchObject({
      httpStream: { action: 'close' },
      httpResponse: { code: 200, reason: 'Fine', headers: [['A', 'b']], body: { bytes: Buffer.from('x') } },
    });
  });
});

describe('an item from node to node', () => {
  const text = fc.string({ unit: 'grapheme' });
  const bytes = fc.uint8Array().map((array) => Buffer.from(array));
  const contentFilters = fc.option(fc.array(text), { nil: undefined });
  const wsMessage = fc.oneof(
    fc.record({
      action: fc.constant('send' as const),
      type: fc.constant('text' as const),
      content: text.map((content) => Buffer.from(content)),
      contentFilters,
    }),
    fc.record({
      action: fc.constant('send' as const),
      type: fc.constant('binary' as const),
      content: bytes,
      contentFilters,
    }),
    fc.record({
      action: fc.constant('send' as const),
      type: fc.constantFrom('ping' as const, 'pong' as const),
      content: bytes.map((content) => content.subarray(0, 125)),
      contentFilters,
    }),
    fc.record({
      action: fc.constant('close' as const),
      code: fc.option(fc.nat(65_535), { nil: undefined }),
      reason: text,
    }),
    fc.constant({ action: 'refresh' as const }),
  );
  const httpStream = fc.oneof(
    fc.record({ action: fc.constant('send' as const), content: bytes, contentFilters }),
    fc.constantFrom({ action: 'hint' as const }, { action: 'close' as const }),
  );
  const httpResponse = fc.oneof(
    fc.record({
      action: fc.constant('send' as const),
      code: fc.integer({ min: 200, max: 599 }),
      reason: fc.constantFrom(undefined, 'Fine', 'Schön'),
      headers: fc.array(fc.tuple(fc.constantFrom('A', 'B', 'Set-Cookie'), fc.constantFrom('', 'ä', 'x y'))),
      body: fc.oneof(
        fc.record({ bytes }),
        fc.record({
          patch: fc.array(fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown)),
        }),
      ),
      contentFilters,
    }),
    fc.constant({ action: 'hint' as const }),
  );
  const item: fc.Arbitrary<PublishItem> = fc.record({
    channel: text.filter((name) => name !== ''),
    id: fc.option(text, { nil: undefined }),
    prevId: fc.option(text, { nil: undefined }),
    noSeq: fc.boolean(),
    meta: fc.dictionary(text, text, { noNullPrototype: true }),
    wsMessage: fc.option(wsMessage, { nil: undefined }),
    httpStream: fc.option(httpStream, { nil: undefined }),
    httpResponse: fc.option(httpResponse, { nil: undefined }),
  });

  it('arrives as it left', () => {
    fc.assert(
      fc.property(item, (item) => {
        expect(decodeItem(encodeItem(item))).toEqual(item);
      }),
    );
  });

  it('is refused with one line where it is none', () => {
    expect(decodeItem('{')).toEqual({ problem: 'an item from another node is not JSON' });
    expect(decodeItem('{}')).toEqual({
      problem:
        "publish item object does not contain 'channel' (item.channel: expected a string that is not empty)",
    });
  });
});
