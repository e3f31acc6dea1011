import type { Deps } from '../../base/deps.js';
import { decodeItem, encodeItem } from '../../protocol/grip/publish-json.js';
import type { PublishItem } from '../../protocol/grip/types.js';
import { type HistoryLimits, MemoryHistory } from '../history.js';
import { NOBODY } from '../nobody.js';
import type {
  Backplane,
  BackplaneHandlers,
  HistoryRule,
  NodeQuestion,
  PublishResult,
  Recovery,
  SessionAnswer,
  SessionRequest,
  Since,
} from '../types.js';
import { type NodeLimits, nodeDefaults } from './limits.js';
import { NatsLink, type NatsServers } from './nats-link.js';
import { NatsNodes } from './nats-nodes.js';
import { OtherNodes } from './other-nodes.js';
import { type Reply, replyTo } from './wire.js';

export interface NatsLimits extends NodeLimits {
  /** Between tries to reach a server again. Should be well below `lostAfterMs`. */
  readonly reconnectDelayMs: number;
}

export const natsDefaults: NatsLimits = {
  ...nodeDefaults,
  reconnectDelayMs: 500,
};

export interface NatsOptions extends Partial<NatsLimits> {
  readonly deps: Deps;
  /** Letters and digits; no other node’s, and not that of this one before its last end. */
  readonly node: string;
  readonly servers: Pick<NatsServers, 'urls'>;
  /**
   * What is kept of a channel; undefined: nothing. Each node keeps what it heard: a client that comes back to another
   * node, or after this one lost its link, is told that it is not recovered.
   */
  readonly history?: (channel: string) => HistoryRule | undefined;
  /** Default: `historyDefaults`. */
  readonly historyLimits?: Partial<HistoryLimits>;
}

/**
 * Nodes that hear of each other through NATS, at most once: what is published while a link is down is lost, and the gap
 * is told. History is each node’s own; what a lost node kept is known where the server has JetStream.
 */
export class NatsBackplane implements Backplane {
  readonly name = 'nats';
  readonly isAlone = false;
  readonly node: string;
  readonly #deps: Deps;
  readonly #limits: NatsLimits;
  readonly #rule: (channel: string) => HistoryRule | undefined;
  readonly #history: MemoryHistory;
  readonly #link: NatsLink;
  readonly #nodes: NatsNodes;
  readonly #others = new OtherNodes((node, question) => this.#carry(node, question));
  readonly #heard = new Map<string, Heard>();
  /** What becomes here of what this node has published, by its origin. */
  readonly #own = new Map<string, PublishResult>();
  #lastOwn = 0;
  #handlers!: BackplaneHandlers;

