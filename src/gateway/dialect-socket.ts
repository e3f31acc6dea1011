import type { ProxyError } from '../base/errors.js';
import { TurnClock } from '../base/turn-clock.js';
import type { Delivery, SessionAnswer } from '../channels/types.js';
import { type LegalClose, legalClose } from '../protocol/ws-over-http/close.js';
import { GripSocket } from './grip-socket.js';
import { Outlet } from './outlet.js';
import type { DialectRecord } from './session-record.js';
import type {
  CloseWords,
  Opening,
  OwnWord,
  TerminatedSocket,
  TerminatedSocketOptions,
} from './terminated-socket.js';
import type { ClientEndpoint, EndpointEnd } from './types.js';

/** A backend that is told that a client has gone has nothing to say to it. */
export const FAREWELL_TIMEOUT_MS = 5000;
/** And less so when everything has to end now. */
export const LAST_TIMEOUT_MS = 1000;
const TRY_AGAIN_LATER = 1013;

/**
 * The client’s side of a WebSocket that ends here, which is the same in every dialect: what comes is counted and handed
 * on, what is said to the client goes out in bounds, and the first word on its end is kept.
 */
export abstract class DialectSocket<
  Options extends TerminatedSocketOptions = TerminatedSocketOptions,
> implements TerminatedSocket {
  readonly id: string;
  messages = 0;
  bytes = 0;
  closeFromClient: CloseWords | undefined;
  closeFromUs: CloseWords | undefined;
  ownWord: OwnWord | undefined;
  protected readonly options: Options;
  protected readonly grip: GripSocket;
  #endpoint: ClientEndpoint | undefined;
  #outlet: Outlet | undefined;

  constructor(options: Options) {
    const { id, plan, hub, clock, report } = options;
    this.id = id;
    this.options = options;
    const actions = {
      send: this.toClient.bind(this),
      sendPrepared: (prepared) => this.#outlet?.sendPrepared(prepared) ?? 'skipped',
      ready: () => this.#outlet?.ready(),
      tooSlow: () => this.#onTooSlow(),
      close: (code, reason) => this.#closeByPublish(code, reason),
      detach: () => this.detach(),
      refresh: () => this.refresh(),
      report,
    } satisfies ConstructorParameters<typeof GripSocket>[0]['actions'];
    this.grip = new GripSocket({ id, hub, plan, clock, actions });
  }

  abstract open(): Promise<Opening>;

  abstract giveUp(reason: ProxyError): void;

  abstract record(): DialectRecord;

  attach(endpoint: ClientEndpoint): void {
    this.#endpoint = endpoint;
    const { plan, clock } = this.options;
    const onTooSlow = (): void => this.#onTooSlow();
    this.#outlet = new Outlet(endpoint, plan.slowConsumer, onTooSlow, TurnClock.of(clock));
    this.begin();
  }

  get endpoint(): ClientEndpoint | undefined {
    return this.#endpoint;
  }

  get outlet(): Outlet | undefined {
    return this.#outlet;
  }

  // What a dialect makes of it.

  /** The client is there. Some of what it says may have come with its handshake. */
  protected abstract begin(): void;
  /** @param content for as long as it is needed. */
  protected abstract tell(type: 'text' | 'binary', content: Buffer): void;
  protected abstract tellClose(code: number | undefined, reason: Buffer): void;
  /** A Close of somebody who knows its id, or of a channel, has gone out. */
  protected abstract tellOwnClose(close: LegalClose): void;
  /** The backend is asked no more. */
  protected abstract forget(): void;
  protected abstract detach(): void;
  protected abstract refresh(): void;

  // The client.

  onMessage(type: 'text' | 'binary', content: Buffer): void {
    this.messages++;
    this.bytes += content.length;
    // It may be a part of what was read with it, and waits for as long as the backend takes.
    const owned = content.buffer.byteLength > 2 * content.length + 512 ? Buffer.from(content) : content;
    this.tell(type, owned);
  }

  abstract onPing(content: Buffer): void;

  abstract onPong(content: Buffer): void;

  onClose(code: number | undefined, reason: Buffer): void {
    this.closeFromClient = { code, reason: reason.toString() };
    this.tellClose(code, reason);
  }

  onDrain(): void {
    this.#outlet?.onDrain();
  }

  abstract onEnd(end: EndpointEnd): void;

  // Who knows its id, and the proxy itself.

  send(type: 'text' | 'binary', content: Buffer): SessionAnswer {
    if (this.#endpoint?.isOpen !== true) return { ok: false, why: 'closing' };
    return this.toClient(type, content) === 'delivered' ? { ok: true } : { ok: false, why: 'too-slow' };
  }

  close(code: number | undefined, reason: string): SessionAnswer {
    if (this.#endpoint?.isOpen !== true) return { ok: false, why: 'closing' };
    this.#closeByPublish(code, reason);
    return { ok: true };
  }

  info(): Readonly<Record<string, unknown>> {
    return this.options.info();
  }

  closeByProxy(code: number, reason: string, word: OwnWord | undefined): void {
    if (word !== undefined) this.ownWord ??= word;
    this.closeClient(code, reason);
  }

  disown(code: number, reason: string, word: OwnWord): void {
    this.ownWord ??= word;
    this.closeClient(code, reason);
    this.forget();
  }

  // To the client.

  protected toClient(type: 'text' | 'binary' | 'ping' | 'pong', content: Buffer): Delivery {
    const endpoint = this.#endpoint;
    if (endpoint === undefined) return 'skipped';
    if (type === 'text' || type === 'binary') return this.#outlet!.send(type, content);
    if (content.length <= 125) endpoint[type](content);
    return 'delivered';
  }

  protected closeClient(code: number, reason: string): void {
    if (this.#endpoint?.isOpen !== true) return;
    this.closeFromUs = { code, reason };
    this.#endpoint.close(code, reason);
  }

  #closeByPublish(code: number | undefined, reason: string): void {
    const close = legalClose(code, reason);
    this.ownWord ??= { by: 'upstream' };
    this.closeClient(close.code, close.reason);
    this.tellOwnClose(close);
  }

  #onTooSlow(): void {
    const detail = `did not take what was sent: more than ${this.options.plan.slowConsumer.maxBytes} bytes waited (\`gateway.slowConsumer\`)`;
    this.ownWord ??= { by: 'proxy', outcome: 'limit', detail };
    this.options.report(`the client ${detail}`);
    this.closeClient(TRY_AGAIN_LATER, 'slow consumer');
  }
}
