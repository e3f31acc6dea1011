import { formatDuration, formatSize, parseDuration, parseSize } from '../base/units.js';
import { leafOrNumber, right, show, wrong, type Parsed } from './leaf.js';

/** The longest delay that timers take, about 24.8 days; a longer one would fire early. */
const MAX_DURATION_MS = 2 ** 31 - 1;
const DAY_MS = 24 * 60 * 60 * 1000;
const MAX_LONG_MS = 365 * DAY_MS;

const UNLIMITED = 'unlimited';
/** One in some 15 minutes. */
const LEAST_RATE = 0.001;
const MOST_RATE = 1_000_000;

/** A duration above zero; read as milliseconds. */
export function duration() {
  return leafOrNumber('a duration such as 30s', (written) => {
    const parsed = readDuration(written, 'a duration such as 250ms, 30s, 5m or 1h');
    const isZero = parsed.ok && parsed.value === 0;
    return isZero ? wrong(`expected a duration above zero, found ${show(written)}`) : parsed;
  });
}

/** A duration above zero of up to a year, for what is looked at now and then; read as milliseconds. */
export function longDuration() {
  return leafOrNumber('a duration such as 30d', (written) => {
    const parsed = readDuration(written, 'a duration such as 12h or 30d', MAX_LONG_MS);
    const isZero = parsed.ok && parsed.value === 0;
    return isZero ? wrong(`expected a duration above zero, found ${show(written)}`) : parsed;
  });
}

/** A duration that may be zero, meaning at once; read as milliseconds. */
export function durationOrZero() {
  return leafOrNumber('a duration such as 30s, or 0', (written) =>
    readDuration(written, 'a duration such as 250ms, 30s, 5m or 1h, or 0'),
  );
}

/** A duration, or `never`; read as milliseconds, 0 meaning never. */
export function durationOrNever() {
  return leafOrNumber('a duration such as 30s, or never', (written) =>
    written === 'never'
      ? right(0)
      : readDuration(written, 'a duration such as 250ms, 30s, 5m or 1h, or never'),
  );
}

/** A number of bytes from `min` to `max`; plain numbers are bytes. */
export function size(min: number, max: number) {
  return leafOrNumber('a size such as 16KiB', (written) => readSize(written, min, max));
}

/** A number of bytes from `min` to `max`, or `unlimited`, read as 0. */
export function sizeOrUnlimited(min: number, max: number) {
  return leafOrNumber('a size such as 16KiB, or unlimited', (written) =>
    written === UNLIMITED ? right(0) : readSize(written, min, max),
  );
}

/** A whole number above zero, or `unlimited`, read as 0. */
export function countOrUnlimited() {
  return leafOrNumber('a whole number, or unlimited', (written) => {
    if (written === UNLIMITED) return right(0);
    const count = Number(written);
    if (Number.isSafeInteger(count) && count > 0) return right(count);
    return wrong(`expected a whole number above zero, or unlimited, found ${show(written)}`);
  });
}

/** So many each second, above zero, perhaps a part of one; or `unlimited`, read as 0. */
export function rateOrUnlimited() {
  return leafOrNumber('a number, or unlimited', (written) => {
    if (written === UNLIMITED) return right(0);
    const rate = Number(written);
    if (rate >= LEAST_RATE && rate <= MOST_RATE) return right(rate);
    return wrong(
      `expected a number from ${LEAST_RATE} to ${MOST_RATE}, or unlimited, found ${show(written)}`,
    );
  });
}

/** A duration as people write it, `never` for 0. */
export function formatDurationOrNever(ms: number): string {
  return ms === 0 ? 'never' : formatDuration(ms);
}

function readSize(written: string | number, min: number, max: number): Parsed<number> {
  const bytes = typeof written === 'number' ? written : parseSize(written);
  if (bytes === undefined) {
    const suggestion = respell(String(written), sizeSpellings, parseSize);
    return wrong(`expected a size such as 512B, 16KiB or 1MiB, found ${show(written)}`, suggestion);
  }
  if (!Number.isInteger(bytes) || bytes < min || bytes > max) {
    return wrong(`expected a size from ${formatSize(min)} to ${formatSize(max)}, found ${show(written)}`);
  }
  return right(bytes);
}

function readDuration(written: string | number, label: string, maxMs = MAX_DURATION_MS): Parsed<number> {
  if (written === 0 || written === '0') return right(0);
  const text = String(written);
  const ms = parseDuration(text);
  if (ms === undefined) {
    return wrong(
      `expected ${label}, found ${show(written)}`,
      respell(text, durationSpellings, parseDuration),
    );
  }
  if (ms > maxMs) return wrong(`expected at most ${Math.floor(maxMs / DAY_MS)}d, found ${show(written)}`);
  // Rounded to zero it would mean never, or at once.
  if (ms === 0 && /[1-9]/.test(text)) return wrong(`expected 1ms or more, found ${show(written)}`);
  return right(ms);
}

type Spellings = readonly (readonly [RegExp, string])[];

/** Units that people write, and ours. A bare number is taken for seconds. */
const durationSpellings: Spellings = [
  [/^(?:ms|msecs?|millis|milliseconds?)$/, 'ms'],
  [/^(?:|s|secs?|seconds?)$/, 's'],
  [/^(?:m|mins?|minutes?)$/, 'm'],
  [/^(?:h|hrs?|hours?)$/, 'h'],
  [/^(?:d|days?)$/, 'd'],
];

const sizeSpellings: Spellings = [
  [/^(?:|b|bytes?)$/, 'B'],
  [/^k(?:i?b)?$/, 'KiB'],
  [/^m(?:i?b)?$/, 'MiB'],
  [/^g(?:i?b)?$/, 'GiB'],
];

function respell(
  written: string,
  spellings: Spellings,
  parse: (text: string) => number | undefined,
): string | undefined {
  const found = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/.exec(written.trim().toLowerCase());
  const unit = found && spellings.find(([pattern]) => pattern.test(found[2]!))?.[1];
  if (!found || unit === undefined) return undefined;
  const suggestion = `${found[1]}${unit}`;
  return parse(suggestion) === undefined ? undefined : suggestion;
}
