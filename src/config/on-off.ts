import { z } from 'zod';
import { expected } from './leaf.js';

/** Settings that can also be just switched: `true` is all defaults, `false` becomes undefined. */
export function onOff<S extends z.ZodObject>(settings: S, accepted = 'an object of settings') {
  const off: z.ZodType<undefined, false> = z.literal(false).transform(() => undefined);
  const on: z.ZodType<z.output<S>, true> = z
    .literal(true)
    .transform((): unknown => ({}))
    .pipe(settings);
  return z.union([off, on, settings], { error: expected(`true, false, or ${accepted}`) });
}
