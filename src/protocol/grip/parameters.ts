import { trimWhitespace } from '../http/grammar.js';
import { fromWire } from './json-headers.js';

/**
 * The grammar of GRIP’s headers: `value; name=value; name="quoted \" value"`, several of them in one field with commas
 * between, or in several fields. Text goes in as HTTP carried it and comes out as UTF-8.
 */
export interface Parameterized {
  /** As it stands before the first `;`, quotes and all. */
  readonly value: string;
  readonly parameters: Parameters;
}

/** In order; names as written. */
export type Parameters = readonly (readonly [name: string, value: string])[];

/** Undefined: a quoted string without its end. */
export function readParameterized(text: string): Parameterized | undefined {
  const semicolon = text.indexOf(';');
  const value = fromWire(trimWhitespace(semicolon === -1 ? text : text.slice(0, semicolon)));
  const parameters = semicolon === -1 ? [] : readParameters(text.slice(semicolon + 1));
  return parameters && { value, parameters };
}

/** `name=value; name="value"`; a name without `=` has the empty value. Undefined: a quoted string without its end. */
export function readParameters(text: string): Parameters | undefined {
  const parts = split(text, ';');
  if (parts === undefined) return undefined;
  return parts
    .map((part): readonly [string, string] => {
      const equals = part.indexOf('=');
      if (equals === -1) return [fromWire(part), ''];
      return [
        fromWire(trimWhitespace(part.slice(0, equals))),
        fromWire(unquote(trimWhitespace(part.slice(equals + 1)))),
      ];
    })
    .filter(([name]) => name !== '');
}

/** The value of the first parameter of that name, in any case. */
export function parameter(parameters: Parameters, name: string): string | undefined {
  return parameters.find(([found]) => found.toLowerCase() === name)?.[1];
}

/** The elements of fields of one name, comma-joined or not, empty ones dropped. Undefined: a quote without its end. */
export function splitElements(values: readonly string[]): string[] | undefined {
  const elements: string[] = [];
  for (const value of values) {
    const found = split(value, ',');
    if (found === undefined) return undefined;
    elements.push(...found);
  }
  return elements;
}

/** A name that goes through as it stands, or else quoted. */
export function writeParameterValue(text: string): string {
  return /[",;\\\s]/.test(text) ? `"${text.replaceAll(/["\\]/g, '\\$&')}"` : text;
}

/** At a character that stands neither in quotes nor in `<>`; parts trimmed, empty ones dropped. */
function split(text: string, separator: ',' | ';'): string[] | undefined {
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  let angled = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (quoted && character === '\\') i++;
    else if (character === '"') quoted = !quoted;
    else if (quoted) continue;
    else if (character === '<') angled = text.includes('>', i);
    else if (character === '>') angled = false;
    else if (character === separator && !angled) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  if (quoted) return undefined;
  parts.push(text.slice(start));
  return parts.map(trimWhitespace).filter((part) => part !== '');
}

function unquote(value: string): string {
  const inside = /^"((?:[^"\\]|\\[^])*)"/.exec(value)?.[1];
  return inside === undefined ? value : inside.replaceAll(/\\([^])/g, '$1');
}
