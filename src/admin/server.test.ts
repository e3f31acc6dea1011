import { mkdtempSync, rmSync, statSync, existsSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { ConfigError } from '../config/issues.js';
import { AdminFailure } from './failure.js';
import { type AdminPlan, type AdminServer, openAdmin } from './server.js';
import type { AdminTarget } from './target.js';

const dir = mkdtempSync(join(tmpdir(), 'tidegate-admin-'));
afterAll(() => rmSync(dir, { recursive: true }));

const TOKEN = 'a-token-that-is-long-enough';

describe('who may speak', () => {
  test.each(['localhost', 'LOCALHOST:1', '127.0.0.1', '127.3.2.1:99', '[::1]', 'admin.example:80'])(
    'Host %s',
    async (host) => {
      const { call } = await open({ hosts: ['admin.example'] });
      expect(await call({ headers: { Host: host } })).toMatchObject({ status: 200 });
    },
  );

  test.each(['evil.example', '192.0.2.1', 'localhost.evil.example', '127.evil.example', '[::2]', '127.1'])(
    'not Host %j: somebody’s name, rebound to us',
    async (host) => {
      const { call, calls } = await open({ hosts: ['admin.example'] });
      const { status, body } = await call({ headers: { Host: host } });
      expect([status, body.error.code]).toEqual([403, 'HOST_NOT_ALLOWED']);
      expect(body.error.message).toContain(`found Host ${JSON.stringify(host)}`);
      expect(calls).toEqual([]);
    },
  );

  test('no Host at all: refused like a wrong one', async () => {
    const { port } = await open();
    expect(await exchange(port, 'GET /v1/status HTTP/1.1\r\n\r\n')).toMatch(
      /^HTTP\/1.1 403 .*no Host header/s,
    );
  });

  test('the token, and nothing else', async () => {
    const { call, calls } = await open({ token: TOKEN });
    const answers = [];
    for (const given of [undefined, 'Bearer wrong', `Basic ${TOKEN}`, TOKEN, `Bearer ${TOKEN}x`, 'Bearer']) {
      answers.push(await call(given === undefined ? {} : { headers: { Authorization: given } }));
    }
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 401]);
    expect(answers[0]).toMatchObject({
      body: {
        error: { code: 'TOKEN_REQUIRED', message: 'a token is required: Authorization: Bearer TOKEN' },
      },
      headers: { 'www-authenticate': 'Bearer realm="tidegate"' },
    });
    expect(answers[1]!.body.error.message).toBe('this is not the token');
    expect(calls).toEqual([]);
    for (const given of [`Bearer ${TOKEN}`, `bearer  ${TOKEN}`]) {
      expect(await call({ headers: { Authorization: given } })).toMatchObject({ status: 200 });
    }
  });
});

