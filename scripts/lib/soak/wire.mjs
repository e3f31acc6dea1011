import { connect } from 'node:net';

/** A raw connection that is read by asking for what should come next, and can be cut in every way there is. */
export class Wire {
  #socket;
  #bytes = Buffer.alloc(0);
  /** What the pending read waits for. */
  #waiting;
  #ended = false;
  /** Resolves to `end` (the other side finished) or `reset` once the socket is closed. */
  closed;

  /** @param {string} [from] the address to come from */
  constructor(port, from) {
    this.#socket = connect({
      port,
      host: '127.0.0.1',
      localAddress: from,
      allowHalfOpen: true,
      noDelay: true,
    });
    this.closed = new Promise((resolve) => {
      this.#socket.on('error', () => {});
      this.#socket.on('close', (failed) => {
        this.#stop();
        resolve(failed || !this.#ended ? 'reset' : 'end');
      });
    });
    this.#socket.on('data', (chunk) => {
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
      this.#serve();
    });
    this.#socket.on('end', () => {
      this.#ended = true;
      this.#stop();
    });
  }

  write(bytes) {
    this.#socket.write(bytes);
  }

  /** The next `length` bytes. */
  read(length) {
    return this.#want(() => (this.#bytes.length >= length ? length : -1));
  }

  /** Everything up to and including `mark`. */
  readUntil(mark) {
    return this.#want(() => {
      const at = this.#bytes.indexOf(mark);
      return at < 0 ? -1 : at + mark.length;
    });
  }

  /** Reads no more: the kernel's buffers fill up. */
  pause() {
    this.#socket.pause();
  }

  /** Waits for the other side to finish. What still comes is thrown away. */
  async drain() {
    this.#bytes = Buffer.alloc(0);
    await this.#want(() => -1).catch(() => {});
  }

  /** FIN, and then until the other side has finished too. */
  async end() {
    this.#socket.end();
    this.#socket.resume();
    return this.closed;
  }

  /** RST. */
  async reset() {
    this.#socket.resetAndDestroy();
    return this.closed;
  }

  #want(measure) {
    if (this.#waiting !== undefined) throw new Error('one read at a time');
    return new Promise((resolve, reject) => {
      this.#waiting = { measure, resolve, reject };
      this.#serve();
      if (this.#ended || this.#socket.destroyed) this.#stop();
    });
  }

  #serve() {
    const length = this.#waiting?.measure() ?? -1;
    if (length < 0) return;
    const { resolve } = this.#waiting;
    this.#waiting = undefined;
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    resolve(taken);
  }

  #stop() {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(new Error('the connection ended too early'));
  }
}
