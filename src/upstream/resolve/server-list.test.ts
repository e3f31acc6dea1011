import { beforeEach, describe, expect, it } from 'vitest';
import { seededRandom } from '../../../test/fixtures/random.js';
import { ManualClock } from '../../base/manual-clock.js';
import type { PooledServerPlan } from '../plan.js';
import type { Names, Service } from './names.js';
import { defaultResolve, type ResolvePlan } from './plan.js';
import { ServerList } from './server-list.js';

const plan: ResolvePlan = { ...defaultResolve, minTtlMs: 1000, maxTtlMs: 60_000 };

let clock: ManualClock;
/** What names lead to now; a name without an entry cannot be resolved. */
let addresses: Record<string, string[]>;
let services: Record<string, Service[]>;
let ttlMs: number | undefined;
let asked: string[];
let changes: number;
let failures: string[];

const names: Names = {
  async addresses(name) {
    asked.push(name);
    const found = addresses[name];
    if (found === undefined) throw new Error(`queryA ENOTFOUND ${name}`);
    return { addresses: found, ttlMs };
  },
  async services(name) {
    asked.push(name);
    const found = services[name];
    if (found === undefined) throw new Error(`querySrv ENOTFOUND ${name}`);
    return found;
  },
};

beforeEach(() => {
  clock = new ManualClock();
  addresses = { chat: ['10.0.0.2', '10.0.0.1'] };
  services = {};
  ttlMs = 30_000;
  asked = [];
  changes = 0;
  failures = [];
});

describe('a name', () => {
  it('is the server itself until there is an answer, then each address is one', async () => {
    const list = listOf([server('chat')]);
    expect(ids(list)).toEqual(['http://chat:3000']);
    await turn();
    expect(list.current).toEqual([
      { ...server('chat'), id: 'http://chat:3000#10.0.0.1', address: at('10.0.0.1'), tlsName: 'chat' },
      { ...server('chat'), id: 'http://chat:3000#10.0.0.2', address: at('10.0.0.2'), tlsName: 'chat' },
    ]);
    expect(changes).toBe(1);
  });

  it('is asked for again when its TTL is over; only another set is told on', async () => {
    const list = listOf([server('chat')]);
    await turn();
    addresses['chat'] = ['10.0.0.1', '10.0.0.2'];
    await pass(29_999);
    expect(asked).toHaveLength(1);
    await pass(1);
    expect(asked).toHaveLength(2);
    expect(changes).toBe(1);
    addresses['chat'] = ['10.0.0.1', 'fd00::7'];
    await pass(30_000);
    expect(changes).toBe(2);
    expect(ids(list)).toEqual(['http://chat:3000#10.0.0.1', 'http://chat:3000#[fd00::7]']);
  });

  it.each([
    [0, 1000],
    [undefined, 1000],
    [3_600_000, 60_000],
  ])('with a TTL of %s is asked for after %d ms', async (ttl, ms) => {
    ttlMs = ttl;
    listOf([server('chat')]);
    await turn();
    await pass(ms - 1);
    expect(asked).toHaveLength(1);
    await pass(1);
    expect(asked).toHaveLength(2);
  });

  it('keeps its last addresses when it cannot be resolved, and is asked for ever more rarely', async () => {
    const list = listOf([server('chat')]);
    await turn();
    delete addresses['chat'];
    await pass(30_000);
    expect(failures).toEqual(['http://chat:3000: queryA ENOTFOUND chat']);
    const times: number[] = [];
    for (const until = clock.now() + 130_000; clock.now() < until; await pass(500)) {
      if (asked.length > times.length + 2) times.push(clock.now() - 30_000);
    }
    expect(times).toEqual([1000, 3000, 7000, 15_000, 31_000, 63_000, 123_000]);
    expect(ids(list)).toHaveLength(2);
    addresses['chat'] = ['10.0.0.9'];
    await pass(60_000);
    expect(ids(list)).toEqual(['http://chat:3000#10.0.0.9']);
    addresses['chat'] = ['10.0.0.8'];
    await pass(30_000);
    expect(ids(list)).toEqual(['http://chat:3000#10.0.0.8']);
    // The next failure begins with a short pause again.
    delete addresses['chat'];
    await pass(30_000);
    const count = asked.length;
    await pass(1000);
    expect(asked).toHaveLength(count + 1);
  });
});

