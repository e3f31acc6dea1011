import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../base/manual-clock.js';
import { Asking } from './asking.js';
import { OtherNodes } from './other-nodes.js';
import { decodeAsk, encodeAsk, type Reply, replyTo } from './wire.js';

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
  asking.settle(sent[1]!, { answer: 'second' });
  asking.settle(sent[0]!, { answer: 'first' });
  expect(await Promise.all([one, two])).toEqual([{ answer: 'first' }, { answer: 'second' }]);
  expect([asking.size, clock.pending]).toEqual([0, 0]);
});

it('rejects where the other says nothing in time, or nothing can be sent', async () => {
  const { asking, ask, sent, clock } = setUp();
  const late = ask();
  clock.advance(1000);
  await expect(late).rejects.toThrow('node n2 did not answer within 1000 ms');
  asking.settle(sent[0]!, { answer: 'too late' });
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
});

it('replies to every question, if only by what is amiss', async () => {
  const handlers = { onAsk: async () => undefined, onQuery: async () => [1] };
  const session = { id: 'n1.x', what: 'info' };
  expect(await replyTo({ session }, handlers)).toEqual({ answer: null });
  expect(await replyTo({ node: { what: 'x', of: {} } }, handlers)).toEqual({ answer: [1] });
  expect(await replyTo({ other: 1 }, handlers)).toEqual({ problem: 'a question of an unknown kind' });
  const failing = { ...handlers, onQuery: () => Promise.reject(new Error('not today')) };
  expect(await replyTo({ node: { what: 'x', of: {} } }, failing)).toEqual({ problem: 'not today' });
});

describe('another node', () => {
  const others = (reply: Reply | undefined) => new OtherNodes(async () => reply);
  const info = { id: 'n2.x', what: 'info' } as const;
  const question = { what: 'x', of: {} };

  it('is not asked where its name cannot be one', async () => {
    const asked: string[] = [];
    const nodes = new OtherNodes(async (node) => void asked.push(node));
    expect(await nodes.ask({ id: 'no node.x', what: 'info' })).toBeUndefined();
    expect(await nodes.ask(info)).toBeUndefined();
    expect(asked).toEqual(['n2']);
  });

  it('that is not there knows no session, and is no answer to a question of its own', async () => {
    expect(await others(undefined).ask(info)).toBeUndefined();
    await expect(others(undefined).query('n2', question)).rejects.toThrow('there is no node n2');
  });

  it('may have nothing to say', async () => {
    expect(await others({ answer: null }).ask(info)).toBeUndefined();
    expect(await others({ answer: null }).query('n2', question)).toBeUndefined();
  });

  it('that refuses says why', async () => {
    await expect(others({ problem: 'not today' }).ask(info)).rejects.toThrow('not today');
    await expect(others({ problem: 'not today' }).query('n2', question)).rejects.toThrow('not today');
  });
});
