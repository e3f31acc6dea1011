import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ProxyError } from '../base/errors.js';
import { reset } from '../net/sockets.js';
import { renderError } from '../protocol/http/error-answer.js';

/**
 * Sends a short error answer if nothing has gone out yet; else cuts the connection, so that half an answer cannot be
 * taken for a whole one.
 */
export function answerError(res: ServerResponse, error: ProxyError): void {
  if (res.headersSent || error.code === 'CLIENT_GONE') {
    cutAnswer(res);
    return;
  }
  const { status, reason, headers, body } = renderError(error);
  if (endsConnection(error)) {
    ending.add(res.req.socket);
    headers.append('Connection', status === 426 ? 'close, Upgrade' : 'close');
  }
  res.sendDate = false;
  res.writeHead(status, reason, headers.toRaw());
  res.end(body);
}

const ending = new WeakSet<Socket>();

/**
 * Whether an answer has announced the end of this connection. Node still reads the requests that came in one packet
 * with the last; they must not be processed (RFC 9112 §9.6), least of all behind one whose end was in doubt.
 */
export function isEnding(socket: Socket): boolean {
  return ending.has(socket);
}

/** After these we do not trust, or do not want, what the client sends next. */
function endsConnection({ code, step, status }: ProxyError): boolean {
  if (step === 'read' || status === 426) return true;
  return (
    code === 'UPSTREAM_SWITCH_UNEXPECTED' ||
    code === 'REQUEST_BODY_TIMEOUT' ||
    code === 'REQUEST_BODY_TOO_LARGE' ||
    code === 'PROXY_STOPPING'
  );
}

function cutAnswer(res: ServerResponse): void {
  // An HTTP/1.0 body may end where its connection does; only a reset tells that this is not its end. Elsewhere the
  // framing tells, and an orderly close lets arrive what was sent.
  if (res.socket !== null && res.req.httpVersion === '1.0') reset(res.socket);
  // Behind other answers in a pipeline it waits for its turn.
  else res.destroy();
}
