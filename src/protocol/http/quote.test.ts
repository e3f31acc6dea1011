import { expect, it } from 'vitest';
import { quote } from './quote.js';

it.each([
  ['plain', '"plain"'],
  ['a"b\\c', '"a\\"b\\\\c"'],
  ['\r\n\0\x1b', '"\\r\\n\\u0000\\u001b"'],
  ['\x7f\x80\x9b\x9f\xa0', '"\\u007f\\u0080\\u009b\\u009f\xa0"'],
  ['x'.repeat(61), `"${'x'.repeat(60)}…"`],
])('quotes %j', (text, quoted) => {
  expect(quote(text)).toBe(quoted);
});
