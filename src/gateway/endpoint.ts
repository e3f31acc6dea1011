import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../base/deps.js';
import type { Prepared } from '../channels/types.js';
import { ifOrderly } from '../net/sockets.js';
import { writeClose, writeFrame } from '../protocol/frames/writer.js';
import type { Generation } from '../protocol/handshake/types.js';
import { FanOut } from '../relay/fan-out.js';
import type { ClientEndpoint, ClientHandler, EndpointEnd } from './types.js';
import {
  type Deflate,
  type FrameReceiver,
  type FrameSender,
  PerMessageDeflate,
  Receiver,
  Sender,
  waitingBytes,
} from './ws-parts.js';

export interface EndpointOptions {
  readonly generation: Generation;
  readonly subprotocol: string | undefined;
  /** Compression as it was agreed on; undefined: none. */
  readonly deflate: Deflate | undefined;
  /** Messages below this size go out uncompressed. */
  readonly deflateThresholdBytes: number;
  /** The largest message of the client, decompressed; a larger one ends the connection with 1009. */
  readonly maxMessageBytes: number;
  readonly maxFragments: number;
  /** Whether pings are answered here. */
  readonly answersPings: boolean;
  /** How long the client may take to answer a Close, and to end after it; 0 = for ever. */
  readonly closeTimeoutMs: number;
  readonly clock: Clock;
  /** What is the same for many goes out by it where it can; undefined: it never can. */
  readonly fanOut?: FanOut | undefined;
}

const TEXT = 1;
const BINARY = 2;
const PING = 9;
const PONG = 10;
/** A Close without a code (RFC 6455 §7.1.5), as the library reports it. */
const NO_CODE = 1005;

/**
 * A WebSocket that ends here, in frames of RFC 6455: read by `ws`, written by us unless they are compressed. Older
 * generations come in the clothes of RFC 6455 (`TranslatedEnd`), streams of HTTP/2 as sockets.
 */
export class Endpoint implements ClientEndpoint {
  readonly generation: Generation;
  readonly subprotocol: string | undefined;
  readonly #options: EndpointOptions;
  readonly #socket: Duplex;
  readonly #handler: ClientHandler;
  readonly #receiver: FrameReceiver;
  /** Only where there is compression. */
  readonly #sender: FrameSender | undefined;
  /** Only where what is the same for many can go out by it: on a plain socket, without compression. */
  readonly #fanOut: FanOut | undefined;
  /** The round of the fan-out in which something of ours waits, unless that is over; 0: in none. */
  #fanOutRound = 0;
  /** Bytes that have come from the client, as they came, and when the last of them did. */
  receivedBytes = 0;
  heardAtMs: number;
  #isPaused = false;
  #hasSentClose = false;
  #hasReceivedClose = false;
  #hasEnded = false;
  #fault: EndpointEnd['fault'];
  #cancelCut: () => void = nothing;

