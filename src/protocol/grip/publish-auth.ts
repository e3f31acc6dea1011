import { createHash, timingSafeEqual } from 'node:crypto';
import { quote } from '../http/quote.js';
import type { JwtKey } from './keys.js';
import { checkToken } from './tokens.js';

/** One way to be let in to publish; several may be good at once, so that one can take the place of another. */
export type Credential =
  /** `issuer` undefined: any. */
  | { readonly kind: 'jwt'; readonly issuer: string | undefined; readonly key: JwtKey }
  | { readonly kind: 'bearer'; readonly token: string }
  | { readonly kind: 'basic'; readonly user: string; readonly password: string };

export type Admission =
  /** `who` for the log: never a secret. */
  | { readonly ok: true; readonly who: string }
  /** A 401 with this line; what `WWW-Authenticate` says is `PublishAuth.challenges`. */
  | { readonly ok: false; readonly problem: string };

/** Who may publish, by `Authorization` (RFC 9110 §11.6.2): Bearer tokens, ours or signed ones, and Basic. */
export class PublishAuth {
  readonly #bearer: readonly Secret[];
  readonly #basic: readonly Secret[];
  readonly #jwt: readonly Extract<Credential, { kind: 'jwt' }>[];
  /** A field of `WWW-Authenticate` each. */
  readonly challenges: readonly string[];

  constructor(credentials: readonly Credential[]) {
    const of = <K extends Credential['kind']>(kind: K) =>
      credentials.filter((one): one is Extract<Credential, { kind: K }> => one.kind === kind);
    this.#jwt = of('jwt');
    this.#bearer = of('bearer').map(({ token }, i) => ({
      digest: digest(token),
      who: `bearer token ${i + 1}`,
    }));
    this.#basic = of('basic').map(({ user, password }) => ({
      digest: digest(`${user}:${password}`),
      who: `user ${quote(user)}`,
    }));
    this.challenges = [
      ...(this.#jwt.length + this.#bearer.length > 0 ? ['Bearer realm="publish"'] : []),
      ...(this.#basic.length > 0 ? ['Basic realm="publish", charset="UTF-8"'] : []),
    ];
  }

  /** @param authorization the field as HTTP carried it, a latin-1 string; undefined: there is none. */
  async admit(authorization: string | undefined, nowMs: number): Promise<Admission> {
    if (authorization === undefined) return refuse('there is no Authorization header');
    const [, scheme, rest] = /^([A-Za-z]+) +(\S+)$/.exec(authorization) ?? [];
    if (scheme === undefined || rest === undefined)
      return refuse('the Authorization header is not "SCHEME VALUE"');
    switch (scheme.toLowerCase()) {
      case 'bearer':
        return this.#admitBearer(rest, nowMs);
      case 'basic':
        return found(this.#basic, Buffer.from(rest, 'base64')) ?? refuse('the user or the password is wrong');
      default:
        return refuse(`the scheme ${quote(scheme)} is not known; there are Bearer and Basic`);
    }
  }

  async #admitBearer(token: string, nowMs: number): Promise<Admission> {
    const admitted = found(this.#bearer, Buffer.from(token, 'latin1'));
    if (admitted !== undefined) return admitted;
    if (this.#jwt.length === 0) return refuse('the token is not known');
    let problem = '';
    for (const { issuer, key } of this.#jwt) {
      const read = await checkToken(token, [key], issuer, nowMs);
      if (read.ok) return { ok: true, who: `issuer ${quote(read.claims.issuer ?? '')}` };
      if (problem === '' || read.isGenuine) problem = read.problem;
    }
    return refuse(problem);
  }
}

interface Secret {
  readonly digest: Buffer;
  readonly who: string;
}

/** In the same time wherever the secrets differ and whichever it is: digests are compared, and all of them. */
function found(secrets: readonly Secret[], given: Buffer): Admission | undefined {
  const theirs = digest(given);
  let admitted: Admission | undefined;
  for (const { digest, who } of secrets) {
    if (timingSafeEqual(digest, theirs)) admitted = { ok: true, who };
  }
  return admitted;
}

function digest(secret: string | Buffer): Buffer {
  return createHash('sha256').update(secret).digest();
}

function refuse(problem: string): Admission {
  return { ok: false, problem };
}
