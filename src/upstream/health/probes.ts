import type { Socket } from 'node:net';
import type { Deps } from '../../base/deps.js';
import { dial } from '../../net/dial.js';
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
}

const NOTHING = Buffer.alloc(0);
/** The largest response head that a check reads. */
const MAX_HEAD_BYTES = 64 * 1024;

/** The checks of a plan, over sockets of their own: nothing is pooled, nothing is left open. */
export function makeProbe(
  { check, timeoutMs }: CheckPlan,
  { deps, tls, proxyProtocol }: ProbeOptions,
): Probe {
  return async (server, signal) => {
    const socket = await dial(server, {
      clock: deps.clock,
      connectTimeoutMs: timeoutMs,
      tls: tlsOf(tls, server),
      signal,
      preface: proxyProtocol && ((connection) => ownPreface(proxyProtocol, connection)),
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

async function probeHttp(
  socket: Socket,
  server: PooledServerPlan,
  check: CheckKind & { kind: 'http' },
  signal: AbortSignal,
): Promise<void> {
  const request = probeRequest(server, check, { Connection: 'close' });
  const { status } = await ask(socket, request, signal);
  if (check.statuses.some(({ from, to }) => status >= from && status <= to)) return;
  throw new Error(`GET ${check.path} was answered ${status}, not ${formatStatuses(check.statuses)}`);
}

/** Returns the Close frame that ends what has been opened. */
async function probeWebSocket(
  socket: Socket,
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
async function ask(socket: Socket, request: RequestHead, signal: AbortSignal): Promise<ResponseHead> {
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
