import { connect, type Socket } from 'node:net';
import { type HixieHandshake, makeHixieHandshake } from './hixie-handshake.js';

/** The whole conversation must be over by then. */
const DEFAULT_TIMEOUT_MS = 10_000;
/** With `keyInOwnPacket`: how long after the head the 8 bytes follow. */
const KEY_DELAY_MS = 150;
const MAX_ANSWER_HEAD_BYTES = 8 * 1024;

export interface HixieClientOptions {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** What the browser would have sent as `Host` and, behind `http://`, as `Origin`. */
  readonly authority: string;
  /** Sent as one text frame once the connection is open, and expected back. */
  readonly text: string;
  /** Sends the 8 key bytes apart from the head, as a slow network does. */
  readonly keyInOwnPacket?: boolean;
  readonly timeoutMs?: number;
  /** Aborting it ends the conversation at once. */
  readonly signal?: AbortSignal;
}

/** One thing that was said, byte for byte. */
export interface ConversationStep {
  readonly from: 'client' | 'server';
  readonly what:
    'request head' | 'key bytes' | 'answer head' | 'challenge' | 'text frame' | 'close frame' | 'end';
  /** The bytes as they were on the wire; empty for `end`. */
  readonly bytes: Buffer;
  /** Of a text frame, without its two marks. */
  readonly text?: string;
  /** One line for people. */
  readonly note?: string;
  /** Since the first byte was sent. */
  readonly atMs: number;
  /** Counts the writes of the client and the reads from the server: what shares a number travelled together. */
  readonly packet: number;
}

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** How it went. `problem` says what broke the conversation off, in one line. */
export interface Verdict {
  readonly ok: boolean;
  readonly checks: readonly Check[];
  readonly problem?: string;
}

/**
 * A WebSocket client of 2010, written from draft-hixie-thewebsocketprotocol-76 alone: it shares no code with the proxy
 * it tests. It opens a connection, sends one text, waits for its echo, closes as the draft asks, and reports every
 * byte. Never rejects: what goes wrong is in the verdict.
 */
export function runHixieClient(
  options: HixieClientOptions,
  onStep: (step: ConversationStep) => void,
): Promise<Verdict> {
  return new Promise((resolve) => new Conversation(options, onStep, resolve).start());
}

class Conversation {
  readonly #options: HixieClientOptions;
  readonly #onStep: (step: ConversationStep) => void;
  readonly #finish: (verdict: Verdict) => void;
  readonly #socket: Socket;
  readonly #handshake: HixieHandshake;
  readonly #timer: NodeJS.Timeout;
  readonly #checks: Check[] = [];
  #keyTimer: NodeJS.Timeout | undefined;
  #state: 'answer head' | 'challenge' | 'frames' | 'closed' = 'answer head';
  #unread: Buffer = Buffer.alloc(0);
  #startedAtMs = 0;
  #packetsSent = 0;
  #packetsRead = 0;
  #sentClose = false;
  #done = false;

