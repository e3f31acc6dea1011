import type { NatsConnection } from '@nats-io/transport-node';
import { missingPackage } from '../../base/missing-package.js';

export interface NatsServers {
  /** `host:port` or `nats://[user:password@]host[:port]`, `tls://…`; several: servers of one cluster. */
  readonly urls: readonly string[];
  readonly connectTimeoutMs: number;
  /** Between tries to reach a server again. */
  readonly reconnectDelayMs: number;
}

/** The connection to NATS. Nothing is promised while there is no link; subscriptions outlive it. */
export class NatsLink {
  readonly #servers: NatsServers;
  readonly #onLink: (state: 'up' | 'down', detail: string) => void;
  #connection: NatsConnection | undefined;
  #isUp = false;
  #isClosed = false;
  /** What waits for an answer of the server. */
  readonly #waiting = new Set<(error: Error) => void>();

  constructor(servers: NatsServers, onLink: (state: 'up' | 'down', detail: string) => void) {
    this.#servers = servers;
    this.#onLink = onLink;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Without credentials. */
  get where(): string {
    return this.#servers.urls.map((url) => url.replace(/^[a-z]+:\/\//i, '').replace(/^.*@/, '')).join(', ');
  }

  /** Rejects with one line where it cannot be reached at once. */
  async open(): Promise<void> {
    const missing = missingPackage('@nats-io/transport-node');
    if (missing !== undefined) throw new Error(`the backplane ${missing}`);
    const { connect } = await import('@nats-io/transport-node');
    try {
      this.#connection = await connect({
        servers: this.#servers.urls.map((url) => withoutCredentials(url)),
        ...credentials(this.#servers.urls),
        timeout: this.#servers.connectTimeoutMs,
        maxReconnectAttempts: -1,
        reconnectTimeWait: this.#servers.reconnectDelayMs,
        reconnectJitter: this.#servers.reconnectDelayMs,
      });
    } catch (error) {
      throw new Error(`NATS at ${this.where} cannot be reached: ${lineOf(error)}`, { cause: error });
    }
    this.#isUp = true;
    void this.#watch(this.#connection);
  }

  /** @returns ends it. */
  subscribe(subject: string, onMessage: (text: string, reply: (text: string) => void) => void): () => void {
    const subscription = this.#connection!.subscribe(subject, {
      callback: (error, message) => {
        if (error === null) onMessage(message.string(), (text) => void message.respond(text));
      },
    });
    return () => subscription.unsubscribe();
  }

  /** Rejects where there is no link, or it is lost before the server has taken it. */
  async publish(subject: string, text: string): Promise<void> {
    const connection = this.#connected();
    connection.publish(subject, text);
    await this.flush();
  }

  /** Resolves when the server has taken all that was said before. */
  flush(): Promise<void> {
    return this.use((connection) => connection.flush());
  }

  /** Rejects where there is no link, and as soon as it is lost. */
  async use<T>(task: (connection: NatsConnection) => Promise<T>): Promise<T> {
    const connection = this.#connected();
    return await new Promise<T>((resolve, reject) => {
      const end = (): void => void this.#waiting.delete(fail);
      const fail = (error: Error): void => {
        end();
        reject(error);
      };
      this.#waiting.add(fail);
      task(connection).then((value) => {
        end();
        resolve(value);
      }, fail);
    });
  }

  /** @returns undefined: nobody listens there. Rejects where no answer came in time. */
  async request(subject: string, text: string, timeoutMs: number): Promise<string | undefined> {
    try {
      return (await this.#connected().request(subject, text, { timeout: timeoutMs })).string();
    } catch (error) {
      if (isNoResponders(error)) return undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#isUp = false;
    await this.#connection?.close();
    this.#failWaiting();
  }

  #connected(): NatsConnection {
    if (!this.#isUp || this.#connection === undefined) throw this.#unreachable();
    return this.#connection;
  }

  #unreachable(): Error {
    const why = this.#isClosed ? 'the backplane is closed' : 'the connection is lost';
    return new Error(`NATS at ${this.where} is not reachable: ${why}`);
  }

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect' && this.#isUp) {
        this.#isUp = false;
        this.#failWaiting();
        this.#onLink('down', `NATS at ${this.where}: the connection is lost`);
      } else if (type === 'reconnect') {
        void this.#comeBack(connection);
      }
    }
  }

  /** The server has our subscriptions again only when it says so. Lost meanwhile, it comes back another time. */
  async #comeBack(connection: NatsConnection): Promise<void> {
    await connection.flush().catch(() => {});
    if (this.#isUp || this.#isClosed) return;
    this.#isUp = true;
    this.#onLink('up', `NATS at ${this.where} is there again`);
  }

  #failWaiting(): void {
    for (const fail of [...this.#waiting]) fail(this.#unreachable());
  }
}

/** The library takes them beside the addresses, the same for all. */
function credentials(urls: readonly string[]): { user?: string; pass?: string; token?: string } {
  for (const url of urls) {
    const found = /^(?:[a-z]+:\/\/)?([^@/]+)@/i.exec(url)?.[1];
    if (found === undefined) continue;
    const [user = '', pass] = found.split(':', 2).map(decodeURIComponent);
    return pass === undefined ? { token: user } : { user, pass };
  }
  return {};
}

function withoutCredentials(url: string): string {
  return url.replace(/^([a-z]+:\/\/)?[^@/]+@/i, '$1');
}

function isNoResponders(error: unknown): boolean {
  const { isNoResponders: says } = error as { isNoResponders?: () => boolean };
  return says?.call(error) ?? false;
}

function lineOf(error: unknown): string {
  const { message, cause } = error as Error & { cause?: Error };
  return (message || cause?.message || String(error)).split('\n')[0]!;
}
