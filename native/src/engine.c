/* The owner's door to the relay threads. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

static int start_threads(struct relay_engine *engine);
static struct pair *find(struct relay_engine *engine, uint32_t slot);

struct relay_engine *relay_open(unsigned threads, void (*on_ended)(void *context), void *context) {
    struct relay_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) return NULL;
    engine->thread_count = threads == 0 ? 1 : threads;
    engine->on_ended = on_ended;
    engine->context = context;
    pthread_mutex_init(&engine->lock, NULL);
    return engine;
}

/* ---- joining ---- */

static int make_room(struct relay_engine *engine, uint32_t slot) {
    if (slot < engine->pairs_capacity) return engine->pairs[slot] == NULL ? 0 : EBUSY;
    size_t capacity = (size_t)slot + 1 + slot / 2;
    struct pair **pairs = realloc(engine->pairs, capacity * sizeof *pairs);
    if (pairs == NULL) return ENOMEM;
    memset(pairs + engine->pairs_capacity, 0, (capacity - engine->pairs_capacity) * sizeof *pairs);
    engine->pairs = pairs;
    engine->pairs_capacity = capacity;
    return 0;
}

static int duplicate(const int from[2], int to[2]) {
    to[CLIENT] = fcntl(from[CLIENT], F_DUPFD_CLOEXEC, 3);
    if (to[CLIENT] < 0) return errno;
    to[UPSTREAM] = fcntl(from[UPSTREAM], F_DUPFD_CLOEXEC, 3);
    if (to[UPSTREAM] >= 0) return 0;
    int error = errno;
    close_descriptor(&to[CLIENT]);
    return error;
}

static struct relay_thread *least_loaded(struct relay_engine *engine) {
    struct relay_thread *found = &engine->threads[0];
    for (unsigned i = 1; i < engine->thread_count; i++) {
        if (engine->threads[i].load < found->load) found = &engine->threads[i];
    }
    return found;
}

int relay_join(struct relay_engine *engine, const struct relay_join *join) {
    int error = start_threads(engine);
    if (error == 0) error = make_room(engine, join->slot);
    struct relay_join ours = *join;
    if (error == 0 && !join->takes_over) error = duplicate(join->fds, ours.fds);
    if (error != 0) return error;
    struct pair *pair = pair_make(&ours, engine_now_ms(engine));
    if (pair == NULL) {
        if (join->takes_over) return ENOMEM;
        close_descriptor(&ours.fds[CLIENT]);
        close_descriptor(&ours.fds[UPSTREAM]);
        return ENOMEM;
    }
    engine->pairs[join->slot] = pair;
    pair_send_first(pair, &ours);
    struct relay_thread *thread = least_loaded(engine);
    thread->load++;
    thread_adopt(thread, pair);
    return 0;
}

static int start_threads(struct relay_engine *engine) {
    if (engine->is_running) return 0;
    engine->threads = calloc(engine->thread_count, sizeof *engine->threads);
    if (engine->threads == NULL) return ENOMEM;
    for (unsigned i = 0; i < engine->thread_count; i++) {
        int error = thread_start(&engine->threads[i], engine);
        if (error == 0) continue;
        while (i > 0) thread_stop(&engine->threads[--i]);
        free(engine->threads);
        engine->threads = NULL;
        return error;
    }
    engine->is_running = true;
    return 0;
}

/* ---- what the owner wants of a tunnel ---- */

void relay_cut(struct relay_engine *engine, uint32_t slot) {
    struct pair *pair = find(engine, slot);
    if (pair == NULL) return;
    pthread_mutex_lock(&pair->thread->lock);
    pair->wants_cut = true;
    thread_post_mail(pair->thread, pair);
    pthread_mutex_unlock(&pair->thread->lock);
}

int relay_inject(struct relay_engine *engine, uint32_t slot, enum side_name towards, enum injection_kind kind,
                 const uint8_t *frame, size_t length) {
    int error = injection_check(kind, frame, length);
    if (error != 0) return error;
    struct pair *pair = find(engine, slot);
    if (pair == NULL) return ENOENT;
    struct injection *injection = injection_make(kind, towards, frame, length);
    if (injection == NULL) return ENOMEM;
    pthread_mutex_lock(&pair->thread->lock);
    bool is_refused = pair->takes_no_mail;
    if (!is_refused) {
        injection->next = pair->mail;
        pair->mail = injection;
        thread_post_mail(pair->thread, pair);
    }
    pthread_mutex_unlock(&pair->thread->lock);
    if (is_refused) injections_free(injection);
    return is_refused ? ENOENT : 0;
}

static struct pair *find(struct relay_engine *engine, uint32_t slot) {
    return slot < engine->pairs_capacity ? engine->pairs[slot] : NULL;
}

/* ---- how tunnels come back ---- */

void engine_post_ended(struct relay_engine *engine, struct pair *first, struct pair *last) {
    pthread_mutex_lock(&engine->lock);
    bool was_empty = engine->ended == NULL;
    last->next = engine->ended;
    engine->ended = first;
    pthread_mutex_unlock(&engine->lock);
    if (was_empty && !atomic_load(&engine->is_closing)) engine->on_ended(engine->context);
}

size_t relay_take_ended(struct relay_engine *engine, uint32_t *slots, struct close_reason *reasons, size_t max) {
    size_t count = 0;
    pthread_mutex_lock(&engine->lock);
    for (; count < max && engine->ended != NULL; count++) {
        struct pair *pair = engine->ended;
        engine->ended = pair->next;
        slots[count] = pair->slot;
        engine->pairs[pair->slot] = NULL;
        pair->thread->load--;
        for (int name = CLIENT; reasons != NULL && name <= UPSTREAM; name++) {
            scanner_copy_reason(&pair->sides[name].scanner, &reasons[2 * count + (size_t)name]);
        }
        pair_free(pair);
    }
    pthread_mutex_unlock(&engine->lock);
    return count;
}

void relay_close(struct relay_engine *engine) {
    atomic_store(&engine->is_closing, true);
    if (engine->is_running) {
        for (unsigned i = 0; i < engine->thread_count; i++) thread_stop(&engine->threads[i]);
    }
    for (size_t slot = 0; slot < engine->pairs_capacity; slot++) pair_free(engine->pairs[slot]);
    free(engine->pairs);
    free(engine->threads);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

/* ---- time and descriptors ---- */

int64_t engine_now_ms(struct relay_engine *engine) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + atomic_load(&engine->skew_ms);
}

void relay_pass_time(struct relay_engine *engine, int64_t ms) {
    /* A sweep at a time, as time itself would have it. */
    for (int64_t left = ms; left > 0; left -= SWEEP_MS) {
        atomic_fetch_add(&engine->skew_ms, left < SWEEP_MS ? left : SWEEP_MS);
        if (!engine->is_running) continue;
        for (unsigned i = 0; i < engine->thread_count; i++) thread_sweep_now(&engine->threads[i]);
    }
}

/* Each is closed once: the number may belong to somebody else by the second time. */
void close_descriptor(int *fd) {
    assert(*fd >= 0);
    int closed = close(*fd);
    assert(closed == 0 || errno != EBADF);
    (void)closed;
    *fd = -1;
}
