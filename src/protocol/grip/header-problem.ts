import { quote } from '../http/quote.js';
import { MAX_TIMEOUT_MS } from './json-fields.js';

/** A `Grip-*` header that cannot be understood, in one line. */
export class HeaderProblem extends Error {}

export function fail(line: string): never {
  throw new HeaderProblem(line);
}

/** Whole seconds as milliseconds, `MAX_TIMEOUT_MS` at most; undefined where there are none. */
export function readSeconds(what: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^-\d+$/.test(text)) fail(`${what} has invalid value: ${text}`);
  if (!/^\d+$/.test(text)) fail(`failed to parse ${what}: ${quote(text)} is no number of seconds`);
  return Math.min(Number(text) * 1000, MAX_TIMEOUT_MS);
}
