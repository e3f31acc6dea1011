/** Median and range of what the rounds gave; undefined where there is nothing. */
export function spread(values) {
  const sorted = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1) };
}

/** Combines figures of the same round. */
export function pairByPair(ours, theirs, combine) {
  return ours.flatMap((value, round) => {
    const other = theirs[round];
    return Number.isFinite(value) && Number.isFinite(other) ? [combine(value, other)] : [];
  });
}
