import type { IncomingMessage, ServerResponse } from 'node:http';
import { ProxyError } from '../base/errors.js';
import { formatSize } from '../base/units.js';
import { Backend } from '../gateway/backend.js';
import type { Held } from '../gateway/held.js';
import { HoldAsker, sign } from '../gateway/hold-asker.js';
import { HttpHold } from '../gateway/http-hold.js';
import { signerOf } from '../gateway/signers.js';
import type { Answer } from '../net/exchange.js';
import type { ClientPeer } from '../net/types.js';
import {
  type ClientResponse,
  type Instruction,
  isInstructBody,
  readInstruction,
} from '../protocol/grip/hold.js';
import type { RequestHead } from '../protocol/http/head.js';
import { HeaderList } from '../protocol/http/header-list.js';
import type { RoutePlan } from '../route/plan.js';
import type { Upstream } from '../upstream/upstream.js';
import type { House } from './house.js';
import { pump } from './passthrough-body.js';
import type { ClientHead } from './passthrough-heads.js';
import { ResponseSink } from './passthrough-sink.js';
import { proxyStopping } from './steps.js';

export interface GatewayRequestOptions {
  readonly head: RequestHead;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly peer: ClientPeer;
  /** The client’s address, behind the proxies we trust. */
  readonly client: string;
  readonly route: RoutePlan;
  readonly upstream: Upstream;
  readonly house: House;
}

/** Of the exchange whose answer has come. */
export interface GatewayTurn {
  /** Id of the server that has answered. */
  readonly server: string;
  /** By which the client comes back to its server. */
  readonly cookie: string | undefined;
  /** Whether the request had a body. */
  readonly hasBody: boolean;
  /** The client is gone, or the exchange is to be cut; its reason is a ProxyError. */
  readonly signal: AbortSignal;
  /** Bytes of body that go to the client. */
  count(bytes: number): void;
  /** Sends a head, which goes out at once where a body may follow. Throws what cannot be written. */
  passHead(head: ClientHead): void;
  /** The server’s answer has been read: it has nothing more to do with it. */
  onRead(): void;
}

/** A plain request on a gateway route: what its server is told of the gateway, and what it may ask it for (GRIP). */
export class GatewayRequest {
  readonly #options: GatewayRequestOptions;
  /** Those of the gateway alone. */
  readonly #own = new HeaderList();
  /** As the server got them, without those of the gateway. */
  #sent = new HeaderList();

  constructor(options: GatewayRequestOptions) {
    this.#options = options;
  }

