#include "scanner.h"

#include <stdlib.h>
#include <string.h>

/* Hixie. */
enum { BETWEEN, UP_TO_FF, LENGTH, COUNTED };

/* 28 bits of length: no server of the time took frames of 256 MiB. */
#define MAX_LENGTH_DIGITS 4
/* Where JavaScript's numbers stop counting single bytes: 2^53 - 1. */
#define MAX_EXACT_HIGH 0x1fffffu
#define MAX_EXACT 9007199254740991.0

enum { CONTINUATION = 0, CLOSE = 8, LAST_OPCODE = 10 };

/* What the end of a frame ends. */
enum { ENDS_NOTHING, ENDS_MESSAGE, ENDS_ALL };

static size_t push_rfc6455(struct scanner *s, const uint8_t *bytes, size_t length, bool to_boundary);
static size_t push_hixie(struct scanner *s, const uint8_t *bytes, size_t length, bool to_boundary);

void scanner_init(struct scanner *s, enum framing framing, bool from_client) {
    memset(s, 0, sizeof *s);
    s->framing = (uint8_t)framing;
    s->from_client = from_client;
    s->close_code = NO_CLOSE;
}

void scanner_clear(struct scanner *s) {
    free(s->reason);
    s->reason = NULL;
}

void scanner_copy_reason(const struct scanner *s, struct close_reason *copy) {
    copy->length = 0;
    if (s->has_closed && s->reason != NULL) memcpy(copy, s->reason, 1u + s->reason->length);
}

size_t scanner_push(struct scanner *s, const uint8_t *bytes, size_t length, bool to_boundary) {
    if (s->blind != SEEING) return length;
    if (s->framing == FRAMING_RFC6455) return push_rfc6455(s, bytes, length, to_boundary);
    if (s->framing == FRAMING_HIXIE) return push_hixie(s, bytes, length, to_boundary);
    return length;
}

bool scanner_at_boundary(const struct scanner *s) {
    if (s->blind != SEEING || s->framing == FRAMING_NONE) return false;
    if (s->framing == FRAMING_HIXIE) return s->state == BETWEEN;
    return s->left == 0 && s->cut_length == 0;
}

size_t scanner_open_header_bytes(const struct scanner *s) {
    if (s->blind != SEEING) return 0;
    if (s->framing == FRAMING_HIXIE) return s->state == LENGTH ? 1u + s->digits : 0;
    return s->cut_length;
}

/* ---- limits ---- */

void bucket_init(struct bucket *bucket, double per_second) {
    double capacity = per_second > 1 ? per_second : 1;
    *bucket = (struct bucket){per_second, capacity, capacity, -1};
}

double bucket_available(struct bucket *bucket, int64_t now_ms) {
    int64_t passed_ms = bucket->filled_at_ms < 0 ? 0 : now_ms - bucket->filled_at_ms;
    if (passed_ms > 0) {
        bucket->tokens += (double)passed_ms * bucket->per_second / 1000;
        if (bucket->tokens > bucket->capacity) bucket->tokens = bucket->capacity;
    }
    if (passed_ms >= 0) bucket->filled_at_ms = now_ms;
    /* Towards nought: below it nothing is available either way. */
    return bucket->tokens < 0 ? -1 : (double)(uint64_t)bucket->tokens;
}

void message_limits_init(struct message_limits *limits, double max_bytes, double messages_per_second) {
    *limits = (struct message_limits){.max_bytes = UINT64_MAX};
    if (max_bytes > 0 && max_bytes < MAX_EXACT) limits->max_bytes = (uint64_t)max_bytes;
    if (messages_per_second > 0) bucket_init(&limits->rate, messages_per_second);
}

static void pause_at(struct scanner *s, enum breach breach, size_t header_bytes) {
    s->breach = (uint8_t)breach;
    s->breach_header_bytes = (uint8_t)header_bytes;
    s->is_paused = true;
    s->limits = NULL;
}

/* A frame of so many bytes begins; also a message, perhaps. */
static void hold_against_limits(struct scanner *s, bool is_first, bool is_message, uint64_t length, size_t header_bytes) {
    struct message_limits *limits = s->limits;
    if (is_first) limits->bytes = 0;
    if (is_message && limits->rate.per_second > 0) {
        if (bucket_available(&limits->rate, limits->now_ms) < 1) {
            pause_at(s, BREACH_MESSAGE_RATE, header_bytes);
            return;
        }
        limits->rate.tokens -= 1;
    }
    if (length > limits->max_bytes - limits->bytes) pause_at(s, BREACH_MESSAGE_SIZE, header_bytes);
    else limits->bytes += length;
}

