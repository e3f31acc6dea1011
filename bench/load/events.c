/*
 * load events --listeners N: a backend for WebSockets that end at a gateway, which tells it of them over HTTP. Prints
 * its ports and runs until it is killed. The path says what a connection is for:
 *
 *   /echo       every request is answered with its own body: an OPEN opens, a message comes back, a Close is returned
 *   /subscribe  the same, but what opens is subscribed to the channel "bench", as GRIP has it
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 64 * 1024 };

struct connection {
  int fd;
  size_t length;
  char *data;
};

static const char subscription[] = "OPEN\r\nTEXT 28\r\nc:{\"type\":\"subscribe\",\"channel\":\"bench\"}\r\n";

static void *open_connection(int epoll, int fd) {
  (void)epoll;
  struct connection *connection = must_alloc(sizeof *connection);
  *connection = (struct connection){.fd = fd, .data = must_alloc(ROOM)};
  return connection;
}

static void destroy(void *data) {
  struct connection *connection = data;
  close(connection->fd);
  free(connection->data);
  free(connection);
}

static bool begins_with(const char *text, size_t length, const char *start) {
  size_t start_length = strlen(start);
  return length >= start_length && !memcmp(text, start, start_length);
}

/* Answers are far smaller than a socket's buffer, and a gateway has one request at a time under way on each. */
static bool put(struct connection *connection, const char *head, size_t head_length, const char *body, size_t length) {
  char answer[ROOM + 512];
  memcpy(answer, head, head_length);
  memcpy(answer + head_length, body, length);
  return send(connection->fd, answer, head_length + length, MSG_NOSIGNAL) == (ssize_t)(head_length + length);
}

static bool answer(struct connection *connection, const char *head, size_t head_size, const char *body, size_t length) {
  const char *type = "text/plain", *extension = "";
  size_t type_length = strlen(type);
  head_field(head, head_size, "Content-Type", &type, &type_length);
  if (type_length > 100) return false;
  if (begins_with(body, length, "DISCONNECT\r\n")) length = 0;
  if (begins_with(head, head_size, "POST /subscribe") && begins_with(body, length, "OPEN\r\n")) {
    extension = "Sec-WebSocket-Extensions: grip; message-prefix=\"\"\r\n";
    body = subscription;
    length = sizeof subscription - 1;
  }
  char out[512];
  int size = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: %.*s\r\n%sContent-Length: %zu\r\n\r\n",
                      (int)type_length, type, extension, length);
  return put(connection, out, (size_t)size, body, length);
}

/* Answers the requests that are there as a whole. False ends the connection, which the client takes for a fault. */
static bool take(struct connection *connection) {
  size_t at = 0;
  while (at < connection->length) {
    const char *head = connection->data + at, *value;
    size_t left = connection->length - at, value_length, head_size = head_length(head, left);
    if (head_size == 0) break;
    if (!begins_with(head, head_size, "POST ")) return false;
    if (!head_field(head, head_size, "Content-Length", &value, &value_length)) return false;
    size_t length = strtoul(value, NULL, 10);
    if (length > ROOM / 2) return false;
    if (left < head_size + length) break;
    if (!answer(connection, head, head_size, head + head_size, length)) return false;
    at += head_size + length;
  }
  memmove(connection->data, connection->data + at, connection->length - at);
  connection->length -= at;
  return connection->length < ROOM;
}

static bool serve(void *data, uint32_t events) {
  (void)events;
  struct connection *connection = data;
  ssize_t got = recv(connection->fd, connection->data + connection->length, ROOM - connection->length, 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  connection->length += (size_t)got;
  return take(connection);
}

int events_main(int count, char **args) {
  int listeners = 1;
  for (int i = 0; i + 1 < count; i += 2) {
    if (!strcmp(args[i], "--listeners")) listeners = atoi(args[i + 1]);
    else usage("events: unknown option %s", args[i]);
  }
  static const struct server server = {"events", open_connection, serve, destroy};
  server_run(&server, listeners);
}
