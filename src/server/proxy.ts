import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type AdminServer, openAdmin } from '../admin/server.js';
import type { Deps } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import { systemDeps } from '../base/system.js';
import type { AdminAddress } from '../config/admin-address.js';
import { parseConfig } from '../config/parse.js';
import type { ConfigInput } from '../config/schema.js';
import { attachHttp1, type AttachOptions, Http1Door } from '../net/http1.js';
import { type Listener, openListener } from '../net/listener.js';
import type { ClientHandlers } from '../net/types.js';
import { Events, type ProxyEvents } from '../observe/events.js';
import type { OpenSession } from '../observe/record.js';
import { Admission } from '../policy/admission.js';
import { RouteTable } from '../route/table.js';
import type { House } from '../session/house.js';
import { Liveness } from '../session/liveness.js';
import { Logbook } from '../session/logbook.js';
import { Registry } from '../session/registry.js';
import { runRequest, runUpgrade } from '../session/session.js';
import { runVisit } from '../session/visit.js';
import type { Upstream } from '../upstream/upstream.js';
import { ProxyTarget } from './admin-target.js';
import { compile, type Plan } from './compile.js';
import { type ChosenEngine, chooseEngine } from './engine.js';
import { openUpstreams } from './open-upstreams.js';
import { type Draining, Stopping, type StopOptions } from './stopping.js';

export type { Draining, StopOptions } from './stopping.js';

export interface ProxyOptions {
  /** Time and chance; default the system's. */
  readonly deps?: Partial<Deps>;
  /** Where relative file names in the config start; default the working directory. */
  readonly baseDir?: string;
}

/** Where a proxy that has been started listens. */
export interface ListenerAddress {
  readonly id: string;
  readonly host: string;
  readonly port: number;
}

/**
 * Makes a proxy. It accepts nothing until `start`, or until it is attached to a server.
 *
 * @throws ConfigError with every problem of the config.
 */
export function createProxy(config: ConfigInput, options: ProxyOptions = {}): Proxy {
  return new Proxy(compile(parseConfig(config), options.baseDir ?? process.cwd()), options);
}

/** A proxy: its listeners, routes and upstreams, and every session that lives in it. */
export class Proxy {
  /** What the configuration was compiled to. */
  readonly plan: Plan;
  readonly #house: House;
  readonly #events = new Events();
  readonly #registry = new Registry();
  readonly #upstreams: ReadonlyMap<string, Upstream>;
  readonly #handlers: ClientHandlers;
  readonly #door: Http1Door;
  readonly #engine: ChosenEngine;
  readonly #adminTarget: ProxyTarget;
  #admin: AdminServer | undefined;
  #listeners: Listener[] = [];
  #requests = 0;
  #stopping: Stopping | undefined;
  #stopped: Promise<void> | undefined;

