import { ProxyError } from '../base/errors.js';
import { dialError } from '../net/dial.js';
import { Inbox } from '../net/inbox.js';
import type { Visit, VisitHandler } from '../net/native-door.js';
import { endWith, errorBytes, reset } from '../net/sockets.js';
import type { ClientPeer } from '../net/types.js';
import { writeInterim } from '../protocol/handshake/answer.js';
import type { UpgradeRequest } from '../protocol/handshake/types.js';
import { type Verdict, verifyAnswer } from '../protocol/handshake/verify.js';
import type { ResponseHead } from '../protocol/http/head.js';
import { ResponseHeadReader } from '../protocol/http/response-head.js';
import type { RoutePlan, WebSocketPlan } from '../route/plan.js';
import type { Want } from '../upstream/lease.js';
import type { ServerPlan } from '../upstream/plan.js';
import type { ServerLease, Upstream } from '../upstream/upstream.js';
import { dialledSecurely } from './dialled.js';
import type { House } from './house.js';
import type { Logbook } from './logbook.js';
import { passRefusal } from './refusal.js';
import {
  answerTimeout,
  clientGone,
  closedEarly,
  connectTimeout,
  falseSwitch,
  headProblem,
  isReplaceable,
  offerFor,
  proxyStopping,
  withCookie,
} from './steps.js';
import { openTunnel } from './tunnel.js';

const NOTHING = Buffer.alloc(0);

/** What a handshake at a native door begins with: everything that has been decided (visit.ts). */
export interface NativeStart {
  readonly visit: Visit;
  readonly early: Buffer;
  readonly peer: ClientPeer;
  readonly request: UpgradeRequest;
  readonly route: RoutePlan;
  readonly plan: WebSocketPlan;
  readonly upstream: Upstream;
  readonly want: Want;
  readonly log: Logbook;
  /** Gives back the place that step 3 has given. */
  readonly release: () => void;
  readonly house: House;
}

/** Steps 5 to 7 for a client at a native door. One timer covers all of it; the client’s going away gives it up. */
export class NativeHandshake implements VisitHandler {
  readonly #start: NativeStart;
  readonly #unregister: () => void;
  #cancelTimer: () => void = nothing;
  #lease: ServerLease;
  #reader: ResponseHeadReader | undefined;
  /** Whether something has gone to the client, after which no other server may be tried. */
  #touched = false;

  constructor(start: NativeStart, lease: ServerLease) {
    const { request, route, log, house } = start;
    this.#start = start;
    this.#lease = lease;
    log.note({ generation: request.generation, route: route.id, upstream: route.upstream });
    this.#unregister = house.registry.addHandshake(() => this.#refuse(proxyStopping()));
  }

  begin(): void {
    this.#start.visit.handler = this;
    this.#guard(() => this.#dial());
  }

