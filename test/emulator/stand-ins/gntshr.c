/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The half of libxengnttab that grants pages to other domains. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xengnttab.h>

#include "region.h"

#pragma GCC visibility push(default)

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags) {
    (void) logger;
    if (open_flags) {
        errno = EINVAL;
        return NULL;
    }
    return handle_open();
}

int xengntshr_close(xengntshr_handle *xgs) {
    return xgs ? handle_close(xgs) : 0;
}

int xengntshr_fd(xengntshr_handle *xgs) {
    return xgs->rpc.fd;
}

static void *share(xengntshr_handle *xgs, uint32_t domid, uint32_t count, uint32_t *refs, int writable,
                   uint32_t notify_offset, uint32_t notify_port) {
    const uint32_t call[] = {domid, count, writable != 0, notify_offset, notify_port};
    const size_t n_answer = 1 + 2 * (size_t) count;
    uint32_t *answer = calloc(n_answer, sizeof(*answer));
    void *start = NULL;

    if (!answer)
        return NULL;
    if (rpc_call(&xgs->rpc, RPC_SHARE, call, sizeof(call) / sizeof(*call), answer, n_answer) < 0)
        goto finish;
    start = region_add(xgs, answer[0], answer + 2, 2, count, PROT_READ | PROT_WRITE);
    if (!start) {
        int saved = errno;

        rpc_call(&xgs->rpc, RPC_UNSHARE, answer, 1, NULL, 0);
        errno = saved;
        goto finish;
    }
    /* What the pages' last owner left is none of the peer's business. */
    memset(start, 0, (size_t) count * STAND_IN_PAGE_BYTES);
    for (uint32_t i = 0; i < count; i++)
        refs[i] = answer[1 + 2 * i];

finish:
    free(answer);
    return start;
}

void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs, int writable) {
    if (count <= 0) {
        errno = EINVAL;
        return NULL;
    }
    return share(xgs, domid, (uint32_t) count, refs, writable, UINT32_MAX, UINT32_MAX);
}

void *xengntshr_share_page_notify(xengntshr_handle *xgs, uint32_t domid, uint32_t *ref, int writable,
                                  uint32_t notify_offset, evtchn_port_t notify_port) {
    return share(xgs, domid, 1, ref, writable, notify_offset, notify_port);
}

int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count) {
    return region_remove(xgs, start_address, count, RPC_UNSHARE);
}

#pragma GCC visibility pop
