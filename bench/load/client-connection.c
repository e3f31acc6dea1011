#define _GNU_SOURCE
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 256 * 1024, READS_PER_TURN = 4 };

struct target target;
static uint8_t shared[READ_BYTES];

#define fail_client(client, format, ...) \
  fail("connection %u, after %u messages: " format, (client)->id, (client)->next_number, ##__VA_ARGS__)

static void want(struct client *client, uint32_t events) {
  if (client->events == events) return;
  client->events = events;
  epoll_change(target.epoll, client->fd, events, client);
}

/* ---- there ---- */

void client_open(struct client *client) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(target.port)};
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (client->fd < 0) fail_client(client, "no socket: %s", strerror(errno));
  int on = 1;
  setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  client->head = (struct frame_head){0};
  client->position = 0;
  client->next_number = client->flow.number = client->reported = 0;
  client->flow.connection = client->id;
  client->flow.size = target.size;
  client->flow.masked = true;
  client->is_ordered = client->is_flooding = false;
  client->state = CONNECTING;
  client->events = EPOLLOUT;
  epoll_add(target.epoll, client->fd, EPOLLOUT, client);
  if (connect(client->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
    fail_client(client, "connect: %s", strerror(errno));
  }
}

static void check_connected(struct client *client) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) fail_client(client, "connect: %s", strerror(error));
}

static void ask(struct client *client) {
  char request[1024], key[KEY_LENGTH + 1];
  handshake_key(key, client->accept);
  size_t size = handshake_request(request, sizeof request, target.path, target.authority, key, target.offers_deflate);
  /* A fresh socket takes a kilobyte. */
  ssize_t sent = client->tls ? tls_write(client->tls, request, size) : send(client->fd, request, size, MSG_NOSIGNAL);
  if (size == 0 || sent != (ssize_t)size) {
    fail_client(client, "the request head could not be sent: %s", strerror(errno));
  }
  client->state = ANSWER;
  want(client, EPOLLIN);
}

static ssize_t receive(struct client *client) {
  return client->tls ? tls_read(client->tls, shared, sizeof shared) : recv(client->fd, shared, sizeof shared, 0);
}

/* What has come of the answer so far, when a part of it was kept before. */
static const char *join_answer(struct client *client, size_t *length) {
  client->answer = must_realloc(client->answer, client->answer_length + *length);
  memcpy(client->answer + client->answer_length, shared, *length);
  *length = client->answer_length += *length;
  return (const char *)client->answer;
}

/* True if it is there, and right. */
static bool read_answer(struct client *client) {
  ssize_t got = receive(client);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got < 0) fail_client(client, "no answer to the handshake: %s", strerror(errno));
  if (got == 0) fail_client(client, "no answer to the handshake: connection ended");
  size_t length = (size_t)got;
  const char *text = client->answer ? join_answer(client, &length) : (const char *)shared;
  size_t head = head_length(text, length);
  if (head == 0) {
    if (length >= HEAD_MAX) fail_client(client, "the answer to the handshake has no end");
    if (!client->answer) join_answer(client, &length);
    return client->tls && tls_has_more(client->tls) && read_answer(client);
  }
  const char *problem = handshake_check(text, head, client->accept);
  if (problem) fail_client(client, "%s", problem);
  if (length > head) fail_client(client, "bytes behind the answer that nobody asked for");
  free(client->answer);
  client->answer = NULL;
  client->answer_length = 0;
  client->state = OPEN;
  return true;
}

/* As flow_write: 1 when all has left, 0 when the kernel takes no more for now. */
static int write_records(struct client *client) {
  uint8_t record[TLS_RECORD_MAX];
  while (!flow_is_idle(&client->flow)) {
    ssize_t written = tls_write(client->tls, record, flow_copy(&client->flow, record, sizeof record));
    if (written < 0) return 0;
    flow_advance(&client->flow, (size_t)written);
  }
  return 1;
}

bool client_write(struct client *client) {
  int written = client->tls ? write_records(client) : flow_write(&client->flow, client->fd);
  if (written < 0) fail_client(client, "write: %s", strerror(errno));
  want(client, written || client->is_flooding ? (client->is_flooding ? EPOLLIN | EPOLLOUT : EPOLLIN) : EPOLLIN | EPOLLOUT);
  return written;
}

void client_close(struct client *client) {
  flow_begin_close(&client->flow);
  client->state = CLOSE_SENT;
  client_write(client);
}

/* ---- and back ---- */

