#include "fan_out.h"

#include "socket_calls.h"

size_t fan_out(int32_t *fds, size_t count, const uint8_t *bytes, size_t length) {
    size_t unfinished = 0;
    for (size_t i = 0; i < count; i++) {
        ssize_t sent = fds[i] < 0 ? -1 : send_some(fds[i], bytes, length);
        fds[i] = sent < 0 ? 0 : (int32_t)sent;
        if (sent < 0 || (size_t)sent < length) unfinished++;
    }
    return unfinished;
}
