/*
 * How a tunnel ends in order once Close frames are there (RFC 6455 section 7.1.1): a side that has been sent one and has
 * sent one gets our FIN behind its last bytes, and is read until it ends as well, so that what it was sent last cannot be
 * lost to a reset. The twin of src/relay/closing.ts.
 */
#include "internal.h"

/* For an end of ours, where no time was set. */
#define DEFAULT_TIMEOUT_MS 5000

static void end_in_order(struct pair *pair, struct side *side);

/* 0: nobody but the peers ends it. */
static int64_t timeout_of(const struct pair *pair) {
    if (pair->close_timeout_ms > 0) return pair->close_timeout_ms;
    return pair->lingering_since_ms != 0 ? DEFAULT_TIMEOUT_MS : 0;
}

static enum end_first first_of(struct pair *pair) {
    return pair->closed_by_us ? FIRST_PROXY : (enum end_first)atomic_load(&pair->record->first_close);
}

void closing_check(struct pair *pair) {
    if (pair->is_dead || timeout_of(pair) == 0) return;
    for (int name = CLIENT; name <= UPSTREAM && !pair->is_dead; name++) {
        struct side *side = &pair->sides[name];
        if (side->end_due || !side->scanner.has_closed || !injector_has_closed(side)) continue;
        pair_settle(pair, first_of(pair), HOW_CLOSED, 0);
        end_in_order(pair, side);
    }
}

static void linger(struct pair *pair) {
    if (pair->lingering_since_ms == 0) pair->lingering_since_ms = engine_now_ms(pair->thread->engine);
}

static void end_in_order(struct pair *pair, struct side *side) {
    linger(pair);
    side->end_due = true;
    if (side->out == NULL) side_end(side);
}

void closing_break(struct side *from) {
    struct pair *pair = pair_of(from);
    struct side *to = other_side(from);
    if (!pair->is_settled) {
        atomic_store(&pair->record->end_limit, from->scanner.breach);
        atomic_store(&pair->record->end_limit_side, from->name);
    }
    pair_settle(pair, FIRST_PROXY, HOW_LIMIT, 0);
    linger(pair);
    injector_break(from);
    /* It stands in the middle of a frame, where nothing can be said any more. */
    if (!pair->is_dead && from->scanner.breach_header_bytes == 0 && !to->end_due) end_in_order(pair, to);
    closing_check(pair);
}

static bool is_read(const struct side *side) {
    return side->scanner.framing != FRAMING_NONE && side->scanner.blind == SEEING;
}

void closing_idle(struct pair *pair) {
    if (!is_read(&pair->sides[CLIENT]) || !is_read(&pair->sides[UPSTREAM])) {
        pair_finish(pair, FIRST_PROXY, HOW_IDLE);
        return;
    }
    pair_settle(pair, FIRST_PROXY, HOW_IDLE, 0);
    linger(pair);
    injector_close_both(pair, 1001, "idle");
    closing_check(pair);
}

void closing_sweep(struct pair *pair, int64_t now_ms) {
    int64_t timeout_ms = timeout_of(pair);
    if (timeout_ms == 0) return;
    closing_check(pair);
    for (int name = CLIENT; name <= UPSTREAM && !pair->is_dead; name++) {
        struct side *side = &pair->sides[name];
        if (side->end_due || side->scanner.has_closed || !injector_has_closed(side)) continue;
        if (side->unanswered_since_ms == 0) side->unanswered_since_ms = now_ms;
        if (now_ms - side->unanswered_since_ms < timeout_ms) continue;
        linger(pair);
        pair_finish(pair, first_of(pair), HOW_CLOSED);
        return;
    }
    if (pair->is_dead || pair->lingering_since_ms == 0 || now_ms - pair->lingering_since_ms < timeout_ms) return;
    if (pair->is_closing) pair_die(pair);
    else pair_finish(pair, first_of(pair), HOW_CLOSED);
}
