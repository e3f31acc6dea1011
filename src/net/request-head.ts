import type { IncomingMessage } from 'node:http';
import { ProxyError } from '../base/errors.js';
import { isHost } from '../protocol/http/grammar.js';
import type { RequestHead } from '../protocol/http/head.js';
import { HeaderList } from '../protocol/http/header-list.js';

/**
 * A request head from what Node's parser read, made plain: the target in origin form (an absolute URI's authority
 * becomes the `Host`, RFC 9112 §3.2.2, and is never dialled), exactly one valid `Host`.
 *
 * @throws ProxyError `REQUEST_HEAD_MALFORMED` or `REQUEST_HOST_INVALID`.
 */
export function readRequestHead(req: IncomingMessage): RequestHead {
  const { httpVersion } = req;
  const method = req.method ?? '';
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    throw new ProxyError('REQUEST_HEAD_MALFORMED', `HTTP/${httpVersion} on a connection for HTTP/1.1`);
  }
  const headers = HeaderList.fromRaw(req.rawHeaders);
  const hosts = headers.all('host');
  if (hosts.length > 1) throw new ProxyError('REQUEST_HOST_INVALID', 'Host is given more than once');
  const { target, authority } = originForm(method, req.url ?? '');
  if (authority !== undefined) headers.set('Host', authority);
  const host = authority ?? hosts[0];
  if (host === undefined) {
    if (httpVersion === '1.1') throw new ProxyError('REQUEST_HOST_INVALID', 'Host is missing');
  } else if (!isHost(host)) {
    throw new ProxyError('REQUEST_HOST_INVALID', 'Host is not a name or address with an optional port');
  }
  return { method, target, httpVersion, headers };
}

function originForm(method: string, target: string): { target: string; authority?: string } {
  // A fragment never belongs in a request; proxies that guess what it means have been tricked past their rules.
  if (target.includes('#'))
    throw new ProxyError('REQUEST_HEAD_MALFORMED', 'the request target has a fragment (#)');
  if (target.startsWith('/')) return { target };
  if (target === '*' && method === 'OPTIONS') return { target };
  const absolute = /^https?:\/\/([^/?@]+)(\/[^?]*)?(\?.*)?$/i.exec(target);
  if (absolute === null) {
    throw new ProxyError('REQUEST_HEAD_MALFORMED', 'the request target is neither a path nor an http: URL');
  }
  return { authority: absolute[1]!, target: `${absolute[2] ?? '/'}${absolute[3] ?? ''}` };
}

/** The path of a target without its query; `*` for the asterisk form. */
export function pathOf(target: string): string {
  const query = target.indexOf('?');
  return query === -1 ? target : target.slice(0, query);
}
