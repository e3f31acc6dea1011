import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';

export type Algorithm = 'HS256' | 'RS256' | 'ES256';

/** A key that does one thing with one algorithm: what a token says of its own algorithm decides nothing. */
export interface JwtKey {
  readonly algorithm: Algorithm;
  readonly key: KeyObject;
}

/**
 * A key as a configuration has it: text in PEM (RSA of 2048 bits or more: RS256; EC on P-256: ES256), `base64:` and the
 * bytes of a secret, or a secret as it stands (HS256).
 *
 * @throws Error with one line that does not tell the key.
 */
export function signingKey(text: string): JwtKey {
  return readKey(text, (pem) => createPrivateKey(pem), 'a private key');
}

/** As `signingKey`, for checking: of a pair, the public key or its certificate is enough. */
export function verifyingKey(text: string): JwtKey {
  return readKey(text, (pem) => createPublicKey(pem), 'a public key');
}

function readKey(text: string, fromPem: (pem: string) => KeyObject, wanted: string): JwtKey {
  const decoded = text.startsWith('base64:') ? fromBase64(text.slice('base64:'.length)) : Buffer.from(text);
  const pem = decoded.toString('latin1').trimStart();
  if (!pem.startsWith('-----BEGIN ')) {
    if (decoded.length === 0) throw new Error('a key is empty; expected a secret, base64:… or PEM');
    return { algorithm: 'HS256', key: createSecretKey(decoded) };
  }
  let key: KeyObject;
  try {
    key = fromPem(pem);
  } catch {
    throw new Error(
      `a key in PEM cannot be read as ${wanted}; its first line is ${JSON.stringify(firstLine(pem))}`,
    );
  }
  return { algorithm: algorithmOf(key), key };
}

function algorithmOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): Algorithm {
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= 2048) return 'RS256';
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return 'ES256';
  const size = details?.modulusLength ?? details?.namedCurve ?? '';
  throw new Error(
    `a key in PEM is ${`${type} ${size}`.trim()}; expected RSA of 2048 bits or more, or EC on P-256`,
  );
}

function fromBase64(text: string): Buffer {
  const base64 = text.replaceAll(/\s/g, '');
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(base64)) throw new Error('a key behind base64: is not base64');
  return Buffer.from(base64, 'base64');
}

function firstLine(pem: string): string {
  return pem.split('\n', 1)[0]!.trim().slice(0, 60);
}
