import type { BackplaneHandlers, NodeQuestion, SessionRequest } from '../types.js';

/** What one node asks another, as JSON: something of a session, or of the node. */
export type Ask = { readonly session: SessionRequest } | { readonly node: NodeQuestion };

export function encodeAsk(ask: Ask): object {
  if (!('session' in ask) || ask.session.what !== 'send') return ask;
  const { content, ...rest } = ask.session;
  return { session: { ...rest, content: content.toString('base64') } };
}

/** Nodes of one version speak to each other; what another version may say amiss is a rejection to it. */
export function decodeAsk(value: unknown): Ask {
  const ask = value as { session?: SessionRequest; node?: NodeQuestion };
  if (ask.session?.what === 'send') {
    const content = Buffer.from(String(ask.session.content), 'base64');
    return { session: { ...ask.session, content } };
  }
  if (ask.session !== undefined) return { session: ask.session };
  if (ask.node !== undefined) return { node: ask.node };
  throw new Error('a question of an unknown kind');
}

/** What is said to a question, as JSON. */
export interface Reply {
  /** Null for undefined. */
  readonly answer?: unknown;
  /** Why there is no answer, in one line. */
  readonly problem?: string;
}

/** @param question what came over the wire. Never rejects: what is amiss is told to who asked. */
export async function replyTo(
  question: unknown,
  handlers: Pick<BackplaneHandlers, 'onAsk' | 'onQuery'>,
): Promise<Reply> {
  try {
    const ask = decodeAsk(question);
    const answer = 'session' in ask ? await handlers.onAsk(ask.session) : await handlers.onQuery(ask.node);
    return { answer: answer ?? null };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}
