import { Server as NetServer } from 'node:net';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Knows which connections of an HTTP server have nothing under way, so that it can be closed without cutting an answer
 * off. (Node counts a connection as idle once `end()` was called on its response, flushed or not, and
 * `server.close()` destroys it then: a slow client would lose the tail of a large answer.)
 */
export class IdleConnections {
  readonly #server: Server;
  /** Answers under way by connection. */
  readonly #underWay = new Map<Socket, number>();
  #closing = false;
  #onEmpty: () => void = () => {};

  constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket: Socket) => this.#add(socket));
    for (const name of ['request', 'checkContinue', 'checkExpectation']) {
      server.on(name, (req: IncomingMessage, res: ServerResponse) => this.#onRequest(req.socket, res));
    }
    // No longer the server's: whoever took it ends it.
    server.on('upgrade', ({ socket }: IncomingMessage) => this.#forget(socket));
  }

  /** Takes no more connections and ends those with nothing under way, now and as they become so. */
  async close(): Promise<void> {
    this.#closing = true;
    const closed = new Promise<void>((resolve) => {
      NetServer.prototype.close.call(this.#server, () => resolve());
    });
    // Node waits for those that it accepted itself; others were handed to it.
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      if (this.#underWay.size === 0) resolve();
    });
    for (const [socket, answers] of this.#underWay) if (answers === 0) endIdle(socket);
    await Promise.all([closed, empty]);
    // Nothing is open any more; this only stops Node's own timer.
    this.#server.close(() => {});
  }

  #add(socket: Socket): void {
    // A connection comes twice if an upgrade was taken out of its request.
    if (this.#underWay.has(socket)) return;
    this.#underWay.set(socket, 0);
    socket.once('close', () => this.#forget(socket));
  }

  #forget(socket: Socket): void {
    this.#underWay.delete(socket);
    if (this.#underWay.size === 0) this.#onEmpty();
  }

  #onRequest(socket: Socket, res: ServerResponse): void {
    this.#count(socket, 1);
    res.once('close', () => {
      this.#count(socket, -1);
      if (this.#closing && this.#underWay.get(socket) === 0) endIdle(socket);
    });
  }

  #count(socket: Socket, by: number): void {
    const answers = this.#underWay.get(socket);
    if (answers !== undefined) this.#underWay.set(socket, answers + by);
  }
}

/** How long a client may take to close a connection that has been ended and has nothing under way. */
const LINGER_MS = 1000;

/** Browsers keep such a connection for as long as nobody makes them look at it. */
function endIdle(socket: Socket): void {
  socket.end(() => {
    const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
    socket.once('close', () => clearTimeout(timer));
  });
}
