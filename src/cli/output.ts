import { accessLog } from '../observe/access-log.js';
import type { AccessRecord } from '../observe/record.js';
import type { LogLevel } from '../config/logging.js';
import pino from 'pino';

/** How much of the access log may wait for a slow reader before lines are dropped. */
const MAX_WAITING_BYTES = 16 * 1024 ** 2;

/** Standard output: what was asked for. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A value as JSON. What came from outside cannot move the cursor: JSON leaves C1 controls as they are. */
export function printJson(value: unknown): void {
  const text = JSON.stringify(value, undefined, 2);
  // oxlint-disable-next-line no-control-regex -- control characters are what is to be escaped
  print(text.replace(/[\x7f-\x9f]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`));
}

/** Whether standard output is a terminal that shows colours, and its user wants them. */
export function hasColor(): boolean {
  return process.stdout.isTTY && process.env['NO_COLOR'] === undefined && process.env['TERM'] !== 'dumb';
}

/** Standard error: everything about the run itself. */
export function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Messages about the run, from a level on. */
export class Log {
  readonly #least: number;

  constructor(level: LogLevel) {
    this.#least = levels.indexOf(level);
  }

  error(text: string): void {
    this.#write('error', text);
  }

  warn(text: string): void {
    this.#write('warn', text);
  }

  info(text: string): void {
    this.#write('info', text);
  }

  debug(text: string): void {
    this.#write('debug', text);
  }

  /** Without time and level: for what is laid out to be read. */
  page(text: string): void {
    if (levels.indexOf('info') <= this.#least) tell(text);
  }

  #write(level: Exclude<LogLevel, 'silent'>, text: string): void {
    if (levels.indexOf(level) <= this.#least) tell(`${new Date().toISOString()} ${level}: ${text}`);
  }
}

const levels: readonly LogLevel[] = ['silent', 'error', 'warn', 'info', 'debug'];

export interface AccessLog {
  readonly write: (record: AccessRecord) => void;
  /** Writes what still waits. */
  readonly close: () => void;
}

/**
 * The access log on standard output. A reader that is slow or goes away costs lines, which is told once each time it
 * begins; it never holds up or ends the proxy.
 */
export function openAccessLog(format: 'auto' | 'json' | 'human', log: Log): AccessLog {
  const onTerminal = process.stdout.isTTY;
  const chosen = format === 'auto' ? (onTerminal ? 'human' : 'json') : format;
  const destination = pino.destination({ dest: 1, sync: false, minLength: 0, maxLength: MAX_WAITING_BYTES });
  let broken = false;
  let dropping = false;
  destination.on('error', (error: Error) => {
    if (!broken) log.error(`the access log cannot be written any more: ${error.message}`);
    broken = true;
  });
  destination.on('drop', () => {
    if (!dropping) log.warn('the reader of the access log is too slow: lines are lost');
    dropping = true;
  });
  destination.on('drain', () => {
    dropping = false;
  });
  const write = accessLog(chosen, destination, { color: hasColor() });
  return {
    write: (record) => {
      if (!broken) write(record);
    },
    close: () => {
      if (broken) return;
      try {
        destination.flushSync();
      } catch (error) {
        log.error(`the end of the access log was not written: ${(error as Error).message}`);
      }
    },
  };
}
