/** Durations and sizes as people write them: `250ms`, `30s`, `5m`, `1h`, `2d`; `512B`, `16KiB`, `1MiB`, `2GiB`. */

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const sizeUnits: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

const quantity = /^(\d+(?:\.\d+)?)\s*([a-zA-Z]+)$/;

/** Milliseconds of a duration, or undefined when it is not one. */
export function parseDuration(text: string): number | undefined {
  return parse(text, durationUnits);
}

/** Bytes of a size, or undefined when it is not one. */
export function parseSize(text: string): number | undefined {
  return parse(text, sizeUnits);
}

/** The shortest exact spelling of a number of milliseconds: 90000 → `90s`. */
export function formatDuration(ms: number): string {
  return format(ms, durationUnits);
}

/** The shortest exact spelling of a number of bytes: 16384 → `16KiB`. */
export function formatSize(bytes: number): string {
  return format(bytes, sizeUnits);
}

function parse(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const found = quantity.exec(text.trim());
  if (found === null) return undefined;
  const unit = Object.hasOwn(units, found[2]!) ? units[found[2]!] : undefined;
  if (unit === undefined) return undefined;
  const exact = Number(found[1]) * unit;
  const value = Math.round(exact);
  // Rounded to 0 a short time would become "never".
  if (value === 0 && exact > 0) return undefined;
  return Number.isSafeInteger(value) ? value : undefined;
}

function format(value: number, units: Readonly<Record<string, number>>): string {
  const entries = Object.entries(units).reverse();
  const found = entries.find(([, unit]) => value >= unit && value % unit === 0) ?? entries.at(-1)!;
  return `${value / found[1]}${found[0]}`;
}
