import { isForwardingClaim } from './forwarded.js';
import type { HeaderList } from './header-list.js';

/** RFC 9110 §7.6.1, with the old names that some software still sends. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'proxy-authenticate',
  'proxy-authorization',
]);

/**
 * Fields that a peer may name in `Connection` without any effect: taking them away would change the message's meaning
 * or its framing, or the handshake. Nor what a trusted proxy said of the client (CVE-2024-45410 of another proxy).
 */
function isNameable(lowerName: string): boolean {
  if (lowerName.startsWith('sec-websocket-') || lowerName.startsWith('websocket-')) return false;
  return !NOT_NAMEABLE.has(lowerName) && !isForwardingClaim(lowerName);
}

const NOT_NAMEABLE: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'content-type',
  'content-encoding',
  'content-range',
  'cookie',
  'set-cookie',
  'origin',
  'authorization',
]);

/**
 * Drops what belongs to one connection only: the hop-by-hop fields and all that `Connection` names
 * (RFC 9110 §7.6.1). `TE: trailers` stays, as §10.1.4 allows an intermediary that forwards trailers.
 *
 * With `upgrade`, the message asks for or grants a switch: `Upgrade` stays where it stands with just that token, and
 * `Connection` becomes exactly `Upgrade` (Hixie-75 and -76 browsers compare it literally).
 */
export function removeHopByHop(headers: HeaderList, upgrade?: string): void {
  const named = new Set<string>();
  for (const element of headers.elements('connection')) {
    const lower = element.toLowerCase();
    if (isNameable(lower)) named.add(lower);
  }
  const trailers = headers.hasToken('te', 'trailers');
  const kept = (name: string) => upgrade !== undefined && (name === 'upgrade' || name === 'connection');
  headers.deleteWhere((name) => !kept(name) && (HOP_BY_HOP.has(name) || named.has(name)));
  if (trailers) headers.append('TE', 'trailers');
  if (upgrade !== undefined) {
    headers.set('Upgrade', upgrade);
    headers.set('Connection', 'Upgrade');
  }
}
