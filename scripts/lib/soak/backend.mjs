/**
 * What the soak puts behind the proxy: an echo for RFC 6455 (ws) and Hixie-76 (websocket-driver), and plain HTTP. The
 * query tells it how to behave: `?end=close|fin|reset&after=N` cuts a conversation after N messages, and
 * `?answer=refuse|vanish|false` spoils the handshake.
 */

import { once } from 'node:events';
import { createServer } from 'node:http';
import websocket from 'websocket-driver';
import { WebSocketServer } from 'ws';

/** Longer than the proxy keeps a connection idle: who closes first must not be a race. */
const KEEP_ALIVE_MS = 120_000;

/** Starts `count` equal servers on free ports: their `urls`, and `closeIdle` to empty the proxy's pool. */
export async function startBackends(count) {
  const servers = await Promise.all(Array.from({ length: count }, startBackend));
  return {
    urls: servers.map((server) => `http://127.0.0.1:${server.address().port}`),
    closeIdle: () => servers.forEach((server) => server.closeIdleConnections()),
  };
}

async function startBackend() {
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS });
  server.on('request', (request, response) => void answerHttp(request, response));
  const rfc6455 = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  server.on('upgrade', (request, socket, early) => {
    socket.on('error', () => socket.destroy());
    const query = new URL(request.url, 'http://backend').searchParams;
    const answer = query.get('answer');
    if (answer !== null) return spoil(answer, request, socket);
    const ending = endingOf(query, socket);
    if (request.headers['sec-websocket-key1'] !== undefined) return echoHixie(request, socket, early, ending);
    return rfc6455.handleUpgrade(request, socket, early, (client) => echo(client, ending));
  });
  server.on('clientError', (_, socket) => socket.destroy());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function echo(client, ending) {
  client.on('error', () => client.terminate());
  client.on('message', (data) => {
    client.send(data, { binary: false });
    if (ending()) client.close(1000);
  });
}

function echoHixie(request, socket, early, ending) {
  const driver = websocket.http(request, { allowDrafts: true });
  driver.on('error', () => socket.end());
  driver.on('close', () => socket.end());
  driver.on('message', ({ data }) => {
    driver.text(data);
    if (ending()) driver.close();
  });
  driver.io.on('data', (bytes) => socket.write(bytes));
  driver.start();
  driver.io.write(early);
  socket.on('data', (bytes) => driver.io.write(bytes));
  socket.on('end', () => socket.end());
}

/** Called after each message: cuts the socket when its time has come, or says that a close is due. */
function endingOf(query, socket) {
  const how = query.get('end');
  let left = Number(query.get('after') ?? Infinity);
  return () => {
    if (--left !== 0) return false;
    if (how === 'fin') socket.end();
    if (how === 'reset') socket.resetAndDestroy();
    return how === 'close';
  };
}

function spoil(answer, request, socket) {
  if (answer === 'refuse') socket.end(refusal);
  else if (answer === 'vanish') socket.destroy();
  else socket.write(request.headers['sec-websocket-key1'] === undefined ? falseAccept : falseChallenge);
  // Whoever believes a false answer would talk on; the proxy must have hung up by itself.
  socket.resume();
  socket.on('end', () => socket.end());
}

const switching = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n';
const falseAccept = `${switching}Sec-WebSocket-Accept: x\r\n\r\n`;
const falseChallenge = `${switching}\r\nnot the 16 bytes`;
const refusal = 'HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n';

/** `GET /bytes?n=N` streams N bytes, `POST /echo` sends the body back, `/vanish` hangs up. */
async function answerHttp(request, response) {
  response.on('error', () => {});
  request.on('error', () => {});
  const { pathname, searchParams } = new URL(request.url, 'http://backend');
  if (pathname === '/vanish') request.socket.destroy();
  else if (pathname === '/echo') request.pipe(response);
  else await stream(response, Number(searchParams.get('n') ?? 0));
}

async function stream(response, length) {
  const chunk = Buffer.alloc(16 * 1024, 'x');
  for (let left = length; left > 0 && !response.destroyed; left -= chunk.length) {
    if (!response.write(chunk.subarray(0, left))) await drained(response);
  }
  response.end();
}

function drained(response) {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });
}
