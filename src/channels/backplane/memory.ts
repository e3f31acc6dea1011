import type { PublishItem } from '../../protocol/grip/types.js';
import type { MemoryHistory } from '../history.js';
import { NOBODY } from '../nobody.js';
import type { Backplane, BackplaneHandlers, PublishResult, Recovery, Since } from '../types.js';

/** The way of one node that knows no other. */
export class MemoryBackplane implements Backplane {
  readonly name = 'memory';
  readonly isAlone = true;
  readonly node: string;
  readonly #history: MemoryHistory | undefined;
  #handlers: BackplaneHandlers | undefined;
  /** Published while another was being delivered: each has its turn, so that all subscribers see one order. */
  readonly #waiting: (() => void)[] = [];
  #isDelivering = false;

  /** @param node letters and digits. */
  constructor(node: string, history?: MemoryHistory) {
    this.node = node;
    this.#history = history;
  }

  open(handlers: BackplaneHandlers): Promise<void> {
    this.#handlers = handlers;
    return DONE;
  }

  join(): Promise<void> {
    return DONE;
  }

  leave(): void {}

  publish(item: PublishItem): Promise<PublishResult> {
    if (this.#isDelivering) {
      return new Promise((resolve) => this.#waiting.push(() => resolve(this.#deliver(item))));
    }
    this.#isDelivering = true;
    try {
      const result = this.#deliver(item);
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next();
      return Promise.resolve(result);
    } finally {
      this.#isDelivering = false;
    }
  }

  keepsHistory(channel: string): boolean {
    return this.#history?.keeps(channel) ?? false;
  }

  since(channel: string, from: Since | undefined): Promise<Recovery> {
    return Promise.resolve(this.#history?.since(channel, from) ?? NO_HISTORY);
  }

  history(channel: string, limit: number): Promise<Recovery['messages']> {
    return Promise.resolve(this.#history?.last(channel, limit) ?? []);
  }

  /** Any session that is not here is nowhere. */
  ask(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  nodes(): readonly string[] {
    return [];
  }

  query(node: string): Promise<never> {
    return Promise.reject(new Error(`there is no node ${node}`));
  }

  keep(): void {}

  forget(): void {}

  close(): Promise<void> {
    this.#handlers = undefined;
    this.#history?.close();
    return DONE;
  }

  #deliver(item: PublishItem): PublishResult {
    return this.#handlers?.onPublish(item, this.#history?.append(item)) ?? NOBODY;
  }
}

const DONE = Promise.resolve();
const NO_HISTORY: Recovery = { recovered: false, messages: [], place: undefined };
