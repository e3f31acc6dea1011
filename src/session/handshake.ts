import type { Duplex } from 'node:stream';
import { ProxyError } from '../base/errors.js';
import { Inbox } from '../net/inbox.js';
import { prefaceFor } from '../net/proxy-preface.js';
import { reset } from '../net/sockets.js';
import type { UpgradeArrival } from '../net/types.js';
import { writeInterim } from '../protocol/handshake/answer.js';
import { KEY3_BYTES } from '../protocol/handshake/hixie.js';
import type { UpgradeRequest } from '../protocol/handshake/types.js';
import { challengeBytes, type Verdict, verifyAnswer, verifyChallenge } from '../protocol/handshake/verify.js';
import type { ResponseHead } from '../protocol/http/head.js';
import { ResponseHeadReader } from '../protocol/http/response-head.js';
import type { TranslatedRequest } from '../protocol/translate/request.js';
import type { RoutePlan, WebSocketPlan } from '../route/plan.js';
import type { Want } from '../upstream/lease.js';
import { type ServerPlan, tlsOf } from '../upstream/plan.js';
import type { ServerLease, Upstream } from '../upstream/upstream.js';
import { connectFor } from './connect.js';
import { dialledSecurely } from './dialled.js';
import type { House } from './house.js';
import {
  answerTimeout,
  clientGone,
  closedEarly,
  falseSwitch,
  headProblem,
  isReplaceable,
  offerFor,
  proxyStopping,
  waitedTooLong,
  withCookie,
} from './steps.js';
import { answerFor, askFor } from './translation.js';

const NOTHING = Buffer.alloc(0);

/** An upstream server that has given a final answer to the handshake. */
export interface Answered {
  /** The place at the server: the receiver’s, to be released. */
  readonly lease: ServerLease;
  readonly socket: Duplex;
  /** Holds what followed the answer’s head (and challenge). */
  readonly inbox: Inbox;
  /** With the cookie that the client is to stick by, if it needs one; a switch is in the client’s generation. */
  readonly head: ResponseHead;
  /** On the server’s answer. */
  readonly verdict: Exclude<Verdict, { kind: 'invalid' }>;
  /** The 16 bytes behind the head of a switch for a Hixie-76 client; else empty. */
  readonly challenge: Buffer;
}

/**
 * Steps 4 to 6 for one client: from a valid request to a verified answer. One timer covers all of it; the client’s
 * going away gives it up.
 */
export class Handshake {
  /** What the client has sent, held back until the upstream has switched. */
  readonly client: Inbox;
  readonly #arrival: UpgradeArrival;
  readonly #request: UpgradeRequest;
  readonly #route: RoutePlan;
  readonly #plan: WebSocketPlan;
  readonly #house: House;
  /** Behind the proxies we trust. */
  readonly #clientAddress: string;
  readonly #over = new AbortController();
  readonly #cancelTimer: () => void;
  readonly #unregister: () => void;
  /** What the client asks of the pool. */
  readonly #want: Want;
  readonly #upstream: Upstream;
  #isQueueing = false;
  /** The upstream’s inbox, while one is listened to. */
  #waiting: Inbox | undefined;
  /** Whether something has gone to the client, after which no other server may be tried. */
  #touched = false;
  /** The server tried last, for the log. */
  server: ServerPlan | undefined;

