import { request as requestHttp, type Agent, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Duplex } from 'node:stream';
import { ProxyError } from '../base/errors.js';
import { HeaderList } from '../protocol/http/header-list.js';
import { dialError } from './dial.js';
import type { Exchange, ExchangeOptions } from './exchange.js';

export interface Http1RequestOptions extends ExchangeOptions {
  /** Where the connection comes from; one of the target’s pool. */
  readonly agent: Agent;
  /** Whether the agent’s connections stand when it hands them over, TLS included. */
  readonly isDialled?: boolean;
  /** Name resolution and TLS included. */
  readonly connectTimeoutMs: number;
}

/** One plain HTTP request to one server, over node:http. Nothing is thrown but by the constructor. */
export class Http1Request implements Exchange {
  readonly body: ClientRequest;
  readonly connected: Promise<void>;
  readonly answered: Promise<IncomingMessage>;

  readonly #options: Http1RequestOptions;
  #isConnected = false;
  #answer: IncomingMessage | undefined;
  #cancelTimer: () => void;
  #onConnected!: () => void;
  #onAnswered!: (answer: IncomingMessage) => void;
  #onFailed!: (error: ProxyError) => void;

  constructor(options: Http1RequestOptions) {
    this.#options = options;
    const failed = new Promise<never>((_, reject) => (this.#onFailed = reject));
    const connected = new Promise<void>((resolve) => (this.#onConnected = resolve));
    const answered = new Promise<IncomingMessage>((resolve) => (this.#onAnswered = resolve));
    this.connected = Promise.race([connected, failed]);
    this.answered = Promise.race([answered, failed]);
    // Whoever is no longer interested need not listen.
    this.connected.catch(() => {});
    this.answered.catch(() => {});

    this.body = open(options);
    this.#cancelTimer = options.clock.after(options.connectTimeoutMs, () => this.#connectTimedOut());
    this.#listen();
    if (!options.hasBody) this.body.end();
  }

  /** Whether a connection stood, so that the server may have seen the request. */
  get isConnected(): boolean {
    return this.#isConnected;
  }

  get isReused(): boolean {
    return this.body.reusedSocket;
  }

  #listen(): void {
    const { body } = this;
    const { signal, target } = this.#options;
    body.once('socket', (socket) => {
      // One that was pooled is usable at once, unless it was pooled while still on its way.
      const isReady = body.reusedSocket || this.#options.isDialled === true;
      if (isReady && !socket.connecting) this.#connect();
      else socket.once(target.secure ? 'secureConnect' : 'connect', () => this.#connect());
    });
    body.once('finish', () => this.#awaitAnswer());
    body.on('information', ({ httpVersion, statusCode, statusMessage, rawHeaders }) => {
      const headers = HeaderList.fromRaw(rawHeaders);
      this.#options.onInterim({ httpVersion, status: statusCode, reason: statusMessage, headers });
    });
    body.once('response', (answer) => this.#take(answer));
    body.once('upgrade', (answer, socket) => this.#refuseSwitch(answer, socket));
    body.on('error', (cause) => this.#onError(cause));
    body.once('close', () => {
      if (this.#answer === undefined) this.#fail(this.#closedEarly());
    });
    const abort = () => this.#abort();
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
  }

  #connect(): void {
    if (this.#isConnected) return;
    this.#cancelTimer();
    this.#isConnected = true;
    this.#onConnected();
    if (this.body.writableFinished) this.#awaitAnswer();
  }

  #awaitAnswer(): void {
    if (!this.#isConnected || this.#answer !== undefined || this.body.destroyed) return;
    const { clock, responseTimeoutMs } = this.#options;
    this.#cancelTimer();
    this.#cancelTimer = clock.after(responseTimeoutMs, () => {
      this.#fail(this.#error('UPSTREAM_ANSWER_TIMEOUT', `no response head within ${responseTimeoutMs} ms`));
    });
  }

  #take(answer: IncomingMessage): void {
    answer.on('error', () => {});
    const status = answer.statusCode ?? 0;
    if (status === 101) {
      this.#refuseSwitch(answer, answer.socket);
    } else if (status < 200) {
      this.#fail(this.#error('UPSTREAM_ANSWER_MALFORMED', `status ${status} does not exist`));
    } else {
      this.#cancelTimer();
      this.#answer = answer;
      this.#onAnswered(answer);
    }
  }

  /** Nobody asked for a switch: what follows on that socket is no HTTP that we could read (RFC 9110 §7.8). */
  #refuseSwitch(answer: IncomingMessage, socket: Duplex): void {
    answer.on('error', () => {});
    socket.on('error', () => {});
    socket.destroy();
    this.#fail(
      this.#error('UPSTREAM_SWITCH_UNEXPECTED', 'answered 101 to a request that asked for no switch'),
    );
  }

  #onError(cause: NodeJS.ErrnoException): void {
    if (this.#answer === undefined) {
      this.#fail(this.#explain(cause));
    } else if (!this.#answer.complete) {
      // Node would next take a body without a length for complete, because its connection has ended.
      this.#answer.destroy(cause);
    }
  }

  #explain(cause: NodeJS.ErrnoException): ProxyError {
    const { target } = this.#options;
    if (cause instanceof ProxyError) return cause;
    if (!this.#isConnected) return dialError(target, cause);
    if (cause.code === 'HPE_HEADER_OVERFLOW') {
      const limit = this.#options.maxHeaderBytes;
      return this.#error('UPSTREAM_ANSWER_TOO_LARGE', `its response head is larger than ${limit} bytes`);
    }
    if (cause.code?.startsWith('HPE_')) {
      return this.#error('UPSTREAM_ANSWER_MALFORMED', cause.message.replace(/^Parse Error:?\s*/, ''));
    }
    return this.#closedEarly(cause);
  }

  #connectTimedOut(): void {
    const limit = this.#options.connectTimeoutMs;
    this.#fail(this.#error('UPSTREAM_CONNECT_TIMEOUT', `did not take the connection within ${limit} ms`));
  }

  #closedEarly(cause?: NodeJS.ErrnoException): ProxyError {
    const why = cause?.code === undefined || cause.message === 'socket hang up' ? '' : ` (${cause.message})`;
    return this.#error('UPSTREAM_CLOSED_EARLY', `closed the connection before it had answered${why}`);
  }

  #error(code: ProxyError['code'], detail: string): ProxyError {
    return new ProxyError(code, `${this.#options.target.id}: ${detail}`);
  }

  #abort(): void {
    this.#fail(ProxyError.from(this.#options.signal.reason));
    this.#answer?.destroy();
  }

  #fail(error: ProxyError): void {
    this.#cancelTimer();
    this.#onFailed(error);
    // A connection whose exchange is complete is back in the pool and no longer this request’s to destroy.
    this.body.destroy();
  }
}

function open({ target, agent, method, path, headers, maxHeaderBytes }: Http1RequestOptions): ClientRequest {
  const { address, secure } = target;
  if (headers.has('te')) {
    // TE is the connection's own and has to be named so (RFC 9110 §10.1.4); the rest is what Node would have written.
    const keepAlive = 'keepAlive' in agent && agent.keepAlive === true;
    headers.append('Connection', `${keepAlive ? 'keep-alive' : 'close'}, TE`);
  }
  const request = (secure ? requestHttps : requestHttp)({
    ...('socketPath' in address
      ? { socketPath: address.socketPath }
      : { host: address.host, port: address.port }),
    agent,
    method,
    path,
    // A flat list goes out in its own order and spelling, duplicates included.
    headers: headers.toRaw(),
    setHost: false,
    insecureHTTPParser: false,
    maxHeaderSize: maxHeaderBytes,
  });
  // 0 = all. Node would silently drop those above its default of 2000; maxHeaderSize is the limit that counts.
  request.maxHeadersCount = 0;
  return request;
}
