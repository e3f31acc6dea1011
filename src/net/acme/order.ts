import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import type { Authorization, Client, Order } from 'acme-client';
import type { Clock } from '../../base/deps.js';
import { hostNames } from '../tls-names.js';
import type { AcmeChallenges } from './challenges.js';
import { type Acme, loadAcme, makeClient } from './client.js';
import type { AcmePlan } from './plan.js';
import { AcmeError, AcmeTransport, describeProblem } from './transport.js';

/** One attempt may take so long: an authority looks at a name within seconds, from several places of the world. */
const ATTEMPT_MS = 5 * 60_000;
const FIRST_LOOK_MS = 250;
const LONGEST_LOOK_MS = 10_000;

/** What an order needs beside its plan. */
export interface OrderContext {
  readonly accountKey: string;
  readonly challenges: AcmeChallenges;
  readonly clock: Clock;
  /** Ends it at once. */
  readonly signal: AbortSignal;
}

/** A certificate with those behind it, and its key: PEM text. */
export interface Obtained {
  readonly cert: string;
  readonly key: string;
}

/**
 * Obtains a certificate (RFC 8555 §7): account, order, a challenge for each name that is not proven yet, certificate.
 *
 * @throws AcmeError
 */
export async function obtain(plan: AcmePlan, context: OrderContext): Promise<Obtained> {
  const { clock, signal } = context;
  const limit = new AbortController();
  const stopTimer = clock.after(ATTEMPT_MS, () => limit.abort());
  const either = AbortSignal.any([signal, limit.signal]);
  const transport = new AcmeTransport({ ca: plan.ca, userAgent: USER_AGENT, clock, signal: either });
  try {
    const acme = await loadAcme();
    const client = makeClient(acme, plan, context.accountKey, transport);
    return await new OneOrder(acme, client, transport, plan, { ...context, signal: either }).run();
  } catch (thrown) {
    if (limit.signal.aborted) {
      throw new AcmeError(`the order was not done within ${ATTEMPT_MS / 60_000} minutes`, { cause: thrown });
    }
    if (thrown instanceof AcmeError) throw thrown;
    // What the package itself complains about: an answer that is not as expected.
    throw new AcmeError(`the authority cannot be understood: ${(thrown as Error).message}`, {
      isRefusal: true,
      cause: thrown,
    });
  } finally {
    stopTimer();
    transport.close();
  }
}

const USER_AGENT = 'tidegate (acme-client)';

class OneOrder {
  readonly #acme: Acme;
  readonly #client: Client;
  readonly #transport: AcmeTransport;
  readonly #plan: AcmePlan;
  readonly #context: OrderContext;

  constructor(acme: Acme, client: Client, transport: AcmeTransport, plan: AcmePlan, context: OrderContext) {
    this.#acme = acme;
    this.#client = client;
    this.#transport = transport;
    this.#plan = plan;
    this.#context = context;
  }

