import { trimWhitespace } from './grammar.js';

/**
 * Header fields as they were sent: order, case and duplicates kept, looked up without regard to case.
 * Values are latin-1 strings, one character a byte, as Node's parser and RFC 9110 §5.5 have them.
 */
export class HeaderList implements Iterable<readonly [name: string, value: string]> {
  #names: string[] = [];
  /** The names in lower case, which every look-up compares. */
  #lower: string[] = [];
  #values: string[] = [];

  /** From a flat list `[name, value, name, value, …]`, the shape of Node's `rawHeaders`. */
  static fromRaw(raw: readonly string[]): HeaderList {
    const list = new HeaderList();
    for (let i = 0; i + 1 < raw.length; i += 2) list.append(raw[i]!, raw[i + 1]!);
    return list;
  }

  clone(): HeaderList {
    const list = new HeaderList();
    list.#names = this.#names.slice();
    list.#lower = this.#lower.slice();
    list.#values = this.#values.slice();
    return list;
  }

  get size(): number {
    return this.#names.length;
  }

  has(name: string): boolean {
    return this.#lower.includes(name.toLowerCase());
  }

  /** The first value, or undefined. */
  get(name: string): string | undefined {
    return this.#values[this.#lower.indexOf(name.toLowerCase())];
  }

  /** Every value of that name, in order. */
  all(name: string): string[] {
    const lower = name.toLowerCase();
    const found: string[] = [];
    for (let i = this.#lower.indexOf(lower); i !== -1; i = this.#lower.indexOf(lower, i + 1)) {
      found.push(this.#values[i]!);
    }
    return found;
  }

  /** The comma-separated elements of every field of that name, trimmed, empty ones dropped (RFC 9110 §5.6.1). */
  elements(name: string): string[] {
    const lower = name.toLowerCase();
    const found: string[] = [];
    for (let i = this.#lower.indexOf(lower); i !== -1; i = this.#lower.indexOf(lower, i + 1)) {
      addElements(this.#values[i]!, found);
    }
    return found;
  }

  /** Whether `token` stands among the comma-separated elements, without regard to case. */
  hasToken(name: string, token: string): boolean {
    const lower = token.toLowerCase();
    return this.elements(name).some((element) => element.toLowerCase() === lower);
  }

  append(name: string, value: string): void {
    this.#names.push(name);
    this.#lower.push(name.toLowerCase());
    this.#values.push(value);
  }

  /** Replaces the value where the name first stands (its spelling kept) and drops further ones; appends if absent. */
  set(name: string, value: string): void {
    const lower = name.toLowerCase();
    const first = this.#lower.indexOf(lower);
    if (first === -1) {
      this.append(name, value);
      return;
    }
    this.#values[first] = value;
    if (this.#lower.includes(lower, first + 1)) {
      this.#removeWhere((field, i) => field === lower && i !== first);
    }
  }

  delete(name: string): void {
    const lower = name.toLowerCase();
    if (this.#lower.includes(lower)) this.#removeWhere((field) => field === lower);
  }

  /** Drops every field whose lower-cased name satisfies the test. */
  deleteWhere(test: (lowerName: string) => boolean): void {
    this.#removeWhere(test);
  }

  /** The flat list `[name, value, …]` that Node's HTTP writers take. */
  toRaw(): string[] {
    const raw: string[] = [];
    for (let i = 0; i < this.#names.length; i++) raw.push(this.#names[i]!, this.#values[i]!);
    return raw;
  }

  *[Symbol.iterator](): Generator<readonly [name: string, value: string]> {
    for (let i = 0; i < this.#names.length; i++) yield [this.#names[i]!, this.#values[i]!];
  }

  #removeWhere(test: (lowerName: string, index: number) => boolean): void {
    let kept = 0;
    for (let i = 0; i < this.#names.length; i++) {
      if (test(this.#lower[i]!, i)) continue;
      this.#names[kept] = this.#names[i]!;
      this.#lower[kept] = this.#lower[i]!;
      this.#values[kept] = this.#values[i]!;
      kept++;
    }
    // Costs something even where it changes nothing.
    if (kept < this.#names.length) this.#names.length = this.#lower.length = this.#values.length = kept;
  }
}

function addElements(value: string, found: string[]): void {
  // Most have one.
  const parts = value.includes(',') ? value.split(',') : [value];
  for (const part of parts) {
    const element = trimWhitespace(part);
    if (element !== '') found.push(element);
  }
}
