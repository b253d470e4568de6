/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libxenevtchn: binding goes to the emulator, events go straight from process to process. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xenevtchn.h>

#include "rpc.h"

#define SLOTS_BYTES (EVENT_SLOTS * sizeof(struct event_slot))

struct xenevtchn_handle {
    struct rpc rpc;
    int fifo_fd;
    struct event_slot *slots;                /* of all domains */
    uint32_t slot_of_port[PORTS_PER_DOMAIN]; /* 0: not a port of this handle */
    pthread_mutex_t mutex;                   /* guards peers */
    struct {
        uint32_t handle;
        int fd;
    } peers[PORTS_PER_DOMAIN]; /* the FIFO of the handle at the other end; handle 0: not open */
};

/* Opened for reading, too: so it never reports a missing reader, and writing to it never raises SIGPIPE. */
static int open_fifo(uint32_t handle, int flags) {
    char path[PATH_MAX], name[32];

    snprintf(name, sizeof(name), "handles/%u", handle);
    if (emulator_path(path, name) < 0)
        return -1;
    if ((flags & O_CREAT) && mkfifo(path, 0600) < 0)
        return -1;
    return open(path, O_RDWR | (flags & ~O_CREAT));
}

static void send_port(int fifo_fd, uint32_t port) {
    ssize_t written;

    do {
        written = write(fifo_fd, &port, sizeof(port));
    } while (written < 0 && errno == EINTR);
}

/*
 * Delivers a slot's event if it is pending and not masked: masks it, and says whether the caller shall send
 * its port. Of all who see the event pending, exactly one gets true.
 */
