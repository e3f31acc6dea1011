/** Time and chance, handed in so that tests own both. */

export interface Clock {
  /** Monotonic milliseconds, for durations and deadlines. */
  now(): number;
  /** Wall-clock time, for logs. */
  date(): Date;
  /** Runs `fn` once after `ms` milliseconds; the returned function cancels. Never keeps the process alive. */
  after(ms: number, fn: () => void): () => void;
  /** Runs `fn` every `ms` milliseconds; the returned function cancels. Never keeps the process alive. */
  every(ms: number, fn: () => void): () => void;
}

export interface Random {
  /** A number in [0, 1). */
  float(): number;
  /** An identifier of `length` URL-safe characters; no dash comes first, as an option’s would on a command line. */
  id(length: number): string;
}

export interface Deps {
  readonly clock: Clock;
  readonly random: Random;
}
