/*
 * The door: where clients come in. It accepts them, reads what they send first, dials an upstream for them, sends it
 * the offer and reads the answer. What to do at each step is the owner's decision: the door tells it in events, and the
 * owner answers with the functions below, at once or later.
 *
 *   accept ── first bytes: HEAD ──▶ dial ──▶ ANSWER ... ──▶ hand over (to the relay)
 *        └──── none for 1 s: SILENT       └▶ CONNECT_FAILED, UPSTREAM_ENDED ──▶ dial again, take, or cut
 *
 * A client that is let in is a visit, known by a number until it is handed over, taken or cut. Nothing in here knows of
 * Node; all of it runs on one thread, and none of it blocks.
 */
#ifndef TIDEGATE_DOOR_H
#define TIDEGATE_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long a client may send nothing before its visit is SILENT. */
#define SILENT_MS 1000
/* The most that one event brings. */
#define READ_BYTES (64 * 1024)
/* The longest IP address as text, with its end. */
#define ADDRESS_BYTES 46
/* Visits at a time. Who comes then waits in the kernel's queue. */
#define MAX_VISITS 65536
/* Listener numbers are below this. */
#define MAX_LISTENERS 4096

/* The numbers of src/net/door-binding.ts. */
enum door_event_kind {
    /* The client's first bytes. */
    DOOR_HEAD,
    /* No bytes for SILENT_MS. */
    DOOR_SILENT,
    /* Bytes from the upstream. */
    DOOR_ANSWER,
    /* The upstream's descriptor is closed in both: no connection was made; one was made, and ended. */
    DOOR_CONNECT_FAILED,
    DOOR_UPSTREAM_ENDED,
    /* Told once. */
    DOOR_CLIENT_GONE,
    /* `visit` is a listener which cannot accept: out of descriptors or memory. Told once until it can. */
    DOOR_EXHAUSTED,
};

/* JavaScript sees these as an Int32Array. */
struct door_event {
    int32_t kind;
    int32_t visit;
    /* Of what was read, in the owner's memory. */
    int32_t offset, length;
    /* The listener of DOOR_HEAD and DOOR_SILENT; 0 or an errno of what failed or ended. */
    int32_t extra;
    /* The client's address, as text without an end, stands right before `offset`: 0 for a unix socket. */
    int32_t address_length;
};
_Static_assert(sizeof(struct door_event) == 24, "src/net/door-binding.ts counts in 6 words");

struct door;

/*
 * `events` and `bytes` are what door_turn fills; they stay the owner's, and must stay until door_close. There must be
 * room for one event and for READ_BYTES + ADDRESS_BYTES. NULL and errno when there is not, or when something is missing.
 */
struct door *door_open(struct door_event *events, size_t max_events, uint8_t *bytes, size_t capacity);

/* Resets every visit and closes everything. */
void door_close(struct door *door);

/* A descriptor that is readable when door_turn has something to do. */
int door_descriptor(const struct door *door);

/* Whether it listens or has visits. */
bool door_is_busy(const struct door *door);

/*
 * Does what can be done, and returns how many events it has filled in. What they have no room for comes with the next
 * turn. When the owner has read them, it calls door_settle.
 */
size_t door_turn(struct door *door);
/* From here on the door watches the clients of the last turn that are still its own. */
void door_settle(struct door *door);

/*
 * Accepts from a duplicate of `fd`, which becomes non-blocking. 0 or an errno: EEXIST for a number that is in use, EINVAL
 * for one that is too large or a socket that does not listen.
 */
int door_listen(struct door *door, int fd, unsigned listener);
/* Clients that have sent nothing yet are closed; the other visits that it has let in go on. */
void door_unlisten(struct door *door, unsigned listener);

/*
 * All of these answer ESRCH for a number that is unknown or over.
 *
 * door_dial: EINVAL for what is no IP address or port, EISCONN when there is an upstream already, or what is missing
 * (EMFILE, ENOMEM, ...); everything from connect() on is told in events. During a turn, connect() waits
 * for door_settle.
 */
int door_dial(struct door *door, uint32_t visit, const char *host, uint32_t port, const uint8_t *offer, size_t length);

/* Whether an upstream has been dialled that has not taken the connection, or not the whole offer, yet. */
bool door_is_connecting(struct door *door, uint32_t visit);

/* Resets the upstream; another may be dialled. */
void door_hang_up(struct door *door, uint32_t visit);

/* The whole of it, or EAGAIN: then a part may have gone out. */
int door_send(struct door *door, uint32_t visit, const uint8_t *bytes, size_t length);

/*
 * Gives both descriptors to `take`, out of the door's epoll. When it returns 0 they are its own and the visit is over;
 * otherwise its errno is passed on, and everything is as before. ENOTCONN before the whole offer was sent.
 */
int door_hand_over(struct door *door, uint32_t visit, int (*take)(void *context, const int fds[2]), void *context);

/*
 * The visit is over, and its descriptors are the caller's: fds[0] the client, fds[1] the upstream. -1 for an upstream
 * that has not got the whole offer yet (it is closed), and for both of a visit that is unknown or over.
 */
void door_take(struct door *door, uint32_t visit, int fds[2]);

/* Closes both with a reset. */
void door_cut(struct door *door, uint32_t visit);

#endif
