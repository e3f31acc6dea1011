import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { tlsIdentity } from '../../test/fixtures/http-backend.js';
import { eventually, turn } from '../../test/fixtures/raw-peer.js';
import { RawServer } from '../../test/fixtures/raw-server.js';
import { systemClock } from '../base/system.js';
import type { AskedConnection } from './asked-connection.js';
import type { DialOptions, DialTarget } from './dial.js';
import type { Question, QuestionFailure, WholeAnswer } from './question.js';
import { QuestionPool, type QuestionPoolOptions } from './question-pool.js';

const never = new AbortController().signal;
const NO_TLS: DialOptions['tls'] = { verify: true, ca: undefined, serverName: undefined };
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

describe('a connection', () => {
  test('takes one question after the other, each in one piece', async () => {
    const { ask, pool, server } = await start();
    const first = ask({ body: Buffer.from('one') });
    const backend = await server.accept();
    expect((await backend.until('one')).toString()).toBe(
      'POST / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\none',
    );
    backend.write('HTTP/1.1 200 Fine\r\nA: 1\r\na: 2\r\nContent-Length: 3\r\n\r\nyes');
    const { status, reason, fields, body } = await answer(first);
    expect([status, reason, body.toString()]).toEqual([200, 'Fine', 'yes']);
    expect(fields.toRaw()).toEqual(['A', '1', 'a', '2', 'Content-Length', '3']);
    const again = ask({ body: Buffer.from('two') });
    await backend.until('two');
    backend.write(OK);
    expect((await answer(again)).body.toString()).toBe('ok');
    expect(server.accepted).toHaveLength(1);
    // What was read for the first is not overwritten by the second.
    expect(body.toString()).toBe('yes');
    expect(pool.take()).toBeDefined();
    expect(pool.take()).toBeUndefined();
  });

  test.each([
    ['chunked', 'Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n'],
    ['with a length', 'Content-Length: 5\r\n\r\nhello'],
  ])(
    'reads an answer that comes a byte at a time, behind others that are not yet it: %s',
    async (_, rest) => {
      const { ask, pool, server } = await start();
      const asked = ask();
      const backend = await server.accept();
      const interim = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n';
      await backend.writeSlowly([...`${interim}HTTP/1.1 201 Made\r\n${rest}`]);
      const { status, body } = await answer(asked);
      expect([status, body.toString()]).toEqual([201, 'hello']);
      expect(pool.take()).toBeDefined();
    },
  );

  test.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n'],
    ['POST', 'HTTP/1.1 204 No Content\r\n\r\n'],
    ['POST', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n'],
    ['POST', 'HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n'],
  ])('has no body where none is meant, and stays: %s %j', async (method, text) => {
    const { ask, pool, server } = await start();
    const asked = ask({ method });
    (await server.accept()).write(text);
    expect((await answer(asked)).body).toHaveLength(0);
    expect(pool.take()).toBeDefined();
  });

  test.each([
    ['HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
    ['HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=1\r\nContent-Length: 2\r\n\r\nok'],
    // Bytes behind it answer nothing.
    [`${OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200'],
  ])('is left behind an answer after which it cannot be used: %j', async (text) => {
    const { ask, pool, server } = await start();
    const asked = ask();
    const backend = await server.accept();
    backend.write(text);
    expect((await answer(asked)).body.toString()).toBe('ok');
    expect(pool.take()).toBeUndefined();
    await eventually(() => backend.ending !== undefined);
  });

  test('with bytes on it while it is idle is never used again', async () => {
    const { ask, pool, server } = await start();
    const asked = ask();
    const backend = await server.accept();
    backend.write(OK);
    await answer(asked);
    backend.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil');
    await eventually(() => backend.ending !== undefined);
    expect(pool.take()).toBeUndefined();
  });

  test('that the server ends while it is idle is forgotten', async () => {
    const { ask, pool, server } = await start();
    const asked = ask();
    const backend = await server.accept();
    backend.write(OK);
    await answer(asked);
    backend.end();
    await eventually(() => backend.ending !== undefined);
    expect(pool.take()).toBeUndefined();
  });

  test('that the server had ended before it was asked again fails in silence', async () => {
    const { ask, pool, server } = await start();
    const asked = ask();
    const backend = await server.accept();
    backend.write(OK);
    await answer(asked);
    // In one turn: nobody has read the end of it yet.
    backend.end();
    const failure = await failed(ask({}, pool.take()));
    expect(failure).toMatchObject({ isSilent: true, mayBeRead: true });
    expect(failure.error.code).toBe('UPSTREAM_CLOSED_EARLY');
    // Half an answer is no silence.
    const half = ask();
    (await server.accept()).write('HTTP/1.1 200 OK\r\nCont');
    server.accepted[1]!.end();
    expect(await failed(half)).toMatchObject({ isSilent: false });
  });

  test('ends when its question is given up, and says no more', async () => {
    const { ask, pool, server, connections } = await start();
    const asked = ask();
    const backend = await server.accept();
    await backend.until('\r\n\r\n');
    expect(connections[0]!.giveUp()).toBe(true);
    backend.write(OK);
    await eventually(() => backend.ending !== undefined);
    expect(await Promise.race([asked, turn()])).toBeUndefined();
    expect(pool.take()).toBeUndefined();
  });
});

describe('an answer that comes before the question has been read', () => {
  const body = Buffer.alloc(8 * 1024 * 1024, 'x');

  test('is taken, though the server closes over unread bytes', async () => {
    const { ask, server } = await start({}, { paused: true });
    const asked = ask({ body });
    const backend = await server.accept();
    backend.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig');
    backend.destroy();
    const { status, body: said } = await answer(asked);
    expect([status, said.toString()]).toEqual([413, 'big']);
  });

  test('leaves no connection that could be asked again', async () => {
    const { ask, pool, server } = await start({}, { paused: true });
    const asked = ask({ body });
    const backend = await server.accept();
    backend.write(OK);
    expect((await answer(asked)).status).toBe(200);
    expect(pool.take()).toBeUndefined();
    backend.resume();
    await eventually(() => backend.ending !== undefined);
  });

  test('and a connection that ends before tell who asks that it cannot have been read', async () => {
    const { ask, server, connections } = await start({}, { paused: true });
    void ask({ body });
    await server.accept();
    await eventually(() => connections.length === 1);
    await turn();
    expect(connections[0]!.giveUp()).toBe(false);
  });
});

describe('what cannot be an answer', () => {
  test.each([
    ['UPSTREAM_SWITCH_UNEXPECTED', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
    ['UPSTREAM_ANSWER_MALFORMED', 'SSH-2.0-OpenSSH\r\n'],
    ['UPSTREAM_ANSWER_MALFORMED', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
    ['UPSTREAM_ANSWER_MALFORMED', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!'],
    ['UPSTREAM_ANSWER_MALFORMED', 'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok'],
    [
      'UPSTREAM_ANSWER_MALFORMED',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    ],
    ['UPSTREAM_ANSWER_MALFORMED', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
    ['UPSTREAM_ANSWER_MALFORMED', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
    ['UPSTREAM_ANSWER_MALFORMED', 'HTTP/1.1 200 OK\r\nA: 1\r\n folded\r\n\r\n'],
    ['UPSTREAM_ANSWER_TOO_LARGE', `HTTP/1.1 200 OK\r\nA: ${'a'.repeat(5000)}`],
    ['UPSTREAM_ANSWER_TOO_LARGE', 'HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n'],
    [
      'UPSTREAM_ANSWER_TOO_LARGE',
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3E9\r\n${'a'.repeat(1001)}`,
    ],
    ['UPSTREAM_ANSWER_TOO_LARGE', `HTTP/1.1 200 OK\r\n\r\n${'a'.repeat(1001)}`],
  ])('%s: %.60j', async (code, text) => {
    const { ask, pool, server } = await start();
    const asked = ask();
    const backend = await server.accept();
    backend.write(text);
    const { error, mayBeRead } = await failed(asked);
    expect([error.code, mayBeRead]).toEqual([code, true]);
    expect(pool.take()).toBeUndefined();
    await eventually(() => backend.ending !== undefined);
  });

  test('the largest that may be is one', async () => {
    const { ask, server } = await start();
    const asked = ask();
    (await server.accept()).write(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${'a'.repeat(1000)}`);
    expect((await answer(asked)).body).toHaveLength(1000);
  });

  test('the error names the limit', async () => {
    const { ask, server } = await start();
    const asked = ask();
    (await server.accept()).write('HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n');
    expect((await failed(asked)).error.message).toContain('its answer is larger than 1000B (`limits.body`)');
  });
});

describe('an answer until the end of its connection', () => {
  test('is whole at an orderly end', async () => {
    const { ask, pool, server } = await start();
    const asked = ask();
    const backend = await server.accept();
    backend.write('HTTP/1.1 200 OK\r\n\r\nall of it');
    backend.end();
    expect((await answer(asked)).body.toString()).toBe('all of it');
    expect(pool.take()).toBeUndefined();
  });

  test('is none at a reset', async () => {
    const { ask, server } = await start();
    const asked = ask();
    const backend = await server.accept();
    await backend.until('\r\n\r\n');
    backend.write('HTTP/1.1 200 OK\r\n\r\nhalf');
    backend.reset();
    const { code, message } = (await failed(asked)).error;
    // Where the reset overtakes the bytes, there was none at all.
    expect(['UPSTREAM_RESPONSE_ABORTED', 'UPSTREAM_CLOSED_EARLY']).toContain(code);
    expect(message).toMatch(/broke off after 4 bytes|before it had answered/);
  });

  test('with a length is none when it ends before', async () => {
    const { ask, server } = await start();
    const asked = ask();
    const backend = await server.accept();
    backend.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour');
    backend.end();
    expect((await failed(asked)).error.code).toBe('UPSTREAM_RESPONSE_ABORTED');
  });
});

describe('the pool', () => {
  test('keeps no more than it may, the last used first', async () => {
    const { ask, pool, server } = await start({ maxIdleConnections: 1 });
    const both = [ask(), ask()];
    const backends = [await server.accept(), await server.accept()];
    for (const [i, backend] of backends.entries()) {
      backend.write(OK);
      await answer(both[i]!);
    }
    await eventually(() => backends[1]!.ending !== undefined);
    expect(backends[0]!.ending).toBeUndefined();
    expect(pool.take()).toBeDefined();
    expect(pool.take()).toBeUndefined();
  });

  test('that keeps none says so', async () => {
    const { ask, server } = await start({ maxIdleConnections: 0 });
    const asked = ask();
    const backend = await server.accept();
    expect((await backend.until('\r\n\r\n')).toString()).toContain('\r\nConnection: close\r\n');
    backend.write(OK);
    await answer(asked);
    await eventually(() => backend.ending !== undefined);
  });

  test('ends what has been idle for long, but not what is asked', async () => {
    const { ask, pool, server } = await start({ keepAliveTimeoutMs: 30 });
    const asked = ask();
    const backend = await server.accept();
    backend.write(OK);
    await answer(asked);
    const connection = pool.take()!;
    const again = ask({}, connection);
    const isOver = new Promise((resolve) => setTimeout(resolve, 90));
    expect(await Promise.race([again, isOver])).toBeUndefined();
    expect(backend.ending).toBeUndefined();
    backend.write(OK);
    await answer(again);
    await eventually(() => backend.ending !== undefined);
    expect(pool.take()).toBeUndefined();
  });

  test('that is closed ends what is idle, and what is asked behind its answer', async () => {
    const { ask, pool, server } = await start();
    const [asked, busy] = [ask(), ask()];
    const [backend, other] = [await server.accept(), await server.accept()];
    backend.write(OK);
    await answer(asked);
    pool.close();
    await eventually(() => backend.ending !== undefined);
    other.write(OK);
    expect((await answer(busy)).status).toBe(200);
    await eventually(() => other.ending !== undefined);
  });

  test('reaches unix sockets', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const socketPath = join(folder, 's');
    const server = await RawServer.listen({ path: socketPath });
    const { ask } = startTo({ id: 'unix', secure: false, address: { socketPath } });
    const asked = ask();
    (await server.accept()).write(OK);
    expect((await answer(asked)).body.toString()).toBe('ok');
  });

  test('speaks TLS, and checks whom it speaks to', async () => {
    const server = await listenTls();
    const { port } = server.address() as AddressInfo;
    const target = { id: 'tls', secure: true, address: { host: '127.0.0.1', port } };
    const { ask, pool } = startTo(target, { tls: { ...NO_TLS, ca: tlsIdentity.cert } });
    for (const size of [10, 900]) {
      const { body } = await answer(ask({ body: Buffer.alloc(size, 'b') }));
      expect(body.toString()).toBe(`${size} http/1.1 ${'c'.repeat(700)}`);
    }
    expect(pool.take()).toBeDefined();
    const stranger = startTo(target);
    await expect(stranger.pool.open({ connectTimeoutMs: 5000, signal: never })).rejects.toMatchObject({
      code: 'UPSTREAM_TLS_FAILED',
    });
  });
});

async function start(options: Partial<QuestionPoolOptions> = {}, how: { paused?: boolean } = {}) {
  const server = await RawServer.listen(how);
  const address = { host: '127.0.0.1', port: server.port };
  return { server, ...startTo({ id: 'the server', secure: false, address }, options) };
}

function startTo(target: DialTarget, options: Partial<QuestionPoolOptions> = {}) {
  const pool = new QuestionPool({
    target,
    tls: NO_TLS,
    maxIdleConnections: 4,
    keepAliveTimeoutMs: 60_000,
    clock: systemClock,
    ...options,
  });
  onTestFinished(() => pool.close());
  const connections: AskedConnection[] = [];
  const ask = async (
    question: Partial<Question> = {},
    on = pool.take(),
  ): Promise<WholeAnswer | QuestionFailure> => {
    const connection = on ?? (await pool.open({ connectTimeoutMs: 5000, signal: never }));
    connections.push(connection);
    onTestFinished(() => connection.destroy());
    const { method = 'POST' } = question;
    const whole = {
      method,
      head: `${method} / HTTP/1.1\r\nHost: a\r\n`,
      body: Buffer.alloc(0),
      hasTe: false,
      ...LIMITS,
      ...question,
    };
    return new Promise((resolve) => connection.ask(whole, { onAnswer: resolve, onFailure: resolve }));
  };
  return { pool, ask, connections };
}

const LIMITS = { maxHeaderBytes: 4096, maxBodyBytes: 1000, maxBodyName: 'limits.body' };

async function answer(asked: Promise<WholeAnswer | QuestionFailure>): Promise<WholeAnswer> {
  const outcome = await asked;
  if ('error' in outcome) throw outcome.error;
  return outcome;
}

async function failed(asked: Promise<WholeAnswer | QuestionFailure>): Promise<QuestionFailure> {
  const outcome = await asked;
  if ('error' in outcome) return outcome;
  throw new Error(`it was answered with ${outcome.status}`);
}

/** Answers each question with its size, what was agreed on, and enough to fill several reads. */
async function listenTls(): Promise<TlsServer> {
  const server = createTlsServer({ ...tlsIdentity, ALPNProtocols: ['http/1.1'] }, (socket) => {
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
      const size = /\r\n\r\n(b+)$/.exec(text)?.[1]?.length;
      if (size !== 10 && size !== 900) return;
      text = '';
      const body = `${size} ${socket.alpnProtocol} ${'c'.repeat(700)}`;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return server;
}
