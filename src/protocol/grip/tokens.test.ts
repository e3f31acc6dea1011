import { generateKeyPairSync, type KeyPairKeyObjectResult } from 'node:crypto';
import { validateSig } from '@fanoutio/grip';
import { decodeJwt, SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { GripSigner } from './grip-sig.js';
import { signingKey, verifyingKey } from './keys.js';
import { checkToken, mintToken } from './tokens.js';

const rsa = toPem(generateKeyPairSync('rsa', { modulusLength: 2048 }));
const ec = toPem(generateKeyPairSync('ec', { namedCurve: 'P-256' }));
const secret = signingKey('changeme');

describe('keys', () => {
  it.each<[string, string]>([
    ['changeme', 'HS256'],
    ['base64:Y2hhbmdlbWU=', 'HS256'],
    [rsa.privateKey, 'RS256'],
    [ec.privateKey, 'ES256'],
    [`base64:${Buffer.from(ec.privateKey).toString('base64')}`, 'ES256'],
  ])('%s is for its algorithm', (text, algorithm) => {
    expect(signingKey(text).algorithm).toBe(algorithm);
    expect(verifyingKey(text).algorithm).toBe(algorithm);
  });

  it('says in one line what is wrong, and not the key', () => {
    const small = toPem(generateKeyPairSync('rsa', { modulusLength: 1024 }));
    const curve = toPem(generateKeyPairSync('ec', { namedCurve: 'secp384r1' }));
    const edwards = toPem(generateKeyPairSync('ed25519'));
    expect(() => signingKey('')).toThrow('a key is empty; expected a secret, base64:… or PEM');
    expect(() => signingKey('base64:*')).toThrow('a key behind base64: is not base64');
    expect(() => signingKey(rsa.publicKey)).toThrow(
      'a key in PEM cannot be read as a private key; its first line is "-----BEGIN PUBLIC KEY-----"',
    );
    expect(() => verifyingKey('-----BEGIN NONSENSE-----')).toThrow(
      'a key in PEM cannot be read as a public key',
    );
    expect(() => signingKey(small.privateKey)).toThrow(
      'a key in PEM is rsa 1024; expected RSA of 2048 bits or more',
    );
    expect(() => signingKey(curve.privateKey)).toThrow('a key in PEM is ec secp384r1; expected');
    expect(() => verifyingKey(edwards.publicKey)).toThrow('a key in PEM is ed25519; expected');
  });
});

describe('tokens', () => {
  const expiresAtMs = 1_800_000_000_000;
  const issuer = 'pushpin';

  it('are what every other GRIP proxy makes', async () => {
    expect(await mintToken(secret, { issuer, expiresAtMs })).toBe(
      'eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJleHAiOjE4MDAwMDAwMDAsImlzcyI6InB1c2hwaW4ifQ.AdHU30uOdjP8C34nZlErzMY2Mj_FG5q13YZiSIAix6A',
    );
  });

  it.each<[string, string, string]>([
    ['changeme', 'changeme', 'another'],
    [rsa.privateKey, rsa.publicKey, ec.publicKey],
    [ec.privateKey, ec.publicKey, rsa.publicKey],
  ])('are checked with the key that fits', async (sign, verify, other) => {
    const token = await mintToken(signingKey(sign), { issuer, expiresAtMs });
    const good = { ok: true, claims: { issuer, expiresAtMs } };
    expect(await checkToken(token, [verifyingKey(verify)], issuer, expiresAtMs - 1)).toEqual(good);
    expect(await checkToken(token, [verifyingKey(other), verifyingKey(verify)], undefined, 0)).toEqual(good);
    expect(await checkToken(token, [verifyingKey(other)], issuer, 0)).toEqual({
      ok: false,
      problem: 'no key fits the signature of the token',
      isGenuine: false,
    });
  });

  it('are refused for what they say', async () => {
    const check = (token: string, nowMs: number) =>
      checkToken(token, [signingKey('a'), secret], 'pushpin', nowMs);
    const token = await mintToken(secret, { issuer, expiresAtMs });
    expect(await check(token, expiresAtMs)).toEqual({
      ok: false,
      problem: 'the token has expired',
      isGenuine: true,
    });
    const foreign = await mintToken(secret, { issuer: 'x', expiresAtMs });
    expect(await check(foreign, 0)).toEqual({
      ok: false,
      problem: "the token's 'iss' is not accepted",
      isGenuine: true,
    });
    const endless = await new SignJWT({ iss: issuer }).setProtectedHeader({ alg: 'HS256' }).sign(secret.key);
    expect(await check(endless, 0)).toEqual({
      ok: false,
      problem: "the token has no 'exp'",
      isGenuine: true,
    });
    expect(await check('a.b.c', 0)).toMatchObject({ ok: false, problem: 'the token is no JSON Web Token' });
    expect(await check('', 0)).toMatchObject({ ok: false, problem: 'the token is no JSON Web Token' });
    expect(await checkToken(token, [], issuer, 0)).toMatchObject({
      problem: 'no key is set to check a token with',
    });
  });

  it('do not choose the algorithm that they are checked with', async () => {
    const parts = (await mintToken(secret, { issuer, expiresAtMs })).split('.');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    expect(await checkToken(`${none}.${parts[1]}.`, [secret], issuer, 0)).toMatchObject({ ok: false });
    // The public key, known to all, taken for a secret.
    const confused = await new SignJWT({ iss: issuer, exp: expiresAtMs / 1000 })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(rsa.publicKey));
    expect(await checkToken(confused, [verifyingKey(rsa.publicKey)], issuer, 0)).toMatchObject({ ok: false });
  });
});

