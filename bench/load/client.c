/*
 * load client --port P --mode M …: drives one case and checks every message. Prints {"event":"ready"} once all
 * connections are open, the warm-up is over and nothing is under way; measures from "go" on stdin until every message
 * that was begun has come back; prints {"event":"done",…}; waits for a line again; closes every connection properly.
 *
 *   echo       one message under way per connection
 *   paced      --rate messages per second over all connections, due at fixed times whether or not answers are late
 *   down, up   one direction flooded, from the server or towards it; ends with both sides agreeing on the count
 *   handshake  connect, upgrade, Close both ways, end: --connections at a time
 *   idle       one message each, then silence
 *   fanout     messages are published one at a time (--publish-port, --publish-as grip|plain); each has to reach every
 *              connection once and in order before the next; --messages counts those published
 *
 * With --tls CERTIFICATE all of it over TLS; a handshake is then both, TLS's and the upgrade.
 */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { EVENTS = 512, AT_ONCE = 64, UNITS_PER_TURN = 8, LOOK_EVERY_MS = 250 };
enum { PROBES = 40 };
#define STALL_NS 10000000000u
#define PROBE_NS 250000000u

static const char *const mode_names[] = {"echo", "paced", "down", "up", "handshake", "idle", "fanout"};
static const char *const paths[] = {"echo", "echo", "source", "sink", "echo", "echo", "subscribe"};

static enum mode mode;
static const char *path;
static struct client *clients;
static uint32_t connection_count = 1;
static double seconds = 1, warm_up_seconds = 0.2, rate = 1000;
static uint64_t message_limit; /* 0: by time */

/* From start to rest. Its messages are those that were begun in it. */
static struct phase {
  uint64_t start_ns, end_ns;
  uint64_t limit, begun, messages;
  uint32_t busy; /* connections that have something under way */
  bool is_last_round;
} phase;
static struct histogram *latency;

/* Opening, before the first phase, and closing, after the last. */
static uint32_t next_client, open_count;
static enum { OPENING, RUNNING, CLOSING } stage;

static uint64_t progress;
static char news_text[CONTROL_MAX + 1];
static void turn(void);
static int timer = -1;
static uint64_t due_ns, interval_ns;
static struct client **idle_clients;
static uint32_t idle_count;

static bool may_begin(uint64_t now) { return phase.begun < phase.limit && now < phase.end_ns; }

static void rest(void) { phase.busy--; }

/* ---- echo, idle and paced: a message there, a message back ---- */

static void send_one(struct client *client, uint64_t since_ns) {
  client->since_ns = since_ns;
  phase.begun++;
  flow_begin(&client->flow, 1);
  client_write(client);
}

static void pace(void) {
  uint64_t now = now_ns();
  while (idle_count > 0 && due_ns <= now && due_ns < phase.end_ns && phase.begun < phase.limit) {
    phase.busy++;
    send_one(idle_clients[--idle_count], due_ns);
    due_ns += interval_ns;
  }
  if (due_ns >= phase.end_ns || phase.begun >= phase.limit) {
    phase.is_last_round = true;
    return;
  }
  /* Without an idle connection the next answer comes back here. */
  if (idle_count == 0) return;
  struct itimerspec at = {.it_value = {(time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u)}};
  if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL) < 0) fail("timerfd_settime: %s", strerror(errno));
}

static void start_pace(void) {
  idle_count = 0;
  for (uint32_t i = 0; i < connection_count; i++) idle_clients[idle_count++] = &clients[i];
  interval_ns = (uint64_t)(1e9 / rate);
  due_ns = phase.start_ns + interval_ns;
  pace();
}

static void on_echo(struct client *client) {
  uint64_t now = now_ns();
  histogram_record(latency, now - client->since_ns);
  phase.messages++;
  if (mode == PACED) {
    rest();
    idle_clients[idle_count++] = client;
    pace();
  } else if (mode == ECHO && may_begin(now)) {
    send_one(client, now);
  } else {
    rest();
  }
}

/* ---- down and up ---- */

static void say(struct client *client, const char *text) {
  client->is_ordered = true;
  flow_begin_text(&client->flow, text);
  client_write(client);
}

static uint64_t share(uint32_t id) {
  return phase.limit == UINT64_MAX ? 0 : phase.limit / connection_count + (id < phase.limit % connection_count);
}

