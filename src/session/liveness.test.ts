import { expect, it, test } from 'vitest';
import { ManualClock } from '../base/manual-clock.js';
import { systemRandom } from '../base/system.js';
import type { Carried, Relay, RelayEnd } from '../relay/types.js';
import type { RoutePlan, WebSocketPlan } from '../route/plan.js';
import { drawAge, Liveness } from './liveness.js';
import { Registry } from './registry.js';

it.each([
  [1000, 0.5, 0, 1000],
  [1000, 0.5, 0.999, 500],
  [1000, 0, 0.9, 1000],
  [1000, 1, 0.9999, 1],
  [0, 0.5, 0.5, 0],
])('maxAge %d with jitter %d at chance %d: %d', (maxAgeMs, maxAgeJitter, random, age) => {
  expect(drawAge({ maxAgeMs, maxAgeJitter }, random)).toBe(age);
});

/** A session whose sides are silent since its beginning, unless the test says otherwise. */
function setUp(sides: readonly ('client' | 'upstream')[] = ['client']) {
  const clock = new ManualClock();
  const registry = new Registry();
  const did: string[] = [];
  const counters = () => ({
    bytes: 0,
    messages: 0,
    pongs: 0,
    heardAt: 0,
    closeCode: undefined,
    closeReason: undefined,
    blind: undefined,
  });
  const [client, upstream] = [counters(), counters()];
  const carried = (of: typeof client): Carried => ({
    ...of,
    silentMs: Math.floor((clock.now() - of.heardAt) / 1000) * 1000,
  });
  const relay: Relay = {
    get fromClient() {
      return carried(client);
    },
    get fromUpstream() {
      return carried(upstream);
    },
    firstClose: undefined,
    ended: new Promise<RelayEnd>(() => {}),
    whenEnded: () => {},
    cut: () => void did.push('cut'),
    inject: (towards, kind) => {
      did.push(`${kind} ${towards}`);
      return true;
    },
  };
  const info = { id: 'x', generation: 'rfc6455' } as Parameters<Registry['add']>[0]['info'];
  const session = registry.add({ info, relay, route: {} as RoutePlan });
  const plan = { ping: { intervalMs: 30_000, timeoutMs: 10_000, sides }, closeTimeoutMs: 5000 };
  const liveness = new Liveness({ clock, random: systemRandom });
  const stop = liveness.watch({ session, plan: plan as unknown as WebSocketPlan, hasPings: true, ageMs: 0 });
  return { clock, session, client, upstream, did, stop };
}

test('who speaks is never asked, who is silent once, and who answers is asked again an interval later', () => {
  const { clock, client, did, stop } = setUp();
  for (let i = 0; i < 10; i++) {
    clock.advance(20_000);
    client.bytes++;
    client.heardAt = clock.now();
  }
  expect(did).toEqual([]);
  clock.advance(35_000);
  expect(did).toEqual(['ping client']);
  client.bytes += 10;
  client.heardAt = clock.now();
  clock.advance(29_000);
  expect(did).toEqual(['ping client']);
  clock.advance(2000);
  expect(did).toEqual(['ping client', 'ping client']);
  stop();
  expect(clock.pending).toBe(0);
});

test('who does not answer is lost, and cut where the other side does not end it either', () => {
  const { clock, session, did } = setUp(['client', 'upstream']);
  clock.advance(39_000);
  expect(did).toEqual(['ping client', 'ping upstream']);
  clock.advance(2000);
  expect(did.slice(2)).toEqual(['close upstream']);
  expect(session.ownEnd).toEqual({ outcome: 'client-lost', detail: 'no answer to a ping within 10s' });
  clock.advance(10_000);
  expect(did.slice(3)).toEqual(['cut']);
});

test('while a long frame moves towards a side, its ping waits behind it, and its silence is no fault', () => {
  const { clock, upstream, did } = setUp();
  clock.advance(31_000);
  for (let i = 0; i < 100; i++) {
    upstream.bytes += 1000;
    clock.advance(1000);
  }
  expect(did).toEqual(['ping client']);
  // The frame has ended, the ping has gone: from here on the client is to answer, whatever else it is sent.
  upstream.messages++;
  for (let i = 0; i < 15; i++) {
    upstream.bytes += 1000;
    clock.advance(1000);
  }
  expect(did).toEqual(['ping client', 'close upstream']);
});

test('a frame that does not move any more is no excuse', () => {
  const { clock, upstream, did } = setUp();
  clock.advance(31_000);
  upstream.bytes += 1000;
  clock.advance(12_000);
  expect(did).toEqual(['ping client', 'close upstream']);
});
