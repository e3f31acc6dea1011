import { isIP } from 'node:net';
import type { Deps } from '../../base/deps.js';
import type { PooledServerPlan } from '../plan.js';
import type { Names } from './names.js';
import type { ResolvePlan } from './plan.js';

export interface NameWatchOptions {
  readonly plan: ResolvePlan;
  readonly deps: Deps;
  readonly names: Names;
  /** The servers that the name stands for have changed. */
  readonly onChange: () => void;
  /** A name could not be resolved; what was known before stays. One line. */
  readonly onFailure?: (detail: string) => void;
}

/** Whether a server’s address has to be looked up at all. */
export function hasName({ address }: PooledServerPlan): boolean {
  return 'host' in address && isIP(address.host) === 0;
}

/** `_ws._tcp.chat.internal` (RFC 2782). */
export function isServiceName(host: string): boolean {
  return /^_[^.]+\._[^.]+\../.test(host);
}

interface Place {
  readonly host: string;
  readonly port: number;
  readonly weight: number;
}

/**
 * One configured server that is a name: asks again when the TTL is over, and turns each address into a server of its
 * own. Until there is an answer the name itself is the server, which each dial looks up; a failure keeps what was known.
 */
export class NameWatch {
  readonly #server: PooledServerPlan;
  readonly #options: NameWatchOptions;
  #servers: readonly PooledServerPlan[];
  #failures = 0;
  #isClosed = false;
  #cancelTimer: () => void = () => {};

  constructor(server: PooledServerPlan, options: NameWatchOptions) {
    this.#server = server;
    this.#options = options;
    // Nothing listens at a service’s name itself.
    this.#servers = isService(server) ? [] : [server];
    void this.#ask();
  }

  get servers(): readonly PooledServerPlan[] {
    return this.#servers;
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer();
  }

  async #ask(): Promise<void> {
    const { plan, deps, onFailure } = this.#options;
    let waitMs: number;
    try {
      const { places, ttlMs } = await this.#look();
      if (this.#isClosed) return;
      this.#failures = 0;
      waitMs = Math.min(plan.maxTtlMs, Math.max(plan.minTtlMs, ttlMs));
      this.#accept(places);
    } catch (thrown) {
      if (this.#isClosed) return;
      waitMs = Math.min(plan.maxTtlMs, plan.minTtlMs * 2 ** Math.min(20, this.#failures++));
      onFailure?.(`${this.#server.id}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
    this.#cancelTimer = deps.clock.after(waitMs, () => void this.#ask());
  }

  #look(): Promise<{ places: Place[]; ttlMs: number }> {
    const { address } = this.#server;
    if (!('host' in address)) throw new Error('a unix socket has no name to look up');
    return isService(this.#server) ? this.#lookForService(address.host) : this.#lookFor(address);
  }

  async #lookFor({ host, port }: { host: string; port: number }) {
    const { names, plan } = this.#options;
    const { addresses, ttlMs = plan.minTtlMs } = await names.addresses(host, plan.family);
    const { weight } = this.#server;
    return { places: addresses.map((one): Place => ({ host: one, port, weight })), ttlMs };
  }

  /**
   * The records of the lowest priority number; their weights multiply the server’s own. Node tells no TTL of SRV records:
   * they are asked for again together with their addresses.
   */
  async #lookForService(name: string) {
    const { names, plan } = this.#options;
    const services = await names.services(name);
    const priority = Math.min(...services.map((service) => service.priority));
    const first = services.filter((service) => service.priority === priority);
    const found = await Promise.all(
      first.map(async (service) => {
        const { addresses, ttlMs } = isIP(service.name)
          ? { addresses: [service.name], ttlMs: undefined }
          : await names.addresses(service.name, plan.family);
        const weight = this.#server.weight * Math.max(1, service.weight);
        return { places: addresses.map((host): Place => ({ host, port: service.port, weight })), ttlMs };
      }),
    );
    return {
      places: found.flatMap(({ places }) => places),
      ttlMs: Math.min(...found.map(({ ttlMs = plan.minTtlMs }) => ttlMs)),
    };
  }

  /** Answers come in any order and often unchanged: only another set is told on. */
  #accept(places: readonly Place[]): void {
    const servers = places.map((place) => serverAt(this.#server, place));
    servers.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
    const isSame = JSON.stringify(servers) === JSON.stringify(this.#servers);
    this.#servers = servers;
    if (!isSame) this.#options.onChange();
  }
}

function isService({ srv, address }: PooledServerPlan): boolean {
  return srv === true || ('host' in address && isServiceName(address.host));
}

/** `http://chat.internal:3000#10.0.0.7`; TLS still asks for the name, and so does `Host`. */
function serverAt(named: PooledServerPlan, { host, port, weight }: Place): PooledServerPlan {
  const { address } = named;
  const name = 'host' in address ? address.host : '';
  const bracketed = host.includes(':') ? `[${host}]` : host;
  const at = isService(named) ? `${bracketed}:${port}` : bracketed;
  return { ...named, id: `${named.id}#${at}`, address: { host, port }, weight, tlsName: name };
}
