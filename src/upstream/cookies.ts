import type { HeaderList } from '../protocol/http/header-list.js';
import { trimWhitespace } from '../protocol/http/grammar.js';

/**
 * Every value that a client sends for a cookie (RFC 6265 §5.4: cookies of several paths may have one name, the most
 * specific first), quotes removed. What is no `name=value` is passed over.
 */
export function cookieValues(headers: HeaderList, name: string): string[] {
  const found: string[] = [];
  for (const field of headers.all('cookie')) {
    for (const pair of field.split(';')) {
      const equals = pair.indexOf('=');
      if (equals === -1 || trimWhitespace(pair.slice(0, equals)) !== name) continue;
      const value = trimWhitespace(pair.slice(equals + 1));
      found.push(/^".*"$/.test(value) ? value.slice(1, -1) : value);
    }
  }
  return found;
}
