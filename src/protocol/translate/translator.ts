import { isSendableCloseCode, writeClose, writeFrame, writeHixieClose } from '../frames/writer.js';
import { HixieReader } from './hixie-reader.js';
import type { HixieGeneration } from './generations.js';
import type { RandomBytes } from './hixie-keys.js';
import { Rfc6455Reader } from './rfc6455-reader.js';
import type { MessageBounds, TranslationProblem } from './types.js';

export type TranslatedSide = 'client' | 'upstream';

export interface TranslatorOptions extends MessageBounds {
  /** Which of the two sides speaks Hixie. */
  readonly side: TranslatedSide;
  readonly generation: HixieGeneration;
  /** Masking keys come from here. */
  readonly random: RandomBytes;
}

/** Why messages cannot be translated any further. */
export interface TranslationFault {
  /** Its row in the error table has the close code. */
  readonly code: TranslationProblem;
  /** Who sent what cannot be said to the other. */
  readonly by: TranslatedSide;
  readonly reason: string;
}

/** The end of a Hixie-75 connection is its goodbye. */
const NORMAL = 1000;
/** Hixie-76 has a close frame of its own: an end without it is a leaving. */
const GOING_AWAY = 1001;
const PROTOCOL_ERROR = 1002;

/**
 * Both directions between a side that speaks Hixie-75 or -76 and frames of RFC 6455: bytes in, bytes out. A message goes
 * on when it is whole and known to be UTF-8, as one frame. What Hixie has no words for:
 *
 * - a Close goes on as `FF 00`, without its code, and the end of the connection; to Hixie-75 that end is all there is;
 * - pings are answered here, pongs go nowhere;
 * - a binary message, and all that is no valid frame, is a fault.
 *
 * After a fault nothing is translated any more; the Hixie side has been given its close, and the owner is to close the
 * other by the fault’s code. Never throws, and holds one message each way at most.
 */
export class Translator {
  /** Set by the first that cannot be translated. */
  fault: TranslationFault | undefined;
  /** Whether the Hixie side has sent `FF 00`. */
  hasClosed = false;
  readonly #side: TranslatedSide;
  readonly #generation: HixieGeneration;
  readonly #random: RandomBytes;
  readonly #hixie: HixieReader;
  readonly #rfc6455: Rfc6455Reader;
  #forHixie: Buffer[] = [];
  #forRfc6455: Buffer[] = [];
  /** The last ping that has not been answered yet: a pong to it answers those before it too (RFC 6455 §5.5.3). */
  #pinged: Buffer | undefined;
  /** What the other side’s Close said, to be echoed; 0: it said nothing. */
  #echo: number | undefined;
  /** The Hixie side has been told goodbye. */
  #isSilent = false;
  /** A Close stands for the Hixie side’s own. */
  #isClosed = false;

  constructor({ side, generation, random, maxMessageBytes, maxFragments }: TranslatorOptions) {
    this.#side = side;
    this.#generation = generation;
    this.#random = random;
    const bounds = { maxMessageBytes, maxFragments };
    this.#hixie = new HixieReader(
      {
        text: (bytes) => this.#forRfc6455.push(writeFrame({ opcode: 1, payload: bytes, mask: this.#mask() })),
        close: () => this.#hearHixieClose(),
        fail: (code, reason) => this.#fail(code, side, reason),
      },
      bounds,
      generation === 'hixie-76',
    );
    const other = side === 'client' ? 'upstream' : 'client';
    this.#rfc6455 = new Rfc6455Reader(
      {
        text: (bytes) => this.#sayToHixie(bytes),
        close: (code) => this.#hearClose(code),
        ping: (payload) => (this.#pinged = payload),
        fail: (code, reason) => this.#fail(code, other, reason),
      },
      bounds,
      other === 'client',
    );
  }

  /**
   * Whether our direction of the Hixie side’s connection is to be ended behind what there is for it. Hixie-75 has no
   * other goodbye, and software of the time that takes no notice of `FF 00` (socket.io 0.6.18) does so of an end.
   */
  get isOver(): boolean {
    return this.#isSilent;
  }

  fromHixie(chunk: Uint8Array): void {
    this.#hixie.push(chunk);
  }

  /** The Hixie side has ended its direction, in order. Between two messages that is a goodbye; in one it is a loss. */
  endOfHixie(): void {
    if (this.#hixie.atBoundary) this.#close(this.#generation === 'hixie-75' ? NORMAL : GOING_AWAY);
  }

  fromRfc6455(chunk: Uint8Array): void {
    this.#rfc6455.push(chunk);
  }

  /** What is to go to the Hixie side now. */
  takeForHixie(): Buffer {
    const taken = this.#forHixie;
    this.#forHixie = [];
    return joined(taken);
  }

  /** What is to go to the other side now: unmasked to a client, masked to an upstream. */
  takeForRfc6455(): Buffer {
    const taken = this.#forRfc6455;
    this.#forRfc6455 = [];
    if (this.#pinged !== undefined && !this.#isClosed) {
      taken.push(writeFrame({ opcode: 10, payload: this.#pinged, mask: this.#mask() }));
    }
    this.#pinged = undefined;
    return joined(taken);
  }

  #sayToHixie(text: Buffer): void {
    if (!this.#isSilent) this.#forHixie.push(TEXT_START, text, TEXT_END);
  }

  #hearHixieClose(): void {
    this.hasClosed = true;
    this.#close(NORMAL);
  }

  #hearClose(code = 0): void {
    this.#echo = code === 0 || isSendableCloseCode(code) ? code : PROTOCOL_ERROR;
    this.#silence();
  }

  /** Says the Hixie side’s goodbye, or its answer to the other’s. */
  #close(code: number): void {
    if (this.#isClosed) return;
    // Before the Close, or it is never answered.
    this.#answerPing();
    this.#isClosed = true;
    const words = this.#echo ?? code;
    this.#forRfc6455.push(writeClose(words === 0 ? undefined : words, '', this.#mask()));
  }

  #answerPing(): void {
    const answer = this.takeForRfc6455();
    if (answer.length > 0) this.#forRfc6455.push(answer);
  }

  #silence(): void {
    if (this.#isSilent) return;
    this.#isSilent = true;
    if (this.#generation === 'hixie-76') this.#forHixie.push(writeHixieClose());
  }

  #fail(code: TranslationProblem, by: TranslatedSide, reason: string): void {
    if (this.fault !== undefined) return;
    this.fault = { code, by, reason: `${reason}, from the ${by}` };
    this.#hixie.stop();
    this.#rfc6455.stop();
    this.#silence();
  }

  /** Towards a server frames are masked (RFC 6455 §5.1). */
  #mask(): Buffer | undefined {
    return this.#side === 'client' ? this.#random(4) : undefined;
  }
}

const TEXT_START = Buffer.from([0x00]);
const TEXT_END = Buffer.from([0xff]);

function joined(parts: readonly Buffer[]): Buffer {
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}