  /** Before a server is asked. */
  async prepare(): Promise<void> {
    const { route, house } = this.#options;
    const { grip } = route.gateway!;
    if (grip !== undefined) await sign(this.#own, signerOf(grip), house.deps.clock);
  }

  /** The request’s fields, for one server. */
  dress(headers: HeaderList): void {
    headers.deleteWhere(isOfTheGateway);
    this.#sent = headers.clone();
    for (const [name, value] of this.#own) headers.append(name, value);
  }

  /**
   * Does what the server asks for. Resolves with the head of an answer that is to be passed on in the usual way, or with
   * nothing when the client has its whole answer, which may be much later.
   *
   * @throws ProxyError
   */
  async take(answer: Answer, passed: ClientHead, turn: GatewayTurn): Promise<ClientHead | undefined> {
    const { route, head } = this.#options;
    if (route.gateway!.grip === undefined) return passed;
    const hasWord = isInstructBody(passed.headers) && head.method !== 'HEAD';
    const word = hasWord ? await this.#read(answer, turn) : undefined;
    const instruction = readInstruction(passed, word);
    if (instruction.kind === 'error') {
      answer.destroy();
      throw new ProxyError('UPSTREAM_ANSWER_MALFORMED', `${turn.server}: ${instruction.problem}`);
    }
    if (instruction.kind === 'pass' && instruction.response.body === undefined) {
      return this.#headOf(instruction.response);
    }
    const { response } = instruction;
    if (turn.cookie !== undefined) response.headers.append('Set-Cookie', turn.cookie);
    const sink = new ResponseSink(
      this.#options.res,
      (said) => turn.passHead(this.#headOf(said)),
      (bytes) => turn.count(bytes),
    );
    if (instruction.kind === 'pass') {
      turn.onRead();
      sink.respond(response);
    } else await this.#hold(instruction, answer, sink, turn);
    return undefined;
  }

  async #hold(
    instruction: Extract<Instruction, { kind: 'hold' }>,
    answer: Answer,
    sink: ResponseSink,
    turn: GatewayTurn,
  ): Promise<void> {
    const { peer, client, route, house } = this.#options;
    const { deps, registry, events } = house;
    if (house.isStopping()) throw proxyStopping();
    const admitted = house.admission.admit({ listener: peer.listener, route: route.id, address: client });
    if (admitted.kind === 'refused') {
      answer.destroy();
      throw admitted.error;
    }
    let unregister = (): void => {};
    try {
      const { hub, directory } = await house.channels();
      const id = directory.newId();
      const hold = new HttpHold({
        id,
        plan: route.gateway!,
        hub,
        sink,
        asker: this.#asker(turn),
        clock: deps.clock,
        random: () => deps.random.float(),
        signal: turn.signal,
        report: (problem) =>
          events.emit('gateway.trouble', { session: id, route: route.id, client, problem }),
      });
      // A client that is told so does not send its next request into a connection that is about to end.
      unregister = registry.addHold(() => {
        this.#options.res.shouldKeepAlive = false;
        hold.end();
      });
      if (house.isStopping()) hold.end();
      await hold.run(this.#heldOf(instruction, answer, turn));
    } finally {
      unregister();
      admitted.release();
      sink.letGo();
    }
  }

  #heldOf(
    { hold, response }: Extract<Instruction, { kind: 'hold' }>,
    answer: Answer,
    turn: GatewayTurn,
  ): Held {
    const { body } = response;
    const { res } = this.#options;
    return {
      hold,
      response,
      read: () => (body === undefined ? this.#read(answer, turn) : Promise.resolve(body)),
      pour: async () => {
        if (body !== undefined) {
          if (body.length > 0) res.write(body);
          turn.count(body.length);
          return body.length;
        }
        let bytes = 0;
        const count = (more: number): void => {
          bytes += more;
          turn.count(more);
        };
        const end = await pump(answer, res, count, turn.signal);
        if (end === 'source-lost') throw brokeOff(turn.server);
        if (end === 'sink-lost') throw new ProxyError('CLIENT_GONE', 'the client closed its connection');
        if (end === 'stopped') throw turn.signal.reason;
        turn.onRead();
        return bytes;
      },
      discard: () => {
        answer.destroy();
        turn.onRead();
      },
    };
  }

  #asker(turn: GatewayTurn): HoldAsker {
    const { head, req, peer, client, route, upstream, house } = this.#options;
    const { deps } = house;
    const headers = this.#sent.clone();
    headers.deleteWhere((name) => OF_THE_BODY.has(name));
    // Each server has its own.
    if (route.hostHeader === 'server') headers.delete('host');
    const hosts = new Set(Array.from(upstream.pool.servers, ({ plan }) => plan.host));
    const host = head.headers.get('host');
    if (host !== undefined) hosts.add(host);
    return new HoldAsker({
      backend: new Backend({
        upstream,
        want: upstream.wantOf(head, client),
        beneficiary: { connection: req.socket, facts: peer, client },
        clock: deps.clock,
      }),
      plan: route.gateway!,
      signer: signerOf(route.gateway!.grip),
      method: head.method,
      path: head.target,
      headers,
      isRepeatable: !turn.hasBody,
      hosts,
      clock: deps.clock,
      random: () => deps.random.float(),
    });
  }

  /** The whole body, as far as `gateway.maxResponseBytes` goes. */
  async #read(answer: Answer, turn: GatewayTurn): Promise<Buffer> {
    const { maxResponseBytes } = this.#options.route.gateway!;
    const chunks: Buffer[] = [];
    let bytes = 0;
    const tooLarge = new AbortController();
    const keep = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > maxResponseBytes) tooLarge.abort();
      else chunks.push(chunk);
    };
    answer.on('data', keep);
    const end = await pump(
      answer,
      undefined,
      () => turn.count(0),
      AbortSignal.any([turn.signal, tooLarge.signal]),
    );
    answer.off('data', keep);
    if (tooLarge.signal.aborted) {
      answer.destroy();
      const detail = `${turn.server}: its answer is larger than ${formatSize(maxResponseBytes)} (\`gateway.maxResponseBytes\`)`;
      throw new ProxyError('UPSTREAM_ANSWER_TOO_LARGE', detail);
    }
    if (end === 'stopped') throw turn.signal.reason;
    if (end !== 'ended') throw brokeOff(turn.server);
    turn.onRead();
    return Buffer.concat(chunks);
  }

  /** As the client gets it: whether a body follows goes by its own status, which may not be that of the server. */
  #headOf({ status, reason, headers }: Pick<ClientResponse, 'status' | 'reason' | 'headers'>): ClientHead {
    const { method, httpVersion } = this.#options.head;
    const hasBody = method !== 'HEAD' && status !== 204 && status !== 304;
    const isChunked = hasBody && httpVersion === '1.1' && !headers.has('content-length');
    if (status === 204) headers.delete('content-length');
    return { httpVersion: '1.1', status, reason, headers, hasBody, isChunked };
  }
}

function brokeOff(server: string): ProxyError {
  return new ProxyError('UPSTREAM_RESPONSE_ABORTED', `${server}: its response broke off in the middle`);
}

/** Those that only a gateway may say, in any spelling that a server could take for one of them. */
function isOfTheGateway(lowerName: string): boolean {
  const name = lowerName.replace(/[^a-z0-9]/g, '-');
  return name === 'connection-id' || OF_THE_GATEWAY.some((prefix) => name.startsWith(prefix));
}

const OF_THE_GATEWAY = ['grip-', 'meta-', 'tidegate-', 'content-bytes-'];

const OF_THE_BODY: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'trailer',
  'transfer-encoding',
]);
