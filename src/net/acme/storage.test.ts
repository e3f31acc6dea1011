import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { certificate, type CertificateName } from '../../../test/fixtures/certificates.js';
import type { Obtained } from './order.js';
import type { AcmePlan } from './plan.js';
import { AcmeStorage } from './storage.js';

const modeOf = (file: string): number => statSync(file).mode & 0o777;

describe('AcmeStorage', () => {
  it('keeps a certificate with its key, for its owner only, and reads it again', () => {
    const { storage, folder } = make();
    expect(storage.read()).toBeUndefined();
    storage.keep(obtained('chat'));
    expect(storage.file).toBe(join(folder, 'ca.example.test-dir', 'chat.example.test.pem'));
    expect([modeOf(folder), modeOf(dirname(storage.file)), modeOf(storage.file)]).toEqual([
      0o700, 0o700, 0o600,
    ]);
    expect(storage.read()).toEqual(obtained('chat'));
    storage.keep(obtained('chat-renewed'));
    expect(storage.read()).toEqual(obtained('chat-renewed'));
    expect(readdirSync(dirname(storage.file))).toEqual(['chat.example.test.pem']);
  });

  it.each<[string, string]>([
    ['nothing', ''],
    ['half of it', certificate('chat').slice(0, 400)],
    ['a certificate without its key', obtained('chat').cert],
    ['the key of another', `${obtained('wildcard').key}${obtained('chat').cert}`],
    ['other names', certificate('wildcard')],
  ])('reads nothing of use from %s', (_, text) => {
    const { storage } = make();
    storage.prepare();
    writeFileSync(storage.file, text);
    expect(storage.read()).toBeUndefined();
  });

  it('has a file for each set of names, whatever their order, and a folder for each authority', () => {
    const { storage, folder } = make({ domains: ['b.test', 'a.test'] });
    expect(storage.file).toMatch(/ca\.example\.test-dir\/a\.test\+1-[0-9a-f]{8}\.pem$/);
    expect(make({ folder, domains: ['a.test', 'b.test'] }).storage.file).toBe(storage.file);
    expect(make({ folder, domains: ['a.test', 'c.test'] }).storage.file).not.toBe(storage.file);
    const other = make({ folder, directoryUrl: 'https://ca.example.test:14000/../a?b=c' });
    expect(other.storage.file).toBe(join(folder, 'ca.example.test-14000-..-a-b-c', 'chat.example.test.pem'));
  });

  it('makes the key of the account once, for all of that authority', () => {
    const { storage, folder } = make();
    const key = storage.accountKey();
    expect(key).toMatch(/^-----BEGIN PRIVATE KEY-----/);
    expect(make({ folder, domains: ['other.test'] }).storage.accountKey()).toBe(key);
    const inside = dirname(storage.file);
    expect(readdirSync(inside)).toEqual(['account.key']);
    expect(modeOf(join(inside, 'account.key'))).toBe(0o600);
  });

  it('leaves a key alone that it cannot read', () => {
    const { storage } = make();
    storage.prepare();
    const file = join(dirname(storage.file), 'account.key');
    writeFileSync(file, 'spoilt');
    expect(() => storage.accountKey()).toThrow(/account\.key holds no private key/);
    expect(readFileSync(file, 'utf8')).toBe('spoilt');
  });

  it('leaves what was there when the new one cannot be written', () => {
    const { storage } = make();
    storage.keep(obtained('chat'));
    const inside = dirname(storage.file);
    rmSync(storage.file);
    // A folder in its place, which no file can be renamed to.
    mkdirSync(join(storage.file, 'in the way'), { recursive: true });
    expect(() => storage.keep(obtained('chat-renewed'))).toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
    expect(readdirSync(inside)).toEqual(['chat.example.test.pem']);
  });

  it.skipIf(process.getuid?.() === 0)('says so beforehand when nothing can be written', () => {
    const { storage } = make();
    storage.prepare();
    chmodSync(dirname(storage.file), 0o500);
    expect(() => storage.prepare()).toThrow(/EACCES/);
  });
});

function obtained(name: CertificateName): Obtained {
  const pem = certificate(name);
  const at = pem.indexOf('-----BEGIN CERTIFICATE-----');
  return { key: pem.slice(0, at), cert: pem.slice(at) };
}

function make(more: Partial<AcmePlan> = {}): { storage: AcmeStorage; folder: string } {
  const parent = mkdtempSync(join(tmpdir(), 'tidegate-acme-'));
  onTestFinished(() => rmSync(parent, { recursive: true }));
  const plan: AcmePlan = {
    domains: ['chat.example.test'],
    directoryUrl: 'https://ca.example.test/dir',
    ca: undefined,
    email: undefined,
    challenge: 'http-01',
    folder: join(parent, 'certificates'),
    renewBeforeMs: undefined,
    ...more,
  };
  return { storage: new AcmeStorage(plan), folder: plan.folder };
}
