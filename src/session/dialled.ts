import type { ClientPeer } from '../net/types.js';
import type { RequestHead } from '../protocol/http/head.js';

/** Whether the client dialled `wss:` or `https:`, as far as we or a proxy we trust can tell. */
export function dialledSecurely(head: RequestHead, peer: ClientPeer): boolean {
  if (!peer.trusted) return peer.secure;
  const proto = head.headers.get('x-forwarded-proto')?.toLowerCase();
  return proto === undefined ? peer.secure : proto === 'https' || proto === 'wss';
}
