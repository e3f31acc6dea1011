import { z } from 'zod';
import { isSendableCloseCode } from '../protocol/frames/writer.js';
import { expected, show } from './leaf.js';
import { durationOrZero } from './quantities.js';

/** RFC 6455 §5.5: a control frame carries 125 bytes, two of them the code. */
const MAX_REASON_BYTES = 123;
const CODES = 'a close code: 1000-1003, 1007-1014 or 3000-4999';

export const drain = z
  .strictObject({
    timeout: durationOrZero()
      .prefault('30s')
      .describe('How long requests and sessions may take to finish; then they are cut. `0` cuts at once.'),
    spread: durationOrZero()
      .prefault('10s')
      .describe(
        'Over which time sessions are closed, at random, so that their clients do not come back as one wave. At least ten are closed each second, and the last second of `timeout` is left for answers.',
      ),
    closeCode: z
      .number({ error: expected(CODES) })
      .refine(isSendableCloseCode, { error: ({ input }) => `expected ${CODES}, found ${show(input)}` })
      .prefault(1001)
      .meta({ label: 'close code' })
      .describe('What the Close frame to each client says. Browsers call 1001 “going away”.'),
    reason: z
      .string({ error: expected('text') })
      .refine((text) => Buffer.byteLength(text) <= MAX_REASON_BYTES, {
        error: `expected at most ${MAX_REASON_BYTES} bytes of UTF-8`,
      })
      .prefault('')
      .meta({ label: 'text' })
      .describe('The reason that goes with it.'),
  })
  .prefault({})
  .describe(
    'How a stop goes: no new work is taken, requests may finish, each WebSocket client gets a Close frame between two frames of the server’s, what is left at the end is cut.',
  )
  .meta({ example: 'drain: { timeout: 60s, spread: 20s, reason: back in a minute }' });
