/** A gateway route whose upstream binds clients to servers. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { EventsBackend } from '../fixtures/events-backend.js';
import { startGateway } from '../fixtures/gateway.js';
import { wsEnd, type WsEnd } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';

const sticky = { key: 'a secret of sixteen characters' };

async function start(upstream: object) {
  const backends = [await EventsBackend.start(), await EventsBackend.start()] as const;
  const servers = backends.map(({ url }) => url);
  const house = await startGateway({ to: 'chat', more: { upstreams: { chat: { servers, ...upstream } } } });
  async function join(cookie?: string): Promise<{ end: WsEnd; cookie: string | undefined }> {
    const socket = new WebSocket(house.url, { headers: cookie === undefined ? {} : { cookie } });
    const end = await running(wsEnd(socket));
    const [[{ headers }]] = (await Promise.all([once(socket, 'upgrade'), once(socket, 'open')])) as [
      [IncomingMessage],
      unknown,
    ];
    return { end, cookie: headers['set-cookie']?.[0]?.split(';')[0] };
  }
  const opened = () => backends.map(({ posts }) => posts.all.filter(isOpen).length);
  return { backends, join, opened };
}

const isOpen = ({ events }: { readonly events: readonly string[] }) => events[0] === 'OPEN';

it('all that a client says goes to the server that took it, and it comes back to that one', async () => {
  const { backends, join, opened } = await start({ sticky });
  const first = await join();
  expect(first.cookie).toMatch(/^tidegate=/);
  const home = opened().indexOf(1);
  for (const word of ['one', 'two', 'three', 'four']) {
    first.end.socket.send(word);
    expect(await first.end.messages.next()).toBe(word);
  }
  expect(backends[home]!.posts.all).toHaveLength(5);
  for (let i = 2; i < 6; i++) {
    expect((await join(first.cookie)).cookie).toBeUndefined();
    expect(opened()[home]).toBe(i);
  }
  expect(opened()[1 - home]).toBe(0);
});

it('without it any server is asked each time, and there is no cookie', async () => {
  const { backends, join } = await start({});
  const { end, cookie } = await join();
  expect(cookie).toBeUndefined();
  for (const word of ['one', 'two', 'three', 'four']) {
    end.socket.send(word);
    expect(await end.messages.next()).toBe(word);
  }
  for (const { posts } of backends) expect(posts.all.length).toBeGreaterThan(1);
});
