/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-shbuf.h"

#include <errno.h>
#include <stdlib.h>

static size_t directory_pages(size_t pages) {
    return (pages + SNDIF_GREFS_PER_PAGE - 1) / SNDIF_GREFS_PER_PAGE;
}

/* ---- backend ---- */

/*
 * Copies count references out of one directory page and follows *gref to the next one. Each word is read
 * once: the guest may be changing them.
 */
static int read_directory_page(struct xen_io_map *map, uint32_t *gref, uint32_t *refs, size_t count,
                               const char **reason) {
    void *page;
    const volatile grant_ref_t *words;
    bool has_zero = false;
    int r;

    if (*gref == 0) {
        *reason = "the page directory ends before buffer_sz is covered";
        return -EINVAL;
    }
    r = xen_io_map_pages(map, 1, gref, false, &page);
    if (r < 0) {
        *reason = "a page of the page directory cannot be mapped";
        return r;
    }
    words = page;
    *gref = words[0];
    for (size_t i = 0; i < count; i++) {
        refs[i] = words[1 + i];
        has_zero |= refs[i] == 0;
    }
    xen_io_unmap_pages(map, page, 1);
    if (has_zero) {
        *reason = "the page directory holds grant reference 0 before buffer_sz is covered";
        return -EINVAL;
    }
    return 0;
}

/* Visits as many directory pages as `pages` references need and no more, so a circular list ends too. */
static int read_directory(struct xen_io_map *map, uint32_t gref, uint32_t *refs, size_t pages,
                          const char **reason) {
    for (size_t done = 0; done < pages; done += SNDIF_GREFS_PER_PAGE) {
        size_t left = pages - done;
        int r = read_directory_page(map, &gref, refs + done,
                                    left < SNDIF_GREFS_PER_PAGE ? left : SNDIF_GREFS_PER_PAGE, reason);

        if (r < 0)
            return r;
    }
    return 0;
}

int sndif_shbuf_back_map(struct sndif_shbuf_back *shbuf, struct xen_io_map *map, uint32_t gref_directory,
                         size_t buffer_bytes, bool writable, const char **reason) {
    size_t pages = XEN_IO_PAGES(buffer_bytes);
    uint32_t *refs;
    int r;

    *shbuf = (struct sndif_shbuf_back) {0};
    if (pages == 0) {
        *reason = "buffer_sz is 0 or beyond all memory";
        return -EINVAL;
    }
    refs = calloc(pages, sizeof(*refs));
    if (!refs) {
        *reason = "no memory for the grant references";
        return -ENOMEM;
    }
    r = read_directory(map, gref_directory, refs, pages, reason);
    if (r == 0) {
        r = xen_io_map_pages(map, pages, refs, writable, &shbuf->data);
        if (r < 0)
            *reason = "the pages of the buffer cannot be mapped";
    }
    if (r == 0) {
        shbuf->pages = pages;
        shbuf->writable = writable;
    }
    free(refs);
    return r;
}

void sndif_shbuf_back_unmap(struct sndif_shbuf_back *shbuf, struct xen_io_map *map) {
    xen_io_unmap_pages(map, shbuf->data, shbuf->pages);
    *shbuf = (struct sndif_shbuf_back) {0};
}

/* ---- frontend ---- */

static void fill_directory(struct sndif_shbuf_front *shbuf, const uint32_t *directory_refs,
                           const uint32_t *refs) {
    for (size_t d = 0; d < shbuf->directory_pages; d++) {
        grant_ref_t *words = (grant_ref_t *) ((char *) shbuf->directory + d * SNDIF_PAGE_BYTES);
        size_t first = d * SNDIF_GREFS_PER_PAGE, left = shbuf->pages - first;

        words[0] = d + 1 < shbuf->directory_pages ? directory_refs[d + 1] : 0;
        memcpy(words + 1, refs + first,
               (left < SNDIF_GREFS_PER_PAGE ? left : SNDIF_GREFS_PER_PAGE) * sizeof(*refs));
    }
    shbuf->gref_directory = directory_refs[0];
}

/* refs has room for the data's references and, behind them, the directory's. */
static int grant_all(struct sndif_shbuf_front *shbuf, struct xen_io_share *share, bool writable,
                     uint32_t *refs) {
    uint32_t *directory_refs = refs + shbuf->pages;
    int r = xen_io_share_pages(share, shbuf->pages, writable, &shbuf->data, refs);

    if (r < 0)
        return r;
    /* The directory is granted like the data: some backends map both with the same protection. */
    r = xen_io_share_pages(share, shbuf->directory_pages, writable, &shbuf->directory, directory_refs);
    if (r < 0)
        return r;
    fill_directory(shbuf, directory_refs, refs);
    return 0;
}

int sndif_shbuf_front_alloc(struct sndif_shbuf_front *shbuf, struct xen_io_share *share, size_t buffer_bytes,
                            bool writable) {
    size_t pages = XEN_IO_PAGES(buffer_bytes);
    uint32_t *refs;
    int r;

    *shbuf = (struct sndif_shbuf_front) {.pages = pages, .directory_pages = directory_pages(pages)};
    if (pages == 0)
        return -EINVAL;
    refs = calloc(shbuf->pages + shbuf->directory_pages, sizeof(*refs));
    if (!refs)
        return -ENOMEM;
    r = grant_all(shbuf, share, writable, refs);
    if (r < 0)
        sndif_shbuf_front_free(shbuf, share);
    free(refs);
    return r;
}

void sndif_shbuf_front_free(struct sndif_shbuf_front *shbuf, struct xen_io_share *share) {
    xen_io_unshare_pages(share, shbuf->directory, shbuf->directory_pages);
    xen_io_unshare_pages(share, shbuf->data, shbuf->pages);
    *shbuf = (struct sndif_shbuf_front) {0};
}