  constructor(
    arrival: UpgradeArrival,
    request: UpgradeRequest,
    route: RoutePlan,
    plan: WebSocketPlan,
    client: string,
    house: House,
  ) {
    this.#clientAddress = client;
    this.#upstream = house.upstream(route.upstream);
    this.#want = this.#upstream.wantOf(request.head, client);
    this.#arrival = arrival;
    this.#request = request;
    this.#route = route;
    this.#plan = plan;
    this.#house = house;
    this.#unregister = house.registry.addHandshake(() => this.#stop(proxyStopping()));
    this.#cancelTimer = house.deps.clock.after(plan.handshakeTimeoutMs, () =>
      this.#timeOut(plan.handshakeTimeoutMs),
    );
    this.client = new Inbox(arrival.socket, arrival.early, plan.maxEarlyBytes, () => {
      this.#stop(clientGone());
    });
  }

  /** @throws ProxyError what to tell the client, if it is still there. Nothing is left open then but the client. */
  async run(): Promise<Answered> {
    try {
      const key3 = await this.#takeKey3();
      return await this.#tryServers(key3);
    } finally {
      this.#cancelTimer();
    }
  }

  /** To be called when what it has led to is registered, or over: until then a stop waits for it. */
  leave(): void {
    this.#unregister();
  }

  /** Step 5, first half: exactly 8 bytes, under the handshake timer. What follows them waits. */
  async #takeKey3(): Promise<Buffer> {
    if (this.#request.proof.kind !== 'challenge') return NOTHING;
    while (this.client.size < KEY3_BYTES) {
      this.#over.signal.throwIfAborted();
      await this.client.changed();
    }
    return this.client.take(KEY3_BYTES);
  }

  /** Step 4: one server after the other, as long as a failure may be made good by another. */
  async #tryServers(key3: Buffer): Promise<Answered> {
    let lease = await this.#takeLease();
    for (;;) {
      try {
        const answered = await this.#try(lease, key3);
        lease.succeeded();
        return answered;
      } catch (thrown) {
        const failure = this.#firstFailure(thrown);
        lease.failed(failure);
        lease.release();
        const next =
          this.#touched || !isReplaceable(failure) ? undefined : this.#upstream.pool.another(lease);
        if (next === undefined) throw failure;
        lease = next;
      }
    }
  }

  /** A place at a server; waits for one where all are full. */
  async #takeLease(): Promise<ServerLease> {
    const { pool } = this.#upstream;
    this.#over.signal.throwIfAborted();
    const lease = pool.take(this.#want);
    if (lease !== undefined) return lease;
    this.#isQueueing = true;
    try {
      return await pool.wait(this.#want, this.#over.signal);
    } finally {
      this.#isQueueing = false;
    }
  }

  async #try(lease: ServerLease, key3: Buffer): Promise<Answered> {
    const server = lease.server.plan;
    this.server = server;
    this.#over.signal.throwIfAborted();
    const { peer } = this.#arrival;
    const asked = askFor(this.#request, this.#plan, key3);
    const offer = offerFor(asked.request, this.#route, server, peer);
    const { connectTimeoutMs, tls, maxHeaderBytes, proxyProtocol } = this.#upstream.plan;
    const { clock } = this.#house.deps;
    const beneficiary = { connection: this.#arrival.socket, facts: peer, client: this.#clientAddress };
    const socket = await connectFor(lease.server, asked.request.generation, {
      clock,
      connectTimeoutMs,
      tls: tlsOf(tls, server),
      signal: this.#over.signal,
      preface: proxyProtocol && (() => prefaceFor(proxyProtocol, beneficiary)),
    });
    const inbox = new Inbox(socket, NOTHING, maxHeaderBytes);
    this.#waiting = inbox;
    try {
      // Head and key3 in one packet: servers of 2010 hash whatever stands behind the head in their first read.
      socket.write(Buffer.concat([Buffer.from(offer, 'latin1'), asked.key3]));
      const answer = await this.#readAnswer(server, inbox, maxHeaderBytes);
      const { verdict, challenge } = await this.#judge(server, inbox, answer, asked);
      const cookie = this.#upstream.cookieFor(
        this.#want,
        lease.server.id,
        dialledSecurely(this.#request.head, peer),
      );
      const head = withCookie(answer, cookie);
      const found = { lease, socket, inbox, verdict, head, challenge };
      if (verdict.kind === 'http') return found;
      const { subprotocol } = verdict;
      return {
        ...found,
        ...answerFor(this.#request, this.#plan, { head, challenge, subprotocol }, key3),
      };
    } catch (thrown) {
      inbox.release();
      socket.on('error', () => {});
      reset(socket);
      throw thrown;
    } finally {
      this.#waiting = undefined;
    }
  }

  /** Reads heads until a final one; interim ones (100, 103) go to the client at once. */
  async #readAnswer(server: ServerPlan, inbox: Inbox, maxBytes: number): Promise<ResponseHead> {
    for (;;) {
      const { head, rest } = await this.#readHead(server, inbox, maxBytes);
      inbox.putBack(rest);
      if (head.status >= 200 || head.status === 101) return head;
      this.#touched = true;
      this.#arrival.socket.write(writeInterim(head));
    }
  }

  async #readHead(
    server: ServerPlan,
    inbox: Inbox,
    maxBytes: number,
  ): Promise<{ head: ResponseHead; rest: Buffer }> {
    const reader = new ResponseHeadReader({ maxBytes });
    for (;;) {
      await this.#moreFrom(server, inbox, 1);
      try {
        const found = reader.push(inbox.take());
        if (found !== undefined) return found;
      } catch (thrown) {
        throw headProblem(thrown, server);
      }
    }
  }

  /** Step 6: nothing but a proven switch opens a tunnel. */
  async #judge(server: ServerPlan, inbox: Inbox, answer: ResponseHead, { request, key3 }: TranslatedRequest) {
    const verdict = verifyAnswer(request, answer);
    if (verdict.kind === 'invalid') throw falseSwitch(server, verdict.reason);
    if (verdict.kind === 'http') return { verdict, challenge: NOTHING };
    const wanted = challengeBytes(request);
    await this.#moreFrom(server, inbox, wanted);
    const challenge = inbox.take(wanted);
    if (!verifyChallenge(request, key3, challenge)) {
      throw falseSwitch(server, `the 16 challenge bytes are ${challenge.toString('hex')}, which is wrong`);
    }
    return { verdict, challenge };
  }

  /** Waits until the inbox holds `count` bytes. */
  async #moreFrom(server: ServerPlan, inbox: Inbox, count: number): Promise<void> {
    while (inbox.size < count) {
      this.#over.signal.throwIfAborted();
      if (inbox.gone !== undefined) {
        throw closedEarly(server);
      }
      await inbox.changed();
    }
    this.#over.signal.throwIfAborted();
  }

  #timeOut(afterMs: number): void {
    this.#stop(this.#lateness(afterMs));
  }

  #lateness(afterMs: number): ProxyError {
    if (this.#isQueueing) return waitedTooLong(this.#upstream.plan.id, afterMs);
    if (this.server !== undefined) return answerTimeout(this.server, afterMs);
    const late = `the 8 key bytes did not arrive within ${afterMs} ms`;
    return new ProxyError('HANDSHAKE_KEY_TIMEOUT', late);
  }

  /** What was given up fails in many ways; the reason for giving up is the one that counts. */
  #firstFailure(thrown: unknown): ProxyError {
    const { signal } = this.#over;
    return ProxyError.from(signal.aborted ? signal.reason : thrown);
  }

  #stop(why: ProxyError): void {
    this.#over.abort(why);
    this.client.wake();
    this.#waiting?.wake();
  }
}
