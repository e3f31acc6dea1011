import type { Socket } from 'node:net';
import { ProxyError } from '../base/errors.js';
import { formatSize } from '../base/units.js';
import { BodyEnd } from '../protocol/http/body-end.js';
import type { ResponseHead } from '../protocol/http/head.js';
import { HeadError, ResponseHeadReader } from '../protocol/http/response-head.js';
import type { Asker, Question } from './question.js';
import { ifOrderly } from './sockets.js';

/** Where a socket puts what it reads, and whom it tells. */
export interface Reading {
  readonly options: {
    readonly buffer: Uint8Array;
    /** Whether to read on. */
    readonly callback: (bytes: number, buffer: Uint8Array) => boolean;
  };
  onRead: (chunk: Buffer) => void;
}

/**
 * One buffer for all connections: what is read is taken out before the next read. Not on Windows, where reads are under
 * way in it at the same time.
 */
const READ_BYTES = 64 * 1024;
let shared: Buffer | undefined;

export function newReading(): Reading {
  const isShared = process.platform !== 'win32';
  const buffer = isShared
    ? (shared ??= Buffer.allocUnsafeSlow(READ_BYTES))
    : Buffer.allocUnsafeSlow(READ_BYTES);
  const reading: Reading = {
    options: {
      buffer,
      callback(bytes) {
        reading.onRead(buffer.subarray(0, bytes));
        return true;
      },
    },
    onRead: () => {},
  };
  return reading;
}

/** Who keeps idle connections. */
export interface Keeper {
  giveBack(connection: AskedConnection, limitMs?: number): void;
  forget(connection: AskedConnection): void;
}

/** A question that waits for its answer, and what has come of it. */
interface Pending {
  readonly question: Question;
  readonly asker: Asker;
  reader: ResponseHeadReader | undefined;
  head: ResponseHead | undefined;
  end: BodyEnd | undefined;
  chunks: Buffer[];
  bodyBytes: number;
  hasHeard: boolean;
}

/**
 * One connection to a server that is asked one short question after another. Its answers are read as strictly as those
 * to handshakes, by the same reader: what two could understand in two ways ends the connection.
 *
 * There are clients of HTTP that can do more; the cheapest of them costs more than twice as much of a message’s way.
 */
