/*
 * Walks the frames of one direction as their bytes pass: the C twin of src/protocol/frames/. It counts messages, keeps
 * the first Close's code and reason, and knows when it stands between two frames. It holds no other payload, calls
 * nothing, and on bytes that cannot be a frame it goes blind and says why. Both twins are held to test/suites/scanner-suite.ts.
 */
#ifndef TIDEGATE_SCANNER_H
#define TIDEGATE_SCANNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum framing { FRAMING_NONE, FRAMING_RFC6455, FRAMING_HIXIE };

/* Why frames could not be read any further. src/relay/native-binding.ts has the words, by these numbers. */
enum blind {
    SEEING,
    BLIND_FRAGMENTED_CONTROL,
    BLIND_LONG_CONTROL,
    BLIND_HALF_CLOSE_CODE,
    BLIND_LONE_CONTINUATION,
    BLIND_NESTED_MESSAGE,
    BLIND_LENGTH_TOP_BIT,
    BLIND_LENGTH_INEXACT,
    BLIND_CLIENT_UNMASKED,
    BLIND_UPSTREAM_MASKED,
    BLIND_HIXIE_LENGTH,
    /* Plus the opcode: 3 to 7 and 11 to 15. */
    BLIND_RESERVED_OPCODE = 16,
};

/* Before a Close frame was seen. */
#define NO_CLOSE (-1)
/* What a Close frame without a code is reported as (RFC 6455 section 7.1.5). */
#define CLOSE_WITHOUT_CODE 1005

/* A Close frame's payload is at most 125 bytes, two of them the code. */
#define MAX_REASON_BYTES 123

/* The reason in a Close frame: UTF-8, if its sender kept to RFC 6455 section 5.5.1. */
struct close_reason {
    uint8_t length;
    uint8_t bytes[MAX_REASON_BYTES];
};

/* 2 bytes, a 64-bit length, a masking key. */
#define MAX_HEADER_BYTES 14

/*
 * An allowance that fills up at a steady rate, to no more than what one second brings, and never less than room for one:
 * the twin of src/base/token-bucket.ts, number for number.
 */
struct bucket {
    double per_second, capacity, tokens;
    /* -1 before its first use. */
    int64_t filled_at_ms;
};

enum breach { NO_BREACH, BREACH_MESSAGE_SIZE, BREACH_MESSAGE_RATE };

/* What the messages of one direction may be: the twin of src/protocol/frames/message-limits.ts. */
struct message_limits {
    /* UINT64_MAX: any. */
    uint64_t max_bytes;
    /* per_second 0: any. */
    struct bucket rate;
    /* Payload bytes of the present message so far. */
    uint64_t bytes;
    /* Set before every push. */
    int64_t now_ms;
};

struct scanner {
    /* Payload bytes of the present frame still to come; while a Hixie length is read, the length so far. */
    uint64_t left;
    /* Complete data messages. */
    uint64_t messages;
    /* Of the first Close frame. */
    int32_t close_code;
    uint8_t framing;
    uint8_t blind;
    /* The walk is to return: a limit has just been broken. */
    bool is_paused;
    /* A whole Close frame has passed. */
    bool has_closed;
    /* The limit that was broken first (an enum breach). */
    uint8_t breach;
    /* How many bytes before the breach are the offending frame's: see src/protocol/frames/types.ts. */
    uint8_t breach_header_bytes;
    bool from_client;
    /* Between the first and the last fragment of a message. */
    bool fragmented;
    /* What the end of the present frame ends. */
    uint8_t ends;
    /* The first Close, while it passes: how much of its payload has, what is known of its code, its masking key. */
    bool reads_close;
    uint8_t close_at;
    uint16_t code;
    uint8_t close_mask[4];
    /* Hixie: where in a frame, its type byte, digits of its length. */
    uint8_t state;
    uint8_t type;
    uint8_t digits;
    /* A header that the end of a chunk has cut. */
    uint8_t cut_length;
    uint8_t cut[MAX_HEADER_BYTES];
    /* NULL: none, or not any more. Looked at once a data frame. */
    struct message_limits *limits;
    /* Of the first Close frame, ours: only as long as it has to be. NULL: none so far, or no memory for it. */
    struct close_reason *reason;
};

void bucket_init(struct bucket *bucket, double per_second);
/* Whole tokens at this time. Time that runs backwards brings nothing. */
double bucket_available(struct bucket *bucket, int64_t now_ms);

void message_limits_init(struct message_limits *limits, double max_bytes, double messages_per_second);

void scanner_init(struct scanner *scanner, enum framing framing, bool from_client);
/* Gives back what the scanner holds. */
void scanner_clear(struct scanner *scanner);

/*
 * Walks `length` bytes. With `to_boundary` it stops behind the first frame that ends in them; and it stops once, when a
 * limit is broken. Returns how many bytes it has walked: all of them, if nothing stopped it.
 */
size_t scanner_push(struct scanner *scanner, const uint8_t *bytes, size_t length, bool to_boundary);

/* True between frames: only then may something be put in towards the receiver. False once blind. */
bool scanner_at_boundary(const struct scanner *scanner);

/* Copies the reason of a Close that has passed as a whole; length 0 without one. */
void scanner_copy_reason(const struct scanner *scanner, struct close_reason *copy);

/* Bytes of a header that is not yet whole: the last that were walked. */
size_t scanner_open_header_bytes(const struct scanner *scanner);

#endif
