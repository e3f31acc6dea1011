#include "load.h"

#include <string.h>

size_t frame_put_head(uint8_t *out, int opcode, uint64_t length, const uint8_t *key) {
  size_t at = 2;
  uint8_t mask_bit = key ? 0x80 : 0;
  out[0] = (uint8_t)(0x80 | opcode);
  if (length < 126) {
    out[1] = (uint8_t)(mask_bit | length);
  } else if (length < 65536) {
    out[1] = mask_bit | 126;
    out[2] = (uint8_t)(length >> 8), out[3] = (uint8_t)length;
    at = 4;
  } else {
    out[1] = mask_bit | 127;
    for (int i = 0; i < 8; i++) out[2 + i] = (uint8_t)(length >> (56 - 8 * i));
    at = 10;
  }
  if (key) memcpy(out + at, key, 4), at += 4;
  return at;
}

size_t frame_put_small(uint8_t *out, int opcode, const void *payload, size_t length, bool masked) {
  uint32_t random = (uint32_t)random64();
  uint8_t key[4];
  memcpy(key, &random, 4);
  size_t at = frame_put_head(out, opcode, length, masked ? key : NULL);
  memcpy(out + at, payload, length);
  if (masked) frame_unmask(out + at, length, key);
  return at + length;
}

void frame_unmask(uint8_t *payload, size_t length, const uint8_t key[4]) {
  uint32_t key32;
  memcpy(&key32, key, 4);
  uint64_t wide = (uint64_t)key32 << 32 | key32;
  size_t at = 0;
  for (; at + 8 <= length; at += 8) {
    uint64_t word;
    memcpy(&word, payload + at, 8);
    word ^= wide;
    memcpy(payload + at, &word, 8);
  }
  for (; at < length; at++) payload[at] ^= key[at % 4];
}

static size_t needed(const struct frame_head *head) {
  if (head->have < 2) return 2;
  uint8_t short_length = head->bytes[1] & 0x7f;
  size_t extended = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
  return 2 + extended + (head->bytes[1] & 0x80 ? 4 : 0);
}

size_t frame_head_push(struct frame_head *head, const uint8_t *data, size_t length) {
  size_t taken = 0;
  while (head->have < needed(head)) {
    if (taken == length) return taken;
    head->bytes[head->have++] = data[taken++];
  }
  const uint8_t *bytes = head->bytes;
  head->complete = true;
  head->final = bytes[0] & 0x80;
  head->reserved = bytes[0] >> 4 & 7;
  head->opcode = bytes[0] & 0x0f;
  head->masked = bytes[1] & 0x80;
  head->length = bytes[1] & 0x7f;
  size_t at = 2;
  if (head->length >= 126) {
    size_t extended = head->length == 126 ? 2 : 8;
    head->length = 0;
    while (extended-- > 0) head->length = head->length << 8 | bytes[at++];
  }
  if (head->masked) memcpy(head->key, bytes + at, 4);
  return taken;
}
