import { beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../test/fixtures/random.js';
import { ProxyError } from '../base/errors.js';
import { ManualClock } from '../base/manual-clock.js';
import type { Lease } from './lease.js';
import type { PooledServerPlan, PoolPlan } from './plan.js';
import { Pool, type PoolOptions } from './pool.js';

const plan: PoolPlan = {
  id: 'chat',
  balance: 'round-robin',
  retries: 2,
  retryBudget: undefined,
  slowStartMs: 0,
  queue: { size: 2, timeoutMs: 1000 },
  ejection: undefined,
  whenAllDown: 'refuse',
  whenGone: 'move',
};
const ejection = { failures: 1, windowMs: 1000, baseMs: 1000, maxMs: 8000, maxShare: 0.5 };
const counts = { rise: 1, fall: 1 };
const refused = new ProxyError('UPSTREAM_CONNECT_FAILED', 'refused');
const never = new AbortController().signal;

let clock: ManualClock;
let events: string[];

beforeEach(() => {
  clock = new ManualClock();
  events = [];
});

describe('taking', () => {
  it('counts leases as load, once each, and has no timer', () => {
    const pool = poolOf(['a', 'b']);
    const leases = [1, 2, 3].map(() => pool.take()!);
    expect(loads(pool)).toEqual({ a: 2, b: 1 });
    leases[0]!.release();
    leases[0]!.release();
    expect(loads(pool)).toEqual({ a: 1, b: 1 });
    expect(leases[0]!.isReleased).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it('goes by the key where hashing is asked for', () => {
    const pool = poolOf(['a', 'b', 'c'], { balance: 'hash' });
    const first = pool.take({ key: 'ada' })!.server.id;
    for (let i = 0; i < 9; i++) expect(pool.take({ key: 'ada' })!.server.id).toBe(first);
  });

  it('refuses when there is no server at all, or none with a weight', () => {
    expect(failure(() => poolOf([]).take())).toEqual(['UPSTREAM_UNAVAILABLE', 'upstream chat has no server']);
    const empty = poolOf([{ id: 'a', weight: 0 }]);
    expect(failure(() => empty.take())).toEqual([
      'UPSTREAM_UNAVAILABLE',
      'upstream chat has only servers of weight 0',
    ]);
    expect(empty.take({ server: 'a' })!.server.id).toBe('a');
  });

  it('counts a server that is listed twice as one of both weights', () => {
    const pool = poolOf(['a', 'b', 'a']);
    expect(take(pool, 6)).toEqual({ a: 4, b: 2 });
  });
});

describe('full servers', () => {
  const limited = [
    { id: 'a', maxConnections: 1 },
    { id: 'b', maxConnections: 1 },
  ];

  it('are passed over; when all are full, clients wait in order', async () => {
    const pool = poolOf(limited);
    const [a, b] = [pool.take()!, pool.take()!];
    expect(pool.take()).toBeUndefined();
    const order: string[] = [];
    const first = pool.wait({}, never).then((lease) => order.push(`first ${lease.server.id}`));
    const second = pool.wait({}, never).then((lease) => order.push(`second ${lease.server.id}`));
    expect(pool.waiting).toBe(2);
    b.release();
    a.release();
    await Promise.all([first, second]);
    expect(order).toEqual(['first b', 'second a']);
    expect(loads(pool)).toEqual({ a: 1, b: 1 });
    expect(clock.pending).toBe(0);
  });

  it('refuse those that the queue has no place for', async () => {
    const pool = poolOf(limited);
    pool.take();
    pool.take();
    void pool.wait({}, never);
    void pool.wait({}, never);
    await expect(pool.wait({}, never)).rejects.toMatchObject({
      code: 'UPSTREAM_FULL',
      status: 503,
      message: 'upstream chat: every server has its maxConnections, and 2 are waiting already',
    });
  });

  it('refuse those that have waited too long, and leave no timer', async () => {
    const pool = poolOf(limited);
    const held = pool.take()!;
    pool.take();
    const late = pool.wait({}, never);
    clock.advance(1000);
    await expect(late).rejects.toMatchObject({ code: 'UPSTREAM_QUEUE_TIMEOUT', status: 503 });
    held.release();
    expect(loads(pool)).toEqual({ a: 0, b: 1 });
    expect(clock.pending).toBe(0);
  });

  it('forget a client that has gone', async () => {
    const pool = poolOf(limited);
    const held = pool.take()!;
    pool.take();
    const gone = new AbortController();
    const waiting = pool.wait({}, gone.signal);
    gone.abort(new Error('the client has gone'));
    await expect(waiting).rejects.toThrow('the client has gone');
    expect(pool.waiting).toBe(0);
    expect(clock.pending).toBe(0);
    held.release();
    expect(loads(pool)).toEqual({ a: 0, b: 1 });
    await expect(pool.wait({}, gone.signal)).rejects.toThrow('the client has gone');
    expect(loads(pool)).toEqual({ a: 0, b: 1 });
  });

  it('give room that came between taking and waiting at once', async () => {
    const pool = poolOf(limited);
    const held = pool.take()!;
    pool.take();
    expect(pool.take()).toBeUndefined();
    held.release();
    expect((await pool.wait({}, never)).server.id).toBe('a');
  });

  it('serve those who wait when a server comes up, is added, or may have more', async () => {
    const pool = poolOf([limited[0]!, 'b']);
    pool.checked('b', 'refused', counts);
    pool.take();
    const up = pool.wait({}, never);
    pool.checked('b', undefined, counts);
    expect((await up).server.id).toBe('b');

    const small = poolOf([limited[0]!]);
    small.take();
    const [more, added] = [small.wait({}, never), small.wait({}, never)];
    small.update(plan, servers([{ id: 'a', maxConnections: 2 }]));
    expect((await more).server.id).toBe('a');
    small.update(plan, servers([{ id: 'a', maxConnections: 2 }, 'c']));
    expect((await added).server.id).toBe('c');
  });

  it('refuse those who wait when the last server goes down, and when the upstream goes', async () => {
    const pool = poolOf([limited[0]!]);
    pool.take();
    const waiting = pool.wait({}, never);
    pool.checked('a', 'refused', counts);
    await expect(waiting).rejects.toMatchObject({ code: 'UPSTREAM_UNAVAILABLE' });
    pool.checked('a', undefined, counts);
    const closing = pool.wait({}, never);
    pool.close();
    await expect(closing).rejects.toThrow('upstream chat was taken out of the configuration');
  });

  it('let one who sticks to a server wait for it, without holding others up', async () => {
    const pool = poolOf([limited[0]!, 'b']);
    const held = pool.take({ server: 'a' })!;
    expect(pool.take({ server: 'a' })).toBeUndefined();
    const sticking = pool.wait({ server: 'a' }, never);
    expect(pool.take()!.server.id).toBe('b');
    held.release();
    expect((await sticking).server.id).toBe('a');
  });
});

describe('another server after a failure', () => {
  it('is one that was not tried yet, up to `retries`; the failed lease is released', () => {
    const pool = poolOf(['a', 'b', 'c', 'd']);
    const tried: string[] = [];
    let lease: Lease<string> | undefined = pool.take();
    for (; lease !== undefined; lease = pool.another(lease)) tried.push(lease.server.id);
    expect(tried).toEqual(['a', 'b', 'c']);
    expect(loads(pool)).toEqual({ a: 0, b: 0, c: 0, d: 0 });
  });

  it('is none when every other is full or down', () => {
    const pool = poolOf(['a', { id: 'b', maxConnections: 1 }, 'c']);
    pool.checked('c', 'refused', counts);
    pool.take({ server: 'b' });
    expect(pool.another(pool.take({ server: 'a' })!)).toBeUndefined();
  });

  it('is paid for from the budget', () => {
    const pool = poolOf(['a', 'b'], { retryBudget: { share: 0.2, minPerSecond: 0 } });
    const retries = Array.from({ length: 10 }, () => {
      const next = pool.another(pool.take()!);
      next?.release();
      return next !== undefined;
    });
    expect(retries.filter(Boolean)).toHaveLength(2);
  });
});

describe('a client that sticks to a server', () => {
  it('gets it, whoever’s turn it is', () => {
    const pool = poolOf(['a', 'b', 'c']);
    for (let i = 0; i < 5; i++) expect(pool.take({ server: 'b' })!.server.id).toBe('b');
  });

  it('is moved when it has gone or is down', () => {
    const pool = poolOf(['a', 'b']);
    expect(pool.take({ server: 'z' })!.server.id).toBe('a');
    pool.checked('a', 'refused', counts);
    expect(pool.take({ server: 'a' })!.server.id).toBe('b');
  });

  it('is refused instead, if that is the setting, and not tried elsewhere', () => {
    const pool = poolOf(['a', 'b', 'c'], { whenGone: 'refuse', ejection: { ...ejection, maxShare: 1 } });
    const lease = pool.take({ server: 'a' })!;
    lease.failed(refused);
    expect(pool.another(lease)).toBeUndefined();
    // Ejected is only a suspicion, and nobody else knows the client.
    expect(pool.take({ server: 'a' })!.server.id).toBe('a');
    pool.checked('a', 'HTTP 500', counts);
    expect(failure(() => pool.take({ server: 'a' }))).toEqual([
      'UPSTREAM_SERVER_GONE',
      'upstream chat: a, which the client sticks to, is down: HTTP 500',
    ]);
    expect(failure(() => pool.take({ server: 'z' }))).toEqual([
      'UPSTREAM_SERVER_GONE',
      'upstream chat: the server that the client sticks to has left',
    ]);
  });
});

describe('health', () => {
  it('passes over servers that are down, and tells of changes', () => {
    const pool = poolOf(['a', 'b']);
    pool.checked('a', 'refused', counts);
    expect(take(pool, 4)).toEqual({ a: 0, b: 4 });
    pool.checked('a', undefined, counts);
    pool.checked('nobody', 'refused', counts);
    expect(events).toEqual(['open a', 'open b', 'a is down: refused', 'a is up: the check passed']);
  });

  it('refuses when all are down, or tries them by choice', () => {
    const pool = poolOf(['a', 'b']);
    for (const id of ['a', 'b']) pool.checked(id, 'refused', counts);
    expect(failure(() => pool.take())).toEqual([
      'UPSTREAM_UNAVAILABLE',
      'upstream chat has no server that is up; a is down: refused; and 1 more',
    ]);
    pool.update({ ...plan, whenAllDown: 'try' }, servers(['a', 'b']));
    expect(take(pool, 4)).toEqual({ a: 2, b: 2 });
  });

  it('ejects a server whose clients fail, but not more than the share', () => {
    const pool = poolOf(['a', 'b', 'c'], { ejection });
    for (const id of ['a', 'b']) pool.take({ server: id })!.failed(refused);
    expect([...pool.servers].map(({ health }) => health.status)).toEqual(['ejected', 'up', 'up']);
    const before = loads(pool);
    take(pool, 4);
    expect(loads(pool)).toEqual({ a: before.a, b: before.b! + 2, c: before.c! + 2 });
    clock.advance(1000);
    expect([...pool.servers].map(({ health }) => health.status)).toEqual(['up', 'up', 'up']);
    expect(clock.pending).toBe(0);
  });

  it('never ejects the only server', () => {
    const pool = poolOf(['a'], { ejection });
    for (let i = 0; i < 9; i++) pool.take()!.failed(refused);
    expect([...pool.servers][0]!.health.status).toBe('up');
  });

  it('asks the ejected when nobody else is left', () => {
    const pool = poolOf(['a', 'b'], { ejection });
    pool.take({ server: 'a' })!.failed(refused);
    pool.checked('b', 'refused', counts);
    expect(pool.take()!.server.id).toBe('a');
  });

  it.each([
    ['the client’s fault', new ProxyError('CLIENT_GONE', 'gone')],
    ['a fault of ours', new TypeError('oops')],
  ])('does not count %s', (_, error) => {
    const pool = poolOf(['a', 'b'], { ejection });
    pool.take()!.failed(error);
    expect([...pool.servers].map(({ health }) => health.status)).toEqual(['up', 'up']);
  });

  it('counts failures from the last success on', () => {
    const pool = poolOf(['a', 'b'], { ejection: { ...ejection, failures: 2 } });
    const lease = pool.take({ server: 'a' })!;
    lease.failed(refused);
    lease.succeeded();
    lease.failed(refused);
    expect(lease.server.health.status).toBe('up');
    lease.failed(refused);
    expect(lease.server.health.status).toBe('ejected');
  });
});

describe('slow start', () => {
  it('gives a newcomer and a server that came up a growing share, those of the start all of it', () => {
    const pool = poolOf(['a'], { slowStartMs: 10_000 });
    const [a] = pool.servers;
    expect(a!.share).toBe(1);
    pool.update({ ...plan, slowStartMs: 10_000 }, servers(['a', 'b']));
    const b = [...pool.servers][1]!;
    expect([a!.share, b.share]).toEqual([1, 0.1]);
    clock.advance(5000);
    expect(b.share).toBe(0.5);
    expect(take(pool, 9)).toEqual({ a: 6, b: 3 });
    clock.advance(5000);
    expect(b.share).toBe(1);
    pool.checked('a', 'refused', counts);
    pool.checked('a', undefined, counts);
    expect(a!.share).toBe(0.1);
    expect(clock.pending).toBe(0);
  });
});

describe('another list of servers', () => {
  it('keeps load, health and what belongs to a server that stays', () => {
    const pool = poolOf(['a', 'b'], { balance: 'least-connections' });
    pool.take({ server: 'a' });
    pool.take({ server: 'a' });
    pool.checked('b', 'refused', counts);
    const [a, b] = pool.servers;
    pool.update({ ...plan, balance: 'least-connections' }, servers(['b', { id: 'a', weight: 3 }, 'c']));
    expect(loads(pool)).toEqual({ a: 2, b: 0, c: 0 });
    expect([...pool.servers].slice(0, 2)).toEqual([a, b]);
    expect(a!.weight).toBe(3);
    expect(b!.health.status).toBe('down');
    // The newcomer gets its part because the live tunnels are not forgotten.
    pool.update({ ...plan, balance: 'least-connections' }, servers(['a', 'c']));
    expect([pool.take()!.server.id, pool.take()!.server.id]).toEqual(['c', 'c']);
  });

  it('gives a server that leaves nothing new, and closes it after its last lease', () => {
    const pool = poolOf(['a', 'b']);
    const [first, second] = [pool.take({ server: 'a' })!, pool.take({ server: 'a' })!];
    pool.update(plan, servers(['b']));
    expect(take(pool, 3)).toEqual({ a: 2, b: 3 });
    expect(pool.take({ server: 'a' })!.server.id).toBe('b');
    first.release();
    expect(events).toEqual(['open a', 'open b', 'a leaves']);
    second.release();
    expect(events.at(-1)).toBe('close a');
    expect(Object.keys(loads(pool))).toEqual(['b']);
  });

  it('takes a server back that left with leases, and closes it only once', () => {
    const pool = poolOf(['a', 'b']);
    const lease = pool.take({ server: 'a' })!;
    pool.update(plan, servers(['b']));
    pool.update(plan, servers(['a', 'b']));
    expect(loads(pool)).toEqual({ a: 1, b: 0 });
    lease.release();
    expect(pool.take({ server: 'a' })!.server).toBe(lease.server);
    expect(events).toEqual(['open a', 'open b', 'a leaves']);
  });

  it('ends ejections that are no longer wanted, and leaves no timer of a server that left', () => {
    const pool = poolOf(['a', 'b', 'c'], { ejection });
    const lease = pool.take({ server: 'a' })!;
    lease.failed(refused);
    pool.update(plan, servers(['a', 'b', 'c']));
    expect(lease.server.health.status).toBe('up');
    pool.update({ ...plan, ejection }, servers(['a', 'b', 'c']));
    lease.failed(refused);
    expect(clock.pending).toBe(1);
    pool.update({ ...plan, ejection }, servers(['b', 'c']));
    expect(clock.pending).toBe(0);
  });

  it('closes everything that has no lease', () => {
    const pool = poolOf(['a', 'b']);
    const lease = pool.take()!;
    pool.close();
    expect(events.slice(2)).toEqual(['a leaves', 'b leaves', 'close b']);
    lease.release();
    expect(events.at(-1)).toBe('close a');
    expect(failure(() => pool.take())[0]).toBe('UPSTREAM_UNAVAILABLE');
  });
});

type Written = string | Partial<PooledServerPlan>;

function poolOf(written: readonly Written[], settings: Partial<PoolPlan> = {}): Pool<string> {
  const options: PoolOptions<string> = {
    deps: { clock, random: seededRandom(1) },
    open: ({ id }) => {
      events.push(`open ${id}`);
      return id;
    },
    close: (id) => events.push(`close ${id}`),
    onChange: ({ id, health }) => events.push(`${id} is ${health.status}: ${health.reason}`),
    onLeave: ({ id }) => events.push(`${id} leaves`),
  };
  return new Pool({ ...plan, ...settings }, servers(written), options);
}

function servers(written: readonly Written[]): PooledServerPlan[] {
  return written.map((one) => {
    const given = typeof one === 'string' ? { id: one } : one;
    const id = given.id!;
    const address = { host: '127.0.0.1', port: 1 };
    return { id, address, secure: false, host: id, weight: 1, maxConnections: 0, ...given };
  });
}

function loads(pool: Pool<string>): Record<string, number> {
  return Object.fromEntries([...pool.servers].map(({ id, load }) => [id, load]));
}

function take(pool: Pool<string>, count: number): Record<string, number> {
  for (let i = 0; i < count; i++) pool.take();
  return loads(pool);
}

function failure(run: () => unknown): [string, string] {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof ProxyError) return [thrown.code, thrown.message];
    throw thrown;
  }
  throw new Error('nothing was thrown');
}
