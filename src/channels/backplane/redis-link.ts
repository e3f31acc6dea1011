import { createHash } from 'node:crypto';
import type { RedisClientType, RedisClusterType } from 'redis';
import type { Random } from '../../base/deps.js';
import { missingPackage } from '../../base/missing-package.js';
import type { RedisScript } from './redis-scripts.js';

export interface RedisServers {
  /** `redis://[[user]:password@]host[:port][/database]`, `rediss://…` with TLS; several: the nodes of a cluster. */
  readonly urls: readonly string[];
  /**
   * A cluster (Redis 7 or later), with sharded pub/sub: a message goes to the one server of its channel, and not to all.
   * Default: false.
   */
  readonly cluster?: boolean;
  readonly connectTimeoutMs: number;
  /** Between tries to reach a server again, at most. */
  readonly maxReconnectDelayMs: number;
}

export interface LinkHandlers {
  onLink(state: 'up' | 'down', detail: string): void;
}

type OnMessage = (message: string, channel: string) => void;

/**
 * Two connections to Redis, one that listens and one that speaks. Commands are rejected while there is no link, so that
 * nothing is sent that nobody waits for; subscriptions outlive it.
 */
export class RedisLink {
  readonly #servers: RedisServers;
  readonly #random: Random;
  readonly #handlers: LinkHandlers;
  readonly #shas = new WeakMap<RedisScript, string>();
  #speaking: RedisClientType | RedisClusterType | undefined;
  #listening: RedisClientType | RedisClusterType | undefined;
  /** Connections that are lost, by what they are for. */
  readonly #lost = new Set<string>();
  #isUp = false;
  #hasBeenUp = false;
  #isClosed = false;
  #lastError = '';

