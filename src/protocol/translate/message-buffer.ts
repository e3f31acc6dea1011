const EMPTY = Buffer.alloc(0);

/** One message on its way in. It owns its bytes, so that many small pieces do not hold on to the chunks they came in. */
export class MessageBuffer {
  #bytes: Buffer = EMPTY;
  length = 0;

  append(chunk: Uint8Array, start: number, end: number): void {
    this.#makeRoom(end - start);
    this.#bytes.set(chunk.subarray(start, end), this.length);
    this.length += end - start;
  }

  /**
   * The same for masked bytes.
   *
   * @param maskKey as a big-endian number
   * @param at how many bytes of the frame have come before
   */
  appendMasked(chunk: Uint8Array, start: number, end: number, maskKey: number, at: number): void {
    this.#makeRoom(end - start);
    const key = [maskKey >>> 24, (maskKey >>> 16) & 0xff, (maskKey >>> 8) & 0xff, maskKey & 0xff];
    const bytes = this.#bytes;
    let to = this.length;
    for (let from = start; from < end; from++) bytes[to++] = chunk[from]! ^ key[at++ & 3]!;
    this.length = to;
  }

  /** Hands the message over and is empty again. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.length);
    this.clear();
    return taken;
  }

  clear(): void {
    this.#bytes = EMPTY;
    this.length = 0;
  }

  #makeRoom(more: number): void {
    const needed = this.length + more;
    if (needed <= this.#bytes.length) return;
    // The first piece is most often the whole message.
    const grown = Buffer.allocUnsafe(this.length === 0 ? needed : Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.length));
    this.#bytes = grown;
  }
}
