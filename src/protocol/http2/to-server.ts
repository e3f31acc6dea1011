import type { RequestHead } from '../http/head.js';
import { HeaderList } from '../http/header-list.js';
import { CONNECTION_FIELDS } from './request.js';
import type { Http2Fields } from './response.js';

/** Reads back the text of a head that we have written ourselves: valid HTTP/1.1, up to its blank line. */
export function readOwnHead(text: string): RequestHead {
  const [first = '', ...lines] = text.split('\r\n').filter((line) => line !== '');
  const [method = '', target = ''] = first.split(' ');
  const headers = new HeaderList();
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return { method, target, httpVersion: '1.1', headers };
}

/**
 * A request of HTTP/1.1 in HTTP/2. The handshake of a WebSocket becomes an extended CONNECT, without its key: the stream
 * is for it alone, and its 2xx is the proof (RFC 8441 §4 and §5.1).
 *
 * @param scheme of the server, `http` or `https`.
 */
export function requestFields({ method, target, headers }: RequestHead, scheme: string): Http2Fields {
  const isTunnel = headers.has('upgrade');
  // Names come from clients: `__proto__` is one.
  const fields = Object.create(null) as Http2Fields;
  fields[':method'] = isTunnel ? 'CONNECT' : method;
  if (isTunnel) fields[':protocol'] = 'websocket';
  fields[':scheme'] = scheme;
  fields[':authority'] = headers.get('host') ?? '';
  fields[':path'] = pathOf(target);
  for (const [written, value] of headers) {
    const name = written.toLowerCase();
    if (isLeftOut(name, value, isTunnel)) continue;
    const known = fields[name];
    // Several are one list (RFC 9110 §5.3); Node would not send a second User-Agent at all.
    fields[name] = known === undefined ? value : `${String(known)}${name === 'cookie' ? '; ' : ', '}${value}`;
  }
  return fields;
}

function isLeftOut(name: string, value: string, isTunnel: boolean): boolean {
  if (name === 'host' || CONNECTION_FIELDS.has(name)) return true;
  // The one value that HTTP/2 has (RFC 9113 §8.2.2).
  if (name === 'te') return value.toLowerCase() !== 'trailers';
  return isTunnel && (name === 'sec-websocket-key' || name === 'content-length');
}

/** A target in absolute form names its host, which `:authority` does. */
function pathOf(target: string): string {
  const path = target.replace(/^https?:\/\/[^/?]*/i, '');
  return path === '' || path.startsWith('?') ? `/${path}` : path;
}
