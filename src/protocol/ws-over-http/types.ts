/** The events of WebSocket-over-HTTP, in both directions. */

/** Types that have content; the others have none. */
export type ContentType = 'TEXT' | 'BINARY' | 'PING' | 'PONG' | 'CLOSE';

export type WsEvent =
  | { readonly type: 'OPEN' | 'DISCONNECT' }
  /** TEXT is UTF-8 as it came; CLOSE is empty, or a code (2 bytes, big-endian) and a reason (UTF-8). */
  | { readonly type: ContentType; readonly content: Buffer };

export const EVENTS_MEDIA_TYPE = 'application/websocket-events';
