import type { ServerResponse } from 'node:http';

/** A reader that has fallen so far behind is cut off; it may come back and start from a snapshot. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** How often a comment is sent, so that no idle timeout on the way strikes. */
const HEARTBEAT_MS = 15_000;

/** One answer of type `text/event-stream` (HTML standard, section 9.2), written event by event. */
export class EventStream {
  readonly #response: ServerResponse;
  readonly #heartbeat: NodeJS.Timeout;
  /** Resolves when the reader has gone or `end` was called. */
  readonly closed: Promise<void>;

  constructor(response: ServerResponse) {
    this.#response = response;
    response.on('error', () => response.destroy());
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
    });
    response.write('retry: 2000\n\n');
    this.#heartbeat = setInterval(() => this.#write(':\n\n'), HEARTBEAT_MS).unref();
    this.closed = new Promise((resolve) => {
      response.once('close', () => {
        clearInterval(this.#heartbeat);
        resolve();
      });
    });
  }

  /** Sends one event; `data` travels as JSON, which has no line breaks. */
  send(event: string, data: unknown): void {
    this.#write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  end(): void {
    this.#response.end();
  }

  #write(text: string): void {
    if (this.#response.writableEnded || this.#response.destroyed) return;
    this.#response.write(text);
    if (this.#response.writableLength > MAX_BUFFERED_BYTES) this.#response.destroy();
  }
}
