import { describe, expect, it } from 'vitest';
import { HeaderList } from '../http/header-list.js';
import type { ClientResponse } from './hold.js';
import { answerTo, publishedBody } from './long-poll.js';
import type { HttpResponseFormat } from './types.js';

type Published = Extract<HttpResponseFormat, { action: 'send' }>;

const held = (body = '', ...raw: string[]): ClientResponse => ({
  status: 304,
  reason: 'Not Modified',
  headers: HeaderList.fromRaw([
    'Content-Type',
    'application/json',
    'Content-Length',
    '2',
    'ETag',
    '"1"',
    'Vary',
    'A',
    ...raw,
  ]),
  body: Buffer.from(body),
});

const published = (format: Partial<Published> = {}): Published => ({
  action: 'send',
  code: 200,
  reason: undefined,
  headers: [],
  body: { bytes: Buffer.from('new') },
  contentFilters: undefined,
  ...format,
});

describe('answerTo', () => {
  it('takes the status of what is published and the headers of what was held', () => {
    const answer = answerTo(held(), published(), Buffer.from('new'));
    expect(answer).toEqual({
      status: 200,
      reason: 'OK',
      headers: HeaderList.fromRaw(['Content-Type', 'application/json', 'ETag', '"1"', 'Vary', 'A']),
      body: Buffer.from('new'),
    });
  });

  it('puts published headers in the place of held ones, without what frames a message', () => {
    const headers = [
      ['etag', '"2"'],
      ['Set-Cookie', 'a'],
      ['Set-Cookie', 'ü'],
      ['Transfer-Encoding', 'chunked'],
      ['Grip-Secret', 'x'],
    ] as const;
    const answer = answerTo(
      held('', 'Content-Encoding', 'gzip'),
      published({ code: 404, reason: 'Schön', headers }),
      Buffer.alloc(0),
    );
    expect(answer.status).toBe(404);
    expect(answer.reason).toBe('Sch\xc3\xb6n');
    expect(answer.headers.toRaw()).toEqual([
      'Content-Type',
      'application/json',
      'Vary',
      'A',
      'etag',
      '"2"',
      'Set-Cookie',
      'a',
      'Set-Cookie',
      '\xc3\xbc',
    ]);
  });

  it('shows only what the publisher exposes', () => {
    const answer = answerTo(
      held(),
      published({
        headers: [
          ['Grip-Expose-Headers', 'ETag'],
          ['X', '1'],
        ],
      }),
      Buffer.alloc(0),
    );
    expect(answer.headers.toRaw()).toEqual(['ETag', '"1"']);
  });

  it('leaves the held response as it is, for the next client', () => {
    const response = held();
    const before = response.headers.toRaw();
    answerTo(response, published({ headers: [['ETag', 'x']] }), Buffer.alloc(0));
    expect(response.headers.toRaw()).toEqual(before);
  });
});

describe('publishedBody', () => {
  const patched = (response: ClientResponse, patch: readonly unknown[]) => {
    const body = publishedBody(published({ body: { patch } }), response);
    return Buffer.isBuffer(body) ? body.toString() : body;
  };

  it('is what was published', () => {
    expect(publishedBody(published(), held())).toEqual(Buffer.from('new'));
  });

  it('is the held body, patched, with the end of line that it had', () => {
    const patch = [{ op: 'replace', path: '/items', value: [1] }];
    expect(patched(held('{"items":[], "é": 1}'), patch)).toBe('{"items":[1],"é":1}');
    expect(patched(held('{"items":[]}\r\n'), patch)).toBe('{"items":[1]}\r\n');
    expect(patched(held('{"items":[]}\n'), patch)).toBe('{"items":[1]}\n');
  });

  it.each<[ClientResponse, string]>([
    [held('no'), 'cannot patch the held response: its body is not JSON'],
    [held(), 'cannot patch the held response: its body is not JSON'],
    [held('{}'), 'cannot patch the held response: operation 0: there is no "/a"'],
    [held('{}', 'Content-Encoding', 'br'), 'cannot patch the held response: its Content-Encoding is br'],
    [
      held('['.repeat(100_000) + ']'.repeat(100_000)),
      'cannot patch the held response: its body nests deeper than 100 levels',
    ],
  ])('says in one line why there is none', (response, problem) => {
    expect(patched(response, [{ op: 'remove', path: '/a' }])).toEqual({ problem });
  });

  it('does not nest without end', () => {
    const wrap = Array.from({ length: 200 }, (_, i) => [
      { op: 'add', path: `/${i + 1}`, value: {} },
      { op: 'move', from: `/${i}`, path: `/${i + 1}/x` },
    ]).flat();
    expect(patched(held('{"0":{}}'), wrap)).toEqual({
      problem: 'cannot patch the held response: it would nest deeper than 100 levels',
    });
  });
});