static void check_head(struct client *client) {
  const struct frame_head *head = &client->head;
  if (head->masked || !head->final || head->reserved != 0) {
    fail_client(client, "a frame begins with %02x %02x", head->bytes[0], head->bytes[1]);
  }
  if (head->opcode == OP_BINARY) {
    if (head->length != target.size) fail_client(client, "a message of %llu bytes", (unsigned long long)head->length);
  } else if ((head->opcode != OP_TEXT && head->opcode != OP_CLOSE) || head->length > CONTROL_MAX) {
    fail_client(client, "a frame begins with %02x %02x", head->bytes[0], head->bytes[1]);
  }
}

/* One piece of a data message: its stamp always, its content when it is one of those that are looked at. */
static void check_piece(struct client *client, const uint8_t *data, size_t length) {
  uint64_t at = client->position;
  if (at < STAMP_LENGTH) {
    size_t part = length < STAMP_LENGTH - at ? length : (size_t)(STAMP_LENGTH - at);
    memcpy((uint8_t *)&client->stamp + at, data, part);
    if (at + part == STAMP_LENGTH &&
        (client->stamp.connection != client->id || client->stamp.number != client->next_number)) {
      fail_client(client, "message %u of connection %u came instead of number %u", client->stamp.number,
                  client->stamp.connection, client->next_number);
    }
    data += part, length -= part, at += part;
  }
  if (length > 0 && is_sampled(client->next_number) && memcmp(data, pattern() + at, length) != 0) {
    fail_client(client, "message %u came back changed", client->next_number);
  }
}

static void finish_frame(struct client *client) {
  int opcode = client->head.opcode;
  client->text[opcode == OP_BINARY ? 0 : client->head.length] = 0;
  client->head = (struct frame_head){0};
  client->position = 0;
  if (opcode == OP_BINARY) {
    client->next_number++;
    on_message(client);
  } else if (opcode == OP_TEXT) {
    on_text(client, client->text);
  } else {
    if (client->state != CLOSE_SENT) fail_client(client, "a Close that nobody asked for");
    if (client->text[0] != 0x03 || (uint8_t)client->text[1] != 0xe8) fail_client(client, "Close without code 1000");
    client->state = CLOSE_RECEIVED;
  }
}

static void take(struct client *client, const uint8_t *data, size_t length) {
  while (length > 0) {
    if (client->state == CLOSE_RECEIVED) fail_client(client, "bytes behind the Close");
    if (!client->head.complete) {
      size_t taken = frame_head_push(&client->head, data, length);
      data += taken, length -= taken;
      if (!client->head.complete) return;
      check_head(client);
    }
    uint64_t left = client->head.length - client->position;
    size_t piece = length < left ? length : (size_t)left;
    if (client->head.opcode == OP_BINARY) check_piece(client, data, piece);
    else memcpy(client->text + client->position, data, piece);
    client->position += piece;
    data += piece, length -= piece;
    if (client->position == client->head.length) finish_frame(client);
  }
}

static void drop(struct client *client) {
  if (client->tls) tls_close(client->tls);
  client->tls = NULL;
  close(client->fd);
  client->state = UNUSED;
}

/* True if there may be more to read. */
static bool read_once(struct client *client) {
  ssize_t got = receive(client);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got < 0) fail_client(client, "read: %s", strerror(errno));
  if (got == 0) {
    if (client->state != CLOSE_RECEIVED) fail_client(client, "the connection ended without a Close");
    drop(client);
    on_closed(client);
    return false;
  }
  take(client, shared, (size_t)got);
  return client->tls ? true : got == READ_BYTES;
}

/* What TLS holds is read to its end: epoll knows nothing of it. */
static void read_all(struct client *client) {
  for (int reads = 0; reads < READS_PER_TURN || (client->tls && tls_has_more(client->tls)); reads++) {
    if (!read_once(client)) return;
  }
}

static void secure(struct client *client) {
  uint32_t events;
  if (tls_handshake(client->tls, &events)) ask(client);
  else want(client, events);
}

void client_serve(struct client *client, uint32_t events) {
  switch (client->state) {
    case CONNECTING:
      check_connected(client);
      if (!target.is_secure) {
        ask(client);
        return;
      }
      client->tls = tls_open(client->fd);
      client->state = SECURING;
      secure(client);
      return;
    case SECURING:
      secure(client);
      return;
    case ANSWER:
      if (read_answer(client)) on_open(client);
      return;
    default:
      break;
  }
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_all(client);
  if (events & EPOLLOUT && (client->state == OPEN || client->state == CLOSE_SENT)) {
    if (client_write(client) && client->state == OPEN) on_writable(client);
  }
}
