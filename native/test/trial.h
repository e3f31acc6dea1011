/*
 * What every trial of the native parts has: chance that comes back with its seed, facts that must hold, and the number of
 * descriptors that are open.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not 0. */
static uint64_t seed;

static inline void check(bool condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "%s: %s (errno %s)\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

static inline unsigned draw(unsigned below) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (unsigned)(seed % below);
}

static inline int count_descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(folder) != NULL) count++;
    closedir(folder);
    return count;
}
