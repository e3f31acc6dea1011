import { chmodSync, existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';

/** Why an address could not be listened on: one line. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/** What a path may take in the address of a socket; libuv might cut off the rest without a word. */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

/**
 * Listens on a unix socket. One that nobody listens on any more makes way; the new one is never open for others than
 * `mode` says. It is removed when the server closes.
 *
 * @param mode permissions, such as 0o660
 * @throws ListenError when the path cannot be used, another program listening there among the reasons
 */
export async function listenOnSocket(server: Server, path: string, mode: number): Promise<void> {
  const length = Buffer.byteLength(path);
  if (length > MAX_PATH_BYTES) {
    throw cannot(path, `the path takes ${length} bytes, and that of a socket may take ${MAX_PATH_BYTES}`);
  }
  // What libuv would call a lack of permission.
  if (!existsSync(dirname(path))) throw cannot(path, `there is no folder ${dirname(path)}`);
  await clearStaleSocket(path);
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => reject(cannot(path, error.message, error));
    server.once('error', fail);
    server.once('listening', () => {
      server.off('error', fail);
      resolve();
    });
    listenWithMode(server, path, mode);
  });
}

/** Makes way for a socket: one that nobody listens on any more is removed. */
async function clearStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw cannot(path, 'there is a file that is no socket');
  const problem = await knock(path);
  if (problem === undefined) throw cannot(path, 'another running program does already');
  if (problem.code === 'ENOENT') return;
  if (problem.code !== 'ECONNREFUSED') throw cannot(path, `there is a socket, and ${problem.message}`);
  unlinkSync(path);
}

/** The socket is made in this call, and never open for others. */
function listenWithMode(server: Server, path: string, mode: number): void {
  let before: number | undefined;
  try {
    before = process.umask(0o777 & ~mode);
  } catch {
    // A worker thread cannot change it; the mode is set right behind.
  }
  try {
    server.listen(path);
  } finally {
    if (before !== undefined) process.umask(before);
  }
  if (before === undefined && server.listening) chmodSync(path, mode);
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

function cannot(path: string, why: string, cause?: Error): ListenError {
  return new ListenError(`cannot listen on unix:${path}: ${why}`, { cause });
}
