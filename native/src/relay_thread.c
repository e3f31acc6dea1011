/* A relay thread: one epoll, one buffer, the pairs it was given. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "internal.h"

#define EVENTS_PER_TURN 256

static void *run(void *thread);
static bool read_mail(struct relay_thread *thread);
static void hear_timer(struct relay_thread *thread);
static void hear_test(struct relay_thread *thread);
static void sweep(struct relay_thread *thread);
static void give_turns(struct relay_thread *thread);
static void hand_over_finished(struct relay_thread *thread);
static void take_arrivals(struct relay_thread *thread);

/* ---- the owner's side ---- */

static int watch(int epoll_fd, int fd, uint32_t events, void *what) {
    struct epoll_event event = {.events = events, .data.ptr = what};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

static int open_descriptors(struct relay_thread *thread) {
    thread->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    thread->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    thread->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (thread->epoll_fd < 0 || thread->wake_fd < 0 || thread->timer_fd < 0) return errno;
    /* By edges the counter of the wake-ups need not be read. */
    int error = watch(thread->epoll_fd, thread->wake_fd, EPOLLIN | EPOLLET, &thread->wake_fd);
    return error != 0 ? error : watch(thread->epoll_fd, thread->timer_fd, EPOLLIN, &thread->timer_fd);
}

static void close_thread(struct relay_thread *thread) {
    int *fds[] = {&thread->epoll_fd, &thread->wake_fd, &thread->timer_fd};
    for (int i = 0; i < 3; i++) {
        if (*fds[i] >= 0) close_descriptor(fds[i]);
    }
    free(thread->buffer);
    pthread_cond_destroy(&thread->has_swept);
    pthread_mutex_destroy(&thread->lock);
}

int thread_start(struct relay_thread *thread, struct relay_engine *engine) {
    thread->engine = engine;
    thread->epoll_fd = thread->wake_fd = thread->timer_fd = -1;
    thread->ready_tail = &thread->ready;
    thread->throttled_tail = &thread->throttled;
    pthread_mutex_init(&thread->lock, NULL);
    pthread_cond_init(&thread->has_swept, NULL);
    thread->buffer = malloc(BUFFER_BYTES);
    int error = thread->buffer == NULL ? ENOMEM : open_descriptors(thread);
    if (error == 0) {
        /* Signals belong to the threads that were there before. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        error = pthread_create(&thread->id, NULL, run, thread);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (error == 0) pthread_setname_np(thread->id, "tidegate-relay");
    else close_thread(thread);
    return error;
}

void thread_stop(struct relay_thread *thread) {
    pthread_mutex_lock(&thread->lock);
    thread->must_stop = true;
    pthread_mutex_unlock(&thread->lock);
    thread_wake(thread);
    pthread_join(thread->id, NULL);
    close_thread(thread);
}

void thread_wake(struct relay_thread *thread) {
    uint64_t one = 1;
    /* Can only fail when the counter is full: then the thread has been woken already. */
    if (write(thread->wake_fd, &one, sizeof one) < 0) return;
}

/*
 * No wake-up: epoll is told from here. The lock is held until both descriptors are in, because from the first on the
 * thread may end the pair, which closes them; thread_forget waits for the lock.
 */
void thread_adopt(struct relay_thread *thread, struct pair *pair) {
    pair->thread = thread;
    pthread_mutex_lock(&thread->lock);
    pair->next = thread->arrivals;
    thread->arrivals = pair;
    for (int name = UPSTREAM; name >= CLIENT; name--) {
        struct side *side = &pair->sides[name];
        int error = watch(thread->epoll_fd, side->fd, SIDE_EVENTS | (side->watches_out ? EPOLLOUT : 0), side);
        if (error == 0 || pair->lost_errno != 0) continue;
        pair->lost_errno = error;
        pair->lost_side = side->name;
    }
    bool has_early = pair->limiter != NULL && (pair->limiter->early[CLIENT] != NULL || pair->limiter->early[UPSTREAM] != NULL);
    if (pair->lost_errno != 0 || has_early) thread_post_mail(thread, pair);
    if (!thread->is_ticking) {
        struct timespec second = {.tv_sec = SWEEP_MS / 1000, .tv_nsec = SWEEP_MS % 1000 * 1000000};
        struct itimerspec every = {.it_interval = second, .it_value = second};
        thread->is_ticking = timerfd_settime(thread->timer_fd, 0, &every, NULL) == 0;
    }
    pthread_mutex_unlock(&thread->lock);
}

void thread_post_mail(struct relay_thread *thread, struct pair *pair) {
    if (pair->has_mail || pair->takes_no_mail) return;
    bool is_first = thread->mail == NULL;
    pair->has_mail = true;
    pair->next_mail = thread->mail;
    thread->mail = pair;
    if (is_first) thread_wake(thread);
}

void thread_sweep_now(struct relay_thread *thread) {
    pthread_mutex_lock(&thread->lock);
    thread->must_sweep = true;
    thread_wake(thread);
    while (thread->must_sweep) pthread_cond_wait(&thread->has_swept, &thread->lock);
    pthread_mutex_unlock(&thread->lock);
}

/* ---- the thread's own side ---- */

/*
 * Where a core is shared with a busy thread, JavaScript's above all, a thread of this policy does not interrupt it at
 * each packet: what has come in meanwhile is moved in one go when the other pauses or its time slice (some ms) ends. On
 * an idle core it makes no difference.
 */
static void do_not_preempt(void) {
    struct sched_param none = {0};
    sched_setscheduler(0, SCHED_BATCH, &none);
}

static void *run(void *argument) {
    struct relay_thread *thread = argument;
    do_not_preempt();
    struct epoll_event events[EVENTS_PER_TURN];
    for (bool must_stop = false; !must_stop;) {
        int patience_ms = thread->ready != NULL ? 0 : thread->throttled != NULL ? THROTTLE_MS : -1;
        int count = epoll_wait(thread->epoll_fd, events, EVENTS_PER_TURN, patience_ms);
        bool is_woken = false, is_due = false;
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &thread->wake_fd) is_woken = true;
            else if (events[i].data.ptr == &thread->timer_fd) is_due = true;
        }
        /* What the owner said comes before the bytes that came after it. */
        if (is_woken) must_stop = read_mail(thread);
        for (int i = 0; i < count; i++) {
            void *what = events[i].data.ptr;
            if (what != &thread->wake_fd && what != &thread->timer_fd) pair_handle(what, events[i].events);
        }
        if (is_due) hear_timer(thread);
        if (is_woken) hear_test(thread);
        if (thread->ready != NULL) give_turns(thread);
        if (thread->throttled != NULL) limiter_resume(thread, engine_now_ms(thread->engine));
        if (must_stop) {
            take_arrivals(thread);
            while (thread->pairs != NULL) pair_cut(thread->pairs);
        }
        if (thread->finished != NULL) hand_over_finished(thread);
    }
    return NULL;
}

