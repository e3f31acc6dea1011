import { describe } from 'vitest';
import { relayLimitsSuite } from '../../test/suites/relay-limits-suite.js';
import { relayFramesSuite } from '../../test/suites/relay-frames-suite.js';
import { relaySuite } from '../../test/suites/relay-suite.js';
import { ManualClock } from '../base/manual-clock.js';
import { StreamEngine } from './stream.js';

describe('the stream engine', () => {
  const make = () => {
    const clock = new ManualClock();
    return {
      name: 'stream',
      engine: new StreamEngine(clock),
      passTime: async (ms: number) => clock.advance(ms),
    };
  };
  relaySuite(make);
  relayFramesSuite(make);
  relayLimitsSuite(make);
});
