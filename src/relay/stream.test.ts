import { describe } from 'vitest';
import { relaySuite } from '../../test/suites/relay-suite.js';
import { ManualClock } from '../base/manual-clock.js';
import { StreamEngine } from './stream.js';

describe('the stream engine', () => {
  relaySuite(() => {
    const clock = new ManualClock();
    return {
      name: 'stream',
      engine: new StreamEngine(clock),
      passTime: async (ms) => clock.advance(ms),
    };
  });
});
