/* What the files of the relay share. Lock order: a thread's lock is never held while the engine's is taken. */
#ifndef TIDEGATE_INTERNAL_H
#define TIDEGATE_INTERNAL_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "relay.h"

/* The shared read buffer of a thread: also the most that waits for a side that blocks, injected frames apart. */
#define BUFFER_BYTES (128 * 1024)
/* How much one side may move before the others have their turn. */
#define TURN_BYTES (512 * 1024)
/* How often idle and aged tunnels are looked for. */
#define SWEEP_MS 1000
/* How often sides that may send so many bytes a second are read. */
#define THROTTLE_MS 20
/* Header, masking key and payload of the largest control frame. */
#define MAX_CONTROL_BYTES (2 + 4 + 125)

/* What epoll tells of a side: edges, so that a side which is not read for a while costs nothing. See pair_read. */
#define SIDE_EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET)

/* Bytes that a side would not take yet. */
struct pending {
    size_t start, end, capacity;
    uint8_t bytes[];
};

struct side {
    int fd;
    /* Which of the pair's sides this is. */
    uint8_t name;
    /* It has sent its FIN. */
    bool read_ended;
    /* It gets our FIN once `out` is empty; it has got it. */
    bool end_due, write_ended;
    /* Whether epoll tells when it takes bytes again; once asked for, it stays. */
    bool watches_out;
    /* Waits in its thread's ready list for another turn; with an end or an error known to stand behind its bytes. */
    bool is_ready, reads_to_end;
    struct side *next_ready;
    struct pending *out;
    /* Follows what this side sends. */
    struct scanner scanner;
    uint64_t bytes;
    /* Its bytes at the last sweep, and the last sweep that found more of them. */
    uint64_t swept_bytes;
    int64_t heard_ms;
    /* The first sweep that found a Close gone to it and none come back; 0 before. */
    int64_t unanswered_since_ms;
};

struct pair {
    struct side sides[2];
    struct relay_thread *thread;
    struct relay_record *record;
    uint32_t slot;
    /* Who ended first is known. */
    bool is_settled;
    /* It ends by our will: nothing is read any more, both sides get their last bytes and a FIN. */
    bool is_closing;
    /* Its descriptors are closed. Only its memory is left, until the owner has taken it. */
    bool is_dead;
    /* Frames from the owner, NULL while there was none. See injector.c. */
    struct injector *injector;
    /* NULL without limits. See limiter.c. */
    struct limiter *limiter;
    /* A Close of ours came before any of the peers'. */
    bool closed_by_us;
    /* We end it in order after Close frames: both sides are still read, until they end as well. 0, or since when. */
    int64_t lingering_since_ms;

    int64_t close_timeout_ms;
    int64_t idle_timeout_ms, half_close_timeout_ms, max_age_ms;
    int64_t opened_ms, settled_ms;

    /* The thread's list of pairs (`next` alone while it is new), or of those that have ended. */
    struct pair *prev, *next;

    /* Under the thread's lock: what the owner wants of it. */
    struct pair *next_mail;
    bool has_mail, takes_no_mail;
    bool wants_cut;
    /* What failed before the thread had it, and with whom. */
    int lost_errno;
    uint8_t lost_side;
    /* Frames to put in, newest first. */
    struct injection *mail;
};

struct relay_thread {
    struct relay_engine *engine;
    pthread_t id;
    int epoll_fd, wake_fd, timer_fd;
    uint8_t *buffer;
    struct pair *pairs;
    /* Sides with bytes left unread after their turn. */
    struct side *ready, **ready_tail;
    unsigned ready_count;
    /* Sides that have sent what they may for now: see limiter.c. */
    struct side *throttled, **throttled_tail;
    unsigned throttled_count;
    int64_t throttled_ms;
    /* Ended during the present turn: handed to the owner after it, when no event can point at them any more. */
    struct pair *finished;
    /* The owner's: how many pairs it has given, less those it has taken back. */
    unsigned load;

    pthread_mutex_t lock;
    pthread_cond_t has_swept;
    /* Under the lock: */
    struct pair *arrivals;
    struct pair *mail;
    bool is_ticking;
    bool must_stop;
    /* A test waits for a sweep. */
    bool must_sweep;
};

struct relay_engine {
    void (*on_ended)(void *context);
    void *context;
    unsigned thread_count;
    bool is_running;
    _Atomic bool is_closing;
    struct relay_thread *threads;
    /* The owner's: tunnels by slot. */
    struct pair **pairs;
    size_t pairs_capacity;
    /* What tests have added to the clock. */
    _Atomic int64_t skew_ms;

    pthread_mutex_t lock;
    /* Under the lock: ended, and not yet taken. */
    struct pair *ended;
};

/* engine.c */
int64_t engine_now_ms(struct relay_engine *engine);
void engine_post_ended(struct relay_engine *engine, struct pair *first, struct pair *last);
void close_descriptor(int *fd);

