import type { Generation } from '../handshake/types.js';

/** What an upstream may be spoken to in, whatever its clients speak. */
export const upstreamGenerations = ['same', 'rfc6455', 'hixie-76'] as const;

export type UpstreamGeneration = (typeof upstreamGenerations)[number];

/** Clients whose handshake and messages can be said in another generation. */
const translatable: ReadonlySet<Generation> = new Set([
  'hixie-75',
  'hixie-76',
  'hybi-07',
  'hybi-08',
  'rfc6455',
]);

export function isTranslatable(generation: Generation): boolean {
  return translatable.has(generation);
}

/** The two of these whose frames are not those of RFC 6455. */
export type HixieGeneration = 'hixie-75' | 'hixie-76';

export function isHixie(generation: Generation): generation is HixieGeneration {
  return generation === 'hixie-75' || generation === 'hixie-76';
}

/**
 * What the upstream is spoken to in where that is not what the client speaks; undefined where the client’s handshake goes
 * on as it is.
 */
export function translationTarget(
  client: Generation,
  upstream: UpstreamGeneration,
): Exclude<UpstreamGeneration, 'same'> | undefined {
  return upstream === 'same' || upstream === client ? undefined : upstream;
}
