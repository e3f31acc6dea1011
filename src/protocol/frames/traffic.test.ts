import { describe } from 'vitest';
import { scannerSuite } from '../../../test/suites/scanner-suite.js';
import { makeTraffic } from './traffic.js';

describe('the observer in TypeScript', () => {
  scannerSuite(makeTraffic);
});
