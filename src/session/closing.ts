import { randomBytes } from 'node:crypto';
import type { Clock } from '../base/deps.js';
import { writeClose, writeHixieClose } from '../protocol/frames/writer.js';
import type { Generation } from '../protocol/handshake/types.js';
import type { RelaySideName } from '../relay/types.js';
import type { LiveSession, OwnEnd } from './registry.js';

/** What a Close frame of ours says. */
export interface CloseWords {
  readonly code: number;
  readonly reason: string;
}

/**
 * Sends a side a Close between two frames; its own Close is the answer that the other side gets to see, which then ends
 * the connection (RFC 6455 §7.1.1). `why` is how the session has ended then, unless a Close of the peers’ was first.
 * Returns false, with nothing done, when this session has no Close frame or its frames are not read.
 */
export function sendClose(
  session: LiveSession,
  towards: RelaySideName,
  words: CloseWords,
  why: OwnEnd,
): boolean {
  const { generation, upstreamGeneration } = session.info;
  const relayed = upstreamGeneration === undefined ? generation : 'rfc6455';
  const frame = closeFrame(relayed, towards, words);
  if (frame === undefined || !session.relay.inject(towards, 'close', frame)) return false;
  session.ownEnd ??= why;
  return true;
}

/**
 * Closes one session; resolves when it has ended. Who cannot be told, or does not answer in time, is cut.
 *
 * @param timeoutMs 0 cuts at once
 */
export async function closeSession(
  session: LiveSession,
  words: CloseWords,
  timeoutMs: number,
  clock: Clock,
): Promise<'closed' | 'cut'> {
  const { relay } = session;
  const isTold = timeoutMs > 0 && sendClose(session, 'client', words, { outcome: 'drained' });
  if (!isTold) relay.cut();
  const cancel = clock.after(timeoutMs, () => relay.cut());
  const end = await relay.ended;
  cancel();
  return end.how === 'cut' ? 'cut' : 'closed';
}

/** Undefined: this generation has none, or its frames are not read. Towards a server it is masked. */
function closeFrame(
  generation: Generation,
  towards: RelaySideName,
  { code, reason }: CloseWords,
): Buffer | undefined {
  switch (generation) {
    case 'hixie-76':
      return writeHixieClose();
    case 'hybi-07':
    case 'hybi-08':
    case 'rfc6455':
      return writeClose(code, reason, towards === 'upstream' ? randomBytes(4) : undefined);
    default:
      return undefined;
  }
}
