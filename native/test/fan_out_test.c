/*
 * Frames to random sockets, without Node: made to be built with -fsanitize=address,undefined.
 *
 *     fan_out_test ROUNDS SEED
 *
 * Readers are dozens at a time: some take everything, some leave so much unread that their socket takes a part or
 * nothing, some have ended or were reset, and some places hold no descriptor, or one that is no socket. What was told of
 * each must be what its reader finds, byte for byte, and nothing may be left open.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../src/fan_out.h"
#include "trial.h"

#define PLACES 48
#define MAX_FRAME (256 * 1024)
enum kind { TAKES_ALL, FULL, GONE, NO_DESCRIPTOR, NO_SOCKET, KINDS };

struct place {
    enum kind kind;
    /* Ours, and the reader's; -1 for none. */
    int fd, reader;
    /* What lies before the frame. */
    size_t before;
};

static uint8_t frame[MAX_FRAME], found[MAX_FRAME];
static unsigned long whole, parts, none;

static void set_size(int fd, int option, int size) {
    check(setsockopt(fd, SOL_SOCKET, option, &size, sizeof size) == 0, "setsockopt");
}

static struct place open_place(void) {
    struct place place = {.kind = (enum kind)draw(KINDS), .fd = -1, .reader = -1};
    int pair[2];
    if (place.kind == NO_DESCRIPTOR) return place;
    if (place.kind == NO_SOCKET) {
        place.fd = open("/dev/null", O_WRONLY);
        check(place.fd >= 0, "open");
        return place;
    }
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
    place.fd = pair[0], place.reader = pair[1];
    set_size(place.fd, SO_SNDBUF, place.kind == FULL ? 4096 : 4 * MAX_FRAME);
    if (place.kind == FULL) {
        /* Room may be left, or not. */
        static const uint8_t filler[512];
        for (unsigned writes = draw(40); writes > 0; writes--) {
            ssize_t sent = send(place.fd, filler, sizeof filler, MSG_DONTWAIT);
            if (sent > 0) place.before += (size_t)sent;
        }
    }
    if (place.kind == GONE) {
        close(place.reader);
        place.reader = -1;
    }
    return place;
}

/* What has come, and no more will. */
static size_t read_all(int fd, uint8_t *bytes, size_t room) {
    size_t length = 0;
    for (;;) {
        ssize_t got = recv(fd, bytes + length, room - length, MSG_DONTWAIT);
        if (got <= 0) return length;
        length += (size_t)got;
    }
}

static void check_place(struct place *place, int32_t told, size_t length) {
    bool is_reached = place->kind == TAKES_ALL || place->kind == FULL;
    check(told >= 0 && (size_t)told <= length, "more was sent than there was");
    check(is_reached || told == 0, "sent to nobody");
    check(place->kind != TAKES_ALL || (size_t)told == length, "not sent to one who takes everything");
    if (is_reached) {
        static uint8_t filler[40 * 512];
        check(read_all(place->reader, filler, place->before) == place->before, "what was before it is lost");
        check(read_all(place->reader, found, sizeof found) == (size_t)told, "another length than was told");
        check(memcmp(found, frame, (size_t)told) == 0, "other bytes");
        if ((size_t)told == length) whole++;
        else if (told > 0) parts++;
        else none++;
    }
    if (place->fd >= 0) close(place->fd);
    if (place->reader >= 0) close(place->reader);
}

static void play_round(void) {
    struct place places[PLACES];
    int32_t fds[PLACES];
    size_t count = 1 + draw(PLACES);
    size_t length = 1 + draw(draw(4) == 0 ? MAX_FRAME : 4000);
    for (size_t i = 0; i < length; i++) frame[i] = (uint8_t)draw(256);
    for (size_t i = 0; i < count; i++) fds[i] = (places[i] = open_place()).fd;
    size_t unfinished = fan_out(fds, count, frame, length);
    for (size_t i = 0; i < count; i++) {
        if ((size_t)fds[i] < length) unfinished--;
        check_place(&places[i], fds[i], length);
    }
    check(unfinished == 0, "another number of unfinished ones than was told");
}

int main(int argc, char **argv) {
    check(argc == 3, "usage: fan_out_test ROUNDS SEED");
    long rounds = atol(argv[1]);
    seed = (uint64_t)atol(argv[2]);
    int before = count_descriptors();
    for (long i = 0; i < rounds; i++) play_round();
    check(count_descriptors() == before, "descriptors are left");
    check(whole > 0 && parts > 0 && none > 0, "not every end was met");
    printf("%ld rounds: all that was sent was told\n", rounds);
    return 0;
}
