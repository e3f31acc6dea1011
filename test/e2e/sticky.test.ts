/** Clients that come back to their server, by a cookie: in the switch and in plain answers, on both engines. */
import { describe, expect, test } from 'vitest';
import type { NamedServer } from '../fixtures/peers/named-server.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { upgradeHead } from '../fixtures/rfc6455.js';
import { named, startCluster, type Cluster, type Operations } from '../fixtures/upstreams.js';

const key = 'a secret of sixteen characters';

describe.each(['stream', 'auto'])('relay: %s', (relay) => {
  test('a cookie with the switch brings the client back, and is given once', async () => {
    const { cluster } = await start({ sticky: { key } }, relay);
    const { cookie, server } = await handshake(cluster);
    expect(cookie).toMatch(/^tidegate=[\w-]{59}; Path=\/; HttpOnly; SameSite=Lax$/);
    for (let i = 0; i < 4; i++) {
      expect(await handshake(cluster, cookie)).toEqual({ status: '101', server, cookie: undefined });
      expect(await get(cluster, cookie)).toEqual({ server, cookie: undefined });
    }
  });

  test('a cookie with a plain answer leads the WebSocket to the same server', async () => {
    const { cluster } = await start({ sticky: { key, cookie: 'home', path: '/chat', maxAge: '1h' } }, relay);
    for (let i = 0; i < 6; i++) {
      const { cookie, server } = await get(cluster);
      expect(cookie).toMatch(/^home=[\w-]{59}; Path=\/chat; Max-Age=3600; HttpOnly; SameSite=Lax$/);
      expect((await handshake(cluster, cookie)).server).toBe(server);
    }
  });

  test('Secure, for clients that a trusted proxy says came over TLS', async () => {
    const { cluster } = await start({ sticky: { key } }, relay, ['127.0.0.1']);
    const secure = await handshake(cluster, undefined, ['X-Forwarded-Proto: https']);
    expect(secure.cookie).toContain('; Secure');
    expect((await get(cluster, undefined, { 'X-Forwarded-Proto': 'https' })).cookie).toContain('; Secure');
    expect((await handshake(cluster)).cookie).not.toContain('Secure');
  });

  test('a forged cookie, one of another key, one of another upstream: as good as none', async () => {
    const other = await start({ sticky: { key: 'another secret of that length' } }, relay);
    const { cluster } = await start({ sticky: { key } }, relay);
    const { cookie } = await handshake(other.cluster);
    expect((await handshake(cluster, cookie)).cookie).toMatch(/^tidegate=/);
    expect((await handshake(cluster, 'tidegate=guess')).cookie).toMatch(/^tidegate=/);
  });

  test('a server that has gone down: its clients are moved, with a new cookie', async () => {
    const { cluster, servers } = await start({ sticky: { key }, health }, relay);
    const { cookie, server } = await handshake(cluster);
    await takeDown(cluster, servers, server);
    const moved = await handshake(cluster, cookie);
    expect(moved.server).not.toBe(server);
    expect(moved.cookie).not.toBe(cookie);
    expect(await handshake(cluster, moved.cookie)).toEqual({ ...moved, cookie: undefined });
  });

  test('… or refused, if that is the setting', async () => {
    const sticky = { key, whenGone: 'refuse' } as const;
    const { cluster, servers } = await start({ sticky, health }, relay);
    const { cookie, server } = await handshake(cluster);
    await takeDown(cluster, servers, server);
    expect(await handshake(cluster, cookie)).toMatchObject({ status: '503' });
    const record = await cluster.nextRecord(({ status }) => status === 503);
    expect(record.outcome).toBe('failed(UPSTREAM_SERVER_GONE)');
    expect((await handshake(cluster)).status).toBe('101');
  });

  test('the cookie goes with a refusal of the server too', async () => {
    const { cluster } = await start({ sticky: { key } }, relay);
    // `ws` answers a handshake without a version it knows with a 400 of its own.
    const refused = await handshake(cluster, undefined, ['Sec-WebSocket-Protocol: @'], 'rest');
    expect(refused.status).toBe('400');
    expect(refused.cookie).toMatch(/^tidegate=/);
  });
});

test('without sticky there is no cookie', async () => {
  const { cluster } = await start({}, 'auto');
  expect(await handshake(cluster)).toMatchObject({ status: '101', cookie: undefined });
});

const health = { path: '/health', interval: '20ms', fall: 1 };

async function start(upstream: Partial<Operations>, relay: string, trustedProxies: string[] = []) {
  const servers = await named('a', 'b', 'c');
  const cluster = await startCluster(
    { servers: servers.map(({ url }) => url), ...upstream },
    { relay, listener: { trustedProxies } },
  );
  return { cluster, servers };
}

async function takeDown(cluster: Cluster, servers: readonly NamedServer[], name: string): Promise<void> {
  servers.find((one) => one.name === name)!.status = 500;
  await cluster.changes.next(({ state }) => state === 'down');
}

/** One handshake, byte for byte: its status, who answered, and the cookie that came with it. */
async function handshake(
  { port }: Cluster,
  cookie?: string,
  more: string[] = [],
  until: 'frame' | 'rest' = 'frame',
): Promise<{ status: string; server: string; cookie: string | undefined }> {
  const client = await RawPeer.connect(port);
  const fields = cookie === undefined ? more : [...more, `Cookie: ${cookie.split(';')[0]!}`];
  client.write(upgradeHead('chat.test', fields));
  const head = await client.head();
  const given = head.filter((line) => line.startsWith('Set-Cookie: '));
  expect(given.length).toBeLessThan(2);
  const status = head[0]!.split(' ')[1]!;
  const server = status === '101' && until === 'frame' ? (await client.take(3)).toString().at(-1)! : '';
  return { status, server, cookie: given[0]?.slice('Set-Cookie: '.length) };
}

async function get(
  { url }: Cluster,
  cookie?: string,
  headers: Record<string, string> = {},
): Promise<{ server: string; cookie: string | undefined }> {
  const answer = await fetch(url, {
    headers: { ...headers, ...(cookie !== undefined && { Cookie: cookie.split(';')[0]! }) },
  });
  const given = answer.headers.getSetCookie();
  expect(given.length).toBeLessThan(2);
  return { server: await answer.text(), cookie: given[0] };
}
