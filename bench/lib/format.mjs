/** Figures as people read them. */

/** `64 B`, `1 KiB`, `64 KiB`, `1 MiB` */
export function sizeLabel(bytes) {
  if (bytes >= 1024 ** 2) return `${trim(bytes / 1024 ** 2)} MiB`;
  if (bytes >= 1024) return `${trim(bytes / 1024)} KiB`;
  return `${trim(bytes)} B`;
}

/** Three digits that count: `0.834`, `8.34`, `83.4`, `834`, `8,340`. */
export function number(value) {
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString('en');
  return value.toFixed(size >= 10 ? 1 : 2);
}

/** `0.83 [0.81–0.86]` */
export function spreadLabel(spread, format = number) {
  if (spread === undefined) return '–';
  const { median, min, max } = spread;
  return min === max ? format(median) : `${format(median)} [${format(min)}–${format(max)}]`;
}

const trim = (value) => String(Number(value.toFixed(1)));