describe('a service', () => {
  const service = { priority: 1, weight: 5, port: 3001, name: 'one' };

  it.each([server('_ws._tcp.chat'), server('live', { srv: true })])(
    '$id is looked up without being told to, lowest priority first, with its ports and weights',
    async (named) => {
      const host = 'host' in named.address ? named.address.host : '';
      addresses = { one: ['10.0.0.1', '10.0.0.2'], two: ['10.0.0.3'], spare: ['10.0.0.9'] };
      services[host] = [
        service,
        { priority: 1, weight: 0, port: 3002, name: 'two' },
        { priority: 2, weight: 0, port: 3003, name: 'spare' },
      ];
      const list = listOf([{ ...named, weight: 2 }], 'none');
      expect(ids(list)).toEqual([]);
      await turn();
      expect(list.current.map(({ id, address, weight }) => [id, address, weight])).toEqual([
        [`${named.id}#10.0.0.1:3001`, at('10.0.0.1', 3001), 10],
        [`${named.id}#10.0.0.2:3001`, at('10.0.0.2', 3001), 10],
        [`${named.id}#10.0.0.3:3002`, at('10.0.0.3', 3002), 2],
      ]);
    },
  );

  it('keeps all it had when one of its names cannot be resolved', async () => {
    addresses = { one: ['10.0.0.1'], two: ['10.0.0.2'] };
    services['_ws._tcp.chat'] = [service, { ...service, name: 'two' }];
    const list = listOf([server('_ws._tcp.chat')]);
    await turn();
    delete addresses['two'];
    await pass(30_000);
    expect(failures).toHaveLength(1);
    expect(ids(list)).toHaveLength(2);
  });
});

describe('a list', () => {
  it('leaves addresses and sockets alone, and names too unless told otherwise: no timer', async () => {
    const servers = [
      server('10.0.0.1'),
      { ...server('x'), id: 'unix:/x', address: { socketPath: '/x' } },
      server('chat'),
    ];
    const list = listOf(servers, 'none');
    await turn();
    expect(list.current).toEqual(servers);
    expect(asked).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('keeps the answers of names that stay, and stops asking for those that go', async () => {
    addresses['live'] = ['10.0.0.7'];
    const list = listOf([server('chat')]);
    await turn();
    list.update([server('live'), server('chat')], plan);
    expect(ids(list)).toEqual(['http://live:3000', 'http://chat:3000#10.0.0.1', 'http://chat:3000#10.0.0.2']);
    await turn();
    expect(asked).toEqual(['chat', 'live']);
    list.update([server('live')], plan);
    expect(clock.pending).toBe(1);
    list.update([server('live')], { ...plan, maxTtlMs: 2000 });
    await turn();
    expect(asked).toEqual(['chat', 'live', 'live']);
    list.close();
    expect(clock.pending).toBe(0);
  });

  it('takes no notice of an answer that comes after its end', async () => {
    const list = listOf([server('chat')]);
    list.close();
    await turn();
    expect(changes).toBe(0);
    expect(clock.pending).toBe(0);
  });
});

/** `none`: names are left to each dial. */
function listOf(servers: readonly PooledServerPlan[], resolve: ResolvePlan | 'none' = plan): ServerList {
  return new ServerList(servers, resolve === 'none' ? undefined : resolve, {
    deps: { clock, random: seededRandom(1) },
    names,
    onChange: () => changes++,
    onFailure: (detail) => failures.push(detail),
  });
}

function server(host: string, more: Partial<PooledServerPlan> = {}): PooledServerPlan {
  const id = `http://${host}:3000`;
  return { id, address: at(host), secure: false, host, weight: 1, maxConnections: 0, ...more };
}

function at(host: string, port = 3000): { host: string; port: number } {
  return { host, port };
}

function ids(list: ServerList): string[] {
  return list.current.map(({ id }) => id);
}

async function pass(ms: number): Promise<void> {
  clock.advance(ms);
  await turn();
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
