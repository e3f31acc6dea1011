/* The door itself: who comes in, what the owner is told, and time. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "door_internal.h"

#define EVENTS_PER_TURN 64
#define ACCEPTS_PER_TURN 16
/* How long a listener rests when there is nothing to accept with. */
#define PAUSE_MS 100

/* What an epoll event is about, in the upper half of its data; below stands the number of a visit or a listener. */
enum { ABOUT_CLIENT = CLIENT, ABOUT_UPSTREAM = UPSTREAM, ABOUT_LISTENER, ABOUT_TIMER };

static void accept_some(struct door *door, unsigned number);
static void hear_timer(struct door *door);
static void set_timer(struct door *door, int64_t at_ms);

/* ---- a turn ---- */

size_t door_turn(struct door *door) {
    struct epoll_event told[EVENTS_PER_TURN];
    door->count = door->used = 0;
    door->is_in_turn = true;
    bool is_time = false;
    int count = epoll_wait(door->epoll_fd, told, EVENTS_PER_TURN, 0), i = 0;
    for (; i < count && door_has_room(door); i++) {
        uint32_t about = told[i].data.u64 >> 32, number = (uint32_t)told[i].data.u64;
        if (about == ABOUT_TIMER) is_time = true;
        else if (about == ABOUT_LISTENER) accept_some(door, number);
        else {
            struct visit *visit = visit_find(door, number);
            if (visit == NULL) continue;
            if (about == ABOUT_CLIENT) visit_hear_client(door, visit, told[i].events);
            else visit_hear_upstream(door, visit, told[i].events);
        }
    }
    /* What is left comes again with the next turn: by itself, as long as its cause stands, or because it is asked for. */
    for (; i < count; i++) {
        struct visit *visit = told[i].data.u64 >> 32 == ABOUT_CLIENT ? visit_find(door, (uint32_t)told[i].data.u64) : NULL;
        if (visit != NULL) visit_watch_anew(door, visit, CLIENT);
    }
    /* Last, so that nobody is silent whose bytes were at hand. */
    if (is_time) hear_timer(door);
    return door->count;
}

void door_settle(struct door *door) {
    for (size_t i = 0; i < door->count; i++) {
        const struct door_event *event = &door->events[i];
        if (event->kind != DOOR_HEAD && event->kind != DOOR_SILENT) continue;
        struct visit *visit = visit_find(door, (uint32_t)event->visit);
        if (visit == NULL || visit->stage != DECIDING || visit->is_client_gone) continue;
        if (visit->rearms) visit_watch_anew(door, visit, CLIENT);
        /* Without memory for this its end is met only when it is written to. */
        visit_watch(door, visit, CLIENT, CLIENT_EVENTS);
    }
    door->count = 0;
    door->is_in_turn = false;
    visit_dial_orders(door);
}

bool door_has_room(const struct door *door) {
    return door->count < door->max_events && door->capacity - door->used >= READ_BYTES + ADDRESS_BYTES;
}

struct door_event *door_tell(struct door *door, enum door_event_kind kind, const struct visit *visit, int extra) {
    struct door_event *event = &door->events[door->count++];
    *event = (struct door_event){.kind = kind, .visit = (int32_t)visit->number, .extra = extra};
    return event;
}

/* What was read stands ADDRESS_BYTES behind `used`: the address fits in between, whatever its length. */
void door_tell_address(struct door *door, struct door_event *event, const struct visit *visit) {
    const union address *address = &visit->address;
    char text[ADDRESS_BYTES] = "";
    if (address->any.sa_family == AF_INET) inet_ntop(AF_INET, &address->ipv4.sin_addr, text, sizeof text);
    else if (address->any.sa_family == AF_INET6) inet_ntop(AF_INET6, &address->ipv6.sin6_addr, text, sizeof text);
    size_t length = strlen(text);
    door->used += ADDRESS_BYTES;
    memcpy(door->bytes + door->used - length, text, length);
    event->offset = (int32_t)door->used;
    event->address_length = (int32_t)length;
}

