import { execFile } from 'node:child_process';
import { systemClock } from '../base/system.js';
import { printable } from '../observe/access-log.js';
import type { Log } from './output.js';

/** How long one message may take. */
const SEND_TIMEOUT_MS = 5000;
/** How much longer than its drain a stop may take. */
const STOP_MARGIN_MS = 10_000;
/** systemd drops a message of more than 4096 bytes. */
const MAX_STATUS_CHARS = 1000;

/** Hands `VARIABLE=VALUE` pairs to the service manager, as one message. */
export type Send = (variables: readonly string[]) => Promise<void>;

export interface ServiceManagerOptions {
  readonly log: Pick<Log, 'warn'>;
  /** Default: that of the process. */
  readonly env?: Readonly<NodeJS.ProcessEnv>;
  /** Default: the program `systemd-notify`. */
  readonly send?: Send;
}

/**
 * What systemd is told about this process, if systemd runs it as `Type=notify` (sd_notify(3)); otherwise nothing is done.
 * Messages leave one after the other. One that cannot be sent is a warning, told once.
 */
export class ServiceManager {
  readonly #log: Pick<Log, 'warn'>;
  readonly #send: Send | undefined;
  readonly #watchdogMs: number | undefined;
  #stopWatchdog: (() => void) | undefined;
  #isBeating = false;
  #isStopping = false;
  #hasFailed = false;
  #sending: Promise<void> = Promise.resolve();

  constructor({ log, env = process.env, send = runSystemdNotify }: ServiceManagerOptions) {
    this.#log = log;
    const isThere = (env['NOTIFY_SOCKET'] ?? '') !== '';
    this.#send = isThere ? send : undefined;
    this.#watchdogMs = isThere ? watchdogMs(env) : undefined;
  }

  /** The listeners are open, or a reload is over, whatever came of it. */
  ready(status: string): void {
    if (this.#isStopping) return;
    void this.#tell('READY=1', describe(status));
    if (this.#watchdogMs === undefined) return;
    // Twice as often as it must be; from the event loop, so that one which hangs is noticed.
    this.#stopWatchdog ??= systemClock.every(this.#watchdogMs / 2, () => void this.#beat());
  }

  /** A reload begins; `ready` follows. */
  reloading(): void {
    if (this.#isStopping) return;
    // Of CLOCK_MONOTONIC, as this is on Linux.
    void this.#tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  /** A drain begins. It may take `leftMs`, whatever the unit says in TimeoutStopSec. */
  stopping(status: string, leftMs: number): void {
    this.#isStopping = true;
    const extensionUsec = Math.ceil(leftMs + STOP_MARGIN_MS) * 1000;
    void this.#tell('STOPPING=1', `EXTEND_TIMEOUT_USEC=${extensionUsec}`, describe(status));
  }

  /** What `systemctl status` shows. */
  status(text: string): void {
    void this.#tell(describe(text));
  }

  /** Resolves when everything that was told has been sent. */
  async close(): Promise<void> {
    this.#stopWatchdog?.();
    await this.#sending;
  }

  /** None while one is on its way: on a machine that is too busy they would pile up. */
  async #beat(): Promise<void> {
    if (this.#isBeating) return;
    this.#isBeating = true;
    await this.#tell('WATCHDOG=1');
    this.#isBeating = false;
  }

  /** Resolves when it has been sent, or could not be. */
  #tell(...variables: string[]): Promise<void> {
    const send = this.#send;
    if (send === undefined) return Promise.resolve();
    this.#sending = this.#sending.then(() => send(variables)).catch((error: unknown) => this.#fail(error));
    return this.#sending;
  }

  #fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#log.warn(`systemd cannot be told how this service is: ${(error as Error).message}`);
  }
}

/** How long systemd waits for a sign of life; undefined when it does not, or waits for another process. */
function watchdogMs({ WATCHDOG_USEC, WATCHDOG_PID }: Readonly<NodeJS.ProcessEnv>): number | undefined {
  const usec = Number(WATCHDOG_USEC);
  const isOurs = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === process.pid;
  return isOurs && Number.isFinite(usec) && usec > 0 ? usec / 1000 : undefined;
}

/** One line of a length that fits. */
function describe(status: string): string {
  const line = printable(status);
  return `STATUS=${line.length > MAX_STATUS_CHARS ? `${line.slice(0, MAX_STATUS_CHARS - 1)}…` : line}`;
}

/**
 * Node has no datagram sockets of AF_UNIX; this program comes with every systemd, and knows addresses that begin with
 * `@` and the race of a sender that is gone before its message is read.
 */
function runSystemdNotify(variables: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile('systemd-notify', [...variables], { timeout: SEND_TIMEOUT_MS }, (error, _stdout, stderr) => {
      if (error === null) return resolve();
      const { code, killed } = error as { code?: unknown; killed?: boolean };
      if (code === 'ENOENT') return reject(new Error('the program systemd-notify is not installed'));
      const late = `systemd-notify took longer than ${SEND_TIMEOUT_MS / 1000}s`;
      reject(new Error(killed ? late : stderr.trim().replaceAll('\n', '; ') || error.message));
    });
  });
}
