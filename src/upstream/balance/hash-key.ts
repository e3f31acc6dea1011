import { pathOf } from '../../net/request-head.js';
import type { RequestHead } from '../../protocol/http/head.js';
import { cookieValues } from '../cookies.js';

/** What of a request decides about its server. */
export type HashSource =
  | { readonly kind: 'client-address' | 'path' }
  | { readonly kind: 'header' | 'cookie' | 'query'; readonly name: string };

/** The key of a request; undefined when it has none, so that round-robin decides. */
export function hashKey(
  source: HashSource,
  { headers, target }: RequestHead,
  clientAddress: string,
): string | undefined {
  switch (source.kind) {
    case 'client-address':
      return given(clientAddress);
    case 'path':
      return given(pathOf(target));
    case 'header':
      return given(headers.get(source.name));
    case 'cookie':
      return given(cookieValues(headers, source.name)[0]);
    case 'query':
      return given(queryParameter(target, source.name));
  }
}

function queryParameter(target: string, name: string): string | undefined {
  const question = target.indexOf('?');
  if (question === -1) return undefined;
  return new URLSearchParams(target.slice(question + 1)).get(name) ?? undefined;
}

/** An empty value is no key: it would put everybody without one on the same server. */
function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}