/* ---- time ---- */

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Goes off once, and at the first of all deadlines; one that has gone by the time is met by a look at the lists. */
static void set_timer(struct door *door, int64_t at_ms) {
    if (door->timer_at_ms != 0 && door->timer_at_ms <= at_ms) return;
    struct itimerspec once = {.it_value = {at_ms / 1000, at_ms % 1000 * 1000000}};
    if (timerfd_settime(door->timer_fd, TFD_TIMER_ABSTIME, &once, NULL) == 0) door->timer_at_ms = at_ms;
}

static void set_listener_events(struct door *door, unsigned number, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)ABOUT_LISTENER << 32 | number};
    epoll_ctl(door->epoll_fd, operation, door->listeners[number].fd, &event);
}

static void pause_listener(struct door *door, unsigned number, int error) {
    struct listener *listener = &door->listeners[number];
    set_listener_events(door, number, EPOLL_CTL_MOD, 0);
    listener->paused_until_ms = now_ms() + PAUSE_MS;
    set_timer(door, listener->paused_until_ms);
    if (listener->is_exhausted || !door_has_room(door)) return;
    listener->is_exhausted = true;
    struct door_event *event = &door->events[door->count++];
    *event = (struct door_event){.kind = DOOR_EXHAUSTED, .visit = (int32_t)number, .extra = error};
}

static void hear_timer(struct door *door) {
    int64_t now = now_ms();
    /* Those without room come at once in another turn. */
    while (door->greeting != NULL && door->greeting->silent_at_ms <= now && door_has_room(door)) {
        struct visit *visit = door->greeting;
        door_leave_greeting(door, visit);
        visit->stage = DECIDING;
        door_tell_address(door, door_tell(door, DOOR_SILENT, visit, (int)visit->listener), visit);
    }
    visit_tell_failed_orders(door);
    uint64_t ticks;
    if (read(door->timer_fd, &ticks, sizeof ticks) < 0 && errno != EAGAIN) return;
    door->timer_at_ms = 0;
    for (unsigned number = 0; number < door->listeners_capacity; number++) {
        struct listener *listener = &door->listeners[number];
        if (listener->fd < 0 || listener->paused_until_ms == 0) continue;
        if (listener->paused_until_ms <= now) {
            listener->paused_until_ms = 0;
            set_listener_events(door, number, EPOLL_CTL_MOD, EPOLLIN);
        } else {
            set_timer(door, listener->paused_until_ms);
        }
    }
    if (door->greeting != NULL) set_timer(door, door->greeting->silent_at_ms);
    if (door->order_count > 0) set_timer(door, now);
}

void door_come_back(struct door *door) {
    set_timer(door, now_ms());
}

static void enter_greeting(struct door *door, struct visit *visit) {
    visit->silent_at_ms = now_ms() + SILENT_MS;
    visit->prev = door->last_greeting;
    visit->next = NULL;
    if (visit->prev != NULL) visit->prev->next = visit;
    else door->greeting = visit;
    door->last_greeting = visit;
    set_timer(door, visit->silent_at_ms);
}

void door_leave_greeting(struct door *door, struct visit *visit) {
    if (visit->prev != NULL) visit->prev->next = visit->next;
    else door->greeting = visit->next;
    if (visit->next != NULL) visit->next->prev = visit->prev;
    else door->last_greeting = visit->prev;
}

/* ---- listeners ---- */

/* An error of accept4 that is about one client, or about nothing at all (accept(2), "Error handling"). */
static bool is_passing(int error) {
    switch (error) {
    case ECONNABORTED: case EINTR: case EPROTO: case EPERM: case ENETDOWN: case ENOPROTOOPT: case EHOSTDOWN:
    case ENONET: case EHOSTUNREACH: case EOPNOTSUPP: case ENETUNREACH:
        return true;
    default: return false;
    }
}

