import { STATUS_CODES } from 'node:http';
import { acceptFor } from '../handshake/hybi.js';
import { responseHeadText } from '../http/head.js';
import { HeaderList } from '../http/header-list.js';
import { CONNECTION_FIELDS } from './request.js';

/** The head of a server’s answer in HTTP/2, in the words of HTTP/1.1. */
export interface ServerAnswer {
  readonly status: number;
  /** As latin-1 text. */
  readonly text: string;
  /** `tunnel`: all that follows are the bytes of a WebSocket. */
  readonly body: 'none' | 'length' | 'chunked' | 'tunnel';
}

export interface AskedFor {
  readonly method: string;
  /** The `Sec-WebSocket-Key` of a handshake that went as an extended CONNECT. */
  readonly key: string | undefined;
}

/**
 * Any 2xx to an extended CONNECT is a switch (RFC 8441 §5): the proof is that the server, which has announced that it
 * knows this method, answered it so on the stream itself. `Sec-WebSocket-Accept` has no place in HTTP/2; it is ours, for
 * whoever reads this as HTTP/1.1.
 *
 * @param raw the fields as they came, pseudo fields among them: `[name, value, name, value, …]`.
 * @param hasEnded whether the stream ends with its head.
 * @throws RangeError when they cannot be written in HTTP/1.1.
 */
export function serverAnswer(raw: readonly string[], hasEnded: boolean, asked: AskedFor): ServerAnswer {
  const { status, headers } = readFields(raw);
  const text = (): string => responseHeadText(status, STATUS_CODES[status] ?? '', headers);
  if (status < 200) return { status, text: text(), body: 'none' };
  if (asked.key !== undefined && status < 300) {
    // RFC 9110 §9.3.6: neither means anything here.
    headers.delete('content-length');
    headers.delete('sec-websocket-accept');
    headers.append('Upgrade', 'websocket');
    headers.append('Connection', 'Upgrade');
    headers.append('Sec-WebSocket-Accept', acceptFor(asked.key));
    const head = responseHeadText(101, STATUS_CODES[101]!, headers);
    return { status: 101, text: head, body: 'tunnel' };
  }
  const bare = isBare(asked.method, status);
  const hasLength = headers.has('content-length');
  if (hasEnded && !bare && !hasLength) headers.append('Content-Length', '0');
  const isChunked = !hasEnded && !bare && !hasLength;
  if (isChunked) headers.append('Transfer-Encoding', 'chunked');
  // One stream, one answer.
  headers.append('Connection', 'close');
  return { status, text: text(), body: isChunked ? 'chunked' : hasEnded || bare ? 'none' : 'length' };
}

/** The head of a server’s answer to a plain request. */
export interface PlainAnswer {
  readonly status: number;
  readonly reason: string;
  /** Without the pseudo fields, and what belongs to a connection: `[name, value, name, value, …]`. */
  readonly rawHeaders: readonly string[];
  /** What it would be in HTTP/1.1. */
  readonly bytes: number;
}

/**
 * @param raw as for `serverAnswer`.
 * @param hasEnded whether the stream ends with its head: then its body has a length, 0, which HTTP/1.1 has to be told.
 */
export function plainAnswer(raw: readonly string[], hasEnded: boolean, method: string): PlainAnswer {
  const { status, headers } = readFields(raw);
  if (hasEnded && !isBare(method, status) && !headers.has('content-length'))
    headers.append('Content-Length', '0');
  const reason = STATUS_CODES[status] ?? '';
  const rawHeaders = headers.toRaw();
  // `HTTP/1.1 200 OK`, `name: value`, each with its line’s end, and the blank line.
  const bytes = rawHeaders.reduce((sum, text) => sum + text.length + 2, reason.length + 17);
  return { status, reason, rawHeaders, bytes };
}

function isBare(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304;
}

function readFields(raw: readonly string[]): { status: number; headers: HeaderList } {
  let status = 0;
  const headers = new HeaderList();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name, value] = [raw[i]!, raw[i + 1]!];
    if (name === ':status') status = Number(value);
    else if (!name.startsWith(':') && !CONNECTION_FIELDS.has(name)) headers.append(name, value);
  }
  return { status, headers };
}
