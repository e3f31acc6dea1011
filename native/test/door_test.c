/*
 * Random clients and upstreams at a door, without Node: made to be built with -fsanitize=address,undefined.
 *
 *     door_test VISITS SEED
 *
 * Clients come over TCP and unix sockets, dozens at a time; they speak, stay silent, end or reset at any point, and so do
 * the upstreams. Their owner dials, dials what refuses, sends, takes, cuts, and hands over to a relay, which sometimes
 * refuses. Every visit that was told of must end once, nothing may be left in the epoll, and no descriptor anywhere. A
 * part of it runs with too few descriptors.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../src/door.h"
#include "../src/relay.h"
#include "trial.h"

#define CLIENTS 48
#define UPSTREAMS 200
#define SLOTS 256
#define PATIENCE_S 100
enum { OVER_TCP, OVER_UNIX, LISTENERS };

/* What the owner knows of a visit, by its place. */
struct known {
    uint32_t number;
    bool is_live, has_upstream, is_answered, is_client_gone;
};

static struct door *door;
static struct relay_engine *engine;
static struct door_event events[20];
static uint8_t bytes[4 * READ_BYTES];
static struct known known[MAX_VISITS];
static struct relay_record records[SLOTS];
static bool slot_is_used[SLOTS];
static int clients[CLIENTS], upstreams[UPSTREAMS], listeners[LISTENERS], upstream_listener;
static bool has_relayed[UPSTREAMS];
static struct sockaddr_in upstream_address, nobody, door_address;
static struct sockaddr_un door_path;
static socklen_t path_size;
static unsigned told, ended, counts[6], joins, starved;

static unsigned count_watched(void) {
    char line[200];
    unsigned count = 0;
    snprintf(line, sizeof line, "/proc/self/fdinfo/%d", door_descriptor(door));
    FILE *file = fopen(line, "r");
    check(file != NULL, "fdinfo");
    while (fgets(line, sizeof line, file) != NULL) count += strncmp(line, "tfd:", 4) == 0;
    fclose(file);
    return count;
}

