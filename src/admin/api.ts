import type { IncomingMessage } from 'node:http';
import { readJson } from './body.js';
import { AdminFailure } from './failure.js';
import { insistOnNothing, readCloseOrder, readConnectionQuery, readDrainOrder } from './input.js';
import type { AdminTarget } from './target.js';

/** What an answer carries: its status and what becomes JSON. */
export interface Reply {
  readonly status: number;
  readonly body: unknown;
}

/**
 * The admin API, version 1 (docs/admin.md). The caller has passed the gate.
 *
 * @throws AdminFailure, or what the target throws
 */
export async function answer(req: IncomingMessage, target: AdminTarget): Promise<Reply> {
  const { path, query } = readTarget(req.url ?? '');
  const [endpoint, id] = findEndpoint(path);
  const method = req.method === 'HEAD' ? 'GET' : (req.method ?? '');
  const handle = Object.hasOwn(endpoint, method) ? endpoint[method] : undefined;
  if (handle === undefined) {
    const allowed = Object.keys(endpoint).join(', ');
    const message = `${path} takes ${allowed}, not ${req.method}`;
    throw new AdminFailure('METHOD_NOT_ALLOWED', message, { Allow: allowed });
  }
  return handle({ req, query, id, target });
}

interface Call {
  readonly req: IncomingMessage;
  readonly query: URLSearchParams;
  /** From the path; empty where there is none. */
  readonly id: string;
  readonly target: AdminTarget;
}

type Endpoint = Readonly<Record<string, (call: Call) => Reply | Promise<Reply>>>;

const endpoints: readonly (readonly [RegExp, Endpoint])[] = [
  [/^\/v1\/status$/, { GET: ({ target }) => ok(target.status()) }],
  [/^\/v1\/connections$/, { GET: listConnections }],
  [/^\/v1\/connections\/([\w.-]+)$/, { GET: ({ id, target }) => ok(target.connection(id) ?? unknown(id)) }],
  [/^\/v1\/connections\/([\w.-]+)\/close$/, { POST: closeConnection }],
  [/^\/v1\/drain$/, { POST: drain }],
  [/^\/v1\/reload$/, { POST: reload }],
];

function listConnections({ query, target }: Call): Reply {
  const { filter, paging } = readConnectionQuery(query);
  return ok(target.connections(filter, paging));
}

async function closeConnection({ req, id, target }: Call): Promise<Reply> {
  const order = readCloseOrder(await readJson(req));
  return ok((await target.close(id, order)) ?? unknown(id));
}

async function drain({ req, target }: Call): Promise<Reply> {
  const order = readDrainOrder(await readJson(req));
  return { status: 202, body: await target.drain(order) };
}

async function reload({ req, target }: Call): Promise<Reply> {
  insistOnNothing(await readJson(req));
  if (target.reload === undefined) throw notImplemented('reload');
  return ok(await target.reload());
}

function readTarget(url: string): { path: string; query: URLSearchParams } {
  const [path, ...query] = url.split('?');
  return { path: path!, query: new URLSearchParams(query.join('?')) };
}

function findEndpoint(path: string): readonly [Endpoint, string] {
  for (const [pattern, endpoint] of endpoints) {
    const found = pattern.exec(path);
    if (found !== null) return [endpoint, found[1] ?? ''];
  }
  throw new AdminFailure(
    'NOT_FOUND',
    `nothing here; there are /v1/status, /v1/connections[/ID[/close]], /v1/drain and /v1/reload`,
  );
}

function ok(body: unknown): Reply {
  return { status: 200, body };
}

function unknown(id: string): never {
  throw new AdminFailure('CONNECTION_NOT_FOUND', `no open connection has the id ${id}`);
}

function notImplemented(what: string): AdminFailure {
  return new AdminFailure('NOT_IMPLEMENTED', `this version of Tidegate cannot ${what} over its admin API`);
}
