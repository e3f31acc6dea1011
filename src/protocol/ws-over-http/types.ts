/** The words of WebSocket-over-HTTP: events in both directions, requests, answers, and what follows from them. */

import type { HeaderList } from '../http/header-list.js';

export const EVENTS_MEDIA_TYPE = 'application/websocket-events';

/** What a client and a backend say to each other. */
export type MessageType = 'TEXT' | 'BINARY' | 'PING' | 'PONG';

/** Types that have content; the others have none. */
export type ContentType = MessageType | 'CLOSE';

export interface MessageEvent {
  readonly type: MessageType;
  /** TEXT is UTF-8. */
  readonly content: Buffer;
}

/** How one side leaves. */
export type Farewell =
  /** With a Close: content is empty, or a code (2 bytes, big-endian) and a reason (UTF-8). */
  | { readonly type: 'CLOSE'; readonly content: Buffer }
  /** Without. From a backend: it does not know the connection. */
  | { readonly type: 'DISCONNECT' };

export type WsEvent = MessageEvent | Farewell | { readonly type: 'OPEN' };

/** One POST to the backend. A retry sends the same once more, `seq` and all. */
export interface EventsRequest {
  /** `open`: asks for the connection. `disconnect`: any answer to it is final, so give it little time. */
  readonly kind: 'open' | 'events' | 'disconnect';
  /** 1, 2, 3, … on each connection; only a retry has one that was there before. */
  readonly seq: number;
  /** Encoded events; empty on a keep-alive. */
  readonly body: Buffer;
  /** The first so many bytes of content were offered before, and answered, but not accepted. */
  readonly replayedBytes: number;
  /** What the backend has bound to the connection, by name. */
  readonly meta: Iterable<readonly [name: string, value: string]>;
}

/** A whole answer; who read it has limited its body. */
export interface EventsResponse {
  readonly status: number;
  readonly fields: HeaderList;
  readonly body: Buffer;
}

/** Why there is no answer. */
export type FailureKind =
  /** No connection: refused, timed out, TLS. */
  | 'not-reached'
  /** Broken off while the request's body was not yet written whole, so the backend cannot have read it. */
  | 'before-body-written'
  /** Anything else: the backend may have read it. */
  | 'ambiguous';

/** What the backend granted. */
export interface Acceptance {
  /** One of those offered, or undefined. */
  readonly subprotocol: string | undefined;
  /** For the client's 101, without any field of the handshake itself. */
  readonly fields: HeaderList;
  /** Set where GRIP was offered and taken; the prefix of messages for the client (`m:` by default). */
  readonly grip: { readonly messagePrefix: Buffer } | undefined;
}

/** What is to be done now, in order. */
export type Action =
  /** The client's handshake is granted. */
  | { readonly do: 'accept'; readonly acceptance: Acceptance }
  /**
   * The client's handshake is answered as plain HTTP: with the backend's own answer, or 502. The status may be a 2xx,
   * which a client of HTTP/2 would take for a switch (RFC 8441 §5).
   */
  | {
      readonly do: 'refuse';
      readonly status: number;
      /** Without framing: who writes it says how long the body is. */
      readonly fields: HeaderList;
      readonly body: Buffer;
      /** What is wrong with the backend, where this is not its own answer. */
      readonly problem?: string;
    }
  /** The backend says this. With GRIP it may be a control message. */
  | { readonly do: 'deliver'; readonly event: MessageEvent }
  /** The client is sent a Close, or the answer to its own. Legal on the wire. Comes once. */
  | { readonly do: 'close'; readonly code: number; readonly reason: string }
  /** Call `onTime` in so many ms, unless a request goes out before. Replaces the wait before it. */
  | { readonly do: 'wait'; readonly ms: number; readonly for: 'retry' | 'keep-alive' }
  /** One line for the log. */
  | { readonly do: 'report'; readonly problem: string };
