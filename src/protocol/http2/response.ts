import type { ResponseHead } from '../http/head.js';
import type { HeaderList } from '../http/header-list.js';
import { CONNECTION_FIELDS } from './request.js';

/** Fields as `node:http2` takes them. */
export type Http2Fields = Record<string, string | string[] | number>;

/**
 * The head of an answer in HTTP/2. A switch to WebSocket becomes 200, without what only HTTP/1.1 proves it by
 * (RFC 8441 §5).
 */
export function http2Head({ status, headers }: ResponseHead): Http2Fields {
  const isSwitch = status === 101;
  const fields = http2Fields(headers, (name) => isSwitch && name === 'sec-websocket-accept');
  fields[':status'] = isSwitch ? 200 : status;
  return fields;
}

/** Fields without those of the connection; several of one name become a list. */
export function http2Fields(
  headers: HeaderList,
  isLeftOut: (name: string) => boolean = () => false,
): Http2Fields {
  // Names come from servers: `__proto__` is one.
  const fields = Object.create(null) as Http2Fields;
  for (const [written, value] of headers) {
    const name = written.toLowerCase();
    if (CONNECTION_FIELDS.has(name) || isLeftOut(name)) continue;
    const known = fields[name];
    if (known === undefined) fields[name] = value;
    else if (Array.isArray(known)) known.push(value);
    else fields[name] = [String(known), value];
  }
  return fields;
}
