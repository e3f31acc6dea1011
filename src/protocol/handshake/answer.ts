import { type ResponseHead, responseHeadText, writeResponseHead } from '../http/head.js';
import type { HeaderList } from '../http/header-list.js';
import { removeHopByHop } from '../http/hop-by-hop.js';
import type { UpgradeRequest } from './types.js';

/** What the client dialled, as far as it can be known. */
export interface Dialled {
  readonly secure: boolean;
  /** Its `Host`. */
  readonly host: string;
}

/**
 * The head that grants the switch to the client (step 7): the upstream’s own, its phrase, order and case untouched (a
 * Hixie-75 browser compares the first 85 bytes), only hop-by-hop fields cleaned and the location mended. A 101 has
 * neither Content-Length nor Transfer-Encoding, whatever the upstream says. Latin-1 text.
 */
export function switchText(request: UpgradeRequest, answer: ResponseHead, dialled: Dialled): string {
  const headers = answer.headers.clone();
  removeHopByHop(headers, answer.headers.get('upgrade') ?? request.upgradeToken);
  for (const name of ['content-length', 'trailer', 'alt-svc']) headers.delete(name);
  for (const name of ['sec-websocket-location', 'websocket-location']) {
    if (headers.has(name)) headers.set(name, location(request.head.target, dialled));
  }
  return responseHeadText(101, answer.reason, headers);
}

/**
 * The head of a real HTTP answer to a handshake. Its body follows as raw bytes, chunks and all, so its framing stays;
 * the connection ends behind it.
 *
 * @param contentLength the body's length if the head gives one: it leaves once, however often it came (RFC 9112 §6.3).
 */
export function writeRefusal(answer: ResponseHead, contentLength: number | undefined): Buffer {
  const headers = answer.headers.clone();
  const chunked = headers.has('transfer-encoding');
  const upgrade = headers.get('upgrade');
  removeHopByHop(headers);
  if (contentLength !== undefined) headers.set('Content-Length', String(contentLength));
  if (chunked) headers.append('Transfer-Encoding', 'chunked');
  // RFC 9110 §15.5.22: a 426 must name the protocols that would do.
  if (answer.status === 426 && upgrade !== undefined) {
    headers.append('Upgrade', upgrade);
    headers.append('Connection', 'Upgrade, close');
  } else {
    headers.append('Connection', 'close');
  }
  return writeResponseHead(answer.status, answer.reason, headers);
}

/** An interim answer (100, 103) on its way to the client. */
export function writeInterim(answer: ResponseHead): Buffer {
  const headers: HeaderList = answer.headers.clone();
  removeHopByHop(headers);
  return writeResponseHead(answer.status, answer.reason, headers);
}

/** The `ws:` URL that the client must have dialled, without its default port (draft-hixie-76 §5.2). */
function location(target: string, { secure, host }: Dialled): string {
  const bare = host.replace(secure ? /:443$/ : /:80$/, '');
  return `${secure ? 'wss' : 'ws'}://${bare}${target}`;
}
