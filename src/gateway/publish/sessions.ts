import { isUtf8 } from 'node:buffer';
import { nodeOf } from '../../channels/directory.js';
import type { Channels } from '../../channels/channels.js';
import type { SessionAnswer, SessionRequest } from '../../channels/types.js';
import { quote } from '../../protocol/http/quote.js';
import { type Call, readBody } from './call.js';
import { PublishFailure } from './failure.js';
import { insistOnKnown, readClose, readPaging, wrong } from './input.js';

/** `GET /v1/sessions`: those of all nodes, and nodes that did not answer. */
export async function listSessions({ query, channels: { directory } }: Call): Promise<object> {
  insistOnKnown(query, ['limit', 'after']);
  const { limit, after } = readPaging(query);
  if (after !== undefined && !CURSOR.test(after)) {
    throw wrong(`expected \`after\` to be the \`next\` of the page before, found ${quote(after)}`);
  }
  const [page, count] = await Promise.all([directory.page(limit, after), directory.count()]);
  const missing = new Set([...page.missing, ...count.missing]);
  return {
    sessions: page.sessions,
    total: count.sessions,
    next: page.next,
    missing: missing.size > 0 ? [...missing] : undefined,
  };
}

/** As `SessionPage.next` is written. */
const CURSOR = /^[A-Za-z0-9]+\.\d{1,15}$/;

/** `GET /v1/sessions/ID` */
export async function getSession({ name: id, query, channels }: Call): Promise<object> {
  insistOnKnown(query, []);
  const { info } = await ask(channels, { id, what: 'info' });
  return { id, ...info };
}

/** `DELETE /v1/sessions/ID?code=…&reason=…`: one that closes already closes as it does. */
export async function closeSession({ name: id, query, channels }: Call): Promise<object> {
  insistOnKnown(query, ['code', 'reason']);
  const order = readClose(query);
  const answer = await find(channels, { id, what: 'close', ...order });
  if (!answer.ok && answer.why !== 'closing') throw refused(id, answer.why);
  return { id, message: 'Closing' };
}

/** `POST /v1/sessions/ID/send`: the body is the message. */
export async function sendToSession(call: Call): Promise<object> {
  const { name: id, query, req, channels } = call;
  insistOnKnown(query, []);
  const type = messageType(req.headers['content-type']);
  const content = await readBody(call);
  if (type === 'text' && !isUtf8(content)) {
    throw wrong('expected a body in UTF-8, or Content-Type: application/octet-stream for a binary message');
  }
  await ask(channels, { id, what: 'send', type, content });
  return { id, message: 'Sent' };
}

/** A missing type is not guessed: both kinds are common, and clients tell them apart. */
function messageType(contentType: string | undefined): 'text' | 'binary' {
  const type = contentType?.split(';', 1)[0]!.trim().toLowerCase() ?? '';
  if (type === 'application/octet-stream') return 'binary';
  if (type.startsWith('text/') || /^application\/(?:[\w.-]+\+)?json$/.test(type)) return 'text';
  const found = contentType === undefined ? 'none' : quote(contentType);
  throw new PublishFailure(
    'TYPE_NOT_SUPPORTED',
    `expected Content-Type: text/plain or application/json for a text message, application/octet-stream for a binary one, found ${found}`,
  );
}

type Done = Extract<SessionAnswer, { ok: true }>;

async function ask(channels: Channels, request: SessionRequest): Promise<Done> {
  const answer = await find(channels, request);
  if (answer.ok) return answer;
  throw refused(request.id, answer.why);
}

async function find({ directory, backplane }: Channels, request: SessionRequest): Promise<SessionAnswer> {
  let answer: SessionAnswer | undefined;
  try {
    answer = await directory.ask(request);
  } catch (thrown) {
    if (nodeOf(request.id) === backplane.node) throw thrown;
    throw new PublishFailure(
      'NODE_UNAVAILABLE',
      `the node of session ${quote(request.id)} did not answer: ${(thrown as Error).message}`,
    );
  }
  if (answer !== undefined) return answer;
  throw new PublishFailure('SESSION_NOT_FOUND', `no open session has the id ${quote(request.id)}`);
}

function refused(id: string, why: 'too-slow' | 'closing'): PublishFailure {
  return why === 'closing'
    ? new PublishFailure('SESSION_CLOSING', `session ${id} is closing and takes no more messages`)
    : new PublishFailure('SESSION_TOO_SLOW', `session ${id} does not take what waits for it already`);
}
