import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { writeResponseHead, type RequestHead, type ResponseHead } from '../protocol/http/head.js';
import { removeHopByHop } from '../protocol/http/hop-by-hop.js';

/**
 * Passes an interim answer (1xx) on, in front of the final head, to clients that know them (RFC 9110 §15.2). Returns
 * whether it goes out.
 *
 * @throws RangeError when it cannot be written.
 */
export function passInterim(interim: ResponseHead, request: RequestHead, res: ServerResponse): boolean {
  if (request.httpVersion !== '1.1' || res.headersSent || res.destroyed) return false;
  if (interim.status === 100) {
    // Node keeps the connection only if it knows that the client was told to go on.
    res.writeContinue();
    return true;
  }
  const headers = interim.headers.clone();
  removeHopByHop(headers);
  headers.delete('content-length');
  const bytes = writeResponseHead(interim.status, interim.reason, headers);
  const write = (socket: Socket) => {
    // It is advice; for a client that does not read it is not piled up.
    if (!socket.writableNeedDrain) socket.write(bytes);
  };
  // Behind other answers in a pipeline it waits for its turn.
  if (res.socket === null) res.once('socket', write);
  else write(res.socket);
  return true;
}
