import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Clock } from '../base/deps.js';

/** A file is looked at so long after something has happened, and again until it stays as it is. */
const SETTLE_MS = 200;

export interface FileWatchEvents {
  onChange(): void;
  /** It is not watched any more. */
  onError(error: Error): void;
}

/**
 * Watches the text of one file. It is the folder that is watched: editors and deployments put another file in its place,
 * or turn a link to another folder (`..data` of a Kubernetes ConfigMap).
 */
export class FileWatch {
  readonly #file: string;
  readonly #clock: Clock;
  readonly #events: FileWatchEvents;
  #watcher: FSWatcher | undefined;
  #cancelLook: (() => void) | undefined;
  /** As it was when it last stayed the same. */
  #settled: string | undefined;
  #seen: string | undefined;

  constructor(file: string, clock: Clock, events: FileWatchEvents) {
    this.#file = file;
    this.#clock = clock;
    this.#events = events;
  }

  /** Does nothing when it watches already. */
  start(): void {
    if (this.#watcher !== undefined) return;
    const name = basename(this.#file);
    this.#settled = this.#seen = this.#read();
    try {
      this.#watcher = watch(dirname(this.#file), { persistent: false }, (_kind, changed) => {
        if (changed === null || changed === name || changed.startsWith('..')) this.#lookSoon();
      });
    } catch (thrown) {
      this.#events.onError(thrown as Error);
      return;
    }
    this.#watcher.on('error', (error) => {
      this.stop();
      this.#events.onError(error);
    });
  }

  stop(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#cancelLook?.();
    this.#cancelLook = undefined;
  }

  /** A look that is due is not put off by what happens meanwhile. */
  #lookSoon(): void {
    this.#cancelLook ??= this.#clock.after(SETTLE_MS, () => {
      this.#cancelLook = undefined;
      this.#look();
    });
  }

  #look(): void {
    const text = this.#read();
    // Between two files there may be none; what is being written is not what was meant.
    if (text === undefined || text !== this.#seen) {
      this.#seen = text;
      if (text !== undefined) this.#lookSoon();
    } else if (text !== this.#settled) {
      this.#settled = text;
      this.#events.onChange();
    }
  }

  #read(): string | undefined {
    try {
      return readFileSync(this.#file, 'utf8');
    } catch {
      return undefined;
    }
  }
}
