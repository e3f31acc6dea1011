import type { JwtKey } from './keys.js';
import { mintToken } from './tokens.js';

export interface GripSigOptions {
  readonly key: JwtKey;
  /** `iss`: by it a backend knows which gateway it is; Pushpin says `pushpin`. */
  readonly issuer: string;
  /** From minting to `exp`; an hour where it is undefined. */
  readonly lifetimeMs?: number | undefined;
}

/**
 * The value of `Grip-Sig`, by which a backend knows that a request comes from its gateway. A token is used again until
 * half of its life is over, so each that is sent is good for at least as long, and requests seldom wait for a signature.
 */
export class GripSigner {
  readonly #key: JwtKey;
  readonly #issuer: string;
  readonly #lifetimeMs: number;
  #minted: { readonly token: Promise<string>; readonly atMs: number } | undefined;

  constructor({ key, issuer, lifetimeMs }: GripSigOptions) {
    this.#key = key;
    this.#issuer = issuer;
    this.#lifetimeMs = lifetimeMs ?? HOUR_MS;
  }

  /** Rejects where the key cannot sign; the next call tries again. */
  token(nowMs: number): Promise<string> {
    const minted = this.#minted;
    // A clock that was set back would make an old token live for longer.
    if (minted !== undefined && nowMs >= minted.atMs && nowMs < minted.atMs + this.#lifetimeMs / 2) {
      return minted.token;
    }
    const token = mintToken(this.#key, { issuer: this.#issuer, expiresAtMs: nowMs + this.#lifetimeMs });
    const latest = { token, atMs: nowMs };
    this.#minted = latest;
    token.catch(() => {
      if (this.#minted === latest) this.#minted = undefined;
    });
    return token;
  }
}

const HOUR_MS = 3_600_000;
