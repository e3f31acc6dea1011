import { isForwardingClaim } from './forwarded.js';

/**
 * Fields that may not stand behind a body (RFC 9110 §6.5.1): they frame, route or authorise the message, or say how to
 * read it, and a recipient that merges trailers into the head would believe them.
 */
const FORBIDDEN: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'max-forwards',
  'origin',
  'pragma',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * The trailers of a message that may be passed on, from the flat list of Node's `rawTrailers`: order and case kept.
 *
 * @param reserved further names that nobody may send, lower-cased, with hyphens
 */
export function passableTrailers(
  raw: readonly string[],
  reserved?: ReadonlySet<string>,
): Array<[name: string, value: string]> {
  const passed: Array<[string, string]> = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    if (isPassable(name) && !reserved?.has(name.replaceAll('_', '-'))) passed.push([raw[i]!, raw[i + 1]!]);
  }
  return passed;
}

function isPassable(name: string): boolean {
  // Where a request comes from, and from whom, is for us to say.
  return !FORBIDDEN.has(name) && !isForwardingClaim(name) && !name.startsWith('sec-websocket-');
}
