import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { SignJWT, UnsecuredJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { noAuth, startPublishing, like } from '../../../test/fixtures/publishing.js';
import { ManualClock } from '../../base/manual-clock.js';
import { signingKey } from '../../protocol/grip/keys.js';
import { mintToken } from '../../protocol/grip/tokens.js';
import type { PublishAuthPlan } from '../publish-plan.js';

const json = { items: [] };
const TOKEN = 'a-token-that-is-long-enough';
const SECRET = 'a secret of some length';

/** What every way of showing `shown` is answered with. */
async function statuses(auth: Partial<PublishAuthPlan>, shown: readonly (string | undefined)[]) {
  const clock = new ManualClock();
  const { call } = await startPublishing({ plan: { auth: { ...noAuth, ...auth } }, clock });
  const answers: number[] = [];
  for (const authorization of shown) {
    const headers: Record<string, string> =
      authorization === undefined ? {} : { Authorization: authorization };
    answers.push((await call({ json, headers })).status);
  }
  return answers;
}

describe('who may publish', () => {
  it('whoever shows one of the tokens', async () => {
    const tokens = ['another-token-that-is-long', TOKEN];
    const good = [`Bearer ${TOKEN}`, `bearer ${TOKEN}`, `Bearer ${tokens[0]}`];
    expect(await statuses({ tokens }, good)).toEqual([200, 200, 200]);
    const bad = [undefined, '', 'Bearer', `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, TOKEN];
    expect(await statuses({ tokens }, [...bad, `Basic ${TOKEN}`])).toEqual([...bad, 0].map(() => 401));
  });

  it('whoever shows a user and a password', async () => {
    const basic = [{ user: 'ann', password: 'pass:wörd!' }];
    const show = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
    expect(await statuses({ basic }, [show('ann:pass:wörd!')])).toEqual([200]);
    const bad = [show('ann:pass'), show('bob:pass:wörd!'), show('ann'), show(''), `Bearer pass:wörd!`];
    expect(await statuses({ basic }, bad)).toEqual(bad.map(() => 401));
  });

  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
  const pem = (key: typeof rsa) => key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const publicPem = (key: typeof rsa) =>
    createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
  const now = new ManualClock().date().getTime();
  const fresh = { issuer: 'backend', expiresAtMs: now + 60_000 };

  it.each([
    ['HS256', SECRET, SECRET],
    ['HS256, in base64', SECRET, `base64:${Buffer.from(SECRET).toString('base64')}`],
    ['RS256', pem(rsa), publicPem(rsa)],
    ['ES256', pem(ec), publicPem(ec)],
  ])('whoever shows a token signed with %s', async (_, own, theirs) => {
    const mint = async (claims: typeof fresh) => `Bearer ${await mintToken(signingKey(own), claims)}`;
    const shown = [
      await mint(fresh),
      await mint({ ...fresh, expiresAtMs: now - 1000 }),
      await mint({ ...fresh, issuer: 'stranger' }),
      (await mint(fresh)).slice(0, -8),
      `Bearer ${await mintToken(signingKey('another secret'), fresh)}`,
    ];
    const expected = [200, 401, 401, 401, 401];
    expect(await statuses({ jwt: [{ issuer: 'backend', key: theirs }] }, shown)).toEqual(expected);
    expect(await statuses({ jwt: [{ issuer: undefined, key: theirs }] }, [shown[2]])).toEqual([200]);
  });

  it('not whoever signs with the public key as a secret, with nothing, or for ever', async () => {
    const secret = new TextEncoder().encode(publicPem(rsa));
    const claims = { iss: 'backend', exp: Math.floor(now / 1000) + 60 };
    const confused = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(secret);
    const unsigned = new UnsecuredJWT(claims).encode();
    const forever = await new SignJWT({ iss: 'backend' }).setProtectedHeader({ alg: 'RS256' }).sign(rsa);
    const shown = [confused, unsigned, forever].map((token) => `Bearer ${token}`);
    expect(await statuses({ jwt: [{ issuer: undefined, key: publicPem(rsa) }] }, shown)).toEqual([
      401, 401, 401,
    ]);
  });

  it('is told what would be accepted, and no secret', async () => {
    const auth = { ...noAuth, tokens: [TOKEN], basic: [{ user: 'ann', password: 'passwörter' }] };
    const { call } = await startPublishing({ plan: { auth } });
    const { status, text, headers } = await call({ json });
    expect([status, text]).toEqual([
      401,
      'there is no Authorization header; expected Authorization: Bearer TOKEN or Basic and base64 of USER:PASSWORD\n',
    ]);
    expect(headers['www-authenticate']).toBe(
      'Bearer realm="publish", Basic realm="publish", charset="UTF-8"',
    );
    const other = await call({
      path: '/v1/sessions',
      method: 'GET',
      headers: { Authorization: 'Bearer no' },
    });
    expect(other.body.error).toMatchObject({ code: 'NOT_AUTHORIZED' });
    expect(other.body.error.message).toMatch(/^the token is not known; expected /);
  });

  it('is asked for everything that is there', async () => {
    const { call } = await startPublishing({ plan: { auth: { ...noAuth, tokens: [TOKEN] } } });
    for (const path of ['/', '/publish/', '/v1/publish', '/v1/sessions', '/v1/channels/x', '/nothing']) {
      expect([path, (await call({ path, method: 'GET' })).status]).toEqual([path, 401]);
    }
  });

  it('cannot be decided with a key that is none', async () => {
    const jwt = [{ issuer: undefined, key: '-----BEGIN PUBLIC KEY-----\nno\n-----END PUBLIC KEY-----' }];
    await expect(startPublishing({ plan: { auth: { ...noAuth, jwt } } })).rejects.toThrow(
      'publish.auth.jwt[0].key',
    );
  });
});

describe('with nothing to show', () => {
  it.each(['localhost', 'LOCALHOST:1', '127.0.0.1:5561', '127.3.2.1', '[::1]:5561'])(
    'Host %s',
    async (host) => {
      const { call } = await startPublishing();
      expect((await call({ json, headers: { Host: host } })).status).toBe(200);
    },
  );

  it.each(['evil.example', '192.0.2.1', 'localhost.evil.example'])(
    'not Host %s: somebody’s name, rebound to us',
    async (host) => {
      const { call } = await startPublishing();
      const { status, text } = await call({ json, headers: { Host: host } });
      expect([status, text]).toEqual([403, like(`found Host "${host}"`)]);
    },
  );

  it('no web page may publish, which a browser says by Origin', async () => {
    const headers = { Origin: 'http://127.0.0.1:5561', 'Content-Type': 'text/plain' };
    const { call } = await startPublishing();
    expect((await call({ json, headers })).status).toBe(403);
  });
});

describe('with something to show', () => {
  it('any Host, as what is shown decides', async () => {
    const { call } = await startPublishing({ plan: { auth: { ...noAuth, tokens: [TOKEN] } } });
    const headers = { Host: 'publish.example', Authorization: `Bearer ${TOKEN}` };
    expect((await call({ json, headers })).status).toBe(200);
  });

  it('a web page only with a token: browsers add passwords by themselves', async () => {
    const basic = [{ user: 'ann', password: 'password' }];
    const { call } = await startPublishing({ plan: { auth: { ...noAuth, tokens: [TOKEN], basic } } });
    const shown = (Authorization: string) => ({ Authorization, Origin: 'https://page.example' });
    expect((await call({ json, headers: shown(`Bearer ${TOKEN}`) })).status).toBe(200);
    const password = `Basic ${Buffer.from('ann:password').toString('base64')}`;
    expect((await call({ json, headers: shown(password) })).status).toBe(403);
  });
});