  constructor(servers: RedisServers, random: Random, handlers: LinkHandlers) {
    this.#servers = servers;
    this.#random = random;
    this.#handlers = handlers;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Without credentials. */
  get where(): string {
    return this.#servers.urls
      .map((url) => (URL.canParse(url) ? new URL(url).host || new URL(url).pathname : url))
      .join(', ');
  }

  /** Rejects with one line where it cannot be reached at once. */
  async open(): Promise<void> {
    const missing = missingPackage('redis');
    if (missing !== undefined) throw new Error(`the backplane ${missing}`);
    const { createClient, createCluster } = await import('redis');
    const make = (isListener: boolean): RedisClientType | RedisClusterType => {
      const socket = {
        connectTimeout: this.#servers.connectTimeoutMs,
        reconnectStrategy: (retries: number, cause: Error) => this.#reconnectDelay(retries, cause),
      };
      const options = { socket, disableOfflineQueue: !isListener };
      if (!this.#servers.cluster) {
        return createClient({
          ...options,
          url: this.#servers.urls[0]!,
          RESP: 2,
        }) as unknown as RedisClientType;
      }
      const rootNodes = this.#servers.urls.map((url) => ({ url }));
      return createCluster({ rootNodes, defaults: options, RESP: 2 }) as unknown as RedisClusterType;
    };
    this.#speaking = this.#watch('speaking', make(false));
    this.#listening = this.#watch('listening', make(true));
    try {
      await this.#speaking.connect();
      await this.#listening.connect();
      this.#isUp = true;
      this.#hasBeenUp = true;
    } catch (error) {
      this.close();
      throw new Error(`Redis at ${this.where} cannot be reached: ${lineOf(error)}`, { cause: error });
    }
  }

  /** Resolves once it is in force: after a lost link, that is when there is one again. */
  async subscribe(channel: string, onMessage: OnMessage): Promise<void> {
    if (this.#servers.cluster) await this.#listening!.sSubscribe(channel, onMessage);
    else await this.#listening!.subscribe(channel, onMessage);
  }

  async unsubscribe(channel: string, onMessage: OnMessage): Promise<void> {
    if (this.#servers.cluster) await this.#listening!.sUnsubscribe(channel, onMessage);
    else await this.#listening!.unsubscribe(channel, onMessage);
  }

  /** How many servers or clients it reached; of a cluster, those at the channel’s own server. */
  async publish(channel: string, message: string): Promise<number> {
    return Number(await this.command(channel, [this.publishVerb, channel, message]));
  }

  get publishVerb(): 'PUBLISH' | 'SPUBLISH' {
    return this.#servers.cluster ? 'SPUBLISH' : 'PUBLISH';
  }

  /** Resolves when all has come that was published before. A cluster’s shards are not asked. */
  async barrier(): Promise<void> {
    if (this.#listening !== undefined && 'ping' in this.#listening) {
      await (this.#listening as RedisClientType).ping();
    }
  }

  async run(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const sha = this.#shas.get(script) ?? createHash('sha1').update(script.text).digest('hex');
    this.#shas.set(script, sha);
    const rest = [`${keys.length}`, ...keys, ...args];
    try {
      return await this.command(keys[0]!, ['EVALSHA', sha, ...rest]);
    } catch (error) {
      if (!lineOf(error).startsWith('NOSCRIPT')) throw error;
      return await this.command(keys[0]!, ['EVAL', script.text, ...rest]);
    }
  }

  /** @param key says which server of a cluster. Rejects with one line. */
  async command(key: string, args: readonly string[]): Promise<unknown> {
    const client = this.#speaking;
    if (client === undefined || !this.#isUp) throw this.#unreachable();
    try {
      return this.#servers.cluster
        ? await (client as RedisClusterType).sendCommand(key, false, [...args])
        : await (client as RedisClientType).sendCommand([...args]);
    } catch (error) {
      if (this.#isUp) throw error;
      throw this.#unreachable();
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#isUp = false;
    for (const client of [this.#speaking, this.#listening]) {
      try {
        client?.destroy();
      } catch {
        // It was closed already.
      }
    }
  }

  #unreachable(): Error {
    const why = this.#isClosed ? 'the backplane is closed' : this.#lastError || 'not connected';
    return new Error(`Redis at ${this.where} is not reachable: ${why}`);
  }

  /** Before it was there for the first time, a failure is one; after that, it comes again some time. */
  #reconnectDelay(retries: number, cause: Error): number | Error {
    this.#lastError = lineOf(cause);
    if (this.#isClosed) return cause;
    if (!this.#hasBeenUp) return cause;
    const delayMs = Math.min(this.#servers.maxReconnectDelayMs, 20 * 2 ** Math.min(retries, 20));
    return delayMs / 2 + this.#random.float() * (delayMs / 2);
  }

  #watch<C extends RedisClientType | RedisClusterType>(name: string, client: C): C {
    const emitter = client as unknown as NodeJS.EventEmitter;
    const lose = (what: string) => (): void => {
      if (!this.#hasBeenUp) return;
      this.#lost.add(what);
      this.#tell();
    };
    const regain = (what: string) => (): void => {
      this.#lost.delete(what);
      this.#tell();
    };
    emitter.on('error', (error: unknown) => (this.#lastError = lineOf(error)));
    emitter.on('reconnecting', lose(name));
    emitter.on('ready', regain(name));
    // Of the servers of a cluster.
    const address = (node: { address?: string }): string => `${name} ${node.address ?? ''}`;
    emitter.on('node-error', (error: unknown) => (this.#lastError = lineOf(error)));
    emitter.on('node-reconnecting', (node: { address?: string }) => lose(address(node))());
    emitter.on('node-ready', (node: { address?: string }) => regain(address(node))());
    emitter.on('node-disconnect', (node: { address?: string }) => regain(address(node))());
    return client;
  }

  #tell(): void {
    const isUp = this.#lost.size === 0;
    if (!this.#hasBeenUp || this.#isClosed || isUp === this.#isUp) return;
    this.#isUp = isUp;
    const detail = isUp
      ? `Redis at ${this.where} is there again`
      : `Redis at ${this.where}: ${this.#lastError}`;
    this.#handlers.onLink(isUp ? 'up' : 'down', detail);
  }
}

/** Some errors of sockets are several, with no line of their own. */
function lineOf(error: unknown): string {
  const { message, errors, code } = error as {
    message?: string;
    errors?: { message: string }[];
    code?: string;
  };
  return (message || errors?.[0]?.message || code || String(error)).split('\n')[0]!;
}
