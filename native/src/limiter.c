/* What a side may send: so many bytes a second, messages of a size and a rate. Only pairs with limits have any of this. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

int limiter_make(struct pair *pair, const struct relay_limits *limits) {
    bool is_limited = false, holds_messages = false;
    for (int name = CLIENT; name <= UPSTREAM; name++) {
        bool is_held = limits->max_message_bytes[name] > 0 || limits->max_messages_per_second[name] > 0;
        if (is_held && pair->sides[name].scanner.framing != FRAMING_NONE) holds_messages = true;
        if (limits->max_bytes_per_second[name] > 0) is_limited = true;
    }
    if (!is_limited && !holds_messages) return 0;
    struct limiter *limiter = calloc(1, sizeof *limiter);
    if (limiter == NULL) return ENOMEM;
    if (holds_messages && (pair->injector = injector_make()) == NULL) {
        free(limiter);
        return ENOMEM;
    }
    pair->limiter = limiter;
    for (int name = CLIENT; name <= UPSTREAM; name++) {
        double max_bytes = limits->max_message_bytes[name], rate = limits->max_messages_per_second[name];
        message_limits_init(&limiter->messages[name], max_bytes, rate);
        if (holds_messages && (max_bytes > 0 || rate > 0)) pair->sides[name].scanner.limits = &limiter->messages[name];
        if (limits->max_bytes_per_second[name] > 0) bucket_init(&limiter->bytes[name], limits->max_bytes_per_second[name]);
    }
    return 0;
}

void limiter_free(struct limiter *limiter) {
    if (limiter == NULL) return;
    free(limiter->early[CLIENT]);
    free(limiter->early[UPSTREAM]);
    free(limiter);
}

/* ---- what came early ---- */

bool limiter_holds_messages(const struct pair *pair, enum side_name from) {
    return pair->sides[from].scanner.limits != NULL;
}

bool limiter_keep_early(struct side *from, const uint8_t *bytes, size_t length) {
    struct limiter *limiter = pair_of(from)->limiter;
    uint8_t *early = malloc(length);
    if (early == NULL) return false;
    memcpy(early, bytes, length);
    limiter->early[from->name] = early;
    limiter->early_lengths[from->name] = length;
    return true;
}

void limiter_pass_early(struct pair *pair) {
    for (int name = UPSTREAM; name >= CLIENT && !pair->is_dead; name--) {
        struct limiter *limiter = pair->limiter;
        uint8_t *early = limiter->early[name];
        if (early == NULL) continue;
        limiter->early[name] = NULL;
        limiter_spend(&pair->sides[name], limiter->early_lengths[name]);
        side_pass_on(&pair->sides[name], early, limiter->early_lengths[name]);
        free(early);
    }
}

/* ---- bytes a second ---- */

static bool may_send(struct side *from, int64_t now_ms, size_t *room) {
    struct bucket *bucket = &pair_of(from)->limiter->bytes[from->name];
    double available = bucket_available(bucket, now_ms);
    /* Not for a byte or two at a time. */
    double worth_it = bucket->per_second * THROTTLE_MS / 1000;
    if (available < 1 || (available < worth_it && available < BUFFER_BYTES)) return false;
    *room = available < BUFFER_BYTES ? (size_t)available : BUFFER_BYTES;
    return true;
}

size_t limiter_room(struct side *from) {
    struct pair *pair = pair_of(from);
    struct relay_thread *thread = pair->thread;
    struct limiter *limiter = pair->limiter;
    size_t room = BUFFER_BYTES;
    if (limiter->bytes[from->name].per_second <= 0) return room;
    if (may_send(from, engine_now_ms(thread->engine), &room)) return room;
    if (limiter->is_throttled[from->name]) return 0;
    limiter->is_throttled[from->name] = true;
    limiter->next_throttled[from->name] = NULL;
    *thread->throttled_tail = from;
    thread->throttled_tail = &limiter->next_throttled[from->name];
    thread->throttled_count++;
    return 0;
}

void limiter_spend(struct side *from, size_t length) {
    struct bucket *bucket = &pair_of(from)->limiter->bytes[from->name];
    if (bucket->per_second > 0) bucket->tokens -= (double)length;
}

void limiter_resume(struct relay_thread *thread, int64_t now_ms) {
    if (now_ms - thread->throttled_ms < THROTTLE_MS && now_ms >= thread->throttled_ms) return;
    thread->throttled_ms = now_ms;
    /* One turn for each that waits now; who comes back waits for the next time. */
    for (unsigned turns = thread->throttled_count; turns > 0 && thread->throttled != NULL; turns--) {
        struct side *side = thread->throttled;
        limiter_forget(thread, side);
        pair_read(side);
    }
}

void limiter_forget(struct relay_thread *thread, struct side *side) {
    struct limiter *limiter = pair_of(side)->limiter;
    if (!limiter->is_throttled[side->name]) return;
    struct side **link = &thread->throttled;
    while (*link != side) link = &pair_of(*link)->limiter->next_throttled[(*link)->name];
    *link = limiter->next_throttled[side->name];
    if (*link == NULL) thread->throttled_tail = link;
    thread->throttled_count--;
    limiter->is_throttled[side->name] = false;
}