static void close_one(int *fd) {
    struct linger at_once = {draw(3) == 0, 0};
    if (*fd < 0) return;
    setsockopt(*fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    check(close(*fd) == 0, "close");
    *fd = -1;
}

/* ---- the outer ends ---- */

static void expect_only(const uint8_t *from, ssize_t length, const char *allowed, const char *what) {
    for (ssize_t i = 0; i < length; i++) check(strchr(allowed, from[i]) != NULL && from[i] != 0, what);
}

static void send_some(int fd, char filling, size_t most) {
    static uint8_t filled[300000];
    size_t length = 1 + draw((unsigned)most);
    memset(filled, filling, length);
    send(fd, filled, length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void move_client(int *fd) {
    static uint8_t got[100000];
    if (*fd < 0) {
        bool is_unix = draw(3) == 0;
        struct sockaddr *to = is_unix ? (struct sockaddr *)&door_path : (struct sockaddr *)&door_address;
        *fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (*fd < 0) return;
        if (connect(*fd, to, is_unix ? path_size : sizeof door_address) != 0 && errno != EINPROGRESS) close_one(fd);
        else if (draw(2) == 0) send_some(*fd, 'c', 500);
        return;
    }
    switch (draw(12)) {
    case 0: close_one(fd); break;
    case 1: if (draw(3) == 0) shutdown(*fd, SHUT_WR); break;
    case 2: case 3: case 4: send_some(*fd, 'c', draw(10) == 0 ? 200000 : 500); break;
    default: expect_only(got, recv(*fd, got, sizeof got, 0), "sau", "a client got what nobody sent"); break;
    }
}

static void move_upstream(int i) {
    static uint8_t got[100000];
    int *fd = &upstreams[i];
    if (*fd < 0) {
        *fd = accept4(upstream_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        has_relayed[i] = false;
        return;
    }
    switch (draw(10)) {
    case 0: if (draw(2) == 0) close_one(fd); break;
    case 1: if (draw(3) == 0) shutdown(*fd, SHUT_WR); break;
    case 2: case 3: send_some(*fd, 'u', draw(10) == 0 ? 200000 : 300); break;
    default: {
        ssize_t length = recv(*fd, got, sizeof got, 0);
        for (ssize_t j = 0; j < length; j++) {
            if (got[j] == 'c') has_relayed[i] = true;
            else check(got[j] == 'o' && !has_relayed[i], "an upstream got what is no offer");
        }
    }
    }
}

/* ---- the owner ---- */

static void on_ended(void *context) {
    (void)context;
}

static void take_ended(void) {
    uint32_t slots[32];
    size_t count = relay_take_ended(engine, slots, NULL, 32);
    for (size_t i = 0; i < count; i++) slot_is_used[slots[i]] = false;
}

/* What is handed out must not be watched any more: its number may be somebody else's soon. */
static void expect_unwatched(int fd) {
    struct epoll_event event = {.events = 0};
    check(epoll_ctl(door_descriptor(door), EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT, "it is watched still");
}

static int refuse(void *context, const int fds[2]) {
    (void)context;
    for (int i = 0; i < 2; i++) expect_unwatched(fds[i]);
    check(fcntl(fds[0], F_GETFD) == FD_CLOEXEC && fcntl(fds[1], F_GETFD) == FD_CLOEXEC, "descriptors to refuse");
    return EIO;
}

static int join(void *context, const int fds[2]) {
    (void)context;
    uint32_t slot = 0;
    while (slot < SLOTS && slot_is_used[slot]) slot++;
    if (slot == SLOTS) return ENOBUFS;
    const uint8_t early[] = "ccc", answer[] = "aaaaaauuu";
    struct relay_join join = {
        .fds = {fds[0], fds[1]},
        .takes_over = true,
        .slot = slot,
        .record = &records[slot],
        .first_bytes = {answer, early},
        .first_lengths = {9, 3},
        .answer_length = 6,
        .half_close_timeout_ms = 3000,
        .max_age_ms = 1000 + draw(4000),
    };
    int error = relay_join(engine, &join);
    if (error == 0) slot_is_used[slot] = true, joins++;
    return error;
}

static void over(struct known *visit) {
    visit->is_live = false;
    ended++;
    int fds[2] = {7, 7};
    check(door_dial(door, visit->number, "127.0.0.1", 1, bytes, 1) == ESRCH, "a dial for a visit that is over");
    check(door_send(door, visit->number, bytes, 1) == ESRCH, "a send for a visit that is over");
    check(door_hand_over(door, visit->number, refuse, NULL) == ESRCH, "a join of a visit that is over");
    door_take(door, visit->number, fds);
    check(fds[0] == -1 && fds[1] == -1, "a visit that is over was taken");
    door_cut(door, visit->number);
}

static void take(struct known *visit) {
    int fds[2];
    door_take(door, visit->number, fds);
    check(fds[0] >= 0, "no client was taken");
    check(!visit->is_answered || !visit->has_upstream || fds[1] >= 0, "no upstream was taken");
    for (int i = 0; i < 2; i++) {
        if (fds[i] < 0) continue;
        expect_unwatched(fds[i]);
        check(fcntl(fds[i], F_GETFL) & O_NONBLOCK, "a blocking descriptor was taken");
        close_one(&fds[i]);
    }
    over(visit);
}

static void dial(struct known *visit) {
    /* More than the kernel takes at once. */
    static uint8_t offer[8 << 20];
    if (offer[0] == 0) memset(offer, 'o', sizeof offer);
    size_t length = draw(20) == 0 ? draw(sizeof offer) : draw(300);
    bool is_refused = draw(4) == 0;
    uint32_t port = ntohs((is_refused ? nobody : upstream_address).sin_port);
    check(door_dial(door, visit->number, "localhost", port, offer, length) == (visit->has_upstream ? EISCONN : EINVAL),
          "a name was dialled");
    int error = door_dial(door, visit->number, is_refused && draw(2) ? "::1" : "127.0.0.1", port, offer, length);
    if (visit->has_upstream) check(error == EISCONN, "dialled twice");
    else check(error == 0 || error == EMFILE || error == EAFNOSUPPORT, "dial");
    starved += error == EMFILE;
    if (!visit->has_upstream && error == 0) visit->has_upstream = true, visit->is_answered = false;
}

static void hand_over(struct known *visit) {
    int error = door_hand_over(door, visit->number, draw(4) == 0 ? refuse : join, NULL);
    if (!visit->has_upstream) check(error == ENOTCONN, "a visit without upstream was joined");
    else if (visit->is_answered) check(error == 0 || error == EIO || error == ENOBUFS || error == EMFILE, "join");
    if (error == 0) over(visit);
}

static void decide(struct known *visit) {
    switch (draw(8)) {
    case 0: door_cut(door, visit->number), over(visit); break;
    case 1: take(visit); break;
    case 2: door_send(door, visit->number, (const uint8_t *)"sss", 3); break;
    case 3: case 4: hand_over(visit); break;
    case 5: break;
    default: dial(visit); break;
    }
}

static void hear(const struct door_event *event) {
    if (event->kind == DOOR_EXHAUSTED) {
        check(event->visit >= 0 && event->visit < LISTENERS && event->extra == EMFILE, "a listener that cannot accept");
        return;
    }
    struct known *visit = &known[(uint32_t)event->visit % MAX_VISITS];
    const uint8_t *text = bytes + event->offset;
    check(event->visit > 0 && event->kind <= DOOR_CLIENT_GONE, "an event");
    counts[event->kind]++;
    if (event->kind == DOOR_HEAD || event->kind == DOOR_SILENT) {
        check(!visit->is_live && visit->number != (uint32_t)event->visit, "a number that is in use");
        *visit = (struct known){.number = (uint32_t)event->visit, .is_live = true};
        told++;
        const char *address = event->extra == OVER_TCP ? "127.0.0.1" : "";
        check(event->address_length == (int32_t)strlen(address), "the length of an address");
        check(memcmp(text - event->address_length, address, strlen(address)) == 0, "an address");
        check((event->length > 0) == (event->kind == DOOR_HEAD), "the length of a head");
        expect_only(text, event->length, "c", "a head that nobody sent");
    } else {
        check(visit->number == (uint32_t)event->visit, "an event for nobody");
        /* It ended earlier in this batch. */
        if (!visit->is_live) return;
    }
    switch (event->kind) {
    case DOOR_ANSWER:
        check(visit->has_upstream && event->length > 0, "an answer without an upstream");
        expect_only(text, event->length, "u", "an answer that nobody sent");
        visit->is_answered = true;
        break;
    case DOOR_CONNECT_FAILED:
    case DOOR_UPSTREAM_ENDED:
        check(visit->has_upstream, "an end without an upstream");
        check(event->kind == DOOR_UPSTREAM_ENDED || event->extra == ECONNREFUSED, "why a dial failed");
        visit->has_upstream = false;
        break;
    case DOOR_CLIENT_GONE:
        check(!visit->is_client_gone, "gone twice");
        visit->is_client_gone = true;
        break;
    }
    if (draw(6) == 0) door_cut(door, visit->number), over(visit);
}

static void turn(void) {
    size_t count = door_turn(door);
    for (size_t i = 0; i < count; i++) hear(&events[i]);
    for (size_t i = 0; i < count; i++) {
        struct known *visit = &known[(uint32_t)events[i].visit % MAX_VISITS];
        if (visit->is_live) decide(visit);
    }
    door_settle(door);
    take_ended();
}

/* ---- the story ---- */

static void listen_at(int fd, struct sockaddr *address, socklen_t *size) {
    check(bind(fd, address, *size) == 0 && listen(fd, 100) == 0, "listen");
    getsockname(fd, address, size);
}

static void open_door(void) {
    door = door_open(events, sizeof events / sizeof *events, bytes, sizeof bytes);
    check(door != NULL, "door_open");
    for (unsigned i = 0; i < LISTENERS; i++) {
        check(door_listen(door, listeners[i], i) == 0, "door_listen");
        check(door_listen(door, listeners[i], i) == EEXIST, "a number twice");
    }
    check(door_listen(door, door_descriptor(door), 5) == ENOTSOCK && door_listen(door, listeners[0], MAX_LISTENERS) == EINVAL,
          "what is no listener");
}

static void set_descriptors(rlim_t most) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = most;
    check(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
}

static void play(unsigned wanted) {
    time_t deadline = time(NULL) + PATIENCE_S;
    for (unsigned until = told + wanted; told < until;) {
        for (int i = 0; i < CLIENTS; i++) move_client(&clients[i]);
        for (int i = 0; i < UPSTREAMS; i++) move_upstream(i);
        turn();
        for (int i = 0; i < 5; i++) {
            struct known *visit = &known[draw(256)];
            if (visit->is_live) decide(visit);
        }
        check(time(NULL) < deadline, "nobody comes in any more");
    }
}

/* Everybody goes; the owner cuts what it is told of. */
static void drain(void) {
    time_t deadline = time(NULL) + PATIENCE_S;
    for (int i = 0; i < CLIENTS; i++) close_one(&clients[i]);
    while (ended < told || count_watched() > 1 + LISTENERS) {
        for (int i = 0; i < UPSTREAMS; i++) move_upstream(i);
        turn();
        for (int i = 0; i < MAX_VISITS; i++) {
            if (known[i].is_live) door_cut(door, known[i].number), over(&known[i]);
        }
        check(time(NULL) < deadline, "a visit never ended");
    }
    for (unsigned i = 0; i < LISTENERS; i++) door_unlisten(door, i);
    check(!door_is_busy(door) && count_watched() == 1, "something is watched still");
}

static void close_outer(void) {
    for (int i = 0; i < CLIENTS; i++) close_one(&clients[i]);
    for (int i = 0; i < UPSTREAMS; i++) close_one(&upstreams[i]);
    for (;;) {
        int left = accept4(upstream_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (left < 0) break;
        close(left);
    }
    /* What the door has not accepted. */
    for (int i = 0; i < LISTENERS; i++) {
        for (int left; (left = accept4(listeners[i], NULL, NULL, SOCK_CLOEXEC)) >= 0;) close(left);
    }
}

/* A client that says nothing is told of after its time, one that ends without a word never, and nobody before. */
static void hear_silence(void) {
    for (int i = 0; i < 30; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        check(connect(clients[i], (struct sockaddr *)&door_address, sizeof door_address) == 0, "connect");
    }
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    size_t silent = 0, turns = 0;
    while (silent < 29) {
        struct pollfd wait = {.fd = door_descriptor(door), .events = POLLIN};
        check(poll(&wait, 1, 10 * SILENT_MS) == 1, "silence was not heard");
        size_t count = door_turn(door);
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t passed_ms = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
        for (size_t i = 0; i < count; i++) {
            check(events[i].kind == DOOR_SILENT && events[i].extra == OVER_TCP && events[i].length == 0, "not silence");
            check(events[i].address_length == 9 && passed_ms >= SILENT_MS - 1, "silence heard too early");
            int fds[2];
            door_take(door, (uint32_t)events[i].visit, fds);
            check(fds[0] >= 0 && fds[1] == -1, "no silent client was taken");
            close(fds[0]);
        }
        silent += count;
        door_settle(door);
        if (turns++ == 3) close_one(&clients[29]);
    }
    check(turns < 1000, "the door spins");
    check(count_watched() == 1 + LISTENERS, "silent clients are watched still");
}

/* With no descriptor to accept with, the door looks again now and then; it does not spin, and nobody is lost. */
static void rest_without_descriptors(void) {
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    clients[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(connect(clients[0], (struct sockaddr *)&door_address, sizeof door_address) == 0, "connect");
    check(send(clients[0], "c", 1, MSG_NOSIGNAL) == 1, "send");
    set_descriptors(3);
    struct pollfd wait = {.fd = door_descriptor(door), .events = POLLIN};
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    /* Each look is two turns: the timer's, and that of the listener. */
    size_t told = 0;
    for (int i = 0; i < 6; i++) {
        check(poll(&wait, 1, 10 * SILENT_MS) == 1, "a look without descriptors");
        size_t events_now = door_turn(door);
        if (events_now > 0) check(events[0].kind == DOOR_EXHAUSTED && events[0].extra == EMFILE, "what it lacks");
        told += events_now;
        door_settle(door);
    }
    check(told == 1, "that it cannot accept is told once");
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t passed_ms = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
    check(passed_ms >= 190, "the door spins without descriptors");
    check(setrlimit(RLIMIT_NOFILE, &before) == 0, "setrlimit");
    size_t count = 0;
    while (count == 0) {
        check(poll(&wait, 1, 10 * SILENT_MS) == 1, "a client is lost");
        count = door_turn(door);
    }
    check(count == 1 && events[0].kind == DOOR_HEAD, "a client who waited");
    uint32_t visit = (uint32_t)events[0].visit;
    door_settle(door);
    /* It had spoken before it was accepted, and is watched from then on. */
    close_one(&clients[0]);
    check(poll(&wait, 1, 10 * SILENT_MS) == 1 && door_turn(door) == 1, "a client went unnoticed");
    check(events[0].kind == DOOR_CLIENT_GONE && events[0].visit == (int32_t)visit, "not the end of a client");
    door_cut(door, visit);
    door_settle(door);
}

int main(int count, char **words) {
    unsigned wanted = count > 1 ? (unsigned)atol(words[1]) : 1000;
    seed = count > 2 ? strtoull(words[2], NULL, 10) | 1 : 1;

    socklen_t size = sizeof door_address;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    door_address = upstream_address = nobody = any;
    door_path.sun_family = AF_UNIX;
    path_size = sizeof(sa_family_t);
    listeners[OVER_TCP] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    listeners[OVER_UNIX] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    upstream_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int small = 4096, closed = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(upstream_listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    listen_at(listeners[OVER_TCP], (struct sockaddr *)&door_address, &size);
    listen_at(upstream_listener, (struct sockaddr *)&upstream_address, &size);
    /* An abstract name that the kernel chooses. */
    socklen_t unix_size = path_size;
    check(bind(listeners[OVER_UNIX], (struct sockaddr *)&door_path, unix_size) == 0, "bind");
    path_size = sizeof door_path;
    getsockname(listeners[OVER_UNIX], (struct sockaddr *)&door_path, &path_size);
    check(listen(listeners[OVER_UNIX], 100) == 0, "listen");
    /* Bound, and not listening. */
    size = sizeof nobody;
    check(bind(closed, (struct sockaddr *)&nobody, size) == 0, "bind");
    getsockname(closed, (struct sockaddr *)&nobody, &size);
    for (int i = 0; i < CLIENTS; i++) clients[i] = -1;
    for (int i = 0; i < UPSTREAMS; i++) upstreams[i] = -1;
    int descriptors = count_descriptors();

    engine = relay_open(1, on_ended, NULL);
    open_door();
    hear_silence();
    for (int i = 0; i < CLIENTS; i++) close_one(&clients[i]);
    rest_without_descriptors();
    play(wanted);
    set_descriptors((rlim_t)count_descriptors() / 2);
    play(wanted / 3);
    set_descriptors(1000);
    play(wanted / 10);
    drain();
    door_close(door);
    check(ended == told, "not every visit ended once");
    relay_close(engine);
    close_outer();
    check(count_descriptors() == descriptors, "descriptors are left");

    /* A door that is closed in the middle of things resets what is left. */
    engine = relay_open(1, on_ended, NULL);
    memset(slot_is_used, 0, sizeof slot_is_used);
    memset(known, 0, sizeof known);
    open_door();
    play(wanted / 10);
    door_close(door);
    relay_close(engine);
    close_outer();
    check(count_descriptors() == descriptors, "descriptors are left by a closed door");
    if (getenv("VERBOSE") != NULL) {
        printf("head %u, silent %u, answer %u, failed %u, ended %u, gone %u; joins %u, starved %u\n", counts[0],
               counts[1], counts[2], counts[3], counts[4], counts[5], joins, starved);
    }
    check(counts[DOOR_HEAD] && counts[DOOR_ANSWER] && counts[DOOR_CONNECT_FAILED] && counts[DOOR_UPSTREAM_ENDED] &&
              counts[DOOR_CLIENT_GONE] && joins > 0 && starved > 0, "something never happened");
    printf("%u visits, all ended once\n", ended);
    return 0;
}
