import { EventEmitter } from 'node:events';
import type { AcmeFailed, AcmeObtained, AcmeOrdered } from './acme.js';
import type { AccessRecord, GatewayTrouble, ServerChange, SessionInfo, TlsFailure } from './record.js';

/** The event catalogue: name → arguments. */
export interface ProxyEvents {
  /** A WebSocket was switched and is now relayed. */
  'session.opened': [session: SessionInfo];
  /** It ended; the record has the outcome, both close codes, who closed first, bytes and messages each way. */
  'session.closed': [record: AccessRecord, session: SessionInfo];
  /** A plain HTTP request, or an upgrade that opened no session, has been answered (or its client is gone). */
  'request.finished': [record: AccessRecord];
  /** A client’s connection came to nothing in its TLS handshake. */
  'tls.failed': [failure: TlsFailure];
  /** A certificate is ordered by ACME (`tls.acme`): the first one, or another when that comes to its end. */
  'acme.ordered': [order: AcmeOrdered];
  /** The first one for its names is there and in use; or another, in its place. */
  'acme.obtained': [certificate: AcmeObtained];
  'acme.renewed': [certificate: AcmeObtained];
  /** An order came to nothing, which is tried again by itself; or its certificate cannot be kept. */
  'acme.failed': [failure: AcmeFailed];
  /** A server of an upstream has gone down, come up, been ejected or come back; or its name could not be resolved. */
  'server.changed': [change: ServerChange];
  'server.unresolved': [upstream: string, detail: string];
  /** A listener can take no clients for now (`EMFILE`, `ENOMEM`), which is tried again by itself. Told once, until it can. */
  'listener.exhausted': [listener: string, code: string];
  /** A backend of a gateway route, or what it had to do with, did not do what it should; one line. The session goes on. */
  'gateway.trouble': [trouble: GatewayTrouble];
  /** The link to other nodes is lost, or there again; `detail` is one line. */
  'backplane.link': [state: 'up' | 'down', detail: string];
  /** Messages from other nodes may be missing, of one channel or of any; how many, where that is known. */
  'backplane.gap': [channel: string | undefined, missed: number | undefined];
  /** What the backplane could not do; one line. */
  'backplane.trouble': [detail: string];
  /** Another node is gone without a word; its backends are told of the end of so many sessions here. */
  'node.lost': [node: string, sessions: number];
  /** This node was taken for lost: so many of its sessions were told to have ended, and end. */
  'node.outcast': [sessions: number];
  /** A stop has begun: no new work is taken. */
  stopping: [];
  /** It has ended: nothing is open any more. */
  stopped: [];
  /** A fault in Tidegate itself, or in a listener of these events. Never thrown. */
  fault: [error: Error];
}

/**
 * The events of one proxy. A listener that throws cannot hurt a connection: its error becomes a `fault` event,
 * or a process warning when nobody listens for those.
 */
export class Events {
  readonly #emitter = new EventEmitter<ProxyEvents>();

  on<K extends keyof ProxyEvents>(name: K, listener: (...args: ProxyEvents[K]) => void): () => void {
    this.#emitter.on(name, listener as never);
    return () => void this.#emitter.off(name, listener as never);
  }

  emit<K extends keyof ProxyEvents>(name: K, ...args: ProxyEvents[K]): void {
    for (const listener of this.#emitter.listeners(name)) {
      try {
        (listener as (...args: ProxyEvents[K]) => void)(...args);
      } catch (thrown) {
        this.#fault(name, thrown);
      }
    }
  }

  #fault(name: keyof ProxyEvents, thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    if (name !== 'fault' && this.#emitter.listenerCount('fault') > 0) this.emit('fault', error);
    else process.emitWarning(error);
  }
}
