import { STATUS_CODES } from 'node:http';
import type { HeaderList } from '../http/header-list.js';
import { readHoldHeaders } from './hold-headers.js';
import { isInstruct, readInstruct } from './hold-json.js';

/** What a backend answered, before the client sees any of it. */
export interface BackendResponse {
  readonly status: number;
  readonly reason: string;
  readonly headers: HeaderList;
}

/** What is for the client: never with a header of GRIP. */
export interface ClientResponse extends BackendResponse {
  /** Undefined: the backend’s own body, as it comes. */
  readonly body: Buffer | undefined;
}

/** What a backend asks to be done with its client. */
export interface Hold {
  /**
   * `response`: keep the response until something is published or the time is up. `stream`: send it, and what is
   * published behind it. `follow`: send it, and behind it what the next link gives.
   */
  readonly mode: 'response' | 'stream' | 'follow';
  readonly channels: readonly HoldChannel[];
  /** Of a kept response; 5 seconds at least, 55 where nothing was said. */
  readonly timeoutMs: number;
  /** Of a stream. */
  readonly keepAlive: KeepAlive | undefined;
  /** What filters know of the client. */
  readonly meta: ReadonlyMap<string, string>;
  readonly next: { readonly url: string; readonly timeoutMs: number } | undefined;
  /** Told once the client has gone. URLs are as written, perhaps relative to that of the request. */
  readonly goneUrl: string | undefined;
}

export interface HoldChannel {
  readonly name: string;
  /** The id of the last item that the response has seen. */
  readonly prevId: string | undefined;
  readonly filters: readonly string[];
}

export interface KeepAlive {
  readonly content: Buffer;
  /** 1 second at least. */
  readonly timeoutMs: number;
  /** `idle`: that long after the last bytes to the client; `interval`: always after that long. */
  readonly mode: 'idle' | 'interval';
}

export type Instruction =
  | { readonly kind: 'hold'; readonly hold: Hold; readonly response: ClientResponse }
  /** Nothing is asked; the response goes to the client. */
  | { readonly kind: 'pass'; readonly response: ClientResponse }
  /** The client gets a 502, the log this line. */
  | { readonly kind: 'error'; readonly problem: string };

/** Whether the instruction stands in the body, which must be read whole before `readInstruction`. */
export function isInstructBody(headers: HeaderList): boolean {
  return isInstruct(headers);
}

/**
 * What the backend’s response says to the gateway, in `Grip-*` headers or, where `isInstructBody`, in its body too.
 * Lengths and encodings of the body are the caller’s: `Content-Length` stays as the backend sent it unless the body is
 * replaced.
 */
export function readInstruction(response: BackendResponse, body: Buffer | undefined): Instruction {
  const fromHeaders = readHoldHeaders(response);
  if ('problem' in fromHeaders) return { kind: 'error', problem: fromHeaders.problem };
  const read =
    body !== undefined && isInstruct(response.headers)
      ? readInstruct(response, body, fromHeaders)
      : fromHeaders;
  if ('problem' in read) return { kind: 'error', problem: read.problem };

  const { mode = read.next && 'follow', ...said } = read;
  const reason = said.response.reason === '' ? STATUS_CODES[said.response.status] : said.response.reason;
  const answer: ClientResponse = { ...said.response, reason: reason ?? '' };
  if (mode === undefined) return { kind: 'pass', response: answer };
  const hold: Hold = {
    mode,
    channels: said.channels,
    timeoutMs: Math.max(said.timeoutMs ?? DEFAULT_TIMEOUT_MS, MIN_TIMEOUT_MS),
    keepAlive: said.keepAlive && {
      ...said.keepAlive,
      timeoutMs: Math.max(said.keepAlive.timeoutMs, MIN_KEEP_ALIVE_MS),
    },
    meta: said.meta,
    next: said.next,
    goneUrl: said.goneUrl,
  };
  return { kind: 'hold', hold, response: answer };
}

/** What headers and body have said so far. */
export interface Said {
  readonly mode: 'response' | 'stream' | undefined;
  readonly channels: readonly HoldChannel[];
  readonly timeoutMs: number | undefined;
  readonly keepAlive: KeepAlive | undefined;
  readonly meta: ReadonlyMap<string, string>;
  readonly next: { readonly url: string; readonly timeoutMs: number } | undefined;
  readonly goneUrl: string | undefined;
  readonly response: ClientResponse;
}

export interface Problem {
  readonly problem: string;
}

const DEFAULT_TIMEOUT_MS = 55_000;
const MIN_TIMEOUT_MS = 5000;
const MIN_KEEP_ALIVE_MS = 1000;
