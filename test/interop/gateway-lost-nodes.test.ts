/** Nodes that die, or only seem to: what their backends hear of it, and how often. Real processes, and Debian’s Redis and NATS. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'redis';
import { afterAll, describe, expect, it } from 'vitest';
import { Cli } from '../fixtures/cli.js';
import { EventsBackend, type Post, obliging } from '../fixtures/events-backend.js';
import { startBackend } from '../fixtures/http-backend.js';
import { Inbox } from '../fixtures/inbox.js';
import { keptInNats, needNats, startNats } from '../fixtures/peers/nats.js';
import { needRedis, startRedis } from '../fixtures/peers/redis.js';
import { connectWs, type WsEnd } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';

const root = mkdtempSync(join(tmpdir(), 'tidegate-lost-'));
afterAll(() => rmSync(root, { recursive: true }));
let files = 0;

/** A process of its own, which can be killed. */
async function startNode(serverUrl: string, backend: string, gateway: string): Promise<Cli & { at: string }> {
  const file = join(root, `${++files}.yaml`);
  writeFileSync(
    file,
    `listeners: [127.0.0.1:0]
backplane: { url: ${serverUrl}, lostAfter: 500ms }
routes:
  - name: chat
    gateway: { to: ${backend}${gateway} }
`,
  );
  const cli = await running(new Cli(['serve', '--config', file]));
  return Object.assign(cli, { at: (await cli.url()).replace('http', 'ws') });
}

const enter = (node: { at: string }, headers: Record<string, string> = {}): Promise<WsEnd> =>
  running(connectWs(`${node.at}/chat?room=1`, [], { headers }));

interface Server {
  readonly url: string;
  /** Ids of sessions that it knows, among others. */
  ids(): Promise<string[]>;
  stop(): Promise<void>;
}

async function startNodesRedis(): Promise<Server> {
  const redis = await startRedis();
  const client = await createClient({ url: redis.url }).connect();
  client.on('error', () => {});
  return {
    url: redis.url,
    async ids() {
      const keys = await client.keys('*sessions:*');
      return (await Promise.all(keys.map((key) => client.hKeys(key)))).flat();
    },
    async stop() {
      await client.close();
      await redis.stop();
    },
  };
}

async function startNodesNats(): Promise<Server> {
  const { url, stop } = await startNats({ jetStream: true });
  const ids = async () =>
    [...(await keptInNats(url, 'tidegate')).values()].flatMap((each) => Array.from(each));
  return { url, ids, stop };
}

/** Until the server knows so many sessions: what it has not heard of yet dies with its node. */
async function known(server: Server, sessions: number): Promise<void> {
  const count = async () => (await server.ids()).filter((id) => id.includes('.')).length;
  await expect.poll(count, { timeout: 10_000 }).toBe(sessions);
}

/** Each is told who it is, and says so with every request. */
function naming(post: Post) {
  if (post.events[0] === 'OPEN') {
    return { fields: { 'set-meta-user': String(post.headers['x-user']) }, events: ['OPEN'] };
  }
  if (post.events[0]?.startsWith('TEXT')) return { fields: { 'set-meta-mood': 'merry' }, body: post.body };
  return obliging(post);
}

const isDisconnect = ({ events }: Post) => events[0] === 'DISCONNECT';

