import { expect, it } from 'vitest';
import { ManualClock } from '../../base/manual-clock.js';
import { Asking } from './asking.js';
import { answerAsk, decodeAsk, encodeAsk } from './wire.js';

function setUp() {
  const clock = new ManualClock();
  const asking = new Asking(clock, 1000);
  const sent: string[] = [];
  const ask = () => asking.ask('n2', async (number) => sent.push(number));
  return { clock, asking, sent, ask };
}

it('gives each question its own answer', async () => {
  const { asking, ask, sent, clock } = setUp();
  const [one, two] = [ask(), ask()];
  asking.answer(sent[1]!, 'second');
  asking.answer(sent[0]!, 'first');
  expect(await Promise.all([one, two])).toEqual(['first', 'second']);
  expect([asking.size, clock.pending]).toEqual([0, 0]);
});

it('rejects where the other refuses, or says nothing in time, or nothing can be sent', async () => {
  const { asking, ask, sent, clock } = setUp();
  const refused = ask();
  asking.refuse(sent[0]!, 'not today');
  await expect(refused).rejects.toThrow('not today');
  const late = ask();
  clock.advance(1000);
  await expect(late).rejects.toThrow('node n2 did not answer within 1000 ms');
  asking.answer(sent[1]!, 'too late');
  const unsent = asking.ask('n2', () => Promise.reject(new Error('no link')));
  await expect(unsent).rejects.toThrow('no link');
  expect([asking.size, clock.pending]).toEqual([0, 0]);
});

it('leaves nobody waiting at the end', async () => {
  const { asking, ask, clock } = setUp();
  const waiting = ask();
  asking.close();
  await expect(waiting).rejects.toThrow('the backplane is closed');
  expect(clock.pending).toBe(0);
});

it('carries questions as JSON, bytes too', async () => {
  const content = Buffer.from([0, 255]);
  const ask = { session: { id: 'n1.x', what: 'send', type: 'binary', content } } as const;
  const there = decodeAsk(JSON.parse(JSON.stringify(encodeAsk(ask))));
  expect(there).toEqual(ask);
  const handlers = { onAsk: async () => undefined, onQuery: async () => [1] };
  expect(await answerAsk(there, handlers)).toBeNull();
  expect(await answerAsk({ node: { what: 'x', of: {} } }, handlers)).toEqual([1]);
  expect(() => decodeAsk({ other: 1 })).toThrow('unknown kind');
});
