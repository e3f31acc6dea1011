import ipaddr from 'ipaddr.js';

/** Four decimal numbers; a leading zero might be read as octal elsewhere. */
export function isIPv4(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text);
}

/** As RFC 4291 §2.2 writes it, without a zone. */
export function isIPv6(text: string): boolean {
  if (!/^[\da-f:]*(?:\d+(?:\.\d+){3})?$/i.test(text) || !ipaddr.IPv6.isValid(text)) return false;
  return !text.includes('.') || isIPv4(text.slice(text.lastIndexOf(':') + 1));
}

/** The bytes of an address as people read it; IPv4-mapped ones as IPv4. */
export function addressText(bytes: Uint8Array): string {
  const address = ipaddr.fromByteArray([...bytes]);
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress())
    return address.toIPv4Address().toString();
  return address.toString();
}

/** The 4 or 16 bytes of an address. */
export function addressBytes(text: string): Buffer {
  return Buffer.from(ipaddr.parse(text).toByteArray());
}

/** The 16 bytes of any address; IPv4 as IPv4-mapped. */
export function addressBytes6(text: string): Buffer {
  const bytes = addressBytes(text);
  return bytes.length === 16 ? bytes : Buffer.concat([MAPPED, bytes]);
}

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex');
