import type { Duplex } from 'node:stream';
import type { Visit } from '../net/native-door.js';
import type { Breach } from '../protocol/frames/types.js';
import type { Framing } from '../protocol/handshake/types.js';
import type { TranslationFault } from '../protocol/translate/translator.js';
import type { FanOut } from './fan-out.js';

export type RelaySideName = 'client' | 'upstream';

/** One side of a tunnel, as it is handed to a relay: paused, not failed (but perhaps ended), with what was already read. */
export interface RelaySide {
  readonly socket: Duplex;
  /** Bytes that this side sent before the relay began; they go to the other side first. */
  readonly early: Buffer;
  /** Bytes that have come from this side, where its socket holds some back: it is not silent while they come. */
  readonly heardBytes?: () => number;
}

/** What has come from one side so far. */
export interface Carried {
  /** Payload bytes, as read from that side. */
  readonly bytes: number;
  /** Complete data messages; undefined when frames are not read. */
  readonly messages: number | undefined;
  /** Code of the first Close frame; 1005 when it carried none. */
  readonly closeCode: number | undefined;
  /** The reason in that frame. Known when the tunnel has ended, by some engines before. */
  readonly closeReason: string | undefined;
  /** Why frames could not be read any further. */
  readonly blind: string | undefined;
  /** Pongs to pings of our own (`Relay.inject`). They were not passed on. */
  readonly pongs: number;
  /**
   * For how long no byte has come from that side, in whole seconds, up to about one too few; stops at 65,535 s. Always
   * known, also on rung `pipe`.
   */
  readonly silentMs: number;
}

/** What one side may send. Absent or 0 = no limit. */
export interface SideLimits {
  /**
   * Payload bytes of one data message, all its fragments together, as they are on the wire. One that is larger ends the
   * tunnel (`how: 'limit'`), and nothing of the frame that shows it goes on: its sender gets Close 1009, the other side
   * 1001. Hixie's frames all count, get `FF 00`, and one without a length goes on up to the limit. Needs frames to be
   * read, and ends with them (`Carried.blind`).
   */
  readonly maxMessageBytes?: number;
  /** Data messages; a burst of one second's worth (at least 1) is let through. As above, with Close 1008. */
  readonly maxMessagesPerSecond?: number;
  /** Bytes as they come; a burst of one second's worth is let through. Beyond it the side is read slower. On every rung. */
  readonly maxBytesPerSecond?: number;
}

export interface RelayOptions {
  /**
   * Ends the tunnel when no byte has moved either way for so long; 0 = never. Accurate to about a second. Where frames
   * are read both sides get a Close (1001 `idle`, Hixie `FF 00`) and the time of `closeTimeoutMs` to answer.
   */
  readonly idleTimeoutMs: number;
  /** After one side has ended, how long the other may stay silent before it is cut; 0 = never. */
  readonly halfCloseTimeoutMs: number;
  /** Ends the tunnel at this age; 0 = never. */
  readonly maxAgeMs: number;
  /**
   * How long a side may take to answer a Close that has gone to it, the peer's or ours, before both sides are ended; and
   * how long one that has been ended by us may take to end as well. With it a side that has sent a Close and was sent one
   * gets our FIN (RFC 6455 §7.1.1). 0 or absent = nobody but the peers ends it; after a broken limit, or when idle, that is 5000.
   * Accurate to about a second. Needs frames to be read.
   */
  readonly closeTimeoutMs?: number;
  readonly fromClient?: SideLimits;
  readonly fromUpstream?: SideLimits;
}

export interface RelayPair {
  readonly client: RelaySide;
  readonly upstream: RelaySide;
  /** The answer to the client's handshake; leaves in one write with the upstream's early bytes. Not counted. */
  readonly answer: Buffer;
  /** Frames to scan on the way (rung `observe`); undefined only moves bytes (rung `pipe`). */
  readonly framing: Framing | undefined;
}

/**
 * How a tunnel ended. `first` is the side whose end or failure came first. `closed`: in order, by Close frames, and TCP
 * was ended by us; `first` is the side whose Close came first, or `proxy` where a Close of ours did, however TCP ended
 * then. `limit`: the side `side` broke a limit. `fault`: a message could not be translated (rung `translate` only).
 */
export type RelayEnd =
  | { readonly first: RelaySideName; readonly how: 'end' | 'reset'; readonly detail?: string }
  | { readonly first: RelaySideName | 'proxy'; readonly how: 'closed' }
  | { readonly first: 'proxy'; readonly how: 'limit'; readonly limit: Breach; readonly side: RelaySideName }
  | { readonly first: 'proxy'; readonly how: 'fault'; readonly fault: TranslationFault }
  | { readonly first: 'proxy'; readonly how: 'idle' | 'max-age' | 'cut' };

/** A frame of our own: see `Relay.inject`. */
export type InjectionKind = 'close' | 'ping';

export interface Relay {
  /** Read it anew each time: it may be a copy. */
  readonly fromClient: Carried;
  readonly fromUpstream: Carried;
  /** The side whose Close frame came first; undefined before one was seen, or on rung `pipe`. */
  readonly firstClose: RelaySideName | undefined;
  /** Messages for the client that were lost to a policy on slow ones; absent where none ever is. */
  readonly dropped?: number;
  /** Resolves, never rejects, once both sockets are closed. */
  readonly ended: Promise<RelayEnd>;
  /** The same for one who holds many relays: called once, then or when it has ended already, and must not throw. */
  whenEnded(listener: (end: RelayEnd) => void): void;
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

/** What a relay begins with when both sides come from a door. */
export interface VisitStart {
  /** The head of the answer to the client’s handshake, latin-1 text. */
  readonly answer: string;
  /** What each side sent before the relay began; the upstream’s bytes are gone when the call returns. */
  readonly early: { readonly fromClient: Buffer; readonly fromUpstream: Buffer };
  readonly framing: Framing | undefined;
}

/** The engine that moves the bytes of tunnels. All engines pass the suites in `test/suites/relay-*suite.ts`. */
export interface RelayEngine {
  readonly name: 'stream' | 'native';
  /** Where one frame goes to many sockets that stay with Node; undefined where each is written to by itself. */
  readonly fanOut?: FanOut;
  join(pair: RelayPair, options: RelayOptions): Relay;
  /** The same for a client and an upstream that a door of this engine’s holds. */
  joinVisit?(visit: Visit, start: VisitStart, options: RelayOptions): Relay;
  /** Cuts what is open and gives back what the engine holds (threads), if it holds anything. */
  close?(): void;
}
