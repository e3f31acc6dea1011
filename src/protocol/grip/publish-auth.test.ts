import { generateKeyPairSync } from 'node:crypto';
import { Auth, loadKey, Publisher } from '@fanoutio/grip';
import { describe, expect, it } from 'vitest';
import { signingKey, verifyingKey } from './keys.js';
import { type Credential, PublishAuth } from './publish-auth.js';
import { mintToken } from './tokens.js';

const rsa = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const credentials: readonly Credential[] = [
  { kind: 'jwt', issuer: 'realm', key: verifyingKey('old-key') },
  { kind: 'jwt', issuer: 'realm', key: verifyingKey('new-key') },
  { kind: 'jwt', issuer: 'rsa', key: verifyingKey(rsa.publicKey) },
  { kind: 'bearer', token: 'one' },
  { kind: 'bearer', token: 'zw\u00f6' },
  { kind: 'basic', user: 'bob', password: 'pa:ss' },
];
const auth = new PublishAuth(credentials);
const admit = (authorization: string | undefined, nowMs = Date.now()) => auth.admit(authorization, nowMs);
const refused = (problem: string) => ({ ok: false, problem });

describe('PublishAuth', () => {
  it('lets tokens in, each of them', async () => {
    expect(await admit('Bearer one')).toEqual({ ok: true, who: 'bearer token 1' });
    expect(await admit('bearer  one')).toEqual({ ok: true, who: 'bearer token 1' });
    // As HTTP carries it.
    expect(await admit(`Bearer ${Buffer.from('zwö').toString('latin1')}`)).toEqual({
      ok: true,
      who: 'bearer token 2',
    });
  });

  it('lets users in', async () => {
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
    expect(await admit(basic('bob:pa:ss'))).toEqual({ ok: true, who: 'user "bob"' });
    expect(await admit(basic('bob:pass'))).toEqual(refused('the user or the password is wrong'));
    expect(await admit(basic('alice:pa:ss'))).toEqual(refused('the user or the password is wrong'));
    expect(await admit('Basic *')).toEqual(refused('the user or the password is wrong'));
  });

  it('lets signed tokens in, of the old key and the new', async () => {
    for (const key of ['old-key', 'new-key']) {
      const token = await mintToken(signingKey(key), { issuer: 'realm', expiresAtMs: 2000 });
      expect(await admit(`Bearer ${token}`, 1000)).toEqual({ ok: true, who: 'issuer "realm"' });
      expect(await admit(`Bearer ${token}`, 2000)).toEqual(refused('the token has expired'));
    }
    const foreign = await mintToken(signingKey('new-key'), { issuer: 'rsa', expiresAtMs: 2000 });
    expect(await admit(`Bearer ${foreign}`, 1000)).toEqual(refused("the token's 'iss' is not accepted"));
    const unknown = await mintToken(signingKey('no-key'), { issuer: 'realm', expiresAtMs: 2000 });
    expect(await admit(`Bearer ${unknown}`, 1000)).toEqual(refused('no key fits the signature of the token'));
  });

  it.each<[string | undefined, string]>([
    [undefined, 'there is no Authorization header'],
    ['', 'the Authorization header is not "SCHEME VALUE"'],
    ['Bearer', 'the Authorization header is not "SCHEME VALUE"'],
    ['Bearer one two', 'the Authorization header is not "SCHEME VALUE"'],
    ['Digest x', 'the scheme "Digest" is not known; there are Bearer and Basic'],
    ['Bearer onf', 'the token is no JSON Web Token'],
    ['Bearer ONE', 'the token is no JSON Web Token'],
  ])('refuses %j with one line', async (authorization, problem) => {
    expect(await admit(authorization)).toEqual(refused(problem));
  });

  it('says what it would take', async () => {
    expect(auth.challenges).toEqual(['Bearer realm="publish"', 'Basic realm="publish", charset="UTF-8"']);
    const tokens = new PublishAuth([{ kind: 'bearer', token: 'one' }]);
    expect(tokens.challenges).toEqual(['Bearer realm="publish"']);
    expect(await tokens.admit('Bearer two', 0)).toEqual(refused('the token is not known'));
    expect(await tokens.admit('Basic Og==', 0)).toEqual(refused('the user or the password is wrong'));
  });
});

describe('what GRIP’s own library sends', () => {
  const header = async (config: ConstructorParameters<typeof Publisher>[0]) => {
    const client = new Publisher(config).clients[0] as unknown as {
      getAuth(): { buildHeader(): Promise<string> };
    };
    return client.getAuth().buildHeader();
  };

  it('is let in', async () => {
    expect(await admit(await header('http://localhost:5561/?iss=realm&key=new-key'))).toEqual({
      ok: true,
      who: 'issuer "realm"',
    });
    expect(await admit(await header('http://localhost:5561/?key=one'))).toEqual({
      ok: true,
      who: 'bearer token 1',
    });
    expect(
      await admit(await header({ control_uri: 'http://localhost:5561/', user: 'bob', pass: 'pa:ss' })),
    ).toEqual({
      ok: true,
      who: 'user "bob"',
    });
    const signed = await new Auth.Jwt({ iss: 'rsa' }, loadKey(rsa.privateKey)).buildHeader();
    expect(await admit(signed)).toEqual({ ok: true, who: 'issuer "rsa"' });
  });

  it('is kept out with another key', async () => {
    expect(await admit(await header('http://localhost:5561/?iss=realm&key=other'))).toMatchObject({
      ok: false,
    });
    expect(await admit(await header('http://localhost:5561/?key=other'))).toMatchObject({ ok: false });
  });
});
