/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The half of libxengnttab that maps what other domains have granted. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <xengnttab.h>

#include "region.h"

/* As gntdev: what does not fit one of its calls is refused. */
#define MAP_PAGES_MAX 65536u

#pragma GCC visibility push(default)

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned open_flags) {
    (void) logger;
    if (open_flags) {
        errno = EINVAL;
        return NULL;
    }
    return handle_open();
}

int xengnttab_close(xengnttab_handle *xgt) {
    return xgt ? handle_close(xgt) : 0;
}

int xengnttab_fd(xengnttab_handle *xgt) {
    return xgt->rpc.fd;
}

int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr_grants) {
    (void) xgt;
    (void) nr_grants;
    return 0; /* Linux has no such limit any more, and the real library hides that. */
}

/* domid_stride is 0 when one domain granted all. */
static void *map_refs(xengnttab_handle *xgt, uint32_t count, const uint32_t *domids, size_t domid_stride,
                      const uint32_t *refs, int prot, uint32_t notify_offset, uint32_t notify_port) {
    const size_t n_call = 3 + 2 * (size_t) count, n_answer = 1 + (size_t) count;
    uint32_t *words;
    void *start = NULL;

    if (count == 0 || count > MAP_PAGES_MAX) {
        errno = EINVAL;
        return NULL;
    }
    if (!(words = calloc(n_call + n_answer, sizeof(*words))))
        return NULL;
    uint32_t *answer = words + n_call;

    words[0] = (prot & PROT_WRITE) != 0;
    words[1] = notify_offset;
    words[2] = notify_port;
    for (uint32_t i = 0; i < count; i++) {
        words[3 + 2 * i] = domids[i * domid_stride];
        words[4 + 2 * i] = refs[i];
    }
    if (rpc_call(&xgt->rpc, RPC_MAP, words, n_call, answer, n_answer) == 0) {
        start = region_add(xgt, answer[0], answer + 1, 1, count, prot);
        if (!start) {
            int saved = errno;

            rpc_call(&xgt->rpc, RPC_UNMAP, answer, 1, NULL, 0);
            errno = saved;
        }
    }
    free(words);
    return start;
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot) {
    return map_refs(xgt, 1, &domid, 0, &ref, prot, UINT32_MAX, UINT32_MAX);
}

void *xengnttab_map_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t *domids, uint32_t *refs,
                               int prot) {
    return map_refs(xgt, count, domids, 1, refs, prot, UINT32_MAX, UINT32_MAX);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t domid, uint32_t *refs,
                                      int prot) {
    return map_refs(xgt, count, &domid, 0, refs, prot, UINT32_MAX, UINT32_MAX);
}

void *xengnttab_map_grant_ref_notify(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot,
                                     uint32_t notify_offset, evtchn_port_t notify_port) {
    return map_refs(xgt, 1, &domid, 0, &ref, prot, notify_offset, notify_port);
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count) {
    return region_remove(xgt, start_address, count, RPC_UNMAP);
}

/* What the emulated Xen cannot do, it says like a kernel without the feature. */
static int not_supported(void) {
    errno = ENOSYS;
    return -1;
}

int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count, xengnttab_grant_copy_segment_t *segs) {
    (void) xgt, (void) count, (void) segs;
    return not_supported();
}

int xengnttab_dmabuf_exp_from_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t flags, uint32_t count,
                                   const uint32_t *refs, uint32_t *fd) {
    (void) xgt, (void) domid, (void) flags, (void) count, (void) refs, (void) fd;
    return not_supported();
}

int xengnttab_dmabuf_exp_wait_released(xengnttab_handle *xgt, uint32_t fd, uint32_t wait_to_ms) {
    (void) xgt, (void) fd, (void) wait_to_ms;
    return not_supported();
}

int xengnttab_dmabuf_imp_to_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t fd, uint32_t count,
                                 uint32_t *refs) {
    (void) xgt, (void) domid, (void) fd, (void) count, (void) refs;
    return not_supported();
}

int xengnttab_dmabuf_imp_release(xengnttab_handle *xgt, uint32_t fd) {
    (void) xgt, (void) fd;
    return not_supported();
}

#pragma GCC visibility pop
