/* Buckets of 1/128 of their power of two: 0 ns to 18 minutes. */
#include "load.h"

#include <string.h>

enum { SUB_BITS = 7, SUB = 1 << SUB_BITS, POWERS = 34, BUCKETS = SUB * POWERS };

struct histogram {
  uint64_t counts[BUCKETS];
  uint64_t total, max;
  double sum;
};

struct histogram *histogram_make(void) {
  struct histogram *histogram = must_alloc(sizeof *histogram);
  histogram_clear(histogram);
  return histogram;
}

void histogram_clear(struct histogram *histogram) { memset(histogram, 0, sizeof *histogram); }

static size_t bucket_of(uint64_t ns) {
  if (ns < SUB) return ns;
  int power = 63 - __builtin_clzll(ns) - SUB_BITS;
  size_t bucket = (size_t)(power + 1) * SUB + ((ns >> power) - SUB);
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static uint64_t middle_of(size_t bucket) {
  if (bucket < SUB) return bucket;
  size_t power = bucket / SUB - 1;
  return ((bucket % SUB + SUB) << power) + ((1ull << power) >> 1);
}

void histogram_record(struct histogram *histogram, uint64_t ns) {
  histogram->counts[bucket_of(ns)]++;
  histogram->total++;
  histogram->sum += (double)ns;
  if (ns > histogram->max) histogram->max = ns;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent) {
  uint64_t wanted = (uint64_t)((double)histogram->total * percent / 100 + 0.5);
  if (wanted == 0) wanted = 1;
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
    seen += histogram->counts[bucket];
    if (seen >= wanted) return middle_of(bucket) < histogram->max ? middle_of(bucket) : histogram->max;
  }
  return histogram->max;
}

uint64_t histogram_max(const struct histogram *histogram) { return histogram->max; }

double histogram_mean(const struct histogram *histogram) {
  return histogram->total == 0 ? 0 : histogram->sum / (double)histogram->total;
}
