import type { PublishResult } from './types.js';

/** What became of an item here, where nobody listens to it. */
export const NOBODY: PublishResult = { delivered: 0, dropped: 0, sequence: 'in-order' };
