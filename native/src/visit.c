/* One visit: its client, its upstream, and what the owner wants of it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "door_internal.h"

/* Idle time after which the kernel probes whether an upstream still lives, as in src/net/dial.ts; and how, as Node has it. */
#define KEEPALIVE_SECONDS 60
#define PROBE_SECONDS 1
#define PROBES 10

#define PLACE_MASK (MAX_VISITS - 1)
/* Numbers are positive as JavaScript's 32-bit ones, and never 0. */
#define NEXT_TURN(number) (((number) + MAX_VISITS) & 0x7fffffff)

static void fail_upstream(struct door *door, struct visit *visit, int error);
static void close_side(struct visit *visit, enum side_name side);

/* ---- the table ---- */

static bool add_chunk(struct door *door) {
    if (door->chunk_count == MAX_VISITS / VISITS_PER_CHUNK) return false;
    struct visit *chunk = calloc(VISITS_PER_CHUNK, sizeof *chunk);
    if (chunk == NULL) return false;
    unsigned first = door->chunk_count * VISITS_PER_CHUNK;
    for (unsigned i = 0; i < VISITS_PER_CHUNK; i++) {
        chunk[i].number = first + i + MAX_VISITS;
        chunk[i].next = i + 1 < VISITS_PER_CHUNK ? &chunk[i + 1] : NULL;
    }
    door->chunks[door->chunk_count++] = chunk;
    door->free = chunk;
    door->last_free = &chunk[VISITS_PER_CHUNK - 1];
    return true;
}

struct visit *visit_make(struct door *door, int client) {
    if (door->free == NULL && !add_chunk(door)) return NULL;
    struct visit *visit = door->free;
    door->free = visit->next;
    *visit = (struct visit){.number = visit->number, .stage = GREETING, .fds = {client, -1}};
    door->visits++;
    return visit;
}

static void forget(struct door *door, struct visit *visit) {
    uint32_t number = NEXT_TURN(visit->number);
    visit->number = number < MAX_VISITS ? number + MAX_VISITS : number;
    visit->stage = FREE;
    visit->next = NULL;
    if (door->free == NULL) door->free = visit;
    else door->last_free->next = visit;
    door->last_free = visit;
    door->visits--;
}

void visit_end(struct door *door, struct visit *visit) {
    if (visit->stage == GREETING) door_leave_greeting(door, visit);
    close_side(visit, CLIENT);
    close_side(visit, UPSTREAM);
    forget(door, visit);
}

struct visit *visit_find(struct door *door, uint32_t number) {
    uint32_t place = number & PLACE_MASK;
    if (place / VISITS_PER_CHUNK >= door->chunk_count) return NULL;
    struct visit *visit = &door->chunks[place / VISITS_PER_CHUNK][place % VISITS_PER_CHUNK];
    return visit->stage != FREE && visit->number == number ? visit : NULL;
}

/* For the owner, who knows only of those that it was told of. */
static struct visit *find_told(struct door *door, uint32_t number) {
    struct visit *visit = visit_find(door, number);
    return visit != NULL && visit->stage == DECIDING ? visit : NULL;
}

static void reset_on_close(int fd) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void cut(struct door *door, struct visit *visit) {
    for (int side = CLIENT; side <= UPSTREAM; side++) {
        if (visit->fds[side] >= 0) reset_on_close(visit->fds[side]);
    }
    visit_end(door, visit);
}

void visit_free_all(struct door *door) {
    for (unsigned i = 0; i < door->chunk_count; i++) {
        for (unsigned j = 0; j < VISITS_PER_CHUNK; j++) {
            if (door->chunks[i][j].stage != FREE) cut(door, &door->chunks[i][j]);
        }
    }
    for (unsigned i = 0; i < door->chunk_count; i++) free(door->chunks[i]);
    door->chunk_count = 0;
}

/* ---- its sockets ---- */

int visit_watch(struct door *door, struct visit *visit, enum side_name side, uint32_t events) {
    if (visit->watched[side] == events) return 0;
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)side << 32 | visit->number};
    int operation = visit->watched[side] == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    if (epoll_ctl(door->epoll_fd, operation, visit->fds[side], &event) != 0) return errno;
    visit->watched[side] = events;
    return 0;
}

/* Nobody has a duplicate: closing takes it out of the epoll as well. */
static void close_side(struct visit *visit, enum side_name side) {
    if (visit->fds[side] >= 0) close(visit->fds[side]);
    visit->fds[side] = -1;
    visit->watched[side] = 0;
    if (side == CLIENT) return;
    visit->dialling = NO_UPSTREAM;
    free(visit->offer);
    visit->offer = NULL;
}

