import { promises as dns, type RecordWithTtl } from 'node:dns';
import type { ResolvePlan } from './plan.js';

/** Where a name leads. */
export interface Addresses {
  readonly addresses: readonly string[];
  /** Undefined where the source knows none: the hosts file. */
  readonly ttlMs: number | undefined;
}

/** One SRV record (RFC 2782). */
export interface Service {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** Asks for names. Both throw when there is no answer, or an empty one. */
export interface Names {
  addresses(name: string, family: ResolvePlan['family']): Promise<Addresses>;
  services(name: string): Promise<readonly Service[]>;
}

/** How long one name server may take for one try, and how many tries it gets. */
const TIMEOUT_MS = 2000;
const TRIES = 2;

/** Names as DNS has them, or else the hosts file. */
export class SystemNames implements Names {
  readonly #resolver = new dns.Resolver({ timeout: TIMEOUT_MS, tries: TRIES });

  /** @param nameservers empty: those of the system. */
  constructor(nameservers: readonly string[]) {
    if (nameservers.length > 0) this.#resolver.setServers(nameservers);
  }

  async addresses(name: string, family: ResolvePlan['family']): Promise<Addresses> {
    // Never a matter for DNS (RFC 6761 §6.3).
    if (/(?:^|\.)localhost\.?$/i.test(name)) return fromHostsFile(name, family);
    try {
      return await this.#fromDns(name, family);
    } catch (thrown) {
      try {
        return await fromHostsFile(name, family);
      } catch {
        throw thrown;
      }
    }
  }

  async services(name: string): Promise<readonly Service[]> {
    const records = await this.#resolver.resolveSrv(name);
    // A single "." says that there is no such service (RFC 2782).
    const services = records.filter((record) => record.name !== '' && record.name !== '.');
    if (services.length === 0) throw new Error(`${name} has no SRV records that lead anywhere`);
    return services;
  }

  async #fromDns(name: string, family: ResolvePlan['family']): Promise<Addresses> {
    const ipv4 = () => this.#resolver.resolve4(name, { ttl: true });
    const ipv6 = () => this.#resolver.resolve6(name, { ttl: true });
    switch (family) {
      case 'ipv4':
        return joined(await ipv4());
      case 'ipv6':
        return joined(await ipv6());
      case 'auto':
        return joined(await ipv4().catch((why: unknown) => ipv6().catch(() => Promise.reject(why as Error))));
      case 'both': {
        const answers = await Promise.allSettled([ipv4(), ipv6()]);
        const records = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
        const failed = answers.find((answer) => answer.status === 'rejected');
        if (records.length === 0 && failed !== undefined) throw failed.reason;
        return joined(records);
      }
    }
  }
}

async function fromHostsFile(name: string, family: ResolvePlan['family']): Promise<Addresses> {
  const found = await dns.lookup(name, { all: true });
  const ipv4 = found.filter((one) => one.family === 4);
  const ipv6 = found.filter((one) => one.family === 6);
  const chosen = { auto: ipv4.length > 0 ? ipv4 : ipv6, ipv4, ipv6, both: found }[family];
  if (chosen.length === 0) throw new Error(`${name} has no ${family} address`);
  return { addresses: chosen.map(({ address }) => address), ttlMs: undefined };
}

function joined(records: readonly RecordWithTtl[]): Addresses {
  const ttls = records.map(({ ttl }) => ttl);
  return { addresses: records.map(({ address }) => address), ttlMs: Math.min(...ttls) * 1000 };
}
