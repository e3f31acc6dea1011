/*
 * The relay: threads that move the bytes of joined pairs of sockets. Nothing in here knows of Node.
 *
 *            fromClient ──▶ scanner ──▶ upstream.out ──▶
 *   client                                               upstream
 *            ◀── client.out ◀── scanner ◀── fromUpstream
 *
 * A pair is two sides. Each side is a socket, what is still to be written to it (`out`), and the scanner of what it
 * sends. `out` exists only while the socket would block; until it is empty the other side is not read, so that a slow
 * reader holds its sender back and no more than one buffer each way is ever held.
 *
 * Who may call what: one owner thread (JavaScript's) calls every function below. Each relay thread has its own epoll
 * and its own pairs, and nobody else touches a pair once it has been joined, except under its thread's lock.
 */
#ifndef TIDEGATE_RELAY_H
#define TIDEGATE_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scanner.h"

enum side_name { CLIENT, UPSTREAM };

/* How a tunnel ended, and who was first: the numbers of src/relay/native-records.ts. */
enum end_first { FIRST_NONE, FIRST_CLIENT, FIRST_UPSTREAM, FIRST_PROXY };
enum end_how { HOW_NONE, HOW_END, HOW_RESET, HOW_IDLE, HOW_MAX_AGE, HOW_CUT, HOW_CLOSED, HOW_LIMIT };

/*
 * What the owner reads of a tunnel, without a call, while its thread writes it. JavaScript sees it as a Float64Array
 * and its like, hence the doubles, which count single bytes up to 2^53. Indexed by enum side_name.
 */
struct relay_record {
    _Atomic double bytes[2];
    _Atomic double messages[2];
    _Atomic int32_t close_code[2];
    /* Our own pings that were answered. */
    _Atomic uint32_t pongs[2];
    _Atomic uint8_t blind[2];
    /* Whose Close frame came first: an end_first. */
    _Atomic uint8_t first_close;
    _Atomic uint8_t end_first;
    _Atomic uint8_t end_how;
    /* Of HOW_LIMIT: an enum breach, and the side that broke it. */
    _Atomic uint8_t end_limit;
    _Atomic uint8_t end_limit_side;
    uint8_t unused;
    /* Of HOW_RESET: the errno, or 0. */
    _Atomic int32_t end_errno;
    /* For how long nothing has come from a side; at the last sweep. Stops at 65,535. */
    _Atomic uint16_t silent_seconds[2];
};
_Static_assert(sizeof(struct relay_record) == 64, "src/relay/native-records.ts counts in 64 bytes");

struct relay_engine;

/* 0 = none. By the side that sends. */
struct relay_limits {
    int64_t close_timeout_ms;
    double max_message_bytes[2], max_messages_per_second[2], max_bytes_per_second[2];
};

struct relay_join {
    /* Duplicated: the caller closes its own whenever it likes. They must be non-blocking. */
    int fds[2];
    /*
     * No duplicates: once joined, the descriptors themselves are the relay's. They must be in nobody's epoll, and have
     * their options set (no delay, keep-alive).
     */
    bool takes_over;
    /* Names the tunnel from here to relay_take_ended. Small numbers: they index a table. */
    uint32_t slot;
    /* Valid until relay_take_ended or relay_close. */
    struct relay_record *record;
    /* What goes to each side first. The first `answer_length` bytes for the client are nobody's: neither counted nor scanned. */
    const uint8_t *first_bytes[2];
    size_t first_lengths[2];
    size_t answer_length;
    enum framing framing;
    /* 0 = never. Looked at about once a second. */
    int64_t idle_timeout_ms;
    int64_t half_close_timeout_ms;
    int64_t max_age_ms;
    struct relay_limits limits;
};

enum injection_kind { INJECT_CLOSE, INJECT_PING };

/*
 * `on_ended` is called from a relay thread when tunnels have ended and none were waiting to be taken. Threads start with
 * the first tunnel. NULL and errno when there is no memory.
 */
struct relay_engine *relay_open(unsigned threads, void (*on_ended)(void *context), void *context);

/* 0, or the errno of what is missing (EMFILE, ENOMEM, EAGAIN): then nothing was taken and nothing was sent. */
int relay_join(struct relay_engine *engine, const struct relay_join *join);

/* Resets both sides of a tunnel. One that has ended, or never was, is left alone. */
void relay_cut(struct relay_engine *engine, uint32_t slot);

/*
 * Puts a whole frame in towards a side, as soon as what goes there stands between two frames. After a Close, later
 * frames towards that side are dropped. The Pong that answers a Ping goes no further. 0, EINVAL for a frame that is
 * neither, ENOENT for a tunnel that has ended, or ENOMEM.
 */
int relay_inject(struct relay_engine *engine, uint32_t slot, enum side_name towards, enum injection_kind kind,
                 const uint8_t *frame, size_t length);

/*
 * Hands over up to `max` tunnels that have ended, and forgets them. `reasons` has room for those of either side's Close,
 * two a tunnel, or is NULL. Returns how many.
 */
size_t relay_take_ended(struct relay_engine *engine, uint32_t *slots, struct close_reason *reasons, size_t max);

/* For tests: lets so much of the engine's time pass, and returns when every thread has acted on it. */
void relay_pass_time(struct relay_engine *engine, int64_t ms);

/* Resets what is left, stops the threads and frees everything. `on_ended` is not called any more when it returns. */
void relay_close(struct relay_engine *engine);

#endif
