import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';
import type { Clock } from '../../base/deps.js';

/** Directories and chains have a few KiB. */
const MAX_ANSWER_BYTES = 1024 * 1024;
/** Without a byte from the authority. */
const SILENCE_MS = 30_000;
const BAD_NONCE = 'urn:ietf:params:acme:error:badNonce';

/** What an authority has answered. */
export interface AcmeAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** What JSON says; else text. */
  readonly data: unknown;
}

/** A failure on the way to a certificate, in one line; by its own words, if the authority has said no. */
export class AcmeError extends Error {
  override readonly name = 'AcmeError';
  /** Whether the authority was heard, and said no: trying again soon is held against us. */
  readonly isRefusal: boolean;
  /** How long it wants to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    about: {
      readonly isRefusal?: boolean;
      readonly retryAfterMs?: number | undefined;
      readonly cause?: unknown;
    } = {},
  ) {
    super(message, { cause: about.cause });
    this.isRefusal = about.isRefusal ?? false;
    this.retryAfterMs = about.retryAfterMs;
  }
}

export interface AcmeTransportOptions {
  /** PEM text; undefined: the public authorities. */
  readonly ca: string | undefined;
  readonly userAgent: string;
  readonly clock: Clock;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
}

/** HTTPS to an authority, for one order. */
export class AcmeTransport {
  readonly #agent: Agent;
  readonly #options: AcmeTransportOptions;
  #retryAfterMs: number | undefined;

  constructor(options: AcmeTransportOptions) {
    this.#agent = new Agent({ keepAlive: true, ...(options.ca === undefined ? {} : { ca: options.ca }) });
    this.#options = options;
  }

  /** After how long the last answer wants to be asked for again. */
  get retryAfterMs(): number | undefined {
    return this.#retryAfterMs;
  }

  /**
   * @throws AcmeError for whatever is no success, but for a nonce that was refused: `acme-client` takes another one
   */
  async request(
    url: string,
    method: string,
    { data, headers }: { readonly data?: unknown; readonly headers?: Readonly<Record<string, string>> } = {},
  ): Promise<AcmeAnswer> {
    const answer = await this.#exchange(url, method.toUpperCase(), data, headers);
    this.#retryAfterMs = readRetryAfter(answer.headers['retry-after'], this.#options.clock);
    if (answer.status < 400 || problemOf(answer.data).type === BAD_NONCE) return answer;
    throw refusalOf(url, answer, this.#retryAfterMs);
  }

  close(): void {
    this.#agent.destroy();
  }

  #exchange(
    url: string,
    method: string,
    data: unknown,
    headers: Readonly<Record<string, string>> | undefined,
  ): Promise<AcmeAnswer> {
    const { signal, userAgent } = this.#options;
    const body = data === undefined ? undefined : JSON.stringify(data);
    return new Promise((resolve, reject) => {
      const fail = (cause: Error): void => {
        reject(new AcmeError(`${new URL(url).host} cannot be reached: ${reasonOf(cause)}`, { cause }));
      };
      if (!URL.canParse(url) || new URL(url).protocol !== 'https:') {
        reject(new AcmeError(`the authority names ${JSON.stringify(url)}, where an https: URL is expected`));
        return;
      }
      const req = request(url, {
        method,
        agent: this.#agent,
        signal,
        timeout: SILENCE_MS,
        headers: {
          ...headers,
          'User-Agent': userAgent,
          'Accept-Language': 'en',
          ...(body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }),
        },
      });
      req.on('timeout', () => req.destroy(new Error('it does not answer')));
      req.on('error', fail);
      req.on('response', (res) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        res.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES) req.destroy(new Error('its answer is too large'));
          else chunks.push(chunk);
        });
        res.on('error', fail);
        res.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          resolve({ status: res.statusCode ?? 0, headers: res.headers, data: parse(text, res.headers) });
        });
      });
      req.end(body);
    });
  }
}

function parse(text: string, { 'content-type': type = '' }: IncomingHttpHeaders): unknown {
  if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(type)) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** A problem document (RFC 7807), as far as it is one. */
interface Problem {
  readonly type?: unknown;
  readonly detail?: unknown;
  readonly subproblems?: unknown;
}

function problemOf(data: unknown): Problem {
  return typeof data === 'object' && data !== null ? data : {};
}

function refusalOf(url: string, { status, data }: AcmeAnswer, retryAfterMs: number | undefined): AcmeError {
  const { host } = new URL(url);
  const said = describeProblem(data);
  // Servers that are out of order say nothing about us.
  const isRefusal = status < 500;
  const message = said === undefined ? `${host} answered ${status}` : `${host} answered ${status}: ${said}`;
  return new AcmeError(message, { isRefusal, retryAfterMs });
}

/** The words of a problem document (RFC 8555 §6.7), in one line; undefined: it has none. */
export function describeProblem(data: unknown): string | undefined {
  const { type, detail, subproblems } = problemOf(data);
  const words = typeof detail === 'string' && detail !== '' ? detail : undefined;
  const kind = typeof type === 'string' ? type.replace(/^urn:ietf:params:acme:error:/, '') : undefined;
  const more = Array.isArray(subproblems) ? subproblems.map(describeProblem) : [];
  const parts = [words, ...more].filter((part) => part !== undefined);
  if (kind === undefined && parts.length === 0) return undefined;
  const text = parts.length === 0 ? kind! : `${parts.join('; ')}${kind === undefined ? '' : ` (${kind})`}`;
  return text.replaceAll(/\s+/g, ' ').slice(0, 1000);
}

/** Seconds, or a date (RFC 9110 §10.2.3). */
function readRetryAfter(value: string | undefined, clock: Clock): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const ms = Date.parse(value) - clock.date().getTime();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

function reasonOf(error: Error & { code?: string; errors?: readonly Error[] }): string {
  // Of several addresses of one name that were tried.
  const first = error.message === '' ? error.errors?.[0] : undefined;
  return (first ?? error).message || (error.code ?? error.name);
}
