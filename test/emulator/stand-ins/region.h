/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STAND_INS_REGION_H
#define STAND_INS_REGION_H

/* What a handle of libxengnttab is: a connection to the emulator, and the pages it has shared or mapped. */

#include <stddef.h>
#include <stdint.h>

#include "rpc.h"

/* Pages that came in one call and go in one, contiguous in our memory. */
struct region {
    struct region *next;
    void *start;
    uint32_t pages;
    uint32_t id; /* by which the emulator knows it */
};

/* Behind xengnttab_handle and xengntshr_handle alike, as in the real library. */
struct xengntdev_handle {
    struct rpc rpc;
    int memory_fd;
    pthread_mutex_t mutex; /* guards regions */
    struct region *regions;
};

/* Opens a handle. NULL with errno. */
struct xengntdev_handle *handle_open(void);
/* Unmaps all regions and closes. 0. */
int handle_close(struct xengntdev_handle *handle);

/*
 * Maps pages of the emulator's memory, whose numbers stand stride words apart, as one region. NULL with
 * errno; the emulator's side is then the caller's to undo.
 */
void *region_add(struct xengntdev_handle *handle, uint32_t id, const uint32_t *page_numbers, size_t stride,
                 uint32_t pages, int prot);
/* Unmaps the region that starts here and has this many pages, and tells the emulator with op. 0, -1 with
 * errno. */
int region_remove(struct xengntdev_handle *handle, void *start, uint32_t pages, enum rpc_op op);

#endif
