/** Dice that fall the same way for the same seed (mulberry32), so that a soak that failed can be run again. */
export function seeded(seed) {
  let state = seed >>> 0;
  const float = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  /** A whole number from `low` to `high`, both included. */
  const between = (low, high) => low + Math.floor(float() * (high - low + 1));
  return {
    float,
    between,
    chance: (probability) => float() < probability,
    pick: (list) => list[between(0, list.length - 1)],
    bytes: (length) => Buffer.from(Array.from({ length }, () => between(0, 255))),
    /** One of the keys of `weights`, as often as its weight says. */
    weighted(weights) {
      let left = float() * Object.values(weights).reduce((sum, weight) => sum + weight, 0);
      return Object.keys(weights).find((key) => (left -= weights[key]) < 0) ?? Object.keys(weights)[0];
    },
  };
}
