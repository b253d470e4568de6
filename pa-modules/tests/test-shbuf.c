/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-shbuf.h"

#include <errno.h>
#include <stdlib.h>

#include "check.h"
#include "fake-xen.h"

#define FRONTEND 5u
#define BACKEND 0u
#define PER_PAGE 1023u

static struct xen_io_share share;
static struct xen_io_map map;
static struct sndif_shbuf_front front;
static struct sndif_shbuf_back back;

static void open_both(void) {
    fake_xen_set_domain(FRONTEND);
    CHECK_EQ(xen_io_share_open(&share, BACKEND), 0);
    fake_xen_set_domain(BACKEND);
    CHECK_EQ(xen_io_map_open(&map, FRONTEND), 0);
}

static void close_both(void) {
    sndif_shbuf_back_unmap(&back, &map);
    sndif_shbuf_back_unmap(&back, &map); /* twice is safe */
    sndif_shbuf_front_free(&front, &share);
    sndif_shbuf_front_free(&front, &share);
    xen_io_map_close(&map);
    xen_io_share_close(&share);
    CHECK_EQ(fake_xen_leaks(), 0);
}

/* Word `index` of the frontend's page directory: of each page, 0 is the link and 1 to 1023 are references. */
static uint32_t *directory_word(size_t page, size_t index) {
    return (uint32_t *) front.directory + page * (SNDIF_PAGE_BYTES / sizeof(uint32_t)) + index;
}

static void buffers_of_all_sizes_are_the_same_memory_on_both_sides(void) {
    static const struct {
        size_t bytes, pages, directory_pages;
    } rows[] = {
        {1, 1, 1},
        {4095, 1, 1},
        {4096, 1, 1},
        {4097, 2, 1},
        {65536, 16, 1},
        {PER_PAGE * 4096, PER_PAGE, 1},
        {PER_PAGE * 4096 + 1, PER_PAGE + 1, 2},
        {2 * PER_PAGE * 4096, 2 * PER_PAGE, 2},
        {2 * PER_PAGE * 4096 + 1, 2 * PER_PAGE + 1, 3},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        const char *reason = NULL;
        struct fake_xen_usage usage;

        CHECK_ROW("%zu octets", rows[i].bytes);
        open_both();
        CHECK_EQ(sndif_shbuf_front_alloc(&front, &share, rows[i].bytes, true), 0);
        CHECK_EQ(front.directory_pages, rows[i].directory_pages);
        CHECK_EQ(sndif_shbuf_back_map(&back, &map, front.gref_directory, rows[i].bytes, false, &reason), 0);
        CHECK_EQ(back.pages, rows[i].pages);
        CHECK(!back.writable);
        usage = fake_xen_usage();
        CHECK_EQ(usage.shared_pages, rows[i].pages + rows[i].directory_pages);
        CHECK_EQ(usage.mapped_pages, rows[i].pages); /* the directory has been let go */
        for (size_t page = 0; page < rows[i].pages; page++)
            memset((char *) front.data + page * SNDIF_PAGE_BYTES, (int) page & 0xff, SNDIF_PAGE_BYTES);
        CHECK(memcmp(front.data, back.data, rows[i].pages * SNDIF_PAGE_BYTES) == 0);
        close_both();
    }
}

static void a_writable_mapping_reaches_the_frontend(void) {
    const char *reason = NULL;

    open_both();
    CHECK_EQ(sndif_shbuf_front_alloc(&front, &share, 8192, true), 0);
    CHECK_EQ(sndif_shbuf_back_map(&back, &map, front.gref_directory, 8192, true, &reason), 0);
    CHECK(back.writable);
    memset(back.data, 0x5a, 8192);
    CHECK_EQ(((char *) front.data)[8191], 0x5a);
    close_both();
}

static void a_buffer_granted_read_only_cannot_be_mapped_writable(void) {
    const char *reason = NULL;

    open_both();
    CHECK_EQ(sndif_shbuf_front_alloc(&front, &share, 8192, false), 0);
    CHECK_EQ(sndif_shbuf_back_map(&back, &map, front.gref_directory, 8192, true, &reason), -EINVAL);
    CHECK(reason && !back.data);
    CHECK_EQ(sndif_shbuf_back_map(&back, &map, front.gref_directory, 8192, false, &reason), 0);
    close_both();
}

/* ---- a frontend that lies ---- */

static void end_list_at_once(void) {
    front.gref_directory = 0;
}

static void end_list_after_one_page(void) {
    *directory_word(0, 0) = 0;
}

static void zero_first_reference(void) {
    *directory_word(0, 1) = 0;
}

static void zero_last_reference(void) {
    *directory_word(1, 1) = 0;
}

static void link_to_nowhere(void) {
    *directory_word(0, 0) = 0xdeadbeef;
}

static void start_nowhere(void) {
    front.gref_directory = 0xdeadbeef;
}

static void refer_to_nowhere(void) {
    *directory_word(0, 500) = 0xdeadbeef;
}

static void refer_to_a_revoked_grant(void) {
    fake_xen_revoke(*directory_word(0, 500));
}

