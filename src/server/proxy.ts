import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type AdminServer, openAdmin } from '../admin/server.js';
import type { ReloadResult } from '../admin/target.js';
import type { Deps } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import { systemDeps } from '../base/system.js';
import type { AdminAddress } from '../config/admin-address.js';
import { parseConfig } from '../config/parse.js';
import type { ConfigInput } from '../config/schema.js';
import { attachHttp1, type AttachOptions, Http1Door } from '../net/http1.js';
import type { ListenerAddress } from '../net/listener.js';
import type { ClientHandlers } from '../net/types.js';
import { Events, type ProxyEvents } from '../observe/events.js';
import type { OpenSession } from '../observe/record.js';
import { Admission } from '../policy/admission.js';
import { RouteTable } from '../route/table.js';
import { Handover } from '../session/handover.js';
import type { House } from '../session/house.js';
import { Liveness } from '../session/liveness.js';
import { Logbook } from '../session/logbook.js';
import { runVisit } from '../session/visit.js';
import { Registry } from '../session/registry.js';
import { runRequest, runUpgrade } from '../session/session.js';
import { proxyStopping } from '../session/steps.js';
import { ProxyTarget } from './admin-target.js';
import { GatewayHost } from './gateway-host.js';
import { LettingGo } from './letting-go.js';
import { comparePlans } from './compare-plans.js';
import { compile, type Plan } from './compile.js';
import { type ChosenEngine, chooseEngine } from './engine.js';
import { ListenFailure, Listeners } from './listeners.js';
import { type OpenUpstreams, openUpstreams } from './open-upstreams.js';
import { cannotListen, withFixed } from './reload.js';
import { type Draining, Stopping, type StopOptions } from './stopping.js';

export type { ReloadResult } from '../admin/target.js';
export type { ListenerAddress } from '../net/listener.js';
export type { Draining, StopOptions } from './stopping.js';

export interface ProxyOptions {
  /** Time and chance; default the system's. */
  readonly deps?: Partial<Deps>;
  /** Where relative file names in the config start; default the working directory. */
  readonly baseDir?: string;
  /** What a reload over the admin API does; default: it is answered 501. */
  readonly onReload?: () => Promise<ReloadResult>;
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
  readonly #baseDir: string;
  readonly #house: House;
  readonly #events = new Events();
  readonly #registry = new Registry();
  readonly #upstreams: OpenUpstreams;
  readonly #admission: Admission;
  readonly #lettingGo: LettingGo;
  readonly #handlers: ClientHandlers;
  readonly #door: Http1Door;
  readonly #engine: ChosenEngine;
  readonly #adminTarget: ProxyTarget;
  readonly #gateway: GatewayHost;
  readonly #listeners: Listeners;
  #plan: Plan;
  #routes: RouteTable;
  #admin: AdminServer | undefined;
  #isStarted = false;
  #reloading: Promise<unknown> = Promise.resolve();
  #requests = 0;
  #stopping: Stopping | undefined;
  #stopped: Promise<void> | undefined;

  /** Use `createProxy`. */
  constructor(plan: Plan, options: ProxyOptions) {
    this.#plan = plan;
    this.#baseDir = options.baseDir ?? process.cwd();
    const deps = { ...systemDeps, ...options.deps };
    this.#routes = new RouteTable(plan.routes);
    this.#admission = new Admission(plan, deps.clock);
    this.#lettingGo = new LettingGo(this.#registry, deps, this.#events);
    this.#engine = chooseEngine(plan, deps.clock);
    this.#upstreams = openUpstreams(plan.upstreams, deps, this.#events, this.#registry);
    const upstream = (id: string) => this.#upstreams.byId.get(id)!;
    const route = (id: string) => this.#plan.routes.find((route) => route.id === id);
    const handover = new Handover({ deps, events: this.#events, route, upstream });
    this.#gateway = new GatewayHost(deps, this.#events, plan, handover);
    this.#house = {
      deps,
      events: this.#events,
      registry: this.#registry,
      relay: this.#engine.engine,
      admission: this.#admission,
      liveness: new Liveness(deps),
      isStopping: () => this.stopping,
      findRoute: (host, path, isSecure) => this.#routes.find(host, path, isSecure),
      channels: () => this.#gateway.channels(),
      handover,
      upstream,
    };
    this.#adminTarget = new ProxyTarget(
      this,
      this.#registry,
      this.#upstreams.byId,
      this.#events,
      deps.clock,
      options.onReload,
    );
    this.#events.on('session.opened', ({ id }) => this.#onOpened(id));
    this.#handlers = this.#makeHandlers();
    this.#door = new Http1Door(undefined, TRUST_NOBODY, this.#handlers);
    this.#listeners = new Listeners(this.#handlers, () => this.#engine.openDoor(), deps, this.#events);
  }

