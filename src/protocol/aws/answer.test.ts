import { describe, expect, it } from 'vitest';
import { HeaderList } from '../http/header-list.js';
import { readAwsAnswer } from './answer.js';

function answer(form: 'http' | 'lambda', body: string | Buffer, fields: string[] = [], status = 200) {
  const read = readAwsAnswer({ status, fields: HeaderList.fromRaw(fields), body: Buffer.from(body) }, form);
  if (read.problem !== undefined) return read.problem;
  const { answer } = read;
  return [answer.status, answer.type, answer.body.toString('latin1'), answer.fields.toRaw()];
}

describe('plain HTTP', () => {
  it('speaks for itself', () => {
    expect(answer('http', 'x', ['X-A', '1'], 404)).toEqual([404, 'text', 'x', ['X-A', '1']]);
    expect(answer('http', Buffer.from([0xff]))).toEqual([200, 'binary', '\xff', []]);
    const fields = ['Content-Type', 'application/octet-stream; x=y'];
    expect(answer('http', 'x', fields)).toEqual([200, 'binary', 'x', fields]);
  });

  it('is not compressed', () => {
    expect(answer('http', 'x', ['Content-Encoding', 'gzip'])).toMatch(/Content-Encoding is gzip/);
  });
});

describe('what a function returned', () => {
  const returned = (value: unknown) => answer('lambda', JSON.stringify(value));

  it('is an answer', () => {
    expect(returned({ statusCode: 201 })).toEqual([201, 'text', '', []]);
    expect(returned({ statusCode: '200', body: 'é' })).toEqual([200, 'text', '\xc3\xa9', []]);
    expect(returned({ statusCode: 200, body: null, headers: null })).toEqual([200, 'text', '', []]);
    expect(returned({ statusCode: 200, body: '/w==', isBase64Encoded: true })).toEqual([
      ...[200, 'binary', '\xff', []],
    ]);
    expect(
      returned({ statusCode: 200, headers: { A: 'é', N: 1 }, multiValueHeaders: { B: ['1', '2'] } }),
    ).toEqual([200, 'text', '', ['A', '\xc3\xa9', 'N', '1', 'B', '1', 'B', '2']]);
  });

  it.each<[unknown, RegExp]>([
    [null, /no JSON object/],
    [[], /no JSON object/],
    [{}, /no statusCode/],
    [{ statusCode: 101 }, /no statusCode/],
    [{ statusCode: 200.5 }, /no statusCode/],
    [{ statusCode: 600 }, /no statusCode/],
    [{ errorMessage: 'boom\n' }, /the function failed: "boom\\n"/],
    [{ statusCode: 200, body: {} }, /a body that is no text/],
    [{ statusCode: 200, headers: 'x' }, /headers that are no object/],
    [{ statusCode: 200, headers: { a: {} } }, /header "a" that is no text/],
    [{ statusCode: 200, headers: { a: 'x\r\nb: y' } }, /HTTP cannot carry: "a"/],
    [{ statusCode: 200, headers: { 'a b': 'x' } }, /HTTP cannot carry: "a b"/],
  ])('%j: is none', (value, problem) => {
    expect(returned(value)).toMatch(problem);
  });

  it('comes with a 200, and without an error of the function', () => {
    expect(answer('lambda', '{"statusCode":200}', [], 500)).toMatch(/has the status 500, not 200/);
    const fields = ['X-Amz-Function-Error', 'Unhandled'];
    expect(answer('lambda', '{"statusCode":200}', fields)).toMatch(/the function failed/);
    expect(answer('lambda', 'no JSON')).toMatch(/no JSON object/);
  });
});
