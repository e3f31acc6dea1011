import { formatDuration, parseDuration } from '../base/units.js';
import { UsageError } from './failure.js';

/** A whole number above zero. */
export function readCount(option: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new UsageError(`${option}: expected a whole number above zero, found ${JSON.stringify(text)}`);
}

/** A duration in milliseconds, from 0 to `mostMs`. */
export function readDuration(option: string, text: string, mostMs: number): number {
  const ms = text === '0' ? 0 : parseDuration(text);
  if (ms !== undefined && ms <= mostMs) return ms;
  throw new UsageError(
    `${option}: expected a duration such as 5s, at most ${formatDuration(mostMs)}, found ${JSON.stringify(text)}`,
  );
}