static void a_bad_directory_is_refused_and_nothing_stays_mapped(void) {
    static const struct {
        const char *title;
        void (*spoil)(void);
        const char *reason; /* a part of it */
    } rows[] = {
        {"no first page", end_list_at_once, "ends before"},
        {"short directory", end_list_after_one_page, "ends before"},
        {"reference 0 first", zero_first_reference, "reference 0"},
        {"reference 0 last", zero_last_reference, "reference 0"},
        {"link to no grant", link_to_nowhere, "page of the page directory"},
        {"directory that is no grant", start_nowhere, "page of the page directory"},
        {"reference to no grant", refer_to_nowhere, "pages of the buffer"},
        {"reference to a revoked grant", refer_to_a_revoked_grant, "pages of the buffer"},
    };
    size_t bytes = (PER_PAGE + 1) * 4096;

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        const char *reason = NULL;

        CHECK_ROW("%s", rows[i].title);
        open_both();
        CHECK_EQ(sndif_shbuf_front_alloc(&front, &share, bytes, true), 0);
        rows[i].spoil();
        CHECK_EQ(sndif_shbuf_back_map(&back, &map, front.gref_directory, bytes, false, &reason), -EINVAL);
        CHECK(reason && strstr(reason, rows[i].reason) && back.data == NULL);
        CHECK_EQ(fake_xen_usage().mapped_pages, 0);
        close_both();
    }
}

/* One page whose link is itself: the walk ends by count, and the buffer is the same pages again. */
static void a_circular_directory_ends(void) {
    size_t bytes = 3 * PER_PAGE * 4096;
    const char *reason = NULL;
    unsigned before;

    open_both();
    CHECK_EQ(sndif_shbuf_front_alloc(&front, &share, PER_PAGE * 4096, true), 0);
    *directory_word(0, 0) = front.gref_directory;
    before = fake_xen_count(FAKE_XEN_MAP_PAGES);
    CHECK_EQ(sndif_shbuf_back_map(&back, &map, front.gref_directory, bytes, false, &reason), 0);
    CHECK_EQ(fake_xen_count(FAKE_XEN_MAP_PAGES) - before, 3 + 1);
    close_both();
}

/* Entries behind the last one needed are nobody's business. */
static void what_lies_behind_the_last_reference_is_not_looked_at(void) {
    const char *reason = NULL;

    open_both();
    CHECK_EQ(sndif_shbuf_front_alloc(&front, &share, 2 * 4096, true), 0);
    *directory_word(0, 0) = 0xdeadbeef;
    *directory_word(0, 3) = 0xdeadbeef;
    CHECK_EQ(sndif_shbuf_back_map(&back, &map, front.gref_directory, 2 * 4096, false, &reason), 0);
    close_both();
}

static void senseless_sizes_are_refused(void) {
    static const size_t sizes[] = {0, SIZE_MAX, SIZE_MAX - 4094};
    const char *reason;

    open_both();
    for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
        CHECK_ROW("%zu octets", sizes[i]);
        reason = NULL;
        CHECK_EQ(sndif_shbuf_front_alloc(&front, &share, sizes[i], true), -EINVAL);
        CHECK_EQ(sndif_shbuf_back_map(&back, &map, 8, sizes[i], false, &reason), -EINVAL);
        CHECK(reason != NULL);
    }
    close_both();
}

/* ---- failures of Xen, one after the other ---- */

static void a_map_that_fails_leaves_nothing_mapped(void) {
    size_t bytes = (2 * PER_PAGE + 1) * 4096; /* three directory pages, then the data */

    for (unsigned nth = 1; nth <= 4; nth++) {
        const char *reason = NULL;

        CHECK_ROW("map call %u", nth);
        open_both();
        CHECK_EQ(sndif_shbuf_front_alloc(&front, &share, bytes, true), 0);
        fake_xen_fail(FAKE_XEN_MAP_PAGES, nth, ENOMEM);
        CHECK_EQ(sndif_shbuf_back_map(&back, &map, front.gref_directory, bytes, false, &reason), -ENOMEM);
        CHECK(reason != NULL && back.data == NULL && back.pages == 0);
        CHECK_EQ(fake_xen_usage().mapped_pages, 0);
        close_both();
    }
}

static void an_alloc_that_fails_leaves_nothing_granted(void) {
    for (unsigned nth = 1; nth <= 2; nth++) {
        CHECK_ROW("share call %u", nth);
        open_both();
        fake_xen_fail(FAKE_XEN_SHARE_PAGES, nth, ENOSPC);
        CHECK_EQ(sndif_shbuf_front_alloc(&front, &share, 65536, true), -ENOSPC);
        CHECK(front.data == NULL && front.directory == NULL && front.gref_directory == 0);
        CHECK_EQ(fake_xen_usage().shared_pages, 0);
        close_both();
    }
}

int main(void) {
    static const struct check_test tests[] = {
        {"buffers of all sizes are the same memory on both sides",
         buffers_of_all_sizes_are_the_same_memory_on_both_sides},
        {"a writable mapping reaches the frontend", a_writable_mapping_reaches_the_frontend},
        {"a buffer granted read-only cannot be mapped writable",
         a_buffer_granted_read_only_cannot_be_mapped_writable},
        {"a bad directory is refused and nothing stays mapped",
         a_bad_directory_is_refused_and_nothing_stays_mapped},
        {"a circular directory ends", a_circular_directory_ends},
        {"what lies behind the last reference is not looked at",
         what_lies_behind_the_last_reference_is_not_looked_at},
        {"senseless sizes are refused", senseless_sizes_are_refused},
        {"a map that fails leaves nothing mapped", a_map_that_fails_leaves_nothing_mapped},
        {"an alloc that fails leaves nothing granted", an_alloc_that_fails_leaves_nothing_granted},
    };

    return check_main("shbuf", tests, N_ELEMENTS(tests));
}
