import { ProxyError } from '../base/errors.js';
import type { ClientResponse, Hold } from '../protocol/grip/hold.js';
import type { BackendAnswer } from './backend.js';
import { AskFailure } from './hold-asker.js';
import type { HoldSink } from './hold-sink.js';

/** What a backend asks to be done with its client, and the body that comes with it, as far as it is not read. */
export interface Held {
  readonly hold: Hold;
  readonly response: ClientResponse;
  /** All of it. Rejects with a ProxyError, also where it is larger than `gateway.maxResponseBytes`. */
  read(): Promise<Buffer>;
  /** Moves it to the client as it comes, whatever its size; resolves with its bytes. */
  pour(): Promise<number>;
  /** Nobody wants it. */
  discard(): void;
}

/** An answer that has been read. */
export function heldOf(
  { hold, response }: { readonly hold: Hold; readonly response: ClientResponse },
  answer: BackendAnswer,
  sink: HoldSink,
): Held {
  const body = response.body ?? answer.body;
  return {
    hold,
    response,
    read: () => Promise.resolve(body),
    pour: () => {
      if (body.length > 0) sink.write(body);
      return Promise.resolve(body.length);
    },
    discard: nothing,
  };
}

export function asProxyError(thrown: unknown): ProxyError {
  return thrown instanceof AskFailure ? broken(thrown.message) : ProxyError.from(thrown);
}

/** The backend’s part failed; a client that has been given anything is cut. */
export function broken(detail: string): ProxyError {
  return new ProxyError('UPSTREAM_RESPONSE_ABORTED', detail);
}

export function malformed(server: string, problem: string): ProxyError {
  return new ProxyError('UPSTREAM_ANSWER_MALFORMED', `${server}: ${problem}`);
}

function nothing(): void {}