describe('what is answered', () => {
  test('is JSON that nobody keeps, guesses about or shares across origins', async () => {
    const { call } = await open();
    const { headers } = await call({ headers: { Origin: 'http://evil.example' } });
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  test.each([
    ['GET', '/', 404, 'NOT_FOUND'],
    ['GET', '/v1/status/', 404, 'NOT_FOUND'],
    ['GET', '/v1/connections/a%2Fb', 404, 'NOT_FOUND'],
    ['GET', '/v1/connections/none', 404, 'CONNECTION_NOT_FOUND'],
    ['POST', '/v1/connections/none/close', 404, 'CONNECTION_NOT_FOUND'],
    ['POST', '/v1/status', 405, 'METHOD_NOT_ALLOWED'],
    ['GET', '/v1/connections/one/close', 405, 'METHOD_NOT_ALLOWED'],
    ['GET', '/v1/drain', 405, 'METHOD_NOT_ALLOWED'],
    ['OPTIONS', '/v1/reload', 405, 'METHOD_NOT_ALLOWED'],
    ['GET', '/v1/connections?limt=1', 400, 'BAD_REQUEST'],
    ['GET', '/v1/connections?limit=0', 400, 'BAD_REQUEST'],
    ['GET', '/v1/connections?limit=1001', 400, 'BAD_REQUEST'],
    ['GET', '/v1/connections?after=-1', 400, 'BAD_REQUEST'],
    ['GET', '/v1/connections?route=a&route=b', 400, 'BAD_REQUEST'],
  ])('%s %s: %i %s in one line', async (method, path, status, code) => {
    const { call } = await open();
    const answer = await call({ method, path, ...(method === 'POST' ? { json: {} } : {}) });
    expect([answer.status, answer.body.error.code]).toEqual([status, code]);
    expect(answer.body.error.message).toMatch(/^[^\n]{10,}$/);
    if (status === 405) expect(answer.headers['allow']).toMatch(/^(GET|POST|POST, DELETE)$/);
  });

  test.each([
    [{ code: 1005 }, 'expected `code` to be one of 1000-1003, 1007-1014, 3000-4999, found 1005'],
    [{ code: '4000' }, 'expected `code` to be one of 1000-1003, 1007-1014, 3000-4999, found "4000"'],
    [{ reason: 7 }, 'expected `reason` to be text, found 7'],
    [{ reason: 'é'.repeat(62) }, 'expected `reason` to have at most 123 bytes of UTF-8, found 124'],
    [{ timeoutMs: 1.5 }, 'expected `timeoutMs` to be a whole number from 0 to 60000, found 1.5'],
    [{ cod: 1 }, 'unknown key "cod"; known here: code, reason, timeoutMs'],
  ])('a close with %j: 400', async (json, message) => {
    const { call, calls } = await open();
    const { status, body } = await call({ method: 'POST', path: '/v1/connections/one/close', json });
    expect([status, body.error.message]).toEqual([400, message]);
    expect(calls).toEqual([]);
  });

  test('bodies: JSON that says it is JSON, an object, no more than 64 KiB', async () => {
    const { call, calls } = await open();
    const post = (body: string, type = 'application/json') =>
      call({ method: 'POST', path: '/v1/connections/one/close', body, headers: { 'Content-Type': type } });
    expect(await post('{}', 'text/plain')).toMatchObject({
      status: 415,
      body: { error: { message: 'expected Content-Type: application/json, found "text/plain"' } },
    });
    expect((await post('{}', 'application/jsonp')).status).toBe(415);
    expect((await post('{')).body.error.message).toBe('the body is not valid JSON');
    expect((await post('[]')).body.error.message).toBe('expected a body that is a JSON object');
    const exact = `{"code":4000}`.padEnd(64 * 1024);
    expect((await post(`${exact} `)).body.error.code).toBe('BODY_TOO_LARGE');
    expect(calls).toEqual([]);
    expect((await post(exact, 'application/json; charset=utf-8')).status).toBe(200);
    expect((await post('')).status).toBe(200);
  });

  test('a huge body is answered, not read: with its length said, and in chunks', async () => {
    const { call, calls } = await open();
    for (const headers of [{}, { 'Transfer-Encoding': 'chunked' }] as Record<string, string>[]) {
      const { status, body } = await call({
        method: 'POST',
        path: '/v1/drain',
        body: ' '.repeat(8 * 1024 * 1024),
        headers: { 'Content-Type': 'application/json', ...headers },
      });
      expect([status, body.error.code]).toEqual([413, 'BODY_TOO_LARGE']);
    }
    expect(calls).toEqual([]);
  });

  test('orders reach the target as they were given, defaults filled in', async () => {
    const { call, calls } = await open();
    const post = (path: string, json: object) => call({ method: 'POST', path, json });
    await post('/v1/connections/one/close', {});
    await post('/v1/connections/one/close', { code: 4000, reason: 'bye', timeoutMs: 0 });
    await call({ path: '/v1/connections?route=a&client=b&upstream=c%2Fd&limit=7&after=9' });
    expect((await post('/v1/drain', { timeoutMs: 1, spreadMs: 2, code: 1012, reason: 'r' })).status).toBe(
      202,
    );
    expect((await post('/v1/reload', {})).body).toEqual({ changes: [], warnings: [] });
    expect(calls).toEqual([
      ['close', 'one', { code: 1001, reason: '', timeoutMs: 5000 }],
      ['close', 'one', { code: 4000, reason: 'bye', timeoutMs: 0 }],
      ['connections', { route: 'a', client: 'b', upstream: 'c/d' }, { limit: 7, after: 9 }],
      ['drain', { timeoutMs: 1, spreadMs: 2, code: 1012, reason: 'r' }],
      ['reload'],
    ]);
  });

  test('what the target cannot do is a 501, what it throws a line of its own', async () => {
    const faults: unknown[] = [];
    const bare = await open({}, { reload: undefined });
    expect(await bare.call({ method: 'POST', path: '/v1/reload', json: {} })).toMatchObject({ status: 501 });

    const issues = [
      { path: 'routes', message: 'is missing', file: 'a.yaml', line: 1, column: 2 },
      { path: 'relay', message: 'is wrong' },
    ];
    const broken = await open(
      {},
      {
        reload: () => Promise.reject(new ConfigError(issues)),
        drain: () => Promise.reject(new AdminFailure('BAD_REQUEST', 'not now')),
        status: () => {
          throw new Error('secret details');
        },
      },
      (fault) => faults.push(fault),
    );
    expect(await broken.call({ method: 'POST', path: '/v1/reload', json: {} })).toMatchObject({
      status: 422,
      body: {
        error: {
          code: 'CONFIG_INVALID',
          message: 'the configuration cannot be used, nothing was changed: a.yaml:1:2: routes: is missing',
          issues: ['a.yaml:1:2: routes: is missing', 'relay: is wrong'],
        },
      },
    });
    expect((await broken.call({ method: 'POST', path: '/v1/drain', json: {} })).body.error.message).toBe(
      'not now',
    );
    expect(faults).toEqual([]);
    const { status, body } = await broken.call({});
    expect([status, body.error.code]).toEqual([500, 'INTERNAL']);
    expect(JSON.stringify(body)).not.toContain('secret');
    expect(faults).toMatchObject([{ message: 'secret details' }]);
  });

  test('HEAD is GET without the body', async () => {
    const { port } = await open();
    const text = await exchange(
      port,
      'HEAD /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    );
    expect(text).toMatch(/^HTTP\/1.1 200 OK\r\n.*\r\n\r\n$/s);
  });

  test('what is no HTTP, or too long a head: JSON too, and the end', async () => {
    const { port } = await open();
    expect(await exchange(port, 'hello\r\n\r\n')).toMatch(/^HTTP\/1.1 400 .*"BAD_REQUEST"/s);
    const long = `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`;
    expect(await exchange(port, long)).toMatch(/^HTTP\/1.1 431 .*"HEAD_TOO_LARGE"/s);
  });
});

describe('time', () => {
  test('a head that does not come, and a connection that says nothing, are ended', async () => {
    const { port } = await open({ headerTimeoutMs: 50 });
    expect(await exchange(port, 'GET / HTTP/1.1\r\nHos')).toMatch(/^HTTP\/1.1 408 .*"TIMEOUT"/s);
    expect(await exchange(port, '')).toMatch(/^HTTP\/1.1 408 /);
  });

  test('an idle connection is ended', async () => {
    const { port } = await open({ idleTimeoutMs: 50 });
    expect(await exchange(port, 'GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n')).toMatch(/200 OK/);
  });

  test('closing answers what is under way and waits for nobody else', async () => {
    let finish!: () => void;
    let asked!: () => void;
    const reached = new Promise<void>((resolve) => (asked = resolve));
    const reload = () => {
      asked();
      return new Promise<never>((resolve) => {
        finish = () => resolve({ changes: [], warnings: [] } as never);
      });
    };
    const { port, call, server } = await open({ headerTimeoutMs: 60_000, idleTimeoutMs: 60_000 }, { reload });
    const idle = exchange(port, 'GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const half = exchange(port, 'GET /v1/status HT');
    const silent = exchange(port, '');
    const answered = call({ method: 'POST', path: '/v1/reload', json: {} });
    await reached;
    const closed = server.close();
    finish();
    expect(await answered).toMatchObject({ status: 200, headers: { connection: 'close' } });
    await Promise.all([closed, server.close(), idle, half, silent]);
    await expect(once(connect(port, '127.0.0.1'), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});

describe('a unix socket', () => {
  test('is for its owner alone, and removed at the end', async () => {
    const socketPath = join(dir, 'own.sock');
    const { call, server } = await open({ address: { socketPath } });
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
    expect(await call({})).toMatchObject({ status: 200 });
    await server.close();
    expect(existsSync(socketPath)).toBe(false);
  });

  test('that is stale is replaced, one that lives is not', async () => {
    const socketPath = join(dir, 'stale.sock');
    const { server } = await open({ address: { socketPath } });
    await expect(open({ address: { socketPath } })).rejects.toThrow(
      `cannot listen on unix:${socketPath}: another running program does already`,
    );
    await server.close();
    await leaveStale(socketPath);
    const { call } = await open({ address: { socketPath } });
    expect(await call({})).toMatchObject({ status: 200 });
  });

  test('does not take the place of a file', async () => {
    const socketPath = join(dir, 'file');
    writeFileSync(socketPath, 'precious');
    await expect(open({ address: { socketPath } })).rejects.toThrow('there is a file that is no socket');
  });
});

interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly body: { error: { code: string; message: string } };
}

interface Request {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly json?: object;
  readonly body?: string;
}

/** An admin API before a target that notes what it is asked. */
async function open(
  plan: Partial<AdminPlan> = {},
  target: { [K in keyof AdminTarget]?: AdminTarget[K] | undefined } = {},
  onFault: (fault: unknown) => void = () => {},
) {
  const calls: unknown[][] = [];
  const noted = {
    status: () => ({ state: 'running' }) as never,
    connections: (...args) => {
      calls.push(['connections', ...args]);
      return { connections: [], total: 0 };
    },
    connection: () => undefined,
    close: async (id, order) => {
      if (id === 'none') return undefined;
      calls.push(['close', id, order]);
      return { id, ended: 'closed' };
    },
    drain: async (order) => {
      calls.push(['drain', order]);
      return { state: 'draining', sessions: { open: 0 }, requests: { active: 0 } };
    },
    reload: async () => {
      calls.push(['reload']);
      return { changes: [], warnings: [] };
    },
    ...target,
  } as AdminTarget;
  const server: AdminServer = await openAdmin(
    {
      address: { host: '127.0.0.1', port: 0 },
      token: undefined,
      hosts: [],
      headerTimeoutMs: 5000,
      idleTimeoutMs: 5000,
      ...plan,
    },
    noted,
    onFault,
  );
  onTestFinished(() => server.close());
  const port = 'port' in server.address ? server.address.port : 0;
  return { server, port, calls, call: (what: Request) => call(server, what) };
}

function call(
  { address }: AdminServer,
  { method = 'GET', path = '/v1/status', ...more }: Request,
): Promise<Answer> {
  const body = more.json === undefined ? more.body : JSON.stringify(more.json);
  const headers: Record<string, string> = {
    Host: 'localhost',
    ...(more.json === undefined ? {} : { 'Content-Type': 'application/json' }),
    ...more.headers,
  };
  return new Promise((resolve, reject) => {
    const req = request({ ...address, method, path, headers, agent: false }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      res.once('end', () =>
        resolve({ status: res.statusCode!, headers: res.headers, body: JSON.parse(text) as Answer['body'] }),
      );
    });
    req.once('error', reject);
    req.end(body);
  });
}

/** Sends this and nothing more; everything that comes back until the end. */
function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket: Socket = connect(port, '127.0.0.1', () => socket.write(text));
    let received = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => (received += chunk));
    socket.on('error', () => {});
    socket.once('close', () => resolve(received));
  });
}

/** A socket whose program is gone: bound elsewhere and moved, so that nobody removes it. */
async function leaveStale(path: string): Promise<void> {
  const { renameSync } = await import('node:fs');
  const server = createServer();
  const elsewhere = `${path}.old`;
  await new Promise<void>((resolve) => server.listen(elsewhere, resolve));
  renameSync(elsewhere, path);
  await new Promise((resolve) => server.close(resolve));
}
