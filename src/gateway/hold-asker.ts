import type { Clock } from '../base/deps.js';
import type { ProxyError } from '../base/errors.js';
import { GRIP_FEATURE } from '../protocol/grip/features.js';
import type { GripSigner } from '../protocol/grip/grip-sig.js';
import type { HeaderList } from '../protocol/http/header-list.js';
import type { GatewayPlan } from '../route/gateway-plan.js';
import { type Backend, type BackendAnswer, BackendFailure } from './backend.js';

export interface HoldAskerOptions {
  readonly backend: Pick<Backend, 'ask'>;
  readonly plan: GatewayPlan;
  readonly signer: GripSigner | undefined;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** As the backend got them the first time, without those of GRIP and without the body’s framing. */
  readonly headers: HeaderList;
  /** Whether the request can be sent again: there is none of a body that has gone by. */
  readonly isRepeatable: boolean;
  /** Hosts, with their ports, that links may name. */
  readonly hosts: ReadonlySet<string>;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Why a backend could not be asked, in one line. */
export class AskFailure extends Error {
  override readonly name = 'AskFailure';
}

/** What the backend of a held client is asked: its request again, the next link, and that it hears of the end. */
export class HoldAsker {
  readonly #options: HoldAskerOptions;

  constructor(options: HoldAskerOptions) {
    this.#options = options;
  }

  get canAskAgain(): boolean {
    return this.#options.isRepeatable;
  }

  /**
   * The client’s request once more, with retries.
   *
   * @throws AskFailure, or the reason of the signal.
   */
  again(gripLast: readonly string[], signal: AbortSignal): Promise<BackendAnswer> {
    const { method, path, headers } = this.#options;
    return this.#ask(method, path, headers, gripLast, signal);
  }

  /** As `again`, of a link: what comes behind what the client has. */
  next(url: string, gripLast: readonly string[], signal: AbortSignal): Promise<BackendAnswer> {
    return this.#ask('GET', this.#pathOf(url), this.#linkHeaders(), gripLast, signal);
  }

  /** Once, as best it can. */
  async gone(url: string, gripLast: readonly string[]): Promise<void> {
    const headers = this.#linkHeaders();
    headers.set('Content-Length', '0');
    try {
      await this.#askOnce('POST', this.#pathOf(url), headers, gripLast, new AbortController().signal);
    } catch (thrown) {
      throw asFailure(thrown, 'it was not told that its client has gone');
    }
  }

  async #ask(
    method: string,
    path: string,
    headers: HeaderList,
    gripLast: readonly string[],
    signal: AbortSignal,
  ): Promise<BackendAnswer> {
    const { random } = this.#options;
    const { attempts, statuses } = this.#options.plan.retries;
    for (let attempt = 0; ; attempt++) {
      const isLast = attempt >= attempts;
      try {
        const answer = await this.#askOnce(method, path, headers, gripLast, signal);
        if (isLast || !statuses.has(answer.status)) return answer;
      } catch (thrown) {
        if (signal.aborted) throw signal.reason;
        const mayRepeat =
          isSafe(method) || (thrown instanceof BackendFailure && thrown.kind === 'not-reached');
        if (isLast || !mayRepeat) throw asFailure(thrown, `${method} ${pathWithoutQuery(path)}`);
      }
      await this.#wait(1000 * 2 ** attempt + random() * 1000, signal);
      signal.throwIfAborted();
    }
  }

  async #askOnce(
    method: string,
    path: string,
    fields: HeaderList,
    gripLast: readonly string[],
    signal: AbortSignal,
  ): Promise<BackendAnswer> {
    const { backend, plan, signer, clock } = this.#options;
    const headers = fields.clone();
    await sign(headers, signer, clock);
    for (const value of gripLast) headers.append('Grip-Last', value);
    return backend.ask({
      method,
      path,
      headers,
      body: Buffer.alloc(0),
      timeoutMs: plan.requestTimeoutMs,
      maxResponseBytes: plan.maxResponseBytes,
      signal,
    });
  }

  /** Of another resource, and to be put behind bytes as they are. */
  #linkHeaders(): HeaderList {
    const headers = this.#options.headers.clone();
    headers.deleteWhere((name) => OF_ONE_RESOURCE.has(name));
    return headers;
  }

  /** Links lead to the servers of the route: a backend is not given other places to reach. */
  #pathOf(link: string): string {
    let url: URL;
    const base = new URL(`http://${NO_HOST}${this.#options.path}`);
    try {
      url = new URL(link, base);
    } catch {
      throw new AskFailure(`Grip-Link is no URL: ${link}`);
    }
    const isOwn = url.host === NO_HOST || this.#options.hosts.has(url.host);
    if (!isOwn || !/^https?:$/.test(url.protocol)) {
      throw new AskFailure(`Grip-Link leads to ${url.host}, which is not of this route; expected a path`);
    }
    return url.pathname + url.search;
  }

  #wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.#options.clock.after(ms, done);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }
}

/** What every request of a client on a gateway route tells its backend. */
export async function sign(headers: HeaderList, signer: GripSigner | undefined, clock: Clock): Promise<void> {
  const signature = await signer?.token(clock.date().getTime());
  if (signature !== undefined) headers.append('Grip-Sig', signature);
  headers.append('Grip-Feature', GRIP_FEATURE);
}

/** Stands for the one that was asked; no backend writes it into a link. */
const NO_HOST = 'same-host.invalid';

const OF_ONE_RESOURCE: ReadonlySet<string> = new Set([
  'accept-encoding',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'range',
]);

function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

function pathWithoutQuery(path: string): string {
  return path.split('?', 1)[0]!;
}

function asFailure(thrown: unknown, what: string): AskFailure {
  if (thrown instanceof AskFailure) return thrown;
  const why = (thrown as Error | ProxyError).message;
  return new AskFailure(`${what}: ${why}`, { cause: thrown });
}
