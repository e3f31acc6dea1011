import { nodeOf } from '../directory.js';
import type { NodeQuestion, SessionAnswer, SessionRequest } from '../types.js';
import { type Ask, encodeAsk, type Reply } from './wire.js';

/**
 * Takes a question to the node of that name, and brings its reply back; undefined: there is no such node. Rejects where
 * it did not answer.
 */
export type Carry = (node: string, question: object) => Promise<Reply | undefined>;

/** What can be asked of other nodes, by whatever carries questions to them. */
export class OtherNodes {
  readonly #carry: Carry;

  constructor(carry: Carry) {
    this.#carry = carry;
  }

  /** As `Backplane.ask`. */
  async ask(request: SessionRequest): Promise<SessionAnswer | undefined> {
    const answer = await this.#ask(nodeOf(request.id), { session: request });
    return (answer as SessionAnswer | null) ?? undefined;
  }

  /** As `Backplane.query`. */
  async query(node: string, question: NodeQuestion): Promise<unknown> {
    const answer = await this.#ask(node, { node: question });
    if (answer === undefined) throw new Error(`there is no node ${node}`);
    return answer ?? undefined;
  }

  /** Null: it has nothing to say; undefined: there is no such node, as where it could not even be one’s name. */
  async #ask(node: string, ask: Ask): Promise<unknown> {
    if (!/^[A-Za-z0-9]+$/.test(node)) return undefined;
    const reply = await this.#carry(node, encodeAsk(ask));
    if (reply?.problem !== undefined) throw new Error(reply.problem);
    return reply?.answer;
  }
}
