import { KEY3_BYTES } from '../handshake/hixie.js';

/** Random bytes, as many as asked for. */
export type RandomBytes = (count: number) => Buffer;

/** A key of ours, and the number that hides in it. */
export interface HixieKey {
  readonly text: string;
  readonly number: number;
}

/** The 8 bytes that follow the head. */
export function makeKey3(random: RandomBytes): Buffer {
  return random(KEY3_BYTES);
}

/**
 * A `Sec-WebSocket-Key1` or `-Key2` (draft-hixie-thewebsocketprotocol-76 §4.1, steps 16 to 22): the digits of a number
 * times a count of spaces, that many spaces inside, and up to 12 other characters anywhere. It leaves no remainder, which
 * strict servers insist on.
 */
export function makeKey(random: RandomBytes): HixieKey {
  const spaces = 1 + below(12, random);
  const number = below(Math.floor(0xffff_ffff / spaces) + 1, random);
  const chars = Array.from(String(number * spaces));
  for (let left = 1 + below(12, random); left > 0; left--) {
    chars.splice(below(chars.length + 1, random), 0, noise(random));
  }
  // Neither first nor last, where HTTP takes them away.
  for (let left = spaces; left > 0; left--) chars.splice(1 + below(chars.length - 1, random), 0, ' ');
  return { text: chars.join(''), number };
}

/** From U+0021 to U+002F or from U+003A to U+007E: neither digit nor space. */
function noise(random: RandomBytes): string {
  const at = below(15 + 69, random);
  return String.fromCharCode(at < 15 ? 0x21 + at : 0x3a + at - 15);
}

function below(limit: number, random: RandomBytes): number {
  return random(4).readUInt32BE(0) % limit;
}
