import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { NativeBinding } from './native-binding.js';

/** How many sockets are written to in one call: so long the others wait for the first. */
const MAX_AT_ONCE = 1024;

/**
 * One frame for many plain sockets that stay with Node, written by the addon in one call: a write of Node’s costs about a
 * third on top of what the kernel takes, and leaves something to collect. What a socket does not take goes the way of
 * all writes, behind which everything is as ever: what waits, `drain`, errors.
 *
 * A frame goes out when another one comes, or when what is running now is over. Until then it is nowhere to be seen in
 * its sockets, so that whoever looks at one of them or writes to it by itself has to call `flush` first.
 */
export class FanOut {
  readonly #binding: Pick<NativeBinding, 'sendToAll'>;
  readonly #fds = new Int32Array(MAX_AT_ONCE);
  #sockets: NodeSocket[] = [];
  #frame: Buffer | undefined;
  #round = 1;
  #isScheduled = false;
  readonly #onTick = (): void => {
    this.#isScheduled = false;
    this.flush();
  };

  constructor(binding: Pick<NativeBinding, 'sendToAll'>) {
    this.#binding = binding;
  }

  /** Changes at each flush: what came in with this number waits as long as it is the same. Never 0. */
  get round(): number {
    return this.#round;
  }

  /** Whether a socket can take part. */
  static takes(socket: Duplex): socket is Socket {
    return socket instanceof Socket && !(socket instanceof TLSSocket);
  }

  /**
   * @param socket for which `takes` is true. Not twice in one round: the second frame waits for the end of the first.
   * @param frame the same buffer for all that shall go out together; must not change.
   * @returns the round, or 0 where it has gone to the socket itself, behind what waits there.
   */
  add(socket: Socket, frame: Buffer): number {
    if (socket.writableLength > 0 || socket.writableEnded) {
      socket.write(frame);
      return 0;
    }
    if (frame !== this.#frame || this.#sockets.length === MAX_AT_ONCE) {
      this.flush();
      this.#frame = frame;
    }
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      process.nextTick(this.#onTick);
    }
    this.#sockets.push(socket);
    return this.#round;
  }

  /** What waits goes out. */
  flush(): void {
    const frame = this.#frame;
    if (frame === undefined) return;
    const sockets = this.#sockets;
    this.#sockets = [];
    this.#frame = undefined;
    this.#round++;
    const fds = this.#fds;
    for (let i = 0; i < sockets.length; i++) fds[i] = descriptorOf(sockets[i]!);
    if (this.#binding.sendToAll(fds, sockets.length, frame) === 0) return;
    for (let i = 0; i < sockets.length; i++) {
      const sent = fds[i]!;
      if (sent < frame.length) sockets[i]!.write(sent === 0 ? frame : frame.subarray(sent));
    }
  }
}

/** Good as long as the handle is there, and no longer: then the number is given to others. */
function descriptorOf({ _handle: handle }: NodeSocket): number {
  return handle?.fd ?? -1;
}

type NodeSocket = Socket & { readonly _handle?: { readonly fd?: number } | null };
