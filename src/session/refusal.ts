import type { Duplex } from 'node:stream';
import type { Clock } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import type { Inbox } from '../net/inbox.js';
import type { ClientFacts } from '../net/client-facts.js';
import { endWith, errorBytes, reset } from '../net/sockets.js';
import { writeRefusal } from '../protocol/handshake/answer.js';
import { BodyEnd } from '../protocol/http/body-end.js';
import { HeadError } from '../protocol/http/response-head.js';
import type { Answered } from './handshake.js';
import type { House } from './house.js';
import { proxyStopping } from './steps.js';

export interface RefusalResult {
  /** What the client was answered. */
  readonly status: number;
  /** Body bytes passed on. */
  readonly bytes: number;
  readonly error?: ProxyError;
}

/**
 * Passes a real HTTP answer to a handshake on, whole: head, cookies, body. Its body’s bytes go through as they are, and
 * where they end the connection ends. What the client sent behind its handshake goes nowhere. A stop waits for it, and
 * cuts it at the deadline.
 *
 * @param idleTimeoutMs no byte for so long cuts it off; 0 = never.
 */
export async function passRefusal(
  answered: Answered,
  { socket: clientSocket, via }: { readonly socket: Duplex; readonly via: ClientFacts['via'] },
  client: Inbox,
  { deps: { clock }, registry }: Pick<House, 'deps' | 'registry'>,
  idleTimeoutMs: number,
): Promise<RefusalResult> {
  const { socket, inbox, head, lease } = answered;
  const server = lease.server.id;
  let bytes = 0;
  let began = false;
  const over = new AbortController();
  const cut = (why: ProxyError): void => {
    over.abort(why);
    // Wakes whoever waits for it to take bytes; half an answer must not look whole.
    clientSocket.on('error', () => {});
    reset(clientSocket);
    inbox.wake();
  };
  const watchdog = new Watchdog(clock, idleTimeoutMs, () => cut(stalled(server, idleTimeoutMs)));
  const unregister = registry.addHandshake(() => cut(proxyStopping()));
  try {
    if (via === 'h2' && head.status < 300) throw likeASwitch(server, head.status);
    const body = BodyEnd.of(head, 'GET');
    let unsent: Buffer = writeRefusal(head, body.contentLength);
    began = true;
    while (!body.done) {
      over.signal.throwIfAborted();
      if (inbox.size === 0) {
        if (inbox.gone === 'end' && body.untilClose) break;
        if (inbox.gone !== undefined) throw aborted(server);
        if (unsent.length > 0) await write(clientSocket, unsent);
        unsent = Buffer.alloc(0);
        await inbox.changed();
        over.signal.throwIfAborted();
      }
      if (client.gone !== undefined)
        throw new ProxyError('CLIENT_GONE', 'the client went away during the answer');
      client.take();
      watchdog.feed();
      const chunk = inbox.take();
      const part = chunk.subarray(0, body.push(chunk));
      bytes += part.length;
      await write(clientSocket, Buffer.concat([unsent, part]));
      unsent = Buffer.alloc(0);
    }
    client.release();
    endWith(clientSocket, unsent);
    return { status: head.status, bytes };
  } catch (thrown) {
    const error =
      thrown instanceof HeadError
        ? new ProxyError('UPSTREAM_ANSWER_MALFORMED', `${server}: ${thrown.message}`)
        : ProxyError.from(thrown);
    client.release();
    if (began) {
      clientSocket.on('error', () => {});
      // Half an answer must not look whole.
      reset(clientSocket);
    } else {
      endWith(clientSocket, errorBytes(error));
    }
    return { status: began ? head.status : error.status, bytes, error };
  } finally {
    watchdog.stop();
    inbox.release();
    socket.on('error', () => {});
    socket.destroy();
    unregister();
  }
}

/** In HTTP/2 any 2xx grants the switch (RFC 8441 §5): what the client sent next would reach a server that reads HTTP. */
function likeASwitch(server: string, status: number): ProxyError {
  const detail = `${server} answered ${status} to a handshake, which a client of HTTP/2 would take for a switch`;
  return new ProxyError('UPSTREAM_REFUSAL_AMBIGUOUS', detail);
}

function aborted(server: string): ProxyError {
  return new ProxyError('UPSTREAM_RESPONSE_ABORTED', `${server} broke its answer to the handshake off`);
}

function stalled(server: string, afterMs: number): ProxyError {
  const detail = `no byte of the answer of ${server} to the handshake moved for ${afterMs} ms`;
  return new ProxyError('UPSTREAM_RESPONSE_ABORTED', detail);
}

/** Resolves when there is room for more, or nobody to write to. */
function write(socket: Duplex, bytes: Buffer): Promise<void> {
  if (bytes.length === 0 || !socket.writable || socket.write(bytes)) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}

/** Calls `bark` once it has not been fed for `ms`. */
class Watchdog {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #bark: () => void;
  #cancel: () => void = () => {};

  constructor(clock: Clock, ms: number, bark: () => void) {
    this.#clock = clock;
    this.#ms = ms;
    this.#bark = bark;
    this.feed();
  }

  feed(): void {
    this.#cancel();
    if (this.#ms > 0) this.#cancel = this.#clock.after(this.#ms, this.#bark);
  }

  stop(): void {
    this.#cancel();
  }
}
