import { isHost } from '../http/grammar.js';
import { requestHeadText } from '../http/head.js';
import { HeaderList } from '../http/header-list.js';

/** A request of HTTP/2 in the words of HTTP/1.1, so that everything behind the listener has to know only those. */
export type TranslatedRequest =
  /**
   * `head` is latin-1 text. `body`: `none`, `length` (as many raw bytes as the head says), `chunked`, or `tunnel`: an
   * extended CONNECT for a WebSocket (RFC 8441), whose bytes begin right behind the head.
   */
  | { readonly kind: 'request'; readonly head: string; readonly method: string; readonly body: BodyKind }
  | { readonly kind: 'refused'; readonly status: 400 | 501; readonly reason: string };

export type BodyKind = 'none' | 'length' | 'chunked' | 'tunnel';

/**
 * @param raw the fields as they came, pseudo fields among them: `[name, value, name, value, …]`.
 * @param hasBody whether the stream goes on behind its head.
 * @param key the `Sec-WebSocket-Key` that a handshake gets: HTTP/2 has none (RFC 8441 §5.1), the server behind us wants one.
 */
export function translateRequest(raw: readonly string[], hasBody: boolean, key: string): TranslatedRequest {
  const { pseudo, headers } = readFields(raw);
  const method = pseudo.get(':method') ?? '';
  const protocol = pseudo.get(':protocol');
  if (method === 'CONNECT' && protocol !== 'websocket') {
    const reason =
      protocol === undefined
        ? 'CONNECT is for forward proxies; this is none'
        : `:protocol ${JSON.stringify(protocol)} is not known here; only websocket is`;
    return { kind: 'refused', status: 501, reason };
  }
  // Whoever sends both means :authority (RFC 9113 §8.3.1).
  const host = pseudo.get(':authority') ?? headers.get('host');
  if (host === undefined || !isHost(host)) {
    return {
      kind: 'refused',
      status: 400,
      reason: ':authority is not a name or address with an optional port',
    };
  }
  const isTunnel = method === 'CONNECT';
  const body: BodyKind = isTunnel
    ? 'tunnel'
    : !hasBody
      ? 'none'
      : headers.has('content-length')
        ? 'length'
        : 'chunked';
  const fields = new HeaderList();
  fields.append('Host', host);
  for (const [name, value] of headers) if (name !== 'host') fields.append(name, value);
  if (isTunnel) {
    fields.delete('content-length');
    fields.append('Upgrade', 'websocket');
    fields.append('Connection', 'Upgrade');
    fields.set('Sec-WebSocket-Key', key);
  } else {
    if (body === 'chunked') fields.append('Transfer-Encoding', 'chunked');
    // One stream, one request.
    fields.append('Connection', 'close');
  }
  try {
    const target = pseudo.get(':path') ?? '';
    const head = requestHeadText(isTunnel ? 'GET' : method, target, fields);
    return { kind: 'request', head, method, body };
  } catch (thrown) {
    return { kind: 'refused', status: 400, reason: (thrown as Error).message };
  }
}

function readFields(raw: readonly string[]): { pseudo: Map<string, string>; headers: HeaderList } {
  const pseudo = new Map<string, string>();
  const headers = new HeaderList();
  const cookies: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name, value] = [raw[i]!, raw[i + 1]!];
    if (name.startsWith(':')) pseudo.set(name, value);
    else if (name === 'cookie') cookies.push(value);
    else if (!CONNECTION_FIELDS.has(name)) headers.append(name, value);
  }
  // HTTP/2 may split them up; HTTP/1.1 knows one such field (RFC 9113 §8.2.3).
  if (cookies.length > 0) headers.append('cookie', cookies.join('; '));
  return { pseudo, headers };
}

/** What belongs to a connection of HTTP/1.1 has no meaning in HTTP/2 (RFC 9113 §8.2.2). */
export const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);
