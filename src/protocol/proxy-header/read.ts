import { ProxyHeaderError, type ProxyHeader } from './types.js';
import { readV1, V1_START, v1Length } from './v1.js';
import { readV2, V2_SIGNATURE, v2Length } from './v2.js';

export interface ProxyHeaderReaderOptions {
  /** The largest header of version 2 that is taken; of version 1 it is 107, as specified. */
  readonly maxBytes: number;
}

/** Reads a PROXY header of either version from bytes cut anywhere. Holds no more than one header. */
export class ProxyHeaderReader {
  readonly #maxBytes: number;
  #held: Buffer = Buffer.alloc(0);

  constructor({ maxBytes }: ProxyHeaderReaderOptions) {
    this.#maxBytes = maxBytes;
  }

  /** Whether nothing has come yet. */
  get isEmpty(): boolean {
    return this.#held.length === 0;
  }

  /**
   * Takes what has come. Returns the header when it is whole, and what stood behind it.
   *
   * @throws ProxyHeaderError as soon as the bytes cannot become a header any more
   */
  push(chunk: Buffer): { readonly header: ProxyHeader; readonly rest: Buffer } | undefined {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const length = lengthOf(bytes, this.#maxBytes);
    if (length === undefined || length > bytes.length) {
      this.#held = bytes;
      return undefined;
    }
    const whole = bytes.subarray(0, length);
    const isV2 = whole[0] === V2_SIGNATURE[0];
    const header = isV2 ? readV2(whole) : readV1(whole.toString('latin1', 0, length - 2));
    return { header, rest: bytes.subarray(length) };
  }
}

/** The length of the header that the bytes begin; undefined while it cannot be told. */
function lengthOf(bytes: Buffer, maxBytes: number): number | undefined {
  if (beginsLike(bytes, V1_START)) return bytes.length < V1_START.length ? undefined : v1Length(bytes);
  if (beginsLike(bytes, V2_SIGNATURE)) return v2Length(bytes, maxBytes);
  throw new ProxyHeaderError('is missing');
}

function beginsLike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.subarray(0, length).equals(start.subarray(0, length));
}
