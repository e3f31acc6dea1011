import { isUtf8 } from 'node:buffer';
import { contentBytesAccepted, contentCoding, isEvents } from './response-fields.js';
import { decodeEvents } from './events.js';
import type { EventsResponse, WsEvent } from './types.js';

/** An answer that keeps to the protocol. */
export interface Answer {
  /** Up to the first CLOSE or DISCONNECT; nothing behind it counts. */
  readonly events: readonly WsEvent[];
  /** Names of unknown types that were passed over. */
  readonly skipped: readonly string[];
  /** Undefined: all. */
  readonly acceptedBytes: number | undefined;
  readonly problem?: undefined;
}

/** Whether the backend speaks the protocol at all here. To an OPEN everything else is a refusal. */
export function isAnswer({ status, fields }: EventsResponse): boolean {
  return status === 200 && isEvents(fields);
}

/**
 * Holds an answer to the protocol, and to what may be put into frames for the client.
 *
 * @param opening whether it answers an OPEN
 * @returns it, or what is wrong with it in one line
 */
export function readAnswer(
  response: EventsResponse,
  opening: boolean,
): Answer | { readonly problem: string } {
  const coding = contentCoding(response.fields);
  if (coding !== undefined) return { problem: `Content-Encoding is ${coding}, though none was asked for` };
  const acceptedBytes = contentBytesAccepted(response.fields);
  if (acceptedBytes === 'invalid') return { problem: 'Content-Bytes-Accepted is no number of bytes' };
  const decoded = decodeEvents(response.body);
  if (decoded.problem !== undefined) return decoded;
  const events = upToTheEnd(decoded.events);
  if (opening && events.length > 0 && events[0]!.type !== 'OPEN') {
    return { problem: `the first event is ${events[0]!.type}, not OPEN` };
  }
  for (const event of opening ? events.slice(1) : events) {
    const problem = eventProblem(event);
    if (problem !== undefined) return { problem };
  }
  return { events, skipped: decoded.skipped, acceptedBytes };
}

function upToTheEnd(events: readonly WsEvent[]): readonly WsEvent[] {
  const end = events.findIndex(({ type }) => type === 'CLOSE' || type === 'DISCONNECT');
  return end === -1 ? events : events.slice(0, end + 1);
}

/** RFC 6455 §5.5: the most that a control frame holds. */
const MAX_CONTROL_BYTES = 125;

function eventProblem(event: WsEvent): string | undefined {
  switch (event.type) {
    case 'OPEN':
      return 'OPEN came for a connection that is open';
    case 'TEXT':
      return isUtf8(event.content) ? undefined : 'a TEXT event is not UTF-8';
    case 'PING':
    case 'PONG':
      return event.content.length <= MAX_CONTROL_BYTES
        ? undefined
        : `a ${event.type} event has ${event.content.length} bytes; at most ${MAX_CONTROL_BYTES} fit into its frame`;
    default:
      return undefined;
  }
}