  /**
   * @param socket paused; its handlers are ours from now on.
   * @param early what has been read of it.
   */
  constructor(socket: Duplex, early: Buffer, handler: ClientHandler, options: EndpointOptions) {
    const { generation, subprotocol, deflate, maxMessageBytes, maxFragments } = options;
    this.generation = generation;
    this.subprotocol = subprotocol;
    this.#options = options;
    this.heardAtMs = options.clock.now();
    this.#socket = socket;
    this.#handler = handler;
    const extensions: Record<string, Deflate> =
      deflate === undefined ? {} : { [PerMessageDeflate.extensionName]: deflate };
    this.#receiver = new Receiver({
      isServer: true,
      extensions,
      maxPayload: maxMessageBytes,
      maxFragments,
      maxBufferedChunks: 0,
    });
    if (deflate !== undefined) this.#sender = new Sender(socket, extensions);
    else if (FanOut.takes(socket)) this.#fanOut = options.fanOut;
    this.#listen();
    if (early.length > 0) this.#receiver.write(early);
    // Nobody has it yet who could be told.
    if (socket.destroyed) process.nextTick(() => this.#end());
    else if (!this.#isPaused) socket.resume();
  }

  get bufferedBytes(): number {
    this.#settle();
    return this.#socket.writableLength + (this.#sender === undefined ? 0 : waitingBytes(this.#sender));
  }

  get isBlocked(): boolean {
    this.#settle();
    // The socket does not know of what is being compressed.
    return this.#socket.writableNeedDrain || (this.#sender !== undefined && waitingBytes(this.#sender) > 0);
  }

  get isOpen(): boolean {
    return !this.#hasSentClose && !this.#hasEnded;
  }

  send(type: 'text' | 'binary', content: Buffer): void {
    if (!this.isOpen) return;
    const compress = content.length >= this.#options.deflateThresholdBytes;
    if (this.#sender === undefined) this.#write(type === 'text' ? TEXT : BINARY, content);
    else {
      const options = { binary: type === 'binary', compress, fin: true, mask: false };
      this.#sender.send(content, options, this.#onSent);
    }
  }

  sendPrepared(message: Prepared): void {
    if (!this.isOpen) return;
    if (this.#sender === undefined) {
      const frame = message.wsFrame();
      if (frame !== undefined) this.#writeShared(frame);
      return;
    }
    // Compression has a state for each connection.
    const { wsMessage } = message.item;
    if (wsMessage?.action !== 'send') return;
    const { type, content } = wsMessage;
    if (type === 'ping') this.ping(content);
    else if (type === 'pong') this.pong(content);
    else this.send(type, content);
  }

  ping(content: Buffer): void {
    if (!this.isOpen) return;
    if (this.#sender === undefined) this.#write(PING, content);
    else this.#sender.ping(content, false, nothing);
  }

  pong(content: Buffer): void {
    if (!this.isOpen) return;
    if (this.#sender === undefined) this.#write(PONG, content);
    else this.#sender.pong(content, false, nothing);
  }

  close(code: number | undefined, reason: string): void {
    if (!this.isOpen) return;
    this.#settle();
    this.#hasSentClose = true;
    if (this.#sender === undefined) this.#socket.write(writeClose(code, reason));
    else this.#sender.close(code, reason, false, nothing);
    // Who has nothing more to say may end (RFC 6455 §7.1.1).
    if (this.#hasReceivedClose) this.#socket.end();
    const { clock, closeTimeoutMs } = this.#options;
    if (closeTimeoutMs > 0) this.#cancelCut = clock.after(closeTimeoutMs, () => this.cut());
    // Nobody reads what comes, but its Close.
    this.resume();
  }

  cut(): void {
    this.#settle();
    this.#socket.destroy();
  }

  pause(): void {
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (!this.#receiver.writableNeedDrain) this.#socket.resume();
  }

  #write(opcode: number, payload: Buffer): void {
    this.#settle();
    this.#socket.write(writeFrame({ opcode, payload }));
  }

  #writeShared(frame: Buffer): void {
    this.#settle();
    if (this.#fanOut === undefined) this.#socket.write(frame);
    else this.#fanOutRound = this.#fanOut.add(this.#socket as Socket, frame);
  }

  /** What is given to the fan-out is with the socket from here on. */
  #settle(): void {
    if (this.#fanOut?.round === this.#fanOutRound) this.#fanOut.flush();
  }

  /** A message has left the compression, and the socket has taken it. */
  readonly #onSent = (): void => {
    if (!this.#hasEnded && !this.isBlocked) this.#handler.onDrain();
  };

  #listen(): void {
    const socket = this.#socket;
    const receiver = this.#receiver;
    const handler = this.#handler;
    socket.on('error', nothing);
    socket.on('data', (chunk: Buffer) => {
      this.receivedBytes += chunk.length;
      this.heardAtMs = this.#options.clock.now();
      if (!receiver.write(chunk)) socket.pause();
    });
    socket.on('drain', () => handler.onDrain());
    socket.on('end', () => ifOrderly(socket, () => this.#onSocketEnd()));
    socket.on('close', () => this.#end());
    receiver.on('drain', () => {
      if (!this.#isPaused) socket.resume();
    });
    receiver.on('message', (content: Buffer, isBinary: boolean) => {
      if (!this.#isDeaf) handler.onMessage(isBinary ? 'binary' : 'text', content);
    });
    receiver.on('ping', (content: Buffer) => {
      if (this.#isDeaf) return;
      if (this.#options.answersPings) this.pong(content);
      handler.onPing(content);
    });
    receiver.on('pong', (content: Buffer) => {
      if (!this.#isDeaf) handler.onPong(content);
    });
    receiver.on('conclude', (code: number, reason: Buffer) =>
      this.#onClose(code === NO_CODE ? undefined : code, reason),
    );
    receiver.on('error', (error: Error & { code?: string }) => this.#onFault(error));
  }

  /** After a Close of ours, or a fault, nothing is heard but the client’s Close. */
  get #isDeaf(): boolean {
    return this.#hasSentClose || this.#hasEnded || this.#fault !== undefined;
  }

  #onClose(code: number | undefined, reason: Buffer): void {
    if (this.#hasReceivedClose || this.#hasEnded) return;
    this.#hasReceivedClose = true;
    if (this.#hasSentClose) this.#socket.end();
    else this.#handler.onClose(code, reason);
  }

  /** The client broke a rule: nothing that it sends can be read any more. */
  #onFault(error: Error & { code?: string }): void {
    if (this.#fault !== undefined || this.#hasEnded) return;
    this.#settle();
    const fault = { code: CODES[error.code ?? ''] ?? 1002, reason: error.message };
    const isOpen = this.isOpen;
    if (isOpen) this.close(fault.code, '');
    this.#fault = fault;
    // What still comes is dropped, so that our Close is not lost to a reset.
    this.#socket.removeAllListeners('data');
    this.#socket.resume();
    this.#socket.end();
  }

  #onSocketEnd(): void {
    this.#settle();
    // Half an end is a whole one for WebSockets.
    this.#socket.end();
    if (this.#hasReceivedClose && this.#hasSentClose) return;
    this.#socket.destroy();
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#cancelCut();
    this.#receiver.removeAllListeners();
    this.#receiver.on('error', nothing);
    this.#receiver.destroy();
    this.#options.deflate?.cleanup();
    const how = this.#hasReceivedClose && this.#hasSentClose ? 'closed' : 'lost';
    this.#handler.onEnd(this.#fault === undefined ? { how } : { how, fault: this.#fault });
  }
}

/** What a client is told that broke a rule: the codes of `ws` for its errors; all others are of the protocol (1002). */
const CODES: Readonly<Record<string, number>> = {
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
  WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008,
  WS_ERR_INVALID_UTF8: 1007,
  Z_DATA_ERROR: 1007,
};

function nothing(): void {}
