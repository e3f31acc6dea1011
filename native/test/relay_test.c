/*
 * Random tunnels through the engine, without Node: made to be built with -fsanitize=address,undefined or =thread.
 *
 *     relay_test TUNNELS THREADS SEED
 *
 * Tunnels live some dozens at a time over TCP and unix sockets. Both ends write, read or do not, frames are put in, and
 * they end in every way there is. What arrives must be what was sent, as far as it got; every tunnel must be told of
 * once; and at the end no descriptor may be left.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../src/relay.h"
#include "trial.h"

#define LIVE 48
#define PATIENCE_MS 20000

struct tunnel {
    bool is_open, is_observed, is_cut;
    int outer[2];
    /* The caller's own descriptors, where they are closed only after the tunnel has ended. */
    int inner[2];
    uint64_t sent[2], received[2];
    /* Put in by us, so that what arrives is not only what the other end sent. */
    bool is_injected;
};

static struct relay_record records[LIVE];
static struct tunnel tunnels[LIVE];
static int listener;
static struct sockaddr_in address;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static bool is_told;

static void on_ended(void *context) {
    (void)context;
    pthread_mutex_lock(&lock);
    is_told = true;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&lock);
}

static void make_connection(int ends[2]) {
    if (draw(3) == 0) {
        check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    } else {
        ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        check(connect(ends[0], (struct sockaddr *)&address, sizeof address) == 0, "connect");
        ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        check(ends[1] >= 0, "accept");
    }
    for (int i = 0; i < 2; i++) fcntl(ends[i], F_SETFL, O_NONBLOCK);
}

/* Byte `at` of what a side sends; with frames, empty pings and pongs of its direction again and again. */
static uint8_t byte_at(const struct tunnel *tunnel, int side, uint64_t at) {
    if (!tunnel->is_observed) return (uint8_t)((at * 31) ^ (at >> 8) ^ (uint64_t)side);
    static const uint8_t masked[] = {0x82, 0x81, 1, 2, 3, 4, 'x', 0x8a, 0x80, 1, 2, 3, 4};
    static const uint8_t unmasked[] = {0x82, 0x03, 'x', 'y', 'z', 0x8a, 0x00};
    return side == CLIENT ? masked[at % sizeof masked] : unmasked[at % sizeof unmasked];
}

static void write_some(struct tunnel *tunnel, int side) {
    static uint8_t bytes[200000];
    size_t length = draw(20) == 0 ? 1 + draw(sizeof bytes) : 1 + draw(200);
    for (size_t i = 0; i < length; i++) bytes[i] = byte_at(tunnel, side, tunnel->sent[side] + i);
    ssize_t sent = send(tunnel->outer[side], bytes, length, MSG_NOSIGNAL);
    if (sent > 0) tunnel->sent[side] += (uint64_t)sent;
}

static void read_some(struct tunnel *tunnel, int side) {
    static uint8_t bytes[100000];
    ssize_t length = recv(tunnel->outer[side], bytes, 1 + draw(sizeof bytes), 0);
    int from = !side;
    for (ssize_t i = 0; i < length && !tunnel->is_injected; i++) {
        check(bytes[i] == byte_at(tunnel, from, tunnel->received[side] + (uint64_t)i), "a byte is not what was sent");
    }
    if (length > 0) tunnel->received[side] += (uint64_t)length;
    if (!tunnel->is_injected) check(tunnel->received[side] <= tunnel->sent[from], "more arrived than was sent");
}

