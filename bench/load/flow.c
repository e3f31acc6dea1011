#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Up to here messages are built side by side in one buffer; above, head and shared payload go out by sendmsg. */
enum { SMALL = 8192, BATCH_BYTES = 16384, SAMPLE_EVERY = 61, MASKED_COPIES = 16 };

/*
 * Masks are drawn once for a few copies of the payload that the messages then share, so that masking a mebibyte does
 * not cost the load what relaying it costs the proxy. Stamps are masked for every message.
 */
struct copy {
  uint8_t key[4];
  const uint8_t *payload;
};

static uint8_t *plain;
static struct copy copies[MASKED_COPIES];
static int copy_count;

const uint8_t *pattern(void) { return plain; }

void flow_prepare(size_t size, bool masked) {
  plain = must_alloc(size + 8);
  /* splitmix64 with a fixed seed: what comes out must be the same in client and backend. */
  uint64_t seed = 2010;
  for (size_t at = 0; at < size; at += 8) {
    uint64_t word = seed += 0x9e3779b97f4a7c15u;
    word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9u;
    word = (word ^ word >> 27) * 0x94d049bb133111ebu;
    word ^= word >> 31;
    memcpy(plain + at, &word, 8);
  }
  copy_count = !masked ? 1 : size <= 65536 ? MASKED_COPIES : 2;
  for (int i = 0; i < copy_count; i++) {
    copies[i].payload = plain;
    if (!masked) continue;
    uint32_t key = (uint32_t)random64();
    memcpy(copies[i].key, &key, 4);
    uint8_t *payload = must_alloc(size);
    memcpy(payload, plain, size);
    frame_unmask(payload, size, copies[i].key);
    copies[i].payload = payload;
  }
}

static size_t frame_length(const struct flow *flow) {
  size_t extended = flow->size < 126 ? 0 : flow->size < 65536 ? 2 : 8;
  return 2 + extended + (flow->masked ? 4u : 0u) + flow->size;
}

uint32_t flow_batch(size_t size) { return size > SMALL ? 1 : (uint32_t)(BATCH_BYTES / (size + FRAME_HEAD_MAX)) + 1; }

static void make_room(struct flow *flow, size_t room) {
  if (flow->room >= room) return;
  flow->buffer = must_realloc(flow->buffer, room);
  flow->room = room;
}

/* Head and stamp of the next message. Returns their length. */
static size_t put_start(struct flow *flow, uint8_t *out, const struct copy *copy) {
  size_t at = frame_put_head(out, OP_BINARY, flow->size, flow->masked ? copy->key : NULL);
  struct stamp stamp = {flow->connection, flow->number++};
  memcpy(out + at, &stamp, STAMP_LENGTH);
  if (flow->masked) frame_unmask(out + at, STAMP_LENGTH, copy->key);
  return at + STAMP_LENGTH;
}

void flow_begin(struct flow *flow, uint32_t count) {
  size_t rest = flow->size - STAMP_LENGTH;
  flow->length = flow->sent = flow->tail_length = 0;
  if (flow->size > SMALL) {
    const struct copy *copy = &copies[random64() % (uint64_t)copy_count];
    make_room(flow, FRAME_HEAD_MAX + STAMP_LENGTH);
    flow->length = put_start(flow, flow->buffer, copy);
    flow->tail = copy->payload + STAMP_LENGTH;
    flow->tail_length = rest;
    return;
  }
  make_room(flow, frame_length(flow) * count);
  while (count-- > 0) {
    const struct copy *copy = &copies[random64() % (uint64_t)copy_count];
    flow->length += put_start(flow, flow->buffer + flow->length, copy);
    memcpy(flow->buffer + flow->length, copy->payload + STAMP_LENGTH, rest);
    flow->length += rest;
  }
}

static void begin_small(struct flow *flow, int opcode, const void *payload, size_t length) {
  make_room(flow, FRAME_HEAD_MAX + CONTROL_MAX);
  flow->sent = flow->tail_length = 0;
  flow->length = frame_put_small(flow->buffer, opcode, payload, length, flow->masked);
}

void flow_begin_text(struct flow *flow, const char *text) { begin_small(flow, OP_TEXT, text, strlen(text)); }

void flow_begin_close(struct flow *flow) { begin_small(flow, OP_CLOSE, "\x03\xe8", 2); }

size_t flow_copy(const struct flow *flow, uint8_t *out, size_t room) {
  size_t at = flow->sent, copied = 0;
  if (at < flow->length) {
    copied = flow->length - at < room ? flow->length - at : room;
    memcpy(out, flow->buffer + at, copied);
    at += copied;
  }
  size_t rest = flow->length + flow->tail_length - at;
  if (rest > room - copied) rest = room - copied;
  if (rest > 0) memcpy(out + copied, flow->tail + (at - flow->length), rest);
  return copied + rest;
}

void flow_advance(struct flow *flow, size_t length) { flow->sent += length; }

int flow_write(struct flow *flow, int fd) {
  while (!flow_is_idle(flow)) {
    struct iovec parts[2];
    size_t count = 0;
    size_t from_tail = 0;
    if (flow->sent < flow->length) {
      parts[count++] = (struct iovec){flow->buffer + flow->sent, flow->length - flow->sent};
    } else {
      from_tail = flow->sent - flow->length;
    }
    if (flow->tail_length > 0) {
      parts[count++] = (struct iovec){(void *)(uintptr_t)(flow->tail + from_tail), flow->tail_length - from_tail};
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t written = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? 0 : -1;
    }
    flow->sent += (size_t)written;
  }
  return 1;
}

bool flow_is_idle(const struct flow *flow) { return flow->sent == flow->length + flow->tail_length; }

void flow_free(struct flow *flow) {
  free(flow->buffer);
  flow->buffer = NULL;
  flow->room = flow->length = flow->sent = flow->tail_length = 0;
}

bool is_sampled(uint32_t number) { return number % SAMPLE_EVERY == 0; }
