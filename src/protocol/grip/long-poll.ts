import { STATUS_CODES } from 'node:http';
import { clientHeaders, headersFromJson } from './client-headers.js';
import type { ClientResponse, Problem } from './hold.js';
import { isDeeperThan, MAX_DEPTH } from './json-fields.js';
import { toWire } from './json-headers.js';
import { applyPatch, PatchProblem } from './json-patch.js';
import type { HttpResponseFormat } from './types.js';

/** What ends a long poll. */
type Published = Extract<HttpResponseFormat, { readonly action: 'send' }>;

/**
 * The body that is published to a client that waits, before filters: its own bytes, or the held response’s body with a
 * patch applied. The held response is one for all; it stays as it is.
 */
export function publishedBody({ body }: Published, held: ClientResponse): Buffer | Problem {
  if ('bytes' in body) return body.bytes;
  const encoding = held.headers.get('content-encoding');
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return { problem: `cannot patch the held response: its Content-Encoding is ${encoding}` };
  }
  const text = held.body?.toString() ?? '';
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return { problem: 'cannot patch the held response: its body is not JSON' };
  }
  if (isDeeperThan(document, MAX_DEPTH)) {
    return { problem: `cannot patch the held response: its body nests deeper than ${MAX_DEPTH} levels` };
  }
  try {
    const patched = applyPatch(document, body.patch);
    if (isDeeperThan(patched, MAX_DEPTH))
      throw new PatchProblem(`it would nest deeper than ${MAX_DEPTH} levels`);
    const lineEnd = /\r?\n$/.exec(text)?.[0] ?? '';
    return Buffer.from(JSON.stringify(patched) + lineEnd);
  } catch (error) {
    if (error instanceof PatchProblem) return { problem: `cannot patch the held response: ${error.message}` };
    throw error;
  }
}

/**
 * The answer to a client that waits: status of what is published (200 where it has none), headers of the held response
 * under those of what is published, and `body` as `publishedBody` and filters made it. `Content-Length` is not among
 * the headers; the writer knows it.
 */
export function answerTo(held: ClientResponse, published: Published, body: Buffer): ClientResponse {
  const own = headersFromJson(published.headers);
  const headers = held.headers.clone();
  headers.deleteWhere((name) => own.has(name) || OF_THE_HELD_BODY.has(name));
  for (const [name, value] of own) headers.append(name, value);
  return {
    status: published.code,
    reason: published.reason === undefined ? (STATUS_CODES[published.code] ?? '') : toWire(published.reason),
    headers: clientHeaders(headers, own.elements('grip-expose-headers')),
    body,
  };
}

/** True of the bytes that are not sent. */
const OF_THE_HELD_BODY: ReadonlySet<string> = new Set([
  'content-digest',
  'content-encoding',
  'content-length',
  'content-md5',
  'content-range',
  'digest',
  'repr-digest',
  'trailer',
  'transfer-encoding',
]);
