import { isToken, trimWhitespace } from '../http/grammar.js';

/**
 * Names of the extensions in `Sec-WebSocket-Extensions` values, lower case, in order, duplicates kept (RFC 6455 §9.1).
 * Parameters are not judged: they belong to the two ends. One pass, no regular expression over the list.
 *
 * @returns the names, or undefined when the list is not well formed.
 */
export function extensionNames(values: readonly string[]): string[] | undefined {
  const names: string[] = [];
  for (const value of values) {
    for (const element of splitOutsideQuotes(value)) {
      const name = trimWhitespace(element.split(';', 1)[0]!).toLowerCase();
      if (name === '' && trimWhitespace(element) === '') continue;
      if (!isToken(name)) return undefined;
      names.push(name);
    }
  }
  return names;
}

function splitOutsideQuotes(text: string): string[] {
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (quoted && char === '\\') i++;
    else if (char === '"') quoted = !quoted;
    else if (char === ',' && !quoted) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}
