import { describe, expect, it, test } from 'vitest';
import { ManualClock } from '../base/manual-clock.js';
import type { Limits } from '../config/limits.js';
import { addressKey } from './address-key.js';
import { Admission } from './admission.js';
import { RateLimiter } from './rate-limiter.js';

const NONE: Limits = { connections: 0, connectionsPerAddress: 0, handshakesPerSecondPerAddress: 0 };

function admission(limits: { all?: Partial<Limits>; listener?: Partial<Limits>; route?: Partial<Limits> }) {
  const clock = new ManualClock();
  const plan = {
    limits: { ...NONE, ...limits.all },
    listeners: [{ id: 'l', limits: { ...NONE, ...limits.listener } }],
    routes: [
      { id: 'r', limits: { ...NONE, ...limits.route } },
      { id: 'other', limits: NONE },
    ],
  };
  const policy = new Admission(plan, clock);
  const admit = (address = '192.0.2.1', route = 'r') => policy.admit({ listener: 'l', route, address });
  return { clock, admit };
}

const code = (result: ReturnType<Admission['admit']>) =>
  result.kind === 'refused' ? result.error.code : 'admitted';
const release = (result: ReturnType<Admission['admit']>) => {
  if (result.kind === 'admitted') result.release();
};

test.each(['all', 'listener', 'route'] as const)(
  'connections, %s: a place is free again when one goes',
  (scope) => {
    const { admit } = admission({ [scope]: { connections: 2 } });
    const [one, two] = [admit('192.0.2.1'), admit('192.0.2.2')];
    expect([one, two, admit('192.0.2.3')].map(code)).toEqual([
      'admitted',
      'admitted',
      'CONNECTIONS_EXCEEDED',
    ]);
    release(one);
    release(one);
    expect([admit(), admit()].map(code)).toEqual(['admitted', 'CONNECTIONS_EXCEEDED']);
  },
);

test('a route’s limit is not another’s', () => {
  const { admit } = admission({ route: { connections: 1 } });
  expect([admit(), admit(), admit('192.0.2.1', 'other')].map(code)).toEqual([
    'admitted',
    'CONNECTIONS_EXCEEDED',
    'admitted',
  ]);
});

test('what one limit refuses counts under none', () => {
  const { admit } = admission({ all: { connections: 3 }, route: { connectionsPerAddress: 1 } });
  expect(code(admit())).toBe('admitted');
  for (let i = 0; i < 10; i++) expect(code(admit())).toBe('CONNECTIONS_PER_ADDRESS_EXCEEDED');
  expect([admit('192.0.2.2'), admit('192.0.2.3'), admit('192.0.2.4')].map(code)).toEqual([
    'admitted',
    'admitted',
    'CONNECTIONS_EXCEEDED',
  ]);
});

test('handshakes each second: a burst of one second’s worth, then an even rate, and when to come again', () => {
  const { admit, clock } = admission({ all: { handshakesPerSecondPerAddress: 2 } });
  expect([admit(), admit()].map(code)).toEqual(['admitted', 'admitted']);
  expect(admit()).toMatchObject({ kind: 'refused', error: { status: 429 }, retryAfterS: 1 });
  expect(code(admit('192.0.2.2'))).toBe('admitted');
  clock.advance(500);
  expect([admit(), admit()].map(code)).toEqual(['admitted', 'HANDSHAKE_RATE_EXCEEDED']);
  clock.advance(60_000);
  expect([admit(), admit(), admit()].map(code)).toEqual(['admitted', 'admitted', 'HANDSHAKE_RATE_EXCEEDED']);
});

test('less than one a second', () => {
  const { admit, clock } = admission({ all: { handshakesPerSecondPerAddress: 0.1 } });
  expect(code(admit())).toBe('admitted');
  clock.advance(4000);
  expect(admit()).toMatchObject({ kind: 'refused', retryAfterS: 6 });
  clock.advance(6000);
  expect(code(admit())).toBe('admitted');
});

test('a crowd of addresses takes a bounded memory, and who is quiet is forgotten', () => {
  const limiter = new RateLimiter(1, 100);
  for (let i = 0; i < 1000; i++) limiter.take(`10.0.${i >> 8}.${i & 255}`, i);
  expect(limiter.size).toBe(100);
  expect(limiter.waitMs('10.0.3.231', 999)).toBeGreaterThan(0);
  limiter.take('192.0.2.1', 5000);
  expect(limiter.size).toBe(1);
});

describe('who is one client', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::1', '2001:db8:1:2::/64'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['unix', 'unix'],
    ['x'.repeat(1000), 'x'.repeat(64)],
  ])('%s is %s', (address, key) => {
    expect(addressKey(address)).toBe(key);
  });
});
