import { describe, expect, it } from 'vitest';
import type { ConfigError } from './issues.js';
import { parseConfig } from './parse.js';
import { findWarnings } from './warnings.js';

const least = { domains: 'chat.example.com', storage: 'acme', termsOfServiceAgreed: true };

function parse(tls: object, more: readonly unknown[] = []) {
  const routes = [{ to: 'http://127.0.0.1:1' }];
  return parseConfig({ listeners: [{ address: 443, tls }, ...more], routes });
}

const orderIn = (acme: unknown) => parse({ acme: acme as object }).listeners![0]!.tls!.acme;

function faultsOf(tls: object): string[] {
  try {
    parse(tls);
    return [];
  } catch (thrown) {
    return (thrown as ConfigError).issues.map(
      ({ message, path }) => `${path.replace('listeners[0].', '')}: ${message}`,
    );
  }
}

describe('listeners[].tls.acme', () => {
  it('fills in defaults', () => {
    expect(orderIn(least)).toEqual([
      {
        domains: ['chat.example.com'],
        storage: 'acme',
        termsOfServiceAgreed: true,
        directory: 'https://acme-v02.api.letsencrypt.org/directory',
        challenge: 'tls-alpn-01',
      },
    ]);
    expect(parse({ acme: least }).listeners![0]!.tls!.certificates).toEqual([]);
  });

  it('takes names as people write them', () => {
    const domains = ['Chat.Example.com', 'chat.example.com.', 'müller.example', 'localhost'];
    expect(orderIn({ ...least, domains })[0]!.domains).toEqual([
      'chat.example.com',
      'xn--mller-kva.example',
      'localhost',
    ]);
  });

  it('takes long times and several entries', () => {
    const [a, b] = orderIn([
      { ...least, renewBefore: '30d', directory: 'letsencrypt-staging' },
      { ...least, domains: ['a.test'], directory: 'https://ca.internal:9000/acme' },
    ]);
    expect(a).toMatchObject({
      renewBefore: 30 * 24 * 60 * 60 * 1000,
      directory: 'https://acme-staging-v02.api.letsencrypt.org/directory',
    });
    expect(b).toMatchObject({ directory: 'https://ca.internal:9000/acme' });
  });

  it.each<[object, string]>([
    [
      { termsOfServiceAgreed: false },
      'termsOfServiceAgreed: expected true, which says that you agree to the terms of service of the authority, found false',
    ],
    [
      { termsOfServiceAgreed: undefined },
      'termsOfServiceAgreed: is missing; expected true, which says that you agree to the terms of service of the authority',
    ],
    [
      { domains: '*.example.com' },
      'domains: *.example.com: wildcards are proven by DNS only, which is not spoken here; expected names in full',
    ],
    [
      { domains: ['192.0.2.1'] },
      'domains[0]: expected a host name such as chat.example.com, found "192.0.2.1"',
    ],
    [{ domains: 'a b' }, 'domains: expected a host name such as chat.example.com, found "a b"'],
    [{ domains: '../../etc' }, 'domains: expected a host name such as chat.example.com, found "../../etc"'],
    [
      { domains: Array.from({ length: 101 }, (_, at) => `a${at}.test`) },
      'domains: expected at most 100 host names',
    ],
    [
      { directory: 'zerossl' },
      'directory: expected letsencrypt, letsencrypt-staging, or the https: URL of a directory, found "zerossl"',
    ],
    [
      { directory: 'http://ca.internal/' },
      'directory: expected letsencrypt, letsencrypt-staging, or the https: URL of a directory, found "http://ca.internal/"',
    ],
    [{ email: 'me' }, 'email: expected an e-mail address, found "me"'],
    [{ renewBefore: '400d' }, 'renewBefore: expected at most 365d, found "400d"'],
  ])('%j', (wrong, fault) => {
    expect(faultsOf({ acme: { ...least, ...wrong } })).toEqual([`tls.acme.${fault}`]);
  });

  it('may stand in the place of certificates, but something must', () => {
    expect(faultsOf({})).toEqual([
      'tls.certificates: is missing; expected an object with `cert` and `key`, or a list of them; or `acme` in its place',
    ]);
  });

  it('warns of http-01 where nobody would answer', () => {
    const acme = { ...least, challenge: 'http-01' };
    const warnings = (more: unknown[]) => findWarnings(parse({ acme }, more)).map(({ message }) => message);
    expect(warnings([])).toEqual([expect.stringContaining('http-01 is asked for by plain HTTP at port 80')]);
    expect(warnings([80])).toEqual([]);
  });
});
