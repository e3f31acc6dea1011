/* What door.c and visit.c share. */
#ifndef TIDEGATE_DOOR_INTERNAL_H
#define TIDEGATE_DOOR_INTERNAL_H

#include <netinet/in.h>

#include "door.h"
/* For enum side_name. */
#include "relay.h"

/* Visits are made so many at a time, and kept for the next ones. */
#define VISITS_PER_CHUNK 256

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

/* GREETING: nothing has come from the client yet. DECIDING: its number is known to the owner. */
enum stage { FREE, GREETING, DECIDING };
/* SENDING: the connection is made, a part of the offer is not sent. */
enum dialling { NO_UPSTREAM, CONNECTING, SENDING, ANSWERING };

/* What the upstream did not take at once. */
struct offer {
    size_t sent, length;
    uint8_t bytes[];
};

struct visit {
    /* Its place, and how often the place was taken before: no number comes back soon. */
    uint32_t number;
    uint8_t stage, dialling;
    /* Its end was told: it is not watched any more. */
    bool is_client_gone;
    /* By side; what epoll is asked for, 0 while it does not have the descriptor. */
    int fds[2];
    uint32_t watched[2];
    uint32_t listener;
    /* What connect() or the first send has said; told when epoll comes to it. */
    int dial_errno;
    struct offer *offer;
    int64_t silent_at_ms;
    /* Lists of those that are free (by `next`), or greeting. */
    struct visit *prev, *next;
    union address address;
};

struct listener {
    /* -1 when closed. */
    int fd;
    /* 0, or when it is to accept again. */
    int64_t paused_until_ms;
};

struct door {
    int epoll_fd, timer_fd;
    /* When the timer goes off; 0 while it does not. */
    int64_t timer_at_ms;
    struct listener *listeners;
    unsigned listeners_capacity, listening;

    struct visit *chunks[MAX_VISITS / VISITS_PER_CHUNK];
    unsigned chunk_count, visits;
    /* The one that has been free for longest goes out first. */
    struct visit *free, *last_free;
    /* In the order of their deadlines. */
    struct visit *greeting, *last_greeting;

    /* The owner's memory, and how much of it the present turn has filled. */
    struct door_event *events;
    size_t max_events, count;
    uint8_t *bytes;
    size_t capacity, used;
};

/* visit.c */
struct visit *visit_make(struct door *door, int client);
/* Closes what it has, as it is, and forgets it. */
void visit_end(struct door *door, struct visit *visit);
/* NULL when the number is unknown or over. */
struct visit *visit_find(struct door *door, uint32_t number);
void visit_hear_client(struct door *door, struct visit *visit, uint32_t events);
void visit_hear_upstream(struct door *door, struct visit *visit, uint32_t events);
/* Reads the first bytes of a client. False when there are none yet; otherwise it was told, or is over. */
bool visit_greet(struct door *door, struct visit *visit);
/* Has epoll tell these events of a side, or none. 0 or an errno. */
int visit_watch(struct door *door, struct visit *visit, enum side_name side, uint32_t events);
void visit_free_all(struct door *door);

/* door.c */
bool door_has_room(const struct door *door);
struct door_event *door_tell(struct door *door, enum door_event_kind kind, const struct visit *visit, int extra);
/* Writes the client's address and moves on. */
void door_tell_address(struct door *door, struct door_event *event, const struct visit *visit);
void door_leave_greeting(struct door *door, struct visit *visit);

#endif
