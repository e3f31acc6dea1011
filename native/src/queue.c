/*
 * Sends of one turn, put together. A thread with many events at once reads them one after the other into its buffer, and
 * what goes out of it goes in one system call (ring.c). Never more than one send a side: whatever else is to happen to a
 * side that waits here, a write, an end, sends the queue first.
 */
#include <errno.h>
#include <limits.h>

#include "internal.h"

void queue_write(struct side *to, const uint8_t *bytes, size_t length) {
    struct relay_thread *thread = pair_of(to)->thread;
    if (to->is_queued || thread->queue_count == QUEUE_LENGTH) queue_send(thread);
    bool is_possible = thread->may_queue && length <= MAX_QUEUED_BYTES && to->out == NULL;
    if (!is_possible || pair_of(to)->is_dead || to->end_due) {
        side_write(to, bytes, length);
        return;
    }
    thread->queue[thread->queue_count++] = (struct queued){.side = to, .bytes = bytes, .length = length};
    thread->buffer_used = (size_t)(bytes + length - thread->buffer);
    to->is_queued = true;
}

static void send_one_by_one(struct queued *queue, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (queue[i].result != INT_MIN) continue;
        ssize_t sent = send_some(queue[i].side->fd, queue[i].bytes, queue[i].length);
        queue[i].result = sent < 0 ? -errno : (int)sent;
    }
}

/* Closes the gaps of sides that were dropped. */
static unsigned pack(struct queued *queue, unsigned count) {
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++) {
        if (queue[i].side == NULL) continue;
        queue[kept] = queue[i];
        queue[kept++].result = INT_MIN;
    }
    return kept;
}

void queue_send(struct relay_thread *thread) {
    struct queued *queue = thread->queue;
    unsigned count = pack(queue, thread->queue_count);
    thread->queue_count = count;
    if (count >= QUEUE_WORTH_IT && thread->ring != NULL && !ring_send(thread->ring, queue, count)) {
        ring_close(thread->ring);
        thread->ring = NULL;
    }
    send_one_by_one(queue, count);
    /* A pair that ends here takes its other side out of the queue too. */
    for (unsigned i = 0; i < count; i++) {
        struct side *to = queue[i].side;
        if (to == NULL) continue;
        to->is_queued = false;
        int result = queue[i].result == -EAGAIN || queue[i].result == -EINTR ? 0 : queue[i].result;
        if (result < 0) pair_lose(to, -result);
        else if ((size_t)result < queue[i].length) side_keep(to, queue[i].bytes + result, queue[i].length - (size_t)result);
    }
    thread->queue_count = 0;
    thread->buffer_used = 0;
}

void queue_drop(struct side *to) {
    if (!to->is_queued) return;
    struct relay_thread *thread = pair_of(to)->thread;
    to->is_queued = false;
    for (unsigned i = 0; i < thread->queue_count; i++) {
        if (thread->queue[i].side == to) thread->queue[i].side = NULL;
    }
}
