import { createHash } from 'node:crypto';

/** Bytes of key3, which follow a Hixie-76 request head without any Content-Length. */
export const KEY3_BYTES = 8;

/** Bytes of the answer’s challenge response, which follow its head. */
export const CHALLENGE_BYTES = 16;

/**
 * The number hidden in a `Sec-WebSocket-Key1` or `-Key2`: its digits as one number, divided by its count of spaces
 * (draft-hixie-thewebsocketprotocol-76 §5.2). The draft calls a remainder an error; the servers of 2010 took the
 * integer part, and so do keys printed in the wild, so we do too and leave the judgement to the server.
 *
 * @returns the number, or one line saying why there is none.
 */
export function keyNumber(key: string): number | string {
  let digits = '';
  let spaces = 0;
  for (const char of key) {
    if (char >= '0' && char <= '9') digits += char;
    else if (char === ' ') spaces++;
  }
  if (digits === '') return 'has no digits';
  // Without spaces the request may have been forged by a page through a form or a script: a cross-protocol attack.
  if (spaces === 0) return 'has no spaces';
  const number = digits.length > 15 ? Infinity : Math.floor(Number(digits) / spaces);
  return number <= 0xffff_ffff ? number : 'hides a number above 4294967295';
}

/** The 16 bytes that prove a Hixie-76 server has read both keys and key3: MD5(number1 ‖ number2 ‖ key3). */
export function challengeResponse(number1: number, number2: number, key3: Uint8Array): Buffer {
  const input = Buffer.alloc(16);
  input.writeUInt32BE(number1, 0);
  input.writeUInt32BE(number2, 4);
  input.set(key3, 8);
  return createHash('md5').update(input).digest();
}
