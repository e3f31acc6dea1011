import { quote } from '../http/quote.js';
import type { ContentType, WsEvent } from './types.js';

/**
 * Events as bytes. Lengths are lower-case hex. A message always has one, `TEXT 0` where it is empty; PING, PONG and
 * CLOSE only where they have content.
 */
export function encodeEvents(events: readonly WsEvent[]): Buffer {
  const parts: Buffer[] = [];
  for (const event of events) {
    const isMessage = event.type === 'TEXT' || event.type === 'BINARY';
    if (!('content' in event) || (event.content.length === 0 && !isMessage)) {
      parts.push(Buffer.from(`${event.type}\r\n`));
    } else {
      parts.push(Buffer.from(`${event.type} ${event.content.length.toString(16)}\r\n`), event.content, CRLF);
    }
  }
  return Buffer.concat(parts);
}

export type Decoded =
  | {
      readonly events: readonly WsEvent[];
      /** Names of unknown types that were passed over. */
      readonly skipped: readonly string[];
      readonly problem?: undefined;
    }
  | { readonly events?: undefined; readonly problem: string };

/**
 * The events of a whole body, or what is wrong with it in one line. Taken leniently: hex in either case, `TEXT` without
 * a length as an empty message, content where there should be none (not looked at), unknown types (passed over). Not
 * taken: content cut short or without its CRLF, a length that is none. Contents are views of the body.
 */
export function decodeEvents(body: Buffer): Decoded {
  const events: WsEvent[] = [];
  const skipped: string[] = [];
  let at = 0;
  while (at < body.length) {
    const lineEnd = body.indexOf(CRLF, at);
    if (lineEnd === -1 || lineEnd - at > MAX_LINE_BYTES) {
      const what = lineEnd === -1 ? 'without its CRLF' : `longer than ${MAX_LINE_BYTES} bytes`;
      return wrong(at, `a type ${what}: ${quote(body.toString('latin1', at, at + MAX_LINE_BYTES))}`);
    }
    const line = body.toString('latin1', at, lineEnd);
    const parts = LINE.exec(line);
    if (parts === null) return wrong(at, `not a type with an optional length in hex: ${quote(line)}`);
    const type = parts[1]!;

    let content: Buffer = EMPTY;
    let next = lineEnd + 2;
    if (parts[2] !== undefined) {
      const end = next + Number.parseInt(parts[2], 16);
      if (end + 2 > body.length) {
        return wrong(at, `${quote(line)} announces more than the ${body.length - next} bytes that follow`);
      }
      if (body[end] !== 0x0d || body[end + 1] !== 0x0a) {
        return wrong(at, `no CRLF behind the content of ${quote(line)}`);
      }
      content = body.subarray(next, end);
      next = end + 2;
    }

    if (type === 'OPEN' || type === 'DISCONNECT') events.push({ type });
    else if (isContentType(type)) events.push({ type, content });
    else skipped.push(type);
    at = next;
  }
  return { events, skipped };
}

const CRLF = Buffer.from('\r\n');
const EMPTY = Buffer.alloc(0);
const MAX_LINE_BYTES = 64;
const LINE = /^([!-~]+)(?: ([0-9A-Fa-f]{1,12}))?$/;
const CONTENT_TYPES: ReadonlySet<string> = new Set<ContentType>(['TEXT', 'BINARY', 'PING', 'PONG', 'CLOSE']);

function isContentType(type: string): type is ContentType {
  return CONTENT_TYPES.has(type);
}

function wrong(at: number, problem: string): Decoded {
  return { problem: `the events are malformed at byte ${at}: ${problem}` };
}
