import type { Socket } from 'node:net';
import { ProxyError } from '../base/errors.js';
import { dial } from '../net/dial.js';
import { Inbox } from '../net/inbox.js';
import { reset } from '../net/sockets.js';
import type { UpgradeArrival } from '../net/types.js';
import { writeInterim } from '../protocol/handshake/answer.js';
import { KEY3_BYTES } from '../protocol/handshake/hixie.js';
import { writeOffer } from '../protocol/handshake/offer.js';
import type { UpgradeRequest } from '../protocol/handshake/types.js';
import { challengeBytes, type Verdict, verifyAnswer, verifyChallenge } from '../protocol/handshake/verify.js';
import type { ResponseHead } from '../protocol/http/head.js';
import { HeadError, ResponseHeadReader } from '../protocol/http/response-head.js';
import type { RoutePlan, WebSocketPlan } from '../route/plan.js';
import type { Server, Upstream } from '../upstream/upstream.js';
import type { House } from './house.js';

const NOTHING = Buffer.alloc(0);

/** An upstream server that has given a final answer to the handshake. */
export interface Answered {
  readonly server: Server;
  readonly socket: Socket;
  /** Holds what followed the answer’s head (and challenge). */
  readonly inbox: Inbox;
  readonly head: ResponseHead;
  readonly verdict: Exclude<Verdict, { kind: 'invalid' }>;
  /** The 16 bytes of a Hixie-76 answer, verified; else empty. */
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
  readonly #house: House;
  readonly #over = new AbortController();
  readonly #cancelTimer: () => void;
  readonly #unregister: () => void;
  /** The upstream’s inbox, while one is listened to. */
  #waiting: Inbox | undefined;
  /** Whether something has gone to the client, after which no other server may be tried. */
  #touched = false;
  /** The server tried last, for the log. */
  server: Server | undefined;