  get #server(): ServerPlan {
    return this.#lease.server.plan;
  }

  /** Step 5. */
  #dial(): void {
    const server = this.#server;
    this.#reader = undefined;
    const { host, port } = server.address as { host: string; port: number };
    const offer = offerFor(this.#start.request, this.#start.route, server, this.#start.peer);
    this.#startTimer(this.#start.upstream.plan.connectTimeoutMs);
    const code = this.#start.visit.dial(host, port, offer);
    if (code !== undefined) this.#tryAnother(connectProblem(server, code));
  }

  /** Step 4 again: another server, while nothing has gone to the client. */
  #tryAnother(failure: ProxyError): void {
    this.#lease.failed(failure);
    // A reload may have brought servers that only Node’s sockets can dial.
    const mayMove = !this.#touched && isReplaceable(failure) && this.#start.upstream.isPlainlyDialled;
    const next = mayMove ? this.#start.upstream.pool.another(this.#lease) : undefined;
    if (next === undefined) {
      this.#giveUp(failure);
      return;
    }
    this.#lease = next;
    this.#dial();
  }

  /** One timer at a time: for the connection, then for what is left until the handshake must be answered. */
  #startTimer(ms: number): void {
    this.#cancelTimer();
    const leftMs = this.#start.plan.handshakeTimeoutMs - this.#start.log.elapsedMs();
    this.#cancelTimer = this.#start.house.deps.clock.after(Math.min(ms, leftMs), () =>
      this.#guard(() => this.#onTime()),
    );
  }

  #onTime(): void {
    const { handshakeTimeoutMs } = this.#start.plan;
    const { connectTimeoutMs } = this.#start.upstream.plan;
    if (this.#start.log.elapsedMs() >= handshakeTimeoutMs) {
      this.#refuse(answerTimeout(this.#server, handshakeTimeoutMs));
    } else if (this.#start.visit.isConnecting) {
      this.#start.visit.hangUp();
      this.#tryAnother(connectTimeout(this.#server, connectTimeoutMs));
    } else {
      this.#startTimer(handshakeTimeoutMs);
    }
  }

  onConnectFailed(code: string): void {
    this.#guard(() => this.#tryAnother(connectProblem(this.#server, code)));
  }

  onUpstreamEnded(): void {
    this.#guard(() => this.#tryAnother(closedEarly(this.#server)));
  }

  onClientGone(): void {
    this.#end();
    this.#start.visit.cut();
    this.#finish(clientGone());
  }

  onAnswer(bytes: Buffer): void {
    this.#guard(() => this.#readAnswer(bytes));
  }

  /** Step 6. */
  #readAnswer(bytes: Buffer): void {
    let rest = bytes;
    for (;;) {
      this.#reader ??= new ResponseHeadReader({ maxBytes: this.#start.upstream.plan.maxHeaderBytes });
      let found;
      try {
        found = this.#reader.push(rest);
      } catch (thrown) {
        this.#refuse(headProblem(thrown, this.#server));
        return;
      }
      if (found === undefined) return;
      if (found.head.status >= 200 || found.head.status === 101) {
        this.#judge(found.head, found.rest);
        return;
      }
      // An interim one (100, 103) goes to the client at once.
      this.#touched = true;
      this.#reader = undefined;
      if (!this.#start.visit.send(writeInterim(found.head).toString('latin1'))) {
        this.onClientGone();
        return;
      }
      rest = found.rest;
    }
  }

  /** Nothing but a proven switch opens a tunnel. */
  #judge(answer: ResponseHead, rest: Buffer): void {
    const verdict = verifyAnswer(this.#start.request, answer);
    if (verdict.kind === 'invalid') {
      this.#refuse(falseSwitch(this.#server, verdict.reason));
      return;
    }
    this.#lease.succeeded();
    this.#start.log.note({ server: this.#server.id });
    const isSecure = dialledSecurely(this.#start.request.head, this.#start.peer);
    const head = withCookie(
      answer,
      this.#start.upstream.cookieFor(this.#start.want, this.#lease.server.id, isSecure),
    );
    if (verdict.kind === 'switch') this.#open(head, verdict, rest);
    else this.#passRefusal(head, rest);
  }

  /** Step 7 and on. */
  #open(answer: ResponseHead, verdict: Extract<Verdict, { kind: 'switch' }>, rest: Buffer): void {
    const { visit, early, peer, request, route, plan, log, release, house } = this.#start;
    openTunnel({
      peer,
      request,
      route,
      plan,
      lease: this.#lease,
      answer,
      verdict,
      log,
      house,
      release,
      join: (answerHead, framing, options) =>
        house.relay.joinVisit!(
          visit,
          { answer: answerHead, early: { fromClient: early, fromUpstream: rest }, framing },
          options,
        ),
    });
    // Not before: a stop waits for handshakes and sessions, and must see the one or the other.
    this.#end();
  }

  /** A real HTTP answer is passed on as HTTP, over Node’s sockets. */
  #passRefusal(head: ResponseHead, rest: Buffer): void {
    const { client, upstream } = this.#start.visit.take();
    const { maxHeaderBytes } = this.#start.upstream.plan;
    const inbox = new Inbox(upstream!, Buffer.from(rest), maxHeaderBytes);
    const clientInbox = new Inbox(client, this.#start.early, this.#start.plan.maxEarlyBytes);
    const lease = this.#lease;
    const answered = {
      lease,
      socket: upstream!,
      inbox,
      head,
      verdict: { kind: 'http' } as const,
      challenge: NOTHING,
    };
    const { house, route } = this.#start;
    const asker = { socket: client, via: 'h1' } as const;
    const passed = passRefusal(answered, asker, clientInbox, house, route.httpIdleTimeoutMs);
    // Not before: see #open.
    this.#end();
    void passed
      .finally(() => {
        lease.release();
        this.#start.release();
      })
      .then(({ error, status, bytes }) => {
        if (error !== undefined) this.#start.log.fail(error);
        this.#start.log.note({ status, bytesFromUpstream: bytes });
        house.events.emit('request.finished', this.#start.log.close());
      });
  }

  /** The server, the client or the clock has ended it. */
  #refuse(error: ProxyError): void {
    this.#lease.failed(error);
    this.#giveUp(error);
  }

  #giveUp(error: ProxyError): void {
    this.#end();
    const { client, upstream } = this.#start.visit.take();
    if (upstream !== undefined) {
      upstream.on('error', () => {});
      reset(upstream);
    }
    endWith(client, errorBytes(error));
    this.#finish(error);
  }

  #end(): void {
    this.#cancelTimer();
    this.#unregister();
    this.#start.visit.handler = undefined;
  }

  /** A fault of ours costs one connection and is told, never the process. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      this.#end();
      this.#lease.release();
      this.#start.release();
      this.#start.visit.cut();
      this.#start.house.events.emit('fault', ProxyError.from(thrown));
    }
  }

  #finish(error: ProxyError): void {
    this.#lease.release();
    this.#start.release();
    this.#start.log.note({ server: this.#server.id });
    this.#start.house.events.emit('request.finished', this.#start.log.fail(error).close());
  }
}

function connectProblem(server: ServerPlan, code: string): ProxyError {
  const { host, port } = server.address as { host: string; port: number };
  return dialError(server, Object.assign(new Error(`connect ${code} ${host}:${port}`), { code }));
}

function nothing(): void {}
