import type { IncomingMessage } from 'node:http';
import type { ApiAnswer } from '../../net/api-server.js';
import { acceptable } from './accept.js';
import { inJson, type Call, type PublishHouse } from './call.js';
import { getChannel, getHistory, listChannels } from './channels.js';
import { PublishFailure } from './failure.js';
import { publishAsGrip, publishWithCounts } from './publish.js';
import { closeSession, getSession, listSessions, sendToSession } from './sessions.js';

/**
 * What the publish listener answers. The caller has passed the gate.
 *
 * @throws PublishFailure
 */
export async function answer(req: IncomingMessage, house: PublishHouse): Promise<ApiAnswer> {
  const { path, query } = readTarget(req);
  const [endpoint, name] = findEndpoint(path);
  const method = req.method === 'HEAD' ? 'GET' : (req.method ?? '');
  const handle = Object.hasOwn(endpoint, method) ? endpoint[method] : undefined;
  if (handle === undefined) throw methodNotAllowed(req, path, Object.keys(endpoint).join(', '));
  const answered = await handle({ req, query, name, ...house });
  return 'type' in answered ? answered : inJson(answered);
}

/** Whether errors are told in JSON: always at `/v1/`, elsewhere where the caller asks for it. */
export function wantsJson(req: IncomingMessage): boolean {
  const { path } = readTarget(req);
  return path.startsWith('/v1/') || acceptable(req.headers.accept)[0] === 'application/json';
}

/** An answer, or what becomes one in JSON. */
type Endpoint = Readonly<
  Record<string, (call: Call) => ApiAnswer | object | Promise<ApiAnswer> | Promise<object>>
>;

const endpoints: readonly (readonly [RegExp, Endpoint])[] = [
  [/^\/$/, { GET: about }],
  [/^\/publish\/?$/, { POST: publishAsGrip }],
  [/^\/v1\/publish\/?$/, { POST: publishWithCounts }],
  [/^\/v1\/sessions\/?$/, { GET: listSessions }],
  [/^\/v1\/sessions\/([^/]+)$/, { GET: getSession, DELETE: closeSession }],
  [/^\/v1\/sessions\/([^/]+)\/send$/, { POST: sendToSession }],
  [/^\/v1\/channels\/?$/, { GET: listChannels }],
  [/^\/v1\/channels\/([^/]+)$/, { GET: getChannel }],
  [/^\/v1\/channels\/([^/]+)\/history$/, { GET: getHistory }],
];

function about(): ApiAnswer {
  return { status: 200, type: 'text/plain', body: 'Tidegate publish API: POST /publish/ (GRIP), and /v1/\n' };
}

function readTarget({ url = '' }: IncomingMessage): { path: string; query: URLSearchParams } {
  const [path, ...query] = url.split('?');
  return { path: path!, query: new URLSearchParams(query.join('?')) };
}

function findEndpoint(path: string): readonly [Endpoint, string] {
  for (const [pattern, endpoint] of endpoints) {
    const found = pattern.exec(path);
    if (found !== null) return [endpoint, decodeName(found[1] ?? '')];
  }
  throw new PublishFailure(
    'NOT_FOUND',
    'nothing here; there are /publish/, /v1/publish, /v1/sessions[/ID[/send]] and /v1/channels[/NAME[/history]]',
  );
}

function decodeName(escaped: string): string {
  try {
    return decodeURIComponent(escaped);
  } catch {
    throw new PublishFailure(
      'BAD_REQUEST',
      `expected a name in percent-encoded UTF-8 in the path, found ${JSON.stringify(escaped)}`,
    );
  }
}

function methodNotAllowed({ method }: IncomingMessage, path: string, allowed: string): PublishFailure {
  return new PublishFailure('METHOD_NOT_ALLOWED', `${path} takes ${allowed}, not ${method}`, {
    headers: { Allow: allowed },
    // As Pushpin says it.
    text: `Method not allowed: ${method}.\n`,
  });
}
