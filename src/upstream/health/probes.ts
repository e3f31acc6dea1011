import type { Duplex } from 'node:stream';
import type { Deps } from '../../base/deps.js';
import { dial } from '../../net/dial.js';
import { Http2Request } from '../../net/http2/upstream-request.js';
import { UpstreamSession } from '../../net/http2/upstream-session.js';
import { UpstreamSocket } from '../../net/http2/upstream-socket.js';
import { Inbox } from '../../net/inbox.js';
import { ownPreface } from '../../net/proxy-preface.js';
import { endWith, reset } from '../../net/sockets.js';
import { writeClose } from '../../protocol/frames/writer.js';
import { readUpgrade } from '../../protocol/handshake/read.js';
import { verifyAnswer } from '../../protocol/handshake/verify.js';
import { type RequestHead, requestHeadText, type ResponseHead } from '../../protocol/http/head.js';
import { HeaderList } from '../../protocol/http/header-list.js';
import { ResponseHeadReader } from '../../protocol/http/response-head.js';
import type { ProxyVersion } from '../../protocol/proxy-header/types.js';
import { type PooledServerPlan, tlsOf, type UpstreamTls } from '../plan.js';
import type { CheckKind, CheckPlan, StatusRange } from './check-plan.js';
import type { Probe } from './checker.js';

export interface ProbeOptions {
  readonly deps: Deps;
  readonly proxyProtocol?: ProxyVersion | undefined;
  readonly tls: UpstreamTls;
  /** `true`: the servers may speak nothing else. With `auto` they speak HTTP/1.1, too. */
  readonly http2?: boolean | 'auto' | undefined;
}

const NOTHING = Buffer.alloc(0);
/** How long the rest of an answer over HTTP/2 is read. */
const LINGER_MS = 2000;
/** The largest response head that a check reads. */
const MAX_HEAD_BYTES = 64 * 1024;

/** The checks of a plan, over sockets of their own: nothing is pooled, nothing is left open. */
export function makeProbe(plan: CheckPlan, options: ProbeOptions): Probe {
  const { check, timeoutMs } = plan;
  const { deps, tls, proxyProtocol, http2 } = options;
  if (http2 === true && check.kind !== 'tcp') return makeHttp2Probe(check, timeoutMs, options);
  return async (server, signal) => {
    const socket = await dial(server, {
      clock: deps.clock,
      connectTimeoutMs: timeoutMs,
      tls: tlsOf(tls, server),
      signal,
      preface: proxyProtocol && ((connection) => ownPreface(proxyProtocol, connection)),
      ...(http2 === true && { alpn: ['h2'] }),
    });
    socket.on('error', () => {});
    let farewell: Buffer = NOTHING;
    try {
      if (check.kind === 'http') await probeHttp(socket, server, check, signal);
      if (check.kind === 'websocket') farewell = await probeWebSocket(socket, server, check, signal, deps);
    } catch (thrown) {
      reset(socket);
      throw thrown;
    }
    // In order, so that the server logs no reset every few seconds.
    endWith(socket, farewell);
  };
}

/** The same over HTTP/2, each on a connection of its own. */
function makeHttp2Probe(
  check: CheckKind & { kind: 'http' | 'websocket' },
  timeoutMs: number,
  { deps, tls }: ProbeOptions,
): Probe {
  return async (server, signal) => {
    let cancelLinger: () => void = () => {};
    const session = (await UpstreamSession.open(
      {
        target: server,
        mode: 'only',
        tls: tlsOf(tls, server),
        connectTimeoutMs: timeoutMs,
        keepAliveTimeoutMs: 0,
        maxHeaderBytes: MAX_HEAD_BYTES,
        clock: deps.clock,
      },
      signal,
      () => cancelLinger(),
    ))!;
    try {
      session.reserve();
      if (check.kind === 'http') await probeHttp2(session, server, check, timeoutMs, deps, signal);
      else await probeHttp2WebSocket(session, server, check, deps, signal);
    } catch (thrown) {
      session.cut();
      throw thrown;
    }
    // In order, when what is left of the answer has come; but it is not waited for without end.
    if (!session.isLost) cancelLinger = deps.clock.after(LINGER_MS, () => session.cut());
    session.retire();
  };
}

