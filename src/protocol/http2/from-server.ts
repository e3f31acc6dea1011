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
  const isBare = asked.method === 'HEAD' || status === 204 || status === 304;
  const hasLength = headers.has('content-length');
  if (hasEnded && !isBare && !hasLength) headers.append('Content-Length', '0');
  const isChunked = !hasEnded && !isBare && !hasLength;
  if (isChunked) headers.append('Transfer-Encoding', 'chunked');
  // One stream, one answer.
  headers.append('Connection', 'close');
  return { status, text: text(), body: isChunked ? 'chunked' : hasEnded || isBare ? 'none' : 'length' };
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
