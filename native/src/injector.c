/*
 * Frames put in between those of the peers. Two facts keep that safe. *Boundary*: a frame goes in only where the scanner
 * of what goes that way stands between two frames; until then it waits. *Silence after Close*: behind a Close that we
 * have put in, whatever still comes for that side is read, scanned and dropped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* Pings that wait for their pong, each way; older ones are given up. */
#define MAX_AWAITED 8

enum { PONG_HEAD = 0x8a, PING_HEAD = 0x89, CLOSE_HEAD = 0x88 };

struct injector {
    /* Frames that wait for a boundary, by the side they go to. */
    struct injection *due[2];
    /* A Close of ours has gone to that side. */
    bool is_silenced[2];
    /* Pings that have gone to that side. */
    struct injection *awaited[2];
    /*
     * A pong of that side, or where its messages have limits the header of any frame, held back until it is whole. NULL
     * while there is none.
     */
    uint8_t *held[2];
    bool is_pong_held[2];
    uint8_t held_length[2];
};

static void put_in(struct side *to);
static void silence(struct side *to);
static bool hear_breach(struct side *from, const uint8_t *bytes, size_t length);
static void pass_rest(struct side *from, const uint8_t *bytes, size_t length);
static void await_pong(struct injector *injector, struct injection *ping);
static void judge_pong(struct side *from);
static void forward(struct side *from, const uint8_t *bytes, size_t length);

struct injector *injector_make(void) {
    return calloc(1, sizeof(struct injector));
}

/* ---- frames from the owner ---- */

int injection_check(enum injection_kind kind, const uint8_t *frame, size_t length) {
    if (length < 2 || length > MAX_CONTROL_BYTES) return EINVAL;
    /* The close of Hixie-76. */
    if (kind == INJECT_CLOSE && length == 2 && frame[0] == 0xff && frame[1] == 0x00) return 0;
    if (frame[0] != (kind == INJECT_CLOSE ? CLOSE_HEAD : PING_HEAD)) return EINVAL;
    size_t payload = frame[1] & 0x7f;
    return payload <= 125 && length == 2 + payload + (frame[1] >= 0x80 ? 4 : 0) ? 0 : EINVAL;
}

/* The payload of a whole control frame, unmasked. Returns its length. */
static uint8_t read_payload(const uint8_t *frame, uint8_t *payload) {
    uint8_t length = frame[1] & 0x7f;
    bool is_masked = frame[1] >= 0x80;
    const uint8_t *bytes = frame + (is_masked ? 6 : 2);
    for (uint8_t i = 0; i < length; i++) payload[i] = is_masked ? bytes[i] ^ frame[2 + i % 4] : bytes[i];
    return length;
}

struct injection *injection_make(enum injection_kind kind, enum side_name towards, const uint8_t *frame, size_t length) {
    struct injection *injection = malloc(sizeof *injection + 2 * MAX_CONTROL_BYTES);
    if (injection == NULL) return NULL;
    *injection = (struct injection){.kind = (uint8_t)kind, .towards = (uint8_t)towards, .length = (uint8_t)length};
    memcpy(injection->bytes, frame, length);
    if (kind == INJECT_PING) injection->payload_length = read_payload(frame, injection->bytes + length);
    return injection;
}

void injections_free(struct injection *first) {
    for (struct injection *next; first != NULL; first = next) {
        next = first->next;
        free(first);
    }
}

static void append(struct injection **list, struct injection *injection) {
    while (*list != NULL) list = &(*list)->next;
    injection->next = NULL;
    *list = injection;
}

void injector_take(struct pair *pair, struct injection *frames) {
    if (pair->injector == NULL) pair->injector = injector_make();
    struct injector *injector = pair->injector;
    if (injector == NULL) {
        injections_free(frames);
        return;
    }
    /* Newest first: the last of them is the first to go. */
    struct injection *oldest_first = NULL;
    for (struct injection *next; frames != NULL; frames = next) {
        next = frames->next;
        frames->next = oldest_first;
        oldest_first = frames;
    }
    for (struct injection *next; oldest_first != NULL; oldest_first = next) {
        next = oldest_first->next;
        append(&injector->due[oldest_first->towards], oldest_first);
    }
    put_in(&pair->sides[CLIENT]);
    if (!pair->is_dead) put_in(&pair->sides[UPSTREAM]);
    closing_check(pair);
}

/* Whether a frame of ours would come behind a Close, or an end. */
static bool is_over(struct side *to) {
    struct injector *injector = pair_of(to)->injector;
    return to->end_due || injector->is_silenced[to->name] || other_side(to)->scanner.close_code != NO_CLOSE;
}

