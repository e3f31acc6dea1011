import { isHost, trimWhitespace } from './grammar.js';
import type { RequestHead } from './head.js';
import { HeaderList } from './header-list.js';

export interface PlainHead {
  readonly head: RequestHead;
  /** Characters of the text that belong to it, its blank line included. */
  readonly length: number;
}

/**
 * Reads the head of a GET request in its plainest form, from latin-1 text that begins with it: origin-form target of
 * visible ASCII, HTTP/1.1, every line ended by CRLF, none folded, exactly one valid `Host`, no body. Undefined for
 * anything else, right or wrong: that is for a reader that takes every form and says what is amiss. What is read here,
 * any strict HTTP/1.1 reader reads the same (RFC 9112 §2.2 to §5).
 *
 * @param maxLength a longer head is not read.
 */
export function readPlainHead(text: string, maxLength: number): PlainHead | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1 || end + 4 > maxLength) return undefined;
  const found = PLAIN.exec(text.slice(0, end + 2));
  if (found === null) return undefined;
  const headers = readFields(text, found[0].length, end);
  const hosts = headers.all('host');
  if (hosts.length !== 1 || !isHost(hosts[0]!)) return undefined;
  if (headers.has('content-length') || headers.has('transfer-encoding')) return undefined;
  return { head: { method: 'GET', target: found[1]!, httpVersion: '1.1', headers }, length: end + 4 };
}

/** The request line; that only whole, clean fields follow is looked ahead. A fragment (#) does not belong in a target. */
const PLAIN =
  // oxlint-disable-next-line no-control-regex -- the tab is allowed
  /^GET (\/[\x21\x22\x24-\x7e]*) HTTP\/1\.1\r\n(?=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)+$)/;

function readFields(text: string, start: number, end: number): HeaderList {
  const headers = new HeaderList();
  for (let at = start; at < end;) {
    const colon = text.indexOf(':', at);
    let lineEnd = text.indexOf('\r\n', colon);
    if (lineEnd > end) lineEnd = end;
    headers.append(text.slice(at, colon), trimWhitespace(text.slice(colon + 1, lineEnd)));
    at = lineEnd + 2;
  }
  return headers;
}
