/** What a validator of TLS-ALPN-01 offers, and nothing beside it (RFC 8737 §4). */
export const ACME_PROTOCOL = 'acme-tls/1';

const HANDSHAKE_RECORD = 22;
const RECORD_HEAD_BYTES = 5;
/** Of a record in the clear (RFC 8446 §5.1). */
const MAX_RECORD_BYTES = 2 ** 14;
const CLIENT_HELLO = 1;
const MESSAGE_HEAD_BYTES = 4;
/** Far more than any client sends. */
const MAX_HELLO_BYTES = 2 ** 16;
const VERSION_AND_RANDOM_BYTES = 2 + 32;
const SERVER_NAME_EXTENSION = 0;
const ALPN_EXTENSION = 16;
const HOST_NAME = 0;

/** What a client says first, as far as it is asked for here. */
export interface ClientHello {
  /** The host that it asks for (SNI, RFC 6066 §3), lower-cased; undefined: none. */
  readonly serverName: string | undefined;
  /** What it offers by ALPN (RFC 7301), in its order. */
  readonly protocols: readonly string[];
}

const NOTHING: ClientHello = { serverName: undefined, protocols: [] };

/**
 * Reads the first bytes of a TLS connection. What is no TLS says nothing, and others complain about it. Undefined: there
 * are too few bytes to tell.
 */
export function readClientHello(bytes: Buffer): ClientHello | undefined {
  try {
    const hello = findHello(bytes);
    return hello && readExtensions(hello);
  } catch (thrown) {
    if (thrown instanceof Malformed) return NOTHING;
    throw thrown;
  }
}

class Malformed extends Error {}

/** The body of the ClientHello, which may come in several records. Undefined: it is not whole yet. */
function findHello(bytes: Buffer): Buffer | undefined {
  const pieces: Buffer[] = [];
  let have = 0;
  for (let at = 0; ;) {
    if (at < bytes.length && bytes[at] !== HANDSHAKE_RECORD) throw new Malformed();
    if (at + RECORD_HEAD_BYTES > bytes.length) return undefined;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > MAX_RECORD_BYTES) throw new Malformed();
    const end = at + RECORD_HEAD_BYTES + length;
    const piece = bytes.subarray(at + RECORD_HEAD_BYTES, end);
    pieces.push(piece);
    have += piece.length;
    const message = pieces.length === 1 ? piece : Buffer.concat(pieces);
    if (message.length > 0 && message[0] !== CLIENT_HELLO) throw new Malformed();
    if (have >= MESSAGE_HEAD_BYTES) {
      const bodyBytes = message.readUIntBE(1, 3);
      if (bodyBytes > MAX_HELLO_BYTES) throw new Malformed();
      if (have >= MESSAGE_HEAD_BYTES + bodyBytes) {
        return message.subarray(MESSAGE_HEAD_BYTES, MESSAGE_HEAD_BYTES + bodyBytes);
      }
    }
    if (end > bytes.length) return undefined;
    at = end;
  }
}

function readExtensions(hello: Buffer): ClientHello {
  const fields = new Fields(hello);
  fields.take(VERSION_AND_RANDOM_BYTES);
  fields.vector(1); // session id
  fields.vector(2); // cipher suites
  fields.vector(1); // compression methods
  // Clients of old end here.
  if (fields.isAtEnd) return NOTHING;
  const extensions = fields.vector(2);
  let { serverName, protocols } = NOTHING;
  while (!extensions.isAtEnd) {
    const type = extensions.number(2);
    const extension = extensions.vector(2);
    if (type === ALPN_EXTENSION) protocols = readProtocols(extension.vector(2));
    else if (type === SERVER_NAME_EXTENSION) serverName = readServerName(extension.vector(2));
  }
  return { serverName, protocols };
}

function readServerName(list: Fields): string | undefined {
  while (!list.isAtEnd) {
    const type = list.number(1);
    const name = list.vector(2);
    if (type === HOST_NAME) return name.text().toLowerCase();
  }
  return undefined;
}

function readProtocols(list: Fields): string[] {
  const names: string[] = [];
  while (!list.isAtEnd) names.push(list.vector(1).text());
  return names;
}

/** Reads the presentation language of TLS (RFC 8446 §3); throws Malformed where bytes are missing. */
class Fields {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new Malformed();
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  number(bytes: 1 | 2): number {
    return this.take(bytes).readUIntBE(0, bytes);
  }

  /** What follows a length of so many bytes. */
  vector(lengthBytes: 1 | 2): Fields {
    return new Fields(this.take(this.number(lengthBytes)));
  }

  text(): string {
    return this.#bytes.toString('latin1');
  }
}
