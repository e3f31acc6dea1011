#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>

void fail(const char *format, ...) {
  char reason[512];
  va_list values;
  va_start(values, format);
  vsnprintf(reason, sizeof reason, format, values);
  va_end(values);
  for (char *c = reason; *c; c++) {
    if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ' || (unsigned char)*c > '~') *c = '\'';
  }
  printf("{\"event\":\"failed\",\"reason\":\"%s\"}\n", reason);
  fflush(stdout);
  _Exit(1);
}

void usage(const char *format, ...) {
  va_list values;
  va_start(values, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, values);
  fputc('\n', stderr);
  va_end(values);
  exit(2);
}

void *must_alloc(size_t size) { return must_realloc(NULL, size); }

void *must_realloc(void *old, size_t size) {
  void *memory = realloc(old, size);
  if (!memory) fail("out of memory");
  return memory;
}

static uint64_t read_clock(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t now_ns(void) { return read_clock(CLOCK_MONOTONIC); }
uint64_t own_cpu_ns(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

/* xorshift64*, seeded by the kernel. */
uint64_t random64(void) {
  static uint64_t state;
  while (state == 0) {
    if (getrandom(&state, sizeof state, 0) != (ssize_t)sizeof state) state = now_ns();
  }
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 2685821657736338717u;
}

int epoll_make(void) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail("epoll_create1: %s", strerror(errno));
  return epoll;
}

static void control(int epoll, int operation, int fd, uint32_t events, void *data) {
  struct epoll_event event = {.events = events, .data.ptr = data};
  if (epoll_ctl(epoll, operation, fd, &event) < 0) fail("epoll_ctl: %s", strerror(errno));
}

void epoll_add(int epoll, int fd, uint32_t events, void *data) {
  control(epoll, EPOLL_CTL_ADD, fd, events, data);
}

void epoll_change(int epoll, int fd, uint32_t events, void *data) {
  control(epoll, EPOLL_CTL_MOD, fd, events, data);
}
