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
}

export const forwardedStyles = ['x-forwarded', 'forwarded', 'both', 'off'] as const;

/** Which header family goes to the upstream; `off` only takes the untrusted ones away. */
export type ForwardedStyle = (typeof forwardedStyles)[number];

/**
 * Puts our own `X-Forwarded-For/-Proto/-Host` and/or `Forwarded` (RFC 7239) on a request. Copies from a client that is
 * not trusted are dropped first, in every spelling that backends are known to believe. Call it after
 * `removeHopByHop`, so that a client cannot name ours away in `Connection`.
 */
export function applyForwarded(headers: HeaderList, f: Forwarding): void {
  const before = f.trusted
    ? {
        for: headers.elements('x-forwarded-for'),
        proto: headers.get('x-forwarded-proto'),
        host: headers.get('x-forwarded-host'),
        forwarded: headers.elements('forwarded'),
      }
    : { for: [], proto: undefined, host: undefined, forwarded: [] };
  if (f.trusted) {
    headers.deleteWhere((name) => OURS.has(name));
  } else {
    headers.deleteWhere(isClaim);
  }
  if (f.style === 'x-forwarded' || f.style === 'both') {
    headers.append('X-Forwarded-For', [...before.for, f.clientAddress].join(', '));
    headers.append('X-Forwarded-Proto', before.proto ?? f.proto);
    headers.append('X-Forwarded-Host', before.host ?? f.host);
  }
  if (f.style === 'forwarded' || f.style === 'both') {
    headers.append('Forwarded', [...before.forwarded, forwardedElement(f)].join(', '));
  }
}

const OURS: ReadonlySet<string> = new Set(['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'forwarded']);
const CLAIMS: ReadonlySet<string> = new Set(['forwarded', 'x-real-ip', 'x-client-ip', 'true-client-ip']);

function isClaim(lowerName: string): boolean {
  // CGI-style backends read X_Forwarded_For as X-Forwarded-For.
  const name = lowerName.replaceAll('_', '-');
  return name.startsWith('x-forwarded-') || CLAIMS.has(name);
}

function forwardedElement(f: Forwarding): string {
  const node = f.clientAddress.includes(':') ? `"[${f.clientAddress}]"` : f.clientAddress;
  return `for=${node};proto=${f.proto};host=${quoteUnlessToken(f.host)}`;
}

function quoteUnlessToken(text: string): string {
  return /^[\w.!#$&'*+^`|~-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}
