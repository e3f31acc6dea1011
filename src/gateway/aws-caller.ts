import type { Clock } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import { type AwsAnswer, readAwsAnswer } from '../protocol/aws/answer.js';
import type { GripSigner } from '../protocol/grip/grip-sig.js';
import type { HeaderList } from '../protocol/http/header-list.js';
import type { AwsPlan, GatewayPlan } from '../route/gateway-plan.js';
import { askAgain } from './ask-again.js';
import { type Backend, type BackendAnswer, BackendFailure } from './backend.js';

export interface AwsCallerOptions {
  /** Of the session. */
  readonly id: string;
  readonly plan: GatewayPlan;
  readonly aws: AwsPlan;
  readonly backend: Backend;
  /** The target of the handshake. */
  readonly path: string;
  readonly replayed: HeaderList;
  readonly signer: GripSigner | undefined;
  readonly clock: Clock;
  readonly random: () => number;
}

export interface AwsCall {
  /** As JSON. */
  readonly event: Buffer;
  readonly timeoutMs: number;
  /** Whether it is sent again where it has failed. */
  readonly isRetried: boolean;
  /** Gives it up, with a ProxyError. */
  readonly signal: AbortSignal;
}

/** POSTs events of one connection to its backend, again and again if need be. */
export class AwsCaller {
  readonly #options: AwsCallerOptions;

  constructor(options: AwsCallerOptions) {
    this.#options = options;
  }

  /** @throws BackendFailure where there is no answer that can be used */
  async call(call: AwsCall): Promise<AwsAnswer> {
    const { plan, clock, random } = this.#options;
    const retries = call.isRetried ? plan.retries : NO_RETRIES;
    const options = { retries, clock, random, signal: call.signal };
    const answered = await askAgain(() => this.#ask(call), options);
    const { answer, problem } = readAwsAnswer(answered, this.#options.aws.answers);
    if (problem !== undefined) {
      throw failed(`${answered.server}: it sent what cannot be used: ${problem}`);
    }
    return answer;
  }

  async #ask({ event, timeoutMs, signal }: AwsCall): Promise<BackendAnswer> {
    const { backend, plan, aws, path } = this.#options;
    return await backend.ask({
      method: 'POST',
      path: aws.path ?? path,
      headers: await this.#fields(event),
      body: event,
      timeoutMs,
      maxResponseBytes: plan.maxResponseBytes,
      signal,
    });
  }

  async #fields(event: Buffer): Promise<HeaderList> {
    const { replayed, id, signer, clock } = this.#options;
    const fields = replayed.clone();
    const signature = await signer?.token(clock.date().getTime());
    if (signature !== undefined) fields.append('Grip-Sig', signature);
    fields.append('Accept', '*/*');
    fields.append('Connection-Id', id);
    fields.append('Content-Type', 'application/json');
    fields.append('Content-Length', String(event.length));
    return fields;
  }
}

const NO_RETRIES: GatewayPlan['retries'] = { attempts: 0, statuses: new Set() };

function failed(problem: string): BackendFailure {
  return new BackendFailure('ambiguous', new ProxyError('UPSTREAM_ANSWER_MALFORMED', problem));
}