  /** Use `createProxy`. */
  constructor(plan: Plan, options: ProxyOptions) {
    this.plan = plan;
    const deps = { ...systemDeps, ...options.deps };
    const table = new RouteTable(plan.routes);
    this.#engine = chooseEngine(plan, deps.clock);
    this.#upstreams = openUpstreams(plan.upstreams, deps, this.#events, this.#registry);
    this.#house = {
      deps,
      events: this.#events,
      registry: this.#registry,
      relay: this.#engine.engine,
      admission: new Admission(plan, deps.clock),
      liveness: new Liveness(deps),
      isStopping: () => this.stopping,
      findRoute: (host, path) => table.find(host, path),
      upstream: (id) => this.#upstreams.get(id)!,
    };
    this.#adminTarget = new ProxyTarget(this, this.#registry, this.#upstreams, this.#events, deps.clock);
    this.#events.on('session.opened', ({ id }) => this.#onOpened(id));
    this.#handlers = this.#makeHandlers();
    this.#door = new Http1Door(undefined, TRUST_NOBODY, this.#handlers);
  }

  /** Opens every listener; if one fails, those already open are closed again and Node's own error is thrown. */
  async start(): Promise<void> {
    const door = this.plan.listeners.length === 0 ? undefined : this.#engine.openDoor();
    const opened = await Promise.allSettled(
      this.plan.listeners.map((each) => openListener(each, this.#handlers, door)),
    );
    this.#listeners = opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const [admin] = await Promise.allSettled([this.#openAdmin()]);
    const failed = [...opened, admin].find((each) => each.status === 'rejected');
    if (failed === undefined) return;
    await this.stop({ timeoutMs: 0 });
    throw failed.reason;
  }

  /**
   * Takes no new connections, lets requests finish, sends each WebSocket client a Close, and cuts what is left after a
   * bounded wait. Safe to call again, with a shorter time; the first call’s Close frames stay as they are.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    this.beginStop(options);
    await this.#stopped;
  }

  /** As `stop`, but does not wait. Whatever fails is told as a `fault`. */
  beginStop(options: StopOptions): void {
    if (this.#stopping !== undefined) {
      this.#stopping.hurry(options.timeoutMs ?? this.plan.drain.timeoutMs);
      return;
    }
    this.#stopped = this.#runStop(options);
    this.#stopped.catch((thrown: unknown) => this.#events.emit('fault', ProxyError.from(thrown)));
    this.#events.emit('stopping');
  }

  async #runStop(options: StopOptions): Promise<void> {
    const closed = this.#listeners.map((listener) => listener.close());
    const plan = { ...this.plan.drain, ...options };
    const stopping = new Stopping(this.#registry, this.#house.deps, plan, () => this.#cut());
    this.#stopping = stopping;
    await Promise.all([...closed, this.#registry.empty()]);
    stopping.end();
    for (const upstream of this.#upstreams.values()) upstream.close();
    this.#engine.close();
    await this.#admin?.close();
    this.#events.emit('stopped');
  }

  /** Where it listens, once started. */
  get listeners(): readonly ListenerAddress[] {
    return this.#listeners.map(({ id, host, port }) => ({ id, host, port }));
  }

  /** Where the admin API listens, once started; undefined without one. */
  get admin(): AdminAddress | undefined {
    return this.#admin?.address;
  }

  /** Whether it takes no new work any more. */
  get stopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** How far a stop has come; undefined before one, and in one that cuts at once. */
  get draining(): Draining | undefined {
    return this.#stopping?.draining;
  }

  /** The relay engine in use: `native`, or `stream`. */
  get engine(): string {
    return this.#engine.engine.name;
  }

  /** Why the native engine is not in use although the configuration would have it; else undefined. */
  get missingEngine(): string | undefined {
    return this.#engine.missing;
  }

  /** One line for each thing about the upstreams that an operator should know from the start. */
  get warnings(): readonly string[] {
    return Array.from(this.#upstreams.values()).flatMap(({ warnings }) => warnings);
  }

  /** The open sessions, with what they have carried until now. */
  get sessions(): readonly OpenSession[] {
    return Array.from(this.#registry, ({ info, relay: { fromClient, fromUpstream } }) => ({
      ...info,
      bytesFromClient: fromClient.bytes,
      bytesFromUpstream: fromUpstream.bytes,
      messagesFromClient: fromClient.messages,
      messagesFromUpstream: fromUpstream.messages,
    }));
  }

  /** HTTP requests being answered at the moment. */
  get activeRequests(): number {
    return this.#requests;
  }

  /** Listens to an event; the returned function stops that. */
  on<K extends keyof ProxyEvents>(name: K, listener: (...args: ProxyEvents[K]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /**
   * Takes the WebSocket handshakes, and unless told otherwise the plain requests, of a server that you made. The server
   * keeps its own limits and time-outs. The returned function lets go of it.
   */
  attach(server: Server, options: AttachOptions = { requests: true }): () => void {
    return attachHttp1(server, TRUST_NOBODY, this.#handlers, options);
  }

  /** Answers one plain request: for `http.createServer(proxy.handleRequest)`. */
  readonly handleRequest = (req: IncomingMessage, res: ServerResponse): void =>
    this.#door.onRequest(req, res);

  /** Answers one handshake: for `server.on('upgrade', proxy.handleUpgrade)`. Other upgrades than WebSocket get a 400. */
  readonly handleUpgrade = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
    this.#door.onUpgrade(req, socket, head);
  };

  async #openAdmin(): Promise<void> {
    if (this.plan.admin === undefined) return;
    const onFault = (thrown: unknown) => this.#events.emit('fault', ProxyError.from(thrown));
    this.#admin = await openAdmin(this.plan.admin, this.#adminTarget, onFault);
  }

  #makeHandlers(): ClientHandlers {
    return {
      onRequest: (head, req, res, peer) => {
        // A client that is told so does not send its next request into a connection that is about to end.
        if (this.stopping) res.shouldKeepAlive = false;
        this.#requests++;
        this.#guard(
          runRequest(head, req, res, peer, this.#house).finally(() => this.#requests--),
          res,
        );
      },
      onVisit: (visit, firstBytes, peer, maxHeaderBytes) =>
        runVisit(visit, firstBytes, peer, maxHeaderBytes, this.#house),
      onUpgrade: (arrival) => this.#guard(runUpgrade(arrival, this.#house), arrival.socket),
      onRefused: (error, peer, head) => {
        this.#events.emit(
          'request.finished',
          new Logbook(head, peer, this.#house.deps.clock).fail(error).close(),
        );
      },
    };
  }

  /** A fault of ours costs one connection and is told, never the process. */
  #guard(work: Promise<void>, connection: Duplex | ServerResponse): void {
    work.catch((thrown: unknown) => {
      connection.on('error', () => {});
      connection.destroy();
      this.#events.emit('fault', ProxyError.from(thrown));
    });
  }

  #onOpened(id: string): void {
    const session = this.#stopping && this.#registry.get(id);
    if (session !== undefined) this.#stopping?.add(session);
  }

  #cut(): void {
    this.#registry.cut();
    for (const listener of this.#listeners) listener.cut();
  }
}

const TRUST_NOBODY = { isTrusted: () => false };
