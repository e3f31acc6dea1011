import type { Clock } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import type { Directory } from '../channels/directory.js';
import type { Endpoint } from '../gateway/endpoint.js';
import type { TerminatedSocket } from '../gateway/terminated-socket.js';
import type { EndpointEnd } from '../gateway/types.js';
import type { AccessRecord, SessionInfo } from '../observe/record.js';
import { isHixie } from '../protocol/translate/generations.js';
import type { Carried, InjectionKind, Relay, RelayEnd, RelaySideName } from '../relay/types.js';
import { countsOf } from './counts.js';
import type { GatewayStart } from './gateway.js';
import { drawAge } from './liveness.js';
import type { Logbook } from './logbook.js';
import { closedBy, endDetail, outcomeOf } from './outcome.js';
import type { LiveSession } from './registry.js';

/** A gateway session as the rest of the house knows sessions: registered, watched, addressed, and told of at its end. */
export interface GatewaySession {
  readonly id: string;
  begin(socket: TerminatedSocket, endpoint: Endpoint, server: string): void;
  end(end: EndpointEnd): void;
  info(): Readonly<Record<string, unknown>>;
}

export function openGatewaySession(start: GatewayStart, directory: Directory): GatewaySession {
  // As long as the session lasts nothing is held of the handshake but what is named here.
  const { log, route, plan, gateway, house, release } = start;
  const { generation, head } = start.request;
  const userAgent = head.headers.get('user-agent');
  const { clock, random } = house.deps;
  const id = directory.newId();
  let relay: TerminatedRelay | undefined;
  let info: SessionInfo | undefined;

  return {
    id,
    begin(socket, endpoint, server) {
      relay = new TerminatedRelay(socket, endpoint, () => clock.now());
      info = {
        id,
        openedAt: clock.date(),
        client: log.client,
        host: log.host,
        path: log.path,
        via: log.via,
        generation,
        // Its frames are those of RFC 6455 for whoever puts one in.
        upstreamGeneration: isHixie(generation) ? 'rfc6455' : undefined,
        subprotocol: endpoint.subprotocol,
        route: route.id,
        upstream: route.upstream,
        server,
      };
      const opened = info;
      const session = house.registry.add({ info, relay, route });
      directory.add(socket);
      const ageMs = drawAge(plan, random.float());
      const unwatch = house.liveness.watch({ session, plan, hasPings: true, ageMs });
      const stopIdle = watchIdle(relay, socket, plan.idleTimeoutMs, clock);
      house.events.emit('session.opened', info);
      relay.whenEnded((end) => {
        try {
          unwatch();
          stopIdle();
          release();
          directory.remove(id);
          house.registry.remove(session);
          tellOfLosses({ gateway, house, log, route }, id, relay!.dropped);
          house.events.emit('session.closed', record(log, session, end), opened);
        } catch (thrown) {
          house.events.emit('fault', ProxyError.from(thrown));
        }
      });
    },
    end: (end) => relay?.end(end),
    info: () => ({
      connectedAt: info?.openedAt.toISOString(),
      client: log.client,
      userAgent,
      route: route.id,
      subprotocol: info?.subprotocol,
      silentMs: relay?.fromClient.silentMs,
      waitingBytes: relay?.waitingBytes,
      dropped: relay?.dropped,
    }),
  };
}

/** With policy `close` the first loss is the last, and told as it happens. */
function tellOfLosses(
  { gateway, house, log, route }: Pick<GatewayStart, 'gateway' | 'house' | 'log' | 'route'>,
  session: string,
  dropped: number,
): void {
  if (dropped === 0 || gateway.slowConsumer.policy === 'close') return;
  const problem = `${dropped} messages were lost to a slow client (\`gateway.slowConsumer\`)`;
  house.events.emit('gateway.trouble', { session, route: route.id, client: log.client, problem });
}

/** No byte either way for so long ends it, with a Close. One timer, which looks how long it has been quiet. */
function watchIdle(
  relay: TerminatedRelay,
  socket: TerminatedSocket,
  idleTimeoutMs: number,
  clock: Clock,
): () => void {
  if (idleTimeoutMs === 0) return () => {};
  let cancel: () => void;
  const look = (): void => {
    const leftMs = idleTimeoutMs - relay.quietMs;
    if (leftMs > 0) {
      cancel = clock.after(leftMs, look);
      return;
    }
    relay.isIdle = true;
    socket.closeByProxy(1001, 'idle', undefined);
  };
  cancel = clock.after(idleTimeoutMs, look);
  return () => cancel();
}

function record(log: Logbook, session: LiveSession, end: RelayEnd): AccessRecord {
  const relay = session.relay as TerminatedRelay;
  const ending = {
    end,
    firstClose: end.first === 'proxy' ? undefined : relay.firstClose,
    framing: 'rfc6455' as const,
    observed: true,
    ownEnd: session.ownEnd ?? relay.ownEnd,
  };
  return log
    .note(countsOf(relay))
    .note({ closedBy: closedBy(ending), outcome: outcomeOf(ending), detail: endDetail(ending) })
    .close();
}