static void accept_some(struct door *door, unsigned number) {
    for (int i = 0; i < ACCEPTS_PER_TURN && door_has_room(door); i++) {
        union address address = {.any.sa_family = AF_UNSPEC};
        socklen_t size = sizeof address;
        if (door->listeners[number].fd < 0) return;
        int client = accept4(door->listeners[number].fd, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK) return;
            if (is_passing(errno)) continue;
            /* Out of descriptors or memory; or no listening socket any more. */
            pause_listener(door, number, errno);
            return;
        }
        struct visit *visit = visit_make(door, client);
        if (visit == NULL) {
            close(client);
            pause_listener(door, number, ENOMEM);
            return;
        }
        door->listeners[number].is_exhausted = false;
        visit->listener = number;
        visit->address = address;
        if (visit_greet(door, visit)) continue;
        enter_greeting(door, visit);
        if (visit_watch(door, visit, CLIENT, CLIENT_EVENTS) != 0) visit_end(door, visit);
    }
}

int door_listen(struct door *door, int fd, unsigned number) {
    int is_listening = 0;
    socklen_t size = sizeof is_listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) != 0) return errno;
    if (number >= MAX_LISTENERS || !is_listening) return EINVAL;
    if (number >= door->listeners_capacity) {
        struct listener *listeners = realloc(door->listeners, (number + 1) * sizeof *listeners);
        if (listeners == NULL) return ENOMEM;
        for (unsigned i = door->listeners_capacity; i <= number; i++) listeners[i] = (struct listener){.fd = -1};
        door->listeners = listeners;
        door->listeners_capacity = number + 1;
    }
    struct listener *listener = &door->listeners[number];
    if (listener->fd >= 0) return EEXIST;
    int flags = fcntl(fd, F_GETFL), duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)ABOUT_LISTENER << 32 | number};
    if (duplicate < 0) return errno;
    if (fcntl(duplicate, F_SETFL, flags | O_NONBLOCK) != 0 ||
        epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, duplicate, &event) != 0) {
        int error = errno;
        close(duplicate);
        return error;
    }
    *listener = (struct listener){.fd = duplicate};
    /* Those who are accepted have them from here (Linux): a call each for all instead of one for each client. */
    visit_set_options(duplicate);
    door->listening++;
    return 0;
}

void door_unlisten(struct door *door, unsigned number) {
    if (number >= door->listeners_capacity || door->listeners[number].fd < 0) return;
    /* The socket lives on in the descriptor that this one duplicates: closing alone would not stop the events. */
    epoll_ctl(door->epoll_fd, EPOLL_CTL_DEL, door->listeners[number].fd, NULL);
    close(door->listeners[number].fd);
    door->listeners[number].fd = -1;
    door->listening--;
    for (struct visit *visit = door->greeting, *next; visit != NULL; visit = next) {
        next = visit->next;
        if (visit->listener == number) visit_end(door, visit);
    }
}

/* ---- its life ---- */

struct door *door_open(struct door_event *events, size_t max_events, uint8_t *bytes, size_t capacity) {
    if (max_events < 1 || capacity < READ_BYTES + ADDRESS_BYTES || capacity > INT32_MAX) {
        errno = EINVAL;
        return NULL;
    }
    struct door *door = calloc(1, sizeof *door);
    if (door == NULL) return NULL;
    door->events = events;
    door->max_events = max_events;
    door->bytes = bytes;
    door->capacity = capacity;
    door->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    door->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)ABOUT_TIMER << 32};
    if (door->epoll_fd >= 0 && door->timer_fd >= 0 &&
        epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, door->timer_fd, &event) == 0) {
        return door;
    }
    int error = errno;
    door_close(door);
    errno = error;
    return NULL;
}

void door_close(struct door *door) {
    visit_free_all(door);
    for (unsigned number = 0; number < door->listeners_capacity; number++) door_unlisten(door, number);
    if (door->timer_fd >= 0) close(door->timer_fd);
    if (door->epoll_fd >= 0) close(door->epoll_fd);
    free(door->listeners);
    free(door);
}

int door_descriptor(const struct door *door) {
    return door->epoll_fd;
}

bool door_is_busy(const struct door *door) {
    return door->listening > 0 || door->visits > 0;
}