static void start_down(struct client *client) {
  char text[64];
  if (phase.limit != UINT64_MAX && share(client->id) == 0) {
    rest();
    return;
  }
  snprintf(text, sizeof text, "go %" PRIu32 " %" PRIu64, client->id, share(client->id));
  say(client, text);
  client->is_ordered = phase.limit != UINT64_MAX;
}

static void on_down(struct client *client) {
  phase.messages++;
  if (!client->is_ordered && now_ns() >= phase.end_ns) say(client, "stop");
}

static void flood(struct client *client) {
  for (int units = 0; units < UNITS_PER_TURN; units++) {
    uint32_t count = flow_batch(target.size);
    uint64_t left = phase.limit - phase.begun;
    if (left < count) count = (uint32_t)left;
    if (count == 0 || now_ns() >= phase.end_ns) {
      client->is_flooding = false;
      say(client, "report");
      return;
    }
    phase.begun += count;
    flow_begin(&client->flow, count);
    if (!client_write(client)) return;
  }
}

static void start_up(struct client *client) {
  client->is_flooding = true;
  client->is_ordered = false;
  flood(client);
}

/* ---- fanout: a message there, a message to everybody ---- */

static struct {
  uint32_t number; /* of the message that was published last */
  uint32_t missing;
  uint64_t since_ns;
  uint64_t heard_ns; /* when the last of any came */
} news;

static void publish_next(uint64_t now) {
  static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  char text[CONTROL_MAX + 1];
  phase.begun++;
  news.number++;
  news.missing = connection_count;
  news.since_ns = now;
  int length = snprintf(text, sizeof text, "%010" PRIu32 " ", news.number);
  for (size_t i = (size_t)length; i < target.size; i++) text[i] = letters[(news.number + i) % (sizeof letters - 1)];
  text[target.size] = 0;
  snprintf(news_text, sizeof news_text, "%s", text);
  publish(text);
}

static void go_on(void) {
  if (stage != RUNNING || news.missing > 0 || publisher.is_awaiting) return;
  uint64_t now = now_ns();
  if (may_begin(now)) publish_next(now);
  else rest();
}

void on_published(void) {
  progress++;
  go_on();
}

static void on_news(struct client *client, const char *text) {
  uint64_t now = now_ns();
  uint32_t number = (uint32_t)strtoul(text, NULL, 10);
  bool is_next = stage == RUNNING ? number == client->reported + 1 : number > client->reported;
  if (!is_next) fail("connection %u: message %u came behind %u", client->id, number, client->reported);
  client->reported = number;
  news.heard_ns = now;
  if (number != news.number) {
    if (stage == OPENING) return;
    fail("connection %u: message %u came instead of %u", client->id, number, news.number);
  }
  if (strcmp(text, news_text) != 0) fail("connection %u: message %u came changed", client->id, number);
  progress++;
  news.missing--;
  if (stage != RUNNING) return;
  histogram_record(latency, now - news.since_ns);
  phase.messages++;
  go_on();
}

/* A gateway may subscribe a connection a little after it has answered it. */
static void await_subscriptions(void) {
  for (int tries = 0; tries < PROBES; tries++) {
    publish_next(news.heard_ns = now_ns());
    progress++;
    while (publisher.is_awaiting || (news.missing > 0 && now_ns() < news.heard_ns + PROBE_NS)) turn();
    if (news.missing == 0) return;
  }
  fail("%u of %u connections do not hear what is published", news.missing, connection_count);
}

void on_text(struct client *client, const char *text) {
  if (mode == FANOUT) {
    on_news(client, text);
    return;
  }
  uint32_t count = 0;
  bool is_fine = client->is_ordered && mode == UP     ? sscanf(text, "received %" SCNu32, &count) == 1
                 : client->is_ordered && mode == DOWN ? sscanf(text, "sent %" SCNu32, &count) == 1
                                                      : false;
  if (!is_fine) fail("connection %u: the backend says '%s'", client->id, text);
  uint32_t mine = mode == UP ? client->flow.number : client->next_number;
  if (count != mine) fail("connection %u: the backend has '%s', the client %u messages", client->id, text, mine);
  if (mode == UP) phase.messages += count - client->reported;
  client->reported = count;
  progress++;
  rest();
}

