/*
 * Many sends in one system call, through io_uring. Each is the send that it would be alone: at once or not at all, with
 * its own result. Kernels before 6.1 and places that forbid io_uring have no ring, and sends go one by one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#if __has_include(<linux/io_uring.h>) && defined(SYS_io_uring_setup)
#include <linux/io_uring.h>

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

struct ring {
    int fd;
    void *queues;
    size_t queues_size;
    struct io_uring_sqe *submissions;
    size_t submissions_size;
    struct io_uring_cqe *completions;
    _Atomic unsigned *sq_tail, *cq_head, *cq_tail;
    unsigned sq_mask, cq_mask;
};

struct ring *ring_open(void) {
    struct io_uring_params wanted = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int fd = (int)syscall(SYS_io_uring_setup, QUEUE_LENGTH, &wanted);
    if (fd < 0) return NULL;
    struct ring *ring = calloc(1, sizeof *ring);
    if (ring == NULL || (wanted.features & IORING_FEAT_SINGLE_MMAP) == 0) {
        free(ring);
        close(fd);
        return NULL;
    }
    size_t sq_size = wanted.sq_off.array + wanted.sq_entries * sizeof(unsigned);
    size_t cq_size = wanted.cq_off.cqes + wanted.cq_entries * sizeof(struct io_uring_cqe);
    ring->fd = fd;
    ring->queues_size = sq_size > cq_size ? sq_size : cq_size;
    ring->submissions_size = wanted.sq_entries * sizeof(struct io_uring_sqe);
    int access = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
    ring->queues = mmap(NULL, ring->queues_size, access, flags, fd, IORING_OFF_SQ_RING);
    ring->submissions = mmap(NULL, ring->submissions_size, access, flags, fd, IORING_OFF_SQES);
    if (ring->queues == MAP_FAILED || ring->submissions == MAP_FAILED) {
        ring_close(ring);
        return NULL;
    }
    char *base = ring->queues;
    ring->sq_tail = (_Atomic unsigned *)(void *)(base + wanted.sq_off.tail);
    ring->cq_head = (_Atomic unsigned *)(void *)(base + wanted.cq_off.head);
    ring->cq_tail = (_Atomic unsigned *)(void *)(base + wanted.cq_off.tail);
    ring->sq_mask = *(unsigned *)(void *)(base + wanted.sq_off.ring_mask);
    ring->cq_mask = *(unsigned *)(void *)(base + wanted.cq_off.ring_mask);
    ring->completions = (struct io_uring_cqe *)(void *)(base + wanted.cq_off.cqes);
    /* Entry n of the queue is always submission n. */
    unsigned *order = (unsigned *)(void *)(base + wanted.sq_off.array);
    for (unsigned i = 0; i < wanted.sq_entries; i++) order[i] = i;
    return ring;
}

void ring_close(struct ring *ring) {
    if (ring == NULL) return;
    if (ring->queues != MAP_FAILED) munmap(ring->queues, ring->queues_size);
    if (ring->submissions != MAP_FAILED) munmap(ring->submissions, ring->submissions_size);
    close_descriptor(&ring->fd);
    free(ring);
}

bool ring_send(struct ring *ring, struct queued *queue, unsigned count) {
    unsigned tail = atomic_load_explicit(ring->sq_tail, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++, tail++) {
        struct io_uring_sqe *entry = &ring->submissions[tail & ring->sq_mask];
        memset(entry, 0, sizeof *entry);
        entry->opcode = IORING_OP_SEND;
        entry->fd = queue[i].side->fd;
        entry->addr = (uint64_t)(uintptr_t)queue[i].bytes;
        entry->len = (uint32_t)queue[i].length;
        entry->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
        entry->user_data = i;
    }
    atomic_store_explicit(ring->sq_tail, tail, memory_order_release);
    unsigned submitted = 0;
    for (unsigned done = 0; done < count;) {
        int taken = (int)syscall(SYS_io_uring_enter, ring->fd, count - submitted, count - done, IORING_ENTER_GETEVENTS, NULL, 0);
        if (taken > 0) submitted += (unsigned)taken;
        else if (taken < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY) return false;
        unsigned head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);
        unsigned end = atomic_load_explicit(ring->cq_tail, memory_order_acquire);
        for (; head != end; head++, done++) {
            const struct io_uring_cqe *result = &ring->completions[head & ring->cq_mask];
            queue[result->user_data].result = result->res;
        }
        atomic_store_explicit(ring->cq_head, head, memory_order_release);
    }
    return true;
}

#else

struct ring *ring_open(void) {
    return NULL;
}

void ring_close(struct ring *ring) {
    (void)ring;
}

bool ring_send(struct ring *ring, struct queued *queue, unsigned count) {
    (void)ring, (void)queue, (void)count;
    return false;
}

#endif
