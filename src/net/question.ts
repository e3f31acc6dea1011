import type { ProxyError } from '../base/errors.js';
import type { HeaderList } from '../protocol/http/header-list.js';

/** A request of HTTP/1.1 that is short, and so is its answer: both are held whole. */
export interface Question {
  readonly method: string;
  /** `requestLine` and every field but `Connection`: latin-1 text. */
  readonly head: string;
  /** Whether `TE` is among them, which is the connection’s own and has to be named so (RFC 9110 §10.1.4). */
  readonly hasTe: boolean;
  /** As its fields say how long it is. */
  readonly body: Buffer;
  /** Limit for the answer’s head. */
  readonly maxHeaderBytes: number;
  /** Limit for the answer’s body, without the framing of chunks. */
  readonly maxBodyBytes: number;
  /** How that limit is called in the config. */
  readonly maxBodyName: string;
}

/** A server’s whole answer, whatever its status; never a 1xx. */
export interface WholeAnswer {
  readonly status: number;
  readonly reason: string;
  readonly fields: HeaderList;
  readonly body: Buffer;
}

/** Who asks. It is called once for each question, and must not throw. */
export interface Asker {
  onAnswer(answer: WholeAnswer): void;
  onFailure(failure: QuestionFailure): void;
}

export interface QuestionFailure {
  readonly error: ProxyError;
  /** Whether all of the question had left, or an answer had begun: the server may have read it. */
  readonly mayBeRead: boolean;
  /** Whether not one byte came back, and the connection has ended: on a used one the server may have closed before. */
  readonly isSilent: boolean;
}
