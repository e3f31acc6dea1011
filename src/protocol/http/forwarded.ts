import type { HeaderList } from './header-list.js';

/** What we tell the upstream about where a request came from. */
export interface Forwarding {
  /** The address of the peer that connected to us, without port; `unix` for a unix socket. */
  readonly clientAddress: string;
  readonly proto: 'http' | 'https';
  /** The `Host` that the client asked for. */
  readonly host: string;
  /** Whether that peer is a proxy we trust: then what it says is kept and added to. */
  readonly trusted: boolean;
  readonly style: ForwardedStyle;
  /** Names of fields that are ours alone, lower-cased, with hyphens: taken away from everybody. */
  readonly reserved?: ReadonlySet<string> | undefined;
  /** What we tell of the client’s certificate. */
  readonly certificate?: readonly (readonly [name: string, value: string])[] | undefined;
}

export const forwardedStyles = ['x-forwarded', 'forwarded', 'both', 'off'] as const;

/** Which header family goes to the upstream; `off` only takes the untrusted ones away. */
export type ForwardedStyle = (typeof forwardedStyles)[number];

/**
 * Puts our own `X-Forwarded-For/-Proto/-Host` and/or `Forwarded` (RFC 7239) on a request. Claims of a client that is
 * not trusted are dropped first, in every spelling that backends are known to believe; what a trusted proxy says is kept
 * and, in the families that we write, added to. What is reserved nobody may say but we.
 */
export function applyForwarded(headers: HeaderList, f: Forwarding): void {
  headers.deleteWhere(f.trusted ? isMisspeltClaim : isForwardingClaim);
  const { reserved } = f;
  if (reserved !== undefined) headers.deleteWhere((name) => reserved.has(hyphenated(name)));
  for (const [name, value] of f.certificate ?? []) headers.set(name, value);
  if (f.style === 'x-forwarded' || f.style === 'both') {
    headers.set('X-Forwarded-For', [...headers.elements('x-forwarded-for'), f.clientAddress].join(', '));
    headers.set('X-Forwarded-Proto', headers.get('x-forwarded-proto') || f.proto);
    headers.set('X-Forwarded-Host', headers.get('x-forwarded-host') || f.host);
  }
  if (f.style === 'forwarded' || f.style === 'both') {
    // Whole values, not elements: a comma may stand inside a quoted string.
    const before = headers.all('forwarded').filter((value) => value !== '');
    headers.set('Forwarded', [...before, forwardedElement(f)].join(', '));
  }
}

/** Whether a field says where a request came from or who sent it, so that only a proxy we trust may send it. */
export function isForwardingClaim(lowerName: string): boolean {
  const name = hyphenated(lowerName);
  return name.startsWith('x-forwarded-') || CLAIMS.has(name);
}

/** CGI-style backends read X_Forwarded_For as X-Forwarded-For. */
function hyphenated(lowerName: string): string {
  return lowerName.includes('_') ? lowerName.replaceAll('_', '-') : lowerName;
}

const CLAIMS: ReadonlySet<string> = new Set([
  'forwarded',
  'x-forwarded',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'true-client-ip',
  // RFC 9440 §2.4: what a client sends under these names must not reach who believes them.
  'client-cert',
  'client-cert-chain',
]);

/** Proxies write hyphens: an underscore is a client's attempt to pass the name by them. */
function isMisspeltClaim(lowerName: string): boolean {
  return lowerName.includes('_') && isForwardingClaim(lowerName);
}

function forwardedElement(f: Forwarding): string {
  const node = nodeName(f.clientAddress);
  return `for=${node};proto=${f.proto};host=${quoteUnlessToken(f.host)}`;
}

/** RFC 7239 §6: an address, or `unknown` for a unix socket, which has none. */
function nodeName(address: string): string {
  if (address === 'unix') return 'unknown';
  return address.includes(':') ? `"[${address}]"` : address;
}

function quoteUnlessToken(text: string): string {
  return /^[\w.!#$&'*+^`|~-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}
