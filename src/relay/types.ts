import type { Duplex } from 'node:stream';
import type { Traffic } from '../protocol/frames/types.js';

export type RelaySideName = 'client' | 'upstream';

/** One side of a tunnel, as it is handed to a relay: paused, not failed (but perhaps ended), with what was already read. */
export interface RelaySide {
  readonly socket: Duplex;
  /** Bytes that this side sent before the relay began; they go to the other side first. */
  readonly early: Buffer;
  /** Counts frames of what this side sends (rung `observe`); undefined on rung `pipe`. */
  readonly traffic: Traffic | undefined;
}

export interface RelayOptions {
  /** Ends the tunnel when no byte has moved either way for so long; 0 = never. Accurate to about a second. */
  readonly idleTimeoutMs: number;
  /** After one side has ended, how long the other may stay silent before it is cut; 0 = never. */
  readonly halfCloseTimeoutMs: number;
  /** Ends the tunnel at this age; 0 = never. */
  readonly maxAgeMs: number;
}

export interface RelayPair {
  readonly client: RelaySide;
  readonly upstream: RelaySide;
  /** The answer to the client's handshake; leaves in one write with the upstream's early bytes. Not counted. */
  readonly answer: Buffer;
}

/** How a tunnel ended. `first` is the side whose end or failure came first. */
export type RelayEnd =
  | { readonly first: RelaySideName; readonly how: 'end' | 'reset'; readonly detail?: string }
  | { readonly first: 'proxy'; readonly how: 'idle' | 'max-age' | 'cut' };

export interface Relay {
  /** Payload bytes moved so far, as read from each side. */
  readonly bytesFromClient: number;
  readonly bytesFromUpstream: number;
  /** The side whose Close frame came first; undefined before one was seen, or on rung `pipe`. */
  readonly firstClose: RelaySideName | undefined;
  /** Resolves, never rejects, once both sockets are closed. */
  readonly ended: Promise<RelayEnd>;
  /** Ends both sides at once with a reset. */
  cut(): void;
}

/** The engine that moves the bytes of tunnels. All engines pass the suite in `test/suites/relay-suite.ts`. */
export interface RelayEngine {
  readonly name: 'stream' | 'native';
  join(pair: RelayPair, options: RelayOptions): Relay;
}
