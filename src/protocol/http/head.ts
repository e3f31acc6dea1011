import { isFieldValue, isToken } from './grammar.js';
import type { HeaderList } from './header-list.js';

export interface RequestHead {
  readonly method: string;
  /** The request-target as sent, without change: `/path?query`, an absolute URI, or `*`. */
  readonly target: string;
  /** `1.0` or `1.1`. */
  readonly httpVersion: string;
  readonly headers: HeaderList;
}

export interface ResponseHead {
  /** `1.0` or `1.1`. */
  readonly httpVersion: string;
  readonly status: number;
  /** The reason phrase as sent, possibly empty. Old browsers compare it. */
  readonly reason: string;
  readonly headers: HeaderList;
}

/**
 * A request head as latin-1 text (one character a byte), `HTTP/1.1` always. Throws a RangeError rather than let a CR, LF
 * or NUL out.
 */
export function requestHeadText(method: string, target: string, headers: HeaderList): string {
  return `${requestLine(method, target)}${fieldsText(headers)}\r\n`;
}

/** The first line of a request head, under the same conditions. */
export function requestLine(method: string, target: string): string {
  if (!isToken(method)) throw new RangeError(`method is not a token: ${JSON.stringify(method)}`);
  if (!TARGET.test(target)) {
    throw new RangeError(`request target has a space or control character: ${JSON.stringify(target)}`);
  }
  return `${method} ${target} HTTP/1.1\r\n`;
}

const TARGET = /^[\x21-\x7e\x80-\xff]+$/;

/** A response head as bytes, under the same conditions. */
export function writeResponseHead(status: number, reason: string, headers: HeaderList): Buffer {
  return Buffer.from(responseHeadText(status, reason, headers), 'latin1');
}

/** A response head as latin-1 text. */
export function responseHeadText(status: number, reason: string, headers: HeaderList): string {
  if (!Number.isInteger(status) || status < 100 || status > 999) {
    throw new RangeError(`status is not a number of three digits: ${status}`);
  }
  if (!isFieldValue(reason)) throw new RangeError(`reason phrase has a control character`);
  return `HTTP/1.1 ${status} ${reason}\r\n${fieldsText(headers)}\r\n`;
}

/** Whole fields, checked in one go: names are tokens, values have no control character but tab. */
// oxlint-disable-next-line no-control-regex -- these control characters are the point
const FIELDS = /^(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*\r\n)*$/;

/** `Name: value` and CRLF for each, under the same conditions. */
export function fieldsText(headers: HeaderList): string {
  let text = '';
  let count = 0;
  for (const [name, value] of headers) {
    text += `${name}: ${value}\r\n`;
    count++;
  }
  if (FIELDS.test(text) && countLines(text) === count) return text;
  throw new RangeError(fieldProblem(headers));
}

/** A value that holds a whole field of its own would pass the expression. */
function countLines(text: string): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines++;
  return lines;
}

function fieldProblem(headers: HeaderList): string {
  for (const [name, value] of headers) {
    if (!isToken(name)) return `header name is not a token: ${JSON.stringify(name)}`;
    if (!isFieldValue(value)) return `header ${name} has a control character in its value`;
  }
  return 'headers cannot be written';
}
