/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_SHBUF_H
#define XEN_AUDIO_SNDIF_SHBUF_H

/* The shared buffer and its page directory (struct xensnd_page_directory), both sides. */

#include <stdbool.h>

#include "sndif-proto.h"
#include "xen-io.h"

/* ---- backend: maps what a frontend granted ---- */

struct sndif_shbuf_back {
    void *data; /* buffer_bytes octets, NULL when not mapped */
    size_t pages;
    bool writable; /* as it was mapped */
};

/*
 * Walks the directory (at most ceil(pages / SNDIF_GREFS_PER_PAGE) pages, each copied before use) and maps the
 * data pages, read only unless writable. The caller has capped buffer_bytes. 0; -EINVAL for a directory that
 * ends early or holds reference 0; else the mapping's -errno. On failure *reason is a static text, and
 * nothing stays mapped.
 */
int sndif_shbuf_back_map(struct sndif_shbuf_back *shbuf, struct xen_io_map *map, uint32_t gref_directory,
                         size_t buffer_bytes, bool writable, const char **reason);
/* Safe on a zeroed struct and twice. */
void sndif_shbuf_back_unmap(struct sndif_shbuf_back *shbuf, struct xen_io_map *map);

/* ---- frontend: grants a buffer ---- */

struct sndif_shbuf_front {
    void *data;
    size_t pages;
    void *directory;
    size_t directory_pages;
    uint32_t gref_directory; /* for OPEN */
};

/* Grants zeroed pages for buffer_bytes and fills their directory. Nothing stays granted on failure. */
int sndif_shbuf_front_alloc(struct sndif_shbuf_front *shbuf, struct xen_io_share *share, size_t buffer_bytes,
                            bool writable);
void sndif_shbuf_front_free(struct sndif_shbuf_front *shbuf, struct xen_io_share *share);

#endif
