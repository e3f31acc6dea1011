/** Judges the samples of a soak: is memory flat, and is everything given back? */

const MIB = 1024 * 1024;

/** The last quarter's median may lie a tenth above the second quarter's, and this much: the allocator's noise. */
const allowedGrowth = { rss: 8 * MIB, heapUsed: 2 * MIB, arrayBuffers: 2 * MIB };

/** Node keeps a timer or two of its own, such as the one that renews the `Date` header. */
const SPARE_TIMERS = 2;
/** Code that was compiled meanwhile. Thousands of visits that each left a little behind would be more. */
const SPARE_HEAP = 4 * MIB;

/** One line per thing looked at: `{ ok, text }`. */
export function judgeMemory(samples) {
  return Object.entries(allowedGrowth).map(([key, spare]) => {
    const second = median(quarter(samples, 1).map((sample) => sample[key]));
    const last = median(quarter(samples, 3).map((sample) => sample[key]));
    const ok = last <= second * 1.1 + spare;
    return { ok, text: `${key}: ${mib(second)} in the second quarter, ${mib(last)} in the last` };
  });
}

/** Whether a proxy at rest holds no more than before the load. */
export function judgeRest(before, after) {
  const limits = [
    { key: 'sockets', spare: 0, show: String },
    { key: 'timers', spare: SPARE_TIMERS, show: String },
    { key: 'descriptors', spare: 0, show: String },
    { key: 'heapUsed', spare: SPARE_HEAP, show: mib },
  ];
  return limits.map(({ key, spare, show }) => ({
    ok: after[key] <= before[key] + spare,
    text: `${key}: ${show(before[key])} before the load, ${show(after[key])} after it`,
  }));
}

export const mib = (bytes) => `${(bytes / MIB).toFixed(1)} MiB`;

function quarter(samples, index) {
  const size = samples.length / 4;
  return samples.slice(Math.floor(index * size), Math.ceil((index + 1) * size));
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