async function probeHttp2(
  session: UpstreamSession,
  server: PooledServerPlan,
  check: CheckKind & { kind: 'http' },
  timeoutMs: number,
  { clock }: Deps,
  signal: AbortSignal,
): Promise<void> {
  const { method, target: path, headers } = probeRequest(server, check, {});
  const request = new Http2Request({
    session,
    again: async () => undefined,
    target: server,
    method,
    path,
    headers,
    hasBody: false,
    responseTimeoutMs: timeoutMs,
    maxHeaderBytes: MAX_HEAD_BYTES,
    clock,
    signal,
    onInterim: () => {},
  });
  const answer = await request.answered;
  answer.resume();
  expectStatus(check, answer.statusCode);
}

async function probeHttp2WebSocket(
  session: UpstreamSession,
  server: PooledServerPlan,
  check: CheckKind & { kind: 'websocket' },
  deps: Deps,
  signal: AbortSignal,
): Promise<void> {
  if (!session.takesWebSockets) {
    session.release();
    throw new Error('it announces no WebSockets over HTTP/2 (RFC 8441)');
  }
  const socket = new UpstreamSocket(session, async () => undefined);
  socket.on('error', () => {});
  endWith(socket, await probeWebSocket(socket, server, check, signal, deps));
}

async function probeHttp(
  socket: Duplex,
  server: PooledServerPlan,
  check: CheckKind & { kind: 'http' },
  signal: AbortSignal,
): Promise<void> {
  const request = probeRequest(server, check, { Connection: 'close' });
  expectStatus(check, (await ask(socket, request, signal)).status);
}

function expectStatus(check: CheckKind & { kind: 'http' }, status: number): void {
  if (check.statuses.some(({ from, to }) => status >= from && status <= to)) return;
  throw new Error(`GET ${check.path} was answered ${status}, not ${formatStatuses(check.statuses)}`);
}

/** Returns the Close frame that ends what has been opened. */
async function probeWebSocket(
  socket: Duplex,
  server: PooledServerPlan,
  check: CheckKind & { kind: 'websocket' },
  signal: AbortSignal,
  { random }: Deps,
): Promise<Buffer> {
  const key = Buffer.from(random.id(16), 'latin1').toString('base64');
  const request = probeRequest(server, check, {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': key,
  });
  const read = readUpgrade(request);
  if (read.kind !== 'upgrade') throw new Error('health.headers make the check no WebSocket handshake');
  const answer = await ask(socket, request, signal);
  const verdict = verifyAnswer(read.request, answer);
  if (verdict.kind === 'http') throw new Error(`the handshake was answered ${answer.status}, not 101`);
  if (verdict.kind === 'invalid') throw new Error(`the answer is 101, but ${verdict.reason}`);
  return writeClose(1000, '', Buffer.from(random.id(4), 'latin1'));
}

function probeRequest(
  server: PooledServerPlan,
  { path, headers }: CheckKind & { kind: 'http' | 'websocket' },
  fields: Readonly<Record<string, string>>,
): RequestHead {
  const list = HeaderList.fromRaw(['Host', server.host, 'User-Agent', 'tidegate-health']);
  for (const [name, value] of Object.entries(fields)) list.set(name, value);
  for (const [name, value] of headers) list.set(name, value);
  return { method: 'GET', target: path, httpVersion: '1.1', headers: list };
}

/** Sends a request and reads heads until a final one. */
async function ask(socket: Duplex, request: RequestHead, signal: AbortSignal): Promise<ResponseHead> {
  const inbox = new Inbox(socket, NOTHING, MAX_HEAD_BYTES);
  const wake = (): void => inbox.wake();
  signal.addEventListener('abort', wake);
  try {
    socket.write(requestHeadText(request.method, request.target, request.headers), 'latin1');
    for (;;) {
      const head = await readHead(inbox, signal);
      if (head.status >= 200 || head.status === 101) return head;
    }
  } finally {
    signal.removeEventListener('abort', wake);
    inbox.release();
  }
}

async function readHead(inbox: Inbox, signal: AbortSignal): Promise<ResponseHead> {
  const reader = new ResponseHeadReader({ maxBytes: MAX_HEAD_BYTES });
  for (;;) {
    signal.throwIfAborted();
    if (inbox.size === 0) {
      if (inbox.gone !== undefined) throw new Error('closed before it had answered');
      await inbox.changed();
      continue;
    }
    const found = reader.push(inbox.take());
    if (found === undefined) continue;
    inbox.putBack(found.rest);
    return found.head;
  }
}

function formatStatuses(ranges: readonly StatusRange[]): string {
  return ranges.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
}
