import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { EventsBackend } from '../fixtures/events-backend.js';
import { type GatewayHouse, startGateway } from '../fixtures/gateway.js';
import { needNats, startNats } from '../fixtures/peers/nats.js';
import { needRedis, startRedis } from '../fixtures/peers/redis.js';
import { running } from '../fixtures/running.js';

const meeting = [
  { kind: 'Redis', need: needRedis, start: startRedis },
  { kind: 'NATS', need: needNats, start: startNats },
];

describe.each(meeting)('two nodes that meet at $kind$need.note', ({ need, start }) => {
  async function nodes(): Promise<[GatewayHouse, GatewayHouse, () => Promise<void>]> {
    const server = await running(start());
    const backend = await EventsBackend.start();
    const setting = {
      to: backend.url,
      gateway: { subscribe: 'room' },
      more: { publish: '127.0.0.1:0', admin: '127.0.0.1:0', backplane: server.url },
    };
    return [await startGateway(setting), await startGateway(setting), () => server.kill()];
  }

  it.skipIf(need.missing)('are one to whoever publishes', async () => {
    const [one, other] = await nodes();
    const clients = [await one.connect(), await other.connect()];
    await post(one, '/publish/', {
      items: [{ channel: 'room', formats: { 'ws-message': { content: 'all' } } }],
    });
    for (const client of clients) expect(await client.messages.next()).toBe('all');
  });

  it.skipIf(need.missing)('find a session wherever it lives', async () => {
    const [one, other] = await nodes();
    const opened = new Promise<string>((resolve) =>
      other.proxy.on('session.opened', ({ id }) => resolve(id)),
    );
    const client = await other.connect();
    const id = await opened;
    const sent = await fetch(api(one, `/v1/sessions/${encodeURIComponent(id)}/send`), {
      method: 'POST',
      headers: { 'Content-Type': 'text/plain' },
      body: 'for you',
    });
    expect(sent.status).toBe(200);
    expect(await client.messages.next()).toBe('for you');
    const gone = await fetch(api(one, `/v1/sessions/${encodeURIComponent(id)}?code=4001&reason=go`), {
      method: 'DELETE',
    });
    expect(gone.ok).toBe(true);
    expect(await client.closed).toEqual({ code: 4001, reason: 'go' });
  });

  it.skipIf(need.missing)('say so when they have lost each other', async () => {
    const [one, , kill] = await nodes();
    const lost = new Promise<string>((resolve) => {
      one.proxy.on('backplane.link', (state, detail) => {
        if (state === 'down') resolve(detail);
      });
    });
    expect(await status(one)).toMatchObject({ backplane: { state: 'up', linksLost: 0 } });
    await kill();
    expect(await lost).not.toBe('');
    expect(await status(one)).toMatchObject({ backplane: { state: 'down', linksLost: 1 } });
    const item = { channel: 'room', formats: { 'ws-message': { content: 'lost' } } };
    const answer = await post(one, '/publish/', { items: [item] });
    expect(answer.status).toBe(503);
    // Those who are connected stay so.
    expect(one.proxy.sessions).toHaveLength(0);
    const client = await one.connect();
    const heard = once(client.socket, 'message');
    client.socket.send('still');
    expect(String(((await heard) as [Buffer])[0])).toBe('still');
  });
});

function api({ proxy }: GatewayHouse, path: string): string {
  const { port } = proxy.publish as { port: number };
  return `http://127.0.0.1:${port}${path}`;
}

async function status({ proxy }: GatewayHouse): Promise<unknown> {
  const { port } = proxy.admin as { port: number };
  return (await fetch(`http://127.0.0.1:${port}/v1/status`)).json();
}

function post(house: GatewayHouse, path: string, body: object): Promise<Response> {
  return fetch(api(house, path), { method: 'POST', body: JSON.stringify(body) });
}
