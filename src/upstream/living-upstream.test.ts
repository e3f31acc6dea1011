import { beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { DnsServer } from '../../test/fixtures/dns-server.js';
import { seededRandom } from '../../test/fixtures/random.js';
import { RawServer } from '../../test/fixtures/raw-server.js';
import { ManualClock } from '../base/manual-clock.js';
import { systemClock } from '../base/system.js';
import { upstreamOperations } from '../config/upstream-operations.js';
import { HeaderList } from '../protocol/http/header-list.js';
import { LivingUpstream, type LivingUpstreamOptions } from './living-upstream.js';
import { operationsPlan } from './operations-from-config.js';
import type { UpstreamPlan, PooledServerPlan } from './plan.js';

const schema = z.strictObject(upstreamOperations);

let clock: ManualClock;
let events: string[];
/** What is wrong with a server, by id. */
let ills: Map<string, string>;
let probed: string[];

beforeEach(() => {
  clock = new ManualClock();
  events = [];
  ills = new Map();
  probed = [];
});

describe('an upstream of which nothing is said', () => {
  it('has no timer, asks nothing of a request, and gives no cookie', () => {
    const upstream = living({}, ['a', 'b']);
    const want = upstream.wantOf(head('Cookie', 'tidegate=x'), '10.0.0.1');
    expect(want).toBe(upstream.wantOf(head(), '10.0.0.2'));
    const lease = upstream.pool.take(want)!;
    expect(upstream.cookieFor(want, lease.server.id, true)).toBeUndefined();
    lease.succeeded();
    lease.release();
    expect(clock.pending).toBe(0);
    expect(upstream.warnings).toEqual([]);
  });
});

describe('hashing', () => {
  it('takes its key from the request', () => {
    const upstream = living({ balance: 'hash', hash: { header: 'X-User' } }, ['a', 'b', 'c']);
    expect(upstream.wantOf(head('X-User', 'ada'), '10.0.0.1')).toEqual({ key: 'ada' });
    expect(upstream.wantOf(head(), '10.0.0.1')).toEqual({});
    const byAddress = living({ balance: 'hash' }, ['a', 'b', 'c']);
    expect(byAddress.wantOf(head(), '10.0.0.1')).toEqual({ key: '10.0.0.1' });
  });
});

describe('sticking', () => {
  it('gives a cookie once, and another one when the client is moved', () => {
    const upstream = living({ sticky: { key: 'sixteen characters' } }, ['a', 'b', 'c']);
    const first = upstream.pool.take(upstream.wantOf(head(), ''))!;
    const cookie = upstream.cookieFor({}, first.server.id, false)!;
    const again = head('Cookie', cookie.split(';')[0]!);
    for (let i = 0; i < 4; i++) {
      const want = upstream.wantOf(again, '');
      const lease = upstream.pool.take(want)!;
      expect(lease.server.id).toBe(first.server.id);
      expect(upstream.cookieFor(want, lease.server.id, false)).toBeUndefined();
    }
    first.release();
    upstream.update(plan({ sticky: { key: 'sixteen characters' } }, ['b', 'c']));
    const want = upstream.wantOf(again, '');
    const moved = upstream.pool.take(want)!;
    expect(upstream.cookieFor(want, moved.server.id, false)).not.toBe(cookie);
    upstream.update(plan({ sticky: { key: 'sixteen characters', whenGone: 'refuse' } }, ['b', 'c']));
    expect(() => upstream.pool.take(upstream.wantOf(head('Cookie', 'tidegate=forged'), ''))).not.toThrow();
  });

  it('refuses a client whose server has gone, if that is the setting', () => {
    const sticky = { key: 'sixteen characters', whenGone: 'refuse' as const };
    const upstream = living({ sticky }, ['a', 'b']);
    const lease = upstream.pool.take({ server: 'a' })!;
    const again = head('Cookie', upstream.cookieFor({}, lease.server.id, false)!.split(';')[0]!);
    lease.release();
    upstream.update(plan({ sticky }, ['b']));
    expect(() => upstream.pool.take(upstream.wantOf(again, ''))).toThrow('has left');
    // Another process, which never saw that server, knows the cookie too.
    expect(() => living({ sticky }, ['b']).pool.take(living({ sticky }, ['b']).wantOf(again, ''))).toThrow(
      'has left',
    );
  });

  it('warns of a key that does not last', () => {
    expect(living({ sticky: true }, ['a']).warnings).toHaveLength(1);
  });
});

describe('checks', () => {
  const health = { interval: '1s', timeout: '100ms', rise: 2, fall: 2 };

  it('take servers down and bring them up, and go on over a reload', async () => {
    const upstream = living({ health }, ['a', 'b']);
    await turn();
    ills.set('a', 'GET / was answered 500');
    await pass(1100);
    expect(events).toEqual([]);
    await pass(1100);
    expect(events).toEqual(['a down: GET / was answered 500']);
    upstream.update(plan({ health, slowStart: '5s' }, ['b', 'a', 'c']));
    expect(upstream.pool.take({ server: 'a' })!.server.id).not.toBe('a');
    await turn();
    expect(probed.at(-1)).toBe('c');
    ills.clear();
    await pass(1100);
    await pass(1100);
    expect(events.at(-1)).toBe('a up: the check passed');
  });

  it('are forgotten when they are switched off', async () => {
    ills.set('a', 'refused');
    const upstream = living({ health }, ['a']);
    await turn();
    expect(() => upstream.pool.take()).toThrow('has no server that is up; a is down: refused');
    upstream.update(plan({}, ['a']));
    expect(upstream.pool.take()!.server.id).toBe('a');
    expect(clock.pending).toBe(0);
  });

  it('leave nothing behind at the end', async () => {
    const upstream = living({ health, passiveHealth: { failures: 1 } }, ['a', 'b']);
    await turn();
    upstream.close();
    await turn();
    expect(clock.pending).toBe(0);
  });

  it('see a real server die and come back', async () => {
    const server = await RawServer.listen();
    const { port } = server;
    const changed = nextChange();
    const deps = { clock: systemClock, random: seededRandom(1) };
    const settings = { health: { type: 'tcp' as const, interval: '5ms', fall: 2, rise: 1 } };
    const own = plan(settings, [{ id: 'a', address: { host: '127.0.0.1', port } }]);
    const upstream = new LivingUpstream(own, { deps, open: () => undefined, onChange: changed.tell });
    try {
      await server.accept();
      await server.stop();
      expect(await changed.next()).toBe('a down');
      expect(() => upstream.pool.take()).toThrow('ECONNREFUSED');
    } finally {
      upstream.close();
    }
  });
});

describe('names', () => {
  it('become servers, by a real name server, and what leaves keeps its leases', async () => {
    const dns = await DnsServer.listen();
    dns.records.set('chat.test', { A: ['127.0.0.1'], ttl: 0 });
    const changed = nextChange();
    const deps = { clock: systemClock, random: seededRandom(1) };
    const resolve = { nameservers: dns.address, minTtl: '5ms' };
    const named = { id: 'http://chat.test', address: { host: 'chat.test', port: 80 } };
    const upstream = new LivingUpstream(plan({ resolve }, [named]), {
      deps,
      open: ({ id }) => changed.tell({ id, health: { status: 'opened' } }),
      onLeave: ({ id }) => changed.tell({ id, health: { status: 'left' } }),
    });
    try {
      expect(await changed.next()).toBe('http://chat.test opened');
      const early = upstream.pool.take()!;
      expect(await changed.next()).toBe('http://chat.test left');
      expect(await changed.next()).toBe('http://chat.test#127.0.0.1 opened');
      dns.records.set('chat.test', { A: ['127.0.0.1', '127.0.0.2'], ttl: 0 });
      expect(await changed.next()).toBe('http://chat.test#127.0.0.2 opened');
      expect([...upstream.pool.servers].map(({ id, load, isLeaving }) => [id, load, isLeaving])).toEqual([
        ['http://chat.test', 1, true],
        ['http://chat.test#127.0.0.1', 0, false],
        ['http://chat.test#127.0.0.2', 0, false],
      ]);
      early.release();
      expect([...upstream.pool.servers]).toHaveLength(2);
    } finally {
      upstream.close();
    }
  });
});

type Written = string | Partial<PooledServerPlan>;

function plan(written: z.input<typeof schema>, servers: readonly Written[]): UpstreamPlan {
  const basics = {
    id: 'chat',
    retries: 2,
    connectTimeoutMs: 1000,
    maxIdleConnections: 8,
    keepAliveTimeoutMs: 60_000,
    maxHeaderBytes: 65_536,
    tls: { verify: true, ca: undefined, serverName: undefined },
    servers: servers.map((one): PooledServerPlan => {
      const given = typeof one === 'string' ? { id: one } : one;
      const address = { host: '127.0.0.1', port: 1 };
      return { id: '', address, secure: false, host: 'x', weight: 1, maxConnections: 0, ...given };
    }),
  };
  return operationsPlan(basics, schema.parse(written));
}

function living(written: z.input<typeof schema>, servers: readonly Written[]): LivingUpstream<undefined> {
  const options: LivingUpstreamOptions<undefined> = {
    deps: { clock, random: seededRandom(1) },
    open: () => undefined,
    onChange: ({ id, health }) => events.push(`${id} ${health.status}: ${health.reason}`),
    probe: async ({ id }) => {
      probed.push(id);
      const ill = ills.get(id);
      if (ill !== undefined) throw new Error(ill);
    },
  };
  return new LivingUpstream(plan(written, servers), options);
}

/** Events in order, each awaited. */
function nextChange() {
  const seen: string[] = [];
  let wake: (() => void) | undefined;
  return {
    tell(server: { id: string; health: { status: string } }): void {
      seen.push(`${server.id} ${server.health.status}`);
      wake?.();
    },
    async next(): Promise<string> {
      while (seen.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return seen.shift()!;
    },
  };
}

function head(...raw: string[]) {
  return { method: 'GET', target: '/', httpVersion: '1.1', headers: HeaderList.fromRaw(raw) };
}

async function pass(ms: number): Promise<void> {
  clock.advance(ms);
  await turn();
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
