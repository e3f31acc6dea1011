import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { systemDeps } from '../base/system.js';
import type { ConfigPath } from '../config/issues.js';
import type { Config, ListenerConfig, UpstreamConfig } from '../config/schema.js';
import { missingClient } from '../net/acme/client.js';
import { acmeKey, type AcmePlan } from '../net/acme/plan.js';
import type { ClientIdentity } from '../net/dial.js';
import { hostNames } from '../net/tls-names.js';
import type { CertificatePlan, ClientCertificatesPlan, TlsPlan } from '../net/tls-plan.js';
import { checkCiphers, makeContext } from '../net/tls-server.js';
import type { Files } from './files.js';

type TlsConfig = NonNullable<ListenerConfig['tls']>;

/** How a listener speaks TLS, its files read and found to be usable; what is wrong with them is noted in `files`. */
export function compileTls(tls: ListenerConfig['tls'], path: ConfigPath, files: Files): TlsPlan | undefined {
  if (tls === undefined) return undefined;
  const faultsBefore = files.findings.length;
  const certificates = tls.certificates.map((one, at) =>
    readCertificate(one, [...path, 'certificates', at], files),
  );
  const plan = Object.freeze({
    certificates: Object.freeze(certificates),
    ...(tls.acme.length === 0 ? {} : { acme: compileAcme(tls.acme, [...path, 'acme'], files) }),
    minVersion: `TLSv${tls.minVersion}` as const,
    ciphers: tls.ciphers,
    clientCertificates: compileClientCertificates(
      tls.clientCertificates,
      [...path, 'clientCertificates'],
      files,
    ),
  });
  checkTheCiphers(plan, [...path, 'ciphers'], files);
  if (files.findings.length === faultsBefore) {
    for (const [at, one] of certificates.entries()) {
      tryOut(() => makeContext(plan, one), [...path, 'certificates', at], files);
    }
  }
  const takenBy = warnOfNames(tls, certificates, [...path, 'certificates'], files);
  warnOfOrderedNames(tls.acme, takenBy, [...path, 'acme'], files);
  return plan;
}

/** Nothing is read but the authorities: what is stored is the business of the one who keeps it. */
function compileAcme(orders: TlsConfig['acme'], path: ConfigPath, files: Files): readonly AcmePlan[] {
  const missing = missingClient();
  if (missing !== undefined) files.fault(path, missing);
  const plans = orders.map(({ domains, storage, email, directory, ca, challenge, renewBefore }, at) =>
    Object.freeze({
      domains: Object.freeze(domains),
      directoryUrl: directory,
      ca: ca === undefined ? undefined : files.readCertificates(ca, [...path, at, 'ca']),
      email,
      challenge,
      folder: files.folder(storage, [...path, at, 'storage']),
      renewBeforeMs: renewBefore,
    }),
  );
  return Object.freeze(plans);
}

/** Several listeners may share a certificate, but not disagree about it. */
export function checkOrders(listeners: readonly (TlsPlan | undefined)[], files: Files): void {
  const seen = new Map<string, { readonly plan: AcmePlan; readonly place: string }>();
  for (const [index, tls] of listeners.entries()) {
    for (const [at, plan] of (tls?.acme ?? []).entries()) {
      const first = seen.get(acmeKey(plan));
      if (first === undefined)
        seen.set(acmeKey(plan), { plan, place: `listeners[${index}].tls.acme[${at}]` });
      else if (JSON.stringify({ ...first.plan, domains: [] }) !== JSON.stringify({ ...plan, domains: [] })) {
        const message = `expected the same as ${first.place}, which is about the same certificate`;
        files.fault(['listeners', index, 'tls', 'acme', at], message);
      }
    }
  }
}

/**
 * The headers in which servers learn of clients’ certificates, lower-cased, with hyphens. What one listener vouches for,
 * nobody may claim who comes by another one.
 */
export function reservedHeaders({ listeners }: Pick<Config, 'listeners'>): ReadonlySet<string> | undefined {
  const names = (listeners ?? []).flatMap(({ tls }) => {
    const { header, subjectHeader } = tls?.clientCertificates ?? {};
    return [header, subjectHeader].filter((name) => name !== undefined);
  });
  if (names.length === 0) return undefined;
  // Nobody may add a chain to a certificate of ours either (RFC 9440 §2.3).
  return new Set([...names, 'Client-Cert-Chain'].map((name) => name.toLowerCase().replaceAll('_', '-')));
}

/** What we show to the servers of an upstream. */
export function compileIdentity(
  { cert, key, passphrase }: UpstreamConfig['tls'],
  path: ConfigPath,
  files: Files,
): ClientIdentity | undefined {
  if (cert === undefined || key === undefined) return undefined;
  const faultsBefore = files.findings.length;
  const identity = Object.freeze(readPair({ cert, key, passphrase }, path, files));
  if (files.findings.length === faultsBefore) tryOut(() => createSecureContext(identity), path, files);
  return identity;
}

