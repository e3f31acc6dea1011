import { X509Certificate } from 'node:crypto';
import type { Deps } from '../../base/deps.js';
import type { AcmeFailed, AcmeObtained, AcmeOrdered } from '../../observe/acme.js';
import { hostNames } from '../tls-names.js';
import type { CertificatePlan } from '../tls-plan.js';
import type { AcmeChallenges } from './challenges.js';
import { obtain, type Obtained } from './order.js';
import type { AcmePlan } from './plan.js';
import { AcmeStorage } from './storage.js';
import { renewalTime, restMs, retryMs, type Validity, validityOf } from './timing.js';
import { AcmeError } from './transport.js';

/** Dates are compared so often at least: clocks are put right, and machines sleep. */
const LOOK_MS = 60 * 60 * 1000;

export interface KeeperEvents {
  onOrdered(order: AcmeOrdered): void;
  /** It is in use from now on. */
  onObtained(obtained: AcmeObtained, isFirst: boolean): void;
  onFailed(failure: AcmeFailed): void;
}

export interface KeeperDeps extends Deps {
  readonly challenges: AcmeChallenges;
  /** Default: the real thing. */
  readonly obtain?: typeof obtain;
}

interface InUse {
  readonly plan: CertificatePlan;
  readonly validity: Validity;
  readonly renewAt: Date;
}

/** Keeps one certificate: reads what was stored, orders what is missing, renews in time, and never gives up. */
export class CertificateKeeper {
  readonly #deps: KeeperDeps;
  readonly #events: KeeperEvents;
  readonly #storage: AcmeStorage;
  readonly #stop = new AbortController();
  #plan: AcmePlan;
  #inUse: InUse | undefined;
  #failures = 0;
  /** Monotonic; nothing is ordered before. */
  #restsUntilMs = 0;
  #cancelLook: (() => void) | undefined;
  #underWay: Promise<void> | undefined;
  #isStarted = false;

  /** Reads what is stored; orders nothing yet. */
  constructor(plan: AcmePlan, deps: KeeperDeps, events: KeeperEvents) {
    this.#plan = plan;
    this.#deps = deps;
    this.#events = events;
    this.#storage = new AcmeStorage(plan);
    const stored = this.#storage.read();
    if (stored !== undefined) this.#use(stored);
  }

  /** What clients are to be shown; undefined: there is none yet. */
  get certificate(): CertificatePlan | undefined {
    return this.#inUse?.plan;
  }

  /** Begins to order, and to renew. Does nothing when it has begun. */
  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#look();
  }

  /** Goes on with another plan for the same certificate. */
  update(plan: AcmePlan): void {
    const isSame = JSON.stringify(plan) === JSON.stringify(this.#plan);
    this.#plan = plan;
    if (isSame) return;
    if (this.#inUse !== undefined) this.#inUse = this.#timed(this.#inUse.plan, this.#inUse.validity);
    // What was in the way may be gone.
    if (this.#failures > 0) this.#restsUntilMs = 0;
    if (this.#isStarted && this.#underWay === undefined) this.#look();
  }

  /** Orders nothing more; an order under way is ended. Resolves when nothing of it is left. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#cancelLook?.();
    await this.#underWay;
  }

  #look(): void {
    this.#cancelLook?.();
    this.#cancelLook = undefined;
    if (this.#stop.signal.aborted) return;
    const { clock } = this.#deps;
    const dueMs = this.#inUse === undefined ? 0 : this.#inUse.renewAt.getTime() - clock.date().getTime();
    const leftMs = Math.max(dueMs, this.#restsUntilMs - clock.now());
    if (leftMs > 0) {
      this.#cancelLook = clock.after(Math.min(leftMs, LOOK_MS), () => this.#look());
      return;
    }
    this.#underWay = this.#orderAndGoOn();
  }

  async #orderAndGoOn(): Promise<void> {
    await this.#order();
    this.#underWay = undefined;
    this.#look();
  }

  /** Never rejects. */
  async #order(): Promise<void> {
    const { challenges, clock, obtain: obtainOne = obtain } = this.#deps;
    const { signal } = this.#stop;
    const plan = this.#plan;
    const isFirst = this.#inUse === undefined;
    this.#events.onOrdered({ ...this.#subject, challenge: plan.challenge, validTo: this.#validTo });
    try {
      const accountKey = this.#storing(() => {
        this.#storage.prepare();
        return this.#storage.accountKey();
      });
      const obtained = await obtainOne(plan, { accountKey, challenges, clock, signal });
      if (signal.aborted) return;
      const { validity, renewAt } = this.#use(obtained);
      this.#failures = 0;
      this.#rest(restMs(validity));
      this.#events.onObtained(
        { ...this.#subject, validFrom: validity.from, validTo: validity.to, renewAt },
        isFirst,
      );
      this.#storing(() => this.#storage.keep(obtained));
      this.#doubtTheClock(validity);
    } catch (thrown) {
      if (!signal.aborted) this.#fail(thrown);
    }
  }

  /** @throws AcmeError */
  #storing<T>(act: () => T): T {
    try {
      return act();
    } catch (cause) {
      throw new AcmeError(`nothing can be kept in ${this.#plan.folder}: ${(cause as Error).message}`, {
        // What would be ordered now, would be ordered again at the next start.
        isRefusal: true,
        cause,
      });
    }
  }

  /** @throws AcmeError */
  #doubtTheClock({ from, to }: Validity): void {
    const now = this.#deps.clock.date();
    if (now >= from && now <= to) return;
    throw new AcmeError(
      `the new certificate is in use, but it is valid from ${from.toISOString()} to ${to.toISOString()}, and the clock of this machine says ${now.toISOString()}`,
      { isRefusal: true },
    );
  }

  #fail(thrown: unknown): void {
    const { clock, random } = this.#deps;
    const error =
      thrown instanceof AcmeError ? thrown : new AcmeError((thrown as Error).message, { isRefusal: true });
    this.#failures++;
    const ms = Math.max(retryMs(this.#failures, error, random.float()), this.#restsUntilMs - clock.now());
    this.#rest(ms);
    const dueMs = this.#inUse?.renewAt.getTime() ?? 0;
    const retryAt = new Date(Math.max(clock.date().getTime() + ms, dueMs));
    this.#events.onFailed({ ...this.#subject, detail: error.message, retryAt, validTo: this.#validTo });
  }

  #rest(ms: number): void {
    this.#restsUntilMs = this.#deps.clock.now() + ms;
  }

  #use({ cert, key }: Obtained): InUse {
    const certificate = new X509Certificate(cert);
    const names = Object.freeze(hostNames(certificate));
    const plan = Object.freeze({ names, cert, key, passphrase: undefined });
    this.#inUse = this.#timed(plan, validityOf(certificate));
    return this.#inUse;
  }

  #timed(plan: CertificatePlan, validity: Validity): InUse {
    const renewAt = renewalTime(validity, this.#plan.renewBeforeMs, this.#deps.random.float());
    return { plan, validity, renewAt };
  }

  get #subject() {
    const { domains, directoryUrl } = this.#plan;
    return { domains, directory: directoryUrl };
  }

  get #validTo(): Date | undefined {
    return this.#inUse?.validity.to;
  }
}
