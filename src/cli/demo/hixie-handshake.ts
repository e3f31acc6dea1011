import { createHash, randomBytes, randomInt } from 'node:crypto';

/** What a client of draft-hixie-thewebsocketprotocol-76 sends, and what it must be answered. */
export interface HixieHandshake {
  readonly head: Buffer;
  readonly key3: Buffer;
  /** The 16 bytes that the server must answer. */
  readonly challenge: Buffer;
  /** How the two numbers hide in the keys. */
  readonly note: string;
}

/** A fresh handshake for that path, with keys drawn at random as section 4.1 has it. */
export function makeHixieHandshake(path: string, authority: string): HixieHandshake {
  const first = makeKey();
  const second = makeKey();
  const key3 = randomBytes(8);
  const lines = [
    `GET ${path} HTTP/1.1`,
    'Upgrade: WebSocket',
    'Connection: Upgrade',
    `Host: ${authority}`,
    `Origin: http://${authority}`,
    `Sec-WebSocket-Key1: ${first.key}`,
    `Sec-WebSocket-Key2: ${second.key}`,
  ];
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(first.number, 0);
  numbers.writeUInt32BE(second.number, 4);
  return {
    head: Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'),
    key3,
    challenge: createHash('md5').update(numbers).update(key3).digest(),
    note: `${first.digits} ÷ ${first.spaces} spaces = ${first.number}; ${second.digits} ÷ ${second.spaces} = ${second.number}`,
  };
}

/** Section 4.1 of the draft, steps 16 to 24: a number times a count of spaces, hidden among other characters. */
function makeKey(): { key: string; digits: string; spaces: number; number: number } {
  const spaces = randomInt(1, 13);
  const number = randomInt(1, Math.floor(0xffffffff / spaces) + 1);
  const digits = String(number * spaces);
  let key = digits;
  for (let left = randomInt(1, 13); left > 0; left--)
    key = insert(key, junkCharacter(), randomInt(0, key.length + 1));
  // Never first or last: header values are trimmed.
  for (let left = spaces; left > 0; left--) key = insert(key, ' ', randomInt(1, key.length));
  return { key, digits, spaces, number };
}

/** U+0021 to U+002F or U+003A to U+007E: what is neither a digit nor a space. */
function junkCharacter(): string {
  const n = randomInt(0, 84);
  return String.fromCharCode(n < 15 ? 0x21 + n : 0x3a + n - 15);
}

function insert(text: string, character: string, at: number): string {
  return text.slice(0, at) + character + text.slice(at);
}
