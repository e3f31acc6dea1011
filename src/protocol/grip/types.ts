/** What is published, in the terms of GRIP: one item, with a form for each way in which a client listens. */

export type Bytes = Buffer;

/** To clients that hold a WebSocket. */
export type WsMessageFormat =
  | {
      readonly action: 'send';
      readonly type: 'text' | 'binary' | 'ping' | 'pong';
      readonly content: Bytes;
      readonly contentFilters: readonly string[];
    }
  | { readonly action: 'close'; readonly code: number | undefined; readonly reason: string }
  /** Every connection of WebSocket-over-HTTP asks its backend at once. */
  | { readonly action: 'refresh' };

/** To clients that read a response which goes on. */
export type HttpStreamFormat =
  | { readonly action: 'send'; readonly content: Bytes; readonly contentFilters: readonly string[] }
  /** Holders of the channel ask their backend again. */
  | { readonly action: 'hint' }
  | { readonly action: 'close' };

/** To clients that wait for a response. */
export type HttpResponseFormat =
  | {
      readonly action: 'send';
      /** Each absent: as the held response has it. */
      readonly code: number | undefined;
      readonly reason: string | undefined;
      readonly headers: readonly (readonly [name: string, value: string])[] | undefined;
      readonly body: { readonly bytes: Bytes } | { readonly patch: readonly unknown[] } | undefined;
      readonly contentFilters: readonly string[];
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
