import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { exchange, startPublishing, like } from '../../../test/fixtures/publishing.js';
import { MemoryBackplane } from '../../channels/backplane/memory.js';
import type { AddressedSession, Directory } from '../../channels/directory.js';
import type { SessionAnswer } from '../../channels/types.js';

describe('sessions', () => {
  it('are listed in pages, oldest first', async () => {
    const { call, channels } = await startPublishing();
    const ids = [1, 2, 3, 4, 5].map((n) => open(channels.directory, { path: `/${n}` }).id);
    const paths: string[] = [];
    let after = '';
    for (let pages = 0; pages < 3; pages++) {
      const { status, body } = await get(call, `/v1/sessions?limit=2${after}`);
      expect([status, body.total, body.missing]).toEqual([200, 5, undefined]);
      paths.push(...body.sessions.map(({ path }) => path!));
      after = `&after=${body.next}`;
    }
    expect(paths).toEqual(['/1', '/2', '/3', '/4', '/5']);
    expect(after).toBe('&after=undefined');
    expect((await get(call, '/v1/sessions')).body.sessions[0]).toEqual({ id: ids[0], path: '/1' });
  });

  it('are told of by id, percent-encoded or not', async () => {
    const { call, channels } = await startPublishing();
    const { id } = open(channels.directory, { path: '/chat' });
    for (const name of [id, id.replace('.', '%2E')]) {
      expect(await get(call, `/v1/sessions/${name}`)).toMatchObject({
        status: 200,
        body: { id, path: '/chat' },
      });
    }
  });

  it.each([
    ['text/plain', 'text'],
    ['text/plain;charset=UTF-8', 'text'],
    ['application/json', 'text'],
    ['application/vnd.chat+json', 'text'],
    ['application/octet-stream', 'binary'],
  ])('are sent a body of %s as %s', async (type, expected) => {
    const { call, channels } = await startPublishing();
    const session = open(channels.directory);
    const headers = { 'Content-Type': type };
    const answer = await call({ path: `/v1/sessions/${session.id}/send`, headers, body: '{"é":1}' });
    expect(answer).toMatchObject({ status: 200, body: { id: session.id, message: 'Sent' } });
    expect(session.calls).toEqual([['send', expected, '{"é":1}']]);
  });

  it('are sent nothing that is not what it says, or says nothing', async () => {
    const { call, channels } = await startPublishing({ plan: { maxBodyBytes: 10 } });
    const session = open(channels.directory);
    const send = async (body: Buffer | string, headers: Record<string, string>) => {
      const answer = await call({ path: `/v1/sessions/${session.id}/send`, headers, body });
      return [answer.status, answer.body.error.message];
    };
    const latin = Buffer.from([0xff]);
    expect(await send('x', {})).toEqual([415, like('found none')]);
    expect(await send('x', { 'Content-Type': 'image/png' })).toEqual([415, like('found "image/png"')]);
    expect(await send(latin, { 'Content-Type': 'text/plain' })).toEqual([400, like('UTF-8')]);
    expect(await send('12345678901', { 'Content-Type': 'text/plain' })).toEqual([413, like(/./)]);
    expect(session.calls).toEqual([]);
  });

  it('are closed with a code and a reason', async () => {
    const { call, channels } = await startPublishing();
    const session = open(channels.directory);
    const path = `/v1/sessions/${session.id}`;
    expect(await call({ method: 'DELETE', path: `${path}?code=4001&reason=log%20in%20again` })).toMatchObject(
      {
        status: 200,
        body: { id: session.id, message: 'Closing' },
      },
    );
    await call({ method: 'DELETE', path });
    expect(session.calls).toEqual([
      ['close', 4001, 'log in again'],
      ['close', 1000, ''],
    ]);
  });

  it.each([
    ['code=1005', 'expected `code` to be one of 1000-1003, 1007-1014, 3000-4999, found "1005"'],
    ['code=', 'expected `code` to be one of 1000-1003, 1007-1014, 3000-4999, found ""'],
    [`reason=${'é'.repeat(62)}`, 'expected `reason` to have at most 123 bytes of UTF-8, found 124'],
    ['code=1000&code=1001', 'expected `code` once, found it 2 times'],
    ['cod=1000', 'unknown parameter "cod"; known here: code, reason'],
  ])('are not closed with %s', async (query, message) => {
    const { call, channels } = await startPublishing();
    const session = open(channels.directory);
    const path = `/v1/sessions/${session.id}?${encodeURI(query)}`;
    const { status, body } = await call({ method: 'DELETE', path });
    expect([status, body]).toEqual([400, { error: { code: 'BAD_REQUEST', message } }]);
    expect(session.calls).toEqual([]);
  });

  it('that are not there, close already or are too slow say so', async () => {
    const { call, channels } = await startPublishing();
    const headers = { 'Content-Type': 'text/plain' };
    const code = async (method: string, path: string) => {
      const content = method === 'POST' ? { headers, body: 'x' } : {};
      const { status, body } = await call({ method, path: `/v1/sessions/${path}`, ...content });
      return [status, body.error?.code ?? body.message];
    };
    for (const [method, path] of [
      ['GET', 'n.x'],
      ['DELETE', 'n.x'],
      ['POST', 'n.x/send'],
    ] as const) {
      expect(await code(method, path)).toEqual([404, 'SESSION_NOT_FOUND']);
    }
    const closing = open(channels.directory, {}, { ok: false, why: 'closing' });
    expect(await code('POST', `${closing.id}/send`)).toEqual([409, 'SESSION_CLOSING']);
    expect(await code('DELETE', closing.id)).toEqual([200, 'Closing']);
    const slow = open(channels.directory, {}, { ok: false, why: 'too-slow' });
    expect(await code('POST', `${slow.id}/send`)).toEqual([429, 'SESSION_TOO_SLOW']);
  });

  it('of nodes that do not answer are no 404', async () => {
    class Cut extends MemoryBackplane {
      override nodes(): readonly string[] {
        return ['node2'];
      }
      override ask(): Promise<never> {
        return Promise.reject(new Error('no answer from node2 in 2 s'));
      }
    }
    const { call, channels } = await startPublishing({ backplane: new Cut('node1') });
    const { id } = open(channels.directory);
    expect(await get(call, '/v1/sessions/node2.x')).toMatchObject({
      status: 503,
      body: { error: { code: 'NODE_UNAVAILABLE', message: like('no answer from node2') } },
    });
    expect((await get(call, '/v1/sessions')).body).toEqual({
      sessions: [{ id }],
      total: 1,
      missing: ['node2'],
    });
    expect((await get(call, '/v1/channels')).body).toEqual({ channels: [], missing: ['node2'] });
  });
});