  /** Opens every listener; if one fails, those already open are closed again and Node's own error is thrown. */
  async start(): Promise<void> {
    this.#isStarted = true;
    try {
      (await this.#listeners.prepare(this.plan.listeners)).take();
      await this.#openAdmin();
      if (this.plan.backplane !== undefined) await this.#gateway.channels();
      if (this.plan.publish !== undefined) await this.#gateway.openPublish(this.plan.publish);
    } catch (thrown) {
      await this.stop({ timeoutMs: 0 });
      throw thrown instanceof ListenFailure ? thrown.cause : thrown;
    }
  }

  /**
   * Goes on with another configuration. Sessions keep what they began with, unless their route has changed and
   * `reload.changedRoutes` or `removedServers` says otherwise; what is known of servers, and what is counted, stays. The
   * relay engine, the admin API, the backplane, the rules of channels and where backends publish stay as they are, which
   * is told as a warning. Reloads wait for each other.
   *
   * @throws ConfigError with every problem of the config, listeners that cannot be opened among them; then nothing has
   *   changed. ProxyError `PROXY_STOPPING` when the proxy stops.
   */
  async reload(config: ConfigInput): Promise<ReloadResult> {
    return await this.adopt(compile(parseConfig(config), this.#baseDir));
  }

  /** As `reload`, with what has been compiled already. */
  adopt(plan: Plan): Promise<ReloadResult> {
    const result = this.#reloading.then(() => this.#adopt(plan));
    this.#reloading = result.catch(() => {});
    return result;
  }

  async #adopt(plan: Plan): Promise<ReloadResult> {
    if (this.stopping) throw proxyStopping();
    const prepared = this.#isStarted ? await this.#prepareListeners(plan) : undefined;
    if (this.stopping) {
      prepared?.giveUp();
      throw proxyStopping();
    }
    // In one turn: nobody sees a part of it.
    const before = this.#plan;
    const { changes, warnings, changedRoutes } = comparePlans(before, plan);
    this.#plan = withFixed(plan, before);
    this.#upstreams.update(plan.upstreams);
    this.#routes = new RouteTable(plan.routes);
    this.#admission.update(plan);
    this.#gateway.updatePublish(this.#plan.publish);
    prepared?.take();
    const { reload, drain } = plan;
    this.#lettingGo.followRoutes(before.routes, changedRoutes, { policy: reload.changedRoutes, drain });
    this.#lettingGo.followServers(before.upstreams, plan.upstreams, { policy: reload.removedServers, drain });
    return { changes, warnings: [...warnings, ...this.warnings] };
  }

  async #prepareListeners(plan: Plan) {
    try {
      return await this.#listeners.prepare(plan.listeners);
    } catch (thrown) {
      throw thrown instanceof ListenFailure ? cannotListen(thrown, plan, this.#plan) : thrown;
    }
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
    const closed = this.#listeners.close();
    const plan = { ...this.plan.drain, ...options };
    const stopping = new Stopping(this.#registry, this.#house.deps, plan, () => this.#cut());
    this.#stopping = stopping;
    await Promise.all([closed, this.#registry.empty()]);
    stopping.end();
    for (const upstream of this.#upstreams.byId.values()) upstream.close();
    this.#engine.close();
    await this.#admin?.close();
    await this.#gateway.close();
    this.#events.emit('stopped');
  }

  /** What the configuration of the moment was compiled to. */
  get plan(): Plan {
    return this.#plan;
  }

  /** Where it listens, once started. */
  get listeners(): readonly ListenerAddress[] {
    return Array.from(this.#listeners, ({ address }) => address);
  }

  /** Where the admin API listens, once started; undefined without one. */
  get admin(): AdminAddress | undefined {
    return this.#admin?.address;
  }

  /** Where backends publish, once started; undefined where nobody does. */
  get publish(): AdminAddress | undefined {
    return this.#gateway.publishAddress;
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
    return Array.from(this.#upstreams.byId.values()).flatMap(({ warnings }) => warnings);
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
      takesWebSockets: () => this.#plan.routes.some(({ websocket }) => websocket !== undefined),
      onRequest: (head, req, res, peer) => {
        // A client that is told so does not send its next request into a connection that is about to end.
        if (this.stopping) res.shouldKeepAlive = false;
        this.#requests++;
        this.#guard(
          runRequest(head, req, res, peer, this.#house).finally(() => this.#requests--),
          res,
        );
      },
      onVisit: (visit, firstBytes, peer, maxHeaderBytes) => {
        try {
          return runVisit(visit, firstBytes, peer, maxHeaderBytes, this.#house);
        } catch (thrown) {
          visit.cut();
          this.#events.emit('fault', ProxyError.from(thrown));
          return true;
        }
      },
      onUpgrade: (arrival) => this.#guard(runUpgrade(arrival, this.#house), arrival.socket),
      onRefused: (error, peer, head) => {
        this.#events.emit(
          'request.finished',
          new Logbook(head, peer, this.#house.deps.clock).fail(error).close(),
        );
      },
      onExhausted: (listener, code) => this.#events.emit('listener.exhausted', listener, code),
      onTlsFailed: (reason, client) => this.#events.emit('tls.failed', { ...client, reason }),
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
    this.#listeners.cut();
  }
}

const TRUST_NOBODY = { isTrusted: () => false };
