import { describe, expect, it } from 'vitest';
import { HeaderList } from '../http/header-list.js';
import { isSigned, isSignedWith, readSignature } from './sigv4.js';

// The examples of AWS’s published test suite for Signature Version 4.
const SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
const NOW = Date.UTC(2015, 7, 30, 12, 36, 0);

interface Example {
  readonly method?: string;
  readonly target?: string;
  readonly headers?: readonly string[];
  readonly signed?: string;
  readonly body?: string;
  readonly signature: string;
  readonly time?: string;
  readonly scope?: string;
}

function requestOf(example: Example) {
  const { method = 'GET', target = '/', headers = [], signed = 'host;x-amz-date', signature } = example;
  const { time = '20150830T123600Z', scope = '20150830/us-east-1/service/aws4_request' } = example;
  const authorization = `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/${scope}, SignedHeaders=${signed}, Signature=${signature}`;
  const list = HeaderList.fromRaw([
    ...['Host', 'example.amazonaws.com'],
    ...headers,
    ...['X-Amz-Date', time],
    ...['Authorization', authorization],
  ]);
  return { method, target, headers: list };
}

function check(example: Example, secret = SECRET, nowMs = NOW) {
  const request = requestOf(example);
  const read = readSignature(request.headers, nowMs, 'service');
  if ('problem' in read) return read;
  return isSignedWith(secret, read, request, Buffer.from(example.body ?? ''));
}

const vanilla: Example = { signature: '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31' };

it.each<[string, Example]>([
  ['get-vanilla', vanilla],
  [
    'post-vanilla',
    { method: 'POST', signature: '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b' },
  ],
  [
    'get-vanilla-query-order-key-case',
    {
      target: '/?Param2=value2&Param1=value1',
      signature: 'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
    },
  ],
  [
    'get-unreserved',
    {
      target: '/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
      signature: '07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f',
    },
  ],
  [
    'get-utf8',
    { target: '/ሴ', signature: '8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85' },
  ],
  [
    'get-vanilla-utf8-query',
    { target: '/?ሴ=bar', signature: '2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04' },
  ],
  [
    'get-header-key-duplicate',
    {
      headers: ['My-Header1', 'value2', 'My-Header1', 'value2', 'My-Header1', 'value1'],
      signed: 'host;my-header1;x-amz-date',
      signature: 'c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea',
    },
  ],
  [
    'get-header-value-trim',
    {
      headers: ['My-Header1', ' value1', 'My-Header2', ' "a   b   c"'],
      signed: 'host;my-header1;my-header2;x-amz-date',
      signature: 'acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736',
    },
  ],
  [
    'post-header-key-sort',
    {
      method: 'POST',
      headers: ['My-Header1', 'value1'],
      signed: 'host;my-header1;x-amz-date',
      signature: 'c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c',
    },
  ],
  [
    'post-x-www-form-urlencoded',
    {
      method: 'POST',
      headers: ['Content-Type', 'application/x-www-form-urlencoded'],
      signed: 'content-type;host;x-amz-date',
      body: 'Param1=value1',
      signature: 'ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a',
    },
  ],
  ['get-relative', { ...vanilla, target: '/example/..' }],
  ['get-relative-relative', { ...vanilla, target: '/example1/example2/../..' }],
  ['get-slash', { ...vanilla, target: '//' }],
  ['get-slash-dot-slash', { ...vanilla, target: '/./' }],
])('takes the request of %s', (_, example) => {
  expect(check(example)).toBe(true);
});

describe('a signature is not taken', () => {
  it('with another secret, method, path, query, header or body', () => {
    expect(check(vanilla, `${SECRET}x`)).toBe(false);
    expect(check({ ...vanilla, method: 'POST' })).toBe(false);
    expect(check({ ...vanilla, target: '/other' })).toBe(false);
    expect(check({ ...vanilla, target: '/?a=b' })).toBe(false);
    expect(check({ ...vanilla, time: '20150830T123601Z' })).toBe(false);
    expect(check({ ...vanilla, body: 'x' })).toBe(false);
  });

  it('five minutes away from its time, but up to there', () => {
    const minute = 60_000;
    expect(check(vanilla, SECRET, NOW + 5 * minute)).toBe(true);
    expect(check(vanilla, SECRET, NOW - 5 * minute)).toBe(true);
    for (const away of [5 * minute + 1, -5 * minute - 1]) {
      expect(check(vanilla, SECRET, NOW + away)).toMatchObject({ isExpired: true });
    }
  });

  it.each<[string, Partial<Example>, RegExp]>([
    ['for another service', { scope: '20150830/us-east-1/s3/aws4_request' }, /REGION\/service\/aws4_request/],
    ['of another day', { scope: '20150831/us-east-1/service/aws4_request' }, /the day/],
    ['without the host', { signed: 'x-amz-date' }, /host is not among/],
    ['without the date', { signed: 'host' }, /x-amz-date is not among/],
    ['without a time', { time: 'now' }, /expected X-Amz-Date/],
    ['with a time that never was', { time: '20150830T993600Z' }, /expected X-Amz-Date/],
    ['too short', { signature: 'abcd' }, /expected Authorization/],
  ])('%s', (_, change, problem) => {
    expect(check({ ...vanilla, ...change })).toMatchObject({
      problem: expect.stringMatching(problem) as string,
      isExpired: false,
    });
  });
});

it('tells requests that are signed in this way', () => {
  expect(isSigned(requestOf(vanilla).headers)).toBe(true);
  expect(isSigned(HeaderList.fromRaw(['Authorization', 'Bearer x']))).toBe(false);
  expect(isSigned(new HeaderList())).toBe(false);
});
