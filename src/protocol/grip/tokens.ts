import { errors, jwtVerify, SignJWT } from 'jose';
import type { JwtKey } from './keys.js';

/** JSON Web Tokens as GRIP uses them: `iss`, `exp`, a signature, nothing else. */
export interface Claims {
  readonly issuer: string | undefined;
  readonly expiresAtMs: number;
}

export type TokenReading =
  | { readonly ok: true; readonly claims: Claims }
  /** One line that tells nothing of keys. `isGenuine`: a key fits, but not what the token says. */
  | { readonly ok: false; readonly problem: string; readonly isGenuine: boolean };

export async function mintToken(
  { algorithm, key }: JwtKey,
  { issuer, expiresAtMs }: Claims,
): Promise<string> {
  const claims = { exp: Math.floor(expiresAtMs / 1000), iss: issuer };
  return new SignJWT(claims).setProtectedHeader({ typ: 'JWT', alg: algorithm }).sign(key);
}

/**
 * Checks a token against several keys, so that one can take the place of another while both are good; the first that
 * fits decides. `exp` must be there and lie after `nowMs`; with `issuer`, `iss` must be it.
 */
export async function checkToken(
  token: string,
  keys: readonly JwtKey[],
  issuer: string | undefined,
  nowMs: number,
): Promise<TokenReading> {
  let problem = 'no key is set to check a token with';
  for (const { algorithm, key } of keys) {
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: [algorithm],
        currentDate: new Date(nowMs),
        requiredClaims: ['exp'],
        ...(issuer !== undefined && { issuer }),
      });
      return { ok: true, claims: { issuer: payload.iss, expiresAtMs: payload.exp! * 1000 } };
    } catch (error) {
      problem = problemOf(error);
      // Claims are read after the signature has been found good: no other key will do better.
      if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired) {
        return { ok: false, problem, isGenuine: true };
      }
    }
  }
  return { ok: false, problem, isGenuine: false };
}

function problemOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'the token has expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.reason === 'missing'
      ? `the token has no '${error.claim}'`
      : `the token's '${error.claim}' is not accepted`;
  }
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JOSEAlgNotAllowed) {
    return 'no key fits the signature of the token';
  }
  if (error instanceof errors.JOSEError) return 'the token is no JSON Web Token';
  throw error;
}
