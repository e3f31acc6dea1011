import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  authorityFile,
  type CertificateName,
  certificate,
  certificateFile,
  lockedKeyFile,
  lockedKeyPassphrase,
} from '../../test/fixtures/certificates.js';
import { ConfigError, formatIssue } from '../config/issues.js';
import { parseConfig } from '../config/parse.js';
import type { ConfigInput } from '../config/schema.js';
import type { TlsPlan } from '../net/tls-plan.js';
import { compile, type Plan } from './compile.js';

const dir = mkdtempSync(join(tmpdir(), 'tidegate-tls-'));
afterAll(() => rmSync(dir, { recursive: true }));

type TlsInput = Extract<NonNullable<ConfigInput['listeners']>[number], object>['tls'];

describe('TLS of a listener', () => {
  it('has its files read, and the names of its certificates', () => {
    const { listeners, files, warnings } = compiled({
      certificates: [pair('chat'), pair('wildcard')],
      minVersion: 1.3,
      clientCertificates: { ca: authorityFile, header: 'Client-Cert' },
    });
    expect(listeners[0]!.tls).toMatchObject({
      certificates: [
        { names: ['chat.example.test'], cert: certificate('chat'), key: certificate('chat') },
        { names: ['*.example.test', 'example.test'] },
      ],
      minVersion: 'TLSv1.3',
      clientCertificates: { mode: 'required', header: 'Client-Cert', subjectHeader: undefined },
    } satisfies DeepPartial<TlsPlan>);
    expect(files).toEqual([certificateFile('chat'), certificateFile('wildcard'), authorityFile]);
    expect(warnings).toEqual([]);
  });

  it('takes an encrypted key', () => {
    const { cert } = pair('chat');
    const locked = { cert, key: lockedKeyFile, passphrase: lockedKeyPassphrase };
    expect(compiled({ certificates: locked }).listeners[0]!.tls?.certificates).toHaveLength(1);
  });

  const { cert, key } = pair('chat');
  const place = 'listeners[0].tls';

  it.each<[string, TlsInput, string]>([
    [
      'a file that is not there',
      { certificates: { cert: 'gone.crt', key } },
      `${place}.certificates[0].cert: expected a PEM file with certificates, but ${join(dir, 'gone.crt')} does not exist`,
    ],
    [
      'a folder',
      { certificates: { cert, key: '.' } },
      `${place}.certificates[0].key: expected a PEM file with a private key, but ${dir} is a folder`,
    ],
    [
      'a certificate that is none',
      { certificates: { cert: lockedKeyFile, key } },
      `${place}.certificates[0].cert: expected a PEM file with certificates, but ${lockedKeyFile} holds no certificate`,
    ],
    [
      'a key that is none',
      { certificates: { cert, key: authorityFile } },
      `${place}.certificates[0].key: expected a PEM file with a private key, but ${authorityFile} holds no private key`,
    ],
    [
      'a key that is broken',
      { certificates: { cert, key: written('broken', broken('PRIVATE KEY')) } },
      `${place}.certificates[0].key: the key in ${join(dir, 'broken')} cannot be read: `,
    ],
    [
      'another certificate’s key',
      { certificates: [pair('wildcard'), { cert, key: pair('expired').key }] },
      `${place}.certificates[1].key: the key in ${certificateFile('expired')} is not that of the (first) certificate in ${cert}`,
    ],
    [
      'an encrypted key without passphrase',
      { certificates: { cert, key: lockedKeyFile } },
      `${place}.certificates[0].key: the key in ${lockedKeyFile} is encrypted; expected its \`passphrase\` beside it`,
    ],
    [
      'an encrypted key with a wrong one',
      { certificates: { cert, key: lockedKeyFile, passphrase: 'sesame' } },
      `${place}.certificates[0].passphrase: the key in ${lockedKeyFile} cannot be decrypted with this passphrase`,
    ],
    [
      'a chain with a broken certificate',
      { certificates: { cert: written('chain', `${certificate('chat')}${broken('CERTIFICATE')}`), key } },
      `${place}.certificates[0]: OpenSSL refuses this certificate and key: `,
    ],
    [
      'a version that is too old',
      { certificates: { cert, key }, minVersion: 1.1 },
      `${place}.minVersion: expected 1.2 or 1.3, found 1.1`,
    ],
    [
      'ciphers that do not exist',
      { certificates: { cert, key }, ciphers: 'ROT13' },
      `${place}.ciphers: OpenSSL knows no such ciphers: `,
    ],
    [
      'authorities that are none',
      { certificates: { cert, key }, clientCertificates: { ca: 'gone.pem' } },
      `${place}.clientCertificates.ca: expected a PEM file with certificates, but ${join(dir, 'gone.pem')} does not exist`,
    ],
    [
      'headers with a meaning of their own',
      { certificates: { cert, key }, clientCertificates: { ca: authorityFile, header: 'X-Forwarded-For' } },
      `${place}.clientCertificates.header: X-Forwarded-For has a meaning of its own; expected another name`,
    ],
    [
      'one header for both',
      {
        certificates: { cert, key },
        clientCertificates: { ca: authorityFile, header: 'X-Cert', subjectHeader: 'x-cert' },
      },
      `${place}.clientCertificates.subjectHeader: is the name of \`header\`, too; expected another one`,
    ],
  ])('refuses %s', (_what, tls, message) => {
    const problems = problemsOf(tls);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(message);
    expect(problems[0]).not.toContain('\n');
  });

  it('says everything that is wrong at once', () => {
    const problems = problemsOf({
      certificates: [{ cert: 'a', key: 'b' }, pair('chat'), { cert, key: 'c' }],
    });
    expect(problems.map((problem) => problem.split(': ')[0])).toEqual([
      `${place}.certificates[0].cert`,
      `${place}.certificates[0].key`,
      `${place}.certificates[2].key`,
    ]);
  });

  it.each<[string, CertificateName[], string[]]>([
    [
      'one that has expired',
      ['expired'],
      [
        `${place}.certificates[0].cert: the certificate in ${certificateFile('expired')} expired at 2021-02-03T04:05:06.000Z`,
      ],
    ],
    [
      'one that is not valid yet',
      ['future'],
      [
        `${place}.certificates[0].cert: the certificate in ${certificateFile('future')} is not valid before 2120-03-04T05:06:07.000Z`,
      ],
    ],
    [
      'two for the same name',
      ['chat', 'wildcard', 'chat-renewed'],
      [`${place}.certificates[2]: not used for chat.example.test: that of certificates[0] comes first`],
    ],
    [
      'one that nobody can ask for',
      ['chat', 'nameless'],
      [
        `${place}.certificates[1]: never used: the certificate in ${certificateFile('nameless')} names no host in its subjectAltName`,
      ],
    ],
    ['the first without a name', ['nameless', 'chat'], []],
  ])('warns of %s', (_what, names, warnings) => {
    expect(compiled({ certificates: names.map(pair) }).warnings.map(formatIssue)).toEqual(warnings);
  });
});

