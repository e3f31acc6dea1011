/** History, resume and presence, as clients, backends and publishers see them. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type EventsAnswer, EventsBackend, obliging, type Post, text } from '../fixtures/events-backend.js';
import { type GatewayHouse, type GatewaySetting, startGateway } from '../fixtures/gateway.js';
import { gatewayHouse } from '../fixtures/gateway-http.js';
import { needNats, startNats } from '../fixtures/peers/nats.js';
import { needRedis, startRedis } from '../fixtures/peers/redis.js';
import { running } from '../fixtures/running.js';
import { connectWs } from '../fixtures/peers/ws.js';

const kept = [{ match: 'room*', history: true, presence: true }];

/** Subscribes everybody to `room`, from where the query says that it was, and lets it say who it is. */
function chat(post: Post): EventsAnswer {
  if (post.events[0] !== 'OPEN') return obliging(post);
  const query = new URL(post.path, 'http://backend').searchParams;
  const subscribe = {
    type: 'subscribe',
    channel: query.get('channel') ?? 'room',
    since: query.get('since') ?? undefined,
    recovered: 'go on',
    'not-recovered': 'start over',
  };
  const user = { type: 'set-meta', name: 'user', value: query.get('user') ?? 'nobody' };
  return {
    fields: { 'sec-websocket-extensions': 'grip' },
    events: ['OPEN', text(`c:${JSON.stringify(user)}`), text(`c:${JSON.stringify(subscribe)}`)],
  };
}

async function startChat(more: GatewaySetting['more'] = {}, gateway: object = {}) {
  const backend = await EventsBackend.start(chat);
  const start = () =>
    startGateway({
      to: backend.url,
      gateway,
      more: { publish: '127.0.0.1:0', channels: kept, ...more },
    });
  return { backend, start };
}

function join({ url }: GatewayHouse, query: Record<string, string> = {}) {
  const target = new URL(url);
  target.search = new URLSearchParams(query).toString();
  return running(connectWs(target.href));
}

function api({ proxy }: GatewayHouse, path: string): string {
  const { port } = proxy.publish as { port: number };
  return `http://127.0.0.1:${port}${path}`;
}

async function say(house: GatewayHouse, ...ids: string[]): Promise<void> {
  for (const id of ids) await sayText(house, id, `message ${id}`);
}

async function sayText(house: GatewayHouse, id: string, content: string, channel = 'room'): Promise<void> {
  const item = { channel, id, formats: { 'ws-message': { content } } };
  const answer = await fetch(api(house, '/publish/'), {
    method: 'POST',
    body: JSON.stringify({ items: [item] }),
  });
  expect(answer.status).toBe(200);
}

async function get(house: GatewayHouse, path: string): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(api(house, path));
  return { status: answer.status, body: await answer.json() };
}

/** Until the backend’s subscription is in force. */
async function isIn(house: GatewayHouse, channel: string, count = 1): Promise<void> {
  for (;;) {
    const { body } = await get(house, `/v1/channels/${channel}`);
    if ((body as { subscribers: number }).subscribers === count) return;
  }
}

