import type { AccessLog, Log } from './output.js';

/** Interrupts closer together than this are one: Ctrl-C under npm comes from the terminal and from npm. */
const ONE_PRESS_MS = 300;

/** Signals that ask us to stop, as they come. */
export class StopSignals {
  #interruptedAt = -Infinity;
  readonly #received: NodeJS.Signals[] = [];
  readonly #waiting: ((signal: NodeJS.Signals) => void)[] = [];
  readonly #listener = (signal: NodeJS.Signals) => {
    if (signal === 'SIGINT') {
      const sinceLastMs = performance.now() - this.#interruptedAt;
      this.#interruptedAt = performance.now();
      if (sinceLastMs < ONE_PRESS_MS) return;
    }
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#received.push(signal);
    else waiting(signal);
  };

  constructor() {
    for (const name of stopSignals) process.on(name, this.#listener);
  }

  /** The next one that has not been handed out yet. */
  async next(): Promise<NodeJS.Signals> {
    const received = this.#received.shift();
    return received ?? (await new Promise((resolve) => void this.#waiting.push(resolve)));
  }

  /** From here on signals end the process as they do by default. */
  close(): void {
    for (const name of stopSignals) process.off(name, this.#listener);
  }
}

/**
 * Opens the access log’s file again at SIGUSR1. Without a file the signal does nothing, where Node’s own default would
 * open a debugger’s port. Returns the undo.
 */
export function reopenOnSignal(access: Pick<AccessLog, 'reopen'>, log: Log): () => void {
  const onSignal = (): void => {
    if (access.reopen === undefined) log.info('SIGUSR1: the access log is no file, nothing to open again');
    else access.reopen();
  };
  process.on('SIGUSR1', onSignal);
  return () => void process.off('SIGUSR1', onSignal);
}

/** What a reload says where there is nothing to read. */
export const NO_FILE = 'there is no configuration file to read again: this proxy was started without one';

/** Reads the configuration again at SIGHUP, by which Node would end the process. Returns the undo. */
export function reloadOnSignal(reload: (signal: 'SIGHUP') => void): () => void {
  const onSignal = (): void => reload('SIGHUP');
  process.on('SIGHUP', onSignal);
  return () => void process.off('SIGHUP', onSignal);
}

const stopSignals = ['SIGTERM', 'SIGINT'] as const;