void on_message(struct client *client) {
  progress++;
  if (mode == DOWN) on_down(client);
  else if (mode == ECHO || mode == PACED || mode == IDLE) on_echo(client);
  else fail("connection %u: a message that nobody asked for", client->id);
}

void on_writable(struct client *client) {
  progress++;
  if (client->is_flooding) flood(client);
}

/* ---- connections come and go ---- */

static void open_next(uint64_t now) {
  struct client *client = &clients[next_client++];
  client->since_ns = now;
  client_open(client);
}

static void start_handshake(struct client *client, uint64_t now) {
  phase.begun++;
  client->since_ns = now;
  client_open(client);
}

void on_open(struct client *client) {
  progress++;
  if (mode == HANDSHAKE) {
    histogram_record(latency, now_ns() - client->since_ns);
    client_close(client);
    return;
  }
  open_count++;
  if (next_client < connection_count) open_next(now_ns());
}

void on_closed(struct client *client) {
  progress++;
  if (mode == HANDSHAKE) {
    uint64_t now = now_ns();
    phase.messages++;
    if (may_begin(now)) start_handshake(client, now);
    else rest();
    return;
  }
  open_count--;
  if (next_client < connection_count) client_close(&clients[next_client++]);
}

/* ---- the loop ---- */

static void turn(void) {
  static uint64_t seen, seen_ns;
  struct epoll_event events[EVENTS];
  int ready = epoll_wait(target.epoll, events, EVENTS, LOOK_EVERY_MS);
  if (ready < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
  for (int i = 0; i < ready; i++) {
    if (events[i].data.ptr == &timer) {
      uint64_t times;
      if (read(timer, &times, sizeof times) > 0) pace();
    } else if (events[i].data.ptr == &publisher) {
      publisher_serve();
    } else {
      client_serve(events[i].data.ptr, events[i].events);
    }
  }
  if (progress != seen || seen_ns == 0) {
    seen = progress;
    seen_ns = now_ns();
  } else if (now_ns() - seen_ns > STALL_NS) {
    static const char *const doing[] = {"opening", "running", "closing"};
    fail("nothing moves (%s): %u of %u connections open, %u wait, %" PRIu64 " messages came", doing[stage], open_count,
         connection_count, phase.busy, phase.messages);
  }
}

static void open_all(void) {
  stage = OPENING;
  next_client = 0;
  while (next_client < connection_count && next_client < AT_ONCE) open_next(now_ns());
  while (open_count < connection_count) turn();
  if (mode == FANOUT) await_subscriptions();
}

static void close_all(void) {
  stage = CLOSING;
  next_client = 0;
  progress++;
  while (next_client < connection_count && next_client < AT_ONCE) client_close(&clients[next_client++]);
  while (open_count > 0) turn();
}

static void run_phase(double length_seconds, uint64_t limit) {
  stage = RUNNING;
  uint64_t now = now_ns();
  phase = (struct phase){.start_ns = now, .limit = limit ? limit : UINT64_MAX, .busy = connection_count};
  phase.end_ns = limit ? UINT64_MAX : now + (uint64_t)(length_seconds * 1e9);
  histogram_clear(latency);
  progress++;
  if (mode == PACED) {
    phase.busy = 0;
    start_pace();
    while (phase.busy > 0 || !phase.is_last_round) turn();
  } else if (mode == FANOUT) {
    phase.busy = 1;
    go_on();
    while (phase.busy > 0) turn();
  } else {
    for (uint32_t i = 0; i < connection_count; i++) {
      if (mode == UP) start_up(&clients[i]);
      else if (mode == DOWN) start_down(&clients[i]);
      else if (phase.begun >= phase.limit) rest();
      else if (mode == HANDSHAKE) start_handshake(&clients[i], now_ns());
      else send_one(&clients[i], now_ns());
    }
    while (phase.busy > 0) turn();
  }
}

static void await_line(void) {
  for (char c = 0; c != '\n';) {
    ssize_t got = read(STDIN_FILENO, &c, 1);
    if (got == 0 || (got < 0 && errno != EINTR)) exit(1);
  }
}

static void print_done(uint64_t elapsed_ns, uint64_t cpu_ns) {
  printf("{\"event\":\"done\",\"messages\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"elapsedNs\":%" PRIu64
         ",\"cpuNs\":%" PRIu64 ",\"latencyNs\":{\"mean\":%.0f",
         phase.messages, mode == HANDSHAKE ? 0 : phase.messages * target.size, elapsed_ns, cpu_ns,
         histogram_mean(latency));
  static const double percents[] = {50, 90, 99, 99.9};
  for (size_t i = 0; i < 4; i++) printf(",\"p%g\":%" PRIu64, percents[i], histogram_percentile(latency, percents[i]));
  printf(",\"max\":%" PRIu64 "}}\n", histogram_max(latency));
  fflush(stdout);
}

static void read_arguments(int count, char **args) {
  target.size = 64;
  target.offers_deflate = true;
  if (count % 2 != 0) usage("client: %s has no value", args[count - 1]);
  for (int i = 0; i < count; i += 2) {
    const char *name = args[i], *value = args[i + 1];
    if (!strcmp(name, "--mode")) {
      size_t m = 0;
      while (m < sizeof mode_names / sizeof *mode_names && strcmp(mode_names[m], value) != 0) m++;
      if (m == sizeof mode_names / sizeof *mode_names) usage("client: unknown mode %s", value);
      mode = (enum mode)m;
    } else if (!strcmp(name, "--port")) target.port = (uint16_t)atoi(value);
    else if (!strcmp(name, "--connections")) connection_count = (uint32_t)strtoul(value, NULL, 10);
    else if (!strcmp(name, "--size")) target.size = strtoul(value, NULL, 10);
    else if (!strcmp(name, "--seconds")) seconds = strtod(value, NULL);
    else if (!strcmp(name, "--warm-up")) warm_up_seconds = strtod(value, NULL);
    else if (!strcmp(name, "--messages")) message_limit = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--rate")) rate = strtod(value, NULL);
    else if (!strcmp(name, "--tls")) tls_prepare(value), target.is_secure = true;
    else if (!strcmp(name, "--path")) path = value;
    else if (!strcmp(name, "--offer")) target.offers_deflate = strcmp(value, "nothing") != 0;
    else if (!strcmp(name, "--publish-port")) publisher.port = (uint16_t)atoi(value);
    else if (!strcmp(name, "--publish-as")) publisher.is_grip = !strcmp(value, "grip");
    else usage("client: unknown option %s", name);
  }
  if (mode == FANOUT && publisher.port == 0) usage("client: --publish-port is missing");
  if (mode == FANOUT && (target.size < 16 || target.size > CONTROL_MAX)) {
    usage("client: --size must be from 16 to %d", CONTROL_MAX);
  }
  if (target.port == 0) usage("client: --port is missing");
  if (connection_count == 0) usage("client: --connections must be at least 1");
  if (target.size < STAMP_LENGTH) usage("client: --size must be at least %d", STAMP_LENGTH);
  if (!(rate > 0)) usage("client: --rate must be above 0");
  if (mode == IDLE) message_limit = connection_count, warm_up_seconds = 0;
}

int client_main(int count, char **args) {
  read_arguments(count, args);
  snprintf(target.authority, sizeof target.authority, "127.0.0.1:%u", target.port);
  snprintf(target.path, sizeof target.path, "/%s?size=%zu", path ? path : paths[mode], target.size);
  target.epoll = epoll_make();
  flow_prepare(target.size, true);
  latency = histogram_make();
  clients = must_alloc(connection_count * sizeof *clients);
  idle_clients = must_alloc(connection_count * sizeof(struct client *));
  for (uint32_t i = 0; i < connection_count; i++) clients[i] = (struct client){.id = i, .fd = -1};
  if (mode == PACED) {
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer < 0) fail("timerfd_create: %s", strerror(errno));
    epoll_add(target.epoll, timer, EPOLLIN, &timer);
  }

  if (mode != HANDSHAKE) open_all();
  if (warm_up_seconds > 0) run_phase(warm_up_seconds, 0);
  if (mode == IDLE) run_phase(0, message_limit);
  printf("{\"event\":\"ready\"}\n");
  fflush(stdout);
  await_line();

  uint64_t cpu_ns = own_cpu_ns(), start_ns = now_ns();
  if (mode != IDLE) run_phase(seconds, message_limit);
  print_done(now_ns() - start_ns, own_cpu_ns() - cpu_ns);
  await_line();
  if (mode != HANDSHAKE) close_all();
  printf("{\"event\":\"closed\"}\n");
  return 0;
}
