/* What door.c and visit.c share. */
#ifndef TIDEGATE_DOOR_INTERNAL_H
#define TIDEGATE_DOOR_INTERNAL_H

#include <netinet/in.h>
#include <sys/epoll.h>

#include "door.h"
/* For enum side_name. */
#include "relay.h"

/* Visits are made so many at a time, and kept for the next ones. */
#define VISITS_PER_CHUNK 256
/* Beyond these, what is dialled during a turn is dialled at once. */
#define ORDERS_PER_TURN 64
#define OFFER_BYTES_PER_TURN (64 * 1024)

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

/* GREETING: nothing has come from the client yet. DECIDING: its number is known to the owner. */
enum stage { FREE, GREETING, DECIDING };
/* PREPARED: connect() comes at the end of the turn. SENDING: the connection is made, a part of the offer is not sent. */
enum dialling { NO_UPSTREAM, PREPARED, CONNECTING, SENDING, ANSWERING };

/* Edges: what a client sends while its upstream is awaited is told once, and left unread. */
#define CLIENT_EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLET)

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
    /* Its end came with its first bytes: epoll has to be asked again. */
    bool rearms;
    /* By side; what epoll is asked for, 0 while it does not have the descriptor. */
    int fds[2];
    uint32_t watched[2];
    uint32_t listener;
    /* What connect() or the first send has said; told when epoll comes to it. */
    int dial_errno;
    /* Its place among the orders, while PREPARED. */
    uint8_t order;
    struct offer *offer;
    int64_t silent_at_ms;
    /* Lists of those that are free (by `next`), or greeting. */
    struct visit *prev, *next;
    union address address;
};

/* What is dialled at the end of a turn. */
struct order {
    uint32_t visit;
    union address address;
    socklen_t size;
    /* Of its offer, in the door's memory for those. */
    size_t offset, length;
};

struct listener {
    /* -1 when closed. */
    int fd;
    /* 0, or when it is to accept again. */
    int64_t paused_until_ms;
    /* It has been told that it cannot accept. */
    bool is_exhausted;
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

    /* Between door_turn and door_settle. */
    bool is_in_turn;
    struct order orders[ORDERS_PER_TURN];
    unsigned order_count;
    uint8_t offers[OFFER_BYTES_PER_TURN];
    size_t offers_used;
};

/* visit.c */
struct visit *visit_make(struct door *door, int client);
/* Closes what it has, as it is, and forgets it. */
void visit_end(struct door *door, struct visit *visit);
/* NULL when the number is unknown or over. */
struct visit *visit_find(struct door *door, uint32_t number);
/* The same for the owner, who knows only of those that it was told of. */
struct visit *visit_find_told(struct door *door, uint32_t number);
/* Closes one of its sockets as it is. */
void visit_close_side(struct visit *visit, enum side_name side);
void visit_hear_client(struct door *door, struct visit *visit, uint32_t events);
void visit_hear_upstream(struct door *door, struct visit *visit, uint32_t events);
/* Reads the first bytes of a client. False when there are none yet; otherwise it was told, or is over. */
bool visit_greet(struct door *door, struct visit *visit);
/* No delay, and probes of the kernel's whether the peer still lives. */
void visit_set_options(int fd);
/* Has epoll tell these events of a side, or none. 0 or an errno. */
int visit_watch(struct door *door, struct visit *visit, enum side_name side, uint32_t events);
/* Dials what was ordered during the turn. */
void visit_dial_orders(struct door *door);
/* Tells of those for which there was no room. */
void visit_tell_failed_orders(struct door *door);
/* Has epoll tell again what it told once of an edge. */
void visit_watch_anew(struct door *door, struct visit *visit, enum side_name side);
void visit_free_all(struct door *door);

/* door.c */
bool door_has_room(const struct door *door);
struct door_event *door_tell(struct door *door, enum door_event_kind kind, const struct visit *visit, int extra);
/* Writes the client's address and moves on. */
void door_tell_address(struct door *door, struct door_event *event, const struct visit *visit);
/* Has the next turn come at once. */
void door_come_back(struct door *door);
void door_leave_greeting(struct door *door, struct visit *visit);

#endif
