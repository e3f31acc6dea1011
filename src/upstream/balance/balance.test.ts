import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../test/fixtures/random.js';
import { type Balance, makeBalancer } from './balancer.js';
import { hashText } from './consistent-hash.js';
import type { Balanced } from './types.js';

const balances: Balance[] = ['round-robin', 'least-connections', 'random-two', 'hash'];

describe.each(balances)('%s', (balance) => {
  const balancer = makeBalancer(balance, seededRandom(1));

  it('takes none of none, and the one of one', () => {
    expect(balancer.pick([], 'key')).toBeUndefined();
    const one = server('a', { load: 5 });
    expect(balancer.pick([one], 'key')).toBe(one);
    expect(balancer.pick([one], undefined)).toBe(one);
  });

  it('heeds weights', () => {
    // Nobody leaves: the loads end up in the proportion of the weights too.
    const servers = [server('a', { weight: 1 }), server('b', { weight: 2 }), server('c', { weight: 5 })];
    for (let i = 0; i < 8000; i++) balancer.pick(servers, `key ${i}`)!.load++;
    // Two draws and the better of both flatten the weights a little.
    const tolerance = balance === 'random-two' ? 150 : balance === 'hash' ? 200 : 2;
    expect(Math.abs(servers[0]!.load - 1000)).toBeLessThan(tolerance);
    expect(Math.abs(servers[1]!.load - 2000)).toBeLessThan(tolerance);
    expect(Math.abs(servers[2]!.load - 5000)).toBeLessThan(tolerance);
  });

  it('gives a server that starts slowly its share and no more', () => {
    const servers = [server('a', { load: 100 }), server('b', { load: 100 }), server('new', { share: 0.1 })];
    for (let i = 0; i < 1000; i++) balancer.pick(servers, `key ${i}`)!.load++;
    expect(servers[2]!.load).toBeGreaterThan(20);
    expect(servers[2]!.load).toBeLessThan(160);
  });

  it('names somebody else when the first is left out', () => {
    const servers = ['a', 'b', 'c'].map((id) => server(id));
    const first = balancer.pick(servers, 'key')!;
    const second = balancer.pick(
      servers.filter((one) => one !== first),
      'key',
    )!;
    expect(second).not.toBe(first);
  });
});

describe('round-robin', () => {
  it('is smooth, as nginx has it', () => {
    const balancer = makeBalancer('round-robin', seededRandom(1));
    const servers = [server('a', { weight: 5 }), server('b'), server('c')];
    const order = Array.from({ length: 14 }, () => balancer.pick(servers, undefined)!.id).join('');
    expect(order).toBe('aabacaaaabacaa');
  });

  it('takes equal servers in turn', () => {
    const balancer = makeBalancer('round-robin', seededRandom(1));
    const servers = ['a', 'b', 'c'].map((id) => server(id));
    expect(Array.from({ length: 7 }, () => balancer.pick(servers, undefined)!.id).join('')).toBe('abcabca');
  });
});

describe('least-connections', () => {
  it('takes the emptiest, and equals in turn', () => {
    const balancer = makeBalancer('least-connections', seededRandom(1));
    const servers = [server('a', { load: 3 }), server('b', { load: 1 }), server('c', { load: 2 })];
    expect(balancer.pick(servers, undefined)!.id).toBe('b');
    const idle = ['a', 'b', 'c'].map((id) => server(id));
    expect(new Set([1, 2, 3].map(() => balancer.pick(idle, undefined)!.id)).size).toBe(3);
  });

  it('takes the strong first among the idle, and does not flood one that starts slowly', () => {
    const balancer = makeBalancer('least-connections', seededRandom(1));
    const idle = [server('a'), server('b'), server('c', { weight: 3 })];
    expect(balancer.pick(idle, undefined)!.id).toBe('c');
    const starting = [server('a', { load: 5 }), server('b', { load: 5 }), server('new', { share: 0.1 })];
    expect(balancer.pick(starting, undefined)!.id).not.toBe('new');
  });

  it('sees a double weight as half the load', () => {
    const balancer = makeBalancer('least-connections', seededRandom(1));
    const servers = [server('a', { load: 9, weight: 2 }), server('b', { load: 5 })];
    expect(balancer.pick(servers, undefined)!.id).toBe('a');
  });
});

