import type { Deps } from '../../base/deps.js';
import { encodeItem } from '../../protocol/grip/publish-json.js';
import type { PublishItem } from '../../protocol/grip/types.js';
import { behindItem } from '../history.js';
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
import { Asking } from './asking.js';
import { type NodeLimits, nodeDefaults } from './limits.js';
import { OtherNodes } from './other-nodes.js';
import {
  follows,
  parseItem,
  parseLog,
  parseMessage,
  RedisChannel,
  type RedisLog,
  type RedisMessage,
} from './redis-channel.js';
import { RedisLink, type RedisServers } from './redis-link.js';
import { RedisNodes } from './redis-nodes.js';
import { publishScript, readScript } from './redis-scripts.js';
import { type Reply, replyTo } from './wire.js';

export interface RedisLimits extends NodeLimits {
  /** Between tries to reach a server again, at most. Should be well below `lostAfterMs`. */
  readonly maxReconnectDelayMs: number;
  /** How long the numbers of a channel without history are remembered after its last message. */
  readonly rememberChannelMs: number;
}

export const redisDefaults: RedisLimits = {
  ...nodeDefaults,
  maxReconnectDelayMs: 1_000,
  rememberChannelMs: 3_600_000,
};

export interface RedisOptions extends Partial<RedisLimits> {
  readonly deps: Deps;
  /** Letters and digits; no other node’s, and not that of this one before its last end. */
  readonly node: string;
  readonly servers: Pick<RedisServers, 'urls' | 'cluster'>;
  /** What is kept of a channel; undefined: nothing. The same on all nodes. */
  readonly history?: (channel: string) => HistoryRule | undefined;
}

/**
 * Nodes that hear of each other through Redis: pub/sub for what happens now, a stream per channel for what happened
 * before, where that is kept. What pub/sub loses is repaired from the stream, or told as a gap.
 */
export class RedisBackplane implements Backplane {
  readonly name = 'redis';
  readonly isAlone = false;
  readonly node: string;
  readonly #deps: Deps;
  readonly #limits: RedisLimits;
  readonly #rule: (channel: string) => HistoryRule | undefined;
  readonly #link: RedisLink;
  readonly #asking: Asking;
  readonly #others = new OtherNodes((node, question) => this.#carry(node, question));
  readonly #nodes: RedisNodes;
  readonly #joined = new Map<string, Joined>();
  /** What becomes here of what this node has published, by its origin. */
  readonly #own = new Map<string, (result: PublishResult) => void>();
  #lastOwn = 0;
  #handlers!: BackplaneHandlers;

