import type { Deps } from '../../base/deps.js';
import { decodeItem, encodeItem } from '../../protocol/grip/publish-json.js';
import type { PublishItem } from '../../protocol/grip/types.js';
import { nodeOf } from '../directory.js';
import { MemoryHistory } from '../history.js';
import type {
  Backplane,
  BackplaneHandlers,
  HistoryRule,
  NodeQuestion,
  Place,
  PublishResult,
  Recovery,
  SessionAnswer,
  SessionRequest,
} from '../types.js';
import { NatsLink, type NatsServers } from './nats-link.js';
import { NatsNodes } from './nats-nodes.js';
import { answerAsk, type Ask, decodeAsk, encodeAsk } from './wire.js';

export interface NatsLimits {
  /** What all subjects begin with, so that several can share a server: letters, digits, dots. */
  readonly prefix: string;
  readonly connectTimeoutMs: number;
  /** Between tries to reach a server again. Should be well below `lostAfterMs`. */
  readonly reconnectDelayMs: number;
  /** How long another node has to answer. */
  readonly askTimeoutMs: number;
  /** Between a node’s signs of life. */
  readonly beatMs: number;
  /** Silent for so long, a node is lost. */
  readonly lostAfterMs: number;
}

export const natsDefaults: NatsLimits = {
  prefix: 'tidegate',
  connectTimeoutMs: 5_000,
  reconnectDelayMs: 500,
  askTimeoutMs: 5_000,
  beatMs: 2_000,
  lostAfterMs: 10_000,
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
}

/**
 * Nodes that hear of each other through NATS, at most once: what is published while a link is down is lost, and the gap
 * is told. History is each node’s own, and what a lost node kept is not known.
 */
export class NatsBackplane implements Backplane {
  readonly name = 'nats';
  readonly node: string;
  readonly #deps: Deps;
  readonly #limits: NatsLimits;
  readonly #rule: (channel: string) => HistoryRule | undefined;
  readonly #history: MemoryHistory;
  readonly #link: NatsLink;
  readonly #nodes: NatsNodes;
  readonly #heard = new Map<string, Heard>();
  /** What becomes here of what this node has published, by its number. */
  readonly #own = new Map<string, PublishResult>();
  #lastOwn = 0;
  #handlers!: BackplaneHandlers;

  constructor(options: NatsOptions) {
    const { deps, node, servers, history, ...limits } = options;
    this.node = node;
    this.#deps = deps;
    this.#limits = { ...natsDefaults, ...limits };
    this.#rule = history ?? (() => undefined);
    this.#history = new MemoryHistory({ deps, rule: this.#rule });
    this.#link = new NatsLink({ ...this.#limits, ...servers }, (state, detail) =>
      this.#onLink(state, detail),
    );
    const subject = `${this.#limits.prefix}.nodes`;
    this.#nodes = new NatsNodes({ ...this.#limits, link: this.#link, node, deps, subject }, (lost) =>
      this.#handlers.onNodeLost(lost, []),
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
    const number = `${++this.#lastOwn}`;
    this.#own.set(number, NOBODY);
    try {
      // What this node hears of it comes before the server’s word that it has it all.
      await this.#link.publish(this.#subject(item.channel), `${this.node}:${number} ${encodeItem(item)}`);
      return this.#own.get(number) ?? NOBODY;
    } finally {
      this.#own.delete(number);
    }
  }

  /** Only what this node heard without a break; a channel that is not heard here has no history here. */
  since(channel: string, place: Place | undefined): Promise<Recovery> {
    if (!this.#heard.has(channel)) {
      return Promise.resolve({ recovered: false, messages: [], place: undefined });
    }
    return Promise.resolve(this.#history.since(channel, place));
  }

  async ask(request: SessionRequest): Promise<SessionAnswer | undefined> {
    const answer = await this.#askNode(nodeOf(request.id), { session: request });
    return (answer as SessionAnswer | null) ?? undefined;
  }

  nodes(): readonly string[] {
    return this.#nodes.living;
  }

  async query(node: string, question: NodeQuestion): Promise<unknown> {
    const answer = await this.#askNode(node, { node: question });
    if (answer === undefined) throw new Error(`there is no node ${node}`);
    return answer ?? undefined;
  }

  /** NATS keeps nothing. */
  keep(): void {}

  forget(): void {}

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
    const [node, number] = text.slice(0, end).split(':') as [string, string];
    const item = decodeItem(text.slice(end + 1));
    if ('problem' in item) {
      this.#handlers.onTrouble(`channel ${channel}: ${item.problem}`);
      return;
    }
    const result = this.#handlers.onPublish(item, this.#history.append(item));
    if (node === this.node && this.#own.has(number)) this.#own.set(number, result);
  }

  async #askNode(node: string, ask: Ask): Promise<unknown> {
    if (!/^[A-Za-z0-9]+$/.test(node)) return undefined;
    const text = JSON.stringify(encodeAsk(ask));
    const reply = await this.#request(node, text);
    if (reply === undefined) return undefined;
    const { answer, problem } = JSON.parse(reply) as Reply;
    if (problem !== undefined) throw new Error(problem);
    return answer;
  }

  async #request(node: string, text: string): Promise<string | undefined> {
    try {
      return await this.#link.request(this.#nodeSubject(node), text, this.#limits.askTimeoutMs);
    } catch (error) {
      throw new Error(`node ${node} did not answer: ${(error as Error).message}`, { cause: error });
    }
  }

  async #onQuestion(text: string, reply: (text: string) => void): Promise<void> {
    let said: Reply;
    try {
      said = { answer: await answerAsk(decodeAsk(JSON.parse(text)), this.#handlers) };
    } catch (error) {
      said = { problem: (error as Error).message };
    }
    try {
      reply(JSON.stringify(said));
    } catch (error) {
      this.#handlers.onTrouble(`an answer to another node was lost: ${(error as Error).message}`);
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

type Reply = { readonly answer?: unknown; readonly problem?: string };

const NOBODY: PublishResult = { delivered: 0, dropped: 0, sequence: 'in-order' };

function escapeByte(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
