import { expect, test } from 'vitest';
import { startBackend } from '../fixtures/http-backend.js';
import { startHttpProxy } from '../fixtures/http-proxy.js';
import { eventually, RawPeer, turn } from '../fixtures/raw-peer.js';

const EXCHANGES = 600;

test('exchanges cut at any point, by either side, leave no timer, no listener and no connection', async () => {
  const random = seeded(20260101);
  const warnings: string[] = [];
  const onWarning = (warning: Error) => warnings.push(warning.message);
  process.on('warning', onWarning);
  const backend = await startBackend((req, res) => {
    // Echoes, and now and then fails in one of the ways in which servers do.
    const fate = random();
    if (fate < 0.1) req.socket.destroy();
    else if (fate < 0.2) res.writeHead(200).write('part', () => req.socket.resetAndDestroy());
    else if (fate < 0.3) res.writeHead(413, { connection: 'close' }).end('too large');
    else req.pipe(res);
    req.on('error', () => {});
    res.on('error', () => {});
  });
  let asked = 0;
  const proxy = await startHttpProxy([backend.url], { onRequest: () => asked++ });
  const exchange = async () => {
    const client = await RawPeer.connect(proxy.port);
    const body = 'x'.repeat(Math.floor(random() * 200_000));
    const text = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const cut = random() < 0.5 ? text.length : Math.floor(random() * text.length);
    client.write(text.slice(0, cut));
    for (let turns = Math.floor(random() * 20); turns > 0; turns--) await turn();
    if (random() < 0.5) client.reset();
    else client.destroy();
    await client.closed;
  };
  for (let done = 0; done < EXCHANGES; done += 20) {
    await Promise.all(Array.from({ length: 20 }, exchange));
  }
  await eventually(
    () => proxy.results.all.length === asked && open(proxy) === 0,
    'the end of every exchange',
  );
  expect(asked).toBeGreaterThan(EXCHANGES / 4);
  expect(proxy.clock.pending).toBe(0);
  const codes = new Set(proxy.results.all.map(({ error }) => error?.code));
  expect(codes).not.toContain('INTERNAL');
  expect(codes.size).toBeGreaterThan(2);
  process.off('warning', onWarning);
  expect(warnings).toEqual([]);
});

/** Upstream connections in use. */
function open({ upstream }: Awaited<ReturnType<typeof startHttpProxy>>): number {
  const [server] = upstream.pool.servers;
  const { agent } = server!.own;
  return Object.values(agent.sockets).reduce((sum, sockets) => sum + (sockets?.length ?? 0), 0);
}

/** The same dice every time (mulberry32). */
function seeded(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
