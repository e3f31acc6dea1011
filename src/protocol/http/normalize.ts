import ipaddr from 'ipaddr.js';

/**
 * The forms in which hosts and paths are compared (RFC 3986 §6.2.2). What is forwarded is never changed: these are
 * only for deciding which route a request belongs to, so that two spellings of one address meet the same rule.
 */

/** `Chat.Example.com.:8080` → `chat.example.com`; `[0:0::1]:80` → `[::1]`. Without port, lower case. */
export function normalizeHost(host: string): string {
  const name = withoutPort(host).toLowerCase();
  if (name.startsWith('[')) return canonicalIpv6(name);
  return name.endsWith('.') ? name.slice(0, -1) : name;
}

function withoutPort(host: string): string {
  const end = host.startsWith('[') ? host.indexOf(']') + 1 : host.indexOf(':');
  return end > 0 ? host.slice(0, end) : host;
}

function canonicalIpv6(bracketed: string): string {
  const inner = bracketed.slice(1, -1);
  return ipaddr.IPv6.isValid(inner) ? `[${ipaddr.IPv6.parse(inner).toString()}]` : bracketed;
}

/**
 * The path of a request target: without query, percent-encoded unreserved characters decoded, other escapes in upper
 * case, raw bytes above 0x7e escaped, then dot segments resolved. `/a/%2E%2e/b?x` → `/b`. Decoded once only, `%2F`
 * stays as it is, and empty segments (`//`) are kept. Linear in the length of the target; never throws.
 */
export function normalizePath(target: string): string {
  const path = withoutQuery(target);
  const decoded = NEEDS_DECODING.test(path) ? decodeUnreserved(path) : path;
  return decoded.includes('/.') ? resolveDotSegments(decoded) : decoded;
}

const NEEDS_DECODING = /[%\x7f-\uffff]/;

function withoutQuery(target: string): string {
  const end = target.search(/[?#]/);
  return end === -1 ? target : target.slice(0, end);
}

function decodeUnreserved(path: string): string {
  return path.replace(/%[0-9A-Fa-f]{2}|[\x7f-\uffff]/g, (found) => {
    if (!found.startsWith('%')) return escapeByte(found);
    const char = String.fromCharCode(Number.parseInt(found.slice(1), 16));
    return /[A-Za-z0-9\-._~]/.test(char) ? char : found.toUpperCase();
  });
}

/** Targets arrive as latin1: one character is one byte. */
function escapeByte(char: string): string {
  const bytes = char > '\xff' ? Buffer.from(char, 'utf8') : Buffer.from(char, 'latin1');
  return Array.from(bytes, (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}

/** RFC 3986 §5.2.4 for a path that begins with a slash; `..` at the root stays at the root. */
function resolveDotSegments(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/').slice(1);
  for (const segment of segments) {
    if (segment === '..') kept.pop();
    else if (segment !== '.') kept.push(segment);
  }
  const last = segments.at(-1);
  // What names a directory keeps its slash: `/a/..` is `/`, `/a/b/.` is `/a/b/`.
  if (last === '.' || last === '..') kept.push('');
  return `/${kept.join('/')}`;
}
