/* Publishing, as a backend does it: POST on one connection that stays open, one request under way. */
#define _GNU_SOURCE
#include "client.h"

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

enum { ANSWER_MAX = 4096 };

struct publisher publisher = {.fd = -1};
static char answer[ANSWER_MAX];
static size_t answer_length;

static void open_connection(void) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(publisher.port)};
  publisher.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (publisher.fd < 0 || connect(publisher.fd, (struct sockaddr *)&address, sizeof address) < 0) {
    fail("publish: connect: %s", strerror(errno));
  }
  int on = 1;
  setsockopt(publisher.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  epoll_add(target.epoll, publisher.fd, EPOLLIN, &publisher);
}

static void close_connection(void) {
  close(publisher.fd);
  publisher.fd = -1;
}

void publish(const char *text) {
  char body[512], request[1024];
  int length = publisher.is_grip
                   ? snprintf(body, sizeof body,
                              "{\"items\":[{\"channel\":\"bench\",\"formats\":{\"ws-message\":{\"content\":\"%s\"}}}]}", text)
                   : snprintf(body, sizeof body, "%s", text);
  int size = snprintf(request, sizeof request,
                      "POST /publish/ HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
                      publisher.port, publisher.is_grip ? "application/json" : "text/plain", length, body);
  if (publisher.is_awaiting) fail("publish: two requests at a time");
  if (publisher.fd < 0) open_connection();
  answer_length = 0;
  publisher.is_awaiting = true;
  /* A socket with nothing under way takes a kilobyte. */
  if (send(publisher.fd, request, (size_t)size, MSG_NOSIGNAL) != size) fail("publish: send: %s", strerror(errno));
}

static void finish(const char *head, size_t length) {
  const char *value;
  size_t value_length;
  if (memcmp(head, "HTTP/1.1 2", 10) != 0 && memcmp(head, "HTTP/1.0 2", 10) != 0) {
    fail("publish: the answer is '%.*s'", (int)strcspn(head, "\r\n") % 100, head);
  }
  if (head_field(head, length, "Connection", &value, &value_length) && value_length == 5 &&
      !strncasecmp(value, "close", 5)) {
    close_connection();
  }
  publisher.is_awaiting = false;
  on_published();
}

void publisher_serve(void) {
  ssize_t got = recv(publisher.fd, answer + answer_length, ANSWER_MAX - 1 - answer_length, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) fail("publish: read: %s", strerror(errno));
  if (got == 0) {
    if (publisher.is_awaiting) fail("publish: the connection ended without an answer");
    close_connection();
    return;
  }
  if (!publisher.is_awaiting) fail("publish: an answer to nothing");
  answer_length += (size_t)got;
  answer[answer_length] = 0;
  const char *value;
  size_t value_length, head = head_length(answer, answer_length);
  if (head == 0 && answer_length < ANSWER_MAX - 1) return;
  if (head == 0 || !head_field(answer, head, "Content-Length", &value, &value_length)) {
    fail("publish: an answer of no stated length");
  }
  size_t length = strtoul(value, NULL, 10);
  if (head + length >= ANSWER_MAX || answer_length > head + length) fail("publish: an answer of %zu bytes", length);
  if (answer_length == head + length) finish(answer, head);
}