  constructor(
    options: HixieClientOptions,
    onStep: (step: ConversationStep) => void,
    finish: (verdict: Verdict) => void,
  ) {
    this.#options = options;
    this.#onStep = onStep;
    this.#finish = finish;
    this.#handshake = makeHixieHandshake(options.path, options.authority);
    this.#socket = connect({ host: options.host, port: options.port, noDelay: true });
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#timer = setTimeout(
      () => this.#end(`not over after ${timeoutMs} ms, waiting for: ${this.#state}`),
      timeoutMs,
    );
  }

  start(): void {
    const socket = this.#socket;
    socket.on('error', (error) => this.#end(error.message));
    socket.on('connect', () => this.#sendHandshake());
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.on('end', () => this.#serverEnded());
    socket.on('close', () => this.#end('the connection was cut'));
    const { signal } = this.#options;
    if (signal?.aborted) this.#end('abandoned');
    else signal?.addEventListener('abort', () => this.#end('abandoned'), { once: true });
  }

  /** The draft's client handshake: the head, and right behind it 8 bytes that no header announces. */
  #sendHandshake(): void {
    const { head, key3 } = this.#handshake;
    this.#startedAtMs = performance.now();
    if (this.#options.keyInOwnPacket) {
      this.#socket.write(head);
      this.#sent('request head', head, { packet: ++this.#packetsSent });
      this.#keyTimer = setTimeout(() => {
        this.#socket.write(key3);
        this.#sent('key bytes', key3, { packet: ++this.#packetsSent });
      }, KEY_DELAY_MS);
      return;
    }
    this.#socket.write(Buffer.concat([head, key3]));
    const packet = ++this.#packetsSent;
    this.#sent('request head', head, { packet });
    this.#sent('key bytes', key3, { packet });
  }

  #read(bytes: Buffer): void {
    this.#packetsRead++;
    this.#unread = this.#unread.length === 0 ? bytes : Buffer.concat([this.#unread, bytes]);
    while (!this.#done && this.#readOne());
  }

  /** Takes one element off the unread bytes; false when it is not complete yet. */
  #readOne(): boolean {
    switch (this.#state) {
      case 'answer head':
        return this.#readAnswerHead();
      case 'challenge':
        return this.#readChallenge();
      case 'frames':
        return this.#readFrame();
      case 'closed':
        if (this.#unread.length > 0) this.#end(`${this.#unread.length} bytes came after the close frame`);
    }
    return false;
  }

  #readAnswerHead(): boolean {
    const end = this.#unread.indexOf('\r\n\r\n');
    if (end === -1) {
      if (this.#unread.length > MAX_ANSWER_HEAD_BYTES) this.#end('the answer head does not end');
      return false;
    }
    const head = this.#take(end + 4);
    this.#received('answer head', head);
    const { authority, path } = this.#options;
    const { status, fields } = parseAnswer(head.toString('latin1'));
    if (status !== '101') {
      this.#end(
        `the handshake was refused with ${status}: ${this.#unread.toString('utf8').trim().slice(0, 200)}`,
      );
      return false;
    }
    this.#expect('Upgrade', 'WebSocket', fields('upgrade'));
    this.#expect('Connection', 'Upgrade', fields('connection'));
    this.#expect('Sec-WebSocket-Origin', `http://${authority}`.toLowerCase(), fields('sec-websocket-origin'));
    this.#expect('Sec-WebSocket-Location', `ws://${authority}${path}`, fields('sec-websocket-location'));
    this.#expect('Content-Length', '', fields('content-length'));
    this.#expect('Transfer-Encoding', '', fields('transfer-encoding'));
    this.#state = 'challenge';
    return true;
  }

  #readChallenge(): boolean {
    if (this.#unread.length < 16) return false;
    const challenge = this.#take(16);
    const expected = this.#handshake.challenge;
    const ok = challenge.equals(expected);
    const detail = ok ? 'MD5 of both numbers and the 8 key bytes' : `expected ${expected.toString('hex')}`;
    this.#checks.push({ name: '16 challenge bytes', ok, detail });
    this.#received('challenge', challenge, { note: ok ? 'right: the MD5 that the keys ask for' : detail });
    this.#state = 'frames';
    this.#sendText();
    return true;
  }

  #sendText(): void {
    const frame = Buffer.concat([Buffer.from([0x00]), Buffer.from(this.#options.text), Buffer.from([0xff])]);
    // After this read has been reported to its end, so that what came together is told together.
    setImmediate(() => {
      if (this.#done) return;
      this.#socket.write(frame);
      this.#sent('text frame', frame, { packet: ++this.#packetsSent, text: this.#options.text });
    });
  }

  #readFrame(): boolean {
    const unread = this.#unread;
    if (unread.length === 0) return false;
    if (unread[0] === 0x00) {
      const end = unread.indexOf(0xff);
      if (end === -1) return false;
      const frame = this.#take(end + 1);
      const text = frame.subarray(1, -1).toString('utf8');
      this.#received('text frame', frame, { text });
      if (frame.subarray(1, -1).equals(Buffer.from(this.#options.text))) this.#echoed();
      return true;
    }
    if (unread[0] !== 0xff) {
      this.#end(`byte 0x${unread[0]!.toString(16).padStart(2, '0')} begins no frame of the draft`);
      return false;
    }
    if (unread.length < 2) return false;
    this.#received('close frame', this.#take(2));
    this.#state = 'closed';
    this.#expect('Close frame', 'ours came first', this.#sentClose ? ['ours came first'] : ['unasked']);
    this.#socket.end();
    return true;
  }

  #echoed(): void {
    this.#checks.push({ name: 'Echo', ok: true, detail: 'the text came back as it was sent' });
    const close = Buffer.from([0xff, 0x00]);
    this.#sentClose = true;
    setImmediate(() => {
      if (this.#done) return;
      this.#socket.write(close);
      this.#sent('close frame', close, { packet: ++this.#packetsSent });
    });
  }

  #serverEnded(): void {
    this.#received('end', Buffer.alloc(0));
    this.#socket.end();
    this.#end(this.#state === 'closed' ? undefined : `the server hung up, waiting for: ${this.#state}`);
  }

  #end(problem?: string): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#keyTimer);
    if (problem !== undefined) this.#socket.destroy();
    const ok = problem === undefined && this.#checks.every((check) => check.ok);
    this.#finish({ ok, checks: this.#checks, ...(problem !== undefined && { problem }) });
  }

  #take(length: number): Buffer {
    const taken = this.#unread.subarray(0, length);
    this.#unread = this.#unread.subarray(length);
    return taken;
  }

  /** A field of the answer: once and exactly so; an empty `wanted` means not at all. */
  #expect(name: string, wanted: string, found: readonly string[]): void {
    const ok = wanted === '' ? found.length === 0 : found.length === 1 && found[0] === wanted;
    const absent = wanted === '' ? 'absent, as it must be' : 'missing';
    this.#checks.push({ name, ok, detail: found.join(', ') || absent });
  }

  #sent(what: ConversationStep['what'], bytes: Buffer, more: { packet: number; text?: string }): void {
    const notes = { 'request head': this.#handshake.note, 'key bytes': 'announced by no header' };
    const note = what === 'request head' || what === 'key bytes' ? notes[what] : undefined;
    this.#onStep({ from: 'client', what, bytes, ...(note && { note }), ...more, atMs: this.#elapsedMs() });
  }

  #received(
    what: ConversationStep['what'],
    bytes: Buffer,
    more: { text?: string; note?: string } = {},
  ): void {
    this.#onStep({
      from: 'server',
      what,
      bytes,
      ...more,
      packet: this.#packetsRead,
      atMs: this.#elapsedMs(),
    });
  }

  #elapsedMs(): number {
    return performance.now() - this.#startedAtMs;
  }
}

function parseAnswer(head: string): { status: string; fields: (name: string) => string[] } {
  const [statusLine = '', ...lines] = head.trimEnd().split('\r\n');
  const found = lines.map((line) => {
    const colon = line.indexOf(':');
    return { name: line.slice(0, colon).toLowerCase(), value: line.slice(colon + 1).trim() };
  });
  return {
    status: statusLine.split(' ')[1] ?? '',
    fields: (name) => found.filter((field) => field.name === name).map((field) => field.value),
  };
}
