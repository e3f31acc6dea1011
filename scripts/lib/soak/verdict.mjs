/** Judges the samples of a soak: is memory flat, and is everything given back? */

const MIB = 1024 * 1024;

/** How far the last quarter's median may lie above the second quarter's: a tenth, and what the noise of the page allocator or of compiled code comes to. */
const allowedGrowth = { rss: 8 * MIB, heapUsed: 2 * MIB, arrayBuffers: 2 * MIB };

/** Node keeps a timer or two of its own, such as the one that renews the `Date` header. */
const SPARE_TIMERS = 2;

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
  const allowed = {
    sockets: before.sockets,
    timers: before.timers + SPARE_TIMERS,
    descriptors: before.descriptors,
  };
  return Object.entries(allowed).map(([key, most]) => {
    return { ok: after[key] <= most, text: `${key}: ${before[key]} before the load, ${after[key]} after it` };
  });
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
