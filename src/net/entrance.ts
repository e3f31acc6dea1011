import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** Takes in a connection that has just been accepted, and sees it through until somebody reads requests from it. */
export interface Entrance {
  readonly enter: (socket: Socket) => void;
}

/**
 * The way of a connection from accept to HTTP (step 0), one stage after the other:
 *
 * ```
 *   accepted ──▶ HTTP/1.1
 * ```
 */
export function openEntrance(http1: Server): Entrance {
  return { enter: (socket) => void http1.emit('connection', socket) };
}