/** A certificate and its key, which belong together. */
function readPair(
  pair: { readonly cert: string; readonly key: string; readonly passphrase?: string | undefined },
  path: ConfigPath,
  files: Files,
): Pick<CertificatePlan, 'cert' | 'key' | 'passphrase'> {
  const { passphrase } = pair;
  const cert = files.readCertificates(pair.cert, [...path, 'cert']);
  const key = files.readKey(pair.key, [...path, 'key']);
  if (cert !== '') checkTime(new X509Certificate(cert), pair.cert, [...path, 'cert'], files);
  if (cert !== '' && key !== '') checkKey({ cert, key, passphrase }, pair, path, files);
  return { cert, key, passphrase };
}

function readCertificate(
  written: TlsConfig['certificates'][number],
  path: ConfigPath,
  files: Files,
): CertificatePlan {
  const pair = readPair(written, path, files);
  const names = pair.cert === '' ? [] : hostNames(new X509Certificate(pair.cert));
  return Object.freeze({ ...pair, names: Object.freeze(names) });
}

/** Warnings only: clocks differ, and it may be renewed a moment later. */
function checkTime(certificate: X509Certificate, name: string, path: ConfigPath, files: Files): void {
  const now = systemDeps.clock.date();
  const from = new Date(certificate.validFrom);
  const to = new Date(certificate.validTo);
  const file = files.resolve(name);
  if (to < now) files.warn(path, `the certificate in ${file} expired at ${to.toISOString()}`);
  if (from > now) files.warn(path, `the certificate in ${file} is not valid before ${from.toISOString()}`);
}

function checkKey(
  { cert, key, passphrase }: Pick<CertificatePlan, 'cert' | 'key' | 'passphrase'>,
  names: { readonly cert: string; readonly key: string },
  path: ConfigPath,
  files: Files,
): void {
  const file = files.resolve(names.key);
  let privateKey;
  try {
    privateKey = createPrivateKey(passphrase === undefined ? key : { key, passphrase });
  } catch (thrown) {
    const isEncrypted = /ENCRYPTED/.test(key);
    if (isEncrypted && passphrase === undefined) {
      files.fault([...path, 'key'], `the key in ${file} is encrypted; expected its \`passphrase\` beside it`);
    } else if (isEncrypted) {
      files.fault([...path, 'passphrase'], `the key in ${file} cannot be decrypted with this passphrase`);
    } else {
      files.fault([...path, 'key'], `the key in ${file} cannot be read: ${reasonOf(thrown)}`);
    }
    return;
  }
  if (!new X509Certificate(cert).checkPrivateKey(privateKey)) {
    const certificate = files.resolve(names.cert);
    files.fault(
      [...path, 'key'],
      `the key in ${file} is not that of the (first) certificate in ${certificate}`,
    );
  }
}

function compileClientCertificates(
  asked: TlsConfig['clientCertificates'],
  path: ConfigPath,
  files: Files,
): ClientCertificatesPlan | undefined {
  if (asked === undefined) return undefined;
  const { ca, mode, header, subjectHeader } = asked;
  return Object.freeze({ ca: files.readCertificates(ca, [...path, 'ca']), mode, header, subjectHeader });
}

function checkTheCiphers(plan: TlsPlan, path: ConfigPath, files: Files): void {
  try {
    checkCiphers(plan);
  } catch (thrown) {
    files.fault(path, `OpenSSL knows no such ciphers: ${reasonOf(thrown)}`);
  }
}

/** What else OpenSSL may have against them: a key that is too short, a chain with a broken certificate. */
function tryOut(use: () => unknown, path: ConfigPath, files: Files): void {
  try {
    use();
  } catch (thrown) {
    files.fault(path, `OpenSSL refuses this certificate and key: ${reasonOf(thrown)}`);
  }
}

function warnOfNames(
  { certificates: written }: TlsConfig,
  certificates: readonly CertificatePlan[],
  path: ConfigPath,
  files: Files,
): ReadonlyMap<string, number> {
  const takenBy = new Map<string, number>();
  for (const [at, { cert, names }] of certificates.entries()) {
    if (cert === '') continue;
    if (at > 0 && names.length === 0) {
      const file = files.resolve(written[at]!.cert);
      const message = `never used: the certificate in ${file} names no host in its subjectAltName`;
      files.warn([...path, at], message);
    }
    for (const name of names) {
      const first = takenBy.get(name);
      if (first === undefined) takenBy.set(name, at);
      else files.warn([...path, at], `not used for ${name}: that of certificates[${first}] comes first`);
    }
  }
  return takenBy;
}

/** Files come before what is ordered. */
function warnOfOrderedNames(
  orders: TlsConfig['acme'],
  takenBy: ReadonlyMap<string, number>,
  path: ConfigPath,
  files: Files,
): void {
  const firsts = new Map<string, string>(Array.from(takenBy, ([name, at]) => [name, `certificates[${at}]`]));
  for (const [at, { domains }] of orders.entries()) {
    for (const name of domains) {
      const first = firsts.get(name);
      if (first === undefined) firsts.set(name, `acme[${at}]`);
      else files.warn([...path, at, 'domains'], `not used for ${name}: that of ${first} comes first`);
    }
  }
}

function reasonOf(thrown: unknown): string {
  const { reason, message } = thrown as Error & { reason?: string };
  return reason ?? message;
}
