/*
 * Walks the frames of one direction as their bytes pass: the C twin of src/protocol/frames/. It counts messages, keeps
 * the first close code, and knows when it stands between two frames. It holds no payload, calls nothing, and on bytes
 * that cannot be a frame it goes blind and says why. Both twins are held to test/suites/scanner-suite.ts.
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

/* 2 bytes, a 64-bit length, a masking key. */
#define MAX_HEADER_BYTES 14

struct scanner {
    /* Payload bytes of the present frame still to come; while a Hixie length is read, the length so far. */
    uint64_t left;
    /* Complete data messages. */
    uint64_t messages;
    /* Of the first Close frame. */
    int32_t close_code;
    uint8_t framing;
    uint8_t blind;
    bool from_client;
    /* Between the first and the last fragment of a message. */
    bool fragmented;
    /* Whether the end of the present frame ends a message. */
    bool completes;
    /* Bytes of the close code still to come; what is known of it; the part of the masking key that hides it. */
    uint8_t code_bytes_left;
    uint16_t code;
    uint8_t code_mask[2];
    /* Hixie: where in a frame, its type byte, digits of its length. */
    uint8_t state;
    uint8_t type;
    uint8_t digits;
    /* A header that the end of a chunk has cut. */
    uint8_t cut_length;
    uint8_t cut[MAX_HEADER_BYTES];
};

void scanner_init(struct scanner *scanner, enum framing framing, bool from_client);

/*
 * Walks `length` bytes. With `to_boundary` it stops behind the first frame that ends in them. Returns how many bytes it
 * has walked: all of them, if nothing stopped it.
 */
size_t scanner_push(struct scanner *scanner, const uint8_t *bytes, size_t length, bool to_boundary);

/* True between frames: only then may something be put in towards the receiver. False once blind. */
bool scanner_at_boundary(const struct scanner *scanner);

#endif
