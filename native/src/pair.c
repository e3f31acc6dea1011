/* One pair: how its bytes move, and how it ends. All but pair_make and pair_send_first runs on the pair's thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "internal.h"

/* Idle time after which the kernel probes whether the peer still lives. */
#define KEEPALIVE_SECONDS 60

static void hear_end(struct side *from);
static void flush(struct side *to);
static void end_if_over(struct pair *pair);

/* ---- the beginning, on the owner's thread ---- */

/*
 * A socket that is closed as it is resets: so does one whose process dies in whatever way, and a truncated message never
 * looks complete. Only an orderly end changes that.
 */
static void set_reset_on_close(int fd, bool is_on) {
    struct linger linger = {.l_onoff = is_on, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

static void set_up_socket(int fd, bool is_set_up) {
    set_reset_on_close(fd, true);
    if (is_set_up) return;
    /* Fails on a unix socket, which needs none of it. */
    int on = 1, seconds = KEEPALIVE_SECONDS;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
}

struct pair *pair_make(const struct relay_join *join, int64_t now_ms) {
    struct pair *pair = calloc(1, sizeof *pair);
    if (pair == NULL) return NULL;
    for (int name = CLIENT; name <= UPSTREAM; name++) {
        struct side *side = &pair->sides[name];
        side->fd = join->fds[name];
        side->name = (uint8_t)name;
        scanner_init(&side->scanner, join->framing, name == CLIENT);
        set_up_socket(side->fd, join->takes_over);
    }
    pair->slot = join->slot;
    pair->record = join->record;
    pair->idle_timeout_ms = join->idle_timeout_ms;
    pair->half_close_timeout_ms = join->half_close_timeout_ms;
    pair->max_age_ms = join->max_age_ms;
    pair->close_timeout_ms = join->limits.close_timeout_ms;
    pair->opened_ms = pair->sides[CLIENT].heard_ms = pair->sides[UPSTREAM].heard_ms = now_ms;
    if (limiter_make(pair, &join->limits) != 0) {
        free(pair);
        return NULL;
    }
    memset(pair->record, 0, sizeof *pair->record);
    atomic_store(&pair->record->close_code[CLIENT], NO_CLOSE);
    atomic_store(&pair->record->close_code[UPSTREAM], NO_CLOSE);
    return pair;
}

static struct pending *make_pending(const uint8_t *bytes, size_t length) {
    struct pending *pending = malloc(sizeof *pending + length);
    if (pending == NULL) return NULL;
    *pending = (struct pending){.start = 0, .end = length, .capacity = length};
    memcpy(pending->bytes, bytes, length);
    return pending;
}

/* As much as the socket takes at once; -1 and errno when it fails. */
static ssize_t send_some(int fd, const uint8_t *bytes, size_t length) {
    for (;;) {
        ssize_t sent = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) return sent;
        if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
        if (errno != EINTR) return -1;
    }
}

static void count(struct side *from, size_t length) {
    from->bytes += length;
    atomic_store_explicit(&pair_of(from)->record->bytes[from->name], (double)from->bytes, memory_order_release);
}

void pair_send_first(struct pair *pair, const struct relay_join *join) {
    for (int name = CLIENT; name <= UPSTREAM; name++) {
        struct side *to = &pair->sides[name], *from = other_side(to);
        const uint8_t *bytes = join->first_bytes[name];
        size_t length = join->first_lengths[name];
        size_t counted = name == CLIENT ? length - join->answer_length : length;
        if (counted > 0 && limiter_holds_messages(pair, from->name)) {
            length -= counted;
            if (!limiter_keep_early(from, bytes + length, counted)) pair->lost_errno = ENOMEM;
            counted = 0;
        }
        if (length == 0) continue;
        if (counted > 0) {
            if (pair->limiter != NULL) limiter_spend(from, counted);
            count(from, counted);
            scanner_push(&from->scanner, bytes + (length - counted), counted, false);
            side_publish(from);
        }
        ssize_t sent = send_some(to->fd, bytes, length);
        if (sent == (ssize_t)length) continue;
        if (sent >= 0) to->out = make_pending(bytes + sent, length - (size_t)sent);
        to->watches_out = to->out != NULL;
        if (to->out == NULL && pair->lost_errno == 0) {
            pair->lost_errno = sent < 0 ? errno : ENOMEM;
            pair->lost_side = to->name;
        }
    }
}

/* ---- moving bytes ---- */

void pair_handle(struct side *side, uint32_t events) {
    struct pair *pair = pair_of(side);
    /* The other side's event, in the same turn, may have ended both. */
    if (pair->is_dead) return;
    if (pair->lost_errno != 0) {
        /* Who met the failure has taken it from the socket, which says nothing but an orderly end from then on. */
        pair_lose(&pair->sides[pair->lost_side], pair->lost_errno);
        return;
    }
    if ((events & EPOLLERR) && (side->read_ended || other_side(side)->out != NULL)) {
        /* No read will meet the error: nothing is left to read, or what is left has nowhere to go. */
        int error = 0;
        socklen_t size = sizeof error;
        if (getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0) {
            pair_lose(side, error);
            return;
        }
    }
    if ((events & EPOLLOUT) && side->out != NULL) flush(side);
    if ((events & ~(uint32_t)EPOLLOUT) == 0 || pair->is_dead) return;
    /* An end or an error stands behind the bytes; or the read would stop short at a mark (urgent data). */
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) side->reads_to_end = true;
    pair_read(side);
}

