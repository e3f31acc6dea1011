import type { PublishItem } from '../protocol/grip/types.js';

/** What became of an item at one subscriber. */
export type Delivery =
  /** Given to the connection. */
  | 'delivered'
  /** Not meant for it: no form of its transport, a filter, its own message. */
  | 'skipped'
  /** Lost to its slow-consumer policy, which has counted it. */
  | 'dropped';

/** Whoever listens to a channel: a WebSocket, a stream, a response that waits. */
export interface Subscriber {
  /** The id of its session, with which it can be addressed. */
  readonly id: string;
  /** Who it is, for presence; undefined: nobody asks. */
  readonly user: string | undefined;
  /**
   * Takes an item; must not throw. The same object goes to every subscriber, so that what is made of it (a frame) can be
   * made once: see `Prepared`.
   */
  receive(item: Prepared, subscription: Subscription): Delivery;
}

/** What a subscriber said when it came to a channel. */
export interface Subscription {
  readonly channel: string;
  /** Names of filters; `src/channels/filters.ts` knows them. */
  readonly filters: readonly string[];
  /** What filters know of the subscriber (GRIP: connection meta), read at each delivery. */
  readonly meta: () => ReadonlyMap<string, string>;
}

/** An item on its way to subscribers, with what is made of it for all of them. */
export interface Prepared {
  readonly item: PublishItem;
  /** Place in the channel’s history; undefined where there is none. */
  readonly offset: number | undefined;
  /** The frame of RFC 6455 (unmasked) of a `wsMessage` to be sent; made at the first call. */
  wsFrame(): Buffer | undefined;
}

export interface PublishResult {
  /** Subscribers on this node that it was given to. */
  readonly delivered: number;
  readonly dropped: number;
  /** Parked until its predecessor comes, or seen before. */
  readonly sequence: 'in-order' | 'parked' | 'duplicate';
}

/** A message from node to node: a publish, or something for one session. */
export type NodeMessage =
  | { readonly kind: 'publish'; readonly item: PublishItem; readonly offset: number | undefined }
  | { readonly kind: 'session'; readonly request: SessionRequest };

/** What is asked of one session, wherever it lives. */
export type SessionRequest =
  | { readonly id: string; readonly what: 'send'; readonly type: 'text' | 'binary'; readonly content: Buffer }
  | {
      readonly id: string;
      readonly what: 'close';
      readonly code: number | undefined;
      readonly reason: string;
    }
  | { readonly id: string; readonly what: 'info' };

/** How nodes hear of each other. The default knows no other node; Redis and NATS know all. */
export interface Backplane {
  /** In logs and status. */
  readonly name: string;
  /** The part of every session id before its `.`, letters and digits. */
  readonly node: string;
  /** Resolves once it takes messages; rejects with one clear line where it never will. */
  open(handlers: BackplaneHandlers): Promise<void>;
  /** From the first local subscriber of a channel to the last, this node hears of it. */
  join(channel: string): void;
  leave(channel: string): void;
  /**
   * To every node with subscribers, this one among them: it is delivered by `onMessage` once it has its place. Rejects
   * where it could not be handed on.
   */
  publish(item: PublishItem): Promise<void>;
  /** To the node that a session id names; undefined: no such session. */
  ask(request: SessionRequest): Promise<SessionAnswer | undefined>;
  close(): Promise<void>;
}

export interface BackplaneHandlers {
  onPublish(item: PublishItem, offset: number | undefined): void;
  /** Asked of a session that lives here. */
  onAsk(request: SessionRequest): Promise<SessionAnswer | undefined>;
  /** Messages of a channel may have been missed (reconnect, gap in offsets); `channel` undefined: of any. */
  onGap(channel: string | undefined, missed: number | undefined): void;
  /** The link was lost, or is there again; told once each. `detail` is one line. */
  onLink(state: 'up' | 'down', detail: string): void;
}

export type SessionAnswer =
  | { readonly ok: true; readonly info?: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly why: 'too-slow' | 'closing' };
