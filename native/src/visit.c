/* One visit: its place in the table, its client, and its end. Its upstream is in visit_upstream.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "door_internal.h"
#include "socket_calls.h"

#define PLACE_MASK (MAX_VISITS - 1)
/* Numbers are positive as JavaScript's 32-bit ones, and never 0. */
#define NEXT_TURN(number) (((number) + MAX_VISITS) & 0x7fffffff)

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
    visit_close_side(visit, CLIENT);
    visit_close_side(visit, UPSTREAM);
    forget(door, visit);
}

struct visit *visit_find(struct door *door, uint32_t number) {
    uint32_t place = number & PLACE_MASK;
    if (place / VISITS_PER_CHUNK >= door->chunk_count) return NULL;
    struct visit *visit = &door->chunks[place / VISITS_PER_CHUNK][place % VISITS_PER_CHUNK];
    return visit->stage != FREE && visit->number == number ? visit : NULL;
}

/* For the owner, who knows only of those that it was told of. */
struct visit *visit_find_told(struct door *door, uint32_t number) {
    struct visit *visit = visit_find(door, number);
    return visit != NULL && visit->stage == DECIDING ? visit : NULL;
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

void visit_watch_anew(struct door *door, struct visit *visit, enum side_name side) {
    uint32_t events = visit->watched[side];
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)side << 32 | visit->number};
    if (events != 0) epoll_ctl(door->epoll_fd, EPOLL_CTL_MOD, visit->fds[side], &event);
}

/* Nobody has a duplicate: closing takes it out of the epoll as well. */
void visit_close_side(struct visit *visit, enum side_name side) {
    if (visit->fds[side] >= 0) close(visit->fds[side]);
    visit->fds[side] = -1;
    visit->watched[side] = 0;
    if (side == CLIENT) return;
    visit->dialling = NO_UPSTREAM;
    free(visit->offer);
    visit->offer = NULL;
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
        visit->rearms = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
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
    struct visit *visit = visit_find_told(door, number);
    if (visit == NULL) return ESRCH;
    ssize_t sent = send_some(visit->fds[CLIENT], bytes, length);
    if (sent < 0) return errno;
    return (size_t)sent == length ? 0 : EAGAIN;
}

/* ---- the end of a visit ---- */

int door_hand_over(struct door *door, uint32_t number, int (*take)(void *context, const int fds[2]), void *context) {
    struct visit *visit = visit_find_told(door, number);
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
    struct visit *visit = visit_find_told(door, number);
    if (visit == NULL) return;
    if (visit->dialling != ANSWERING) visit_close_side(visit, UPSTREAM);
    for (int side = CLIENT; side <= UPSTREAM; side++) {
        if (visit->fds[side] < 0) continue;
        visit_watch(door, visit, (enum side_name)side, 0);
        fds[side] = visit->fds[side];
    }
    visit->dialling = NO_UPSTREAM;
    forget(door, visit);
}

void door_cut(struct door *door, uint32_t number) {
    struct visit *visit = visit_find_told(door, number);
    if (visit != NULL) cut(door, visit);
}
