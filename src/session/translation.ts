/** What is different where the upstream is spoken to in another generation than the client (rung `translate`). */
import { randomBytes } from 'node:crypto';
import { ProxyError } from '../base/errors.js';
import { versionsOf } from '../protocol/handshake/hybi.js';
import type { Framing, Generation, UpgradeRequest } from '../protocol/handshake/types.js';
import type { ResponseHead } from '../protocol/http/head.js';
import { translateAnswer, type TranslatedAnswer } from '../protocol/translate/answer.js';
import { isHixie, isTranslatable, translationTarget } from '../protocol/translate/generations.js';
import { type TranslatedRequest, translateRequest, untranslatable } from '../protocol/translate/request.js';
import { joinTranslated } from '../relay/translate.js';
import type { Relay, RelayOptions, RelayPair } from '../relay/types.js';
import type { WebSocketPlan } from '../route/plan.js';
import type { UpstreamPlan } from '../upstream/plan.js';
import { isForHttp2 } from './connect.js';
import type { House } from './house.js';

/** Step 3: why the route does not take this handshake, and what the client is told beside it. */
export interface GenerationRefusal {
  readonly error: ProxyError;
  readonly fields: Readonly<Record<string, string>>;
}

/** Undefined where the route takes it, as it is or translated. */
export function generationRefusal(
  request: UpgradeRequest,
  { generations, upstreamGeneration }: WebSocketPlan,
  upstream: UpstreamPlan,
  endsHere: boolean,
): GenerationRefusal | undefined {
  const { generation } = request;
  const target = translationTarget(generation, upstreamGeneration);
  const isTaken = (one: Generation): boolean =>
    generations.has(one) &&
    ((upstreamGeneration === 'same' && !endsHere) || isTranslatable(one)) &&
    (endsHere || upstream.http2 !== true || isForHttp2(translationTarget(one, upstreamGeneration) ?? one));
  if (!isTaken(generation)) {
    const taken = new Set([...generations].filter(isTaken));
    const reason = upstream.http2 === true && !endsHere ? ' (its servers are spoken to in HTTP/2 only)' : '';
    const detail = `${generation} is not taken here${reason}; taken: ${[...taken].join(', ')}`;
    return {
      error: new ProxyError('HANDSHAKE_GENERATION_REFUSED', detail),
      fields: { 'Sec-WebSocket-Version': versionsOf(taken).join(', ') },
    };
  }
  const problem = target === undefined ? undefined : untranslatable(request, target);
  return problem === undefined
    ? undefined
    : { error: new ProxyError('HANDSHAKE_INVALID', problem), fields: {} };
}

/** The generation that the upstream is spoken to in; undefined where that is the client’s own. */
export function upstreamGenerationOf(
  { generation }: UpgradeRequest,
  { upstreamGeneration }: WebSocketPlan,
): 'rfc6455' | 'hixie-76' | undefined {
  return translationTarget(generation, upstreamGeneration);
}

/** Step 5: what a server is asked, with keys of our own where that is not what the client has asked. */
export function askFor(request: UpgradeRequest, plan: WebSocketPlan, key3: Buffer): TranslatedRequest {
  const target = upstreamGenerationOf(request, plan);
  return target === undefined ? { request, key3 } : translateRequest(request, target, randomBytes);
}

/** Step 6: a proven switch, as the answer to what the client has asked. */
export function answerFor(
  client: UpgradeRequest,
  plan: WebSocketPlan,
  upstream: {
    readonly head: ResponseHead;
    readonly challenge: Buffer;
    readonly subprotocol: string | undefined;
  },
  key3: Buffer,
): TranslatedAnswer {
  if (upstreamGenerationOf(client, plan) === undefined) return upstream;
  return translateAnswer(client, upstream.head, upstream.subprotocol, key3);
}

/**
 * Step 9: how the relay sees the frames; undefined: it does not look. Between sides of different frames it sees those of
 * RFC 6455, whatever `observe` says: they are read anyway.
 */
export function relayedFraming(
  request: UpgradeRequest,
  plan: WebSocketPlan,
  verdict: { readonly framing: Framing },
): Framing | undefined {
  if (isReframed(request, plan)) return 'rfc6455';
  return plan.observe ? verdict.framing : undefined;
}

/** Step 9: joins both sides, with a translator between them where their frames differ. */
export function joinSides(
  request: UpgradeRequest,
  plan: WebSocketPlan,
  pair: RelayPair,
  options: RelayOptions,
  { relay, deps }: Pick<House, 'relay' | 'deps'>,
): Relay {
  const upstream = upstreamGenerationOf(request, plan);
  if (upstream === undefined || !isReframed(request, plan)) return relay.join(pair, options);
  const translation = { client: request.generation, upstream, ...plan.translationBounds };
  return joinTranslated(relay, pair, options, translation, deps.clock);
}

/** The plan, with pings only for sides that know them: Hixie does not. */
export function pingable(request: UpgradeRequest, plan: WebSocketPlan): WebSocketPlan {
  const upstream = upstreamGenerationOf(request, plan);
  if (upstream === undefined || plan.ping === undefined) return plan;
  const spoken = { client: request.generation, upstream };
  const sides = plan.ping.sides.filter((side) => !isHixie(spoken[side]));
  return { ...plan, ping: sides.length === 0 ? undefined : { ...plan.ping, sides } };
}

function isReframed(request: UpgradeRequest, plan: WebSocketPlan): boolean {
  const upstream = upstreamGenerationOf(request, plan);
  return upstream !== undefined && (isHixie(request.generation) || isHixie(upstream));
}