/** What a session that ends here has of a relay: counters, Closes and pings of ours, an end. */
class TerminatedRelay implements Relay {
  isIdle = false;
  readonly #socket: TerminatedSocket;
  readonly #endpoint: Endpoint;
  readonly #now: () => number;
  readonly #openedAtMs: number;
  #ended: Promise<RelayEnd> | undefined;
  #last: RelayEnd | undefined;
  #listeners: ((end: RelayEnd) => void)[] = [];
  #isCut = false;

  constructor(socket: TerminatedSocket, endpoint: Endpoint, now: () => number) {
    this.#socket = socket;
    this.#endpoint = endpoint;
    this.#now = now;
    this.#openedAtMs = now();
  }

  get fromClient(): Carried {
    const { messages, closeFromClient } = this.#socket;
    return {
      bytes: this.#last === undefined ? this.#endpoint.receivedBytes : this.#socket.bytes,
      messages,
      closeCode: closeFromClient === undefined ? undefined : (closeFromClient.code ?? 1005),
      closeReason: closeFromClient?.reason || undefined,
      blind: undefined,
      pongs: 0,
      silentMs: seconds(this.#now() - this.#endpoint.heardAtMs),
    };
  }

  get fromUpstream(): Carried {
    const { outlet, closeFromUs } = this.#socket;
    return {
      bytes: outlet?.bytes ?? 0,
      messages: outlet?.messages ?? 0,
      closeCode: closeFromUs?.code,
      closeReason: closeFromUs?.reason || undefined,
      blind: undefined,
      pongs: 0,
      silentMs: seconds(this.#now() - (outlet?.sentAtMs ?? this.#openedAtMs)),
    };
  }

  get firstClose(): RelaySideName | undefined {
    const { closeFromClient, closeFromUs, ownWord } = this.#socket;
    if (closeFromClient !== undefined && ownWord === undefined) return 'client';
    return closeFromUs === undefined ? undefined : 'upstream';
  }

  get ownEnd() {
    const { ownWord } = this.#socket;
    return ownWord?.by === 'proxy' ? { outcome: ownWord.outcome, detail: ownWord.detail } : undefined;
  }

  get waitingBytes(): number {
    return this.#socket.outlet?.waitingBytes ?? 0;
  }

  get dropped(): number {
    return this.#socket.outlet?.dropped ?? 0;
  }

  /** For how long nothing has moved either way. */
  get quietMs(): number {
    const sentAtMs = this.#socket.outlet?.sentAtMs ?? this.#openedAtMs;
    return this.#now() - Math.max(sentAtMs, this.#endpoint.heardAtMs);
  }

  get ended(): Promise<RelayEnd> {
    this.#ended ??= new Promise((resolve) => this.whenEnded(resolve));
    return this.#ended;
  }

  whenEnded(listener: (end: RelayEnd) => void): void {
    if (this.#last === undefined) this.#listeners.push(listener);
    else listener(this.#last);
  }

  cut(): void {
    this.#isCut = true;
    this.#endpoint.cut();
  }

  inject(towards: RelaySideName, kind: InjectionKind, frame: Uint8Array): boolean {
    if (towards !== 'client' || !this.#endpoint.isOpen) return false;
    // Ours, so it is short and not masked.
    const payload = Buffer.from(frame.subarray(2));
    if (kind === 'ping') {
      this.#endpoint.ping(payload);
    } else {
      const word = { by: 'proxy', outcome: 'drained', detail: payload.toString('utf8', 2) } as const;
      this.#socket.closeByProxy(payload.readUInt16BE(0), payload.toString('utf8', 2), word);
    }
    return true;
  }

  end({ how, fault }: EndpointEnd): void {
    if (this.#last !== undefined) return;
    this.#last = this.#endOf(how, fault);
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener(this.#last);
  }

  #endOf(how: EndpointEnd['how'], fault: EndpointEnd['fault']): RelayEnd {
    const { ownWord } = this.#socket;
    if (this.isIdle) return { first: 'proxy', how: 'idle' };
    if (fault?.code === 1009) return { first: 'proxy', how: 'limit', limit: 'message-size', side: 'client' };
    if (fault !== undefined) return { first: 'client', how: 'reset', detail: fault.reason };
    if (ownWord?.by === 'proxy') return { first: 'proxy', how: how === 'closed' ? 'closed' : 'cut' };
    if (ownWord?.detail !== undefined) return { first: 'upstream', how: 'reset', detail: ownWord.detail };
    if (how === 'closed') return { first: this.firstClose ?? 'client', how: 'closed' };
    return this.#isCut ? { first: 'proxy', how: 'cut' } : { first: 'client', how: 'reset' };
  }
}

function seconds(ms: number): number {
  return Math.min(65_535, Math.floor(ms / 1000)) * 1000;
}