/* One at a time, because a pair that ends takes its own mail back. Returns whether the thread is to stop. */
static bool read_mail(struct relay_thread *thread) {
    for (;;) {
        pthread_mutex_lock(&thread->lock);
        struct pair *pair = thread->mail;
        if (pair == NULL) {
            bool must_stop = thread->must_stop;
            pthread_mutex_unlock(&thread->lock);
            return must_stop;
        }
        thread->mail = pair->next_mail;
        pair->has_mail = false;
        bool wants_cut = pair->wants_cut;
        struct injection *frames = pair->mail;
        pair->mail = NULL;
        pthread_mutex_unlock(&thread->lock);
        pair_read_mail(pair, wants_cut, frames);
    }
}

static void hear_timer(struct relay_thread *thread) {
    uint64_t ticks;
    if (read(thread->timer_fd, &ticks, sizeof ticks) > 0) sweep(thread);
}

static void hear_test(struct relay_thread *thread) {
    pthread_mutex_lock(&thread->lock);
    bool must_sweep = thread->must_sweep;
    pthread_mutex_unlock(&thread->lock);
    if (!must_sweep) return;
    sweep(thread);
    pthread_mutex_lock(&thread->lock);
    thread->must_sweep = false;
    pthread_cond_signal(&thread->has_swept);
    pthread_mutex_unlock(&thread->lock);
}

