import type { Outcome } from '../observe/record.js';
import type { Framing } from '../protocol/handshake/types.js';
import type { RelayEnd, RelaySideName } from '../relay/types.js';
import type { OwnEnd } from './registry.js';

/** What is known about a tunnel when it has ended. */
export interface Ending {
  readonly end: RelayEnd;
  /** The side whose Close frame came first, if one was seen. */
  readonly firstClose: RelaySideName | undefined;
  readonly framing: Framing;
  /** Whether frames could be read to the end on both sides, so that a missing Close means something. */
  readonly observed: boolean;
  /** Why it was ended by us, if somebody said so. */
  readonly ownEnd?: OwnEnd | undefined;
}

/**
 * The one value that says how a session ended (step 10). A Close frame decides before anything that TCP did after it.
 * Without one, an orderly TCP end is a good end for Hixie and unread frames, and a loss for RFC 6455 (§7.1.5: 1006).
 */
export function outcomeOf({ end, firstClose, framing, observed, ownEnd }: Ending): Outcome {
  if (end.first === 'proxy') {
    if (end.how === 'idle') return 'idle-timeout';
    if (end.how === 'fault') return `failed(${end.fault.code})`;
    if (end.how === 'max-age' || end.how === 'limit') return 'limit';
    return ownEnd?.outcome ?? 'drained';
  }
  if (firstClose !== undefined) return `${firstClose}-closed`;
  const orderly = end.how === 'end' && !(observed && framing === 'rfc6455');
  return orderly ? `${end.first}-closed` : `${end.first}-lost`;
}

/** Who closed first. */
export function closedBy({
  end,
  firstClose,
}: Pick<Ending, 'end' | 'firstClose'>): 'client' | 'upstream' | 'proxy' {
  return end.first === 'proxy' ? 'proxy' : (firstClose ?? end.first);
}

/** What the record says about an end of ours, or about an error; undefined when the outcome says it all. */
export function endDetail({ end, ownEnd }: Pick<Ending, 'end' | 'ownEnd'>): string | undefined {
  switch (end.how) {
    case 'limit':
      return end.limit === 'message-size'
        ? `a message from the ${end.side} is larger than maxMessageBytes`
        : `more messages from the ${end.side} than maxMessagesPerSecond`;
    case 'fault':
      return end.fault.reason;
    case 'max-age':
      return 'maxAge reached';
    case 'end':
    case 'reset':
      return end.detail;
    default:
      return end.first === 'proxy' && end.how !== 'idle' ? ownEnd?.detail : undefined;
  }
}
