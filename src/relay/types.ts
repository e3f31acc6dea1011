import type { Duplex } from 'node:stream';
import type { Framing } from '../protocol/handshake/types.js';

export type RelaySideName = 'client' | 'upstream';

/** One side of a tunnel, as it is handed to a relay: paused, not failed (but perhaps ended), with what was already read. */
export interface RelaySide {
  readonly socket: Duplex;
  /** Bytes that this side sent before the relay began; they go to the other side first. */
  readonly early: Buffer;
}

/** What has come from one side so far. */
export interface Carried {
  /** Payload bytes, as read from that side. */
  readonly bytes: number;
  /** Complete data messages; undefined when frames are not read. */
  readonly messages: number | undefined;
  /** Code of the first Close frame; 1005 when it carried none. */
  readonly closeCode: number | undefined;
  /** Why frames could not be read any further. */
  readonly blind: string | undefined;
  /** Pongs to pings of our own (`Relay.inject`). They were not passed on. */
  readonly pongs: number;
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
  /** Frames to scan on the way (rung `observe`); undefined only moves bytes (rung `pipe`). */
  readonly framing: Framing | undefined;
}

/** How a tunnel ended. `first` is the side whose end or failure came first. */
export type RelayEnd =
  | { readonly first: RelaySideName; readonly how: 'end' | 'reset'; readonly detail?: string }
  | { readonly first: 'proxy'; readonly how: 'idle' | 'max-age' | 'cut' };

/** A frame of our own: see `Relay.inject`. */
export type InjectionKind = 'close' | 'ping';

export interface Relay {
  /** Read it anew each time: it may be a copy. */
  readonly fromClient: Carried;
  readonly fromUpstream: Carried;
  /** The side whose Close frame came first; undefined before one was seen, or on rung `pipe`. */
  readonly firstClose: RelaySideName | undefined;
  /** Resolves, never rejects, once both sockets are closed. */
  readonly ended: Promise<RelayEnd>;
  /** Ends both sides at once with a reset. */
  cut(): void;
  /**
   * Puts a whole frame in towards a side as soon as what goes there stands between two frames; towards the upstream it
   * must be masked. After a Close, later frames towards that side are read and dropped. A Ping's pong is swallowed and
   * counted. Nothing goes in behind a Close of either kind. Returns false when it never will: frames are not read, or
   * not any more, or the tunnel has ended.
   *
   * @throws RangeError when it is not one whole frame of that kind.
   */
  inject(towards: RelaySideName, kind: InjectionKind, frame: Uint8Array): boolean;
}

/** The engine that moves the bytes of tunnels. All engines pass the suite in `test/suites/relay-suite.ts`. */
export interface RelayEngine {
  readonly name: 'stream' | 'native';
  join(pair: RelayPair, options: RelayOptions): Relay;
  /** Cuts what is open and gives back what the engine holds (threads), if it holds anything. */
  close?(): void;
}
