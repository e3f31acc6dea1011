/** Frames as bytes. These throw a RangeError on anything that a peer would have to refuse. */

export interface FrameParts {
  /** RFC 6455 §5.2: 0 continuation, 1 text, 2 binary, 8 Close, 9 Ping, 10 Pong. */
  readonly opcode: number;
  /** Default true. */
  readonly fin?: boolean;
  /** RSV1–3 as a number 0–7 (RSV1 = 4). Default 0. */
  readonly rsv?: number;
  /** Copied, never changed. A string goes out as UTF-8. Default empty. */
  readonly payload?: Uint8Array | string;
  /** The 4 bytes of the masking key: clients must give one, servers must not (RFC 6455 §5.1). */
  readonly mask?: Uint8Array | undefined;
}

/** One RFC 6455 frame in one buffer. */
export function writeFrame(parts: FrameParts): Buffer {
  const { opcode, fin = true, rsv = 0, payload = '', mask } = parts;
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload;
  check(OPCODES.has(opcode), `opcode ${opcode} is not one of 0, 1, 2, 8, 9, 10`);
  check(Number.isInteger(rsv) && rsv >= 0 && rsv <= 7, `rsv ${rsv} is not a number from 0 to 7`);
  check(mask === undefined || mask.length === 4, `a masking key has 4 bytes, not ${mask?.length}`);
  if (opcode >= 8) {
    check(fin, 'a control frame cannot be fragmented');
    check(body.length <= 125, `a control frame carries at most 125 bytes, not ${body.length}`);
  }

  const lengthBytes = body.length < 126 ? 0 : body.length < 65_536 ? 2 : 8;
  const start = 2 + lengthBytes + (mask === undefined ? 0 : 4);
  const frame = Buffer.allocUnsafe(start + body.length);
  frame[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  frame[1] =
    (mask === undefined ? 0 : 0x80) | (lengthBytes === 0 ? body.length : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) {
    frame.writeUInt16BE(body.length, 2);
  } else if (lengthBytes === 8) {
    frame.writeUInt32BE(Math.floor(body.length / 2 ** 32), 2);
    frame.writeUInt32BE(body.length % 2 ** 32, 6);
  }
  if (mask === undefined) {
    frame.set(body, start);
  } else {
    frame.set(mask, start - 4);
    for (let i = 0; i < body.length; i++) frame[start + i] = body[i]! ^ mask[i & 3]!;
  }
  return frame;
}

/** A Close frame. Without a code it is empty; `reason` is at most 123 bytes of UTF-8 (RFC 6455 §5.5.1). */
export function writeClose(code?: number, reason = '', mask?: Uint8Array): Buffer {
  if (code === undefined) {
    check(reason === '', 'a Close frame with a reason needs a code');
    return writeFrame({ opcode: 8, mask });
  }
  check(isSendableCloseCode(code), `close code ${code} is not one of 1000-1003, 1007-1014, 3000-4999`);
  const text = Buffer.from(reason);
  check(text.length <= 123, `a close reason has at most 123 bytes, not ${text.length}`);
  return writeFrame({
    opcode: 8,
    payload: Buffer.concat([Buffer.from([code >> 8, code & 0xff]), text]),
    mask,
  });
}

/** Whether a Close frame may carry the code: 1004–1006 and 1015 are never on the wire (RFC 6455 §7.4, IANA). */
export function isSendableCloseCode(code: number): boolean {
  if (!Number.isInteger(code)) return false;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/** A Hixie-75/76 text frame. UTF-8 has no byte 0xFF, so no text can end its frame early. */
export function writeHixieText(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x00]), Buffer.from(text), Buffer.from([0xff])]);
}

/** The Hixie-76 closing frame `FF 00`. Hixie-75 has none: its end is the end of the TCP connection. */
export function writeHixieClose(): Buffer {
  return Buffer.from([0xff, 0x00]);
}

const OPCODES: ReadonlySet<number> = new Set([0, 1, 2, 8, 9, 10]);

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new RangeError(message);
}