static ssize_t receive(int fd, uint8_t *bytes, size_t length) {
    for (;;) {
        ssize_t received = recv(fd, bytes, length, MSG_DONTWAIT);
        if (received >= 0 || errno != EINTR) return received;
    }
}

/* As much as the socket takes at once; -1 and errno when it fails. A socket that is connecting takes nothing. */
static ssize_t send_some(int fd, const uint8_t *bytes, size_t length) {
    for (;;) {
        ssize_t sent = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0 || errno != EINTR) return sent;
    }
}

static bool would_block(int error) {
    return error == EAGAIN || error == EWOULDBLOCK;
}

static int take_error(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

/* Fails on a unix socket, which needs none of it. */
static void set_option(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
}

/* ---- the client ---- */

bool visit_greet(struct door *door, struct visit *visit) {
    uint8_t *bytes = door->bytes + door->used + ADDRESS_BYTES;
    ssize_t length = receive(visit->fds[CLIENT], bytes, READ_BYTES);
    if (length < 0 && would_block(errno)) return false;
    bool was_waiting = visit->watched[CLIENT] != 0;
    if (was_waiting) door_leave_greeting(door, visit);
    visit->stage = DECIDING;
    if (length <= 0) {
        /* It said nothing: nobody need know of it. */
        visit_end(door, visit);
        return true;
    }
    struct door_event *event = door_tell(door, DOOR_HEAD, visit, (int)visit->listener);
    door_tell_address(door, event, visit);
    event->length = (int32_t)length;
    door->used += (size_t)length;
    return true;
}

void visit_hear_client(struct door *door, struct visit *visit, uint32_t events) {
    if (visit->stage == GREETING) {
        visit_greet(door, visit);
        return;
    }
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0 || visit->is_client_gone) return;
    visit->is_client_gone = true;
    int error = take_error(visit->fds[CLIENT]);
    visit_watch(door, visit, CLIENT, 0);
    door_tell(door, DOOR_CLIENT_GONE, visit, error);
}

int door_send(struct door *door, uint32_t number, const uint8_t *bytes, size_t length) {
    struct visit *visit = find_told(door, number);
    if (visit == NULL) return ESRCH;
    set_option(visit->fds[CLIENT], IPPROTO_TCP, TCP_NODELAY, 1);
    ssize_t sent = send_some(visit->fds[CLIENT], bytes, length);
    if (sent < 0) return errno;
    return (size_t)sent == length ? 0 : EAGAIN;
}

/* ---- the upstream ---- */

static bool read_address(const char *host, uint32_t port, union address *address, socklen_t *size) {
    if (port > UINT16_MAX) return false;
    *address = (union address){.ipv4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)}};
    *size = sizeof address->ipv4;
    if (inet_pton(AF_INET, host, &address->ipv4.sin_addr) == 1) return true;
    *address = (union address){.ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)}};
    *size = sizeof address->ipv6;
    return inet_pton(AF_INET6, host, &address->ipv6.sin6_addr) == 1;
}

/*
 * Sends what it can of the offer. On loopback the connection is made by the time connect() returns, and otherwise the
 * send says EAGAIN. Returns how much was sent; a failure is kept for fail_upstream.
 */
static size_t send_offer(struct visit *visit, const uint8_t *bytes, size_t length) {
    ssize_t sent = send_some(visit->fds[UPSTREAM], bytes, length);
    if (sent < 0) {
        if (!would_block(errno)) visit->dial_errno = errno;
        return 0;
    }
    visit->dialling = (size_t)sent == length ? ANSWERING : SENDING;
    return (size_t)sent;
}

static int keep_offer(struct visit *visit, const uint8_t *bytes, size_t length) {
    visit->offer = malloc(sizeof *visit->offer + length);
    if (visit->offer == NULL) return ENOMEM;
    *visit->offer = (struct offer){.length = length};
    if (length > 0) memcpy(visit->offer->bytes, bytes, length);
    return 0;
}