/* If a boundary is here, what is due towards a side goes in. May end the pair. */
static void put_in(struct side *to) {
    struct pair *pair = pair_of(to);
    struct injector *injector = pair->injector;
    if (!scanner_at_boundary(&other_side(to)->scanner)) return;
    while (!pair->is_dead && injector->due[to->name] != NULL) {
        struct injection *injection = injector->due[to->name];
        if (is_over(to)) {
            injections_free(injection);
            injector->due[to->name] = NULL;
            return;
        }
        injector->due[to->name] = injection->next;
        injection->next = NULL;
        side_write(to, injection->bytes, injection->length);
        bool is_close = injection->kind == INJECT_CLOSE;
        if (!pair->is_dead && !is_close) {
            await_pong(injector, injection);
            continue;
        }
        injections_free(injection);
        if (!pair->is_dead) silence(to);
    }
}

/* A Close of ours has gone to the side. What still comes for it breaks no limits: nobody gets it. */
static void silence(struct side *to) {
    struct pair *pair = pair_of(to);
    if (atomic_load(&pair->record->first_close) == FIRST_NONE) pair->closed_by_us = true;
    pair->injector->is_silenced[to->name] = true;
    other_side(to)->scanner.limits = NULL;
}

bool injector_has_closed(struct side *to) {
    struct injector *injector = pair_of(to)->injector;
    return other_side(to)->scanner.has_closed || (injector != NULL && injector->is_silenced[to->name]);
}

static void await_pong(struct injector *injector, struct injection *ping) {
    struct injection **list = &injector->awaited[ping->towards];
    append(list, ping);
    int count = 0;
    for (struct injection *each = *list; each != NULL; each = each->next) count++;
    if (count <= MAX_AWAITED) return;
    struct injection *oldest = *list;
    *list = oldest->next;
    free(oldest);
}

/* ---- bytes of the peers ---- */

void injector_pass_on(struct side *from, const uint8_t *bytes, size_t length) {
    struct pair *pair = pair_of(from);
    struct injector *injector = pair->injector;
    struct side *to = other_side(from);
    int source = from->name, target = to->name;
    /* Frame by frame only while there is a reason; [start, at) has been walked and not yet been forwarded. */
    size_t start = 0, at = 0;
    if (from->scanner.limits != NULL) from->scanner.limits->now_ms = engine_now_ms(pair->thread->engine);
    while (at < length) {
        bool is_between = scanner_at_boundary(&from->scanner);
        bool is_awaited = injector->awaited[source] != NULL || injector->is_pong_held[source];
        bool is_stepping = injector->due[target] != NULL || is_awaited;
        if (!is_stepping && from->scanner.limits == NULL) break;
        if (is_between && injector->due[target] != NULL) {
            forward(from, bytes + start, at - start);
            start = at;
            if (!pair->is_dead) put_in(to);
            if (pair->is_dead) return;
        }
        if (is_between && is_awaited && bytes[at] == PONG_HEAD) {
            forward(from, bytes + start, at - start);
            if (pair->is_dead) return;
            start = at;
            injector->held[source] = malloc(MAX_CONTROL_BYTES);
            injector->held_length[source] = 0;
            injector->is_pong_held[source] = injector->held[source] != NULL;
        }
        enum breach before = (enum breach)from->scanner.breach;
        at += scanner_push(&from->scanner, bytes + at, length - at, is_stepping);
        side_publish(from);
        if (from->scanner.breach != before) {
            if (!hear_breach(from, bytes + start, at - start)) return;
            start = at;
            continue;
        }
        if (!injector->is_pong_held[source]) continue;
        if (from->scanner.blind == SEEING) {
            /* A control frame that the scanner takes fits. */
            memcpy(injector->held[source] + injector->held_length[source], bytes + start, at - start);
            injector->held_length[source] = (uint8_t)(injector->held_length[source] + (at - start));
            start = at;
            if (scanner_at_boundary(&from->scanner)) judge_pong(from);
        } else {
            injector_release(from);
        }
        if (pair->is_dead) return;
    }
    if (at < length) {
        scanner_push(&from->scanner, bytes + at, length - at, false);
        side_publish(from);
    }
    pass_rest(from, bytes + start, length - start);
    if (!pair->is_dead && injector->due[target] != NULL) put_in(to);
}

/* The end of what was read. Under limits a header that is not whole stays here: its frame may have to. */
static void pass_rest(struct side *from, const uint8_t *bytes, size_t length) {
    struct injector *injector = pair_of(from)->injector;
    int source = from->name;
    size_t open = from->scanner.limits == NULL || injector->is_pong_held[source] ? 0 : scanner_open_header_bytes(&from->scanner);
    bool goes_on = open > length;
    if (!goes_on) {
        forward(from, bytes, length - open);
        if (pair_of(from)->is_dead || open == 0) return;
        injector->held[source] = malloc(MAX_CONTROL_BYTES);
        injector->held_length[source] = 0;
        bytes += length - open;
        length = open;
    }
    if (injector->held[source] == NULL) {
        forward(from, bytes, length);
        return;
    }
    memcpy(injector->held[source] + injector->held_length[source], bytes, length);
    injector->held_length[source] = (uint8_t)(injector->held_length[source] + length);
}

