import { createHash, createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { hostNames } from '../tls-names.js';
import { newKey, type Obtained } from './order.js';
import type { AcmePlan } from './plan.js';

const OWNER_ONLY_FILE = 0o600;
const OWNER_ONLY_FOLDER = 0o700;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^]*/;

/**
 * Where a certificate is kept: one PEM file with its key and chain, so that the two are never apart, and beside it the
 * key of the account; a folder for each authority.
 */
export class AcmeStorage {
  readonly #folder: string;
  readonly #domains: readonly string[];
  /** Of the certificate; absolute. */
  readonly file: string;

  constructor({ folder, directoryUrl, domains }: AcmePlan) {
    this.#folder = join(folder, folderName(directoryUrl));
    this.#domains = domains;
    this.file = join(this.#folder, `${fileName(domains)}.pem`);
  }

  /** What was kept for exactly these names; undefined: nothing, or nothing of use. */
  read(): Obtained | undefined {
    try {
      const text = readFileSync(this.file, 'utf8');
      const [cert] = CERTIFICATE.exec(text) ?? [''];
      const key = text.slice(0, text.length - cert.length);
      const certificate = new X509Certificate(cert);
      const names = hostNames(certificate);
      const isOurs = this.#domains.every((domain) => names.includes(domain));
      return isOurs && certificate.checkPrivateKey(createPrivateKey(key)) ? { cert, key } : undefined;
    } catch {
      // Another one will be ordered, and put in its place.
      return undefined;
    }
  }

  /** @throws when it cannot be written; what was there before is still there then */
  keep({ cert, key }: Obtained): void {
    this.prepare();
    const temporary = this.#write(this.file, `${key.trimEnd()}\n${cert.trimEnd()}\n`);
    try {
      renameSync(temporary, this.file);
    } catch (thrown) {
      rmSync(temporary, { force: true });
      throw thrown;
    }
  }

  /** The key of the account, made at the first time. Of several processes that do so the first one’s counts. */
  accountKey(): string {
    const file = join(this.#folder, 'account.key');
    const known = readKey(file);
    if (known !== undefined) return known;
    this.prepare();
    const temporary = this.#write(file, newKey());
    try {
      linkSync(temporary, file);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
    } finally {
      rmSync(temporary, { force: true });
    }
    return readFileSync(file, 'utf8');
  }

  /** Makes the folder if need be. @throws when nothing could be kept in it: better before an order than behind it */
  prepare(): void {
    mkdirSync(this.#folder, { recursive: true, mode: OWNER_ONLY_FOLDER });
    accessSync(this.#folder, constants.W_OK | constants.X_OK);
  }

  /** A file beside the one that is meant, whole and on the disk. */
  #write(file: string, text: string): string {
    const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
    const descriptor = openSync(temporary, 'wx', OWNER_ONLY_FILE);
    try {
      writeSync(descriptor, text);
      fsyncSync(descriptor);
    } catch (thrown) {
      rmSync(temporary, { force: true });
      throw thrown;
    } finally {
      closeSync(descriptor);
    }
    return temporary;
  }
}

function readKey(file: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
  // A key that is spoilt is not replaced: it may be the only proof of an account.
  try {
    createPrivateKey(text);
  } catch (cause) {
    throw new Error(`${file} holds no private key; mend it, or remove it for a new account`, { cause });
  }
  return text;
}

/** `https://acme-v02.api.letsencrypt.org/directory` → `acme-v02.api.letsencrypt.org-directory`. */
function folderName(directoryUrl: string): string {
  return directoryUrl
    .replace(/^https:\/\//, '')
    .replaceAll(/[^\w.-]+/g, '-')
    .replace(/^[.-]+|-+$/g, '');
}

/** The first name for people, and for several a mark of all of them. */
function fileName(domains: readonly string[]): string {
  const sorted = domains.toSorted();
  if (sorted.length === 1) return sorted[0]!;
  const mark = createHash('sha256').update(sorted.join('\n')).digest('hex').slice(0, 8);
  return `${sorted[0]}+${sorted.length - 1}-${mark}`;
}
