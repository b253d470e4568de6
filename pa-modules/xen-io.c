/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xen-io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>

#include <xenevtchn.h>
#include <xengnttab.h>

/* The libraries promise errno; a negative result must not depend on that. */
static int failure(void) {
    return errno > 0 ? -errno : -EIO;
}

/* ---- Pages that we grant ---- */

int xen_io_share_open(struct xen_io_share *share, uint32_t domid) {
    *share = (struct xen_io_share) {.domid = domid};
    errno = 0;
    share->handle = xengntshr_open(NULL, 0);
    return share->handle ? 0 : failure();
}

void xen_io_share_close(struct xen_io_share *share) {
    if (share->handle)
        xengntshr_close(share->handle);
    share->handle = NULL;
}

int xen_io_share_pages(struct xen_io_share *share, size_t count, bool writable, void **pages,
                       uint32_t *refs) {
    *pages = NULL;
    if (count == 0 || count > INT_MAX)
        return -EINVAL;
    errno = 0;
    *pages = xengntshr_share_pages(share->handle, share->domid, (int) count, refs, writable);
    return *pages ? 0 : failure();
}

int xen_io_share_page_alive(struct xen_io_share *share, uint32_t alive_offset, void **page, uint32_t *ref) {
    *page = NULL;
    if (alive_offset >= XEN_IO_PAGE_BYTES)
        return -EINVAL;
    errno = 0;
    /*
     * Clearing the octet only: an event channel registered here would outlive a resume under a stale number.
     */
    *page =
        xengntshr_share_page_notify(share->handle, share->domid, ref, 1, alive_offset, (evtchn_port_t) -1);
    return *page ? 0 : failure();
}

void xen_io_unshare_pages(struct xen_io_share *share, void *pages, size_t count) {
    if (pages)
        xengntshr_unshare(share->handle, pages, (uint32_t) count);
}

/* ---- Pages that we map ---- */

int xen_io_map_open(struct xen_io_map *map, uint32_t domid) {
    *map = (struct xen_io_map) {.domid = domid};
    errno = 0;
    map->handle = xengnttab_open(NULL, 0);
    return map->handle ? 0 : failure();
}

void xen_io_map_close(struct xen_io_map *map) {
    if (map->handle)
        xengnttab_close(map->handle);
    map->handle = NULL;
}

int xen_io_map_pages(struct xen_io_map *map, size_t count, const uint32_t *refs, bool writable,
                     void **pages) {
    int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;

    *pages = NULL;
    if (count == 0 || count > INT_MAX)
        return -EINVAL;
    errno = 0;
    /* The library takes the references without const, but only reads them. */
    *pages =
        xengnttab_map_domain_grant_refs(map->handle, (uint32_t) count, map->domid, (uint32_t *) refs, prot);
    return *pages ? 0 : failure();
}

void xen_io_unmap_pages(struct xen_io_map *map, void *pages, size_t count) {
    if (pages)
        xengnttab_unmap(map->handle, pages, (uint32_t) count);
}

/* ---- Event channels ---- */

/* xenevtchn_pending reads the descriptor; without O_NONBLOCK it would sleep when no port has fired. */
static int set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int xen_io_evtchn_open(struct xen_io_evtchn *evtchn) {
    int r;

    errno = 0;
    evtchn->handle = xenevtchn_open(NULL, 0);
    if (!evtchn->handle)
        return failure();
    if (set_nonblocking(xenevtchn_fd(evtchn->handle)) < 0) {
        r = failure(); /* before closing may change errno */
        xen_io_evtchn_close(evtchn);
        return r;
    }
    return 0;
}

void xen_io_evtchn_close(struct xen_io_evtchn *evtchn) {
    if (evtchn->handle)
        xenevtchn_close(evtchn->handle);
    evtchn->handle = NULL;
}

void xen_io_evtchn_abandon(struct xen_io_evtchn *evtchn) {
    evtchn->handle = NULL;
}

int xen_io_evtchn_fd(const struct xen_io_evtchn *evtchn) {
    return xenevtchn_fd(evtchn->handle);
}

int xen_io_evtchn_bind_unbound(struct xen_io_evtchn *evtchn, uint32_t domid) {
    int port;

    errno = 0;
    port = xenevtchn_bind_unbound_port(evtchn->handle, domid);
    return port >= 0 ? port : failure();
}

int xen_io_evtchn_bind_interdomain(struct xen_io_evtchn *evtchn, uint32_t domid, uint32_t remote_port) {
    int port;

    errno = 0;
    port = xenevtchn_bind_interdomain(evtchn->handle, domid, remote_port);
    return port >= 0 ? port : failure();
}

void xen_io_evtchn_unbind(struct xen_io_evtchn *evtchn, uint32_t port) {
    xenevtchn_unbind(evtchn->handle, port);
}

int xen_io_evtchn_notify(struct xen_io_evtchn *evtchn, uint32_t port) {
    errno = 0;
    return xenevtchn_notify(evtchn->handle, port) < 0 ? failure() : 0;
}

int xen_io_evtchn_pending(struct xen_io_evtchn *evtchn) {
    int port;

    errno = 0;
    port = xenevtchn_pending(evtchn->handle);
    return port >= 0 ? port : failure();
}

int xen_io_evtchn_unmask(struct xen_io_evtchn *evtchn, uint32_t port) {
    errno = 0;
    return xenevtchn_unmask(evtchn->handle, port) < 0 ? failure() : 0;
}
