import { z } from 'zod';
import { expected } from './leaf.js';
import type { rateOrUnlimited } from './quantities.js';

/** A limit on what a side sends; 0 is unlimited. */
export interface PerSide {
  readonly client: number;
  readonly upstream: number;
}

/** One value for the client alone, or an object with one for each side. `unlimited` must be among the values. */
export function perSide(one: ReturnType<typeof rateOrUnlimited>, label: string) {
  const both = z.strictObject({
    client: one.prefault('unlimited').describe('What the client may send.'),
    upstream: one.prefault('unlimited').describe('What the server may send.'),
  });
  return z
    .union([one.transform((client): PerSide => ({ client, upstream: 0 })), both], {
      error: expected(`${label}, or an object with \`client\` and \`upstream\``),
    })
    .prefault('unlimited')
    .meta({ label: `${label}; or an object with one for each side` });
}
