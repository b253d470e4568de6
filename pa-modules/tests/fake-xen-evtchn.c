/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-xen-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <xenevtchn.h>

#define PORTS 1024u
#define NO_PORT 0u

/* Fired ports go through a pipe, each at most once, since a port in the pipe is masked. */
struct xenevtchn_handle {
    struct xenevtchn_handle *next;
    uint32_t domid;
    int read_fd, write_fd;
};

struct port {
    struct xenevtchn_handle *handle; /* NULL: free */
    uint32_t peer_domid, peer;       /* peer NO_PORT: unbound */
    bool masked, pending;
    bool stale; /* of its domain's life before a resume */
};

static uint32_t last_port;
static struct port ports[PORTS];
static struct xenevtchn_handle *handles;

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags) {
    struct xenevtchn_handle *handle = NULL;
    int fds[2];

    (void) logger;
    (void) flags;
    pthread_mutex_lock(&fake_xen_lock);
    if (!fake_xen_is_failing(FAKE_XEN_EVTCHN_OPEN)) {
        handle = malloc(sizeof(*handle));
        if (!handle || pipe2(fds, O_CLOEXEC) < 0)
            abort();
        *handle = (struct xenevtchn_handle) {handles, fake_xen_domid(), fds[0], fds[1]};
        handles = handle;
    }
    pthread_mutex_unlock(&fake_xen_lock);
    return handle;
}

/* The peer's end becomes unbound, and is not told. */
static void free_port(uint32_t number) {
    uint32_t peer = ports[number].peer;

    if (peer != NO_PORT)
        ports[peer].peer = NO_PORT;
    ports[number] = (struct port) {0};
}

/* Of a port from before a resume Linux would look up the number, and find another's channel or none. */
static void check_not_stale(const struct port *port) {
    if (port->stale)
        fake_xen_misuse("the port of a domain that has been resumed since is closed");
}

static void free_handle(struct xenevtchn_handle **link) {
    struct xenevtchn_handle *handle = *link;

    for (uint32_t i = 1; i < PORTS; i++)
        if (ports[i].handle == handle)
            free_port(i);
    *link = handle->next;
    close(handle->read_fd);
    close(handle->write_fd);
    free(handle);
}

int xenevtchn_close(xenevtchn_handle *xce) {
    struct xenevtchn_handle **link = &handles;
    int r = 0;

    pthread_mutex_lock(&fake_xen_lock);
    while (*link && *link != xce)
        link = &(*link)->next;
    for (uint32_t i = 1; i < PORTS; i++)
        if (*link && ports[i].handle == *link)
            check_not_stale(&ports[i]);
    if (*link)
        free_handle(link);
    else
        r = fake_xen_misuse("close of an event channel handle that is not open");
    pthread_mutex_unlock(&fake_xen_lock);
    return r;
}

int xenevtchn_fd(xenevtchn_handle *xce) {
    int fd;

    pthread_mutex_lock(&fake_xen_lock);
    fd = fake_xen_is_failing(FAKE_XEN_EVTCHN_FD) ? -1 : xce->read_fd;
    pthread_mutex_unlock(&fake_xen_lock);
    return fd;
}

static struct port *port_of(const struct xenevtchn_handle *handle, uint32_t number) {
    return number < PORTS && number != NO_PORT && ports[number].handle == handle ? &ports[number] : NULL;
}

static int add_port(struct xenevtchn_handle *handle, uint32_t peer_domid, uint32_t peer) {
    for (uint32_t i = 0; i < PORTS; i++) {
        last_port = (last_port + 7) % PORTS;
        if (last_port == NO_PORT || ports[last_port].handle)
            continue;
        ports[last_port] = (struct port) {.handle = handle, .peer_domid = peer_domid, .peer = peer};
        return (int) last_port;
    }
    errno = ENOSPC;
    return -1;
}

static void put_in_pipe(uint32_t number) {
    if (write(ports[number].handle->write_fd, &number, sizeof(number)) != sizeof(number))
        abort();
}

