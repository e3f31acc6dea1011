/* The upstream of a visit: dialling it, sending it the offer, hearing its answer. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "door_internal.h"
#include "socket_calls.h"

/* Idle time after which the kernel probes whether a peer still lives, as in src/net/dial.ts; and how, as Node has it. */
#define KEEPALIVE_SECONDS 60
#define PROBE_SECONDS 1
#define PROBES 10

static void fail_upstream(struct door *door, struct visit *visit, int error);
static bool put_off(struct door *door, struct visit *visit, const union address *address, socklen_t size,
                    const uint8_t *offer, size_t length);
static int connect_now(struct door *door, struct visit *visit, const union address *address, socklen_t size,
                       const uint8_t *offer, size_t length);

void visit_set_options(int fd) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_SECONDS);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, PROBE_SECONDS);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES);
}

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
    struct visit *visit = visit_find_told(door, number);
    if (visit == NULL) return ESRCH;
    if (visit->dialling != NO_UPSTREAM) return EISCONN;
    if (!read_address(host, port, &address, &size)) return EINVAL;
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno;
    visit_set_options(fd);
    visit->fds[UPSTREAM] = fd;
    visit->dialling = PREPARED;
    visit->dial_errno = 0;
    if (put_off(door, visit, &address, size, offer, length)) return 0;
    int error = connect_now(door, visit, &address, size, offer, length);
    if (error != 0) visit_close_side(visit, UPSTREAM);
    return error;
}

static int connect_now(struct door *door, struct visit *visit, const union address *address, socklen_t size,
                       const uint8_t *offer, size_t length) {
    int fd = visit->fds[UPSTREAM], error = 0;
    size_t sent = 0;
    visit->dialling = CONNECTING;
    if (connect(fd, &address->any, size) != 0 && errno != EINPROGRESS && errno != EINTR) visit->dial_errno = errno;
    else sent = send_offer(visit, offer, length);
    if (visit->dialling != ANSWERING && visit->dial_errno == 0) error = keep_offer(visit, offer + sent, length - sent);
    /* A socket that has failed is always told of. */
    uint32_t events = visit->dialling == ANSWERING ? EPOLLIN | EPOLLRDHUP : EPOLLOUT;
    return error == 0 ? visit_watch(door, visit, UPSTREAM, events) : error;
}

/*
 * The kernel's part of a connection, several thousand instructions of it, goes faster for many in a row than in turns
 * with JavaScript. False when there is no room, or no end of a turn to come.
 */
static bool put_off(struct door *door, struct visit *visit, const union address *address, socklen_t size,
                    const uint8_t *offer, size_t length) {
    if (!door->is_in_turn || door->order_count == ORDERS_PER_TURN) return false;
    if (length > OFFER_BYTES_PER_TURN - door->offers_used) return false;
    visit->order = (uint8_t)door->order_count;
    door->orders[door->order_count++] = (struct order){
        .visit = visit->number, .address = *address, .size = size, .offset = door->offers_used, .length = length};
    if (length > 0) memcpy(door->offers + door->offers_used, offer, length);
    door->offers_used += length;
    return true;
}

/* The visit of an order that still stands: it may be over by now, hung up on, or dialled anew. */
static struct visit *find_ordered(struct door *door, unsigned i) {
    struct visit *visit = visit_find(door, door->orders[i].visit);
    return visit != NULL && visit->dialling == PREPARED && visit->order == i ? visit : NULL;
}

void visit_dial_orders(struct door *door) {
    unsigned failed = 0;
    for (unsigned i = 0; i < door->order_count; i++) {
        const struct order order = door->orders[i];
        struct visit *visit = find_ordered(door, i);
        if (visit == NULL) continue;
        const uint8_t *offer = door->offers + order.offset;
        int error = visit->dial_errno;
        if (error == 0) error = connect_now(door, visit, &order.address, order.size, offer, order.length);
        if (error == 0) continue;
        visit_close_side(visit, UPSTREAM);
        visit->dialling = PREPARED;
        visit->dial_errno = error;
        visit->order = (uint8_t)failed;
        door->orders[failed++] = order;
    }
    door->order_count = failed;
    door->offers_used = 0;
    if (failed > 0) door_come_back(door);
}

void visit_tell_failed_orders(struct door *door) {
    while (door->order_count > 0 && door_has_room(door)) {
        struct visit *visit = find_ordered(door, --door->order_count);
        if (visit != NULL && visit->dial_errno != 0) fail_upstream(door, visit, visit->dial_errno);
    }
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
        if (visit->dialling == PREPARED) return;
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
    bool was_made = visit->dialling > CONNECTING || error == ECONNRESET || error == EPIPE;
    visit_close_side(visit, UPSTREAM);
    door_tell(door, was_made ? DOOR_UPSTREAM_ENDED : DOOR_CONNECT_FAILED, visit, error);
}

bool door_is_connecting(struct door *door, uint32_t number) {
    struct visit *visit = visit_find_told(door, number);
    return visit != NULL && visit->dialling != NO_UPSTREAM && visit->dialling != ANSWERING;
}

void door_hang_up(struct door *door, uint32_t number) {
    struct visit *visit = visit_find_told(door, number);
    if (visit == NULL || visit->dialling == NO_UPSTREAM) return;
    if (visit->fds[UPSTREAM] >= 0) reset_on_close(visit->fds[UPSTREAM]);
    visit_close_side(visit, UPSTREAM);
}
