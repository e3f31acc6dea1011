import { hash } from 'node:crypto';
import type { Framing, Generation } from './types.js';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** `Sec-WebSocket-Accept` for a key (RFC 6455 §4.2.2; the same since HyBi-04). */
export function acceptFor(key: string): string {
  return hash('sha1', key + GUID, 'base64');
}

/** Whether a `Sec-WebSocket-Key` is the base64 of 16 bytes (RFC 6455 §4.1). */
export function isKey(key: string): boolean {
  return /^[A-Za-z0-9+/]{21}[AQgw]==$/.test(key);
}

/** The generation that a `Sec-WebSocket-Version` names. HyBi-09 to -12 kept version 8, HyBi-13 to RFC 6455 have 13. */
export function generationOfVersion(version: number): { generation: Generation; framing: Framing } {
  switch (version) {
    case 13:
      return { generation: 'rfc6455', framing: 'rfc6455' };
    case 8:
      return { generation: 'hybi-08', framing: 'rfc6455' };
    case 7:
      return { generation: 'hybi-07', framing: 'rfc6455' };
    // These mask whole frames, headers included: they pass unread.
    case 4:
    case 5:
    case 6:
      return { generation: 'hybi-04', framing: 'opaque' };
    default:
      return { generation: 'unknown', framing: 'opaque' };
  }
}

/** The `Sec-WebSocket-Version` values of some generations, newest first, as a 426 names them (RFC 6455 §4.4). */
export function versionsOf(taken: ReadonlySet<Generation>): number[] {
  return [13, 8, 7, 6, 5, 4].filter((version) => taken.has(generationOfVersion(version).generation));
}
