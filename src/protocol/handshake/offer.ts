import { applyForwarded, type Forwarding } from '../http/forwarded.js';
import { requestHeadText } from '../http/head.js';
import { removeHopByHop } from '../http/hop-by-hop.js';
import type { UpgradeRequest } from './types.js';

/**
 * The request head that goes to the upstream (step 5): the client’s own fields in their order and case, cleaned of what
 * belongs to its connection, with our forwarding fields. Written from what was parsed, never an echo of raw bytes.
 * For Hixie-76, key3 must follow in the same write. Latin-1 text.
 *
 * @param host the `Host` the upstream is to see.
 */
export function offerText(request: UpgradeRequest, host: string, forwarding: Forwarding): string {
  const headers = request.head.headers.clone();
  removeHopByHop(headers, request.upgradeToken);
  // Only ever 0, or 8 for key3, which goes as the raw bytes that browsers send.
  headers.delete('content-length');
  headers.set('Host', host);
  applyForwarded(headers, forwarding);
  return requestHeadText('GET', request.head.target, headers);
}