int door_dial(struct door *door, uint32_t number, const char *host, uint32_t port, const uint8_t *offer, size_t length) {
    union address address;
    socklen_t size;
    struct visit *visit = find_told(door, number);
    if (visit == NULL) return ESRCH;
    if (visit->dialling != NO_UPSTREAM) return EISCONN;
    if (!read_address(host, port, &address, &size)) return EINVAL;
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, PROBE_SECONDS);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES);
    visit->fds[UPSTREAM] = fd;
    visit->dialling = CONNECTING;
    visit->dial_errno = 0;

    size_t sent = 0;
    if (connect(fd, &address.any, size) != 0 && errno != EINPROGRESS && errno != EINTR) visit->dial_errno = errno;
    else sent = send_offer(visit, offer, length);
    int error = 0;
    if (visit->dialling != ANSWERING && visit->dial_errno == 0) error = keep_offer(visit, offer + sent, length - sent);
    /* A socket that has failed is always told of. */
    uint32_t events = visit->dialling == ANSWERING ? EPOLLIN | EPOLLRDHUP : EPOLLOUT;
    if (error == 0) error = visit_watch(door, visit, UPSTREAM, events);
    if (error != 0) close_side(visit, UPSTREAM);
    return error;
}

static void send_rest(struct door *door, struct visit *visit) {
    struct offer *offer = visit->offer;
    if (visit->dial_errno == 0) {
        offer->sent += send_offer(visit, offer->bytes + offer->sent, offer->length - offer->sent);
    }
    if (visit->dial_errno == 0 && visit->dialling == ANSWERING) {
        free(offer);
        visit->offer = NULL;
        visit->dial_errno = visit_watch(door, visit, UPSTREAM, EPOLLIN | EPOLLRDHUP);
    }
    if (visit->dial_errno != 0) fail_upstream(door, visit, visit->dial_errno);
}

void visit_hear_upstream(struct door *door, struct visit *visit, uint32_t events) {
    (void)events;
    if (visit->dialling == NO_UPSTREAM) return;
    if (visit->dialling != ANSWERING) {
        send_rest(door, visit);
        return;
    }
    uint8_t *bytes = door->bytes + door->used;
    ssize_t length = receive(visit->fds[UPSTREAM], bytes, READ_BYTES);
    if (length < 0 && would_block(errno)) return;
    if (length <= 0) {
        fail_upstream(door, visit, length < 0 ? errno : 0);
        return;
    }
    struct door_event *event = door_tell(door, DOOR_ANSWER, visit, 0);
    event->offset = (int32_t)door->used;
    event->length = (int32_t)length;
    door->used += (size_t)length;
}

/* A reset, or a pipe without an end, means that there was a connection, even if the first send was what met it. */
static void fail_upstream(struct door *door, struct visit *visit, int error) {
    bool was_made = visit->dialling != CONNECTING || error == ECONNRESET || error == EPIPE;
    close_side(visit, UPSTREAM);
    door_tell(door, was_made ? DOOR_UPSTREAM_ENDED : DOOR_CONNECT_FAILED, visit, error);
}

/* ---- the end of a visit ---- */

int door_hand_over(struct door *door, uint32_t number, int (*take)(void *context, const int fds[2]), void *context) {
    struct visit *visit = find_told(door, number);
    if (visit == NULL) return ESRCH;
    if (visit->dialling != ANSWERING) return ENOTCONN;
    const uint32_t watched[2] = {visit->watched[CLIENT], visit->watched[UPSTREAM]};
    /* Before, because afterwards the numbers may be somebody else's. */
    visit_watch(door, visit, CLIENT, 0);
    visit_watch(door, visit, UPSTREAM, 0);
    int error = take(context, visit->fds);
    if (error == 0) {
        visit->dialling = NO_UPSTREAM;
        forget(door, visit);
        return 0;
    }
    for (int side = CLIENT; side <= UPSTREAM; side++) visit_watch(door, visit, (enum side_name)side, watched[side]);
    return error;
}

void door_take(struct door *door, uint32_t number, int fds[2]) {
    fds[CLIENT] = fds[UPSTREAM] = -1;
    struct visit *visit = find_told(door, number);
    if (visit == NULL) return;
    if (visit->dialling != ANSWERING) close_side(visit, UPSTREAM);
    for (int side = CLIENT; side <= UPSTREAM; side++) {
        if (visit->fds[side] < 0) continue;
        visit_watch(door, visit, (enum side_name)side, 0);
        fds[side] = visit->fds[side];
        set_option(fds[side], IPPROTO_TCP, TCP_NODELAY, 1);
    }
    if (fds[UPSTREAM] >= 0) {
        /* In a tunnel this is the relay's to do. */
        set_option(fds[UPSTREAM], SOL_SOCKET, SO_KEEPALIVE, 1);
        set_option(fds[UPSTREAM], IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_SECONDS);
    }
    visit->dialling = NO_UPSTREAM;
    forget(door, visit);
}

void door_cut(struct door *door, uint32_t number) {
    struct visit *visit = find_told(door, number);
    if (visit != NULL) cut(door, visit);
}