describe('a client that comes back', () => {
  it('is told that it has missed nothing, is given what it had not, and what comes, each once', async () => {
    const { start } = await startChat();
    const house = await start();
    const before = await join(house);
    await isIn(house, 'room');
    await say(house, '1', '2');
    expect(await before.messages.next((line) => line === 'message 2')).toBe('message 2');
    before.socket.terminate();
    await isIn(house, 'room', 0);
    await say(house, '3', '4');

    const after = await join(house, { since: '2' });
    await after.messages.next((line) => line === 'message 4');
    await say(house, '5');
    await after.messages.next((line) => line === 'message 5');
    expect(after.messages.all).toEqual(['go on', 'message 3', 'message 4', 'message 5']);
  });

  it('is told to start over where its place is not known any more', async () => {
    const { start } = await startChat({
      channels: [{ match: 'room', history: { maxMessages: 2 } }],
    });
    const house = await start();
    await say(house, '1', '2', '3', '4');
    const client = await join(house, { since: '1' });
    expect(await client.messages.next()).toBe('start over');
    await say(house, '5');
    await client.messages.next((line) => line === 'message 5');
    expect(client.messages.all).toEqual(['start over', 'message 5']);
  });

  it('is told so, too, where nothing is kept', async () => {
    const { start } = await startChat();
    const house = await start();
    const client = await join(house, { since: '1', channel: 'elsewhere' });
    expect(await client.messages.next()).toBe('start over');
  });

  it.each([false, true])(
    'is given more than may wait for it, as fast as it takes that (compressed: %s)',
    async (compression) => {
      const { start } = await startChat(
        { channels: [{ match: 'room', history: { maxBytes: '64MiB' } }] },
        { slowConsumer: { maxBytes: '64KiB' }, compression },
      );
      const house = await start();
      const large = randomBytes(150_000).toString('hex');
      await say(house, '1');
      for (let i = 2; i <= 30; i++) await sayText(house, `${i}`, `${i} ${large}`);
      const client = await join(house, { since: '1' });
      await client.messages.next((line) => String(line).startsWith('30 '));
      expect(client.messages.all.map((line) => String(line).slice(0, 2).trim())).toEqual([
        'go',
        ...Array.from({ length: 29 }, (_, i) => `${i + 2}`),
      ]);
    },
  );
});

const meeting = [
  { kind: 'Redis', need: needRedis, start: startRedis, recovers: true },
  // Each node knows what it has heard, and the other has heard nothing.
  { kind: 'NATS', need: needNats, start: startNats, recovers: false },
];

describe.each(meeting)('on another node, by $kind$need.note', ({ need, start: startServer, recovers }) => {
  it.skipIf(need.missing)('a client goes on, or is told that it cannot', async () => {
    const server = await running(startServer());
    const { start } = await startChat({ backplane: server.url });
    const [one, other] = [await start(), await start()];
    const before = await join(one);
    await isIn(one, 'room');
    await say(other, '1', '2');
    await before.messages.next((line) => line === 'message 2');
    before.socket.terminate();
    await isIn(one, 'room', 0);
    await say(one, '3');
    const after = await join(other, { since: '2' });
    expect(await after.messages.next()).toBe(recovers ? 'go on' : 'start over');
    await isIn(other, 'room');
    await say(one, '4');
    await after.messages.next((line) => line === 'message 4');
    expect(after.messages.all.slice(1)).toEqual(recovers ? ['message 3', 'message 4'] : ['message 4']);
  });
});

describe('the publish API', () => {
  it('says who is in a channel', async () => {
    const { start } = await startChat();
    const house = await start();
    const opened = new Promise<string>((resolve) =>
      house.proxy.on('session.opened', ({ id }) => resolve(id)),
    );
    await join(house, { user: 'ann' });
    await isIn(house, 'room');
    const { body } = await get(house, '/v1/channels/room');
    expect(body).toEqual({
      channel: 'room',
      subscribers: 1,
      members: [{ id: await opened, user: 'ann', since: expect.stringMatching(/^\d{4}-.*Z$/) as string }],
    });
  });

  it('says no more than how many, where presence is off', async () => {
    const { start } = await startChat();
    const house = await start();
    await join(house, { channel: 'elsewhere' });
    await isIn(house, 'elsewhere');
    expect((await get(house, '/v1/channels/elsewhere')).body).toEqual({
      channel: 'elsewhere',
      subscribers: 1,
    });
  });

  it('shows the history of a channel, all of it or behind an item', async () => {
    const { start } = await startChat();
    const house = await start();
    await say(house, '1', '2', '3');
    const ids = async (query: string) => {
      const { body } = await get(house, `/v1/channels/room/history${query}`);
      const { messages, ...rest } = body as { messages: { id: string }[] };
      return { ids: messages.map(({ id }) => id).join(), ...rest };
    };
    expect(await ids('')).toEqual({ channel: 'room', ids: '1,2,3' });
    expect(await ids('?limit=2')).toEqual({ channel: 'room', ids: '2,3' });
    expect(await ids('?after=1')).toEqual({ channel: 'room', ids: '2,3', recovered: true });
    expect(await ids('?after=1&limit=1')).toEqual({
      channel: 'room',
      ids: '2',
      recovered: true,
      more: true,
    });
    expect(await ids('?after=9')).toEqual({ channel: 'room', ids: '', recovered: false });
    const { body } = await get(house, '/v1/channels/room/history?limit=1');
    expect((body as { messages: unknown[] }).messages).toEqual([
      { channel: 'room', id: '3', formats: { 'ws-message': { type: 'text', content: 'message 3' } } },
    ]);
    expect(await get(house, '/v1/channels/elsewhere/history')).toMatchObject({
      status: 404,
      body: { error: { message: 'no history is kept of channel "elsewhere" (`channels`)' } },
    });
    expect((await get(house, '/v1/channels/room/history?since=1')).status).toBe(400);
  });
});

