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
   * made once: see `Prepared`. Filters are the subscriber’s own: they ask for its transport, its meta and its channels.
   */
  receive(item: Prepared, subscription: Subscription): Delivery;
  /** Asked between messages of the past: undefined while it takes more, else what resolves once it does. */
  ready?(): Promise<void> | undefined;
  /** It took so long for what it has missed that the rest of it is lost, and must not be kept from it. */
  tooSlow?(): void;
}

/** What a subscriber said when it came to a channel. */
export interface Subscription {
  readonly channel: string;
  /** Names of filters; `src/protocol/grip/filters.ts` knows them. */
  readonly filters: readonly string[];
  /** What filters know of the subscriber (GRIP: connection meta), read at each delivery. */
  readonly meta: () => ReadonlyMap<string, string>;
}

/** Where a channel’s history has been read to. Only where both are the same as before has nothing been missed. */
export interface Place {
  /** Of the last message: 1, 2, 3, … */
  readonly offset: number;
  /** Changes where the numbers begin anew, or may mean other messages than before: letters and digits. */
  readonly epoch: string;
}

/** From where on a channel’s past is asked for: behind a place, or behind the item that was published with this id. */
export type Since = Place | { readonly id: string };

/** An item on its way to subscribers, with what is made of it for all of them. */
export interface Prepared {
  readonly item: PublishItem;
  /**
   * Who has had this item, and all before it, goes on from here (`History.since`); undefined where there is no history.
   * While an earlier one still waits for its predecessor, it is the place before that one: better twice than never.
   */
  readonly place: Place | undefined;
  /** The frame of RFC 6455 (unmasked) of a `wsMessage` to be sent; made at the first call. */
  wsFrame(): Buffer | undefined;
}

/** On this node: others count their own. */
export interface PublishResult {
  /** Subscribers that it was given to. */
  readonly delivered: number;
  readonly dropped: number;
  /** Parked until its predecessor comes, or seen before. */
  readonly sequence: Sequence;
}

export type Sequence = 'in-order' | 'parked' | 'duplicate';

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

export type SessionAnswer =
  | { readonly ok: true; readonly info?: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly why: 'too-slow' | 'closing' };

/** What one node asks another about itself. Answers are JSON. */
export interface NodeQuestion {
  /** Which of the things that nodes answer, as `sessions` or `members`. */
  readonly what: string;
  readonly of: Readonly<Record<string, unknown>>;
}

/** A session of a node that is lost. */
export interface KeptSession {
  readonly id: string;
  /** What somebody else needs to tell its backend of its end; made and read by whoever keeps it. */
  readonly record: string;
}

/** What was published to a channel after a place. */
export interface Recovery {
  /** Whether `messages` are all that came after the place: never in part. */
  readonly recovered: boolean;
  /** In order; empty where it is not recovered. */
  readonly messages: readonly { readonly item: PublishItem; readonly place: Place }[];
  /** To go on from; undefined where there is no history. */
  readonly place: Place | undefined;
}

/** How much of a channel is kept: all bounds hold at once. */
export interface HistoryRule {
  readonly maxMessages: number;
  readonly maxAgeMs: number;
  /** Of content, as published. */
  readonly maxBytes: number;
}

/** How nodes hear of each other. The default knows no other node; Redis and NATS know all. */
export interface Backplane {
  /** In logs and status. */
  readonly name: string;
  /** Whether there is no other node, nor will ever be: nothing needs to be kept. */
  readonly isAlone: boolean;
  /** The part of every session id before its `.`, letters and digits. */
  readonly node: string;
  /** Resolves once it takes messages; rejects with one clear line where it never will. */
  open(handlers: BackplaneHandlers): Promise<void>;
  /**
   * From the first local subscriber of a channel to the last, this node hears of it. Resolves once what is published
   * from then on is heard, or with `leave`; never rejects.
   */
  join(channel: string): Promise<void>;
  leave(channel: string): void;
  /**
   * To every node with subscribers, this one among them, where it is delivered by `onPublish` once it has its place.
   * Resolves with what became of it here; rejects where it could not be handed on, or nobody knows whether it was.
   */
  publish(item: PublishItem): Promise<PublishResult>;
  /** Whether the channel has a history. */
  keepsHistory(channel: string): boolean;
  /**
   * What came after a place, or an item, where the channel has a history; undefined: from here on. Of several items with
   * the same id the last counts.
   */
  since(channel: string, from: Since | undefined): Promise<Recovery>;
  /** What is kept of the channel: the last `limit` messages, the oldest first. Rejects as `since`. */
  history(channel: string, limit: number): Promise<Recovery['messages']>;
  /** To the node that a session id names; undefined: no such session. Rejects where that node did not answer. */
  ask(request: SessionRequest): Promise<SessionAnswer | undefined>;
  /** The other nodes that are known to live. */
  nodes(): readonly string[];
  /** Rejects where that node did not answer. */
  query(node: string, question: NodeQuestion): Promise<unknown>;
  /**
   * A session of this node that another must tell of if this one is lost. `record` is called when it is written, now or
   * later, and again after another `keep`. Without other nodes, and where nothing can be kept, it does nothing.
   */
  keep(id: string, record: () => string): void;
  forget(id: string): void;
  close(): Promise<void>;
}

export interface BackplaneHandlers {
  onPublish(item: PublishItem, place: Place | undefined): PublishResult;
  /** Asked of a session that lives here. */
  onAsk(request: SessionRequest): Promise<SessionAnswer | undefined>;
  /** Asked of this node. A rejection is told to who asked. */
  onQuery(question: NodeQuestion): Promise<unknown>;
  /** Messages of a channel may have been missed (reconnect, gap in offsets); `channel` undefined: of any. */
  onGap(channel: string | undefined, missed: number | undefined): void;
  /** The link was lost, or is there again; told once each. `detail` is one line. */
  onLink(state: 'up' | 'down', detail: string): void;
  /**
   * Another node is gone without a word: told on one of those that are left, with all that it kept. `told` is called for
   * each session whose end has been told; should this node be lost before that, another tells of the rest. Resolves
   * when all is done that can be; never rejects.
   */
  onNodeLost(node: string, sessions: readonly KeptSession[], told: (id: string) => void): Promise<void>;
  /**
   * This node was out of touch for so long that another tells of the end of these of its sessions, or has done so: to
   * their backends they are gone. They are kept no more, nor again; `forget` each when it has ended. All others go on:
   * nobody else knows of them.
   */
  onOutcast(ids: readonly string[]): void;
  /** Something that should not be, in one line, and that goes on: for the log. */
  onTrouble(detail: string): void;
}