static void sweep(struct relay_thread *thread) {
    int64_t now_ms = engine_now_ms(thread->engine);
    take_arrivals(thread);
    for (struct pair *pair = thread->pairs, *next; pair != NULL; pair = next) {
        next = pair->next;
        pair_sweep(pair, now_ms);
    }
    if (thread->throttled != NULL) limiter_resume(thread, now_ms);
    pthread_mutex_lock(&thread->lock);
    if (thread->pairs == NULL && thread->arrivals == NULL && thread->is_ticking) {
        struct itimerspec never = {{0, 0}, {0, 0}};
        thread->is_ticking = timerfd_settime(thread->timer_fd, 0, &never, NULL) != 0;
    }
    pthread_mutex_unlock(&thread->lock);
}

void thread_add_ready(struct relay_thread *thread, struct side *side) {
    if (side->is_ready) return;
    side->is_ready = true;
    side->next_ready = NULL;
    *thread->ready_tail = side;
    thread->ready_tail = &side->next_ready;
    thread->ready_count++;
}

static void drop_ready(struct relay_thread *thread, struct side *side) {
    if (!side->is_ready) return;
    struct side **link = &thread->ready;
    while (*link != side) link = &(*link)->next_ready;
    *link = side->next_ready;
    if (*link == NULL) thread->ready_tail = link;
    thread->ready_count--;
    side->is_ready = false;
}

/* One turn for each that waits now; who comes back waits behind the events of everybody else. */
static void give_turns(struct relay_thread *thread) {
    for (unsigned turns = thread->ready_count; turns > 0 && thread->ready != NULL; turns--) {
        struct side *side = thread->ready;
        drop_ready(thread, side);
        pair_read(side);
    }
}

/* Pairs come from the owner in a list of their own, so that the long one needs no lock. */
static void take_arrivals(struct relay_thread *thread) {
    pthread_mutex_lock(&thread->lock);
    struct pair *pair = thread->arrivals;
    thread->arrivals = NULL;
    pthread_mutex_unlock(&thread->lock);
    for (struct pair *next; pair != NULL; pair = next) {
        next = pair->next;
        pair->prev = NULL;
        pair->next = thread->pairs;
        if (pair->next != NULL) pair->next->prev = pair;
        thread->pairs = pair;
    }
}

/* Takes a pair out of every list. From here on the owner's mail for it is refused. */
void thread_forget(struct relay_thread *thread, struct pair *pair) {
    take_arrivals(thread);
    if (pair->prev != NULL) pair->prev->next = pair->next;
    else thread->pairs = pair->next;
    if (pair->next != NULL) pair->next->prev = pair->prev;
    drop_ready(thread, &pair->sides[CLIENT]);
    drop_ready(thread, &pair->sides[UPSTREAM]);
    if (pair->limiter != NULL) {
        limiter_forget(thread, &pair->sides[CLIENT]);
        limiter_forget(thread, &pair->sides[UPSTREAM]);
    }

    pthread_mutex_lock(&thread->lock);
    pair->takes_no_mail = true;
    if (pair->has_mail) {
        struct pair **link = &thread->mail;
        while (*link != pair) link = &(*link)->next_mail;
        *link = pair->next_mail;
        pair->has_mail = false;
    }
    struct injection *frames = pair->mail;
    pair->mail = NULL;
    pthread_mutex_unlock(&thread->lock);
    injections_free(frames);

    pair->prev = NULL;
    pair->next = thread->finished;
    thread->finished = pair;
}

static void hand_over_finished(struct relay_thread *thread) {
    struct pair *first = thread->finished, *last = first;
    while (last->next != NULL) last = last->next;
    thread->finished = NULL;
    engine_post_ended(thread->engine, first, last);
}
