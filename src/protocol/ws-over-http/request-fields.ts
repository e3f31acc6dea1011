import { fieldLine, FieldLines } from '../http/field-lines.js';
import type { HeaderList } from '../http/header-list.js';
import { removeHopByHop } from '../http/hop-by-hop.js';
import { EVENTS_MEDIA_TYPE, type EventsRequest } from './types.js';

/**
 * A client's handshake as every POST repeats it: cookies, credentials and all, without what belongs to the handshake's
 * own connection and body, and without what only a gateway may say, in any spelling that a backend could take for it.
 */
export function replayedFields(handshake: HeaderList): HeaderList {
  const fields = handshake.clone();
  removeHopByHop(fields);
  fields.deleteWhere((name) => isNotTheClients(asBackendsReadIt(name)));
  return fields;
}

/** CGI and its heirs make one variable of `Meta-User`, `Meta_User` and `meta.user`. */
function asBackendsReadIt(lowerName: string): string {
  return lowerName.replace(/[^a-z0-9]/g, '-');
}

function isNotTheClients(name: string): boolean {
  return NOT_THE_CLIENTS.has(name) || RESERVED_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/** Whether a plain request gives itself out as one of a gateway: to a backend it would be one. */
export function claimsToBeOfGateway(fields: HeaderList): boolean {
  for (const [name, value] of fields) {
    const isType = asBackendsReadIt(name.toLowerCase()) === 'content-type';
    if (isType && value.toLowerCase().includes(EVENTS_MEDIA_TYPE)) return true;
  }
  return false;
}

/** `content-` has the backend's own accounts (`Content-Bytes-Replayed`) among it. */
const RESERVED_PREFIXES = ['meta-', 'grip-', 'content-', 'tidegate-'];

const NOT_THE_CLIENTS: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'upgrade',
  'te',
  'trailer',
  'transfer-encoding',
  'http2-settings',
  'accept',
  'accept-encoding',
  'expect',
  'sec-websocket-extensions',
  'connection-id',
]);

/** What the gateway says of a connection. */
export interface Sender {
  readonly connectionId: string;
  /** Where GRIP is offered: a signature that is still fresh (none without a key), and what is known of GRIP. */
  readonly grip:
    | {
        readonly signature: string | undefined;
        readonly features: string;
      }
    | undefined;
}

/** With `Connection-Id` it names a request, so that a backend knows a retry: its number is not above the last one. */
const SEQ_FIELD = 'Tidegate-Request-Seq';

const OFFERS_GRIP = fieldLine('Sec-WebSocket-Extensions', 'grip');
const ACCEPTS_EVENTS = fieldLine('Accept', EVENTS_MEDIA_TYPE);
const IS_EVENTS = fieldLine('Content-Type', EVENTS_MEDIA_TYPE);

/**
 * All fields of one POST.
 *
 * @param request without a `seq` where nobody knows it any more
 * @param replayed `replayedFields` of the handshake, with what the route adds
 */
export function requestFields(
  replayed: HeaderList | FieldLines,
  request: Pick<EventsRequest, 'body' | 'replayedBytes' | 'meta'> & { readonly seq: number | undefined },
  sender: Sender,
): FieldLines {
  let lines = '';
  if (sender.grip !== undefined) {
    lines += OFFERS_GRIP;
    if (sender.grip.signature !== undefined) lines += fieldLine('Grip-Sig', sender.grip.signature);
    lines += fieldLine('Grip-Feature', sender.grip.features);
  }
  lines += ACCEPTS_EVENTS + fieldLine('Connection-Id', sender.connectionId) + IS_EVENTS;
  lines += `Content-Length: ${request.body.length}\r\n`;
  if (request.replayedBytes > 0) lines += `Content-Bytes-Replayed: ${request.replayedBytes}\r\n`;
  if (request.seq !== undefined) lines += `${SEQ_FIELD}: ${request.seq}\r\n`;
  for (const [name, value] of request.meta) lines += fieldLine(`Meta-${name}`, value);
  return FieldLines.from(replayed).with(lines);
}
