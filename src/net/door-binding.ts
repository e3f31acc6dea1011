/** A door inside the addon. */
export interface DoorHandle {
  readonly door: unique symbol;
}

/**
 * Where clients come in without Node's sockets (`native/src/door.h`). A visit is a client from its first event until it
 * is joined, taken or cut; numbers do not come back soon, and are positive. With a number that is unknown or over,
 * `doorDial`, `doorSend` and `doorJoin` return ESRCH (3). Every function may be called from inside `onEvents`.
 */
export interface DoorBinding<Engine = unknown> {
  /**
   * `events`: EVENT_WORDS numbers an event: kind, visit, offset, length, extra, address length; as many events as it has
   * room for are a batch. `bytes`: where what was read stands until `onEvents` returns; at least 64 KiB + 46. Both are
   * kept until `closeDoor`. What `onEvents` throws becomes an uncaught exception. The process is kept while the door
   * listens or has visits.
   */
  openDoor(
    engine: Engine,
    events: Int32Array,
    bytes: Uint8Array,
    onEvents: (count: number) => void,
  ): DoorHandle;
  /** Stops listening and resets every visit. No more events. May be called again. */
  closeDoor(door: DoorHandle): void;
  /**
   * Accepts from a duplicate of a listening descriptor. `listener`, below 4096, is what HEAD and SILENT have as `extra`.
   * Returns 0 or an errno.
   */
  doorListen(door: DoorHandle, fd: number, listener: number): number;
  /** Stops accepting there. The visits that it has let in go on. */
  doorUnlisten(door: DoorHandle, listener: number): void;
  /**
   * Dials an IP address for a visit without an upstream, and sends the offer (latin1). Returns 0, or the errno for which
   * no attempt was made (EINVAL for what is no address; EISCONN; EMFILE, ...): then the visit waits as before. What
   * fails later, from connect(2) on, comes as an event.
   */
  doorDial(door: DoorHandle, visit: number, host: string, port: number, offer: string): number;
  /** Whether the upstream was dialled and has not taken the connection, or not the whole offer, yet. */
  doorIsConnecting(door: DoorHandle, visit: number): boolean;
  /** Resets the upstream; another may be dialled. */
  doorHangUp(door: DoorHandle, visit: number): void;
  /** Sends all of it (latin1) to the client. EAGAIN when it did not take all: it must be cut then. */
  doorSend(door: DoorHandle, visit: number, text: string): number;
  /**
   * Hands both sockets to the engine under `slot`, as `join` does, with `answer` (latin1) and `early` for the client.
   * Returns 0: the visit is over; or an errno, and nothing was taken or sent (ENOTCONN before the whole offer was sent,
   * ESHUTDOWN when the engine is closed).
   */
  doorJoin(
    door: DoorHandle,
    visit: number,
    slot: number,
    answer: string,
    early: Uint8Array,
    toUpstream: Uint8Array,
    framing: number,
    idleTimeoutMs: number,
    halfCloseTimeoutMs: number,
    maxAgeMs: number,
  ): number;
  /**
   * Ends a visit and hands its descriptors out: `fds[0]` client, `fds[1]` upstream, or -1. An upstream that has not got
   * the whole offer is closed instead.
   */
  doorTake(door: DoorHandle, visit: number, fds: Int32Array): void;
  /** Ends a visit: both descriptors are reset. */
  doorCut(door: DoorHandle, visit: number): void;
}

export const EVENT_WORDS = 6;

/** What a door tells: the first word of an event. */
export const DOOR_EVENT = {
  /** A client's first bytes; its address, as text, stands right before them (no text for a unix socket). */
  head: 0,
  /** A client has sent nothing for a second. No bytes; its address as above. */
  silent: 1,
  /** Bytes from the upstream. */
  answer: 2,
  /** No connection was made; `extra` is the errno. The upstream is closed. */
  connectFailed: 3,
  /** The upstream has ended (`extra` 0) or was lost (an errno). It is closed. */
  upstreamEnded: 4,
  /** The client has ended (0) or was lost (an errno). */
  clientGone: 5,
  /** A listener (in place of the visit) cannot accept; `extra` is the errno. Told once, until it can. */
  exhausted: 6,
} as const;
