import { expect, test } from 'vitest';
import { ManualClock } from '../base/manual-clock.js';
import { loadNative } from '../relay/native-binding.js';
import { chooseEngine } from './engine.js';

const clock = new ManualClock();
const none = () => ({ reason: 'it was not built' });

test.each(['auto', 'native'] as const)('%s without the addon: the stream engine, and why', (relay) => {
  const { engine, missing } = chooseEngine({ relay, relayThreads: 1 }, clock, none);
  expect(engine.name).toBe('stream');
  expect(missing).toBe('it was not built');
});

test('stream is what was asked for: nothing is missing, and nothing is loaded', () => {
  const load = () => {
    throw new Error('loaded');
  };
  const { engine, missing } = chooseEngine({ relay: 'stream', relayThreads: 1 }, clock, load);
  expect(engine.name).toBe('stream');
  expect(missing).toBeUndefined();
});

test.skipIf('reason' in loadNative())('auto with the addon: the native engine', () => {
  const { engine, missing, close } = chooseEngine({ relay: 'auto', relayThreads: 2 }, clock);
  expect(engine.name).toBe('native');
  expect(missing).toBeUndefined();
  close();
});
