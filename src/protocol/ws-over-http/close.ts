import { isSendableCloseCode } from '../frames/writer.js';

/** What a Close frame may say. */
export interface LegalClose {
  readonly code: number;
  readonly reason: string;
}

/** RFC 6455 §5.5: 125 bytes, less the 2 of the code. */
const MAX_REASON_BYTES = 123;

/**
 * The nearest Close that may be sent (RFC 6455 §7.4): 1000 for no code and for those that never stand on the wire
 * (js-grip's `close()` sends 0), a reason cut between characters.
 */
export function legalClose(code: number | undefined, reason = ''): LegalClose {
  return {
    code: code !== undefined && isSendableCloseCode(code) ? code : 1000,
    reason: cutText(reason, MAX_REASON_BYTES),
  };
}

/** Code and reason of a CLOSE event as they came; a single byte is no code. */
export function readCloseContent(content: Buffer): { code: number | undefined; reason: string } {
  if (content.length < 2) return { code: undefined, reason: '' };
  return { code: content.readUInt16BE(0), reason: content.toString('utf8', 2) };
}

/** The content of a CLOSE event: none without a code, as there is no place for the reason then. */
export function writeCloseContent(code: number | undefined, reason: Uint8Array): Buffer {
  if (code === undefined) return Buffer.alloc(0);
  const content = Buffer.alloc(2 + reason.length);
  content.writeUInt16BE(code, 0);
  content.set(reason, 2);
  return content;
}

/** The longest start of the text that has at most so many bytes of UTF-8 and ends with a whole character. */
function cutText(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return bytes.toString();
  let end = maxBytes;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}
