import { accessLog } from '../observe/access-log.js';
import type { AccessRecord } from '../observe/record.js';
import type { Config } from '../config/schema.js';
import type { LogLevel } from '../config/logging.js';
import pino from 'pino';
import { closeSync, openSync } from 'node:fs';
import { resolve } from 'node:path';
import { RunError } from './failure.js';

type AccessLogConfig = NonNullable<Config['accessLog']>;

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
  #least: number;

  constructor(level: LogLevel) {
    this.#least = levels.indexOf(level);
  }

  set level(level: LogLevel) {
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
  /** Opens its file again, which may be another by now; undefined on standard output. */
  readonly reopen: (() => void) | undefined;
  /** Writes what still waits. */
  readonly close: () => void;
}

/**
 * The access log on standard output, or at the end of a file. A reader that is slow or goes away costs lines, which is told once each time it
 * begins; it never holds up or ends the proxy.
 *
 * @param baseDir where a relative file name starts, default the working directory
 * @throws RunError when the file cannot be opened
 */
export function openAccessLog(
  { format, file }: AccessLogConfig,
  log: Log,
  baseDir: string = process.cwd(),
): AccessLog {
  const path = file === undefined ? undefined : resolve(baseDir, file);
  const onTerminal = path === undefined && process.stdout.isTTY;
  if (path !== undefined) {
    const problem = openProblem(path);
    if (problem !== undefined) throw new RunError(`accessLog.file: ${problem}`);
  }
  const chosen = format === 'auto' ? (onTerminal ? 'human' : 'json') : format;
  const destination = pino.destination({
    dest: path ?? 1,
    append: true,
    sync: false,
    minLength: 0,
    maxLength: MAX_WAITING_BYTES,
  });
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
  const write = accessLog(chosen, destination, { color: onTerminal && hasColor() });
  const reopen = (file: string): void => {
    const problem = openProblem(file);
    if (problem !== undefined) {
      log.error(`SIGUSR1: ${problem}; the access log goes on where it was`);
      return;
    }
    broken = false;
    destination.reopen();
    log.info(`SIGUSR1: the access log ${file} is open again`);
  };
  return {
    reopen: path === undefined ? undefined : () => reopen(path),
    write: (record) => {
      if (!broken) write(record);
    },
    close: () => {
      if (broken) return;
      try {
        destination.flushSync();
        if (path !== undefined) destination.end();
      } catch (error) {
        log.error(`the end of the access log was not written: ${(error as Error).message}`);
      }
    },
  };
}

/** What keeps a file from being written, in words; undefined when nothing does. */
function openProblem(file: string): string | undefined {
  try {
    closeSync(openSync(file, 'a'));
    return undefined;
  } catch (error) {
    return `cannot write to ${file}: ${(error as Error).message}`;
  }
}
