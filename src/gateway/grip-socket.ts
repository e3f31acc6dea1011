import type { Clock } from '../base/deps.js';
import type { Hub } from '../channels/hub.js';
import { resume } from '../channels/resume.js';
import type { Delivery, Prepared, Subscriber, Subscription } from '../channels/types.js';
import { filterItem } from '../protocol/grip/filters.js';
import type { WsMessageFormat } from '../protocol/grip/types.js';
import {
  readControlMessage,
  type ControlMessage,
  type WsKeepAlive,
  type WsResume,
} from '../protocol/grip/ws-control.js';
import { sortMessage } from '../protocol/grip/ws-messages.js';
import type { GatewayPlan } from '../route/gateway-plan.js';

type MessageType = 'text' | 'binary' | 'ping' | 'pong';

/** What GRIP does to a WebSocket. */
export interface GripSocketActions {
  /** To the client, as a message or a ping of its own. */
  send(type: MessageType, content: Buffer): Delivery;
  sendPrepared(prepared: Prepared): Delivery;
  /** Undefined while the client takes more; else resolves once it does. */
  ready(): Promise<void> | undefined;
  /** The client has not taken what it was to have. */
  tooSlow(): void;
  close(code: number | undefined, reason: string): void;
  /** The backend leaves; the client stays. */
  detach(): void;
  /** The backend is asked at once. */
  refresh(): void;
  /** One line for the log. */
  report(problem: string): void;
}

export interface GripSocketOptions {
  /** Of the session. */
  readonly id: string;
  readonly hub: Hub;
  readonly plan: Pick<GatewayPlan, 'channelPrefix' | 'maxSubscriptions' | 'subscribe'>;
  readonly clock: Clock;
  readonly actions: GripSocketActions;
}

/** GRIP on one WebSocket: what its backend says to the gateway, and what is published to its channels. */
export class GripSocket implements Subscriber {
  readonly id: string;
  readonly #options: GripSocketOptions;
  /** Set by the backend when it takes GRIP. */
  #messagePrefix: Buffer | undefined;
  readonly #meta = new Map<string, string>();
  /** With the name that the backend knows: without the prefix. */
  readonly #channels = new Map<string, string | undefined>();
  #keepAlive: WsKeepAlive | undefined;
  #cancelKeepAlive: () => void = nothing;
  /** When the last message went to the client, since there is a keep-alive. */
  #sentAtMs = 0;
  #delayed: { readonly type: MessageType; readonly content: Buffer } | undefined;
  #cancelDelayed: () => void = nothing;

  constructor(options: GripSocketOptions) {
    this.id = options.id;
    this.#options = options;
    for (const channel of options.plan.subscribe) this.#join(channel, channel, [], undefined);
  }

  get user(): string | undefined {
    return this.#meta.get('user');
  }

  /** The backend takes GRIP: from now on its messages are sorted. */
  turnOn(messagePrefix: Buffer): void {
    this.#messagePrefix = messagePrefix;
  }