export class AskedConnection {
  readonly #socket: Socket;
  /** As shown in errors. */
  readonly #server: string;
  readonly #keeper: Keeper | undefined;
  #pending: Pending | undefined;
  #isWritten = true;
  #idleLimitMs = Infinity;
  readonly #onWritten = (error?: Error | null): void => {
    if (!error) this.#isWritten = true;
  };

  /**
   * @param socket just dialled, with the options of `reading`
   * @param keeper undefined: it is for one question alone
   */
  constructor(socket: Socket, server: string, reading: Reading, keeper: Keeper | undefined) {
    this.#socket = socket;
    this.#server = server;
    this.#keeper = keeper;
    reading.onRead = (chunk) => this.#onRead(chunk);
    socket.on('error', (cause) => this.#onEnd(cause));
    socket.on('end', () => this.#onSocketEnd());
    socket.on('close', () => this.#onEnd(undefined));
    socket.on('timeout', () => {
      if (this.#pending === undefined) this.destroy();
    });
  }

  /** To be called when nothing is under way. */
  ask(question: Question, asker: Asker): void {
    this.#pending = {
      question,
      asker,
      reader: undefined,
      head: undefined,
      end: undefined,
      chunks: NONE,
      bodyBytes: 0,
      hasHeard: false,
    };
    const { head, body, hasTe } = question;
    const connection = (this.#keeper === undefined ? CLOSE : KEEP_ALIVE) + (hasTe ? AND_TE : END);
    const bytes = Buffer.allocUnsafe(head.length + connection.length + body.length);
    const at = bytes.write(head, 'latin1');
    bytes.write(connection, at, 'latin1');
    body.copy(bytes, at + connection.length);
    this.#isWritten = false;
    this.#socket.write(bytes, this.#onWritten);
    // It may have ended since it was taken.
    if (this.#socket.destroyed) this.#onEnd(undefined);
  }

  /** Gives up what is asked; nothing is told of it. Returns whether the server may have read it. */
  giveUp(): boolean {
    const mayBeRead = this.#isWritten || this.#pending?.head !== undefined;
    this.#pending = undefined;
    this.#socket.destroy();
    return mayBeRead;
  }

  destroy(): void {
    this.#keeper?.forget(this);
    this.#socket.destroy();
  }

  /** How long it may be silent while nothing is asked. Node counts, at no cost for each question. */
  limitIdle(limitMs: number): void {
    if (limitMs === this.#idleLimitMs) return;
    this.#idleLimitMs = limitMs;
    this.#socket.setTimeout(limitMs === Infinity ? 0 : Math.min(limitMs, MAX_TIMER_MS));
  }

  // What comes.

  #onRead(chunk: Buffer): void {
    const pending = this.#pending;
    // Bytes on an idle connection answer no question: they must not become the answer to the next one.
    if (pending === undefined) {
      this.destroy();
      return;
    }
    pending.hasHeard = true;
    try {
      const rest = pending.end === undefined ? this.#readHead(pending, chunk) : chunk;
      if (rest !== undefined) this.#readBody(pending, rest);
    } catch (thrown) {
      this.#fail(asProxyError(thrown, this.#server));
    }
  }

  /** Returns what stands behind the head, once it is there. */
  #readHead(pending: Pending, chunk: Buffer): Buffer | undefined {
    const { maxHeaderBytes: maxBytes, method, maxBodyBytes } = pending.question;
    for (let bytes = chunk; ;) {
      pending.reader ??= new ResponseHeadReader({ maxBytes });
      const read = pending.reader.push(bytes);
      if (read === undefined) return undefined;
      if (read.head.status >= 200) {
        pending.head = read.head;
        pending.end = BodyEnd.of(read.head, method);
        const announced = pending.end.done ? 0 : (pending.end.contentLength ?? 0);
        if (announced > maxBodyBytes) throw this.#bodyTooLarge(pending.question);
        return read.rest;
      }
      if (read.head.status === 101) {
        const detail = `${this.#server}: answered 101 to a request that asked for no switch`;
        throw new ProxyError('UPSTREAM_SWITCH_UNEXPECTED', detail);
      }
      // An interim answer, of which nothing follows.
      pending.reader = undefined;
      if (read.rest.length === 0) return undefined;
      bytes = read.rest;
    }
  }

  #readBody(pending: Pending, bytes: Buffer): void {
    const end = pending.end!;
    const taken = end.push(bytes, (start, to) => {
      pending.bodyBytes += to - start;
      if (pending.bodyBytes > pending.question.maxBodyBytes) throw this.#bodyTooLarge(pending.question);
      // The next read overwrites it.
      const part = Buffer.from(bytes.subarray(start, to));
      if (pending.chunks === NONE) pending.chunks = [part];
      else pending.chunks.push(part);
    });
    if (end.done) this.#complete(pending, taken === bytes.length);
  }

  /** @param isExact nothing came behind the answer */
  #complete(pending: Pending, isExact: boolean): void {
    const { chunks, asker } = pending;
    const head = pending.head!;
    this.#pending = undefined;
    const mayStay = isExact && this.#isWritten && !pending.end!.untilClose && staysOpen(head);
    if (mayStay && this.#keeper !== undefined) this.#keeper.giveBack(this, idleLimitMs(head));
    else this.#socket.destroy();
    asker.onAnswer({
      status: head.status,
      reason: head.reason,
      fields: head.headers,
      body: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks),
    });
  }

  // Its end.

  #onSocketEnd(): void {
    if (this.#pending === undefined) this.destroy();
    else ifOrderly(this.#socket, () => this.#onOrderlyEnd());
  }

  #onOrderlyEnd(): void {
    const pending = this.#pending;
    if (pending?.end?.untilClose === true) this.#complete(pending, true);
    else this.#onEnd(undefined);
  }

  #onEnd(cause: (Error & { code?: string }) | undefined): void {
    const pending = this.#pending;
    if (pending === undefined) {
      this.destroy();
      return;
    }
    if (pending.head !== undefined) {
      const detail = `${this.#server}: its answer broke off after ${pending.bodyBytes} bytes`;
      this.#fail(new ProxyError('UPSTREAM_RESPONSE_ABORTED', detail));
      return;
    }
    const why = cause?.code === undefined ? '' : ` (${cause.message})`;
    const detail = `${this.#server}: closed the connection before it had answered${why}`;
    this.#fail(new ProxyError('UPSTREAM_CLOSED_EARLY', detail), !pending.hasHeard);
  }

  #fail(error: ProxyError, isSilent = false): void {
    const { asker } = this.#pending!;
    asker.onFailure({ error, mayBeRead: this.giveUp(), isSilent });
  }

  #bodyTooLarge({ maxBodyBytes, maxBodyName }: Question): ProxyError {
    const detail = `${this.#server}: its answer is larger than ${formatSize(maxBodyBytes)} (\`${maxBodyName}\`)`;
    return new ProxyError('UPSTREAM_ANSWER_TOO_LARGE', detail);
  }
}

/** The longest that Node takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** As Node’s own client has it: said aloud, for servers of HTTP/1.0. */
const KEEP_ALIVE = 'Connection: keep-alive';
const CLOSE = 'Connection: close';
const AND_TE = ', TE\r\n\r\n';
const END = '\r\n\r\n';
/** Of an answer whose body has not begun. */
const NONE: Buffer[] = [];

/** RFC 9112 §9.3. */
function staysOpen({ httpVersion, headers }: ResponseHead): boolean {
  if (!headers.has('connection')) return httpVersion === '1.1';
  if (headers.hasToken('connection', 'close')) return false;
  return httpVersion === '1.1' || headers.hasToken('connection', 'keep-alive');
}

/** `Keep-Alive: timeout=5`, less a second, so that no question crosses the server’s end. */
function idleLimitMs({ headers }: ResponseHead): number | undefined {
  const hint = headers.get('keep-alive');
  const seconds = hint === undefined ? null : /(?:^|[\s,;])timeout=(\d{1,9})/i.exec(hint);
  return seconds === null ? undefined : Math.max(0, Number(seconds[1]) - 1) * 1000;
}

function asProxyError(thrown: unknown, server: string): ProxyError {
  if (!(thrown instanceof HeadError)) return ProxyError.from(thrown);
  const code = thrown.kind === 'too-large' ? 'UPSTREAM_ANSWER_TOO_LARGE' : 'UPSTREAM_ANSWER_MALFORMED';
  return new ProxyError(code, `${server}: ${thrown.message}`);
}