describe('channels', () => {
  it('are listed by name, with how many listen', async () => {
    const { call, listen } = await startPublishing();
    for (const channel of ['b', 'a/1', 'b', 'c']) listen(channel);
    const { body } = await get(call, '/v1/channels?limit=2');
    expect(body).toEqual({
      channels: [
        { channel: 'a/1', subscribers: 1 },
        { channel: 'b', subscribers: 2 },
      ],
      next: 'b',
    });
    expect((await get(call, '/v1/channels?after=b')).body).toEqual({
      channels: [{ channel: 'c', subscribers: 1 }],
    });
  });

  it('are told of by name: who listens only where presence is on', async () => {
    const { call, listen } = await startPublishing({ presence: (channel) => channel.startsWith('room/') });
    const ann = listen('room/é', 'ann');
    const somebody = listen('room/é');
    listen('secret');
    const path = `/v1/channels/${encodeURIComponent('room/é')}`;
    expect((await get(call, path)).body).toEqual({
      channel: 'room/é',
      subscribers: 2,
      members: [
        { id: ann.id, user: 'ann', since: like(/./) },
        { id: somebody.id, since: like(/./) },
      ],
    });
    expect((await get(call, `${path}?limit=1`)).body).toMatchObject({
      subscribers: 2,
      members: [{ id: ann.id }],
    });
    expect((await get(call, '/v1/channels/secret')).body).toEqual({ channel: 'secret', subscribers: 1 });
    expect((await get(call, '/v1/channels/empty')).body).toEqual({ channel: 'empty', subscribers: 0 });
  });
});

