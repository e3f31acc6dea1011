/*
 * load backend --listeners N --max-size BYTES: a WebSocket server behind the proxies. Prints its ports and runs until
 * it is killed. The path says what a connection is for:
 *
 *   /echo?size=N    every message comes back, once it is there as a whole
 *   /sink?size=N    messages are checked and counted; "report" is answered with "received COUNT"
 *   /source?size=N  "go CONNECTION COUNT" starts messages (0: until "stop"); behind the last comes "sent COUNT"
 */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 256 * 1024, UNITS_PER_TURN = 8, READS_PER_TURN = 4 };

enum state { HEAD, OPEN, CLOSING, ENDING };
enum purpose { ECHO, SINK, SOURCE };

struct connection {
  int epoll, fd;
  enum state state;
  enum purpose purpose;
  size_t size;
  uint32_t events;

  uint8_t *in; /* a message that is not yet there as a whole */
  size_t in_length, in_room;
  uint8_t *out; /* what the kernel did not take; meanwhile nothing is read */
  size_t out_sent, out_length, out_room;

  uint32_t sender, received; /* SINK: whose messages these are, and how many came */
  struct flow flow;          /* SOURCE */
  uint64_t left;
  bool is_sending;
};

static size_t max_size = 1 << 20;
static uint8_t shared[READ_BYTES];

static void *open_connection(int epoll, int fd) {
  struct connection *connection = must_alloc(sizeof *connection);
  *connection = (struct connection){.epoll = epoll, .fd = fd, .state = HEAD, .events = EPOLLIN};
  return connection;
}

static void destroy(void *data) {
  struct connection *connection = data;
  close(connection->fd);
  free(connection->in);
  free(connection->out);
  flow_free(&connection->flow);
  free(connection);
}

static bool has_output(const struct connection *connection) { return connection->out_sent < connection->out_length; }

/* Hands bytes to the kernel; what it does not take is kept. False when the connection is gone. */
static bool put(struct connection *connection, const uint8_t *data, size_t length) {
  while (length > 0 && !has_output(connection)) {
    ssize_t written = send(connection->fd, data, length, MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno != EAGAIN) return false;
    if (written < 0) break;
    data += written, length -= (size_t)written;
  }
  if (length == 0) return true;
  if (!has_output(connection)) connection->out_sent = connection->out_length = 0;
  if (connection->out_length + length > connection->out_room) {
    connection->out_room = connection->out_length + length;
    connection->out = must_realloc(connection->out, connection->out_room);
  }
  memcpy(connection->out + connection->out_length, data, length);
  connection->out_length += length;
  return true;
}

static bool put_text(struct connection *connection, const char *text) {
  uint8_t frame[FRAME_HEAD_MAX + CONTROL_MAX];
  return put(connection, frame, frame_put_small(frame, OP_TEXT, text, strlen(text), false));
}

