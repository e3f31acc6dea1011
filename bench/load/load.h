/* What the load generator's parts share. Linux only: epoll, accept4, sched_setaffinity. */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- base.c: ends, clocks, chance ---- */

/* Prints {"event":"failed","reason":…} and exits with 1: a run with any fault has no figures. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* A wrong command line: to stderr, exit code 2. */
void usage(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void *must_alloc(size_t size);
void *must_realloc(void *old, size_t size);
uint64_t now_ns(void);
/* CPU time of this process so far. */
uint64_t own_cpu_ns(void);
uint64_t random64(void);
int epoll_make(void);
/* Adds fd with `data`, or changes the events of one that was added. */
void epoll_add(int epoll, int fd, uint32_t events, void *data);
void epoll_change(int epoll, int fd, uint32_t events, void *data);

/* ---- sha1.c ---- */

void sha1(const uint8_t *data, size_t length, uint8_t digest[20]);
/* Writes 4 characters per 3 bytes, padded, and a zero. */
void base64(const uint8_t *data, size_t length, char *out);

/* ---- handshake.c: RFC 6455 section 4 ---- */

enum { KEY_LENGTH = 24, ACCEPT_LENGTH = 28, HEAD_MAX = 8192 };

/* Fills `key` (random, fresh for every connection) and the `accept` that a right answer has to it. */
void handshake_key(char key[KEY_LENGTH + 1], char accept[ACCEPT_LENGTH + 1]);
/* A request head as a browser sends it. Returns its length. */
size_t handshake_request(char *out, size_t room, const char *path, const char *authority, const char *key,
                         bool offers_deflate);
/* The only field of that name, without the space around its value; false if there is none or more than one. */
bool head_field(const char *head, size_t length, const char *name, const char **value, size_t *value_length);
/* Length of the head in `text` with its empty line, 0 while it is incomplete. */
size_t head_length(const char *text, size_t length);
/* Checks a server's whole answer. Returns NULL, or what is wrong with it. */
const char *handshake_check(const char *head, size_t length, const char *accept);
/* Checks a client's request, finds its path, writes the answer. Returns its length, 0 if it is no handshake. */
size_t handshake_answer(const char *head, size_t length, char *path, size_t path_room, char *out, size_t room);

/* ---- frame.c: RFC 6455 section 5 ---- */

enum { OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, FRAME_HEAD_MAX = 14, CONTROL_MAX = 125 };

/* Every data message begins with a stamp: the connection that it belongs to and its number there. */
struct stamp {
  uint32_t connection;
  uint32_t number;
};
enum { STAMP_LENGTH = 8 };

/* Header of one whole message. `key` is NULL for a server's frames. Returns its length. */
size_t frame_put_head(uint8_t *out, int opcode, uint64_t length, const uint8_t *key);
/* One small frame, whole. `out` has room for FRAME_HEAD_MAX + length. Returns its length. */
size_t frame_put_small(uint8_t *out, int opcode, const void *payload, size_t length, bool masked);
/* Applies the mask from the payload's first byte on. */
void frame_unmask(uint8_t *payload, size_t length, const uint8_t key[4]);

/* A frame's header, gathered from however many pieces it arrives in. */
struct frame_head {
  uint8_t bytes[FRAME_HEAD_MAX];
  uint8_t have;
  bool complete;
  bool final, masked;
  uint8_t reserved, opcode;
  uint8_t key[4];
  uint64_t length;
};
/* Takes what belongs to the header. Returns how many bytes that was. */
size_t frame_head_push(struct frame_head *head, const uint8_t *data, size_t length);

/* ---- flow.c: messages on their way out ---- */

/* The payload that every data message has behind its stamp: the same in both processes, and no two parts alike. */
const uint8_t *pattern(void);
/* Called once, before the first flow: prepares messages of `size` payload bytes; `masked` as a client must. */
void flow_prepare(size_t size, bool masked);

/* The data messages of one connection, numbered, written whole and one after the other. */
struct flow {
  uint32_t connection;
  uint32_t number;      /* of the next message to begin */
  size_t size;          /* payload bytes per message */
  bool masked;
  uint8_t *buffer;      /* small messages, built side by side */
  size_t room, length, sent;
  const uint8_t *tail;  /* large messages: what follows the head in `buffer`, not copied */
  size_t tail_length;
};
/* Begins `count` messages (one, if they are large: see flow_batch). */
void flow_begin(struct flow *flow, uint32_t count);
/* How many messages of this size go into one write when a connection is flooded. */
uint32_t flow_batch(size_t size);
/* Begins a text message with a word for the other side. Nothing else may be under way. */
void flow_begin_text(struct flow *flow, const char *text);
void flow_begin_close(struct flow *flow);
/* Copies the next bytes that are to be written, up to `room` of them. Returns how many. */
size_t flow_copy(const struct flow *flow, uint8_t *out, size_t room);
/* Those bytes have left by another way than flow_write. */
void flow_advance(struct flow *flow, size_t length);
/* Writes what was begun: 1 when all of it is with the kernel, 0 when the kernel takes no more for now, -1 on error. */
int flow_write(struct flow *flow, int fd);
bool flow_is_idle(const struct flow *flow);
void flow_free(struct flow *flow);
/* Whether a message's payload is looked at as a whole: the first of a connection, and some of the rest. */
bool is_sampled(uint32_t number);

/* ---- tls.c: the client's half of TLS; in a program that was built without OpenSSL all of it refuses ---- */

struct tls;
enum { TLS_RECORD_MAX = 16384 };
/* Called once, before the first connection. `certificate` is a file with the one that the server must show. */
void tls_prepare(const char *certificate);
struct tls *tls_open(int fd);
/* True once the connection stands; until then `events` is what to wait for. What is wrong with it ends the run. */
bool tls_handshake(struct tls *tls, uint32_t *events);
/* As recv and send, but any error other than EAGAIN ends the run. */
ssize_t tls_read(struct tls *tls, void *data, size_t room);
ssize_t tls_write(struct tls *tls, const void *data, size_t length);
/* Whether there are bytes that the kernel will not tell of. */
bool tls_has_more(const struct tls *tls);
/* Says that no more comes, if the kernel takes it, and forgets the connection. The descriptor stays open. */
void tls_close(struct tls *tls);

/* ---- server.c: what takes connections ---- */

/* What it does with them. A connection is whatever `open` returns. */
struct server {
  const char *name;                                  /* in what is said of faults */
  void *(*open)(int epoll, int fd);                  /* a new one; `epoll` tells of bytes to read there */
  bool (*serve)(void *connection, uint32_t events);  /* false: it is over */
  void (*destroy)(void *connection);
};
/* Listens on that many ports of 127.0.0.1, prints them, and runs until the process is killed. */
void server_run(const struct server *server, int count) __attribute__((noreturn));

/* ---- histogram.c: how long things took, to within 1 % ---- */

struct histogram;
struct histogram *histogram_make(void);
void histogram_clear(struct histogram *histogram);
void histogram_record(struct histogram *histogram, uint64_t ns);
uint64_t histogram_percentile(const struct histogram *histogram, double percent);
uint64_t histogram_max(const struct histogram *histogram);
double histogram_mean(const struct histogram *histogram);

/* ---- the programs ---- */

int backend_main(int count, char **args);
int events_main(int count, char **args);
int client_main(int count, char **args);
int certificate_main(int count, char **args);
int run_main(int count, char **args);

#endif
