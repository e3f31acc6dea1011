#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static void accept_of(const char *key, size_t key_length, char accept[ACCEPT_LENGTH + 1]) {
  static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  char text[64 + sizeof guid];
  uint8_t digest[20];
  memcpy(text, key, key_length);
  memcpy(text + key_length, guid, sizeof guid - 1);
  sha1((const uint8_t *)text, key_length + sizeof guid - 1, digest);
  base64(digest, sizeof digest, accept);
}

void handshake_key(char key[KEY_LENGTH + 1], char accept[ACCEPT_LENGTH + 1]) {
  uint64_t random[2] = {random64(), random64()};
  base64((const uint8_t *)random, sizeof random, key);
  accept_of(key, KEY_LENGTH, accept);
}

size_t handshake_request(char *out, size_t room, const char *path, const char *authority, const char *key,
                         bool offers_deflate) {
  /* As Chromium sends it, header for header: a proxy reads and writes all of this. */
  int length = snprintf(out, room,
                        "GET %s HTTP/1.1\r\n"
                        "Host: %s\r\n"
                        "Connection: Upgrade\r\n"
                        "Pragma: no-cache\r\n"
                        "Cache-Control: no-cache\r\n"
                        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
                        "Chrome/140.0.0.0 Safari/537.36\r\n"
                        "Upgrade: websocket\r\n"
                        "Origin: http://%s\r\n"
                        "Sec-WebSocket-Version: 13\r\n"
                        "Accept-Encoding: gzip, deflate, br, zstd\r\n"
                        "Accept-Language: en-US,en;q=0.9\r\n"
                        "Sec-WebSocket-Key: %s\r\n"
                        "%s"
                        "\r\n",
                        path, authority, authority, key,
                        offers_deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
  return length > 0 && (size_t)length < room ? (size_t)length : 0;
}

size_t head_length(const char *text, size_t length) {
  const char *end = memmem(text, length, "\r\n\r\n", 4);
  return end ? (size_t)(end - text) + 4 : 0;
}

bool head_field(const char *head, size_t length, const char *name, const char **value, size_t *value_length) {
  size_t name_length = strlen(name);
  const char *end = head + length;
  const char *line = memmem(head, length, "\r\n", 2);
  int found = 0;
  while (line && (line += 2) < end) {
    const char *next = memmem(line, (size_t)(end - line), "\r\n", 2);
    if (!next) break;
    if ((size_t)(next - line) > name_length && line[name_length] == ':' && !strncasecmp(line, name, name_length)) {
      const char *from = line + name_length + 1, *to = next;
      while (from < to && (*from == ' ' || *from == '\t')) from++;
      while (to > from && (to[-1] == ' ' || to[-1] == '\t')) to--;
      *value = from, *value_length = (size_t)(to - from);
      found++;
    }
    line = next;
  }
  return found == 1;
}

static bool has_token(const char *list, size_t length, const char *token) {
  size_t token_length = strlen(token);
  for (const char *at = list, *end = list + length; at < end;) {
    const char *comma = memchr(at, ',', (size_t)(end - at));
    const char *to = comma ? comma : end;
    while (at < to && *at == ' ') at++;
    while (to > at && to[-1] == ' ') to--;
    if ((size_t)(to - at) == token_length && !strncasecmp(at, token, token_length)) return true;
    at = (comma ? comma : end) + 1;
  }
  return false;
}

static bool field_has_token(const char *head, size_t length, const char *name, const char *token) {
  const char *value;
  size_t value_length;
  return head_field(head, length, name, &value, &value_length) && has_token(value, value_length, token);
}

const char *handshake_check(const char *head, size_t length, const char *accept) {
  static char problem[128];
  const char *value;
  size_t value_length;
  if (length < 13 || memcmp(head, "HTTP/1.1 101 ", 13) != 0) {
    snprintf(problem, sizeof problem, "the answer is '%.*s'", (int)strcspn(head, "\r\n") % 100, head);
    return problem;
  }
  if (!field_has_token(head, length, "Upgrade", "websocket")) return "the 101 has no Upgrade: websocket";
  if (!field_has_token(head, length, "Connection", "upgrade")) return "the 101 has no Connection: Upgrade";
  if (!head_field(head, length, "Sec-WebSocket-Accept", &value, &value_length)) return "the 101 has no accept value";
  if (value_length != ACCEPT_LENGTH || memcmp(value, accept, ACCEPT_LENGTH) != 0) {
    return "the 101 has a wrong Sec-WebSocket-Accept";
  }
  if (head_field(head, length, "Sec-WebSocket-Extensions", &value, &value_length)) {
    return "the 101 has an extension that the backend did not choose";
  }
  return NULL;
}

size_t handshake_answer(const char *head, size_t length, char *path, size_t path_room, char *out, size_t room) {
  const char *key;
  size_t key_length;
  if (length < 4 || memcmp(head, "GET ", 4) != 0) return 0;
  const char *path_end = memchr(head + 4, ' ', length - 4);
  if (!path_end || (size_t)(path_end - head - 4) >= path_room) return 0;
  if ((size_t)(head + length - path_end) < 11 || memcmp(path_end, " HTTP/1.1\r\n", 11) != 0) return 0;
  if (!field_has_token(head, length, "Upgrade", "websocket")) return 0;
  if (!field_has_token(head, length, "Connection", "upgrade")) return 0;
  if (!field_has_token(head, length, "Sec-WebSocket-Version", "13")) return 0;
  if (!head_field(head, length, "Sec-WebSocket-Key", &key, &key_length) || key_length != KEY_LENGTH) return 0;

  char accept[ACCEPT_LENGTH + 1];
  accept_of(key, key_length, accept);
  memcpy(path, head + 4, (size_t)(path_end - head - 4));
  path[path_end - head - 4] = 0;
  int written = snprintf(out, room,
                         "HTTP/1.1 101 Switching Protocols\r\n"
                         "Upgrade: websocket\r\n"
                         "Connection: Upgrade\r\n"
                         "Sec-WebSocket-Accept: %s\r\n"
                         "\r\n",
                         accept);
  return written > 0 && (size_t)written < room ? (size_t)written : 0;
}
