import { request as requestHttp, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Published } from '../../gateway/publish/publish.js';
import { RunError } from '../failure.js';
import type { PublishContact } from './contact.js';

const ANSWER_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 1024 * 1024;
const PATH = 'v1/publish';

/**
 * Publishes one item.
 *
 * @throws RunError with one line: nobody there, refused, or not a publish listener
 */
export async function publishItem(contact: PublishContact, item: object): Promise<Published> {
  const { shown } = contact;
  let answered: { status: number; text: string };
  try {
    answered = await send(contact, JSON.stringify({ items: [item] }));
  } catch (thrown) {
    throw new RunError(describeProblem(thrown as NodeJS.ErrnoException, shown));
  }
  const { status, text } = answered;
  const value = parse(text);
  if (status === 200 && value?.message === 'Published') return value as Published;
  const message = value?.error?.message;
  if (typeof message !== 'string') {
    throw new RunError(`${shown} answers, but does not publish for Tidegate: status ${status}`);
  }
  const hint = status === 401 ? '; give a token with --token, --token-file or TIDEGATE_PUBLISH_TOKEN' : '';
  throw new RunError(`${message}${hint}`);
}

async function send(
  { to, authorization }: PublishContact,
  body: string,
): Promise<{ status: number; text: string }> {
  const headers: Record<string, string> = {
    Connection: 'close',
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
  };
  if (authorization !== undefined) headers['Authorization'] = authorization;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    // A proxy of the environment has no business between us and whom we were told to speak to.
    const options: RequestOptions = { method: 'POST', headers, agent: false, signal };
    const req =
      'socketPath' in to
        ? requestHttp({ ...options, socketPath: to.socketPath, path: `/${PATH}` }, resolve)
        : (to.url.protocol === 'https:' ? requestHttps : requestHttp)(under(to.url), options, resolve);
    req.once('error', reject);
    req.end(body);
  });
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response) {
    text += String(chunk);
    if (text.length > MAX_ANSWER_BYTES) throw new Error('the answer has no end');
  }
  return { status: response.statusCode ?? 0, text };
}

function under(base: URL): URL {
  return new URL(PATH, base.href.endsWith('/') ? base : `${base.href}/`);
}

interface Answer {
  readonly message?: unknown;
  readonly error?: { readonly message?: unknown };
}

function parse(text: string): Answer | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function describeProblem({ code, message, name }: NodeJS.ErrnoException, shown: string): string {
  if (code === 'ECONNREFUSED' || code === 'ENOENT') {
    return `nobody listens on ${shown}: is the proxy running, with \`publish\` in its configuration?`;
  }
  if (name === 'AbortError' || name === 'TimeoutError')
    return `${shown} takes connections, but does not answer`;
  if (code === 'EACCES') return `${shown} may only be opened by the user that the proxy runs as`;
  return `cannot speak to ${shown}: ${message}`;
}