static bool flush(struct connection *connection) {
  while (has_output(connection)) {
    ssize_t written = send(connection->fd, connection->out + connection->out_sent,
                           connection->out_length - connection->out_sent, MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno == EAGAIN;
    connection->out_sent += (size_t)written;
  }
  return true;
}

/* ---- what a message does ---- */

/* The frame goes back as it lies there; a server's header is the client's without the key. */
static bool echo(struct connection *connection, uint8_t *frame, size_t head, size_t length) {
  memmove(frame + 4, frame, head - 4);
  frame[4 + 1] &= 0x7f;
  return put(connection, frame + 4, head - 4 + length);
}

/* Whether a message is the next one of its sender, with the right content. */
static bool sink(struct connection *connection, const uint8_t *payload, size_t length) {
  struct stamp stamp;
  if (length != connection->size) return false;
  memcpy(&stamp, payload, STAMP_LENGTH);
  if (connection->received == 0) connection->sender = stamp.connection;
  if (stamp.connection != connection->sender || stamp.number != connection->received) return false;
  connection->received++;
  return !is_sampled(stamp.number) ||
         !memcmp(payload + STAMP_LENGTH, pattern() + STAMP_LENGTH, length - STAMP_LENGTH);
}

static bool report(struct connection *connection, const char *word, uint32_t count) {
  char text[64];
  snprintf(text, sizeof text, "%s %" PRIu32, word, count);
  return put_text(connection, text);
}

/* Goes on with a flood. False when the connection is gone. */
static bool flood(struct connection *connection) {
  struct flow *flow = &connection->flow;
  for (int units = 0; units < UNITS_PER_TURN; units++) {
    int written = flow_write(flow, connection->fd);
    if (written < 0) return false;
    if (written == 0) return true;
    if (connection->left == 0) {
      connection->is_sending = false;
      return report(connection, "sent", flow->number);
    }
    uint32_t count = flow_batch(flow->size);
    if (connection->left < count) count = (uint32_t)connection->left;
    connection->left -= count;
    flow_begin(flow, count);
  }
  return true;
}

static bool command(struct connection *connection, const char *text) {
  if (connection->purpose == SINK && !strcmp(text, "report")) {
    return report(connection, "received", connection->received);
  }
  if (connection->purpose != SOURCE) return false;
  if (!strcmp(text, "stop")) {
    connection->left = 0;
    /* If the flood ended by itself, "sent" is on its way. */
    return true;
  }
  uint32_t id;
  uint64_t count;
  if (sscanf(text, "go %" SCNu32 " %" SCNu64, &id, &count) != 2 || connection->is_sending) return false;
  connection->flow.connection = id;
  connection->left = count == 0 ? UINT64_MAX : count;
  connection->is_sending = true;
  return flood(connection);
}

/* Takes one whole frame. False ends the connection at once, which the client takes for the fault it is. */
static bool take_frame(struct connection *connection, uint8_t *frame, size_t head_size, const struct frame_head *head) {
  uint8_t *payload = frame + head_size;
  size_t length = (size_t)head->length;
  if (!head->masked || !head->final || head->reserved != 0) return false;
  frame_unmask(payload, length, head->key);
  switch (head->opcode) {
    case OP_BINARY:
      if (connection->purpose == ECHO) return length == connection->size && echo(connection, frame, head_size, length);
      return connection->purpose == SINK && sink(connection, payload, length);
    case OP_TEXT: {
      char text[CONTROL_MAX + 1];
      if (length > CONTROL_MAX) return false;
      memcpy(text, payload, length);
      text[length] = 0;
      return command(connection, text);
    }
    case OP_CLOSE: {
      uint8_t reply[FRAME_HEAD_MAX + CONTROL_MAX];
      if (length > CONTROL_MAX) return false;
      connection->state = CLOSING;
      return put(connection, reply, frame_put_small(reply, OP_CLOSE, payload, length, false));
    }
    default:
      return false;
  }
}

/* ---- bytes ---- */

/* Takes the whole frames in `data`. Returns how many bytes they were; -1 ends the connection. */
static ssize_t take_frames(struct connection *connection, uint8_t *data, size_t length, size_t *wanted) {
  size_t at = 0;
  *wanted = 0;
  while (at < length && connection->state == OPEN) {
    struct frame_head head = {0};
    size_t head_size = frame_head_push(&head, data + at, length - at);
    if (!head.complete) {
      *wanted = FRAME_HEAD_MAX;
      break;
    }
    if (head.length > max_size) return -1;
    if (length - at < head_size + head.length) {
      *wanted = head_size + (size_t)head.length;
      break;
    }
    if (!take_frame(connection, data + at, head_size, &head)) return -1;
    at += head_size + (size_t)head.length;
  }
  return (ssize_t)(connection->state == OPEN ? at : length);
}

static bool parse_path(struct connection *connection, const char *path) {
  char name[16];
  if (sscanf(path, "/%15[a-z]?size=%zu", name, &connection->size) != 2) return false;
  if (connection->size < STAMP_LENGTH || connection->size > max_size) return false;
  if (!strcmp(name, "echo")) connection->purpose = ECHO;
  else if (!strcmp(name, "sink")) connection->purpose = SINK;
  else if (!strcmp(name, "source")) connection->purpose = SOURCE;
  else return false;
  connection->flow = (struct flow){.size = connection->size};
  return true;
}

static ssize_t take_head(struct connection *connection, uint8_t *data, size_t length, size_t *wanted) {
  size_t head = head_length((const char *)data, length);
  *wanted = HEAD_MAX;
  if (head == 0) return length < HEAD_MAX ? 0 : -1;
  char path[256], answer[512];
  size_t answered = handshake_answer((const char *)data, head, path, sizeof path, answer, sizeof answer);
  if (answered == 0 || !parse_path(connection, path)) {
    static const char refusal[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    put(connection, (const uint8_t *)refusal, sizeof refusal - 1);
    return -1;
  }
  connection->state = OPEN;
  return put(connection, (const uint8_t *)answer, answered) ? (ssize_t)head : -1;
}

static ssize_t take(struct connection *connection, uint8_t *data, size_t length, size_t *wanted) {
  size_t taken = 0;
  if (connection->state == HEAD) {
    ssize_t head = take_head(connection, data, length, wanted);
    if (head <= 0) return head;
    taken = (size_t)head;
  }
  ssize_t frames = take_frames(connection, data + taken, length - taken, wanted);
  return frames < 0 ? -1 : (ssize_t)taken + frames;
}

/* Reads once. 1: there may be more, 0: nothing more for now, -1: the connection is over. */
static int read_once(struct connection *connection) {
  bool is_continued = connection->in_length > 0;
  uint8_t *data = is_continued ? connection->in : shared;
  size_t room = is_continued ? connection->in_room : sizeof shared;
  ssize_t got = recv(connection->fd, data + connection->in_length, room - connection->in_length, 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
  if (got == 0) return -1;
  if (connection->state >= CLOSING) return 1;

  size_t length = connection->in_length + (size_t)got, wanted;
  ssize_t taken = take(connection, data, length, &wanted);
  if (taken < 0) return -1;
  size_t rest = length - (size_t)taken;
  connection->in_length = rest;
  if (rest > 0) {
    /* The buffer may move while `data` points into it. */
    if (is_continued) memmove(connection->in, data + taken, rest);
    if (wanted > connection->in_room) {
      connection->in = must_realloc(connection->in, wanted);
      connection->in_room = wanted;
    }
    if (!is_continued) memcpy(connection->in, shared + taken, rest);
  }
  return length == room;
}

static bool serve(void *data, uint32_t events) {
  struct connection *connection = data;
  if (events & EPOLLOUT) {
    if (!flush(connection)) return false;
    if (connection->is_sending && !has_output(connection) && !flood(connection)) return false;
  }
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    int more = 1;
    for (int reads = 0; more == 1 && reads < READS_PER_TURN && !has_output(connection); reads++) {
      more = read_once(connection);
    }
    if (more < 0) return false;
  }
  /* The server is the one that ends TCP first (RFC 6455 section 7.1.1). */
  if (connection->state == CLOSING && !has_output(connection)) {
    connection->state = ENDING;
    if (shutdown(connection->fd, SHUT_WR) < 0) return false;
  }
  uint32_t wanted = has_output(connection) ? EPOLLOUT : connection->is_sending ? EPOLLIN | EPOLLOUT : EPOLLIN;
  if (wanted != connection->events) {
    connection->events = wanted;
    epoll_change(connection->epoll, connection->fd, wanted, connection);
  }
  return true;
}

int backend_main(int count, char **args) {
  int listeners = 1;
  for (int i = 0; i + 1 < count; i += 2) {
    if (!strcmp(args[i], "--listeners")) listeners = atoi(args[i + 1]);
    else if (!strcmp(args[i], "--max-size")) max_size = strtoul(args[i + 1], NULL, 10);
    else usage("backend: unknown option %s", args[i]);
  }
  flow_prepare(max_size, false);
  static const struct server server = {"backend", open_connection, serve, destroy};
  server_run(&server, listeners);
}