/* The scanner stands behind these bytes, at the first of a frame that breaks a limit or behind its header. */
static bool hear_breach(struct side *from, const uint8_t *bytes, size_t length) {
    struct pair *pair = pair_of(from);
    size_t header = from->scanner.breach_header_bytes;
    if (header <= length) {
        forward(from, bytes, length - header);
    } else {
        free(pair->injector->held[from->name]);
        pair->injector->held[from->name] = NULL;
    }
    if (!pair->is_dead) closing_break(from);
    return !pair->is_dead;
}

static struct injection *make_close(struct side *to, uint16_t code, const char *reason) {
    uint8_t frame[MAX_CONTROL_BYTES] = {0xff, 0x00};
    size_t length = 2;
    if (to->scanner.framing == FRAMING_RFC6455) {
        bool is_masked = to->name == UPSTREAM;
        uint8_t mask[4] = {0}, payload[125] = {(uint8_t)(code >> 8), (uint8_t)code};
        size_t payload_length = 2 + strlen(reason);
        memcpy(payload + 2, reason, payload_length - 2);
        if (is_masked && getentropy(mask, sizeof mask) != 0) return NULL;
        frame[0] = CLOSE_HEAD;
        frame[1] = (uint8_t)((is_masked ? 0x80 : 0) | payload_length);
        if (is_masked) memcpy(frame + length, mask, sizeof mask), length += sizeof mask;
        for (size_t i = 0; i < payload_length; i++) frame[length++] = payload[i] ^ mask[i % 4];
    }
    return injection_make(INJECT_CLOSE, (enum side_name)to->name, frame, length);
}

void injector_break(struct side *from) {
    struct pair *pair = pair_of(from);
    struct side *to = other_side(from);
    bool is_size = from->scanner.breach == BREACH_MESSAGE_SIZE;
    /* The offending frame has not gone out, so what goes there stands between two frames; but for Hixie's without a length. */
    struct injection *going_away = from->scanner.breach_header_bytes > 0 ? make_close(to, 1001, "") : NULL;
    if (going_away != NULL && !is_over(to)) side_write(to, going_away->bytes, going_away->length);
    injections_free(going_away);
    if (pair->is_dead) return;
    silence(to);
    struct injection *why = is_size ? make_close(from, 1009, "message too big") : make_close(from, 1008, "too many messages");
    if (why == NULL) return;
    append(&pair->injector->due[from->name], why);
    put_in(from);
}

void injector_close_both(struct pair *pair, uint16_t code, const char *reason) {
    if (pair->injector == NULL) pair->injector = injector_make();
    for (int name = CLIENT; name <= UPSTREAM && !pair->is_dead && pair->injector != NULL; name++) {
        struct side *to = &pair->sides[name];
        struct injection *close = make_close(to, code, reason);
        if (close == NULL) continue;
        append(&pair->injector->due[name], close);
        put_in(to);
    }
}

static void forward(struct side *from, const uint8_t *bytes, size_t length) {
    struct injector *injector = pair_of(from)->injector;
    struct side *to = other_side(from);
    /* A header that was held back is whole, or was never one. */
    if (injector->held[from->name] != NULL && !injector->is_pong_held[from->name] && length > 0) {
        injector_release(from);
        if (pair_of(from)->is_dead) return;
    }
    if (!injector->is_silenced[to->name]) side_write(to, bytes, length);
}

/* A whole pong is held: it is dropped if it answers a ping of ours, with all older pings (RFC 6455 section 5.5.3). */
static void judge_pong(struct side *from) {
    struct injector *injector = pair_of(from)->injector;
    uint8_t payload[125];
    uint8_t length = read_payload(injector->held[from->name], payload);
    struct injection **list = &injector->awaited[from->name];
    for (struct injection *ping = *list; ping != NULL; ping = ping->next) {
        if (ping->payload_length != length || memcmp(ping->bytes + ping->length, payload, length) != 0) continue;
        struct injection *rest = ping->next;
        ping->next = NULL;
        injections_free(*list);
        *list = rest;
        free(injector->held[from->name]);
        injector->held[from->name] = NULL;
        injector->is_pong_held[from->name] = false;
        atomic_fetch_add(&pair_of(from)->record->pongs[from->name], 1);
        return;
    }
    injector_release(from);
}

void injector_release(struct side *from) {
    struct injector *injector = pair_of(from)->injector;
    uint8_t *held = injector->held[from->name];
    if (held == NULL) return;
    injector->held[from->name] = NULL;
    injector->is_pong_held[from->name] = false;
    forward(from, held, injector->held_length[from->name]);
    free(held);
}

void injector_free(struct injector *injector) {
    if (injector == NULL) return;
    for (int name = CLIENT; name <= UPSTREAM; name++) {
        injections_free(injector->due[name]);
        injections_free(injector->awaited[name]);
        free(injector->held[name]);
    }
    free(injector);
}
