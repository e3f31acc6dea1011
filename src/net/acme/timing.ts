import type { X509Certificate } from 'node:crypto';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

/** Certificates of many servers that were made together are not all renewed together. */
const RENEWAL_JITTER = 0.05;
const DEFAULT_RENEWAL = 1 / 3;
const NEVER_BEFORE = 1 / 2;

/** Let’s Encrypt takes five failed proofs of a name an hour: at 0, 5, 15, 35 and 75 minutes. */
const REFUSED_FIRST_MS = 5 * MINUTE_MS;
const REFUSED_LONGEST_MS = 12 * HOUR_MS;
const UNREACHED_FIRST_MS = 10 * SECOND_MS;
const UNREACHED_LONGEST_MS = HOUR_MS;
const RETRY_JITTER = 0.2;
/** What an authority may ask for. */
const LONGEST_RETRY_AFTER_MS = 7 * 24 * HOUR_MS;

/** When a certificate is valid, by the clock of its authority. */
export interface Validity {
  readonly from: Date;
  readonly to: Date;
}

export function validityOf({ validFrom, validTo }: Pick<X509Certificate, 'validFrom' | 'validTo'>): Validity {
  return { from: new Date(validFrom), to: new Date(validTo) };
}

/**
 * When to renew a certificate.
 *
 * @param renewBeforeMs before its end, but never in the first half of its life; undefined: a third of its life
 * @param chance from 0 to 1: by how much it is earlier, of up to a twentieth of its life
 */
export function renewalTime({ from, to }: Validity, renewBeforeMs: number | undefined, chance: number): Date {
  const lifeMs = to.getTime() - from.getTime();
  const beforeMs = renewBeforeMs ?? lifeMs * DEFAULT_RENEWAL;
  const earlierMs = chance * lifeMs * RENEWAL_JITTER;
  return new Date(Math.max(to.getTime() - beforeMs - earlierMs, from.getTime() + lifeMs * NEVER_BEFORE));
}

/** How long another one is not ordered, whatever the dates say: a clock that is wrong must not order one after the other. */
export function restMs({ from, to }: Validity): number {
  return Math.min(HOUR_MS, Math.max(MINUTE_MS, (to.getTime() - from.getTime()) / 4));
}

/**
 * How long to wait after a failure.
 *
 * @param failures in a row, this one included
 * @param retryAfterMs what the authority has asked for; it is waited for at least
 */
export function retryMs(
  failures: number,
  {
    isRefusal,
    retryAfterMs = 0,
  }: { readonly isRefusal: boolean; readonly retryAfterMs?: number | undefined },
  chance: number,
): number {
  const firstMs = isRefusal ? REFUSED_FIRST_MS : UNREACHED_FIRST_MS;
  const longestMs = isRefusal ? REFUSED_LONGEST_MS : UNREACHED_LONGEST_MS;
  const ms = Math.min(firstMs * 2 ** (failures - 1), longestMs);
  return Math.max(ms * (1 + chance * RETRY_JITTER), Math.min(retryAfterMs, LONGEST_RETRY_AFTER_MS));
}