describe('a response that is held', () => {
  const hold = (how: string, prevId: string, more: object = {}) => ({
    headers: { 'Grip-Hold': how, 'Grip-Channel': `room; prev-id=${prevId}`, ...more },
    body: how === 'stream' ? 'hello\n' : 'nothing new',
  });
  const item = (content: string) => ({
    'http-stream': { content: `${content}\n` },
    'http-response': { body: content },
  });

  it('of a stream goes on behind the item that the backend names', async () => {
    const house = await gatewayHouse({}, {}, { channels: kept });
    for (const id of ['1', '2', '3']) await house.publish('room', item(id), { id });
    house.script('/feed', hold('stream', '1'));
    const client = await house.get('/feed');
    await house.subscribed('room', 1);
    await house.publish('room', item('4'), { id: '4' });
    expect(String(await client.until('\n4\n'))).toMatch(/hello\n[^]*2\n[^]*3\n[^]*4\n/);
  });

  it('of a long poll is answered at once with what was missed', async () => {
    const house = await gatewayHouse({}, {}, { channels: kept });
    for (const id of ['1', '2', '3']) await house.publish('room', item(`item ${id}`), { id });
    house.script('/poll', hold('response', '1'));
    const client = await house.get('/poll');
    expect(String(await client.until('item '))).not.toContain('nothing new');
    expect(String(await client.take(1))).toBe('2');
    expect(house.asked.all).toHaveLength(1);
  });

  it('asks the backend where the history does not reach back so far', async () => {
    const house = await gatewayHouse({}, {}, { channels: kept });
    await house.publish('room', item('9'), { id: '9' });
    house.script('/feed', hold('stream', '1', { 'Grip-Link': '</more>; rel=next; timeout=60' }), {
      ...hold('stream', '9'),
      body: 'all of it\n',
    });
    const client = await house.get('/feed');
    expect(String(await client.until('all of it\n'))).not.toContain('hello');
    expect(house.asked.all[1]!.headers['grip-last']).toBe('room; last-id=1');
    expect((await house.troubles.next()).problem).toBe("channel room: not all that came since '1' is kept");
  });

  it('goes on with what comes where nothing more can be had, which is logged', async () => {
    const house = await gatewayHouse({}, {}, { channels: kept });
    await house.publish('room', item('9'), { id: '9' });
    house.script('/feed', hold('stream', '1'));
    const client = await house.get('/feed');
    expect((await house.troubles.next()).problem).toBe("channel room: not all that came since '1' is kept");
    await house.subscribed('room', 1);
    await house.publish('room', item('10'), { id: '10' });
    expect(String(await client.until('\n10\n'))).toContain('hello');
  });
});