  constructor(options: NatsOptions) {
    const { deps, node, servers, history, historyLimits = {}, ...limits } = options;
    this.node = node;
    this.#deps = deps;
    this.#limits = { ...natsDefaults, ...limits };
    this.#rule = history ?? (() => undefined);
    this.#history = new MemoryHistory({ deps, rule: this.#rule, limits: historyLimits });
    this.#link = new NatsLink({ ...this.#limits, ...servers }, (state, detail) =>
      this.#onLink(state, detail),
    );
    this.#nodes = new NatsNodes(
      { ...this.#limits, link: this.#link, node, deps },
      {
        onNodeLost: (lost, sessions, told) => this.#handlers.onNodeLost(lost, sessions, told),
        onOutcast: (ids) => this.#handlers.onOutcast(ids),
        onTrouble: (detail) => this.#handlers.onTrouble(detail),
      },
    );
  }

  async open(handlers: BackplaneHandlers): Promise<void> {
    this.#handlers = handlers;
    await this.#link.open();
    this.#link.subscribe(this.#nodeSubject(this.node), (text, reply) => void this.#onQuestion(text, reply));
    await this.#nodes.open();
  }

  async join(channel: string): Promise<void> {
    const heard = this.#heard.get(channel) ?? this.#hear(channel);
    heard.cancelEnd?.();
    heard.cancelEnd = undefined;
    await heard.isInForce;
  }

  /** A channel with a history is heard on for as long as that is kept, for those who come back. */
  leave(channel: string): void {
    const heard = this.#heard.get(channel);
    if (heard === undefined) return;
    const maxAgeMs = this.#rule(channel)?.maxAgeMs ?? 0;
    const end = (): void => {
      this.#heard.delete(channel);
      heard.giveUp();
      heard.unsubscribe();
      this.#history.forget(channel);
    };
    if (maxAgeMs === 0) end();
    else heard.cancelEnd = this.#deps.clock.after(maxAgeMs, end);
  }

  async publish(item: PublishItem): Promise<PublishResult> {
    const origin = `${this.node}:${++this.#lastOwn}`;
    this.#own.set(origin, NOBODY);
    try {
      // What this node hears of it comes before the server’s word that it has it all.
      await this.#link.publish(this.#subject(item.channel), `${origin} ${encodeItem(item)}`);
      return this.#own.get(origin) ?? NOBODY;
    } finally {
      this.#own.delete(origin);
    }
  }

  keepsHistory(channel: string): boolean {
    return this.#history.keeps(channel);
  }

  /** Only what this node heard without a break; a channel that is not heard here has no history here. */
  since(channel: string, from: Since | undefined): Promise<Recovery> {
    if (!this.#heard.has(channel)) {
      return Promise.resolve({ recovered: false, messages: [], place: undefined });
    }
    return Promise.resolve(this.#history.since(channel, from));
  }

  history(channel: string, limit: number): Promise<Recovery['messages']> {
    return Promise.resolve(this.#heard.has(channel) ? this.#history.last(channel, limit) : []);
  }

  ask(request: SessionRequest): Promise<SessionAnswer | undefined> {
    return this.#others.ask(request);
  }

  nodes(): readonly string[] {
    return this.#nodes.living;
  }

  query(node: string, question: NodeQuestion): Promise<unknown> {
    return this.#others.query(node, question);
  }

  keep(id: string, record: () => string): void {
    this.#nodes.keep(id, record);
  }

  forget(id: string): void {
    this.#nodes.forget(id);
  }

  async close(): Promise<void> {
    await this.#nodes.close().catch(() => {});
    for (const { giveUp, cancelEnd } of this.#heard.values()) {
      giveUp();
      cancelEnd?.();
    }
    this.#heard.clear();
    this.#history.close();
    await this.#link.close();
  }

  #hear(channel: string): Heard {
    let giveUp = (): void => {};
    const givenUp = new Promise<void>((resolve) => (giveUp = resolve));
    const unsubscribe = this.#link.subscribe(this.#subject(channel), (text) =>
      this.#onMessage(channel, text),
    );
    // Where the link is lost meanwhile, the subscription comes with the next one, before the gap is told.
    const flushed = this.#link.flush().catch(() => givenUp);
    const heard: Heard = {
      unsubscribe,
      giveUp,
      isInForce: Promise.race([flushed, givenUp]),
      cancelEnd: undefined,
    };
    this.#heard.set(channel, heard);
    return heard;
  }

  #onMessage(channel: string, text: string): void {
    const end = text.indexOf(' ');
    const origin = text.slice(0, end);
    const item = decodeItem(text.slice(end + 1));
    if ('problem' in item) {
      this.#handlers.onTrouble(`channel ${channel}: ${item.problem}`);
      return;
    }
    const result = this.#handlers.onPublish(item, this.#history.append(item));
    if (this.#own.has(origin)) this.#own.set(origin, result);
  }

  async #carry(node: string, question: object): Promise<Reply | undefined> {
    const text = JSON.stringify(question);
    let reply: string | undefined;
    try {
      reply = await this.#link.request(this.#nodeSubject(node), text, this.#limits.askTimeoutMs);
    } catch (error) {
      throw new Error(`node ${node} did not answer: ${(error as Error).message}`, { cause: error });
    }
    return reply === undefined ? undefined : (JSON.parse(reply) as Reply);
  }

  async #onQuestion(text: string, reply: (text: string) => void): Promise<void> {
    try {
      reply(JSON.stringify(await replyTo(JSON.parse(text), this.#handlers)));
    } catch (error) {
      this.#handlers.onTrouble(`a question of another node was lost: ${(error as Error).message}`);
    }
  }

  /** Nobody counts what was published meanwhile: any channel may have missed some. */
  #onLink(state: 'up' | 'down', detail: string): void {
    this.#handlers.onLink(state, detail);
    if (state === 'down') return;
    this.#history.forget();
    this.#handlers.onGap(undefined, undefined);
    this.#nodes.onLinkUp();
    for (const { giveUp } of this.#heard.values()) giveUp();
  }

  /** One word of a subject: no dots, stars, arrows or spaces. */
  #subject(channel: string): string {
    const wellFormed = Buffer.from(channel).toString();
    return `${this.#limits.prefix}.channel.${encodeURIComponent(wellFormed).replace(/[.*]/g, escapeByte)}`;
  }

  #nodeSubject(node: string): string {
    return `${this.#limits.prefix}.node.${node}`;
  }
}

interface Heard {
  readonly unsubscribe: () => void;
  readonly isInForce: Promise<void>;
  /** Nobody needs to wait for it any more. */
  readonly giveUp: () => void;
  /** It ends in a while, as nobody listens; this keeps it. */
  cancelEnd: (() => void) | undefined;
}

function escapeByte(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
