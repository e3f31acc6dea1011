import type { Clock } from '../base/deps.js';
import { dial, type DialOptions, type DialTarget } from './dial.js';
import { readOnAfterFailedWrites } from './http1-agent.js';
import { AskedConnection, newReading } from './asked-connection.js';

export interface QuestionPoolOptions {
  readonly target: DialTarget;
  readonly tls: DialOptions['tls'];
  /** Idle connections kept; 0 = none, every question gets its own. */
  readonly maxIdleConnections: number;
  /** How long a connection is kept idle; a shorter `Keep-Alive: timeout` of the server counts. 0 = no limit. */
  readonly keepAliveTimeoutMs: number;
  readonly clock: Clock;
}

/** The connections of HTTP/1.1 to one server on which it is asked short questions. */
export class QuestionPool {
  readonly #options: QuestionPoolOptions;
  /** The last used is the last: the one least likely to have been closed by the server meanwhile. */
  readonly #idle: AskedConnection[] = [];
  #isClosed = false;

  constructor(options: QuestionPoolOptions) {
    this.#options = options;
  }

  /** One that has been used before and is idle, or undefined. */
  take(): AskedConnection | undefined {
    return this.#idle.pop();
  }

  /**
   * A new one.
   *
   * @throws ProxyError as `dial`
   */
  async open({
    connectTimeoutMs,
    signal,
  }: Pick<DialOptions, 'connectTimeoutMs' | 'signal'>): Promise<AskedConnection> {
    const { target, tls, clock, maxIdleConnections } = this.#options;
    const reading = newReading();
    const socket = await dial(target, { clock, connectTimeoutMs, tls, signal, reading: reading.options });
    readOnAfterFailedWrites(socket);
    const kept = maxIdleConnections > 0 ? this : undefined;
    return new AskedConnection(socket, target.id, reading, kept);
  }

  /** Its question is answered, and it may be asked another. @param limitMs what the server says; undefined: nothing */
  giveBack(connection: AskedConnection, limitMs = Infinity): void {
    const { maxIdleConnections, keepAliveTimeoutMs } = this.#options;
    const isFull = this.#idle.length >= maxIdleConnections;
    if (this.#isClosed || isFull || limitMs === 0) {
      connection.destroy();
      return;
    }
    const ownMs = keepAliveTimeoutMs === 0 ? Infinity : keepAliveTimeoutMs;
    connection.limitIdle(Math.min(ownMs, limitMs));
    this.#idle.push(connection);
  }

  /** An idle one has ended. */
  forget(connection: AskedConnection): void {
    const at = this.#idle.indexOf(connection);
    if (at !== -1) this.#idle.splice(at, 1);
  }

  /** Ends the idle ones; those in use end behind their answer. */
  close(): void {
    this.#isClosed = true;
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }
}
