import type { RequestHead } from '../http/head.js';

/**
 * The dialects of the opening handshake, oldest first.
 *
 * | generation | tells itself by | frames |
 * | --- | --- | --- |
 * | `hixie-75` | `Upgrade: WebSocket`, no `Sec-WebSocket-*` at all | hixie |
 * | `hixie-76` | `Sec-WebSocket-Key1` and `-Key2`, 8 raw bytes behind the head (also called HyBi-00) | hixie |
 * | `hybi-01` | as hixie-76, with `Sec-WebSocket-Draft: 1`, `2` or `3` | opaque |
 * | `hybi-04` | `Sec-WebSocket-Version: 4`, `5` or `6` | opaque |
 * | `hybi-07` | `Sec-WebSocket-Version: 7` | rfc6455 |
 * | `hybi-08` | `Sec-WebSocket-Version: 8` | rfc6455 |
 * | `rfc6455` | `Sec-WebSocket-Version: 13` | rfc6455 |
 * | `unknown` | any other version | opaque |
 */
export const generations = [
  'hixie-75',
  'hixie-76',
  'hybi-01',
  'hybi-04',
  'hybi-07',
  'hybi-08',
  'rfc6455',
  'unknown',
] as const;

export type Generation = (typeof generations)[number];

/** Which frame scanner can read the bytes after the switch; `opaque` frames are moved but not read. */
export type Framing = 'hixie' | 'rfc6455' | 'opaque';

/** What proves that the upstream really switched. */
export type Proof =
  /** Hixie-75 has none: only the exact head. */
  | { readonly kind: 'head' }
  /** Hixie-76: 16 bytes, MD5 over both key numbers and the 8 bytes behind the head. */
  | { readonly kind: 'challenge'; readonly number1: number; readonly number2: number }
  /** HyBi-04 and later: `Sec-WebSocket-Accept` (RFC 6455 §4.2.2). */
  | { readonly kind: 'accept'; readonly accept: string };

/** A handshake that a client offered, read and found valid for its generation. */
export interface UpgradeRequest {
  readonly head: RequestHead;
  readonly generation: Generation;
  readonly framing: Framing;
  readonly proof: Proof;
  /** The token as the client spelt it: `WebSocket` or `websocket`. Old servers compare it literally. */
  readonly upgradeToken: string;
  /** Offered subprotocols in order of preference. */
  readonly subprotocols: readonly string[];
  /** Names of the offered extensions, lower case. */
  readonly extensions: readonly string[];
  readonly origin: string | undefined;
}

/** What a request head turns out to be. */
export type ReadResult =
  /** No WebSocket is asked for, or not in a way that counts: plain HTTP, its upgrade token to be removed. */
  | { readonly kind: 'plain' }
  | { readonly kind: 'upgrade'; readonly request: UpgradeRequest }
  /** Asks for a WebSocket but is wrong. `reason` is one line for the client. */
  | {
      readonly kind: 'reject';
      readonly code: 'HANDSHAKE_INVALID' | 'HANDSHAKE_BODY';
      readonly reason: string;
    };
