import { createServer } from 'node:http';
import type { Duplex } from 'node:stream';
import websocket from 'websocket-driver';
import { closeServer, listenLocally, type Backend } from './backend.js';

const MAX_MESSAGE_BYTES = 64 * 1024;

/**
 * A server as they were in 2010: Hixie-76, greeting with a session id in the manner of socket.io 0.6, then echoing.
 * The greeting leaves in one write with the answer, as it did in the forum's question.
 */
export async function startHixieBackend(): Promise<Backend> {
  const open = new Set<Duplex>();
  const server = createServer((_, response) => {
    response.writeHead(400, { 'content-type': 'text/plain' });
    response.end('This is a WebSocket of 2010 (Hixie-76).\n');
  });
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    open.add(socket);
    socket.on('close', () => open.delete(socket));

    const driver = websocket.http(request, { allowDrafts: true, maxLength: MAX_MESSAGE_BYTES });
    driver.on('error', () => socket.end());
    driver.messages.on('data', (text) => driver.text(text));
    driver.messages.on('end', () => socket.end());
    socket.cork();
    driver.io.on('data', (bytes) => socket.write(bytes));
    if (driver.start()) driver.text(greeting());
    driver.io.write(head);
    socket.uncork();
    socket.on('data', (bytes: Buffer) => driver.io.write(bytes));
    socket.on('end', () => socket.end());
  });
  const url = await listenLocally(server);

  return {
    name: 'hixie',
    what: 'an echo on a WebSocket of 2010 (Hixie-76)',
    paths: ['/hixie'],
    url,
    async stop() {
      for (const socket of open) socket.destroy();
      await closeServer(server);
    },
  };
}

/** `~m~16~m~` and 16 digits: what a socket.io 0.6 server sent first, and what never arrived in 2010. */
function greeting(): string {
  const sessionId = Array.from({ length: 16 }, () => Math.floor(Math.random() * 10)).join('');
  return `~m~16~m~${sessionId}`;
}
