import { isToken } from '../http/grammar.js';
import type { HeaderList } from '../http/header-list.js';
import { acceptFor } from '../handshake/hybi.js';
import type { UpgradeRequest } from '../handshake/types.js';
import { isTranslatable } from './generations.js';
import { makeKey, makeKey3, type RandomBytes } from './hixie-keys.js';

/** A handshake of our own for the upstream. */
export interface TranslatedRequest {
  readonly request: UpgradeRequest;
  /** Goes with the head in one write; empty but for Hixie-76. */
  readonly key3: Buffer;
}

/** What an RFC 6455 client without an origin is to a server of Hixie’s time, which insists on one. */
const NO_ORIGIN = 'null';

/** Why a client’s handshake has no words in another generation, in one line; undefined where it has. */
export function untranslatable(client: UpgradeRequest, to: 'rfc6455' | 'hixie-76'): string | undefined {
  if (!isTranslatable(client.generation)) return `${client.generation} cannot be translated into ${to}`;
  const odd = to === 'rfc6455' ? client.subprotocols.find((name) => !isToken(name)) : undefined;
  if (odd === undefined) return undefined;
  return `the subprotocol ${JSON.stringify(odd)} cannot be offered to an RFC 6455 server: it is no token`;
}

/**
 * A client’s handshake as one of another generation, with keys of our own. What belongs to the handshake is written anew;
 * all other fields (cookies, authorization, what the application added) keep their place. Extensions are never offered.
 * Of several subprotocols a Hixie server is offered the first, which the client likes best: the field has one value there.
 * Only for what is not `untranslatable`.
 */
export function translateRequest(
  client: UpgradeRequest,
  to: 'rfc6455' | 'hixie-76',
  random: RandomBytes,
): TranslatedRequest {
  const headers = client.head.headers.clone();
  headers.deleteWhere((name) => name.startsWith('sec-websocket-') || HANDSHAKE_FIELDS.has(name));
  return to === 'rfc6455' ? toRfc6455(client, headers, random) : toHixie76(client, headers, random);
}

const HANDSHAKE_FIELDS: ReadonlySet<string> = new Set(['websocket-protocol', 'content-length']);

function toRfc6455(client: UpgradeRequest, headers: HeaderList, random: RandomBytes): TranslatedRequest {
  const { subprotocols, origin } = client;
  const key = random(16).toString('base64');
  // HyBi-07 and -08 have it in a field of their own.
  if (origin !== undefined) headers.set('Origin', origin);
  headers.append('Sec-WebSocket-Version', '13');
  headers.append('Sec-WebSocket-Key', key);
  if (subprotocols.length > 0) headers.append('Sec-WebSocket-Protocol', subprotocols.join(', '));
  return {
    request: {
      head: { ...client.head, headers },
      generation: 'rfc6455',
      framing: 'rfc6455',
      proof: { kind: 'accept', accept: acceptFor(key) },
      upgradeToken: 'websocket',
      subprotocols,
      extensions: [],
      origin,
    },
    key3: Buffer.alloc(0),
  };
}

function toHixie76(client: UpgradeRequest, headers: HeaderList, random: RandomBytes): TranslatedRequest {
  const [key1, key2] = [makeKey(random), makeKey(random)];
  const origin = client.origin ?? NO_ORIGIN;
  const subprotocols = client.subprotocols.slice(0, 1);
  headers.set('Origin', origin);
  headers.append('Sec-WebSocket-Key1', key1.text);
  headers.append('Sec-WebSocket-Key2', key2.text);
  for (const name of subprotocols) headers.append('Sec-WebSocket-Protocol', name);
  return {
    request: {
      head: { ...client.head, headers },
      generation: 'hixie-76',
      framing: 'hixie',
      proof: { kind: 'challenge', number1: key1.number, number2: key2.number },
      upgradeToken: 'WebSocket',
      subprotocols,
      extensions: [],
      origin,
    },
    key3: makeKey3(random),
  };
}
