import type { Clock } from '../base/deps.js';
import type { Delivery } from '../channels/types.js';
import { filterItem } from '../protocol/grip/filters.js';
import type { ClientResponse } from '../protocol/grip/hold.js';
import { answerTo, publishedBody } from '../protocol/grip/long-poll.js';
import type { PublishItem } from '../protocol/grip/types.js';
import type { HoldChannels } from './hold-channels.js';
import type { HoldSink } from './hold-sink.js';

export interface ResponseHoldOptions {
  /** With its whole body. */
  readonly stored: ClientResponse;
  readonly timeoutMs: number;
  readonly sink: HoldSink;
  readonly channels: HoldChannels;
  readonly clock: Clock;
  readonly report: (problem: string) => void;
  /** The client has its answer, or cannot be given it. */
  readonly onAnswered: (failure?: unknown) => void;
}

/** A long poll: a response is kept until something is published, or until the time is up. */
export class ResponseHold {
  readonly kind = 'response';
  readonly #options: ResponseHoldOptions;
  readonly #cancelTimer: () => void;

  constructor(options: ResponseHoldOptions) {
    this.#options = options;
    this.#cancelTimer = options.clock.after(options.timeoutMs, () => this.end());
  }

  receive({ httpResponse, meta }: PublishItem, filters: readonly string[]): Delivery {
    if (httpResponse?.action !== 'send') return 'skipped';
    const { stored, channels, report } = this.#options;
    const body = publishedBody(httpResponse, stored);
    if ('problem' in body) {
      report(body.problem);
      return 'skipped';
    }
    const { contentFilters } = httpResponse;
    const verdict = filterItem({ meta, contentFilters, content: body }, channels.context(filters));
    if (verdict.do === 'drop') {
      if (verdict.fault !== undefined) report(verdict.fault);
      return 'skipped';
    }
    this.#answer(answerTo(stored, httpResponse, verdict.do === 'replace' ? verdict.content : body));
    return 'delivered';
  }

  /** The client gets the response that was kept. */
  end(): void {
    this.#answer(this.#options.stored);
  }

  stop(): void {
    this.#cancelTimer();
  }

  #answer(response: ClientResponse): void {
    this.stop();
    const { sink, onAnswered } = this.#options;
    try {
      sink.respond(response);
    } catch (thrown) {
      return onAnswered(thrown);
    }
    onAnswered();
  }
}