describe('what is answered', () => {
  it('says what it is', async () => {
    const { call } = await startPublishing();
    expect(await get(call, '/')).toMatchObject({
      status: 200,
      text: 'Tidegate publish API: POST /publish/ (GRIP), and /v1/\n',
    });
  });

  it.each([
    ['GET', '/nothing', 404, 'nothing here; there are /publish/'],
    ['GET', '/v1/nothing', 404, '"NOT_FOUND"'],
    ['GET', '/v1/channels/%ff', 400, 'percent-encoded UTF-8'],
    ['POST', '/v1/sessions', 405, '/v1/sessions takes GET, not POST'],
    ['PUT', '/v1/sessions/x', 405, '/v1/sessions/x takes GET, DELETE, not PUT'],
    ['GET', '/v1/sessions?limit=0', 400, 'whole number from 1 to 1000'],
    ['GET', '/v1/sessions?limit=1e3', 400, 'whole number from 1 to 1000'],
    ['GET', '/v1/sessions?limit=1001', 400, 'whole number from 1 to 1000'],
    ['GET', '/v1/sessions?after=nonsense', 400, '`next` of the page before'],
    ['GET', '/v1/sessions/x?y=1', 400, 'none is known here'],
    ['POST', '/v1/publish?delivered=true', 400, 'none is known here'],
  ])('%s %s: %i', async (method, path, status, words) => {
    const { call } = await startPublishing();
    const answer = await call({ method, path, ...(method === 'POST' ? { json: { items: [] } } : {}) });
    expect([answer.status, answer.text]).toEqual([status, like(words)]);
    expect(answer.text).toMatch(/^[^\n]+\n$/);
    expect(answer.text.startsWith('{"error":{"code":"')).toBe(path.startsWith('/v1/'));
    if (status === 405) expect(answer.headers['allow']).toMatch(/^GET/);
  });

  it('tells nothing of a fault of ours, but the log', async () => {
    const { call, channels, faults } = await startPublishing();
    const session = open(channels.directory);
    session.info = () => {
      throw new Error('secret details');
    };
    const { status, text } = await get(call, `/v1/sessions/${session.id}`);
    expect([status, text]).toEqual([500, like('"INTERNAL"')]);
    expect(text).not.toContain('secret');
    expect(faults).toMatchObject([{ message: 'secret details' }]);
  });

  it('what is no HTTP gets an answer too', async () => {
    const { port } = await startPublishing({ plan: { headerTimeoutMs: 50 } });
    expect(await exchange(port, 'hello\r\n\r\n')).toMatch(/^HTTP\/1.1 400 .*not a valid HTTP/s);
    expect(await exchange(port, 'POST /publish/ HTTP/1.1\r\nHos')).toMatch(/^HTTP\/1.1 408 /);
  });

  it('nothing more, once it is closed', async () => {
    const { port, server } = await startPublishing();
    const idle = exchange(port, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await server.close();
    await Promise.all([server.close(), idle]);
    await expect(once(connect(port, '127.0.0.1'), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});

type Caller = Awaited<ReturnType<typeof startPublishing>>['call'];

function get(call: Caller, path: string) {
  return call({ method: 'GET', path });
}

interface FakeSession extends AddressedSession {
  readonly calls: unknown[][];
  info: AddressedSession['info'];
}

/** A session that notes what it is asked, and says it is well, or not. */
function open(
  directory: Directory,
  info: Record<string, unknown> = {},
  answer: SessionAnswer = { ok: true },
): FakeSession {
  const calls: unknown[][] = [];
  const session: FakeSession = {
    id: directory.newId(),
    calls,
    send: (type, content) => {
      calls.push(['send', type, content.toString()]);
      return answer;
    },
    close: (code, reason) => {
      calls.push(['close', code, reason]);
      return answer;
    },
    info: () => info,
  };
  directory.add(session);
  return session;
}
