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

/**
 * All fields of one POST.
 *
 * @param replayed `replayedFields` of the handshake, with what the route adds
 */
export function requestFields(replayed: HeaderList, request: EventsRequest, sender: Sender): HeaderList {
  const fields = replayed.clone();
  if (sender.grip !== undefined) {
    fields.append('Sec-WebSocket-Extensions', 'grip');
    if (sender.grip.signature !== undefined) fields.append('Grip-Sig', sender.grip.signature);
    fields.append('Grip-Feature', sender.grip.features);
  }
  fields.append('Accept', EVENTS_MEDIA_TYPE);
  fields.append('Connection-Id', sender.connectionId);
  fields.append('Content-Type', EVENTS_MEDIA_TYPE);
  fields.append('Content-Length', String(request.body.length));
  if (request.replayedBytes > 0) fields.append('Content-Bytes-Replayed', String(request.replayedBytes));
  fields.append(SEQ_FIELD, String(request.seq));
  for (const [name, value] of request.meta) fields.append(`Meta-${name}`, value);
  return fields;
}
