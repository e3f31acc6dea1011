import { request, type IncomingMessage } from 'node:http';
import { formatAdminAddress } from '../../config/admin-address.js';
import { RunError } from '../failure.js';
import type { AdminContact } from './address.js';

/** How long an answer may take, beyond what was asked for itself. */
const ANSWER_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export interface Call {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** With its query. */
  readonly path: string;
  /** Sent as JSON with every POST. */
  readonly body?: object;
  /** How long the work itself may take. */
  readonly workMs?: number;
}

/**
 * One call of the admin API.
 *
 * @throws RunError with one line: nobody there, refused, or not an admin API
 */
export async function callAdmin<T>(contact: AdminContact, call: Call): Promise<T> {
  const shown = formatAdminAddress(contact.address);
  let answered: { status: number; text: string };
  try {
    answered = await send(contact, call);
  } catch (thrown) {
    throw new RunError(describeProblem(thrown as NodeJS.ErrnoException, shown));
  }
  const { status, text } = answered;
  const value = parse(text);
  if (status >= 200 && status < 300 && value !== undefined) return value as T;
  const error = (value as { error?: { message?: unknown; issues?: unknown } } | undefined)?.error;
  if (typeof error?.message !== 'string') {
    throw new RunError(`${shown} answers, but is no admin API of Tidegate: status ${status}`);
  }
  if (Array.isArray(error.issues) && error.issues.length > 1) {
    throw new RunError(
      ['the configuration cannot be used, nothing was changed', ...error.issues.map(String)].join('\n'),
    );
  }
  const hint = status === 401 ? '; give one with --token-file FILE or TIDEGATE_ADMIN_TOKEN' : '';
  throw new RunError(`${error.message}${hint}`);
}

async function send(
  { address, token }: AdminContact,
  { method, path, body, workMs = 0 }: Call,
): Promise<{ status: number; text: string }> {
  const text = method === 'POST' ? JSON.stringify(body ?? {}) : undefined;
  const headers: Record<string, string> = { Connection: 'close' };
  if (token !== undefined) headers['Authorization'] = `Bearer ${token}`;
  if (text !== undefined) {
    headers['Content-Type'] = 'application/json';
    headers['Content-Length'] = String(Buffer.byteLength(text));
  }
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const signal = AbortSignal.timeout(workMs + ANSWER_TIMEOUT_MS);
    // A proxy of the environment has no business between us and this machine.
    const req = request({ ...address, method, path, headers, agent: false, signal }, resolve);
    req.once('error', reject);
    req.end(text);
  });
  response.setEncoding('utf8');
  let received = '';
  for await (const chunk of response) {
    received += String(chunk);
    if (received.length > MAX_ANSWER_BYTES) throw new Error('the answer has no end');
  }
  return { status: response.statusCode ?? 0, text: received };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function describeProblem(error: NodeJS.ErrnoException, shown: string): string {
  const { code, message, name } = error;
  if (code === 'ECONNREFUSED' || code === 'ENOENT') {
    return `nobody listens on ${shown}: is the proxy running, with \`admin: ${shown}\` in its configuration?`;
  }
  if (name === 'AbortError' || name === 'TimeoutError')
    return `${shown} takes connections, but does not answer`;
  if (code === 'EACCES') return `${shown} may only be opened by the user that the proxy runs as`;
  return `cannot speak to ${shown}: ${message}`;
}
