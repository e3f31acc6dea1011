/*
 * load events --listeners N: a backend for WebSockets that end at a gateway, which tells it of them over HTTP. Prints
 * its ports and runs until it is killed. The path says what a connection is for:
 *
 *   /echo       every request is answered with its own body: an OPEN opens, a message comes back, a Close is returned
 *   /subscribe  the same, but what opens is subscribed to the channel "bench", as GRIP has it
 */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 64 * 1024, EVENTS = 512, BACKLOG = 4096 };

struct connection {
  int fd;
  bool is_listener;
  size_t length;
  char *data;
};

static int epoll;
static const char subscription[] = "OPEN\r\nTEXT 28\r\nc:{\"type\":\"subscribe\",\"channel\":\"bench\"}\r\n";

static void destroy(struct connection *connection) {
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

static bool serve(struct connection *connection) {
  ssize_t got = recv(connection->fd, connection->data + connection->length, ROOM - connection->length, 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  connection->length += (size_t)got;
  return take(connection);
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)) return;
    if (fd < 0) fail("events: accept: %s", strerror(errno));
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *connection = must_alloc(sizeof *connection);
    *connection = (struct connection){.fd = fd, .data = must_alloc(ROOM)};
    epoll_add(epoll, fd, EPOLLIN, connection);
  }
}

static int listen_anywhere(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0 ||
      getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
    fail("events: cannot listen: %s", strerror(errno));
  }
  struct connection *listener = must_alloc(sizeof *listener);
  *listener = (struct connection){.fd = fd, .is_listener = true};
  epoll_add(epoll, fd, EPOLLIN, listener);
  return ntohs(address.sin_port);
}

int events_main(int count, char **args) {
  int listeners = 1;
  for (int i = 0; i + 1 < count; i += 2) {
    if (!strcmp(args[i], "--listeners")) listeners = atoi(args[i + 1]);
    else usage("events: unknown option %s", args[i]);
  }
  epoll = epoll_make();
  printf("{\"event\":\"listening\",\"ports\":[");
  for (int i = 0; i < listeners; i++) printf(i ? ",%d" : "%d", listen_anywhere());
  printf("]}\n");
  fflush(stdout);

  struct epoll_event events[EVENTS];
  for (;;) {
    int ready = epoll_wait(epoll, events, EVENTS, -1);
    if (ready < 0 && errno != EINTR) fail("events: epoll_wait: %s", strerror(errno));
    for (int i = 0; i < ready; i++) {
      struct connection *connection = events[i].data.ptr;
      if (connection->is_listener) accept_all(connection->fd);
      else if (!serve(connection)) destroy(connection);
    }
  }
}