describe('GripSigner', () => {
  it.each<[string, string, string]>([
    ['changeme', 'changeme', 'other'],
    ['base64:AP8Q', 'base64:AP8Q', 'other'],
    [rsa.privateKey, rsa.publicKey, toPem(generateKeyPairSync('rsa', { modulusLength: 2048 })).publicKey],
    [ec.privateKey, ec.publicKey, toPem(generateKeyPairSync('ec', { namedCurve: 'P-256' })).publicKey],
  ])('is believed by GRIP’s own library', async (sign, verify, other) => {
    const signer = new GripSigner({ key: signingKey(sign), issuer: 'tidegate' });
    const token = await signer.token(Date.now());
    expect(await validateSig(token, verify, 'tidegate')).toBe(true);
    expect(await validateSig(token, verify, 'pushpin')).toBe(false);
    expect(await validateSig(token, other, 'tidegate')).toBe(false);
    const old = await new GripSigner({ key: signingKey(sign), issuer: 'tidegate' }).token(
      Date.now() - 3_601_000,
    );
    expect(await validateSig(old, verify, 'tidegate')).toBe(false);
  });

  it('uses a token again until half of its life is over', async () => {
    const signer = new GripSigner({ key: secret, issuer: 'x' });
    const start = 1_800_000_000_000;
    const first = await signer.token(start);
    expect(decodeJwt(first)).toEqual({ exp: 1_800_003_600, iss: 'x' });
    expect(await signer.token(start + 1_799_999)).toBe(first);
    const second = await signer.token(start + 1_800_000);
    expect(decodeJwt(second)).toEqual({ exp: 1_800_005_400, iss: 'x' });
    // A clock set back gets a token of its own time.
    expect(decodeJwt(await signer.token(start - 1000))).toEqual({ exp: 1_800_003_599, iss: 'x' });
    expect(
      decodeJwt(await new GripSigner({ key: secret, issuer: 'x', lifetimeMs: 60_000 }).token(start)).exp,
    ).toBe(1_800_000_060);
  });

  it('signs once for requests that come together, and again after a failure', async () => {
    const signer = new GripSigner({ key: secret, issuer: 'x' });
    expect(signer.token(0)).toBe(signer.token(0));
    const broken = new GripSigner({ key: verifyingKey(rsa.publicKey), issuer: 'x' });
    const failed = broken.token(0);
    await expect(failed).rejects.toThrow();
    const again = broken.token(0);
    expect(again).not.toBe(failed);
    await expect(again).rejects.toThrow();
  });
});

function toPem({ publicKey, privateKey }: KeyPairKeyObjectResult): { publicKey: string; privateKey: string } {
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}
