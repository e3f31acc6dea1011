import type { Readable, Writable } from 'node:stream';

/** How the moving of a body ended. */
export type PumpEnd =
  /** The source has ended in order and the sink holds everything; the sink is not ended. */
  | 'ended'
  /** The source broke off. */
  | 'source-lost'
  /** The sink closed. */
  | 'sink-lost'
  | 'stopped';

/**
 * Moves a body. Who waits for whom:
 *
 *     source ──data──▶ sink        the sink is full: the source is paused until `drain`,
 *            ◀─drain──             and its own peer meets the back-pressure in turn
 *
 * Never rejects and leaves no listener behind but an error handler on both. Without a sink the body is thrown away.
 */
export function pump(
  source: Readable,
  sink: Writable | undefined,
  onMoved: (bytes: number) => void,
  signal: AbortSignal,
): Promise<PumpEnd> {
  return new Promise((resolve) => {
    const onData = (chunk: Buffer) => {
      onMoved(chunk.length);
      // Whoever counts may have had enough.
      if (signal.aborted) return;
      if (sink?.write(chunk) === false) source.pause();
    };
    const onDrain = () => {
      onMoved(0);
      source.resume();
    };
    const finish = (end: PumpEnd) => {
      source.off('data', onData);
      source.off('end', onEnd);
      source.off('close', onSourceClose);
      sink?.off('drain', onDrain);
      sink?.off('close', onSinkClose);
      signal.removeEventListener('abort', onAbort);
      source.pause();
      resolve(end);
    };
    const onEnd = () => finish('ended');
    const onSourceClose = () => finish('source-lost');
    const onSinkClose = () => finish('sink-lost');
    const onAbort = () => finish('stopped');

    source.on('error', ignore);
    sink?.on('error', ignore);
    source.on('data', onData);
    source.on('end', onEnd);
    source.on('close', onSourceClose);
    sink?.on('drain', onDrain);
    sink?.on('close', onSinkClose);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) finish('stopped');
    else if (source.readableEnded) finish('ended');
    else if (source.destroyed) finish('source-lost');
    else if (sink?.destroyed === true) finish('sink-lost');
    else source.resume();
  });
}

/** What `close` tells is enough. */
function ignore(): void {}

/** Sends a head without waiting for its body. (`flushHeaders` would turn its bytes beyond ASCII into UTF-8.) */
export function sendHeadNow(message: Writable): void {
  message.write('', 'latin1');
}

/** Ends a message; resolves when it is in the kernel’s hands, or lost. */
export function endAndFlush(message: Writable): Promise<void> {
  return new Promise((resolve) => {
    message.once('finish', resolve);
    message.once('close', resolve);
    if (message.destroyed) resolve();
    else message.end();
  });
}
