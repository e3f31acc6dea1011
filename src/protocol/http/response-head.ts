import { isFieldValue, isToken, trimWhitespace } from './grammar.js';
import type { ResponseHead } from './head.js';
import { HeaderList } from './header-list.js';
import { quote } from './quote.js';

/** What is wrong with the bytes of an HTTP message; the message is one line for people. */
export class HeadError extends Error {
  override readonly name = 'HeadError';
  readonly kind: 'malformed' | 'too-large';

  constructor(kind: 'malformed' | 'too-large', message: string) {
    super(message);
    this.kind = kind;
  }
}

export interface ResponseHeadReaderOptions {
  /** The largest head, its blank line included. */
  readonly maxBytes: number;
}

/**
 * Reads one HTTP/1.x response head from bytes cut anywhere, as strictly as RFC 9112 §4 and §5 allow a proxy to: what
 * two readers could understand in two ways is refused. One reader reads one head; after a HeadError it is done.
 */
export class ResponseHeadReader {
  readonly #maxBytes: number;
  #bytesSeen = 0;
  #bytesInLines = 0;
  /** A line that the end of a chunk has cut: `#cut[0, #cutLength)`. */
  #cut = NOTHING;
  #cutLength = 0;
  #status: { httpVersion: string; status: number; reason: string } | undefined;
  readonly #headers = new HeaderList();

  constructor(options: ResponseHeadReaderOptions) {
    this.#maxBytes = options.maxBytes;
  }

  /**
   * Takes what was read from the socket. Once the head is whole, returns it with the bytes that stand behind it (a view
   * of `chunk`). Throws a HeadError as soon as the bytes cannot become a head.
   */
  push(chunk: Buffer): { head: ResponseHead; rest: Buffer } | undefined {
    this.#checkStart(chunk);
    for (let at = 0; ;) {
      const lf = chunk.indexOf(LF, at);
      const end = lf === -1 ? chunk.length : lf + 1;
      if (this.#bytesInLines + this.#cutLength + (end - at) > this.#maxBytes) {
        throw new HeadError('too-large', `response head is larger than ${this.#maxBytes} bytes`);
      }
      if (lf === -1) {
        this.#keepCut(chunk, at);
        return undefined;
      }
      const line = this.#takeLine(chunk, at, end);
      at = end;
      if (this.#status === undefined) {
        this.#status = parseStatusLine(line);
      } else if (line === '') {
        const { httpVersion, status, reason } = this.#status;
        return { head: { httpVersion, status, reason, headers: this.#headers }, rest: chunk.subarray(at) };
      } else {
        const [name, value] = parseFieldLine(line);
        this.#headers.append(name, value);
      }
    }
  }

  /** Tells at the first byte that a TLS, HTTP/2 or SSH server is talking, whose lines might never end. */
  #checkStart(chunk: Buffer): void {
    for (let i = 0; i < chunk.length && this.#bytesSeen + i < START.length; i++) {
      if (chunk[i] !== START.charCodeAt(this.#bytesSeen + i)) {
        const found = START.slice(0, this.#bytesSeen) + chunk.toString('latin1', 0, 40);
        throw malformed(`response does not begin with "${START}" but with ${quote(found)}`);
      }
    }
    this.#bytesSeen += chunk.length;
  }

  /** The line that ends at `chunk[end - 1]`, without its CRLF. */
  #takeLine(chunk: Buffer, at: number, end: number): string {
    let bytes = chunk;
    if (this.#cutLength > 0) {
      this.#keepCut(chunk.subarray(0, end), at);
      bytes = this.#cut;
      at = 0;
      end = this.#cutLength;
      this.#cutLength = 0;
    }
    this.#bytesInLines += end - at;
    if (bytes[end - 2] !== CR) {
      const found = quote(bytes.toString('latin1', at, end - 1));
      throw malformed(`response head has a line that ends in LF alone: ${found}`);
    }
    return bytes.toString('latin1', at, end - 2);
  }

  #keepCut(chunk: Buffer, at: number): void {
    const length = this.#cutLength + chunk.length - at;
    if (length > this.#cut.length) {
      // Doubled, so that a head that comes a byte at a time is not copied at every byte.
      const larger = Buffer.alloc(Math.max(256, length, 2 * this.#cut.length));
      this.#cut.copy(larger, 0, 0, this.#cutLength);
      this.#cut = larger;
    }
    chunk.copy(this.#cut, this.#cutLength, at);
    this.#cutLength = length;
  }
}

const NOTHING = Buffer.alloc(0);
const CR = 0x0d;
const LF = 0x0a;
const START = 'HTTP/1.';

/**
 * `HTTP/1.1 200 OK` (RFC 9112 §4). The space behind the status must be there by the letter, but is so often left out
 * with an empty phrase, and so harmless, that it may be missing.
 */
const STATUS_LINE = /^HTTP\/(1\.[01]) ([1-5]\d\d)(?: (.*))?$/s;

function parseStatusLine(line: string): { httpVersion: string; status: number; reason: string } {
  const found = STATUS_LINE.exec(line);
  if (found === null) {
    throw malformed(`status line is not "HTTP/1.1", a status from 100 to 599 and a phrase: ${quote(line)}`);
  }
  const reason = found[3] ?? '';
  if (!isFieldValue(reason)) throw malformed(`status line has a control character: ${quote(line)}`);
  return { httpVersion: found[1]!, status: Number(found[2]), reason };
}

/** `Name: value` (RFC 9112 §5). Every leniency here has been somebody's request smuggling. */
function parseFieldLine(line: string): [name: string, value: string] {
  if (line.startsWith(' ') || line.startsWith('\t')) {
    throw malformed(`response header is folded over two lines (RFC 9112 §5.2): ${quote(line)}`);
  }
  const colon = line.indexOf(':');
  if (colon === -1) throw malformed(`response header line has no colon: ${quote(line)}`);
  const name = line.slice(0, colon);
  if (name === '') throw malformed(`response header has no name: ${quote(line)}`);
  if (name.endsWith(' ') || name.endsWith('\t')) {
    throw malformed(`response header has whitespace before its colon (RFC 9112 §5.1): ${quote(line)}`);
  }
  if (!isToken(name)) throw malformed(`response header name is not a token: ${quote(name)}`);
  const value = trimWhitespace(line.slice(colon + 1));
  if (!isFieldValue(value))
    throw malformed(`response header ${name} has a control character: ${quote(value)}`);
  return [name, value];
}

function malformed(message: string): HeadError {
  return new HeadError('malformed', message);
}
