import type { HeaderList } from '../http/header-list.js';
import { trimWhitespace } from '../http/grammar.js';

const PREFIX = 'set-meta-';

/** What the backend has bound to a connection by `Set-Meta-*`: sent with every request from then on. */
export class Meta implements Iterable<readonly [name: string, value: string]> {
  /** By name in lower case; spelled as the backend last spelled it. */
  readonly #entries = new Map<string, readonly [name: string, value: string]>();
  /** Names and values together. */
  bytes = 0;
  /** How often something was bound or taken away. */
  changes = 0;

  /** Takes over what an answer sets. Names are compared without regard to case; an empty value deletes. */
  apply(fields: HeaderList): void {
    for (const [field, untrimmed] of fields) {
      if (field.length <= PREFIX.length || field.slice(0, PREFIX.length).toLowerCase() !== PREFIX) continue;
      this.#set(field.slice(PREFIX.length), trimWhitespace(untrimmed));
    }
  }

  [Symbol.iterator](): Iterator<readonly [name: string, value: string]> {
    return this.#entries.values();
  }

  #set(name: string, value: string): void {
    const key = name.toLowerCase();
    const before = this.#entries.get(key);
    const isSame = before === undefined ? value === '' : before[0] === name && before[1] === value;
    if (isSame) return;
    this.changes++;
    if (before !== undefined) this.bytes -= before[0].length + before[1].length;
    if (value === '') {
      this.#entries.delete(key);
    } else {
      this.#entries.set(key, [name, value]);
      this.bytes += name.length + value.length;
    }
  }
}
