import { describe } from 'vitest';
import { relayLimitsSuite } from '../../test/suites/relay-limits-suite.js';
import { relayFramesSuite } from '../../test/suites/relay-frames-suite.js';
import { relaySuite } from '../../test/suites/relay-suite.js';
import { NativeEngine } from './native.js';
import { loadNative } from './native-binding.js';
import type { RelayEngine } from './types.js';

/** Another build of the addon, with a sanitizer: see test/native/. */
const { TIDEGATE_TEST_ADDON: addon } = process.env;
const native = loadNative(addon === undefined ? undefined : [addon]);
const missing = 'reason' in native;

describe.skipIf(missing)(`the native engine${missing ? ` — skipped: ${native.reason}` : ''}`, () => {
  const make = () => {
    if (missing) throw new Error(native.reason);
    const engine = new NativeEngine(native.binding, neverUsed, { threads: 2 });
    return { name: 'native', engine, passTime: async (ms: number) => engine.passTime(ms) };
  };
  relaySuite(make);
  relayFramesSuite(make);
  relayLimitsSuite(make);
});

const neverUsed: RelayEngine = {
  name: 'stream',
  join() {
    throw new Error('the fallback was used');
  },
};
