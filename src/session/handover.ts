import { Duplex } from 'node:stream';
import type { Deps } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import type { BackplaneHandlers, Backplane, KeptSession } from '../channels/types.js';
import { Backend } from '../gateway/backend.js';
import { sayLastWord } from '../gateway/last-word.js';
import { readRecord, type SessionRecord, writeRecord } from '../gateway/session-record.js';
import type { TerminatedSocket } from '../gateway/terminated-socket.js';
import type { Events } from '../observe/events.js';
import { HeaderList } from '../protocol/http/header-list.js';
import type { RoutePlan } from '../route/plan.js';
import type { Upstream } from '../upstream/upstream.js';

export interface HandoverHouse {
  readonly deps: Deps;
  readonly events: Events;
  route(id: string): RoutePlan | undefined;
  upstream(id: string): Upstream;
}

/** RFC 6455’s registry: Service Restart. Clients of today come again after it. */
const SERVICE_RESTART = 1012;
/** Backends are told of so many lost sessions at one time. */
const MAX_AT_ONCE = 32;
/** 96 bits of chance. */
const EVENT_ID_CHARACTERS = 16;

/**
 * What nodes do for each other’s gateway sessions: each keeps a record of its own where others find it, and one that
 * finds another lost tells the backends of the end of that one’s sessions.
 */
export class Handover implements Pick<BackplaneHandlers, 'onNodeLost' | 'onOutcast'> {
  readonly #house: HandoverHouse;
  readonly #kept = new Map<string, TerminatedSocket>();
  readonly #over = new AbortController();

  constructor(house: HandoverHouse) {
    this.#house = house;
  }

  /** Until `forget`, from its 101 on. Again: its record has changed. */
  keep(
    backplane: Backplane,
    socket: TerminatedSocket,
    facts: Omit<SessionRecord, 'dialect' | 'replayed'> & { readonly replayed: HeaderList },
  ): void {
    if (backplane.isAlone) return;
    this.#kept.set(socket.id, socket);
    backplane.keep(socket.id, () =>
      writeRecord({ ...facts, replayed: facts.replayed.toRaw(), dialect: socket.record() }),
    );
  }

  /** Its backend has been told of its end, or cannot be. */
  forget(backplane: Backplane, id: string): void {
    if (this.#kept.delete(id)) backplane.forget(id);
  }

  /** A stop: what has not been told is left to other nodes. */
  close(): void {
    this.#over.abort(new ProxyError('PROXY_STOPPING', 'the proxy is shutting down'));
  }

  /** Another has told of their end: so they end, and their backends, which have forgotten them, hear nothing more. */
  onOutcast(ids: readonly string[]): void {
    const detail = 'this node was out of touch, and others have told the backend that the session has ended';
    const word = { by: 'proxy', outcome: 'drained', detail } as const;
    for (const id of ids) this.#kept.get(id)?.disown(SERVICE_RESTART, 'out of touch', word);
    this.#house.events.emit('node.outcast', ids.length);
  }

  async onNodeLost(
    node: string,
    sessions: readonly KeptSession[],
    told: (id: string) => void,
  ): Promise<void> {
    this.#house.events.emit('node.lost', node, sessions.length);
    const waiting = sessions[Symbol.iterator]();
    const teller = async (): Promise<void> => {
      for (const session of waiting) {
        if (this.#over.signal.aborted) return;
        await this.#tell(session, told);
      }
    };
    await Promise.all(Array.from({ length: Math.min(MAX_AT_ONCE, sessions.length) }, teller));
  }

  /** What cannot be told is logged, and given up like any farewell; but for a stop, after which another tells it. */
  async #tell({ id, record: text }: KeptSession, told: (id: string) => void): Promise<void> {
    const record = readRecord(text);
    try {
      if (record === undefined) throw new Error('its record cannot be read');
      await this.#sayLastWord(id, record);
    } catch (thrown) {
      if (this.#over.signal.aborted) return;
      this.#house.events.emit('gateway.trouble', {
        session: id,
        route: record?.route ?? '?',
        client: record?.client ?? '?',
        problem: `its node is lost, and the backend cannot be told: ${(thrown as Error).message}`,
      });
    }
    told(id);
  }

  async #sayLastWord(id: string, record: SessionRecord): Promise<void> {
    const { deps } = this.#house;
    const route = this.#house.route(record.route);
    const plan = route?.gateway;
    if (route === undefined || plan === undefined) throw new Error('there is no such route here');
    const upstream = this.#house.upstream(route.upstream);
    const { client, path } = record;
    const headers = HeaderList.fromRaw(record.replayed);
    const facts = { address: '', secure: false, via: 'h1' } as const;
    const backend = new Backend({
      upstream,
      want: upstream.wantOf({ method: 'GET', target: path, httpVersion: '1.1', headers }, client),
      beneficiary: { connection: new Duplex(), facts, client },
      clock: deps.clock,
    });
    await sayLastWord(id, record, {
      plan,
      backend,
      clock: deps.clock,
      random: () => deps.random.float(),
      newId: () => deps.random.id(EVENT_ID_CHARACTERS),
      signal: this.#over.signal,
    });
  }
}