static void reset_end(int fd) {
    struct linger at_once = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void close_inner(struct tunnel *tunnel) {
    for (int side = CLIENT; side <= UPSTREAM; side++) {
        if (tunnel->inner[side] >= 0) close(tunnel->inner[side]);
        tunnel->inner[side] = -1;
    }
}

static void open_tunnel(struct relay_engine *engine, uint32_t slot) {
    struct tunnel *tunnel = &tunnels[slot];
    *tunnel = (struct tunnel){.is_open = true, .is_observed = draw(2) == 0, .inner = {-1, -1}};
    int client[2], upstream[2];
    make_connection(client);
    make_connection(upstream);
    tunnel->outer[CLIENT] = client[0];
    tunnel->outer[UPSTREAM] = upstream[0];

    /* What came early from either side. */
    uint8_t early[2][100];
    size_t lengths[2];
    for (int side = CLIENT; side <= UPSTREAM; side++) {
        lengths[!side] = draw(sizeof early[side]);
        for (size_t i = 0; i < lengths[!side]; i++) early[!side][i] = byte_at(tunnel, side, i);
        tunnel->sent[side] = lengths[!side];
    }
    struct relay_join join = {
        .fds = {client[1], upstream[1]},
        .slot = slot,
        .record = &records[slot],
        .first_bytes = {early[CLIENT], early[UPSTREAM]},
        .first_lengths = {lengths[CLIENT], lengths[UPSTREAM]},
        .framing = tunnel->is_observed ? FRAMING_RFC6455 : FRAMING_NONE,
        .idle_timeout_ms = draw(3) * 5000,
        .half_close_timeout_ms = 2000,
        .max_age_ms = draw(3) * 9000,
    };
    if (draw(2) == 0) join.limits.close_timeout_ms = 2000;
    for (int side = CLIENT; side <= UPSTREAM && draw(2) == 0; side++) {
        if (draw(3) == 0) join.limits.max_message_bytes[side] = 1 + draw(4);
        if (draw(3) == 0) join.limits.max_messages_per_second[side] = 1 + draw(5000);
        if (draw(3) == 0) join.limits.max_bytes_per_second[side] = 1 + draw(500000);
        /* Where a limit is broken, Closes are put in. */
        if (join.limits.max_message_bytes[side] > 0 || join.limits.max_messages_per_second[side] > 0) tunnel->is_injected = true;
    }
    check(relay_join(engine, &join) == 0, "join");
    tunnel->inner[CLIENT] = client[1];
    tunnel->inner[UPSTREAM] = upstream[1];
    if (draw(2) == 0) close_inner(tunnel);
}

static void do_something(struct relay_engine *engine, uint32_t slot) {
    static const uint8_t ping[] = {0x89, 0x82, 1, 2, 3, 4, 'h', 'i'}, close_frame[] = {0x88, 0x02, 0x03, 0xe9};
    struct tunnel *tunnel = &tunnels[slot];
    int side = (int)draw(2);
    switch (draw(14)) {
    case 0: shutdown(tunnel->outer[side], SHUT_WR); break;
    case 1:
        reset_end(tunnel->outer[side]);
        shutdown(tunnel->outer[side], SHUT_RDWR);
        break;
    case 2:
        if (draw(2) != 0) break;
        relay_cut(engine, slot);
        tunnel->is_cut = true;
        break;
    case 3:
        if (!tunnel->is_observed) break;
        tunnel->is_injected = true;
        relay_inject(engine, slot, UPSTREAM, INJECT_PING, ping, sizeof ping);
        break;
    case 4:
        if (!tunnel->is_observed || draw(4) != 0) break;
        tunnel->is_injected = true;
        relay_inject(engine, slot, CLIENT, INJECT_CLOSE, close_frame, sizeof close_frame);
        break;
    case 5: relay_inject(engine, slot + draw(3), CLIENT, INJECT_PING, close_frame, sizeof close_frame); break;
    case 6: if (draw(40) == 0) relay_pass_time(engine, 1000); break;
    case 7: case 8: case 9: write_some(tunnel, side); break;
    default: read_some(tunnel, side); break;
    }
}

static size_t take_ended(struct relay_engine *engine) {
    uint32_t slots[7];
    size_t taken = 0;
    for (size_t count = 7; count == 7; taken += count) {
        count = relay_take_ended(engine, slots, NULL, 7);
        for (size_t i = 0; i < count; i++) {
            struct tunnel *tunnel = &tunnels[slots[i]];
            check(slots[i] < LIVE && tunnel->is_open, "a tunnel ended that was not open");
            check(records[slots[i]].end_first != FIRST_NONE && records[slots[i]].end_how != HOW_NONE, "no outcome");
            relay_cut(engine, slots[i]);
            tunnel->is_open = false;
            /* Its sockets may still be open: nothing that happens to them must reach it any more. */
            for (int side = CLIENT; side <= UPSTREAM; side++) write_some(tunnel, side);
            for (int side = CLIENT; side <= UPSTREAM; side++) shutdown(tunnel->outer[side], SHUT_WR);
            if (tunnel->inner[CLIENT] >= 0) relay_pass_time(engine, 1);
            close_inner(tunnel);
            close(tunnel->outer[CLIENT]);
            close(tunnel->outer[UPSTREAM]);
        }
    }
    return taken;
}

/* Cuts what is open and waits until all of it has been told. */
static size_t drain(struct relay_engine *engine, size_t open) {
    size_t taken = 0;
    for (uint32_t slot = 0; slot < LIVE; slot++) relay_cut(engine, slot);
    while (taken < open) {
        struct timespec deadline;
        clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += PATIENCE_MS / 1000;
        pthread_mutex_lock(&lock);
        while (!is_told) check(pthread_cond_timedwait(&ended, &lock, &deadline) == 0, "a tunnel never ended");
        is_told = false;
        pthread_mutex_unlock(&lock);
        taken += take_ended(engine);
    }
    return taken;
}

int main(int count, char **words) {
    size_t wanted = count > 1 ? (size_t)atol(words[1]) : 1000, opened = 0, taken = 0;
    unsigned threads = count > 2 ? (unsigned)atoi(words[2]) : 2;
    seed = count > 3 ? strtoull(words[3], NULL, 10) | 1 : 1;

    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    check(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 100) == 0, "listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    int descriptors = count_descriptors();

    struct relay_engine *engine = relay_open(threads, on_ended, NULL);
    while (opened < wanted) {
        for (uint32_t slot = 0; slot < LIVE && opened < wanted; slot++) {
            if (tunnels[slot].is_open) do_something(engine, slot);
            else open_tunnel(engine, slot), opened++;
        }
        taken += take_ended(engine);
    }
    taken += drain(engine, opened - taken);
    check(taken == opened, "not every tunnel was told of once");
    relay_close(engine);
    check(count_descriptors() == descriptors, "descriptors are left");

    /* An engine that is closed in the middle of things resets what is left. */
    engine = relay_open(threads, on_ended, NULL);
    for (uint32_t slot = 0; slot < LIVE; slot++) open_tunnel(engine, slot);
    for (int round = 0; round < 20; round++) {
        for (uint32_t slot = 0; slot < LIVE; slot++) do_something(engine, slot);
    }
    relay_close(engine);
    for (uint32_t slot = 0; slot < LIVE; slot++) {
        close_inner(&tunnels[slot]);
        close(tunnels[slot].outer[CLIENT]);
        close(tunnels[slot].outer[UPSTREAM]);
    }
    check(count_descriptors() == descriptors, "descriptors are left by a closed engine");
    printf("%zu tunnels, all told of\n", opened);
    return 0;
}