  async run(): Promise<Obtained> {
    const { domains, email } = this.#plan;
    await this.#client.createAccount({
      termsOfServiceAgreed: true,
      ...(email === undefined ? {} : { contact: [`mailto:${email}`] }),
    });
    const identifiers = domains.map((value) => ({ type: 'dns', value }));
    const order = await this.#client.createOrder({ identifiers });
    await this.#prove(await this.#client.getAuthorizations(order));
    const ready = await this.#settled(order, ['pending']);
    const key = newKey();
    const [, csr] = await this.#acme.crypto.createCsr({ altNames: [...domains] }, key);
    const finalized = await this.#client.finalizeOrder(ready, csr);
    const valid = await this.#settled(finalized, ['ready', 'processing']);
    const obtained = { cert: await this.#client.getCertificate(valid), key };
    check(obtained, domains);
    return obtained;
  }

  /** All names at once; what stands for them is taken away again, whatever comes of it. */
  async #prove(authorizations: readonly Authorization[]): Promise<void> {
    const cleanups: (() => void)[] = [];
    try {
      const open = authorizations.filter(({ status }) => status !== 'valid');
      for (const one of open) cleanups.push(await this.#answer(one));
      await Promise.all(open.map((one) => this.#proven(one)));
    } finally {
      for (const cleanup of cleanups) cleanup();
    }
  }

  /** Puts up what the authority is to find, then says so. Returns what takes it down. */
  async #answer(authorization: Authorization): Promise<() => void> {
    const { identifier, challenges } = authorization;
    const wanted = this.#plan.challenge;
    const challenge = challenges.find(({ type }) => type === wanted);
    if (challenge === undefined) {
      const offered = challenges.map(({ type }) => type).join(', ');
      throw new AcmeError(`for ${identifier.value} the authority takes ${offered}, not ${wanted}`, {
        isRefusal: true,
      });
    }
    const keyAuthorization = await this.#client.getChallengeKeyAuthorization(challenge);
    let takeDown: () => void;
    if (wanted === 'http-01') {
      takeDown = this.#context.challenges.answerHttp(challenge.token, keyAuthorization);
    } else {
      const [key, cert] = await this.#acme.crypto.createAlpnCertificate(
        authorization,
        keyAuthorization,
        newKey(),
      );
      takeDown = this.#context.challenges.answerTls(identifier.value, {
        cert: String(cert),
        key: String(key),
      });
    }
    try {
      await this.#client.completeChallenge(challenge);
    } catch (thrown) {
      takeDown();
      throw thrown;
    }
    return takeDown;
  }

  async #proven({ url, identifier: { value: name } }: Authorization): Promise<void> {
    const look = async () => {
      // One alone cannot be asked for by the package.
      const [now] = await this.#client.getAuthorizations({ authorizations: [url] } as unknown as Order);
      return now!;
    };
    const { status, challenges } = await this.#lookUntil(look, (now) => now.status !== 'pending');
    if (status === 'valid') return;
    const failed = challenges.find((challenge) => challenge.error !== undefined) as
      { readonly error?: unknown } | undefined;
    const why = describeProblem(failed?.error) ?? `it is ${status}`;
    throw new AcmeError(`${name} could not be proven by ${this.#plan.challenge}: ${why}`, {
      isRefusal: true,
    });
  }

  /** The order when it is in none of these states any more. */
  async #settled(order: Order, passing: readonly Order['status'][]): Promise<Order> {
    const look = () => this.#client.getOrder(order);
    const isSettled = ({ status }: Order): boolean => !passing.includes(status);
    const now = isSettled(order) ? order : await this.#lookUntil(look, isSettled);
    if (now.status !== 'invalid') return now;
    const why = describeProblem(now.error) ?? 'it is invalid';
    throw new AcmeError(`the order was refused: ${why}`, { isRefusal: true });
  }

  async #lookUntil<T>(look: () => Promise<T>, isDone: (now: T) => boolean): Promise<T> {
    for (let waitMs = FIRST_LOOK_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_LOOK_MS)) {
      const now = await look();
      if (isDone(now)) return now;
      await this.#pause(Math.min(Math.max(this.#transport.retryAfterMs ?? 0, waitMs), LONGEST_LOOK_MS));
    }
  }

  #pause(ms: number): Promise<void> {
    const { clock, signal } = this.#context;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        cancel();
        reject(new AcmeError('it was ended'));
      };
      const cancel = clock.after(ms, () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      });
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** P-256: small, and every client of TLS 1.2 knows it. PEM text. */
export function newKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

/** What was sent must be of use. */
function check({ cert, key }: Obtained, domains: readonly string[]): void {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(cert);
  } catch (cause) {
    throw new AcmeError('the authority sent something that is no certificate', { isRefusal: true, cause });
  }
  if (!certificate.checkPrivateKey(createPrivateKey(key))) {
    throw new AcmeError('the authority sent a certificate for another key', { isRefusal: true });
  }
  const names = hostNames(certificate);
  const lacking = domains.filter((domain) => !names.includes(domain));
  if (lacking.length > 0) {
    throw new AcmeError(`the authority sent a certificate without ${lacking.join(', ')}`, {
      isRefusal: true,
    });
  }
}
