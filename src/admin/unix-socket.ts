import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';

/** Why an address could not be listened on: one line. */
export class AdminListenError extends Error {
  override readonly name = 'AdminListenError';
}

/**
 * Makes way for a socket: one that nobody listens on any more is removed.
 *
 * @throws AdminListenError when somebody does, or when it is no socket
 */
export async function clearStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new AdminListenError(`cannot listen on unix:${path}: there is a file that is no socket`);
  const problem = await knock(path);
  if (problem === undefined) {
    throw new AdminListenError(`cannot listen on unix:${path}: another running program does already`);
  }
  if (problem.code === 'ENOENT') return;
  if (problem.code !== 'ECONNREFUSED') {
    throw new AdminListenError(`cannot listen on unix:${path}: there is a socket, and ${problem.message}`);
  }
  unlinkSync(path);
}

/** Listens with mode 0600: the socket is made in this call, and never readable for others. */
export function listenPrivately(server: Server, path: string): void {
  let before: number | undefined;
  try {
    before = process.umask(0o177);
  } catch {
    // A worker thread cannot change it; the mode is set right behind.
  }
  try {
    server.listen(path);
  } finally {
    if (before !== undefined) process.umask(before);
  }
  if (before === undefined && server.listening) chmodSync(path, 0o600);
}

/** Resolves to what went wrong, undefined when somebody answers. */
function knock(path: string): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('error', resolve);
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
  });
}
