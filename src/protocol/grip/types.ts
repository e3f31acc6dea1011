/** What is published, in the terms of GRIP: one item, with a form for each way in which a client listens. */

export type Bytes = Buffer;

/**
 * Which content filters a subscription must have, in order, to be given the item; undefined: any, or none. The empty
 * list is given to those without content filters only.
 */
export type ContentFilters = readonly string[] | undefined;

/** To clients that hold a WebSocket. */
export type WsMessageFormat =
  | {
      readonly action: 'send';
      readonly type: 'text' | 'binary' | 'ping' | 'pong';
      /** UTF-8 where `type` is text; at most 125 bytes where it is ping or pong. */
      readonly content: Bytes;
      readonly contentFilters: ContentFilters;
    }
  /** Code 0 to 65535 as published, not all of them legal on the wire; `reason` may be too long for it. */
  | { readonly action: 'close'; readonly code: number | undefined; readonly reason: string }
  /** Every connection of WebSocket-over-HTTP asks its backend at once. */
  | { readonly action: 'refresh' };

/** To clients that read a response which goes on. */
export type HttpStreamFormat =
  | { readonly action: 'send'; readonly content: Bytes; readonly contentFilters: ContentFilters }
  /** Holders of the channel ask their backend again. */
  | { readonly action: 'hint' }
  | { readonly action: 'close' };

/** To clients that wait for a response. */
export type HttpResponseFormat =
  | {
      readonly action: 'send';
      /** 200 to 599; 200 where none was published. */
      readonly code: number;
      /** Undefined: the usual one of `code`. */
      readonly reason: string | undefined;
      /** Take the place of the held response’s headers of the same name; in UTF-16, as JSON had them. */
      readonly headers: readonly (readonly [name: string, value: string])[];
      /** `patch`: operations of RFC 6902 on the held response’s body. */
      readonly body: { readonly bytes: Bytes } | { readonly patch: readonly unknown[] };
      readonly contentFilters: ContentFilters;
    }
  | { readonly action: 'hint' };

export interface PublishItem {
  readonly channel: string;
  /** Its place in the channel’s sequence. */
  readonly id: string | undefined;
  /** What it comes after. */
  readonly prevId: string | undefined;
  /** Goes by the sequence of nobody: delivered at once. */
  readonly noSeq: boolean;
  /** What filters ask. */
  readonly meta: Readonly<Record<string, string>>;
  readonly wsMessage: WsMessageFormat | undefined;
  readonly httpStream: HttpStreamFormat | undefined;
  readonly httpResponse: HttpResponseFormat | undefined;
}
