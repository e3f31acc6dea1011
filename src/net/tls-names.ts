import type { X509Certificate } from 'node:crypto';

/**
 * The host names that a certificate is for, lower-cased: the dNSNames of its subjectAltName and nothing else. A common
 * name is none (RFC 9525 §2), and addresses never come through SNI (RFC 6066 §3). A wildcard is its whole first label.
 */
export function hostNames({ subjectAltName }: Pick<X509Certificate, 'subjectAltName'>): string[] {
  const names: string[] = [];
  for (const [, kind, value] of (subjectAltName ?? '').matchAll(ALTERNATIVE)) {
    if (kind === 'DNS' && HOST_NAME.test(value!)) names.push(normalize(value!));
  }
  return [...new Set(names)];
}

/** As Node writes them: what holds a comma, or anything else that could mislead, is in quotes. */
const ALTERNATIVE = /([^:,]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/gy;
const HOST_NAME = /^(?:\*\.)?[\w-]+(?:\.[\w-]+)*\.?$/;

/** Finds what belongs to a host name. Of two with the same name the first counts; a name in full before a wildcard. */
export class NameTable<T> {
  readonly #exact = new Map<string, T>();
  /** By what stands behind `*.`: one label, not more (RFC 9525 §6.3). */
  readonly #wildcards = new Map<string, T>();

  /** @param entries values with names as `hostNames` gives them */
  constructor(entries: Iterable<readonly [names: readonly string[], value: T]>) {
    for (const [names, value] of entries) {
      for (const name of names) {
        const isWildcard = name.startsWith('*.');
        const table = isWildcard ? this.#wildcards : this.#exact;
        const key = isWildcard ? name.slice(2) : name;
        if (!table.has(key)) table.set(key, value);
      }
    }
  }

  /** @param asked as the client has sent it */
  find(asked: string): T | undefined {
    const name = normalize(asked);
    const dot = name.indexOf('.');
    return this.#exact.get(name) ?? (dot > 0 ? this.#wildcards.get(name.slice(dot + 1)) : undefined);
  }
}

function normalize(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
