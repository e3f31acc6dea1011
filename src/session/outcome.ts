import type { Outcome } from '../observe/record.js';
import type { Framing } from '../protocol/handshake/types.js';
import type { RelayEnd, RelaySideName } from '../relay/types.js';

/** What is known about a tunnel when it has ended. */
export interface Ending {
  readonly end: RelayEnd;
  /** The side whose Close frame came first, if one was seen. */
  readonly firstClose: RelaySideName | undefined;
  readonly framing: Framing;
  /** Whether frames could be read to the end on both sides, so that a missing Close means something. */
  readonly observed: boolean;
  /** Whether the first Close was one of ours, which the client's only answered. */
  readonly closedByUs?: boolean;
}

/**
 * The one value that says how a session ended (step 10). A Close frame decides before anything that TCP did after it.
 * Without one, an orderly TCP end is a good end for Hixie and unread frames, and a loss for RFC 6455 (§7.1.5: 1006).
 */
export function outcomeOf({ end, firstClose, framing, observed, closedByUs }: Ending): Outcome {
  if (end.first === 'proxy') {
    if (end.how === 'idle') return 'idle-timeout';
    return end.how === 'max-age' || end.how === 'limit' ? 'limit' : 'drained';
  }
  if (closedByUs) return 'drained';
  if (firstClose !== undefined) return `${firstClose}-closed`;
  const orderly = end.how === 'end' && !(observed && framing === 'rfc6455');
  return orderly ? `${end.first}-closed` : `${end.first}-lost`;
}

/** Who closed first. */
export function closedBy({
  end,
  firstClose,
  closedByUs,
}: Pick<Ending, 'end' | 'firstClose' | 'closedByUs'>): 'client' | 'upstream' | 'proxy' {
  return end.first === 'proxy' || closedByUs ? 'proxy' : (firstClose ?? end.first);
}
