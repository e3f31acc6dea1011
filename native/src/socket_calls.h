/* The socket calls of the door, as it wants them: interrupted ones again, none that blocks, none that signals. */
#ifndef TIDEGATE_SOCKET_CALLS_H
#define TIDEGATE_SOCKET_CALLS_H

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

static inline ssize_t receive(int fd, uint8_t *bytes, size_t length) {
    for (;;) {
        ssize_t received = recv(fd, bytes, length, MSG_DONTWAIT);
        if (received >= 0 || errno != EINTR) return received;
    }
}

/* As much as the socket takes at once; -1 and errno when it fails. A socket that is connecting takes nothing. */
static inline ssize_t send_some(int fd, const uint8_t *bytes, size_t length) {
    for (;;) {
        ssize_t sent = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0 || errno != EINTR) return sent;
    }
}

static inline bool would_block(int error) {
    return error == EAGAIN || error == EWOULDBLOCK;
}

static inline int take_error(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

/* Fails on a unix socket, which needs none of it. */
static inline void set_option(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
}

static inline void reset_on_close(int fd) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

#endif
