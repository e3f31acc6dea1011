import { isUtf8 } from 'node:buffer';
import { Rfc6455Scanner } from '../frames/rfc6455-scanner.js';
import type { FrameHeader, FrameSink } from '../frames/types.js';
import { feed } from './feed.js';
import { MessageBuffer } from './message-buffer.js';
import type { MessageBounds, MessageHandler } from './types.js';

const BINARY = 2;
const CLOSE = 8;
const PING = 9;

/** Reads RFC 6455 frames as whole messages. It knows no extensions, so RSV bits are wrong. */
export class Rfc6455Reader implements FrameSink {
  readonly #scanner = new Rfc6455Scanner(this);
  readonly #handler: MessageHandler;
  readonly #bounds: MessageBounds;
  readonly #isMasked: boolean;
  readonly #message = new MessageBuffer();
  readonly #control = new MessageBuffer();
  #fragments = 0;
  /** Of the present frame. */
  #opcode = 0;
  #isLast = false;
  #maskKey = 0;
  #at = 0;
  /** A Close has come, or something went wrong: data is passed over. */
  #isDeaf = false;

  /** @param isMasked whether the frames come from a client (RFC 6455 §5.1). */
  constructor(handler: MessageHandler, bounds: MessageBounds, isMasked: boolean) {
    this.#handler = handler;
    this.#bounds = bounds;
    this.#isMasked = isMasked;
  }

  push(chunk: Uint8Array): void {
    const blind = feed(this.#scanner, chunk);
    if (blind !== undefined) this.#fail('TRANSLATION_FRAME_INVALID', blind);
  }

  /** Passes data over from here on; a Close is still heard. */
  stop(): void {
    this.#isDeaf = true;
    this.#message.clear();
  }

  header(header: FrameHeader): string | undefined {
    const { opcode, rsv, masked, payloadLength } = header;
    if (masked !== this.#isMasked) {
      return `frame is ${masked ? 'masked' : 'not masked'} (RFC 6455 §5.1)`;
    }
    if (rsv !== 0) return `RSV bits without an extension (RFC 6455 §5.2)`;
    this.#opcode = opcode;
    this.#isLast = header.fin;
    this.#maskKey = header.maskKey;
    this.#at = 0;
    if (opcode < 8 && !this.#isDeaf) this.#announce(opcode, payloadLength);
    return undefined;
  }

  payload(chunk: Uint8Array, start: number, end: number): void {
    const into = this.#opcode >= 8 ? this.#control : this.#message;
    if (this.#opcode < 8 && this.#isDeaf) return;
    if (this.#isMasked) into.appendMasked(chunk, start, end, this.#maskKey, this.#at);
    else into.append(chunk, start, end);
    this.#at += end - start;
  }

  end(): void {
    if (this.#opcode >= 8) this.#endControl(this.#control.take());
    else if (this.#isLast && !this.#isDeaf) this.#endMessage(this.#message.take());
  }

  /** A data frame begins. */
  #announce(opcode: number, payloadLength: number): void {
    this.#fragments = opcode === 0 ? this.#fragments + 1 : 1;
    const { maxMessageBytes, maxFragments } = this.#bounds;
    if (opcode === BINARY) {
      this.#fail('TRANSLATION_BINARY', 'binary messages cannot be said in Hixie');
    } else if (this.#message.length + payloadLength > maxMessageBytes) {
      this.#fail('TRANSLATION_TOO_LARGE', `message of more than ${maxMessageBytes} bytes`);
    } else if (this.#fragments > maxFragments) {
      this.#fail('TRANSLATION_TOO_LARGE', `message in more than ${maxFragments} fragments`);
    }
  }

  #endMessage(text: Buffer): void {
    if (isUtf8(text)) this.#handler.text(text);
    else this.#fail('TRANSLATION_TEXT_INVALID', 'text is not UTF-8');
  }

  #endControl(payload: Buffer): void {
    if (this.#opcode === PING) {
      if (!this.#isDeaf) this.#handler.ping(payload);
    } else if (this.#opcode === CLOSE) {
      this.stop();
      this.#handler.close(payload.length < 2 ? undefined : payload.readUInt16BE(0));
    }
  }

  #fail(code: Parameters<MessageHandler['fail']>[0], reason: string): void {
    if (this.#isDeaf) return;
    this.stop();
    this.#handler.fail(code, reason);
  }
}
