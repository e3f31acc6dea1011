import { isUtf8 } from 'node:buffer';

/**
 * What is wrong with a piece of JSON. `message` is in the words of Pushpin, which clients may know; `place` and
 * `accepted` are ours: `items[2].formats.ws-message.code`, `a whole number from 0 to 65535`.
 */
export class FieldProblem extends Error {
  readonly place: string;
  readonly accepted: string;

  constructor(message: string, place: string, accepted: string) {
    super(message);
    this.name = 'FieldProblem';
    this.place = place;
    this.accepted = accepted;
  }

  /** All of it in one line. */
  get line(): string {
    return `${this.message} (${this.place}: expected ${this.accepted})`;
  }
}

/**
 * A JSON object that someone else wrote. Every method reads one member, its own only, and throws a `FieldProblem` where
 * it is not what it should be. `null` is a wrong type, not an absence.
 */
export class Fields {
  readonly place: string;
  readonly #object: Readonly<Record<string, unknown>>;
  /** What Pushpin calls it: `'ws-message'`, `publish item object`. */
  readonly #name: string;

  constructor(value: unknown, name: string, place: string) {
    if (!isObject(value)) throw new FieldProblem(`${name} is not an object`, place, 'an object');
    this.#object = value;
    this.#name = name;
    this.place = place;
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#object, key);
  }

  isEmpty(): boolean {
    return Object.keys(this.#object).length === 0;
  }

  text(key: string): string | undefined {
    const value = this.#get(key);
    if (value === undefined || typeof value === 'string') return value;
    throw this.wrongType(key, 'a string');
  }

  /** A string that must be there and not be empty. */
  name(key: string): string {
    const value = this.text(key);
    if (value === undefined) {
      throw new FieldProblem(
        `${this.#name} does not contain '${key}'`,
        this.placeOf(key),
        'a string that is not empty',
      );
    }
    if (value === '') throw this.invalid(key, 'a string that is not empty');
    return value;
  }

  choice<T extends string>(key: string, choices: readonly T[]): T | undefined {
    const value = this.text(key);
    const found = choices.find((choice) => choice === value);
    if (value !== undefined && found === undefined) {
      throw new FieldProblem(
        `${this.#name} contains '${key}' with unknown value`,
        this.placeOf(key),
        choices.join(', '),
      );
    }
    return found;
  }

  /** A whole number, or one written as a string of digits, as some clients do. */
  integer(key: string, min: number, max: number): number | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    const accepted = `a whole number from ${min} to ${max}`;
    const number = typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isInteger(number)) throw this.wrongType(key, accepted);
    if (number < min || number > max) throw this.invalid(key, accepted);
    return number;
  }

  /** Seconds, as milliseconds; capped at `MAX_TIMEOUT_MS`. */
  seconds(key: string): number | undefined {
    const seconds = this.integer(key, 0, Number.MAX_SAFE_INTEGER);
    return seconds === undefined ? undefined : Math.min(seconds * 1000, MAX_TIMEOUT_MS);
  }

  flag(key: string): boolean {
    const value = this.#get(key);
    if (value === undefined) return false;
    if (typeof value !== 'boolean') throw this.wrongType(key, 'true or false');
    return value;
  }

  list(key: string): readonly unknown[] | undefined {
    const value = this.#get(key);
    if (value === undefined || Array.isArray(value)) return value;
    throw this.wrongType(key, 'a list');
  }

  texts(key: string): readonly string[] | undefined {
    return this.list(key)?.map((value, i) => {
      if (typeof value === 'string') return value;
      throw new FieldProblem(
        `${key} contains element with wrong type`,
        `${this.placeOf(key)}[${i}]`,
        'a string',
      );
    });
  }

  isList(key: string): boolean {
    return Array.isArray(this.#get(key));
  }

  /** The members of an object; none where it is absent. */
  members(key: string, accepted: string): readonly (readonly [name: string, value: unknown])[] {
    const value = this.#get(key);
    if (value === undefined) return [];
    if (!isObject(value)) throw this.wrongType(key, accepted);
    return Object.entries(value);
  }

  /** An object whose members are all strings; empty where it is absent. */
  map(key: string): Readonly<Record<string, string>> {
    const entries = this.members(key, 'an object of strings').map(([name, text]) => {
      if (typeof text === 'string') return [name, text] as const;
      throw new FieldProblem(
        `'${key}' contains '${name}' with wrong type`,
        `${this.placeOf(key)}.${name}`,
        'a string',
      );
    });
    return Object.fromEntries(entries);
  }

  object(key: string, name: string): Fields | undefined {
    const value = this.#get(key);
    if (value !== undefined && !isObject(value)) throw this.wrongType(key, 'an object');
    return this.part(key, name);
  }

  /** As `object`, but a wrong type is told of the part and not of the whole. */
  part(key: string, name: string): Fields | undefined {
    const value = this.#get(key);
    return value === undefined ? undefined : new Fields(value, name, this.placeOf(key));
  }

  /** The bytes of `key` in UTF-8, or of `key`-bin in base64, which goes first; undefined: neither is there. */
  bytes(key: string): { readonly content: Buffer; readonly fromBase64: boolean } | undefined {
    const binKey = `${key}-bin`;
    const encoded = this.text(binKey);
    if (encoded !== undefined) {
      if (!BASE64.test(encoded)) throw this.invalid(binKey, 'base64');
      return { content: Buffer.from(encoded, 'base64'), fromBase64: true };
    }
    const text = this.text(key);
    return text === undefined ? undefined : { content: Buffer.from(text), fromBase64: false };
  }

  /** A problem with several members together. */
  missing(keys: string, place: string, accepted: string): FieldProblem {
    return new FieldProblem(`${this.#name} does not contain ${keys}`, place, accepted);
  }

  wrongType(key: string, accepted: string): FieldProblem {
    return new FieldProblem(`${this.#name} contains '${key}' with wrong type`, this.placeOf(key), accepted);
  }

  invalid(key: string, accepted: string): FieldProblem {
    return new FieldProblem(
      `${this.#name} contains '${key}' with invalid value`,
      this.placeOf(key),
      accepted,
    );
  }

  placeOf(key: string): string {
    return this.place === '' ? key : `${this.place}.${key}`;
  }

  #get(key: string): unknown {
    return this.has(key) ? this.#object[key] : undefined;
  }
}

