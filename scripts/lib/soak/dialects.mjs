/** Just enough of two generations to be a client on a raw connection. */

import { createHash } from 'node:crypto';

const CRLF2 = '\r\n\r\n';
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** RFC 6455. */
export function rfc6455(random) {
  const key = random.bytes(16).toString('base64');
  const accept = createHash('sha1')
    .update(key + GUID)
    .digest('base64');
  return {
    hello(path) {
      const lines = [
        'Upgrade: websocket',
        'Connection: Upgrade',
        'Sec-WebSocket-Version: 13',
        `Sec-WebSocket-Key: ${key}`,
      ];
      return head(path, lines);
    },
    async readAnswer(wire) {
      const answer = String(await wire.readUntil(CRLF2));
      if (isSwitch(answer) && !answer.includes(accept)) throw new Error(`a wrong answer: ${answer}`);
      return status(answer);
    },
    message: (text) => maskedFrame(0x81, Buffer.from(text), random.bytes(4)),
    async readMessage(wire) {
      const { payload } = await readFrame(wire);
      return payload.toString();
    },
    close: () => maskedFrame(0x88, Buffer.from([0x03, 0xe8]), random.bytes(4)),
    async readClose(wire) {
      for (;;) if ((await readFrame(wire)).opcode === 0x8) return;
    },
  };
}

/** Hixie-76. The 8 bytes of its third key are the last of the hello. */
export function hixie76(random) {
  const [first, second] = [keyOf(random), keyOf(random)];
  const key3 = random.bytes(8);
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(first.number, 0);
  numbers.writeUInt32BE(second.number, 4);
  const expected = createHash('md5').update(numbers).update(key3).digest();
  return {
    hello(path) {
      const lines = ['Upgrade: WebSocket', 'Connection: Upgrade', 'Origin: http://soak.test'];
      lines.push(`Sec-WebSocket-Key1: ${first.text}`, `Sec-WebSocket-Key2: ${second.text}`);
      return Buffer.concat([head(path, lines), key3]);
    },
    async readAnswer(wire) {
      const answer = String(await wire.readUntil(CRLF2));
      if (isSwitch(answer) && !(await wire.read(16)).equals(expected))
        throw new Error('a wrong 16-byte answer');
      return status(answer);
    },
    message: (text) => Buffer.from(`\0${text}\u00ff`, 'latin1'),
    async readMessage(wire) {
      const frame = await wire.readUntil(Buffer.from([0xff]));
      if (frame[0] !== 0) throw new Error('not a Hixie frame');
      return frame.subarray(1, -1).toString('latin1');
    },
    close: () => Buffer.from([0xff, 0x00]),
    readClose: (wire) => wire.readUntil(Buffer.from([0xff, 0x00])),
  };
}

function head(path, lines) {
  return Buffer.from([`GET ${path} HTTP/1.1`, 'Host: soak.test', ...lines, '', ''].join('\r\n'));
}

const status = (answer) => Number(answer.slice('HTTP/1.1 '.length).slice(0, 3));
const isSwitch = (answer) => status(answer) === 101;

function maskedFrame(first, payload, mask) {
  const length = payload.length;
  const extended = length < 126 ? Buffer.alloc(0) : Buffer.alloc(length < 0x10000 ? 2 : 8);
  if (extended.length === 2) extended.writeUInt16BE(length);
  if (extended.length === 8) extended.writeBigUInt64BE(BigInt(length));
  const short = extended.length === 0 ? length : extended.length === 2 ? 126 : 127;
  const masked = Buffer.from(payload);
  for (let i = 0; i < length; i++) masked[i] ^= mask[i & 3];
  return Buffer.concat([Buffer.from([first, 0x80 | short]), extended, mask, masked]);
}

async function readFrame(wire) {
  const [first, second] = await wire.read(2);
  let length = second & 0x7f;
  if (length === 126) length = (await wire.read(2)).readUInt16BE();
  else if (length === 127) length = Number((await wire.read(8)).readBigUInt64BE());
  return { opcode: first & 0x0f, payload: await wire.read(length) };
}

/** A key of the draft: a number times its spaces, among letters. */
function keyOf(random) {
  const spaces = random.between(1, 12);
  const number = random.between(1, Math.floor(0xffffffff / spaces));
  const digits = String(number * spaces).split('');
  for (let i = 0; i < spaces; i++) digits.splice(random.between(1, digits.length - 1 || 1), 0, ' ');
  const letters = ['a', 'f', 'K', 'Z', '!', '/', ':', '~'];
  for (let i = random.between(1, 12); i > 0; i--)
    digits.splice(random.between(0, digits.length), 0, random.pick(letters));
  // Spaces at either end would be trimmed off a header's value.
  return { number, text: `a${digits.join('')}z` };
}