  constructor(options: RedisOptions) {
    const { deps, node, servers, history, ...limits } = options;
    this.node = node;
    this.#deps = deps;
    this.#limits = { ...redisDefaults, ...limits };
    this.#rule = history ?? (() => undefined);
    this.#link = new RedisLink({ ...this.#limits, ...servers }, deps.random, {
      onLink: (state, detail) => this.#onLink(state, detail),
    });
    this.#asking = new Asking(deps.clock, this.#limits.askTimeoutMs);
    this.#nodes = new RedisNodes(
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
    await this.#link.subscribe(this.#nodeChannel(this.node), (text) => void this.#onNodeMessage(text));
    await this.#nodes.open();
  }

  join(channel: string): Promise<void> {
    const joined: Joined = {
      log: new RedisChannel({
        hasHistory: this.#rule(channel) !== undefined,
        isUp: () => this.#link.isUp,
        pause: () => new Promise((resolve) => this.#deps.clock.after(READ_AGAIN_MS, resolve)),
        deliver: (message) => this.#deliver(channel, message),
        onGap: (missed) => this.#handlers.onGap(channel, missed),
        onTrouble: (detail) => this.#handlers.onTrouble(`channel ${channel}: ${detail}`),
        read: (offset) => this.#read(channel, offset),
      }),
      onMessage: (text) => joined.log.take(parseMessage(text)),
      isHeard: false,
      left: undefined,
    };
    this.#joined.set(channel, joined);
    const left = new Promise<void>((resolve) => (joined.left = resolve));
    return Promise.race([this.#beginToHear(channel, joined), left]);
  }

  leave(channel: string): void {
    const joined = this.#joined.get(channel);
    if (joined === undefined) return;
    this.#joined.delete(channel);
    joined.left?.();
    // It may be joined again before this is done; Redis is told both in turn.
    this.#link.unsubscribe(this.#pubSubChannel(channel), joined.onMessage).catch(() => {});
  }

  async publish(item: PublishItem): Promise<PublishResult> {
    const { channel } = item;
    const rule = this.#rule(channel);
    const origin = `${this.node}:${++this.#lastOwn}`;
    const isHeard = this.#joined.get(channel)?.isHeard ?? false;
    const came = new Promise<PublishResult>((resolve) => this.#own.set(origin, resolve));
    try {
      await this.#link.run(publishScript, this.#keys(channel), [
        this.#link.publishVerb,
        this.#pubSubChannel(channel),
        this.#freshEpoch(),
        origin,
        encodeItem(item),
        ...[rule?.maxMessages ?? 0, rule?.maxAgeMs ?? 0, rule?.maxBytes ?? 0].map(String),
        `${this.#rememberMs(rule)}`,
      ]);
      return isHeard ? await this.#inTime(came) : NOBODY;
    } finally {
      this.#own.delete(origin);
    }
  }

  keepsHistory(channel: string): boolean {
    return this.#rule(channel) !== undefined;
  }

  async since(channel: string, from: Since | undefined): Promise<Recovery> {
    if (this.#rule(channel) === undefined) return { recovered: false, messages: [], place: undefined };
    if (from !== undefined && 'id' in from) return await this.#sinceItem(channel, from.id);
    const log = await this.#read(channel, from?.offset ?? Number.MAX_SAFE_INTEGER);
    if (from === undefined || !follows(from, log)) {
      return { recovered: false, messages: [], place: log.place };
    }
    const messages = messagesOf(log).filter(({ place }) => place.offset > from.offset);
    return { recovered: true, messages, place: messages.at(-1)?.place ?? from };
  }

  async history(channel: string, limit: number): Promise<Recovery['messages']> {
    if (this.#rule(channel) === undefined) return [];
    const { offset } = (await this.#read(channel, Number.MAX_SAFE_INTEGER)).place;
    return messagesOf(await this.#read(channel, Math.max(0, offset - limit + 1))).slice(-limit);
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
    this.#asking.close();
    await this.#nodes.close().catch(() => {});
    this.#link.close();
    for (const { left } of this.#joined.values()) left?.();
    this.#joined.clear();
  }

  /** With a history, what comes after this moment can be had from it; without, only what is heard counts. */
  async #beginToHear(channel: string, joined: Joined): Promise<void> {
    const begin = async (): Promise<void> => {
      try {
        joined.log.begin((await this.#read(channel, Number.MAX_SAFE_INTEGER)).place);
      } catch {
        // The first message begins it.
      }
    };
    const hasHistory = this.#rule(channel) !== undefined;
    if (hasHistory) await begin();
    if (this.#joined.get(channel) !== joined) return;
    try {
      await this.#link.subscribe(this.#pubSubChannel(channel), joined.onMessage);
    } catch (error) {
      if (this.#joined.get(channel) !== joined) return;
      this.#handlers.onTrouble(`channel ${channel} is not heard: ${(error as Error).message}`);
      return;
    }
    joined.isHeard = true;
    if (!hasHistory) await begin();
  }

  async #sinceItem(channel: string, id: string): Promise<Recovery> {
    const log = await this.#read(channel, 0);
    // Between two epochs something may be missing.
    const whole = messagesOf(log).filter(({ place }) => place.epoch === log.place.epoch);
    return { ...behindItem(whole, id), place: log.place };
  }

  #deliver(channel: string, { place, origin, json }: RedisMessage): void {
    try {
      const kept = this.#rule(channel) === undefined ? undefined : place;
      const result = this.#handlers.onPublish(parseItem(json), kept);
      this.#own.get(origin)?.(result);
    } catch (error) {
      this.#handlers.onTrouble(`channel ${channel}: ${(error as Error).message}`);
    }
  }

  async #read(channel: string, offset: number): Promise<RedisLog> {
    const rule = this.#rule(channel);
    const args = [offset, this.#freshEpoch(), rule?.maxAgeMs ?? 0, this.#rememberMs(rule)].map(String);
    const log = parseLog(await this.#link.run(readScript, this.#keys(channel), args));
    if (rule === undefined) await this.#link.barrier();
    return log;
  }

  #carry(node: string, question: object): Promise<Reply | undefined> {
    return this.#asking.ask(node, async (number) => {
      const text = JSON.stringify({ number, from: this.node, ask: question });
      const heardBy = await this.#link.publish(this.#nodeChannel(node), text);
      // A node that nobody hears is none, or not any more.
      if (heardBy === 0) this.#asking.settle(number, undefined);
    });
  }

  async #onNodeMessage(text: string): Promise<void> {
    try {
      const { number, from, ask, answer, problem } = JSON.parse(text) as NodeMessage;
      if (ask === undefined) {
        this.#asking.settle(number, { answer, problem });
        return;
      }
      const reply = await replyTo(ask, this.#handlers);
      await this.#link.publish(this.#nodeChannel(from), JSON.stringify({ number, ...reply }));
    } catch (error) {
      this.#handlers.onTrouble(`a question of another node was lost: ${(error as Error).message}`);
    }
  }

  #onLink(state: 'up' | 'down', detail: string): void {
    this.#handlers.onLink(state, detail);
    if (state === 'down') return;
    this.#nodes.onLinkUp();
    for (const { log, isHeard } of this.#joined.values()) if (isHeard) void log.check();
  }

  /** What this node has published comes back to it in a moment, unless the link is lost. */
  #inTime(came: Promise<PublishResult>): Promise<PublishResult> {
    return new Promise((resolve) => {
      const cancel = this.#deps.clock.after(ECHO_TIMEOUT_MS, () => resolve(NOBODY));
      void came.then((result) => {
        cancel();
        resolve(result);
      });
    });
  }

  #rememberMs(rule: HistoryRule | undefined): number {
    return Math.max(this.#limits.rememberChannelMs, 2 * (rule?.maxAgeMs ?? 0));
  }

  /** A stream’s ids are two numbers, so an epoch is one. */
  #freshEpoch(): string {
    return `${1 + Math.floor(this.#deps.random.float() * 2 ** 48)}`;
  }

  /** Both in one slot of a cluster, with the channel of pub/sub: what is in braces decides. */
  #keys(channel: string): readonly [string, string] {
    const key = this.#pubSubChannel(channel);
    return [`${key}:channel`, `${key}:stream`];
  }

  #pubSubChannel(channel: string): string {
    return `${this.#limits.prefix}:{${channel.replace(/[{}%]/g, encodeURIComponent)}}`;
  }

  #nodeChannel(node: string): string {
    return `${this.#limits.prefix}:node:{${node}}`;
  }
}

function messagesOf({ entries }: RedisLog): Recovery['messages'] {
  return entries.map(({ json, place }) => ({ item: parseItem(json), place }));
}

interface Joined {
  readonly log: RedisChannel;
  readonly onMessage: (text: string) => void;
  isHeard: boolean;
  left: (() => void) | undefined;
}

interface NodeMessage extends Reply {
  readonly number: string;
  readonly from: string;
  /** A question; else it is a reply. */
  readonly ask?: unknown;
}

const ECHO_TIMEOUT_MS = 1000;
const READ_AGAIN_MS = 500;
