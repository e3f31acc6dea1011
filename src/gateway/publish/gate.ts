import type { IncomingMessage } from 'node:http';
import type { Clock } from '../../base/deps.js';
import { ConfigError } from '../../config/issues.js';
import { hostOfAddress, isOwnHost, showHost } from '../../net/api-host.js';
import { type JwtKey, verifyingKey } from '../../protocol/grip/keys.js';
import { type Credential, PublishAuth } from '../../protocol/grip/publish-auth.js';
import { quote } from '../../protocol/http/quote.js';
import type { PublishAuthPlan, PublishPlan } from '../publish-plan.js';
import { PublishFailure } from './failure.js';

/** Who may speak to the publish listener at all. Throws a PublishFailure for everybody else. */
export class PublishGate {
  readonly #hosts: ReadonlySet<string>;
  /** Undefined: whoever reaches the address. */
  readonly #auth: PublishAuth | undefined;
  readonly #clock: Clock;

  /** @throws ConfigError where a key cannot be read */
  constructor({ address, auth }: Pick<PublishPlan, 'address' | 'auth'>, clock: Clock) {
    const credentials = readCredentials(auth);
    const isOpen = credentials.length === 0 && auth.aws.length === 0;
    this.#auth = isOpen ? undefined : new PublishAuth(credentials);
    this.#hosts = new Set(hostOfAddress(address));
    this.#clock = clock;
  }

  async check(req: IncomingMessage): Promise<void> {
    if (this.#auth === undefined) this.#checkHost(req);
    else await this.#checkAuthorization(this.#auth, req.headers.authorization);
    this.#checkOrigin(req);
  }

  /** Whoever shows a secret may call us by any name. */
  #checkHost(req: IncomingMessage): void {
    if (isOwnHost(req, this.#hosts)) return;
    throw new PublishFailure(
      'HOST_NOT_ALLOWED',
      `expected localhost, a loopback address or the address itself, or \`publish.auth\` in the configuration; found ${showHost(req)}`,
    );
  }

  async #checkAuthorization(auth: PublishAuth, authorization: string | undefined): Promise<void> {
    const admission = await auth.admit(authorization, this.#clock.date().getTime());
    if (admission.ok) return;
    const schemes = auth.challenges.map((challenge) => expected[challenge.split(' ', 1)[0]!]);
    throw new PublishFailure(
      'NOT_AUTHORIZED',
      `${admission.problem}; expected ${schemes.length === 0 ? 'nobody here, as `publish.auth` has only keys for `@connections`' : `Authorization: ${schemes.join(' or ')}`}`,
      { headers: { 'WWW-Authenticate': auth.challenges } },
    );
  }

  /**
   * A page of any site can have its visitor’s browser post to us. That browser says so in `Origin`, which no backend
   * sends. Only a token in the request, which no browser adds by itself as it does with passwords, makes up for it.
   */
  #checkOrigin({ headers: { origin, authorization } }: IncomingMessage): void {
    if (origin === undefined) return;
    if (this.#auth !== undefined && /^bearer /i.test(authorization ?? '')) return;
    throw new PublishFailure(
      'ORIGIN_NOT_ALLOWED',
      `web pages may not publish without a bearer token; expected no Origin header, found ${quote(origin)}`,
    );
  }
}

const expected: Readonly<Record<string, string>> = {
  Bearer: 'Bearer TOKEN',
  Basic: 'Basic and base64 of USER:PASSWORD',
};

function readCredentials({ tokens, jwt, basic }: PublishAuthPlan): Credential[] {
  return [
    ...tokens.map((token) => ({ kind: 'bearer' as const, token })),
    ...jwt.map(({ issuer, key }, at) => ({ kind: 'jwt' as const, issuer, key: readKey(key, at) })),
    ...basic.map((one) => ({ kind: 'basic' as const, ...one })),
  ];
}

function readKey(key: string, at: number): JwtKey {
  try {
    return verifyingKey(key);
  } catch (thrown) {
    throw new ConfigError([{ path: `publish.auth.jwt[${at}].key`, message: (thrown as Error).message }]);
  }
}
