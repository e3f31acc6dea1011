import { ConfigError, formatIssue } from '../config/issues.js';
import { ListenError } from '../net/unix-socket.js';

/** 0 is a run that ended as it should. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** Something the user did or has to do; `message` is all there is to say. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** What failed while running, through no fault of ours; `message` is all there is to say, perhaps in several lines. */
export class RunError extends Error {
  override readonly name = 'RunError';
}

export interface Failure {
  readonly lines: readonly string[];
  readonly exitCode: typeof EXIT_FAILED | typeof EXIT_USAGE;
}

/** What a failed command tells its user: a line for each problem, and the exit code. */
export function describeFailure(thrown: unknown): Failure {
  if (thrown instanceof ConfigError) return { lines: thrown.issues.map(formatIssue), exitCode: EXIT_USAGE };
  if (thrown instanceof UsageError) return { lines: [thrown.message], exitCode: EXIT_USAGE };
  if (thrown instanceof RunError || thrown instanceof ListenError) {
    return { lines: thrown.message.split('\n'), exitCode: EXIT_FAILED };
  }
  if (isSystemError(thrown)) return { lines: [describeSystemError(thrown)], exitCode: EXIT_FAILED };
  // A fault of ours: here the stack is what helps.
  const details = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  return { lines: [`internal error, please report it: ${details}`], exitCode: EXIT_FAILED };
}

type SystemError = NodeJS.ErrnoException & { readonly code: string; address?: string; port?: number };

function isSystemError(thrown: unknown): thrown is SystemError {
  return (
    thrown instanceof Error && 'syscall' in thrown && 'code' in thrown && typeof thrown.code === 'string'
  );
}

function describeSystemError(error: SystemError): string {
  if (error.syscall !== 'listen' && error.syscall !== 'bind' && error.syscall !== 'getaddrinfo') {
    return error.message;
  }
  const { address, port, hostname } = error as SystemError & { hostname?: string };
  const host = address ?? hostname ?? '';
  const where = `${host.includes(':') ? `[${host}]` : host}${port === undefined ? '' : `:${port}`}`;
  return `cannot listen on ${where}: ${listenReasons[error.code] ?? error.message}`;
}

const listenReasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use by another program',
  EACCES: 'permission denied; ports below 1024 are for privileged users',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'this host name is not known',
  EAI_AGAIN: 'this host name cannot be looked up at the moment',
};
