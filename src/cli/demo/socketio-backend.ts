import { createServer } from 'node:http';
import type * as SocketIo from 'socket.io';
import { closeServer, listenLocally, type Backend } from './backend.js';

/** How often every client is sent a number. */
const TICK_INTERVAL_MS = 2000;

/**
 * socket.io 4, which begins with long polling and upgrades to a WebSocket on the same path. It is no dependency of the
 * published package, but looked for by name at run time: undefined when it is not installed.
 */
export async function startSocketIoBackend(packageName = 'socket.io'): Promise<Backend | undefined> {
  const socketIo = await load(packageName);
  if (socketIo === undefined) return undefined;

  const server = createServer();
  const io = new socketIo.Server(server, { serveClient: true });
  io.on('connection', (socket) => {
    socket.on('echo', (text: unknown, reply?: (text: unknown) => void) => {
      if (typeof reply === 'function') reply(text);
    });
  });
  let ticks = 0;
  const ticking = setInterval(() => io.emit('tick', ++ticks), TICK_INTERVAL_MS).unref();
  const url = await listenLocally(server);

  return {
    name: 'socketio',
    what: 'socket.io 4: polling first, then the upgrade',
    paths: ['/socket.io/*'],
    url,
    async stop() {
      clearInterval(ticking);
      io.disconnectSockets(true);
      await closeServer(server);
    },
  };
}

async function load(packageName: string): Promise<typeof SocketIo | undefined> {
  try {
    return (await import(packageName)) as typeof SocketIo;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}
