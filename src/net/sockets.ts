import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { ProxyError } from '../base/errors.js';
import { renderError } from '../protocol/http/error-answer.js';
import { writeResponseHead } from '../protocol/http/head.js';

/**
 * Cuts a connection so that the peer can tell it from an orderly end: a TCP reset where there is TCP. A truncated
 * message behind a FIN would look complete.
 */
export function reset(stream: Duplex): void {
  if (stream.destroyed) return;
  if (canReset(stream)) {
    try {
      stream.resetAndDestroy();
    } catch {
      // A unix socket, which has no reset of its own.
    }
  }
  // At once, before anything else can begin: Node leaves a socket half destroyed whose reset had to wait.
  stream.destroy();
}

/** Node throws for TLS; and while an end is on its way, libuv refuses the reset and never closes the socket at all. */
function canReset(stream: Duplex): stream is Socket {
  const ending = stream.writableEnded && !stream.writableFinished;
  return stream instanceof Socket && !(stream instanceof TLSSocket) && !ending;
}

const NOTHING = Buffer.alloc(0);

/**
 * To be called when a socket says 'end': calls `orderly` if that is true. When bytes and a reset arrive together, libuv
 * reports the bytes and then an orderly end; a write of nothing makes the kernel tell the truth, as an 'error'.
 */
export function ifOrderly(stream: Duplex, orderly: () => void): void {
  const tellsByItself = !stream.writable || stream.writableLength > 0;
  const plain = stream instanceof Socket && !(stream instanceof TLSSocket);
  if (tellsByItself || !plain) {
    orderly();
    return;
  }
  stream.write(NOTHING, (error) => {
    if (!error) orderly();
  });
}

/** How long, and for how many bytes, `endWith` listens to a client that it has refused. */
const LINGER_MS = 2000;
const LINGER_BYTES = 256 * 1024;

/**
 * Sends a last answer and closes. What the client still sends is read and thrown away for a moment: closing over
 * unread bytes makes the kernel send a reset, which can destroy the answer before the client has read it.
 */
export function endWith(stream: Duplex, answer: Buffer): void {
  let left = LINGER_BYTES;
  const timer = setTimeout(() => stream.destroy(), LINGER_MS).unref();
  stream.on('error', () => stream.destroy());
  stream.once('close', () => clearTimeout(timer));
  stream.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) stream.destroy();
  });
  stream.once('end', () => stream.end());
  stream.end(answer);
  stream.resume();
}

/** A refusal as the last bytes of a connection, with fields of the sender's own. */
export function errorBytes(error: ProxyError, fields: Readonly<Record<string, string>> = {}): Buffer {
  const { status, reason, headers, body } = renderError(error);
  for (const [name, value] of Object.entries(fields)) headers.append(name, value);
  headers.append('Connection', headers.has('upgrade') ? 'Upgrade, close' : 'close');
  return Buffer.concat([writeResponseHead(status, reason, headers), body]);
}

/** A peer’s address as logs and headers show it: IPv4-mapped IPv6 addresses as plain IPv4. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return 'unix';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}