/* ---- RFC 6455 (HyBi-07 and later) ---- */

static size_t header_length(uint8_t second_byte) {
    uint8_t short_length = second_byte & 0x7f;
    size_t length_bytes = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
    return 2 + length_bytes + (second_byte >= 0x80 ? 4 : 0);
}

static uint32_t uint32_at(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* What no sender may do, whatever extensions were agreed on. */
static uint8_t misplaced(const struct scanner *s, uint8_t opcode, bool fin, uint8_t short_length) {
    if (opcode > LAST_OPCODE || (opcode > 2 && opcode < CLOSE)) return BLIND_RESERVED_OPCODE + opcode;
    if (opcode >= CLOSE) {
        if (!fin) return BLIND_FRAGMENTED_CONTROL;
        if (short_length > 125) return BLIND_LONG_CONTROL;
        if (opcode == CLOSE && short_length == 1) return BLIND_HALF_CLOSE_CODE;
        return SEEING;
    }
    if (opcode == CONTINUATION) return s->fragmented ? SEEING : BLIND_LONE_CONTINUATION;
    return s->fragmented ? BLIND_NESTED_MESSAGE : SEEING;
}

static void end_frame(struct scanner *s) {
    if (s->ends == ENDS_MESSAGE) s->messages++;
    else if (s->ends == ENDS_ALL) s->has_closed = true;
    s->reads_close = false;
}

static void begin_close(struct scanner *s, uint64_t length, const uint8_t *masking_key) {
    /* Frames behind a Close break no limits. */
    s->limits = NULL;
    if (length == 0) {
        s->close_code = CLOSE_WITHOUT_CODE;
        return;
    }
    s->reads_close = true;
    s->close_at = 0;
    s->code = 0;
    if (masking_key != NULL) memcpy(s->close_mask, masking_key, sizeof s->close_mask);
    if (length == 2) return;
    s->reason = malloc(1 + (size_t)length - 2);
    if (s->reason != NULL) s->reason->length = 0;
}

static void read_close(struct scanner *s, const uint8_t *payload, size_t length) {
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = payload[i] ^ s->close_mask[s->close_at & 3];
        if (s->close_at < 2) s->code = (uint16_t)(s->code << 8 | byte);
        else if (s->reason != NULL) s->reason->bytes[s->reason->length++] = byte;
        if (++s->close_at == 2) s->close_code = s->code;
    }
}

/* A whole header stands at `header`. The checks come in the order of the bits in section 5.2, the mask last. */
static void begin_frame(struct scanner *s, const uint8_t *header) {
    bool fin = header[0] >= 0x80;
    uint8_t opcode = header[0] & 0x0f;
    bool masked = header[1] >= 0x80;
    uint8_t short_length = header[1] & 0x7f;

    s->blind = misplaced(s, opcode, fin, short_length);
    if (s->blind != SEEING) return;

    const uint8_t *next = header + 2;
    uint64_t length = short_length;
    if (short_length == 126) {
        length = (uint64_t)next[0] << 8 | next[1];
        next += 2;
    } else if (short_length == 127) {
        uint32_t high = uint32_at(next);
        if (high > 0x7fffffffu) s->blind = BLIND_LENGTH_TOP_BIT;
        else if (high > MAX_EXACT_HIGH) s->blind = BLIND_LENGTH_INEXACT;
        if (s->blind != SEEING) return;
        length = (uint64_t)high << 32 | uint32_at(next + 4);
        next += 8;
    }
    if (opcode < CLOSE) s->fragmented = !fin;
    if (masked != s->from_client) {
        s->blind = s->from_client ? BLIND_CLIENT_UNMASKED : BLIND_UPSTREAM_MASKED;
        return;
    }

    s->ends = opcode == CLOSE ? ENDS_ALL : fin && opcode < CLOSE ? ENDS_MESSAGE : ENDS_NOTHING;
    s->left = length;
    if (s->limits != NULL && opcode < CLOSE) {
        bool is_first = opcode != CONTINUATION;
        hold_against_limits(s, is_first, is_first, length, header_length(header[1]));
    }
    if (opcode == CLOSE && s->close_code == NO_CLOSE) begin_close(s, length, masked ? next : NULL);
    if (length == 0) end_frame(s);
}