export type MessageType = 'text' | 'binary' | 'ping' | 'pong';
export const MESSAGE_TYPES: readonly MessageType[] = ['text', 'binary', 'ping', 'pong'];

/** Throws where the content cannot be a message of that type: RFC 6455 §5.5 (control frames), §8.1 (UTF-8). */
export function checkContent(fields: Fields, type: MessageType, content: Buffer): void {
  const key = fields.has('content-bin') ? 'content-bin' : 'content';
  if (type === 'text' && !isUtf8(content)) throw fields.invalid(key, 'UTF-8, as the message is text');
  if ((type === 'ping' || type === 'pong') && content.length > 125) {
    throw fields.invalid(key, `at most 125 bytes in a ${type}, not ${content.length}`);
  }
}

/** Whether lists and objects nest deeper than `depth`; what recurses over foreign JSON asks first. */
export function isDeeperThan(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (depth === 0) return true;
  return Object.values(value).some((member) => isDeeperThan(member, depth - 1));
}

/** How deep JSON may nest that is compared or written again. */
export const MAX_DEPTH = 100;

/** 24 days, the longest that a timer of Node takes. */
export const MAX_TIMEOUT_MS = 2_147_483_000;

/** Either alphabet, padded or not, with the line breaks that some encoders put in. */
const BASE64 = /^[A-Za-z0-9+/_\s-]*={0,2}\s*$/;

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
