import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { serverOperations, upstreamOperations } from './upstream-operations.js';

const upstream = z.strictObject(upstreamOperations);
const server = z.strictObject(serverOperations);

describe('what is not written', () => {
  it('is round-robin, nobody sticks, nobody is checked, failing servers are ejected', () => {
    expect(upstream.parse({})).toEqual({
      balance: 'round-robin',
      hash: { kind: 'client-address' },
      sticky: undefined,
      slowStart: 0,
      queue: { size: 100, timeout: 5000 },
      retryBudget: { share: 0.2, minPerSecond: 10 },
      health: undefined,
      passiveHealth: { failures: 5, window: 10_000, time: 10_000, maxTime: 300_000, maxShare: 0.5 },
      onServerDown: 'keep',
      resolve: undefined,
    });
    expect(server.parse({})).toEqual({ weight: 1, maxConnections: 0, srv: false });
  });

  it('is not needed: `true` takes the defaults, `false` switches off', () => {
    const on = upstream.parse({ sticky: true, health: true, resolve: true });
    expect(on.sticky).toEqual({
      cookie: 'tidegate',
      key: undefined,
      path: '/',
      secure: 'auto',
      httpOnly: true,
      sameSite: 'lax',
      maxAge: 0,
      whenGone: 'move',
    });
    expect(on.health).toEqual({
      type: 'http',
      path: '/',
      statuses: [{ from: 200, to: 399 }],
      headers: {},
      interval: 5000,
      timeout: 2000,
      rise: 2,
      fall: 3,
      whenAllDown: 'refuse',
    });
    expect(on.resolve).toEqual({ family: 'auto', minTtl: 1000, maxTtl: 300_000, nameservers: [] });
    const off = {
      sticky: false,
      health: false,
      resolve: false,
      passiveHealth: false,
      retryBudget: false,
    } as const;
    expect(upstream.parse(off)).toMatchObject({ passiveHealth: undefined, retryBudget: undefined });
  });
});

describe('what is written', () => {
  it.each<[z.input<typeof upstream>, object]>([
    [{ hash: 'path' }, { hash: { kind: 'path' } }],
    [{ hash: { header: 'X-User' } }, { hash: { kind: 'header', name: 'X-User' } }],
    [{ hash: { cookie: 'sid' } }, { hash: { kind: 'cookie', name: 'sid' } }],
    [{ hash: { query: 'room id' } }, { hash: { kind: 'query', name: 'room id' } }],
    [{ sticky: { maxAge: '1d', secure: true } }, { sticky: { maxAge: 86_400_000, secure: true } }],
    [{ health: { statuses: 204 } }, { health: { statuses: [{ from: 204, to: 204 }] } }],
    [
      { health: { statuses: [200, '400-404'] } },
      {
        health: {
          statuses: [
            { from: 200, to: 200 },
            { from: 400, to: 404 },
          ],
        },
      },
    ],
    [
      { retryBudget: { share: '150%', minPerSecond: 0.5 } },
      { retryBudget: { share: 1.5, minPerSecond: 0.5 } },
    ],
    [{ resolve: { nameservers: '10.0.0.2' } }, { resolve: { nameservers: ['10.0.0.2'] } }],
    [
      { resolve: { nameservers: ['10.0.0.2:5353', '[fd00::1]:53', 'fd00::1'] } },
      { resolve: { nameservers: ['10.0.0.2:5353', '[fd00::1]:53', 'fd00::1'] } },
    ],
    [
      { slowStart: '10s', onServerDown: 'close' },
      { slowStart: 10_000, onServerDown: 'close' },
    ],
  ])('%j', (written, read) => {
    expect(upstream.parse(written)).toMatchObject(read);
  });

  it.each<[object, string]>([
    [{ balance: 'ip_hash' }, 'balance'],
    [{ hash: 'cookie' }, 'hash'],
    [{ hash: {} }, 'expected exactly one of header, cookie and query'],
    [{ hash: { header: 'a', cookie: 'b' } }, 'expected exactly one of header, cookie and query'],
    [{ hash: { header: 'X User' } }, 'expected the name of a header, found "X User"'],
    [{ sticky: { key: 'short' } }, 'expected a secret of 16 characters or more'],
    [{ sticky: { cookie: 'a b' } }, 'expected the name of a cookie'],
    [{ sticky: { path: 'a' } }, 'expected a path that begins with `/`'],
    [{ sticky: { path: '/; Domain=x' } }, 'expected a path that begins with `/`'],
    [
      { health: { statuses: '2xx' } },
      'expected a status from 200 to 599, or a range such as 200-299, found "2xx"',
    ],
    [{ health: { statuses: '300-200' } }, 'expected a status from 200 to 599'],
    [{ health: { statuses: 101 } }, 'expected a status from 200 to 599'],
    [{ health: { path: '/a b' } }, 'expected a path that begins with `/`'],
    [{ health: { headers: { 'X-A': 'a\r\nb' } } }, 'without control characters'],
    [{ health: { headers: { 'X A': 'a' } } }, 'X A'],
    [{ passiveHealth: { maxShare: '101%' } }, 'expected a percentage from 0% to 100%, found "101%"'],
    [{ passiveHealth: { maxShare: '50' } }, '"suggestion": "50%"'],
    [{ resolve: { nameservers: 'dns.test' } }, 'expected the address of a name server'],
    [{ resolve: { nameservers: '10.0.0.2:99999' } }, 'expected the address of a name server'],
    [{ queue: { length: 5 } }, 'length'],
  ])('is refused with a reason: %j', (written, reason) => {
    const error = upstream.safeParse(written).error;
    expect(error).toBeDefined();
    expect(JSON.stringify(error!.issues, undefined, 1).replaceAll('\\"', '"')).toContain(reason);
  });

  it('has its limits at servers too', () => {
    expect(server.parse({ weight: 0, maxConnections: 1000 })).toMatchObject({
      weight: 0,
      maxConnections: 1000,
    });
    for (const wrong of [{ weight: -1 }, { weight: 1.5 }, { maxConnections: -1 }, { srv: 'yes' }]) {
      expect(server.safeParse(wrong).success).toBe(false);
    }
  });
});

it('every key can be explained on the reference page', () => {
  const missing: string[] = [];
  const look = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return;
    const { properties, anyOf, items } = node as Record<string, unknown>;
    for (const [key, child] of Object.entries((properties as object | undefined) ?? {})) {
      if (typeof (child as { description?: unknown }).description !== 'string') missing.push(`${path}${key}`);
      look(child, `${path}${key}.`);
    }
    for (const option of (anyOf as unknown[] | undefined) ?? []) look(option, path);
    look(items, path);
  };
  look(z.toJSONSchema(upstream, { io: 'input' }), '');
  look(z.toJSONSchema(server, { io: 'input' }), 'servers[].');
  expect(missing).toEqual([]);
});
