import { addressBytes, addressBytes6, addressText, isIPv6 } from './addresses.js';
import { crc32c } from './crc32c.js';
import { readTlvs, SSL_CLIENT, TLV, writeTlv } from './tlv.js';
import { type HeaderTls, type ProxyHeader, ProxyHeaderError, type Whose } from './types.js';

/** What every header begins with (proxy-protocol.txt §2.2). */
export const V2_SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
/** Signature, version and command, family and protocol, length. */
export const V2_HEAD_BYTES = 16;

const LOCAL = 0x0;
const PROXY = 0x1;
const UNSPEC = 0x00;
const TCP4 = 0x11;
const TCP6 = 0x21;
const UNIX_STREAM = 0x31;
/** Of both ends together, by address family: `AF_INET`, `AF_INET6`, `AF_UNIX`. */
const ADDRESS_BYTES = [0, 12, 36, 216] as const;

/**
 * The length of a whole header, or undefined while its own words on that are not there. Bad ones are not waited for.
 *
 * @throws ProxyHeaderError
 */
export function v2Length(bytes: Buffer, maxBytes: number): number | undefined {
  if (bytes.length > 12) checkVersion(bytes[12]!);
  if (bytes.length < V2_HEAD_BYTES) return undefined;
  const length = V2_HEAD_BYTES + bytes.readUInt16BE(14);
  if (length > maxBytes) {
    throw new ProxyHeaderError(`is ${length} bytes long, which is more than the ${maxBytes} that are taken`);
  }
  return length;
}

/**
 * Reads a whole header.
 *
 * @throws ProxyHeaderError
 */
export function readV2(bytes: Buffer): ProxyHeader {
  // Whatever stands behind it, the family too, is to be skipped.
  if ((bytes[12]! & 0x0f) === LOCAL) return { kind: 'local' };
  const kind = bytes[13]!;
  const [family, protocol] = [kind >> 4, kind & 0x0f];
  const addressLength = ADDRESS_BYTES[family];
  if (addressLength === undefined || protocol > 2) {
    throw new ProxyHeaderError(`has the address family and protocol 0x${hex(kind)}, which do not exist`);
  }
  const block = bytes.subarray(V2_HEAD_BYTES, V2_HEAD_BYTES + addressLength);
  if (block.length < addressLength) {
    const found = bytes.length - V2_HEAD_BYTES;
    throw new ProxyHeaderError(`has ${found} bytes for addresses that take ${addressLength}`);
  }
  // Where the addresses of no family end, and the TLVs begin, nobody can tell.
  if (family === 0) return { kind: 'unknown' };
  return { ...readAddresses(kind, block), ...readExtras(bytes, V2_HEAD_BYTES + addressLength) };
}

export function writeV2(header: ProxyHeader): Buffer {
  const { command, family, addresses } = writeAddresses(header);
  const tls = header.tls === undefined ? [] : [writeTls(header.tls)];
  const authority =
    header.authority === undefined ? [] : [writeTlv(TLV.authority, Buffer.from(header.authority))];
  const rest = Buffer.concat([addresses, ...tls, ...authority]);
  const head = Buffer.alloc(V2_HEAD_BYTES);
  V2_SIGNATURE.copy(head);
  head[12] = 0x20 | command;
  head[13] = family;
  head.writeUInt16BE(rest.length, 14);
  return Buffer.concat([head, rest]);
}

function checkVersion(byte: number): void {
  if (byte >> 4 !== 2) throw new ProxyHeaderError(`is of version ${byte >> 4}, not 2`);
  const command = byte & 0x0f;
  if (command > PROXY) throw new ProxyHeaderError(`has the command ${command}, which does not exist`);
}

function readAddresses(kind: number, block: Buffer): Whose {
  if (kind === UNIX_STREAM) return { kind: 'unix' };
  // Of datagrams and the like, on a TCP connection: valid, and nothing that we could use.
  if (kind !== TCP4 && kind !== TCP6) return { kind: 'unknown' };
  const size = kind === TCP4 ? 4 : 16;
  return {
    kind: 'tcp',
    source: { address: addressText(block.subarray(0, size)), port: block.readUInt16BE(2 * size) },
    destination: {
      address: addressText(block.subarray(size, 2 * size)),
      port: block.readUInt16BE(2 * size + 2),
    },
  };
}

