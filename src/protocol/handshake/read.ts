import type { RequestHead } from '../http/head.js';
import type { HeaderList } from '../http/header-list.js';
import { extensionNames } from './extensions.js';
import { KEY3_BYTES, keyNumber } from './hixie.js';
import { acceptFor, generationOfVersion, isKey } from './hybi.js';
import type { Framing, Generation, Proof, ReadResult } from './types.js';

/**
 * Reads a request head as a WebSocket handshake of whatever generation it is (step 1).
 *
 * A request that does not count as asking for a WebSocket is plain HTTP: another method than GET, HTTP/1.0, no
 * `upgrade` in `Connection`, no `websocket` in `Upgrade` (RFC 9110 §7.8, RFC 6455 §4.1). One that does ask but breaks
 * the rules of its generation is rejected before anything is dialled.
 */
export function readUpgrade(head: RequestHead): ReadResult {
  const { headers } = head;
  const upgradeToken = headers.elements('upgrade').find((token) => token.toLowerCase() === 'websocket');
  const asks =
    head.method === 'GET' && head.httpVersion === '1.1' && headers.hasToken('connection', 'upgrade');
  if (!asks || upgradeToken === undefined) return { kind: 'plain' };

  const found = identify(headers);
  if (typeof found === 'string') return { kind: 'reject', code: 'HANDSHAKE_INVALID', reason: found };
  const body = bodyProblem(headers, found.proof);
  if (body !== undefined) return { kind: 'reject', code: 'HANDSHAKE_BODY', reason: body };
  const extensions = extensionNames(headers.all('sec-websocket-extensions'));
  if (extensions === undefined) {
    return {
      kind: 'reject',
      code: 'HANDSHAKE_INVALID',
      reason: 'Sec-WebSocket-Extensions is not a list of extensions',
    };
  }
  return {
    kind: 'upgrade',
    request: {
      head,
      generation: found.generation,
      framing: found.framing,
      proof: found.proof,
      upgradeToken,
      subprotocols: offeredSubprotocols(headers, found.proof),
      extensions,
      origin: headers.get('origin') ?? headers.get('sec-websocket-origin'),
    },
  };
}

interface Identified {
  readonly generation: Generation;
  readonly framing: Framing;
  readonly proof: Proof;
}

/** Which generation, or one line saying why none. The order of the questions follows types.ts. */
function identify(headers: HeaderList): Identified | string {
  const keyed = headers.has('sec-websocket-key') || headers.has('sec-websocket-version');
  const doubleKeyed = headers.has('sec-websocket-key1') || headers.has('sec-websocket-key2');
  if (keyed && doubleKeyed)
    return 'Sec-WebSocket-Key1/-Key2 and Sec-WebSocket-Key or -Version exclude each other';
  if (doubleKeyed) return identifyHixie76(headers);
  if (keyed) return identifyHyBi(headers);
  return identifyHixie75(headers);
}

function identifyHixie75(headers: HeaderList): Identified | string {
  let modern = false;
  for (const [name] of headers) modern ||= name.toLowerCase().startsWith('sec-websocket-');
  // Hixie-75 clients always send Origin; without one this is a modern request whose key got lost on the way.
  if (modern || !headers.has('origin')) return 'Sec-WebSocket-Key and Sec-WebSocket-Version are missing';
  return { generation: 'hixie-75', framing: 'hixie', proof: { kind: 'head' } };
}

function identifyHixie76(headers: HeaderList): Identified | string {
  const numbers: number[] = [];
  for (const name of ['Sec-WebSocket-Key1', 'Sec-WebSocket-Key2']) {
    const key = only(headers, name);
    if (key === undefined) return `${name} must be given exactly once`;
    const number = keyNumber(key);
    if (typeof number === 'string') return `${name} ${number}`;
    numbers.push(number);
  }
  const proof: Proof = { kind: 'challenge', number1: numbers[0]!, number2: numbers[1]! };
  if (headers.has('sec-websocket-draft')) return { generation: 'hybi-01', framing: 'opaque', proof };
  return { generation: 'hixie-76', framing: 'hixie', proof };
}

function identifyHyBi(headers: HeaderList): Identified | string {
  const version = only(headers, 'Sec-WebSocket-Version');
  if (version === undefined || !/^\d{1,3}$/.test(version)) {
    return 'Sec-WebSocket-Version must be given exactly once, as a number';
  }
  const key = only(headers, 'Sec-WebSocket-Key');
  if (key === undefined || !isKey(key)) {
    return 'Sec-WebSocket-Key must be given exactly once, as the base64 of 16 bytes';
  }
  const { generation, framing } = generationOfVersion(Number(version));
  return { generation, framing, proof: { kind: 'accept', accept: acceptFor(key) } };
}

/**
 * An upgrade has no body: Node would hand its bytes over as the first bytes of the new protocol, and a server that
 * reads them as a second request is being smuggled to. Some Hixie-76 clients announce key3 as a body of 8 bytes.
 */
function bodyProblem(headers: HeaderList, proof: Proof): string | undefined {
  if (headers.has('transfer-encoding')) return 'an upgrade request cannot have a body (Transfer-Encoding)';
  const lengths = headers.all('content-length');
  if (lengths.length === 0) return undefined;
  const allowed = proof.kind === 'challenge' ? String(KEY3_BYTES) : '0';
  if (lengths.length === 1 && lengths[0] === allowed) return undefined;
  return `an upgrade request cannot have a body (Content-Length other than ${allowed})`;
}

function offeredSubprotocols(headers: HeaderList, proof: Proof): string[] {
  if (proof.kind === 'accept') return headers.elements('sec-websocket-protocol');
  // Before HyBi-04 the field held one subprotocol, verbatim.
  return headers.all(proof.kind === 'head' ? 'websocket-protocol' : 'sec-websocket-protocol');
}

function only(headers: HeaderList, name: string): string | undefined {
  const values = headers.all(name);
  return values.length === 1 ? values[0] : undefined;
}