describe('what we show to servers', () => {
  const upstream = (tls: object) => {
    const config = { upstreams: { api: { servers: 'https://a', tls } }, routes: [{ to: 'api' }] };
    return compile(parseConfig(config), dir);
  };

  it('is read', () => {
    expect(upstream(pair('client')).upstreams[0]!.tls.identity).toMatchObject({ key: certificate('client') });
  });

  it.each<[object, RegExp]>([
    [{ cert: pair('client').cert }, /^upstreams\.api\.tls\.key: is missing; `cert` needs it$/],
    [{ ...pair('client'), key: pair('chat').key }, /^upstreams\.api\.tls\.key: the key in .* is not that of/],
    [{ ...pair('client'), cert: 'gone' }, /^upstreams\.api\.tls\.cert: .* does not exist$/],
  ])('is refused: %o', (tls, message) => {
    expect(() => upstream(tls)).toThrow(message);
  });
});

function pair(name: CertificateName): { cert: string; key: string } {
  return { cert: certificateFile(name), key: certificateFile(name) };
}

function compiled(tls: TlsInput): Plan {
  const listeners = [{ address: '127.0.0.1:0', tls }];
  return compile(parseConfig({ listeners, routes: [{ to: 'http://127.0.0.1:3000' }] }), dir);
}

function problemsOf(tls: TlsInput): string[] {
  try {
    compiled(tls);
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.issues.map(formatIssue);
    throw thrown;
  }
  return [];
}

function written(name: string, text: string): string {
  writeFileSync(join(dir, name), text);
  return name;
}

function broken(label: string): string {
  return `-----BEGIN ${label}-----\nAAAA\n-----END ${label}-----\n`;
}

type DeepPartial<T> = { [K in keyof T]?: T[K] extends object | undefined ? DeepPartial<T[K]> : T[K] };