/** What stands behind the addresses. Of what we know, each may be there once: two would be two readings. */
function readExtras(bytes: Buffer, start: number): { tls?: HeaderTls; authority?: string } {
  const extras: { tls?: HeaderTls; authority?: string } = {};
  const seen = new Set<number>();
  for (const { type, value, at } of readTlvs(bytes, start)) {
    if (type !== TLV.ssl && type !== TLV.authority && type !== TLV.crc32c) continue;
    if (seen.has(type)) throw new ProxyHeaderError(`has the TLV 0x${hex(type)} twice`);
    seen.add(type);
    if (type === TLV.crc32c) checkSum(bytes, value, at);
    else if (type === TLV.authority) extras.authority = value.toString('utf8');
    else {
      const tls = readTls(value);
      if (tls !== undefined) extras.tls = tls;
    }
  }
  return extras;
}

/** §2.2.3: over the whole header, the sum itself as zeros. */
function checkSum(bytes: Buffer, sum: Buffer, at: number): void {
  if (sum.length !== 4) throw new ProxyHeaderError(`has a checksum of ${sum.length} bytes instead of 4`);
  const whole = Buffer.from(bytes);
  whole.fill(0, at, at + 4);
  if (crc32c(whole) !== sum.readUInt32BE(0)) throw new ProxyHeaderError('does not have its checksum');
}

/** §2.2.6. Undefined: the client spoke no TLS. */
function readTls(value: Buffer): HeaderTls | undefined {
  if (value.length < 5) throw new ProxyHeaderError(`has a TLV for TLS of ${value.length} bytes instead of 5`);
  const client = value[0]!;
  const texts = new Map<number, string>();
  for (const { type, value: text } of readTlvs(value, 5)) texts.set(type, text.toString('utf8'));
  if ((client & SSL_CLIENT.ssl) === 0) return undefined;
  // A sender that saw no certificate may say "verified" all the same.
  const hasCertificate = (client & (SSL_CLIENT.certificateNow | SSL_CLIENT.certificateInSession)) !== 0;
  return {
    version: texts.get(TLV.sslVersion),
    certificate: hasCertificate
      ? { isVerified: value.readUInt32BE(1) === 0, commonName: texts.get(TLV.sslCommonName) }
      : undefined,
  };
}

function writeTls({ version, certificate }: HeaderTls): Buffer {
  const seen = SSL_CLIENT.certificateNow | SSL_CLIENT.certificateInSession;
  const head = Buffer.from([SSL_CLIENT.ssl | (certificate === undefined ? 0 : seen), 0, 0, 0, 0]);
  head.writeUInt32BE(certificate?.isVerified ? 0 : 1, 1);
  const texts = [
    [TLV.sslVersion, version],
    [TLV.sslCommonName, certificate?.commonName],
  ] as const;
  const fields = texts.flatMap(([type, text]) =>
    text === undefined ? [] : [writeTlv(type, Buffer.from(text))],
  );
  return writeTlv(TLV.ssl, Buffer.concat([head, ...fields]));
}

function writeAddresses(whose: Whose): { command: number; family: number; addresses: Buffer } {
  switch (whose.kind) {
    case 'local':
      return { command: LOCAL, family: UNSPEC, addresses: NOTHING };
    case 'unknown':
      return { command: PROXY, family: UNSPEC, addresses: NOTHING };
    case 'unix':
      return { command: PROXY, family: UNIX_STREAM, addresses: Buffer.alloc(ADDRESS_BYTES[3]) };
    case 'tcp': {
      const { source, destination } = whose;
      const isIPv6Pair = [source, destination].some(({ address }) => isIPv6(address));
      const bytesOf = isIPv6Pair ? addressBytes6 : addressBytes;
      const ports = Buffer.alloc(4);
      ports.writeUInt16BE(source.port, 0);
      ports.writeUInt16BE(destination.port, 2);
      const addresses = Buffer.concat([bytesOf(source.address), bytesOf(destination.address), ports]);
      return { command: PROXY, family: isIPv6Pair ? TCP6 : TCP4, addresses };
    }
  }
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

const NOTHING = Buffer.alloc(0);