static bool take_event(struct event_slot *slot) {
    uint32_t expected = SIGNAL_PENDING;

    return __atomic_compare_exchange_n(&slot->signal, &expected, SIGNAL_MASKED, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* Whether the caller must send the port; if not, the event waits for the unmask, or another has sent it. */
static bool raise_event(struct event_slot *slot) {
    __atomic_fetch_or(&slot->signal, SIGNAL_PENDING, __ATOMIC_ACQ_REL);
    return take_event(slot);
}

/* Whether a test has ordered this notification to get lost. */
static bool is_lost(struct event_slot *slot) {
    return __atomic_load_n(&slot->loses, __ATOMIC_RELAXED) &&
           __atomic_exchange_n(&slot->loses, 0, __ATOMIC_RELAXED);
}

static uint32_t find_slot(const xenevtchn_handle *xce, uint32_t port) {
    return port < PORTS_PER_DOMAIN ? __atomic_load_n(&xce->slot_of_port[port], __ATOMIC_ACQUIRE) : 0;
}

static void close_peer(xenevtchn_handle *xce, uint32_t port) {
    if (xce->peers[port].handle)
        close(xce->peers[port].fd);
    xce->peers[port].handle = 0;
}

/* Sends an event to the handle at the other end of our port. A handle that is gone needs none. */
static void send_to_peer(xenevtchn_handle *xce, uint32_t port, const struct event_slot *peer) {
    uint32_t handle = __atomic_load_n(&peer->handle, __ATOMIC_ACQUIRE);
    uint32_t peer_port = __atomic_load_n(&peer->port, __ATOMIC_ACQUIRE);

    pthread_mutex_lock(&xce->mutex);
    if (xce->peers[port].handle != handle) {
        close_peer(xce, port);
        xce->peers[port].fd = handle ? open_fifo(handle, O_NONBLOCK | O_CLOEXEC) : -1;
        xce->peers[port].handle = xce->peers[port].fd >= 0 ? handle : 0;
    }
    if (xce->peers[port].handle)
        send_port(xce->peers[port].fd, peer_port);
    pthread_mutex_unlock(&xce->mutex);
}

static struct event_slot *map_slots(void) {
    char path[PATH_MAX];
    void *slots;
    int fd;

    if (emulator_path(path, "event-channels") < 0 || (fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
        return NULL;
    slots = mmap(NULL, SLOTS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return slots == MAP_FAILED ? NULL : slots;
}

#pragma GCC visibility push(default)

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags) {
    xenevtchn_handle *xce;
    int saved;

    (void) logger;
    if (flags & ~(unsigned) XENEVTCHN_NO_CLOEXEC) {
        errno = EINVAL;
        return NULL;
    }
    if (!(xce = calloc(1, sizeof(*xce))))
        return NULL;
    if (!(xce->slots = map_slots()))
        goto fail;
    if (rpc_open(&xce->rpc) < 0)
        goto fail_slots;
    xce->fifo_fd = open_fifo(xce->rpc.id, O_CREAT | (flags & XENEVTCHN_NO_CLOEXEC ? 0 : O_CLOEXEC));
    if (xce->fifo_fd < 0)
        goto fail_rpc;
    pthread_mutex_init(&xce->mutex, NULL);
    return xce;

fail_rpc:
    saved = errno;
    rpc_close(&xce->rpc);
    errno = saved;
fail_slots:
    saved = errno;
    munmap(xce->slots, SLOTS_BYTES);
    errno = saved;
fail:
    saved = errno;
    free(xce);
    errno = saved;
    return NULL;
}

xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd, unsigned open_flags) {
    (void) logger, (void) fd, (void) open_flags;
    errno = ENOSYS; /* A handle here is more than its descriptor. */
    return NULL;
}

int xenevtchn_close(xenevtchn_handle *xce) {
    if (!xce)
        return 0;
    rpc_close(&xce->rpc);
    for (uint32_t port = 0; port < PORTS_PER_DOMAIN; port++)
        close_peer(xce, port);
    close(xce->fifo_fd);
    munmap(xce->slots, SLOTS_BYTES);
    pthread_mutex_destroy(&xce->mutex);
    free(xce);
    return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce) {
    return xce->fifo_fd;
}

static xenevtchn_port_or_error_t bind_port(xenevtchn_handle *xce, enum rpc_op op, const uint32_t *call,
                                           size_t n_call) {
    uint32_t answer[2]; /* port, slot */

    if (rpc_call(&xce->rpc, op, call, n_call, answer, 2) < 0)
        return -1;
    __atomic_store_n(&xce->slot_of_port[answer[0]], answer[1], __ATOMIC_RELEASE);
    return (xenevtchn_port_or_error_t) answer[0];
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *xce, uint32_t domid) {
    return bind_port(xce, RPC_BIND_UNBOUND, &domid, 1);
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
                                                     evtchn_port_t remote_port) {
    const uint32_t call[] = {domid, remote_port};
    xenevtchn_port_or_error_t port = bind_port(xce, RPC_BIND_INTERDOMAIN, call, 2);

    /* The peer may have notified before there was anybody to hear it: Xen always lets a new binding fire
     * once. */
    if (port > 0 && raise_event(&xce->slots[find_slot(xce, (uint32_t) port)]))
        send_port(xce->fifo_fd, (uint32_t) port);
    return port;
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq) {
    (void) xce, (void) virq;
    errno = ENOSYS;
    return -1;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port) {
    if (port >= PORTS_PER_DOMAIN) {
        errno = EINVAL;
        return -1;
    }
    __atomic_store_n(&xce->slot_of_port[port], 0, __ATOMIC_RELEASE);
    pthread_mutex_lock(&xce->mutex);
    close_peer(xce, port);
    pthread_mutex_unlock(&xce->mutex);
    return rpc_call(&xce->rpc, RPC_UNBIND, &port, 1, NULL, 0);
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port) {
    uint32_t slot = find_slot(xce, port), peer;

    if (!slot) {
        errno = ENOTCONN;
        return -1;
    }
    peer = __atomic_load_n(&xce->slots[slot].peer, __ATOMIC_ACQUIRE);
    if (peer && peer < EVENT_SLOTS && !is_lost(&xce->slots[peer]) && raise_event(&xce->slots[peer]))
        send_to_peer(xce, port, &xce->slots[peer]);
    return 0;
}

/* An event of the emulator: true when it is to be reported now, false when it will be after the unmask. */
static bool accept_raised(xenevtchn_handle *xce, uint32_t port) {
    uint32_t slot = find_slot(xce, port);

    return slot && raise_event(&xce->slots[slot]);
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce) {
    uint32_t port;
    ssize_t got = read(xce->fifo_fd, &port, sizeof(port));

    if (got != sizeof(port)) {
        if (got >= 0)
            errno = EIO;
        return -1;
    }
    if (!(port & FIFO_RAISE))
        return (xenevtchn_port_or_error_t) port;
    port &= ~FIFO_RAISE;
    if (accept_raised(xce, port))
        return (xenevtchn_port_or_error_t) port;
    /* Whoever polled before calling us must not be made to wait for another event. */
    errno = EAGAIN;
    return -1;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port) {
    uint32_t slot = find_slot(xce, port);

    if (!slot)
        return 0; /* as the kernel, which ignores what is not ours */
    __atomic_fetch_and(&xce->slots[slot].signal, ~SIGNAL_MASKED, __ATOMIC_ACQ_REL);
    if (take_event(&xce->slots[slot]))
        send_port(xce->fifo_fd, port);
    return 0;
}

int xenevtchn_restrict(xenevtchn_handle *xce, domid_t domid) {
    const uint32_t call = domid;

    return rpc_call(&xce->rpc, RPC_RESTRICT, &call, 1, NULL, 0);
}

#pragma GCC visibility pop
