import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';

/** Where to dial: a TCP address or a unix socket, with or without TLS. */
export interface DialTarget {
  /** As shown in errors. */
  readonly id: string;
  readonly address: { readonly host: string; readonly port: number } | { readonly socketPath: string };
  readonly secure: boolean;
}

/** A certificate to show to servers, with its key: PEM text. */
export interface ClientIdentity {
  readonly cert: string;
  readonly key: string;
  readonly passphrase?: string | undefined;
}

export interface DialOptions {
  readonly clock: Clock;
  /** TLS handshake included. */
  readonly connectTimeoutMs: number;
  readonly tls: {
    readonly verify: boolean;
    readonly ca: string | undefined;
    readonly serverName: string | undefined;
    readonly identity?: ClientIdentity | undefined;
  };
  /** Gives the attempt up. */
  readonly signal: AbortSignal;
  /** What to speak over TLS, the best first; default HTTP/1.1. The socket’s `alpnProtocol` says what was agreed. */
  readonly alpn?: readonly string[];
  /** What the connection begins with, before TLS; asked for when it stands, which is told where it leads. */
  readonly preface?: ((connection: Socket) => Buffer) | undefined;
  /**
   * What is read goes here, past the stream, which only tells of its end. Not together with a preface before TLS. The
   * callback returns whether to read on.
   */
  readonly reading?: {
    readonly buffer: Uint8Array;
    readonly callback: (bytes: number, buffer: Uint8Array) => boolean;
  };
}

/** Idle time after which the kernel probes whether the peer still lives. */
const TCP_KEEPALIVE_MS = 60_000;

/**
 * Opens a fresh connection (step 5): never from a pool, half-open allowed, no Nagle delay. The caller must add its
 * own error handler in the turn in which the promise resolves; what it writes in that turn leaves with the preface.
 *
 * @throws ProxyError `PROXY_EXHAUSTED`, `UPSTREAM_CONNECT_FAILED`, `_CONNECT_TIMEOUT`, `_NAME_UNRESOLVED` or `_TLS_FAILED`.
 */
export function dial(target: DialTarget, options: DialOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { signal, preface } = options;
    const isWrappedLater = target.secure && preface !== undefined;
    let socket = isWrappedLater ? connect(placeOf(target)) : open(target, options);
    const finish = (error?: ProxyError) => {
      cancelTimer();
      signal.removeEventListener('abort', abort);
      letGo();
      if (error === undefined) {
        resolve(socket);
        return;
      }
      socket.on('error', () => {});
      socket.destroy();
      reject(error);
    };
    const abort = () => finish(new ProxyError('CLIENT_GONE', `given up while dialling ${target.id}`));
    const cancelTimer = options.clock.after(options.connectTimeoutMs, () => {
      const detail = `${target.id} did not take the connection within ${options.connectTimeoutMs} ms`;
      finish(new ProxyError('UPSTREAM_CONNECT_TIMEOUT', detail));
    });
    const onError = (error: Error) => finish(dialError(target, error));
    const onClose = () => finish(dialError(target, new Error('closed while connecting')));
    const listen = () => socket.once('error', onError).once('close', onClose);
    const letGo = () => socket.off('error', onError).off('close', onClose);
    const secure = () => {
      const below = socket;
      letGo();
      below.write(preface!(below));
      socket = connectTls({ ...tlsOptions(target, options), socket: below });
      below.on('error', (error) => socket.destroy(error));
      listen();
      socket.once('secureConnect', () => finish());
    };
    listen();
    if (isWrappedLater) socket.once('connect', secure);
    else {
      socket.once(target.secure ? 'secureConnect' : 'connect', () => {
        if (preface !== undefined) hold(socket, preface(socket));
        finish();
      });
    }
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
  });
}

function open(target: DialTarget, options: DialOptions): Socket {
  const place = { ...placeOf(target), ...(options.reading && { onread: options.reading }) };
  return target.secure ? connectTls({ ...place, ...tlsOptions(target, options) }) : connect(place);
}

function placeOf({ address }: DialTarget) {
  return {
    ...('socketPath' in address ? { path: address.socketPath } : { host: address.host, port: address.port }),
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: TCP_KEEPALIVE_MS,
  };
}

function tlsOptions({ address }: DialTarget, { tls, alpn = ['http/1.1'] }: DialOptions) {
  const host = 'host' in address ? address.host : undefined;
  return {
    ALPNProtocols: [...alpn],
    rejectUnauthorized: tls.verify,
    ca: tls.ca,
    ...tls.identity,
    servername: tls.serverName ?? (host !== undefined && isName(host) ? host : ''),
  };
}

/** Writes bytes that wait a moment for what is to leave with them, in one packet. */
function hold(socket: Socket, bytes: Buffer): void {
  socket.cork();
  socket.write(bytes);
  // Promises that wait for the connection go on before.
  setImmediate(() => socket.uncork());
}

/** SNI carries names only, never addresses (RFC 6066 §3). */
function isName(host: string): boolean {
  return !host.includes(':') && !/^[\d.]+$/.test(host);
}

const UNRESOLVED: ReadonlySet<string> = new Set([
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAI_NODATA',
  'EAI_FAIL',
  'EAI_NONAME',
]);

/** What is missing here, and says nothing about the server. */
const EXHAUSTED: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']);

/** Why a connection to a server could not be made. */
export function dialError(target: DialTarget, error: Error & { code?: string }): ProxyError {
  const code = error.code ?? '';
  // Several addresses tried, several failures: Node's AggregateError has an empty message.
  const why = error.message === '' ? code : error.message;
  if (EXHAUSTED.has(code)) {
    return new ProxyError('PROXY_EXHAUSTED', `${target.id} was not dialled: ${why}`, { cause: error });
  }
  if (UNRESOLVED.has(code))
    return new ProxyError('UPSTREAM_NAME_UNRESOLVED', `${target.id}: ${why}`, { cause: error });
  const tcp = /^(ECONN|EHOST|ENET|ENOENT|EACCES|EADDR|ETIMEDOUT|EPIPE|EPERM|ENOTSOCK|EINVAL)/.test(code);
  const failed = target.secure && !tcp ? 'UPSTREAM_TLS_FAILED' : 'UPSTREAM_CONNECT_FAILED';
  return new ProxyError(failed, `${target.id}: ${why}`, { cause: error });
}