describe.each([
  { label: `Redis${needRedis.note}`, need: needRedis, start: startNodesRedis },
  { label: `NATS${needNats.note}`, need: needNats, start: startNodesNats },
])('a node that is lost, beside $label', ({ need, start }) => {
  it.skipIf(need.missing)(
    'leaves nobody in the dark: another tells backends of the end of its sessions, each once',
    async () => {
      const server = await running(start());
      const backend = await EventsBackend.start(naming);
      const dying = await startNode(server.url, backend.url, '');
      const others = [
        await startNode(server.url, backend.url, ''),
        await startNode(server.url, backend.url, ''),
      ];
      const users = ['ann', 'bob', 'cid'];
      for (const user of users) await enter(dying, { 'x-user': user });
      // What is bound later is told, too; who has left before is not told of again.
      const eve = await enter(dying, { 'x-user': 'eve' });
      eve.socket.send('hello');
      await eve.messages.next();
      const gone = await enter(dying, { 'x-user': 'gone' });
      gone.socket.close(1000);
      await backend.posts.next(({ events }) => events[0]?.startsWith('CLOSE') === true);
      const survivor = await enter(others[0]!, { 'x-user': 'survivor' });

      await known(server, 5);
      dying.signal('SIGKILL');
      const told: Post[] = [];
      while (told.length < 4) told.push(await backend.posts.next(isDisconnect));
      expect(new Set(told.map(({ headers }) => headers['meta-user']))).toEqual(new Set([...users, 'eve']));
      const ids = backend.posts.all.filter(({ events }) => events[0] === 'OPEN');
      for (const { headers, path } of told) {
        expect(path).toBe('/chat?room=1');
        expect(headers['x-user']).toBe(headers['meta-user']);
        expect(headers['meta-mood']).toBe(headers['meta-user'] === 'eve' ? 'merry' : undefined);
        const opened = ids.find((one) => one.headers['connection-id'] === headers['connection-id'])!;
        expect(opened.headers['x-user']).toBe(headers['x-user']);
        expect(headers['x-forwarded-for']).toBe(opened.headers['x-forwarded-for']);
      }
      const lines = others.map(({ stderr }) => stderr.all.filter((line) => line.includes(' is lost; ')));
      expect(lines.flat()).toEqual([expect.stringMatching(/node \w+ is lost; .* end of its 4 sessions$/)]);

      // A second death tells of what is its own, once the first is noted as told.
      await known(server, 1);
      others[0]!.signal('SIGKILL');
      const last = await backend.posts.next(isDisconnect);
      expect(last.headers['meta-user']).toBe('survivor');
      expect(backend.posts.all.filter(isDisconnect)).toHaveLength(5);
      survivor.socket.terminate();
    },
  );
});

describe.skipIf(needRedis.missing)(`a node that is lost${needRedis.note}`, () => {
  it('is told of as Amazon’s dialect has it', async () => {
    const redis = await running(startNodesRedis());
    const events = new Inbox<{ requestContext: Record<string, unknown> }>('the events');
    const backend = await startBackend((req, res) => {
      const chunks: Buffer[] = [];
      req.on('data', (chunk: Buffer) => chunks.push(chunk));
      req.on('end', () => {
        events.push(JSON.parse(Buffer.concat(chunks).toString()) as never);
        res.end();
      });
    });
    const dying = await startNode(redis.url, backend.url, ', dialect: aws');
    await startNode(redis.url, backend.url, ', dialect: aws');
    await enter(dying);
    const { requestContext: opened } = await events.next();
    await known(redis, 1);
    dying.signal('SIGKILL');
    const { requestContext: ended } = await events.next();
    expect(ended).toMatchObject({
      routeKey: '$disconnect',
      eventType: 'DISCONNECT',
      disconnectStatusCode: 1006,
      connectionId: opened['connectionId'],
      connectedAt: opened['connectedAt'],
      identity: opened['identity'],
    });
  });

  it('that comes back ends what it was told dead of, and says nothing twice', async () => {
    const redis = await running(startNodesRedis());
    const backend = await EventsBackend.start(naming);
    const frozen = await startNode(redis.url, backend.url, '');
    await startNode(redis.url, backend.url, '');
    const client = await enter(frozen, { 'x-user': 'ann' });
    await known(redis, 1);
    frozen.signal('SIGSTOP');
    await backend.posts.next(isDisconnect);
    frozen.signal('SIGCONT');
    expect(await client.closed).toEqual({ code: 1012, reason: 'out of touch' });
    await frozen.stdout.next((line) => line.includes('"outcome":"drained"'));
    // It takes new ones, and tells of their end by itself.
    const again = await enter(frozen, { 'x-user': 'bob' });
    again.socket.terminate();
    const { headers } = await backend.posts.next(isDisconnect);
    expect(headers['meta-user']).toBe('bob');
    expect(backend.posts.all.filter(isDisconnect)).toHaveLength(2);
    expect(backend.problems).toEqual([]);
  });

  it('is not one that says goodbye: it tells by itself', async () => {
    const redis = await running(startNodesRedis());
    const backend = await EventsBackend.start(naming);
    const leaving = await startNode(redis.url, backend.url, '');
    const other = await startNode(redis.url, backend.url, '');
    await enter(leaving, { 'x-user': 'ann' });
    await known(redis, 1);
    leaving.signal('SIGTERM');
    await leaving.exited;
    // Whoever would tell of it is told dead of itself behind that.
    await enter(other, { 'x-user': 'bob' });
    await known(redis, 1);
    const third = await startNode(redis.url, backend.url, '');
    other.signal('SIGKILL');
    await backend.posts.next((post) => isDisconnect(post) && post.headers['meta-user'] === 'bob');
    expect(backend.eventsOf().filter((event) => event === 'DISCONNECT')).toHaveLength(1);
    expect(third.stderr.all.filter((line) => line.includes(' is lost; '))).toHaveLength(1);
  });
});
