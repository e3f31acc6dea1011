import type { ResponseHead } from '../http/head.js';
import { extensionNames } from './extensions.js';
import { CHALLENGE_BYTES, challengeResponse } from './hixie.js';
import type { Framing, UpgradeRequest } from './types.js';

/** What an upstream’s answer to a handshake is worth (step 6). */
export type Verdict =
  /** A valid switch, but for the challenge bytes where `challengeBytes` asks for them. */
  | { readonly kind: 'switch'; readonly framing: Framing; readonly subprotocol: string | undefined }
  /** A real HTTP answer, to be passed on as HTTP. */
  | { readonly kind: 'http' }
  /** A 101 that switches to nothing we asked for: the hole of WebSocket smuggling. */
  | { readonly kind: 'invalid'; readonly reason: string };

/** Judges a final answer’s head (any status but the interim 1xx). RFC 6455 §4.1, drafts hixie-75 and -76. */
export function verifyAnswer(request: UpgradeRequest, answer: ResponseHead): Verdict {
  if (answer.status !== 101) return { kind: 'http' };
  const { headers } = answer;
  if (answer.httpVersion !== '1.1') return invalid('a 101 in HTTP/1.0');
  const upgrades = headers.elements('upgrade');
  if (upgrades.length !== 1 || upgrades[0]!.toLowerCase() !== 'websocket') {
    return invalid(`Upgrade is ${show(upgrades)}, not websocket`);
  }
  if (!headers.hasToken('connection', 'upgrade')) {
    return invalid(`Connection is ${show(headers.all('connection'))}, not upgrade`);
  }
  const wrongProof = proofProblem(request, answer);
  if (wrongProof !== undefined) return invalid(wrongProof);

  const protocols = headers.all(
    request.proof.kind === 'head' ? 'websocket-protocol' : 'sec-websocket-protocol',
  );
  if (protocols.length > 1 || (protocols.length === 1 && !request.subprotocols.includes(protocols[0]!))) {
    return invalid(`subprotocol ${show(protocols)} was not offered`);
  }
  const extensions = extensionNames(headers.all('sec-websocket-extensions'));
  if (extensions === undefined) return invalid('Sec-WebSocket-Extensions is not a list of extensions');
  const foreign = extensions.find(
    (name, i) => !request.extensions.includes(name) || extensions.indexOf(name) !== i,
  );
  if (foreign !== undefined)
    return invalid(`extension ${show([foreign])} was not offered, or is given twice`);

  // deflate-stream (HyBi-07/08) compresses the whole connection: frames are no longer visible.
  const framing = extensions.includes('deflate-stream') ? 'opaque' : request.framing;
  return { kind: 'switch', framing, subprotocol: protocols[0] };
}

/** How many bytes behind the answer’s head belong to the proof. */
export function challengeBytes(request: UpgradeRequest): number {
  return request.proof.kind === 'challenge' ? CHALLENGE_BYTES : 0;
}

/** Whether the bytes behind a Hixie-76 answer’s head prove that the server read the keys. */
export function verifyChallenge(request: UpgradeRequest, key3: Uint8Array, response: Uint8Array): boolean {
  if (request.proof.kind !== 'challenge') return true;
  return challengeResponse(request.proof.number1, request.proof.number2, key3).equals(response);
}

function proofProblem(request: UpgradeRequest, { headers }: ResponseHead): string | undefined {
  switch (request.proof.kind) {
    case 'accept': {
      const accepts = headers.all('sec-websocket-accept');
      if (accepts.length === 1 && accepts[0] === request.proof.accept) return undefined;
      return `Sec-WebSocket-Accept is ${show(accepts)}, not ${show([request.proof.accept])}`;
    }
    case 'challenge':
      return undefined;
    case 'head': {
      // All there is to tell a Hixie-75 server from a page that says "101".
      const origins = headers.all('websocket-origin');
      if (origins.length !== 1 || origins[0]!.toLowerCase() !== request.origin?.toLowerCase()) {
        return `WebSocket-Origin is ${show(origins)}, not the client’s`;
      }
      return headers.all('websocket-location').length === 1 ? undefined : 'WebSocket-Location is missing';
    }
  }
}

function invalid(reason: string): Verdict {
  return { kind: 'invalid', reason };
}

function show(values: readonly string[]): string {
  return values.length === 0 ? 'missing' : JSON.stringify(values.join(', '));
}
