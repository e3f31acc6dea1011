import { ProxyHeaderError } from './types.js';

/** The types of the specification that we read or write (§2.2). */
export const TLV = {
  authority: 0x02,
  crc32c: 0x03,
  ssl: 0x20,
  sslVersion: 0x21,
  sslCommonName: 0x22,
} as const;

/** Of the first byte of a TLV `ssl`. */
export const SSL_CLIENT = { ssl: 0x01, certificateNow: 0x02, certificateInSession: 0x04 } as const;

export interface Tlv {
  readonly type: number;
  readonly value: Buffer;
  /** Where the value begins in the bytes that were read. */
  readonly at: number;
}

/**
 * Reads type-length-value fields that fill `bytes` from `start` on.
 *
 * @throws ProxyHeaderError when one reaches beyond the end
 */
export function* readTlvs(bytes: Buffer, start = 0): Generator<Tlv> {
  let at = start;
  while (at < bytes.length) {
    const end = at + 3 > bytes.length ? Infinity : at + 3 + bytes.readUInt16BE(at + 1);
    if (end > bytes.length) throw new ProxyHeaderError('has a TLV that reaches beyond its end');
    yield { type: bytes[at]!, value: bytes.subarray(at + 3, end), at: at + 3 };
    at = end;
  }
}

export function writeTlv(type: number, value: Uint8Array): Buffer {
  const head = Buffer.from([type, 0, 0]);
  head.writeUInt16BE(value.length, 1);
  return Buffer.concat([head, value]);
}