describe('random-two', () => {
  it('never takes the fullest of three', () => {
    const balancer = makeBalancer('random-two', seededRandom(1));
    const servers = [server('a', { load: 1 }), server('b', { load: 2 }), server('c', { load: 9 })];
    const picked = Array.from({ length: 300 }, () => balancer.pick(servers, undefined)!.id);
    expect(picked).not.toContain('c');
    expect(new Set(picked)).toEqual(new Set(['a', 'b']));
  });
});

describe('hash', () => {
  const balancer = makeBalancer('hash', seededRandom(1));
  const keys = Array.from({ length: 4000 }, (_, i) => `10.${i >> 8}.${i & 255}.7`);

  it('is the same whatever the order of the servers, their load, and for every instance', () => {
    const servers = ['a', 'b', 'c', 'd'].map((id) => server(id));
    const other = [...servers].reverse().map(({ id }) => server(id, { load: 7 }));
    const otherBalancer = makeBalancer('hash', seededRandom(2));
    for (const key of keys.slice(0, 200)) {
      expect(otherBalancer.pick(other, key)!.id).toBe(balancer.pick(servers, key)!.id);
    }
  });

  it('moves about 1/n of the keys when one of n comes, all of them to it; and back when it goes', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.webUrl(), { minLength: 2, maxLength: 12 }), (ids) => {
        const servers = ids.map((id) => server(id));
        const before = servers.slice(1);
        const newcomer = servers[0]!;
        let moved = 0;
        for (const key of keys) {
          const then = balancer.pick(before, key)!;
          const now = balancer.pick(servers, key)!;
          if (now === then) continue;
          expect(now).toBe(newcomer);
          moved++;
        }
        const fair = keys.length / servers.length;
        // Six standard deviations of a fair draw.
        const deviation = Math.sqrt(fair * (1 - 1 / servers.length));
        expect(Math.abs(moved - fair)).toBeLessThan(6 * deviation);
      }),
      { numRuns: 25 },
    );
  });

  it('moves keys only to a server whose weight grows', () => {
    const light = [server('a'), server('b'), server('c')];
    const heavy = [server('a', { weight: 3 }), server('b'), server('c')];
    for (const key of keys) {
      const [then, now] = [balancer.pick(light, key)!.id, balancer.pick(heavy, key)!.id];
      if (now !== then) expect(now).toBe('a');
    }
  });

  it('spreads the clients of a lost server over all others', () => {
    const servers = ['a', 'b', 'c', 'd'].map((id) => server(id));
    const lost = servers[0]!;
    const heirs = new Map<string, number>();
    for (const key of keys.filter((one) => balancer.pick(servers, one) === lost)) {
      const heir = balancer.pick(servers.slice(1), key)!.id;
      heirs.set(heir, (heirs.get(heir) ?? 0) + 1);
    }
    expect([...heirs.keys()].sort()).toEqual(['b', 'c', 'd']);
    for (const count of heirs.values()) expect(count).toBeGreaterThan(200);
  });

  it('takes servers in turn without a key', () => {
    const servers = ['a', 'b'].map((id) => server(id));
    expect([1, 2, 3, 4].map(() => balancer.pick(servers, undefined)!.id).join('')).toBe('abab');
  });
});

type Given = Partial<Pick<Balanced, 'weight' | 'load' | 'share'>>;
type Adjustable = { -readonly [K in keyof Balanced]: Balanced[K] };

function server(id: string, { weight = 1, load = 0, share = 1 }: Given = {}): Adjustable {
  return { id, seed: hashText(id), weight, load, share, turn: 0 };
}
