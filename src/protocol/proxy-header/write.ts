import type { ProxyHeader, ProxyVersion } from './types.js';
import { writeV1 } from './v1.js';
import { writeV2 } from './v2.js';

/**
 * The bytes of a PROXY header. A client and a destination of two families are written as IPv6, the IPv4 one mapped. What
 * version 1 cannot say (`local`, `unix`) becomes its `UNKNOWN`; TLS and authority are left out there.
 */
export function writeProxyHeader(version: ProxyVersion, header: ProxyHeader): Buffer {
  return version === 'v1' ? Buffer.from(writeV1(header), 'latin1') : writeV2(header);
}
