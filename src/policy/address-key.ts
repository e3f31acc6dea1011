import { isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';

/** The longest text kept of what is no address: a trusted proxy may name its clients as it likes. */
const MAX_TEXT = 64;

/**
 * What a client is counted under: its IPv4 address, or its IPv6 network of 64 bits, which is the least that one
 * customer is given (RFC 6177) and all of which is theirs to use.
 */
export function addressKey(address: string): string {
  if (!isIPv6(address)) return address.slice(0, MAX_TEXT);
  const parsed = ipaddr.IPv6.parse(address);
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString();
  return `${parsed.parts
    .slice(0, 4)
    .map((part) => part.toString(16))
    .join(':')}::/64`;
}
