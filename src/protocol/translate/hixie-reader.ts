import { isUtf8 } from 'node:buffer';
import { HixieScanner } from '../frames/hixie-scanner.js';
import type { FrameHeader, FrameSink } from '../frames/types.js';
import { feed } from './feed.js';
import { MessageBuffer } from './message-buffer.js';
import type { MessageBounds, MessageHandler } from './types.js';

const TEXT = 1;
const CLOSE = 8;

/**
 * Reads Hixie frames as whole messages. Frames of other types than text are passed over: endpoints of the time discard
 * them (draft-hixie-thewebsocketprotocol-76 §5.3), so they say nothing.
 */
export class HixieReader implements FrameSink {
  readonly #scanner = new HixieScanner(this);
  readonly #handler: Pick<MessageHandler, 'text' | 'close' | 'fail'>;
  readonly #maxMessageBytes: number;
  readonly #hasClose: boolean;
  readonly #message = new MessageBuffer();
  /** Of the present frame. */
  #opcode = 0;
  /** A close has come, or something went wrong: text is passed over. */
  #isDeaf = false;

  /** @param hasClose whether `FF 00` is a goodbye; to Hixie-75 it is one more frame to be discarded. */
  constructor(
    handler: Pick<MessageHandler, 'text' | 'close' | 'fail'>,
    { maxMessageBytes }: Pick<MessageBounds, 'maxMessageBytes'>,
    hasClose: boolean,
  ) {
    this.#handler = handler;
    this.#maxMessageBytes = maxMessageBytes;
    this.#hasClose = hasClose;
  }

  push(chunk: Uint8Array): void {
    const blind = feed(this.#scanner, chunk);
    if (blind !== undefined) this.#fail('TRANSLATION_FRAME_INVALID', blind);
  }

  /** Passes text over from here on; a close is still heard. */
  stop(): void {
    this.#isDeaf = true;
    this.#message.clear();
  }

  /** Whether an end of the connection would cut no message short. */
  get atBoundary(): boolean {
    return this.#scanner.atBoundary;
  }

  header({ opcode }: FrameHeader): void {
    this.#opcode = opcode;
  }

  payload(chunk: Uint8Array, start: number, end: number): void {
    if (this.#opcode !== TEXT || this.#isDeaf) return;
    if (this.#message.length + end - start > this.#maxMessageBytes) {
      this.#fail('TRANSLATION_TOO_LARGE', `message of more than ${this.#maxMessageBytes} bytes`);
    } else {
      this.#message.append(chunk, start, end);
    }
  }

  end(): void {
    if (this.#opcode === CLOSE && this.#hasClose) {
      this.stop();
      this.#handler.close(undefined);
    } else if (this.#opcode === TEXT && !this.#isDeaf) {
      const text = this.#message.take();
      if (isUtf8(text)) this.#handler.text(text);
      else this.#fail('TRANSLATION_TEXT_INVALID', 'text is not UTF-8');
    }
  }

  #fail(problem: Parameters<MessageHandler['fail']>[0], reason: string): void {
    if (this.#isDeaf) return;
    this.stop();
    this.#handler.fail(problem, reason);
  }
}
