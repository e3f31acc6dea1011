import type { Clock } from '../base/deps.js';
import type { ProxyError } from '../base/errors.js';
import type { Beneficiary } from '../net/proxy-preface.js';
import type { Want } from '../upstream/lease.js';
import type { Upstream } from '../upstream/upstream.js';
import { Asking } from './asking.js';
import type { BackendAnswer, Question } from './backend-question.js';

export { type BackendAnswer, BackendFailure, type Question } from './backend-question.js';

export interface BackendOptions {
  readonly upstream: Upstream;
  /** What the client of these questions asks of the pool: the same server again, where it sticks to one. */
  readonly want: Want;
  readonly beneficiary: Beneficiary;
  readonly clock: Clock;
}

/** The servers of a route, as one that answers short questions in plain HTTP: balanced, checked, in HTTP/1.1 or 2. */
export class Backend {
  #options: BackendOptions;
  /** The server that was asked last. */
  server: string | undefined;

  constructor(options: BackendOptions) {
    this.#options = options;
  }

  /**
   * Asks one server after another until one takes the connection, and resolves with its answer, whatever its status.
   *
   * @throws BackendFailure
   */
  async ask(question: Question): Promise<BackendAnswer> {
    const asking = this.begin(question);
    const { signal } = question;
    if (signal === undefined) return asking.answered;
    const giveUp = (): void => asking.giveUp(signal.reason as ProxyError);
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    try {
      return await asking.answered;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  /** The same server again from here on, as long as it is there. */
  stay(): void {
    const { upstream, want, beneficiary, clock } = this.#options;
    this.#options = { upstream, want: { key: want.key, server: this.server }, beneficiary, clock };
  }

  /** As `ask`, to be given up without a signal. */
  begin(question: Question): Asking {
    return new Asking(question, this.#options, (server) => (this.server = server));
  }
}
