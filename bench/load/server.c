#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, BACKLOG = 4096 };

struct listener {
  int fd;
};

static int listen_anywhere(const struct server *server) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0) {
    fail("%s: cannot listen: %s", server->name, strerror(errno));
  }
  return fd;
}

static int port_of(const struct server *server, int fd) {
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
    fail("%s: cannot listen: %s", server->name, strerror(errno));
  }
  return ntohs(address.sin_port);
}

static void accept_all(const struct server *server, int epoll, int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)) return;
    if (fd < 0) fail("%s: accept: %s", server->name, strerror(errno));
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_add(epoll, fd, EPOLLIN, server->open(epoll, fd));
  }
}

void server_run(const struct server *server, int count) {
  int epoll = epoll_make();
  struct listener *listeners = must_alloc((size_t)count * sizeof *listeners);
  printf("{\"event\":\"listening\",\"ports\":[");
  for (int i = 0; i < count; i++) {
    listeners[i].fd = listen_anywhere(server);
    epoll_add(epoll, listeners[i].fd, EPOLLIN, &listeners[i]);
    printf(i ? ",%d" : "%d", port_of(server, listeners[i].fd));
  }
  printf("]}\n");
  fflush(stdout);

  struct epoll_event events[EVENTS];
  for (;;) {
    int ready = epoll_wait(epoll, events, EVENTS, -1);
    if (ready < 0 && errno != EINTR) fail("%s: epoll_wait: %s", server->name, strerror(errno));
    for (int i = 0; i < ready; i++) {
      struct listener *listener = events[i].data.ptr;
      if (listener >= listeners && listener < listeners + count) accept_all(server, epoll, listener->fd);
      else if (!server->serve(events[i].data.ptr, events[i].events)) server->destroy(events[i].data.ptr);
    }
  }
}
