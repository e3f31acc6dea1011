/*
 * Hostile bytes for the scanner: made to be built with -fsanitize=address,undefined. With clang's -fsanitize=fuzzer and
 * -DLIBFUZZER it is a libFuzzer target; by itself it draws its own streams.
 *
 *     scanner_fuzz SECONDS SEED
 *
 * Each chunk lies in memory of its own size, so that a read beyond it is found. However the bytes are cut, and whether
 * it stops at boundaries or not, the scanner must see the same.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../src/scanner.h"
#include "trial.h"

#define MAX_STREAM 1024

static void fail(const char *what, const uint8_t *bytes, size_t length) {
    fprintf(stderr, "scanner_fuzz: %s:", what);
    for (size_t i = 0; i < length; i++) fprintf(stderr, " %02x", bytes[i]);
    fprintf(stderr, "\n");
    abort();
}

/* What a scanner has seen, its reason apart: that is given back. */
struct seen {
    struct scanner scanner;
    struct close_reason reason;
};

/* `cuts` is read as the lengths of the chunks. */
static struct seen scan(enum framing framing, bool from_client, const uint8_t *bytes, size_t length, const uint8_t *cuts,
                        size_t cut_count, bool to_boundary, double max_bytes) {
    struct scanner scanner;
    struct message_limits limits;
    scanner_init(&scanner, framing, from_client);
    message_limits_init(&limits, max_bytes, max_bytes > 0 ? 3 : 0);
    if (max_bytes > 0) scanner.limits = &limits;
    for (size_t at = 0, i = 0; at < length; i++) {
        size_t chunk = cut_count == 0 ? length - at : (size_t)cuts[i % cut_count] + 1;
        if (chunk > length - at) chunk = length - at;
        uint8_t *copy = malloc(chunk);
        memcpy(copy, bytes + at, chunk);
        for (size_t done = 0; done < chunk;) {
            bool was_seeing = scanner.breach == NO_BREACH;
            size_t walked = scanner_push(&scanner, copy + done, chunk - done, to_boundary);
            if ((walked == 0 && scanner.breach == NO_BREACH) || walked > chunk - done) fail("walked too far or not at all", bytes, length);
            bool is_stopped = was_seeing && scanner.breach != NO_BREACH;
            if (!to_boundary && !is_stopped && walked != chunk - done) fail("stopped unasked", bytes, length);
            done += walked;
            if (done < chunk && !is_stopped && !scanner_at_boundary(&scanner)) fail("stopped, but not at a boundary", bytes, length);
        }
        free(copy);
        at += chunk;
    }
    struct seen seen = {.scanner = scanner, .reason = {0}};
    scanner_copy_reason(&scanner, &seen.reason);
    scanner_clear(&scanner);
    seen.scanner.limits = NULL;
    seen.scanner.reason = NULL;
    return seen;
}

static bool agree(const struct seen *one, const struct seen *other) {
    const struct scanner *a = &one->scanner, *b = &other->scanner;
    if (memcmp(&one->reason, &other->reason, sizeof one->reason) != 0) return false;
    return a->messages == b->messages && a->close_code == b->close_code && a->blind == b->blind &&
           scanner_at_boundary(a) == scanner_at_boundary(b) && a->breach == b->breach && a->has_closed == b->has_closed;
}

static void try_stream(const uint8_t *bytes, size_t length, const uint8_t *cuts, size_t cut_count) {
    for (int framing = FRAMING_RFC6455; framing <= FRAMING_HIXIE; framing++) {
        for (int from_client = 0; from_client < 2; from_client++) {
            struct seen whole = scan(framing, from_client, bytes, length, NULL, 0, false, 0);
            struct seen cut = scan(framing, from_client, bytes, length, cuts, cut_count, false, 0);
            struct seen stopping = scan(framing, from_client, bytes, length, cuts, cut_count, true, 0);
            for (int max_bytes = 1; max_bytes < 200; max_bytes *= 5) {
                struct seen limited = scan(framing, from_client, bytes, length, NULL, 0, false, max_bytes);
                struct seen again = scan(framing, from_client, bytes, length, cuts, cut_count, true, max_bytes);
                if (!agree(&limited, &again)) fail("cuts change what limits see", bytes, length);
                if (limited.scanner.messages != whole.scanner.messages || limited.scanner.blind != whole.scanner.blind) fail("limits change what is seen", bytes, length);
            }
            if (!agree(&whole, &cut)) fail("cuts change what is seen", bytes, length);
            if (!agree(&whole, &stopping)) fail("stops change what is seen", bytes, length);
            if (whole.scanner.blind != SEEING && scanner_at_boundary(&whole.scanner)) fail("blind at a boundary", bytes, length);
            if (whole.scanner.close_code < NO_CLOSE || whole.scanner.close_code > 0xffff) fail("no close code", bytes, length);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    /* The first bytes say where to cut the rest. */
    size_t cut_count = length < 8 ? length / 2 : 4;
    try_stream(bytes + cut_count, length - cut_count, bytes, cut_count);
    return 0;
}

#ifndef LIBFUZZER

/* Something like a frame, of one framing or the other, or noise. */
static size_t draw_part(uint8_t *out) {
    static const uint8_t first[] = {0x81, 0x82, 0x01, 0x00, 0x80, 0x88, 0x89, 0x8a, 0xc1, 0xff};
    static const uint8_t lengths[] = {0, 1, 2, 3, 20, 125, 126, 127};
    size_t at = 0;
    out[at++] = draw(8) == 0 ? (uint8_t)draw(256) : first[draw(sizeof first)];
    uint8_t length = lengths[draw(sizeof lengths)];
    if (draw(4) != 0) length |= draw(2) == 0 ? 0x80 : 0;
    out[at++] = length;
    size_t more = 0;
    if ((length & 0x7f) == 126) more = 2;
    if ((length & 0x7f) == 127) more = 8;
    for (size_t i = 0; i < more; i++) out[at++] = draw(4) == 0 ? (uint8_t)draw(256) : draw(8) == 0 ? 0x80 : 0;
    size_t rest = draw(3) == 0 ? draw(200) : (length >= 0x80 ? 4u : 0u) + ((length & 0x7f) < 126 ? length & 0x7f : draw(9));
    for (size_t i = 0; i < rest; i++) out[at++] = draw(3) == 0 ? 0xff : (uint8_t)draw(256);
    return at;
}

int main(int count, char **words) {
    double seconds = count > 1 ? atof(words[1]) : 2;
    seed = count > 2 ? strtoull(words[2], NULL, 10) | 1 : 1;
    static uint8_t stream[MAX_STREAM + 512];
    unsigned long streams = 0;
    clock_t start = clock();
    do {
        for (int i = 0; i < 100; i++, streams++) {
            size_t length = 0, wanted = draw(8) == 0 ? draw(MAX_STREAM) : draw(120);
            while (length < wanted) length += draw_part(stream + length);
            uint8_t cuts[4];
            for (int j = 0; j < 4; j++) cuts[j] = (uint8_t)(draw(2) == 0 ? draw(3) : draw(256));
            try_stream(stream, length, cuts, 1 + draw(4));
        }
    } while ((double)(clock() - start) / CLOCKS_PER_SEC < seconds);
    printf("%lu streams\n", streams);
    return 0;
}

#endif
