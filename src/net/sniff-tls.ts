import type { Socket } from 'node:net';
import { type ClientHello, readClientHello } from '../protocol/tls/client-hello.js';

/**
 * Looks at the ClientHello of a connection and leaves it in place: Node chooses the certificate before it tells what is
 * offered by ALPN, and has no way to choose none. Who sends too little is cut by the time limit of the handshake, which is
 * the caller’s.
 */
export function sniffTls(socket: Socket, decide: (hello: ClientHello) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const hello = readClientHello(seen);
    if (hello === undefined) return;
    letGo();
    socket.pause();
    socket.unshift(seen);
    decide(hello);
  };
  const give = (): void => void socket.destroy();
  const letGo = (): void => {
    socket.off('data', onData);
    socket.off('end', give);
    socket.off('close', letGo);
  };
  socket.on('end', give);
  socket.once('close', letGo);
  socket.on('data', onData);
}