/* relay_thread.c */
int thread_start(struct relay_thread *thread, struct relay_engine *engine);
void thread_stop(struct relay_thread *thread);
void thread_wake(struct relay_thread *thread);
/* Owner, for tests: returns when the thread has swept. */
void thread_sweep_now(struct relay_thread *thread);
/* Owner: registers the pair's descriptors. What fails then is told to the pair as a loss. */
void thread_adopt(struct relay_thread *thread, struct pair *pair);
/* Owner: has the thread look at the pair. The thread's lock is held. */
void thread_post_mail(struct relay_thread *thread, struct pair *pair);
void thread_add_ready(struct relay_thread *thread, struct side *side);
void thread_forget(struct relay_thread *thread, struct pair *pair);

/* pair.c */
static inline struct pair *pair_of(struct side *side) {
    return (struct pair *)(void *)(side - side->name);
}
static inline struct side *other_side(struct side *side) {
    return &pair_of(side)->sides[!side->name];
}
struct pair *pair_make(const struct relay_join *join, int64_t now_ms);
/* Sends what goes first, on the owner's thread. A failure comes out as a loss when the thread looks. */
void pair_send_first(struct pair *pair, const struct relay_join *join);
void pair_handle(struct side *side, uint32_t events);
void pair_read(struct side *from);
void pair_read_mail(struct pair *pair, bool wants_cut, struct injection *frames);
void pair_sweep(struct pair *pair, int64_t now_ms);
void pair_cut(struct pair *pair);
void pair_lose(struct side *side, int error);
/* Writes to a side; what it does not take waits in `out`. */
void side_write(struct side *to, const uint8_t *bytes, size_t length);
/* Shows what a side's scanner has seen. */
void side_publish(struct side *from);
/* Passes bytes on as if they had just been read. */
void side_pass_on(struct side *from, const uint8_t *bytes, size_t length);
/* Gives a side our FIN behind its last bytes. */
void side_end(struct side *to);
/* The first to end or fail decides; what follows from it is not news. */
void pair_settle(struct pair *pair, enum end_first first, enum end_how how, int error);
/* Ends both sides in order, and reads neither any more. */
void pair_finish(struct pair *pair, enum end_first first, enum end_how how);
void pair_die(struct pair *pair);
/* Owner: the memory of one that is dead. NULL is fine. */
void pair_free(struct pair *pair);

/* injector.c */
struct injection {
    struct injection *next;
    uint8_t kind, towards;
    /* The frame as it goes out; behind it the payload of a Ping, unmasked. */
    uint8_t length, payload_length;
    uint8_t bytes[];
};
struct injector *injector_make(void);
int injection_check(enum injection_kind kind, const uint8_t *frame, size_t length);
struct injection *injection_make(enum injection_kind kind, enum side_name towards, const uint8_t *frame, size_t length);
void injections_free(struct injection *first);
/* Takes frames from the owner, newest first: each goes out now, or waits for a boundary. */
void injector_take(struct pair *pair, struct injection *frames);
/* Passes bytes on while frames wait to be put in, pongs are awaited, or a side has been silenced. */
void injector_pass_on(struct side *from, const uint8_t *bytes, size_t length);
/* A message of `from` has broken a limit: a Close for either side, and silence for the other. */
void injector_break(struct side *from);
/* A Close of ours for either side, as soon as it stands between two frames. May end the pair. */
void injector_close_both(struct pair *pair, uint16_t code, const char *reason);
/* Whether a Close has gone to the side: its peer's, or ours. */
bool injector_has_closed(struct side *to);
/* Before a side's end is passed on: what was held back of it goes too. */
void injector_release(struct side *from);
void injector_free(struct injector *injector);

/* closing.c */
/* After a Close frame has passed or was put in. May end the pair. */
void closing_check(struct pair *pair);
void closing_sweep(struct pair *pair, int64_t now_ms);
/* Ends a tunnel in which nothing moves: by Close frames where there are any. */
void closing_idle(struct pair *pair);
/* Ends the tunnel because of what `from` has sent. */
void closing_break(struct side *from);

/* limiter.c */
struct limiter {
    struct message_limits messages[2];
    /* per_second 0: any. */
    struct bucket bytes[2];
    /* What came before the relay began, to be passed on by the thread. NULL when there is none. */
    uint8_t *early[2];
    size_t early_lengths[2];
    bool is_throttled[2];
    struct side *next_throttled[2];
};
/* 0 or ENOMEM. */
int limiter_make(struct pair *pair, const struct relay_limits *limits);
void limiter_free(struct limiter *limiter);
/* Whether the messages of a side have limits. */
bool limiter_holds_messages(const struct pair *pair, enum side_name from);
/* Owner: keeps a copy for the thread. */
bool limiter_keep_early(struct side *from, const uint8_t *bytes, size_t length);
void limiter_pass_early(struct pair *pair);
/* How many bytes may be read now. 0: the side waits in its thread's list until it may send again. */
size_t limiter_room(struct side *from);
void limiter_spend(struct side *from, size_t length);
/* Thread: reads on those that may send again. */
void limiter_resume(struct relay_thread *thread, int64_t now_ms);
void limiter_forget(struct relay_thread *thread, struct side *side);

#endif