  constructor(
    arrival: UpgradeArrival,
    request: UpgradeRequest,
    route: RoutePlan,
    plan: WebSocketPlan,
    house: House,
  ) {
    this.#arrival = arrival;
    this.#request = request;
    this.#route = route;
    this.#house = house;
    this.#unregister = house.registry.addHandshake(() =>
      this.#stop('PROXY_STOPPING', 'the proxy is stopping'),
    );
    this.#cancelTimer = house.deps.clock.after(plan.handshakeTimeoutMs, () =>
      this.#timeOut(plan.handshakeTimeoutMs),
    );
    this.client = new Inbox(arrival.socket, arrival.early, plan.maxEarlyBytes, () => {
      this.#stop('CLIENT_GONE', 'the client went away during the handshake');
    });
  }

  /** @throws ProxyError what to tell the client, if it is still there. Nothing is left open then but the client. */
  async run(): Promise<Answered> {
    try {
      const key3 = await this.#takeKey3();
      return await this.#tryServers(key3);
    } finally {
      this.#cancelTimer();
      this.#unregister();
    }
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
    const upstream = this.#house.upstream(this.#route.upstream);
    let failure: ProxyError | undefined;
    for (const server of upstream.candidates()) {
      this.#over.signal.throwIfAborted();
      this.server = server;
      try {
        return await this.#try(server, upstream, key3);
      } catch (thrown) {
        failure = ProxyError.from(thrown);
        if (this.#touched || !REPLACEABLE.has(failure.code)) break;
      }
    }
    throw failure ?? new ProxyError('UPSTREAM_UNAVAILABLE', `upstream ${upstream.plan.id} has no server`);
  }

  async #try(server: Server, upstream: Upstream, key3: Buffer): Promise<Answered> {
    const { head, peer } = this.#arrival;
    const clientHost = head.headers.get('host') ?? '';
    const offer = writeOffer(
      this.#request,
      this.#route.hostHeader === 'client' ? clientHost : server.plan.host,
      {
        clientAddress: peer.address,
        proto: peer.secure ? 'https' : 'http',
        host: clientHost,
        trusted: peer.trusted,
        style: this.#route.forwarded,
      },
    );
    const { connectTimeoutMs, tls, maxHeaderBytes } = upstream.plan;
    const { clock } = this.#house.deps;
    const socket = await dial(server.plan, { clock, connectTimeoutMs, tls, signal: this.#over.signal });
    const inbox = new Inbox(socket, NOTHING, maxHeaderBytes);
    this.#waiting = inbox;
    try {
      // Head and key3 in one packet: servers of 2010 hash whatever stands behind the head in their first read.
      socket.write(key3.length === 0 ? offer : Buffer.concat([offer, key3]));
      const answer = await this.#readAnswer(server, inbox, maxHeaderBytes);
      const { verdict, challenge } = await this.#judge(server, inbox, answer, key3);
      return { server, socket, inbox, head: answer, verdict, challenge };
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
  async #readAnswer(server: Server, inbox: Inbox, maxBytes: number): Promise<ResponseHead> {
    for (;;) {
      const { head, rest } = await this.#readHead(server, inbox, maxBytes);
      inbox.putBack(rest);
      if (head.status >= 200 || head.status === 101) return head;
      this.#touched = true;
      this.#arrival.socket.write(writeInterim(head));
    }
  }

  async #readHead(
    server: Server,
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
        if (!(thrown instanceof HeadError)) throw thrown;
        const code = thrown.kind === 'too-large' ? 'UPSTREAM_ANSWER_TOO_LARGE' : 'UPSTREAM_ANSWER_MALFORMED';
        throw new ProxyError(code, `${server.plan.id}: ${thrown.message}`);
      }
    }
  }

  /** Step 6: nothing but a proven switch opens a tunnel. */
  async #judge(server: Server, inbox: Inbox, answer: ResponseHead, key3: Buffer) {
    const verdict = verifyAnswer(this.#request, answer);
    if (verdict.kind === 'invalid') throw this.#falseSwitch(server, verdict.reason);
    if (verdict.kind === 'http') return { verdict, challenge: NOTHING };
    const wanted = challengeBytes(this.#request);
    await this.#moreFrom(server, inbox, wanted);
    const challenge = inbox.take(wanted);
    if (!verifyChallenge(this.#request, key3, challenge)) {
      throw this.#falseSwitch(
        server,
        `the 16 challenge bytes are ${challenge.toString('hex')}, which is wrong`,
      );
    }
    return { verdict, challenge };
  }

  /** Waits until the inbox holds `count` bytes. */
  async #moreFrom(server: Server, inbox: Inbox, count: number): Promise<void> {
    while (inbox.size < count) {
      this.#over.signal.throwIfAborted();
      if (inbox.gone !== undefined) {
        throw new ProxyError('UPSTREAM_CLOSED_EARLY', `${server.plan.id} closed before it had answered`);
      }
      await inbox.changed();
    }
    this.#over.signal.throwIfAborted();
  }

  #falseSwitch(server: Server, reason: string): ProxyError {
    return new ProxyError('UPSTREAM_SWITCH_INVALID', `${server.plan.id} answered 101, but ${reason}`);
  }

  #timeOut(afterMs: number): void {
    const { server } = this;
    if (server === undefined) {
      this.#stop('HANDSHAKE_KEY_TIMEOUT', `the 8 key bytes did not arrive within ${afterMs} ms`);
    } else {
      this.#stop('UPSTREAM_ANSWER_TIMEOUT', `${server.plan.id} did not answer within ${afterMs} ms`);
    }
  }

  #stop(
    code: 'CLIENT_GONE' | 'HANDSHAKE_KEY_TIMEOUT' | 'UPSTREAM_ANSWER_TIMEOUT' | 'PROXY_STOPPING',
    why: string,
  ): void {
    this.#over.abort(new ProxyError(code, why));
    this.client.wake();
    this.#waiting?.wake();
  }
}

/** Failures of one server that another may make good. A time-out is not: the client has waited long enough. */
const REPLACEABLE: ReadonlySet<string> = new Set([
  'UPSTREAM_CONNECT_FAILED',
  'UPSTREAM_CONNECT_TIMEOUT',
  'UPSTREAM_NAME_UNRESOLVED',
  'UPSTREAM_TLS_FAILED',
  'UPSTREAM_CLOSED_EARLY',
]);
