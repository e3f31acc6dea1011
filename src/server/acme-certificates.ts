import type { Deps } from '../base/deps.js';
import { AcmeChallenges } from '../net/acme/challenges.js';
import { CertificateKeeper } from '../net/acme/keeper.js';
import { acmeKey, type AcmePlan } from '../net/acme/plan.js';
import type { ListenerPlan } from '../net/plan.js';
import { NameTable } from '../net/tls-names.js';
import type { CertificatePlan } from '../net/tls-plan.js';
import type { Events } from '../observe/events.js';

/** The certificates that the listeners of a proxy have by ACME. They outlive reloads. */
export class AcmeCertificates {
  readonly challenges = new AcmeChallenges();
  readonly #deps: Deps;
  readonly #events: Events;
  readonly #onChange: () => void;
  readonly #keepers = new Map<string, CertificateKeeper>();
  /** Closed, but still at an order. */
  readonly #leaving = new Set<Promise<void>>();
  #isClosed = false;

  /** @param onChange when there is another certificate: listeners are to be completed anew */
  constructor(deps: Deps, events: Events, onChange: () => void) {
    this.#deps = deps;
    this.#events = events;
    this.#onChange = onChange;
  }

  /** A listener’s plan with the certificates that are there, behind those of files, and the names that wait for one. */
  complete(plan: ListenerPlan): ListenerPlan {
    const { tls } = plan;
    if (tls?.acme === undefined) return plan;
    const certificates: CertificatePlan[] = [...tls.certificates];
    const missing: string[] = [];
    for (const one of tls.acme) {
      const { certificate } = this.#keeperOf(one);
      if (certificate === undefined) missing.push(...one.domains);
      else certificates.push(certificate);
    }
    const table = new NameTable(certificates.map(({ names }) => [names, true] as const));
    const pendingNames = missing.filter((name) => table.find(name) === undefined);
    return Object.freeze({ ...plan, tls: Object.freeze({ ...tls, certificates, pendingNames }) });
  }

  /** From now on it is these listeners that need certificates. */
  follow(plans: readonly ListenerPlan[]): void {
    if (this.#isClosed) return;
    const wanted = new Map(plans.flatMap(({ tls }) => tls?.acme ?? []).map((one) => [acmeKey(one), one]));
    for (const [key, keeper] of this.#keepers) {
      if (wanted.has(key)) continue;
      this.#keepers.delete(key);
      this.#let(keeper);
    }
    for (const one of wanted.values()) {
      const keeper = this.#keeperOf(one);
      keeper.update(one);
      keeper.start();
    }
  }

  /** Orders nothing more. Resolves when nothing is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const keeper of this.#keepers.values()) this.#let(keeper);
    this.#keepers.clear();
    await Promise.all(this.#leaving);
  }

  #let(keeper: CertificateKeeper): void {
    const closed = keeper.close().then(() => void this.#leaving.delete(closed));
    this.#leaving.add(closed);
  }

  #keeperOf(plan: AcmePlan): CertificateKeeper {
    const key = acmeKey(plan);
    let keeper = this.#keepers.get(key);
    if (keeper === undefined) this.#keepers.set(key, (keeper = this.#open(plan)));
    return keeper;
  }

  #open(plan: AcmePlan): CertificateKeeper {
    return new CertificateKeeper(
      plan,
      { ...this.#deps, challenges: this.challenges },
      {
        onOrdered: (order) => this.#events.emit('acme.ordered', order),
        onObtained: (obtained, isFirst) => {
          this.#onChange();
          this.#events.emit(isFirst ? 'acme.obtained' : 'acme.renewed', obtained);
        },
        onFailed: (failure) => this.#events.emit('acme.failed', failure),
      },
    );
  }
}
