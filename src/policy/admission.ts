import type { Clock } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import type { Limits } from '../config/limits.js';
import { addressKey } from './address-key.js';
import { RateLimiter } from './rate-limiter.js';

/** After which time to try again where nobody knows when a place will be free, in seconds. */
const RETRY_AFTER_S = 5;

export interface AdmissionPlan {
  /** Of the whole proxy. */
  readonly limits: Limits;
  readonly listeners: readonly { readonly id: string; readonly limits: Limits }[];
  readonly routes: readonly { readonly id: string; readonly limits: Limits }[];
}

/** Where a handshake has come in, and from whom. */
export interface Applicant {
  /** Id of the listener; undefined on a server that is not ours. */
  readonly listener: string | undefined;
  readonly route: string;
  /** The client’s address, behind the proxies that are trusted. */
  readonly address: string;
}

export type Admitted =
  /** To be called once, when the session has ended or the handshake has failed. */
  | { readonly kind: 'admitted'; readonly release: () => void }
  /** Nothing has been counted. */
  | { readonly kind: 'refused'; readonly error: ProxyError; readonly retryAfterS: number };

/** Step 3: the limits on connections and handshakes, of the proxy, its listeners and its routes. */
export class Admission {
  readonly #clock: Clock;
  #all: Scope | undefined;
  #listeners: ReadonlyMap<string, Scope>;
  #routes: ReadonlyMap<string, Scope>;

  constructor({ limits, listeners, routes }: AdmissionPlan, clock: Clock) {
    this.#clock = clock;
    this.#all = scopeOf('in all', limits);
    this.#listeners = scopesOf('on listener', listeners);
    this.#routes = scopesOf('on route', routes);
  }

  /**
   * Other limits. What is counted where there were limits before stays counted; where there were none, counting begins
   * now.
   */
  update({ limits, listeners, routes }: AdmissionPlan): void {
    this.#all = scopeOf('in all', limits, this.#all);
    this.#listeners = scopesOf('on listener', listeners, this.#listeners);
    this.#routes = scopesOf('on route', routes, this.#routes);
  }

  /** Whether `admit` would admit now. Counts nothing. */
  wouldAdmit(applicant: Applicant): boolean {
    return this.#judge(this.#scopesOf(applicant), applicant.address) === undefined;
  }

  /** Counts a handshake and the session that may come of it, or says why not. */
  admit(applicant: Applicant): Admitted {
    const scopes = this.#scopesOf(applicant);
    if (scopes.length === 0) return NO_LIMITS;
    const refused = this.#judge(scopes, applicant.address);
    if (refused !== undefined) return refused;
    const client = addressKey(applicant.address);
    const nowMs = this.#clock.now();
    for (const scope of scopes) scope.take(client, nowMs);
    let isHeld = true;
    return {
      kind: 'admitted',
      release: () => {
        if (isHeld) for (const scope of scopes) scope.give(client);
        isHeld = false;
      },
    };
  }

  #scopesOf({ listener, route }: Applicant): readonly Scope[] {
    const scopes = [
      this.#all,
      listener === undefined ? undefined : this.#listeners.get(listener),
      this.#routes.get(route),
    ];
    return scopes.filter((scope) => scope !== undefined);
  }

  #judge(scopes: readonly Scope[], address: string): Admitted | undefined {
    if (scopes.length === 0) return undefined;
    const client = addressKey(address);
    const nowMs = this.#clock.now();
    for (const scope of scopes) {
      const refused = scope.refusal(client, nowMs);
      if (refused !== undefined) return refused;
    }
    return undefined;
  }
}

const NO_LIMITS: Admitted = { kind: 'admitted', release: () => {} };

/** One set of limits, and what is counted under them. */
class Scope {
  readonly #name: string;
  #limits: Limits;
  #rate: RateLimiter | undefined;
  #connections = 0;
  /** Only those that have any. */
  readonly #byClient = new Map<string, number>();

  constructor(name: string, limits: Limits) {
    this.#name = name;
    this.#limits = limits;
    const rate = limits.handshakesPerSecondPerAddress;
    this.#rate = rate > 0 ? new RateLimiter(rate) : undefined;
  }

  /** What is counted stays. */
  update(limits: Limits): void {
    const rate = limits.handshakesPerSecondPerAddress;
    if (rate !== this.#limits.handshakesPerSecondPerAddress) {
      this.#rate = rate > 0 ? new RateLimiter(rate) : undefined;
    }
    this.#limits = limits;
  }

  refusal(client: string, nowMs: number): Admitted | undefined {
    const { connections, connectionsPerAddress, handshakesPerSecondPerAddress } = this.#limits;
    const waitMs = this.#rate?.waitMs(client, nowMs) ?? 0;
    if (waitMs > 0) {
      const detail = `more than ${handshakesPerSecondPerAddress} handshakes a second ${this.#name} from ${client}`;
      const error = new ProxyError('HANDSHAKE_RATE_EXCEEDED', detail);
      return { kind: 'refused', error, retryAfterS: Math.ceil(waitMs / 1000) };
    }
    if (connectionsPerAddress > 0 && (this.#byClient.get(client) ?? 0) >= connectionsPerAddress) {
      const detail = `${connectionsPerAddress} connections ${this.#name} from ${client} are open already`;
      return refused(new ProxyError('CONNECTIONS_PER_ADDRESS_EXCEEDED', detail));
    }
    if (connections > 0 && this.#connections >= connections) {
      const detail = `${connections} connections ${this.#name} are open already`;
      return refused(new ProxyError('CONNECTIONS_EXCEEDED', detail));
    }
    return undefined;
  }

  take(client: string, nowMs: number): void {
    this.#rate?.take(client, nowMs);
    this.#connections++;
    // Counted under every limit: another configuration may ask for it.
    this.#byClient.set(client, (this.#byClient.get(client) ?? 0) + 1);
  }

  give(client: string): void {
    this.#connections--;
    const left = (this.#byClient.get(client) ?? 0) - 1;
    if (left > 0) this.#byClient.set(client, left);
    else this.#byClient.delete(client);
  }
}

function refused(error: ProxyError): Admitted {
  return { kind: 'refused', error, retryAfterS: RETRY_AFTER_S };
}

function scopesOf(
  where: string,
  plans: readonly { readonly id: string; readonly limits: Limits }[],
  before?: ReadonlyMap<string, Scope>,
): ReadonlyMap<string, Scope> {
  const scopes = new Map<string, Scope>();
  for (const { id, limits } of plans) {
    const scope = scopeOf(`${where} ${id}`, limits, before?.get(id));
    if (scope !== undefined) scopes.set(id, scope);
  }
  return scopes;
}

function scopeOf(name: string, limits: Limits, before?: Scope): Scope | undefined {
  if (!isLimited(limits)) return undefined;
  before?.update(limits);
  return before ?? new Scope(name, limits);
}

function isLimited({ connections, connectionsPerAddress, handshakesPerSecondPerAddress }: Limits): boolean {
  return connections > 0 || connectionsPerAddress > 0 || handshakesPerSecondPerAddress > 0;
}
