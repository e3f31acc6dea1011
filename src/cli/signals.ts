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

const stopSignals = ['SIGTERM', 'SIGINT'] as const;