/*
 * Events are edges: what is left unread is not told again. A short read leaves nothing, which saves the read that would
 * only say so; in every other case the side is read on: now, in a later turn, or when the other side has taken what
 * holds it back.
 */
void pair_read(struct side *from) {
    struct pair *pair = pair_of(from);
    struct side *to = other_side(from);
    uint8_t *buffer = pair->thread->buffer;
    size_t moved = 0, room = BUFFER_BYTES;
    if (pair->limiter != NULL) limiter_pass_early(pair);
    while (!pair->is_dead && !pair->is_closing && !from->read_ended && to->out == NULL) {
        if (moved >= TURN_BYTES) {
            thread_add_ready(pair->thread, from);
            return;
        }
        if (pair->limiter != NULL && (room = limiter_room(from)) == 0) return;
        ssize_t length = recv(from->fd, buffer, room, MSG_DONTWAIT);
        if (length > 0) {
            moved += (size_t)length;
            if (pair->limiter != NULL) limiter_spend(from, (size_t)length);
            side_pass_on(from, buffer, (size_t)length);
            if ((size_t)length < room && !from->reads_to_end && to->out == NULL) return;
        } else if (length == 0) {
            hear_end(from);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            from->reads_to_end = false;
            return;
        } else if (errno != EINTR) {
            pair_lose(from, errno);
        }
    }
}

void side_pass_on(struct side *from, const uint8_t *bytes, size_t length) {
    struct pair *pair = pair_of(from);
    count(from, length);
    if (pair->injector != NULL) {
        injector_pass_on(from, bytes, length);
        if (from->scanner.has_closed) closing_check(pair);
        return;
    }
    if (from->scanner.framing != FRAMING_NONE) {
        scanner_push(&from->scanner, bytes, length, false);
        side_publish(from);
    }
    side_write(other_side(from), bytes, length);
    if (from->scanner.has_closed) closing_check(pair);
}

void side_publish(struct side *from) {
    struct relay_record *record = pair_of(from)->record;
    const struct scanner *scanner = &from->scanner;
    int name = from->name;
    atomic_store_explicit(&record->messages[name], (double)scanner->messages, memory_order_release);
    if (scanner->blind != SEEING) {
        atomic_store_explicit(&record->blind[name], scanner->blind, memory_order_release);
    }
    if (scanner->close_code == NO_CLOSE) return;
    atomic_store_explicit(&record->close_code[name], scanner->close_code, memory_order_release);
    if (atomic_load_explicit(&record->first_close, memory_order_relaxed) == FIRST_NONE) {
        uint8_t first = name == CLIENT ? FIRST_CLIENT : FIRST_UPSTREAM;
        atomic_store_explicit(&record->first_close, first, memory_order_release);
    }
}

/* Asked for at the first need and kept: edges for a socket that takes everything are rare. */
static void watch_out(struct side *to) {
    if (to->watches_out) return;
    to->watches_out = true;
    struct epoll_event event = {.events = SIDE_EVENTS | EPOLLOUT, .data.ptr = to};
    if (epoll_ctl(pair_of(to)->thread->epoll_fd, EPOLL_CTL_MOD, to->fd, &event) != 0) pair_lose(to, errno);
}

