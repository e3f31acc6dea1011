import type { Random } from '../base/deps.js';
import { askAll } from './ask-all.js';
import type { Backplane, NodeQuestion, SessionAnswer, SessionRequest } from './types.js';

/** A session that can be addressed. */
export interface AddressedSession {
  /** From `Directory.newId`. */
  readonly id: string;
  send(type: 'text' | 'binary', content: Buffer): SessionAnswer;
  close(code: number | undefined, reason: string): SessionAnswer;
  /** JSON values. */
  info(): Readonly<Record<string, unknown>>;
}

export interface SessionPage {
  readonly sessions: readonly Readonly<Record<string, unknown>>[];
  /** To be given as `after` for the page behind this one; undefined: this is the last. */
  readonly next: string | undefined;
  /** Nodes that did not answer: their sessions are not in it. */
  readonly missing: readonly string[];
}

/** Letters and digits after the node’s name and a dot: 128 bits of chance, so that nobody guesses one. */
const RANDOM_CHARACTERS = 22;
/** What stands first in every question of a directory to another. */
const SESSIONS = 'sessions';
const COUNT = 'session-count';

/** The sessions of this node by id, and the way to those of others: an id says by itself which node has it. */
export class Directory {
  readonly #backplane: Pick<Backplane, 'node' | 'ask' | 'nodes' | 'query'>;
  readonly #random: Random;
  readonly #sessions = new Map<string, { readonly session: AddressedSession; readonly serial: number }>();
  #lastSerial = 0;

  constructor(backplane: Pick<Backplane, 'node' | 'ask' | 'nodes' | 'query'>, random: Random) {
    this.#backplane = backplane;
    this.#random = random;
  }

  newId(): string {
    return `${this.#backplane.node}.${this.#random.id(RANDOM_CHARACTERS)}`;
  }

  add(session: AddressedSession): void {
    this.#sessions.set(session.id, { session, serial: ++this.#lastSerial });
  }

  remove(id: string): void {
    this.#sessions.delete(id);
  }

  get(id: string): AddressedSession | undefined {
    return this.#sessions.get(id)?.session;
  }

  /** On this node. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Of a session on whichever node; undefined: there is none. Rejects where its node did not answer. */
  async ask(request: SessionRequest): Promise<SessionAnswer | undefined> {
    return nodeOf(request.id) === this.#backplane.node
      ? this.answer(request)
      : await this.#backplane.ask(request);
  }

  /** Of a session of this node: the backplane’s handler `onAsk`. */
  answer(request: SessionRequest): SessionAnswer | undefined {
    const session = this.get(request.id);
    if (session === undefined) return undefined;
    switch (request.what) {
      case 'send':
        return session.send(request.type, request.content);
      case 'close':
        return session.close(request.code, request.reason);
      case 'info':
        return { ok: true, info: session.info() };
    }
  }

  /** The sessions of all nodes, node by node, the oldest of each first. */
  async page(limit: number, after?: string): Promise<SessionPage> {
    const from = parseCursor(after);
    const nodes = this.#allNodes().filter((node) => node >= from.node);
    const sessions: Readonly<Record<string, unknown>>[] = [];
    const missing: string[] = [];
    for (const [i, node] of nodes.entries()) {
      const serial = node === from.node ? from.serial : 0;
      const answer = await this.#pageOf(node, serial, limit - sessions.length).catch(() => undefined);
      if (answer === undefined) {
        missing.push(node);
        continue;
      }
      sessions.push(...answer.sessions);
      if (answer.next !== undefined) return { sessions, next: cursor(node, answer.next), missing };
      const following = nodes[i + 1];
      if (sessions.length >= limit && following !== undefined) {
        return { sessions, next: cursor(following, 0), missing };
      }
    }
    return { sessions, next: undefined, missing };
  }

  /** Of all nodes. */
  async count(): Promise<{ readonly sessions: number; readonly missing: readonly string[] }> {
    const { answers, missing } = await askAll(this.#backplane, { what: COUNT, of: {} });
    return { sessions: answers.reduce<number>((sum, n) => sum + Number(n), this.size), missing };
  }

  /** What other directories ask; undefined: that is not a question for this one. */
  answerQuery({ what, of }: NodeQuestion): unknown {
    if (what === COUNT) return this.size;
    if (what === SESSIONS) return this.#localPage(Number(of['after']), Number(of['limit']));
    return undefined;
  }

  #allNodes(): readonly string[] {
    return [this.#backplane.node, ...this.#backplane.nodes()].sort();
  }

  async #pageOf(node: string, after: number, limit: number): Promise<LocalPage> {
    if (node === this.#backplane.node) return this.#localPage(after, limit);
    return (await this.#backplane.query(node, { what: SESSIONS, of: { after, limit } })) as LocalPage;
  }

  /** A Map is walked in the order of adding, which is that of the serials. */
  #localPage(after: number, limit: number): LocalPage {
    const sessions: Readonly<Record<string, unknown>>[] = [];
    let last = after;
    for (const { session, serial } of this.#sessions.values()) {
      if (serial <= after) continue;
      if (sessions.length >= limit) return { sessions, next: last };
      sessions.push({ id: session.id, ...session.info() });
      last = serial;
    }
    return { sessions };
  }
}

interface LocalPage {
  readonly sessions: readonly Readonly<Record<string, unknown>>[];
  /** The last serial of this page; undefined: nothing comes behind it. */
  readonly next?: number;
}

/** The node that a session id names; empty where it is no such id. */
export function nodeOf(id: string): string {
  return id.slice(0, Math.max(0, id.indexOf('.')));
}

function cursor(node: string, serial: number): string {
  return `${node}.${serial}`;
}

/** Anything that is not one begins at the beginning. */
function parseCursor(text: string | undefined): { node: string; serial: number } {
  const found = /^([A-Za-z0-9]+)\.(\d{1,15})$/.exec(text ?? '');
  return found === null ? { node: '', serial: 0 } : { node: found[1]!, serial: Number(found[2]) };
}
