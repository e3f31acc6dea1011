import type { Socket } from 'node:net';

/** What a client of HTTP/2 sends first (RFC 9113 §3.4). No request of HTTP/1.1 begins so. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/**
 * Looks at the first bytes of a client to learn which HTTP it speaks, and leaves them in place. One that has sent too few
 * to tell, and no more for `timeoutMs`, is cut.
 */
export function sniffHttp2(socket: Socket, timeoutMs: number, decide: (speaksHttp2: boolean) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs).unref();
  const onData = (chunk: Buffer): void => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const known = Math.min(seen.length, PREFACE.length);
    const isAlike = seen.subarray(0, known).equals(PREFACE.subarray(0, known));
    if (isAlike && known < PREFACE.length) return;
    letGo();
    socket.pause();
    socket.unshift(seen);
    decide(isAlike);
  };
  const give = (): void => void socket.destroy();
  const letGo = (): void => {
    clearTimeout(timer);
    socket.off('data', onData);
    socket.off('end', give);
    socket.off('error', give);
  };
  socket.on('error', give);
  socket.on('end', give);
  socket.once('close', letGo);
  socket.on('data', onData);
}