static void append(struct side *to, const uint8_t *bytes, size_t length) {
    struct pending *out = to->out;
    if (out->capacity - out->end < length) {
        size_t capacity = out->end + length;
        out = realloc(out, sizeof *out + capacity);
        if (out == NULL) {
            pair_lose(to, ENOMEM);
            return;
        }
        out->capacity = capacity;
        to->out = out;
    }
    memcpy(out->bytes + out->end, bytes, length);
    out->end += length;
}

void side_write(struct side *to, const uint8_t *bytes, size_t length) {
    if (pair_of(to)->is_dead || to->end_due || length == 0) return;
    if (to->out != NULL) {
        append(to, bytes, length);
        return;
    }
    ssize_t sent = send_some(to->fd, bytes, length);
    if (sent == (ssize_t)length) return;
    if (sent < 0) {
        pair_lose(to, errno);
        return;
    }
    to->out = make_pending(bytes + sent, length - (size_t)sent);
    if (to->out == NULL) pair_lose(to, ENOMEM);
    else watch_out(to);
}

static void flush(struct side *to) {
    struct pending *out = to->out;
    while (out->start < out->end) {
        ssize_t sent = send_some(to->fd, out->bytes + out->start, out->end - out->start);
        if (sent < 0) pair_lose(to, errno);
        if (sent <= 0) return;
        out->start += (size_t)sent;
    }
    free(out);
    to->out = NULL;
    if (to->end_due) side_end(to);
    if (!pair_of(to)->is_dead) pair_read(other_side(to));
}

/* ---- the end ---- */

/* An orderly end: the other side gets it behind its last bytes, and may go on sending. */
static void hear_end(struct side *from) {
    struct pair *pair = pair_of(from);
    struct side *to = other_side(from);
    from->read_ended = true;
    pair_settle(pair, from->name == CLIENT ? FIRST_CLIENT : FIRST_UPSTREAM, HOW_END, 0);
    if (pair->injector != NULL) injector_release(from);
    if (pair->is_dead) return;
    to->end_due = true;
    if (to->out == NULL) side_end(to);
}

void side_end(struct side *to) {
    /* A failure here is a reset on its way, which comes as an event of its own. */
    if (!to->write_ended) shutdown(to->fd, SHUT_WR);
    to->write_ended = true;
    end_if_over(pair_of(to));
}

static void end_if_over(struct pair *pair) {
    struct side *client = &pair->sides[CLIENT], *upstream = &pair->sides[UPSTREAM];
    if (!client->write_ended || !upstream->write_ended) return;
    /* Closed over bytes that were not read, a socket resets, which can destroy the last that went to its peer. */
    bool have_ended = client->read_ended && upstream->read_ended;
    if (pair->lingering_since_ms != 0 && !pair->is_closing && !have_ended) return;
    set_reset_on_close(client->fd, false);
    set_reset_on_close(upstream->fd, false);
    pair_die(pair);
}

/*
 * A reset, or a failure: the other side must not take what it has for a whole. Unless it has all of it: behind a Close
 * nothing comes (RFC 6455 section 5.5.1), and browsers reset as soon as theirs is out. Then a reset would only take the
 * Close away from a server that has not read it yet.
 */
void pair_lose(struct side *side, int error) {
    struct pair *pair = pair_of(side);
    struct side *other = other_side(side);
    pair_settle(pair, side->name == CLIENT ? FIRST_CLIENT : FIRST_UPSTREAM, HOW_RESET, error);
    if (side->scanner.has_closed && other->out == NULL) {
        if (!other->write_ended) shutdown(other->fd, SHUT_WR);
        set_reset_on_close(other->fd, false);
    }
    pair_die(pair);
}

void pair_cut(struct pair *pair) {
    pair_settle(pair, FIRST_PROXY, HOW_CUT, 0);
    pair_die(pair);
}

