/* The client's two halves: connections (client-connection.c) and what is done with them (client.c). */
#ifndef CLIENT_H
#define CLIENT_H

#include "load.h"

enum mode { ECHO, PACED, DOWN, UP, HANDSHAKE, IDLE, FANOUT };

enum client_state { UNUSED, CONNECTING, SECURING, ANSWER, OPEN, CLOSE_SENT, CLOSE_RECEIVED };

struct client {
  uint32_t id;
  int fd;
  struct tls *tls; /* NULL: plain */
  enum client_state state;
  uint32_t events;
  struct flow flow;
  char accept[ACCEPT_LENGTH + 1];
  uint8_t *answer; /* its beginning, while the rest is missing */
  size_t answer_length;

  struct frame_head head; /* of the frame that is arriving */
  uint64_t position;      /* in its payload */
  struct stamp stamp;
  char text[CONTROL_MAX + 1];

  uint32_t next_number; /* of the next message from the server */
  uint32_t reported;    /* what the server last said it had counted */
  uint64_t since_ns;    /* what its latency is counted from */
  bool is_ordered;      /* a word for the server waits until the flow is idle */
  bool is_flooding;
};

/* What client.c is told. A message has been checked; a text is a word of the backend. */
void on_open(struct client *client);
void on_message(struct client *client);
void on_text(struct client *client, const char *text);
void on_writable(struct client *client);
void on_closed(struct client *client);

struct target {
  int epoll;
  uint16_t port;
  char authority[32];
  char path[64];
  size_t size;
  bool is_secure;
  bool offers_deflate;
};
extern struct target target;

/* Connects and asks for the upgrade; on_open follows. */
void client_open(struct client *client);
/* Writes what the flow holds. True when all of it has left; otherwise on_writable follows. */
bool client_write(struct client *client);
/* Says Close and waits for the other side's and its end; on_closed follows. */
void client_close(struct client *client);
void client_serve(struct client *client, uint32_t events);

/* Where messages are published that go to all (client-publish.c). */
struct publisher {
  int fd;
  uint16_t port;
  bool is_grip; /* in the words of GRIP; otherwise the body is the message */
  bool is_awaiting;
};
extern struct publisher publisher;

/* Sends the message; on_published follows, once it has been taken. */
void publish(const char *text);
void on_published(void);
void publisher_serve(void);

#endif
