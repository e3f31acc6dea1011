import type { Clock } from '../../base/deps.js';
import type { Reply } from './wire.js';

/** Questions that are on their way: each gets its reply, or is rejected in time. */
export class Asking {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #open = new Map<
    string,
    { settle: (reply: Reply | undefined) => void; fail: (error: Error) => void }
  >();
  #last = 0;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  get size(): number {
    return this.#open.size;
  }

  /** @param send hands the question on, with its number; rejects where it cannot. */
  ask(node: string, send: (number: string) => Promise<unknown>): Promise<Reply | undefined> {
    const number = `${++this.#last}`;
    return new Promise((resolve, reject) => {
      const end = (): void => {
        cancel();
        this.#open.delete(number);
      };
      const fail = (error: Error): void => {
        end();
        reject(error);
      };
      const cancel = this.#clock.after(this.#timeoutMs, () =>
        fail(new Error(`node ${node} did not answer within ${this.#timeoutMs} ms`)),
      );
      this.#open.set(number, {
        settle: (reply) => {
          end();
          resolve(reply);
        },
        fail,
      });
      send(number).catch((error: unknown) => fail(error as Error));
    });
  }

  /** @param reply undefined: there is no such node. One that nobody waits for any more is dropped. */
  settle(number: string, reply: Reply | undefined): void {
    this.#open.get(number)?.settle(reply);
  }

  close(): void {
    for (const { fail } of [...this.#open.values()]) fail(new Error('the backplane is closed'));
  }
}
