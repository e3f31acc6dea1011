import type { Config } from '../config/schema.js';
import type { AccessRecord } from '../observe/record.js';
import { type AccessLog, type Log, openAccessLog } from './output.js';

type AccessLogConfig = Config['accessLog'];

/** The access log, as the configuration of the moment has it. */
export class AccessOutput {
  readonly #log: Log;
  readonly #baseDir: string | undefined;
  #config: AccessLogConfig;
  #open: AccessLog | undefined;

  /** @throws RunError when its file cannot be opened */
  constructor(config: AccessLogConfig, log: Log, baseDir: string | undefined) {
    this.#log = log;
    this.#baseDir = baseDir;
    this.#config = config;
    this.#open = config && openAccessLog(config, log, baseDir);
  }

  readonly write = (record: AccessRecord): void => this.#open?.write(record);

  /** Undefined when it is no file. */
  get reopen(): (() => void) | undefined {
    return this.#open?.reopen;
  }

  /**
   * Opens another one beside it.
   *
   * @returns what lets it take over; until then nothing is written to it
   * @throws RunError when its file cannot be opened
   */
  prepare(config: AccessLogConfig): () => void {
    if (JSON.stringify(config) === JSON.stringify(this.#config)) return () => {};
    const next = config && openAccessLog(config, this.#log, this.#baseDir);
    return () => {
      this.close();
      this.#config = config;
      this.#open = next;
    };
  }

  /** Writes what still waits. */
  close(): void {
    this.#open?.close();
  }
}