/* Masked: remembered until it is unmasked, once, however often it fires. */
static void fire(uint32_t number) {
    if (ports[number].masked) {
        ports[number].pending = true;
        return;
    }
    ports[number].masked = true;
    put_in_pipe(number);
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *xce, uint32_t domid) {
    int port;

    pthread_mutex_lock(&fake_xen_lock);
    port = fake_xen_is_failing(FAKE_XEN_BIND_UNBOUND) ? -1 : add_port(xce, domid, NO_PORT);
    pthread_mutex_unlock(&fake_xen_lock);
    return port;
}

static int bind_interdomain(struct xenevtchn_handle *handle, uint32_t domid, uint32_t remote) {
    struct port *peer = remote < PORTS ? &ports[remote] : NULL;
    int port;

    if (fake_xen_is_failing(FAKE_XEN_BIND_INTERDOMAIN))
        return -1;
    if (!peer || !peer->handle || peer->handle->domid != domid || peer->peer != NO_PORT ||
        peer->peer_domid != handle->domid) {
        errno = EINVAL;
        return -1;
    }
    port = add_port(handle, domid, remote);
    if (port < 0)
        return -1;
    peer->peer = (uint32_t) port;
    fire((uint32_t) port); /* Xen does: the remote end may have fired while it was unbound */
    return port;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
                                                     evtchn_port_t remote_port) {
    int port;

    pthread_mutex_lock(&fake_xen_lock);
    port = bind_interdomain(xce, domid, remote_port);
    pthread_mutex_unlock(&fake_xen_lock);
    return port;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port) {
    int r = 0;

    pthread_mutex_lock(&fake_xen_lock);
    if (port_of(xce, port)) {
        check_not_stale(port_of(xce, port));
        free_port(port);
    } else
        r = fake_xen_misuse("unbind of a port that is not the handle's");
    pthread_mutex_unlock(&fake_xen_lock);
    return r;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port) {
    const struct port *local;
    int r = -1;

    pthread_mutex_lock(&fake_xen_lock);
    local = port_of(xce, port);
    if (!fake_xen_is_failing(FAKE_XEN_NOTIFY)) {
        if (!local) {
            errno = ENOTCONN;
        } else {
            if (local->peer != NO_PORT) /* to an unbound port it is silently lost */
                fire(local->peer);
            r = 0;
        }
    }
    pthread_mutex_unlock(&fake_xen_lock);
    return r;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce) {
    uint32_t port;
    bool failing;

    pthread_mutex_lock(&fake_xen_lock);
    failing = fake_xen_is_failing(FAKE_XEN_PENDING);
    pthread_mutex_unlock(&fake_xen_lock);
    /* Without the lock: blocks unless the caller has made the descriptor non-blocking. */
    if (failing || read(xce->read_fd, &port, sizeof(port)) != sizeof(port))
        return -1;
    return (int) port;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port) {
    struct port *local;
    int r = -1;

    pthread_mutex_lock(&fake_xen_lock);
    local = port_of(xce, port);
    if (!fake_xen_is_failing(FAKE_XEN_UNMASK)) {
        r = 0;
        if (local && local->masked) {
            local->masked = local->pending;
            if (local->pending)
                put_in_pipe(port);
            local->pending = false;
        }
    }
    pthread_mutex_unlock(&fake_xen_lock);
    return r;
}

void fake_xen_resume_ports(uint32_t domid) {
    for (uint32_t i = 1; i < PORTS; i++) {
        struct port *port = &ports[i];

        if (!port->handle || port->handle->domid != domid)
            continue;
        if (port->peer != NO_PORT)
            ports[port->peer].peer = NO_PORT;
        port->peer = NO_PORT;
        port->stale = true;
    }
}

void fake_xen_kill_ports(uint32_t domid) {
    struct xenevtchn_handle **link = &handles;

    while (*link)
        if ((*link)->domid == domid)
            free_handle(link);
        else
            link = &(*link)->next;
}

void fake_xen_add_port_usage(struct fake_xen_usage *usage) {
    for (const struct xenevtchn_handle *handle = handles; handle; handle = handle->next)
        usage->handles++;
    for (uint32_t i = 1; i < PORTS; i++)
        usage->ports += ports[i].handle != NULL;
}