/* The slow path: a byte at a time until the cut header is whole. Returns how many bytes it took. */
static size_t complete_cut(struct scanner *s, const uint8_t *bytes, size_t length) {
    for (size_t at = 0; at < length;) {
        s->cut[s->cut_length++] = bytes[at++];
        if (s->cut_length > 1 && s->cut_length == header_length(s->cut[1])) {
            s->cut_length = 0;
            begin_frame(s, s->cut);
            return at;
        }
    }
    return length;
}

static size_t push_rfc6455(struct scanner *s, const uint8_t *bytes, size_t length, bool to_boundary) {
    size_t at = 0;
    while (at < length) {
        size_t rest = length - at;
        if (s->left > 0) {
            size_t taken = s->left < rest ? (size_t)s->left : rest;
            if (s->reads_close) read_close(s, bytes + at, taken);
            s->left -= taken;
            at += taken;
            if (s->left > 0) return at;
            end_frame(s);
        } else if (s->cut_length == 0 && rest > 1 && rest >= header_length(bytes[at + 1])) {
            begin_frame(s, bytes + at);
            at += header_length(bytes[at + 1]);
        } else {
            at += complete_cut(s, bytes + at, rest);
        }
        if (s->blind != SEEING) return length;
        if (s->is_paused) {
            s->is_paused = false;
            return at;
        }
        if (to_boundary && s->left == 0 && s->cut_length == 0) return at;
    }
    return at;
}

/* ---- Hixie-75 and Hixie-76 ---- */

static void start_hixie_frame(struct scanner *s, uint8_t type) {
    s->type = type;
    s->digits = 0;
    s->left = 0;
    s->state = type < 0x80 ? UP_TO_FF : LENGTH;
    if (s->limits != NULL && type < 0x80) hold_against_limits(s, true, type == 0, 0, 1);
}

static void end_hixie_frame(struct scanner *s) {
    s->state = BETWEEN;
    /* Endpoints discard every frame that is not text: those are no messages. */
    if (s->type == 0) s->messages++;
    else if (s->type == 0xff && s->close_code != NO_CLOSE) s->has_closed = true;
}

static void take_length_digit(struct scanner *s, uint8_t byte) {
    /* Before the multiplication, so that no number of digits can overflow. */
    if (s->digits == MAX_LENGTH_DIGITS) {
        s->blind = BLIND_HIXIE_LENGTH;
        return;
    }
    s->digits++;
    s->left = s->left * 128 + (byte & 0x7f);
    if (byte >= 0x80) return;
    s->state = COUNTED;
    if (s->limits != NULL) hold_against_limits(s, true, false, s->left, 1u + s->digits);
    if (s->left > 0) return;
    if (s->type == 0xff) {
        s->close_code = CLOSE_WITHOUT_CODE;
        s->limits = NULL;
    }
    end_hixie_frame(s);
}

static size_t push_hixie(struct scanner *s, const uint8_t *bytes, size_t length, bool to_boundary) {
    size_t at = 0;
    while (at < length) {
        size_t rest = length - at;
        if (s->state == BETWEEN) {
            start_hixie_frame(s, bytes[at++]);
            if (!s->is_paused) continue;
        } else if (s->state == LENGTH) {
            take_length_digit(s, bytes[at++]);
            if (s->blind != SEEING) return length;
        } else if (s->state == UP_TO_FF) {
            const uint8_t *found = memchr(bytes + at, 0xff, rest);
            size_t payload = found == NULL ? rest : (size_t)(found - bytes) - at;
            if (s->limits != NULL && payload > s->limits->max_bytes - s->limits->bytes) {
                at += s->limits->max_bytes - s->limits->bytes;
                pause_at(s, BREACH_MESSAGE_SIZE, 0);
            } else {
                if (s->limits != NULL) s->limits->bytes += payload;
                if (found == NULL) return length;
                at += payload + 1;
                end_hixie_frame(s);
            }
        } else {
            size_t taken = s->left < rest ? (size_t)s->left : rest;
            s->left -= taken;
            at += taken;
            if (s->left == 0) end_hixie_frame(s);
        }
        if (s->is_paused) {
            s->is_paused = false;
            return at;
        }
        if (to_boundary && s->state == BETWEEN) return at;
    }
    return at;
}
