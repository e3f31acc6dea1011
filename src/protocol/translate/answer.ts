import type { ResponseHead } from '../http/head.js';
import { HeaderList } from '../http/header-list.js';
import { removeHopByHop } from '../http/hop-by-hop.js';
import { challengeResponse } from '../handshake/hixie.js';
import type { UpgradeRequest } from '../handshake/types.js';

/** The answer to the client’s own handshake. */
export interface TranslatedAnswer {
  readonly head: ResponseHead;
  /** The 16 bytes behind the head for Hixie-76; else empty. */
  readonly challenge: Buffer;
}

/**
 * An upstream’s verified switch as the answer that the client’s generation expects, in the order in which servers of its
 * time wrote it (a Hixie-75 browser compares the first 85 bytes); other fields, such as cookies, follow. The location is
 * a place-holder: `switchText` says what the client has dialled.
 *
 * @param key3 the 8 bytes that a Hixie-76 client sent behind its head.
 */
export function translateAnswer(
  client: UpgradeRequest,
  upstream: ResponseHead,
  subprotocol: string | undefined,
  key3: Uint8Array,
): TranslatedAnswer {
  const { reason, token, fields, challenge } = greet(client, key3);
  const headers = HeaderList.fromRaw(['Upgrade', token, 'Connection', 'Upgrade', ...fields]);
  if (subprotocol !== undefined) headers.append(subprotocolField(client), subprotocol);
  for (const [name, value] of othersOf(upstream.headers)) headers.append(name, value);
  return { head: { httpVersion: '1.1', status: 101, reason, headers }, challenge };
}

interface Greeting {
  readonly reason: string;
  /** Old browsers compare it literally. */
  readonly token: 'WebSocket' | 'websocket';
  readonly fields: readonly string[];
  readonly challenge: Buffer;
}

const NOTHING = Buffer.alloc(0);

function greet({ proof, origin = 'null' }: UpgradeRequest, key3: Uint8Array): Greeting {
  switch (proof.kind) {
    case 'head':
      return {
        reason: 'Web Socket Protocol Handshake',
        token: 'WebSocket',
        fields: ['WebSocket-Origin', origin, 'WebSocket-Location', ''],
        challenge: NOTHING,
      };
    case 'challenge':
      return {
        reason: 'WebSocket Protocol Handshake',
        token: 'WebSocket',
        fields: ['Sec-WebSocket-Origin', origin, 'Sec-WebSocket-Location', ''],
        challenge: challengeResponse(proof.number1, proof.number2, key3),
      };
    case 'accept':
      return {
        reason: 'Switching Protocols',
        token: 'websocket',
        fields: ['Sec-WebSocket-Accept', proof.accept],
        challenge: NOTHING,
      };
  }
}

function subprotocolField({ proof }: UpgradeRequest): string {
  return proof.kind === 'head' ? 'WebSocket-Protocol' : 'Sec-WebSocket-Protocol';
}

/** What the upstream says beside its handshake. */
function othersOf(headers: HeaderList): HeaderList {
  const others = headers.clone();
  removeHopByHop(others);
  others.deleteWhere((name) => name.startsWith('sec-websocket-') || name.startsWith('websocket-'));
  return others;
}
