/*
 * One frame to many sockets that somebody else owns, on the caller's thread. What a socket does not take at once is left
 * to its owner, who can wait.
 */
#ifndef TIDEGATE_FAN_OUT_H
#define TIDEGATE_FAN_OUT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Sends the bytes to each descriptor, without waiting, in their order. Each is overwritten with how many of the bytes its
 * socket took: 0 where that failed, for whatever reason (who writes there again is told), and for one below 0.
 * Returns how many did not take all of it. No send takes more than fits (send(2): 0x7ffff000 bytes).
 */
size_t fan_out(int32_t *fds, size_t count, const uint8_t *bytes, size_t length);

#endif