void pair_read_mail(struct pair *pair, bool wants_cut, struct injection *frames) {
    if (pair->lost_errno != 0) pair_lose(&pair->sides[pair->lost_side], pair->lost_errno);
    else if (wants_cut) pair_cut(pair);
    else if (pair->limiter != NULL) limiter_pass_early(pair);
    if (!pair->is_dead && frames != NULL) injector_take(pair, frames);
    else injections_free(frames);
}

/* When the side was last heard, to a sweep; and shows for how long it has been silent. */
static int64_t hear(struct side *from, int64_t now_ms) {
    if (from->bytes != from->swept_bytes) {
        from->swept_bytes = from->bytes;
        from->heard_ms = now_ms;
    }
    int64_t seconds = (now_ms - from->heard_ms) / 1000;
    if (seconds > UINT16_MAX) seconds = UINT16_MAX;
    _Atomic uint16_t *shown = &pair_of(from)->record->silent_seconds[from->name];
    /* A record that nothing changes in is not written: its page may be cold. */
    if (atomic_load_explicit(shown, memory_order_relaxed) != (uint16_t)seconds) atomic_store(shown, (uint16_t)seconds);
    return from->heard_ms;
}

/* Whether the tunnel has been idle, half-closed or alive for too long. */
void pair_sweep(struct pair *pair, int64_t now_ms) {
    int64_t active_ms = hear(&pair->sides[CLIENT], now_ms), upstream_ms = hear(&pair->sides[UPSTREAM], now_ms);
    if (upstream_ms > active_ms) active_ms = upstream_ms;
    closing_sweep(pair, now_ms);
    if (pair->is_dead) return;
    if (pair->is_settled) {
        int64_t since = active_ms > pair->settled_ms ? active_ms : pair->settled_ms;
        if (pair->half_close_timeout_ms > 0 && now_ms - since >= pair->half_close_timeout_ms) pair_die(pair);
    } else if (pair->idle_timeout_ms > 0 && now_ms - active_ms >= pair->idle_timeout_ms) {
        closing_idle(pair);
    } else if (pair->max_age_ms > 0 && now_ms - pair->opened_ms >= pair->max_age_ms) {
        pair_finish(pair, FIRST_PROXY, HOW_MAX_AGE);
    }
}

/* Ends both sides in order; one that does not take its last bytes is cut by a later sweep. */
void pair_finish(struct pair *pair, enum end_first first, enum end_how how) {
    pair_settle(pair, first, how, 0);
    pair->is_closing = true;
    for (int name = CLIENT; name <= UPSTREAM; name++) pair->sides[name].end_due = true;
    for (int name = CLIENT; name <= UPSTREAM; name++) {
        if (!pair->is_dead && pair->sides[name].out == NULL) side_end(&pair->sides[name]);
    }
}

void pair_settle(struct pair *pair, enum end_first first, enum end_how how, int error) {
    if (pair->is_settled) return;
    /* What the peers do after a Close of ours is its answer. */
    if (pair->closed_by_us && (how == HOW_END || how == HOW_RESET)) first = FIRST_PROXY, how = HOW_CLOSED, error = 0;
    pair->is_settled = true;
    pair->settled_ms = engine_now_ms(pair->thread->engine);
    atomic_store(&pair->record->end_how, (uint8_t)how);
    atomic_store(&pair->record->end_errno, error);
    atomic_store(&pair->record->end_first, (uint8_t)first);
}

/* Closes both sides: as a reset, unless both have been ended in order. */
void pair_die(struct pair *pair) {
    assert(!pair->is_dead);
    pair->is_dead = true;
    thread_forget(pair->thread, pair);
    for (int name = CLIENT; name <= UPSTREAM; name++) {
        struct side *side = &pair->sides[name];
        /* As long as the caller of relay_join has its own descriptor, closing ours would not stop the events. */
        epoll_ctl(pair->thread->epoll_fd, EPOLL_CTL_DEL, side->fd, NULL);
        close_descriptor(&side->fd);
        free(side->out);
        side->out = NULL;
    }
    injector_free(pair->injector);
    pair->injector = NULL;
    limiter_free(pair->limiter);
    pair->limiter = NULL;
}

void pair_free(struct pair *pair) {
    if (pair == NULL) return;
    for (int name = CLIENT; name <= UPSTREAM; name++) scanner_clear(&pair->sides[name].scanner);
    free(pair);
}
