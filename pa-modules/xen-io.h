/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_XEN_IO_H
#define XEN_AUDIO_XEN_IO_H

/*
 * Grants and event channels: open, share, map, bind, and their one way back. A thin layer over libxengnttab
 * and libxenevtchn that knows nothing of sound. Every function returns 0 or a positive result, or a negative
 * errno. One thread uses a struct at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XEN_IO_PAGE_BYTES 4096u

/* Rounds octets up to whole pages. */
#define XEN_IO_PAGES(bytes) (((size_t) (bytes) + XEN_IO_PAGE_BYTES - 1) / XEN_IO_PAGE_BYTES)

/* ---- Pages that we grant to another domain (frontend) ---- */

struct xen_io_share {
    void *handle;   /* xengntshr_handle */
    uint32_t domid; /* to whom pages are granted */
};

/* Opens /dev/xen/gntalloc. -errno when it is missing or not ours to open. */
int xen_io_share_open(struct xen_io_share *share, uint32_t domid);
/*
 * Closes it. Every page must have been unshared: a grant lives as long as its mapping. Safe on a zeroed
 * struct and twice.
 */
void xen_io_share_close(struct xen_io_share *share);

/* Grants count zeroed pages, contiguous in our memory; refs[count] receives their references. */
int xen_io_share_pages(struct xen_io_share *share, size_t count, bool writable, void **pages, uint32_t *refs);
/* The same for one page, whose octet alive_offset is cleared by the kernel when this process ends. */
int xen_io_share_page_alive(struct xen_io_share *share, uint32_t alive_offset, void **page, uint32_t *ref);
/* Ends the grants and frees the pages. Safe with pages == NULL. */
void xen_io_unshare_pages(struct xen_io_share *share, void *pages, size_t count);

/* ---- Pages of another domain that we map (backend) ---- */

struct xen_io_map {
    void *handle;   /* xengnttab_handle */
    uint32_t domid; /* whose pages are mapped */
};

/* Opens /dev/xen/gntdev. */
int xen_io_map_open(struct xen_io_map *map, uint32_t domid);
/* Closes it. Every mapping must have been unmapped. Safe on a zeroed struct and twice. */
void xen_io_map_close(struct xen_io_map *map);

/* Maps count references, contiguous in our memory. writable: PROT_READ|PROT_WRITE, else PROT_READ. */
int xen_io_map_pages(struct xen_io_map *map, size_t count, const uint32_t *refs, bool writable, void **pages);
/* Unmaps. Safe with pages == NULL. */
void xen_io_unmap_pages(struct xen_io_map *map, void *pages, size_t count);

/* ---- Event channels ---- */

struct xen_io_evtchn {
    void *handle; /* xenevtchn_handle */
};

/* Opens /dev/xen/evtchn. */
int xen_io_evtchn_open(struct xen_io_evtchn *evtchn);
/* Closes it and thereby every port. Safe on a zeroed struct and twice. */
void xen_io_evtchn_close(struct xen_io_evtchn *evtchn);

/*
 * Lets go of it without closing it: our domain has been resumed since the ports were bound. Linux finds a port by its
 * number when it closes one, so it would hit a BUG where no such number is left, or end the channel of whoever has that
 * number now. The descriptor stays open and unread until the process ends. Safe as xen_io_evtchn_close.
 */
void xen_io_evtchn_abandon(struct xen_io_evtchn *evtchn);

/* The descriptor to poll for POLLIN; never read it directly. */
int xen_io_evtchn_fd(const struct xen_io_evtchn *evtchn);
/* A new port that domid may bind to; returns its number. */
int xen_io_evtchn_bind_unbound(struct xen_io_evtchn *evtchn, uint32_t domid);
/* A new local port, bound to remote_port of domid; returns its number. */
int xen_io_evtchn_bind_interdomain(struct xen_io_evtchn *evtchn, uint32_t domid, uint32_t remote_port);
void xen_io_evtchn_unbind(struct xen_io_evtchn *evtchn, uint32_t port);
int xen_io_evtchn_notify(struct xen_io_evtchn *evtchn, uint32_t port);
/* The next port that fired, masked until xen_io_evtchn_unmask; -EAGAIN when there is none. Never blocks. */
int xen_io_evtchn_pending(struct xen_io_evtchn *evtchn);
int xen_io_evtchn_unmask(struct xen_io_evtchn *evtchn, uint32_t port);

#endif