  /** A message of the backend: for the gateway, for the client, or for nobody. */
  take(type: MessageType, content: Buffer): void {
    const { actions } = this.#options;
    if (type === 'ping' || type === 'pong' || this.#messagePrefix === undefined) {
      this.#send(type, content);
      return;
    }
    const sorted = sortMessage(type, content, this.#messagePrefix);
    if (sorted.kind === 'message') this.#send(type, sorted.content);
    else if (sorted.kind === 'control') this.#obey(sorted.json);
    else actions.report('a message of the backend has neither prefix, so it is for nobody');
  }

  receive(prepared: Prepared, { filters }: Subscription): Delivery {
    const { wsMessage, meta } = prepared.item;
    if (wsMessage === undefined) return 'skipped';
    const { actions } = this.#options;
    const isSending = wsMessage.action === 'send';
    const contentFilters = isSending ? wsMessage.contentFilters : undefined;
    if (filters.length > 0 || contentFilters !== undefined) {
      const content = isSending ? wsMessage.content : undefined;
      const context = { filters, meta: this.#meta, channels: this.#channels };
      const verdict = filterItem({ meta, contentFilters, content }, context);
      if (verdict.do === 'drop') {
        if (verdict.fault !== undefined) actions.report(verdict.fault);
        return 'skipped';
      }
      if (verdict.do === 'replace' && isSending) return this.#send(wsMessage.type, verdict.content);
    }
    return this.#receive(prepared, wsMessage);
  }

  ready(): Promise<void> | undefined {
    return this.#options.actions.ready();
  }

  tooSlow(): void {
    this.#options.actions.tooSlow();
  }

  end(): void {
    this.#cancelKeepAlive();
    this.#cancelDelayed();
    this.#options.hub.leaveAll(this);
  }

  #receive(prepared: Prepared, message: WsMessageFormat): Delivery {
    const { actions } = this.#options;
    if (message.action === 'close') actions.close(message.code, message.reason);
    else if (message.action === 'refresh') actions.refresh();
    else {
      this.#noteSending();
      return actions.sendPrepared(prepared);
    }
    return 'delivered';
  }

  #obey(json: string): void {
    const reading = readControlMessage(json);
    if (reading.ok) this.#do(reading.message);
    else
      this.#options.actions.report(
        `the backend sent a control message that cannot be used: ${reading.problem}`,
      );
  }

  #do(message: ControlMessage): void {
    const { actions, plan, hub } = this.#options;
    switch (message.type) {
      case 'subscribe':
        return this.#join(
          plan.channelPrefix + message.channel,
          message.channel,
          message.filters,
          message.resume,
        );
      case 'unsubscribe':
        this.#channels.delete(message.channel);
        hub.unsubscribe(this, plan.channelPrefix + message.channel);
        return;
      case 'detach':
        return actions.detach();
      case 'set-meta':
        if (message.value === undefined) this.#meta.delete(message.name);
        else this.#meta.set(message.name, message.value);
        return;
      case 'keep-alive':
        return this.#setKeepAlive(message.message);
      case 'send-delayed':
        this.#flush();
        this.#delayed = { type: message.messageType, content: message.content };
        this.#cancelDelayed = this.#options.clock.after(message.timeoutMs, () => this.#flush());
        return;
      case 'flush-delayed':
        return this.#flush();
      case 'session':
      // Sessions of GRIP need a store that nobody has; they were never offered (`Grip-Feature`).
    }
  }

  /** @param name what the backend calls it. */
  #join(channel: string, name: string, filters: readonly string[], from: WsResume | undefined): void {
    const { hub, plan, actions } = this.#options;
    if (!this.#channels.has(name) && this.#channels.size >= plan.maxSubscriptions) {
      actions.report(
        `the backend subscribes to more than ${plan.maxSubscriptions} channels (\`gateway.maxSubscriptions\`)`,
      );
      return;
    }
    this.#channels.set(name, undefined);
    const subscription = { channel, filters, meta: () => this.#meta };
    const joining = from === undefined ? hub.subscribe(this, subscription) : this.#resume(subscription, from);
    joining.catch((thrown: unknown) => actions.report(`channel ${channel}: ${String(thrown)}`));
  }

  /** Whatever becomes of it, the client is told once whether it has all. */
  async #resume(subscription: Subscription, { since, recovered, notRecovered }: WsResume): Promise<void> {
    let isTold = false;
    const tell = (isWhole: boolean): void => {
      isTold = true;
      const text = isWhole ? recovered : notRecovered;
      if (text !== undefined) this.#send('text', Buffer.from(text));
    };
    try {
      await resume(this.#options.hub, this, subscription, { id: since }, (recovery) =>
        tell(recovery.recovered),
      );
    } catch (thrown) {
      if (!isTold) tell(false);
      throw thrown;
    }
  }

  #setKeepAlive(message: WsKeepAlive | undefined): void {
    this.#cancelKeepAlive();
    this.#cancelKeepAlive = nothing;
    this.#keepAlive = message;
    if (message !== undefined) this.#awaitKeepAlive(message.timeoutMs);
  }

  /** One timer, that looks how long it has been quiet: nothing is done for each message. */
  #awaitKeepAlive(ms: number): void {
    this.#cancelKeepAlive = this.#options.clock.after(ms, () => {
      const { messageType, content, timeoutMs, mode } = this.#keepAlive!;
      const quietMs = this.#options.clock.now() - this.#sentAtMs;
      if (mode === 'idle' && quietMs < timeoutMs) return this.#awaitKeepAlive(timeoutMs - quietMs);
      this.#send(messageType, content);
      this.#awaitKeepAlive(timeoutMs);
    });
  }

  #flush(): void {
    this.#cancelDelayed();
    const delayed = this.#delayed;
    this.#delayed = undefined;
    if (delayed !== undefined) this.#send(delayed.type, delayed.content);
  }

  #send(type: MessageType, content: Buffer): Delivery {
    this.#noteSending();
    return this.#options.actions.send(type, content);
  }

  /** Nobody but a keep-alive asks, and a clock for each delivery would be dear. */
  #noteSending(): void {
    if (this.#keepAlive !== undefined) this.#sentAtMs = this.#options.clock.now();
  }
}

function nothing(): void {}
