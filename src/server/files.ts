import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { tokenProblem } from '../config/admin.js';
import type { ConfigPath, Finding } from '../config/issues.js';

const MIN_SECRET_CHARS = 8;

/** The files that a configuration names, and what is wrong with them. */
export class Files {
  readonly findings: Finding[] = [];
  /** What is hardly meant, but no reason not to start. */
  readonly warnings: Finding[] = [];
  readonly #baseDir: string;
  readonly #read = new Set<string>();

  constructor(baseDir: string) {
    this.#baseDir = baseDir;
  }

  /** Those that were read, or should have been; absolute names. */
  get names(): readonly string[] {
    return [...this.#read];
  }

  resolve(name: string): string {
    return resolve(this.#baseDir, name);
  }

  fault(path: ConfigPath, message: string): void {
    this.findings.push({ path, message });
  }

  warn(path: ConfigPath, message: string): void {
    this.warnings.push({ path, message });
  }

  /** PEM text; empty when the file cannot be used, which is noted. */
  readCertificates(name: string, path: ConfigPath): string {
    return this.#use(name, path, 'a PEM file with certificates', (text) => {
      try {
        // Node passes over a file without certificates in silence, and then trusts nobody.
        void new X509Certificate(text);
        return undefined;
      } catch {
        return 'holds no certificate';
      }
    });
  }

  /** PEM text; empty when the file cannot be used, which is noted. */
  readKey(name: string, path: ConfigPath): string {
    return this.#use(name, path, 'a PEM file with a private key', (text) =>
      /^-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/m.test(text) ? undefined : 'holds no private key',
    );
  }

  /** The token in a file, without the line end behind it; empty when it cannot be used, which is noted. */
  readToken(name: string, path: ConfigPath): string {
    return this.#use(name, path, 'a file with a token', (text) => {
      const problem = tokenProblem(text.trim());
      return problem && `holds none: ${problem}`;
    }).trim();
  }

  /** A secret or a key, without the line end behind it; empty when it cannot be used, which is noted. */
  readSecret(name: string, path: ConfigPath): string {
    return this.#use(name, path, 'a file with a key', (text) =>
      text.trim().length < MIN_SECRET_CHARS
        ? `holds none of ${MIN_SECRET_CHARS} characters or more`
        : undefined,
    ).trim();
  }

  /** The absolute name of a folder, which may still be missing; that something else is in its place is noted. */
  folder(name: string, path: ConfigPath): string {
    const folder = this.resolve(name);
    try {
      const there = statSync(folder, { throwIfNoEntry: false });
      if (there?.isDirectory() === false) this.fault(path, `expected a folder, but ${folder} is a file`);
    } catch (thrown) {
      const { code, message } = thrown as NodeJS.ErrnoException;
      this.fault(path, `expected a folder, but ${folder} ${(code && fileProblems[code]) ?? message}`);
    }
    return folder;
  }

  #use(
    name: string,
    path: ConfigPath,
    wanted: string,
    problemOf: (text: string) => string | undefined,
  ): string {
    const file = this.resolve(name);
    this.#read.add(file);
    let text = '';
    let problem: string | undefined;
    try {
      text = readFileSync(file, 'utf8');
      problem = problemOf(text);
    } catch (thrown) {
      const { code, message } = thrown as NodeJS.ErrnoException;
      problem = (code && fileProblems[code]) ?? message;
    }
    if (problem === undefined) return text;
    this.fault(path, `expected ${wanted}, but ${file} ${problem}`);
    return '';
  }
}

const fileProblems: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EACCES: 'may not be read',
  EISDIR: 'is a folder',
};
