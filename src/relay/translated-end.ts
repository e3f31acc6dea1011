import { Duplex } from 'node:stream';
import { ifOrderly, reset } from '../net/sockets.js';
import {
  Translator,
  type TranslationFault,
  type TranslatorOptions,
} from '../protocol/translate/translator.js';

type Done = (error?: Error | null) => void;

/**
 * A side that speaks Hixie, in the clothes of RFC 6455: what is read from here are its messages in frames of RFC 6455,
 * and frames of RFC 6455 that are written here go to it in Hixie. Any engine can join it to a side that needs no clothes.
 * Back-pressure, an orderly end and a reset come through both ways.
 */
export class TranslatedEnd extends Duplex {
  /** Called at most once, when messages cannot be translated any more. */
  onFault: (fault: TranslationFault) => void = () => {};
  /** Bytes that have come from the side, as it sent them. */
  bytes = 0;
  readonly #socket: Duplex;
  readonly #translator: Translator;
  /** What is pushed has to wait for a reader. */
  #isFull = false;
  /** The side has ended its direction in order. */
  #hasEnded = false;
  #hasToldFault = false;
  /** A write that waits for the side to take what it was sent. */
  #blocked: Done | undefined;

  /** @param socket paused, as for a relay; its handlers are ours from now on. */
  constructor(socket: Duplex, options: TranslatorOptions) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#translator = new Translator(options);
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.#onClose());
    socket.on('drain', () => this.#unblock());
    socket.on('data', (chunk: Buffer) => this.#takeIn(chunk));
    socket.on('end', () => ifOrderly(socket, () => this.#onEnd()));
    socket.pause();
    // It says so no more.
    if (socket.destroyed) this.destroy();
    else if (socket.readableEnded) this.#onEnd();
  }

  get fault(): TranslationFault | undefined {
    return this.#translator.fault;
  }

  /** Whether the side has sent the close of its generation. */
  get hasClosed(): boolean {
    return this.#translator.hasClosed;
  }

  /** What was read of the side before, translated. To be called before anything else is read. */
  takeEarly(early: Buffer): Buffer {
    this.bytes += early.length;
    this.#translator.fromHixie(early);
    const translated = this.#translator.takeForRfc6455();
    this.#speak();
    return translated;
  }

  override _read(): void {
    this.#isFull = false;
    this.#answer();
    if (!this.#isFull && !this.#hasEnded) this.#socket.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: Done): void {
    this.#translator.fromRfc6455(chunk);
    const isTaken = this.#speak();
    // Pongs, at most one: the last answers those before it.
    if (!this.#isFull) this.#answer();
    if (isTaken) done();
    else this.#blocked = done;
  }

  override _final(done: Done): void {
    const socket = this.#socket;
    if (socket.writableFinished || socket.destroyed) {
      done();
      return;
    }
    // One that fails is destroyed, and says so itself.
    socket.once('finish', () => done());
    socket.end();
  }

  override _destroy(error: Error | null, done: Done): void {
    const socket = this.#socket;
    const finish = (): void => done(error);
    if (socket.closed) {
      finish();
      return;
    }
    socket.once('close', finish);
    // What was not sent to its end must not look whole.
    if (this.writableFinished) socket.destroy();
    else reset(socket);
  }

  #takeIn(chunk: Buffer): void {
    this.bytes += chunk.length;
    this.#translator.fromHixie(chunk);
    this.#answer();
    this.#speak();
  }

  #onEnd(): void {
    if (this.#hasEnded || this.destroyed) return;
    this.#hasEnded = true;
    this.#translator.endOfHixie();
    this.#answer();
    this.push(null);
  }

  #onClose(): void {
    this.#unblock();
    // After an orderly end the last messages may still wait for their reader.
    if (!this.#hasEnded) this.destroy();
  }

  /** Sends the other side what there is for it. */
  #answer(): void {
    const bytes = this.#translator.takeForRfc6455();
    if (bytes.length === 0 || this.push(bytes)) return;
    this.#isFull = true;
    this.#socket.pause();
  }

  /** Sends the Hixie side what there is for it; returns whether it takes more. */
  #speak(): boolean {
    const socket = this.#socket;
    const bytes = this.#translator.takeForHixie();
    const isTaken = bytes.length === 0 || !socket.writable || socket.write(bytes);
    if (this.#translator.isOver && socket.writable) socket.end();
    this.#tellFault();
    return isTaken;
  }

  #tellFault(): void {
    const { fault } = this.#translator;
    if (fault === undefined || this.#hasToldFault) return;
    this.#hasToldFault = true;
    this.onFault(fault);
  }

  #unblock(): void {
    const done = this.#blocked;
    this.#blocked = undefined;
    done?.();
  }
}
