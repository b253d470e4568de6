/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xen-io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>

#include "check.h"
#include "fake-xen.h"

#define FRONTEND 5u
#define BACKEND 0u
#define WAIT_MS 10000

static struct xen_io_share share;
static struct xen_io_map map;
static struct xen_io_evtchn front_evtchn, back_evtchn;

static void open_all(void) {
    fake_xen_set_domain(FRONTEND);
    CHECK_EQ(xen_io_share_open(&share, BACKEND), 0);
    CHECK_EQ(xen_io_evtchn_open(&front_evtchn), 0);
    fake_xen_set_domain(BACKEND);
    CHECK_EQ(xen_io_map_open(&map, FRONTEND), 0);
    CHECK_EQ(xen_io_evtchn_open(&back_evtchn), 0);
}

static void close_all(void) {
    for (int twice = 0; twice < 2; twice++) {
        xen_io_share_close(&share);
        xen_io_map_close(&map);
        xen_io_evtchn_close(&front_evtchn);
        xen_io_evtchn_close(&back_evtchn);
    }
    CHECK_EQ(fake_xen_leaks(), 0);
}

static void closing_what_was_never_open_is_safe(void) {
    share = (struct xen_io_share) {0};
    map = (struct xen_io_map) {0};
    front_evtchn = back_evtchn = (struct xen_io_evtchn) {0};
    close_all();
}

/* ---- pages ---- */

static void shared_pages_are_zeroed_and_contiguous_for_both(void) {
    uint32_t refs[3];
    void *ours, *theirs;

    open_all();
    CHECK_EQ(xen_io_share_pages(&share, 3, true, &ours, refs), 0);
    CHECK_EQ(xen_io_map_pages(&map, 3, refs, true, &theirs), 0);
    for (size_t i = 0; i < 3 * XEN_IO_PAGE_BYTES; i++)
        if (!CHECK_EQ(((char *) ours)[i], 0))
            break;
    memset(ours, 1, 3 * XEN_IO_PAGE_BYTES);
    CHECK(memcmp(ours, theirs, 3 * XEN_IO_PAGE_BYTES) == 0);
    memset(theirs, 2, 3 * XEN_IO_PAGE_BYTES);
    CHECK(memcmp(ours, theirs, 3 * XEN_IO_PAGE_BYTES) == 0);
    xen_io_unmap_pages(&map, theirs, 3);
    xen_io_unshare_pages(&share, ours, 3);
    close_all();
}

static void giving_back_nothing_is_safe(void) {
    open_all();
    xen_io_unmap_pages(&map, NULL, 7);
    xen_io_unshare_pages(&share, NULL, 7);
    close_all();
}

static void a_read_only_grant_maps_read_only(void) {
    uint32_t ref;
    void *ours, *theirs;

    open_all();
    CHECK_EQ(xen_io_share_pages(&share, 1, false, &ours, &ref), 0);
    CHECK_EQ(xen_io_map_pages(&map, 1, &ref, true, &theirs), -EINVAL);
    CHECK(theirs == NULL);
    CHECK_EQ(xen_io_map_pages(&map, 1, &ref, false, &theirs), 0);
    xen_io_unmap_pages(&map, theirs, 1);
    xen_io_unshare_pages(&share, ours, 1);
    close_all();
}

static void grants_are_for_their_domain_and_time_only(void) {
    struct xen_io_map other = {0};
    uint32_t refs[2], nonsense[] = {0, 7, UINT32_MAX};
    void *ours, *theirs;

    open_all();
    CHECK_EQ(xen_io_share_pages(&share, 2, true, &ours, refs), 0);
    fake_xen_set_domain(6);
    CHECK_EQ(xen_io_map_open(&other, FRONTEND), 0);
    CHECK_EQ(xen_io_map_pages(&other, 2, refs, false, &theirs), -EINVAL);
    xen_io_map_close(&other);
    for (size_t i = 0; i < N_ELEMENTS(nonsense); i++)
        CHECK_EQ(xen_io_map_pages(&map, 1, &nonsense[i], false, &theirs), -EINVAL);
    fake_xen_revoke(refs[1]);
    CHECK_EQ(xen_io_map_pages(&map, 2, refs, false, &theirs), -EINVAL);
    CHECK_EQ(xen_io_map_pages(&map, 1, refs, false, &theirs), 0);
    xen_io_unshare_pages(&share, ours, 2);
    CHECK_EQ(*(volatile char *) theirs, 0); /* what is mapped outlives the grant */
    xen_io_unmap_pages(&map, theirs, 1);
    CHECK_EQ(xen_io_map_pages(&map, 1, refs, false, &theirs), -EINVAL);
    close_all();
}

static void senseless_counts_are_refused(void) {
    static const size_t counts[] = {0, (size_t) INT_MAX + 1, SIZE_MAX};
    uint32_t ref = 8;
    void *pages = &ref;

    open_all();
    for (size_t i = 0; i < N_ELEMENTS(counts); i++) {
        CHECK_ROW("%zu pages", counts[i]);
        CHECK_EQ(xen_io_share_pages(&share, counts[i], true, &pages, &ref), -EINVAL);
        CHECK_EQ(xen_io_map_pages(&map, counts[i], &ref, true, &pages), -EINVAL);
        CHECK(pages == NULL);
    }
    CHECK_EQ(xen_io_share_page_alive(&share, XEN_IO_PAGE_BYTES, &pages, &ref), -EINVAL);
    close_all();
}

static void the_alive_octet_is_cleared_at_the_end(void) {
    for (int killed = 0; killed < 2; killed++) {
        uint32_t ref;
        void *ours, *theirs;

        CHECK_ROW(killed ? "killed" : "unshared");
        open_all();
        CHECK_EQ(xen_io_share_page_alive(&share, 20, &ours, &ref), 0);
        CHECK_EQ(xen_io_map_pages(&map, 1, &ref, false, &theirs), 0);
        memset(ours, 1, XEN_IO_PAGE_BYTES);
        CHECK_EQ(((volatile char *) theirs)[20], 1);
        if (killed) {
            fake_xen_kill(FRONTEND);
            share.handle = front_evtchn.handle = NULL;
        } else {
            xen_io_unshare_pages(&share, ours, 1);
        }
        CHECK_EQ(((volatile char *) theirs)[19], 1);
        CHECK_EQ(((volatile char *) theirs)[20], 0);
        xen_io_unmap_pages(&map, theirs, 1);
        close_all();
    }
}

/* ---- event channels ---- */

/* A channel between the two domains; the first event, which Xen gives at binding, has been taken. */
static void connect_ports(int *front_port, int *back_port) {
    *front_port = xen_io_evtchn_bind_unbound(&front_evtchn, BACKEND);
    CHECK(*front_port > 0);
    *back_port = xen_io_evtchn_bind_interdomain(&back_evtchn, FRONTEND, (uint32_t) *front_port);
    CHECK(*back_port > 0);
    CHECK_EQ(xen_io_evtchn_pending(&back_evtchn), *back_port);
    CHECK_EQ(xen_io_evtchn_unmask(&back_evtchn, (uint32_t) *back_port), 0);
}

static bool is_readable(const struct xen_io_evtchn *evtchn) {
    struct pollfd item = {.fd = xen_io_evtchn_fd(evtchn), .events = POLLIN};

    return poll(&item, 1, 0) == 1;
}

static void pending_never_blocks(void) {
    open_all();
    CHECK(fcntl(xen_io_evtchn_fd(&back_evtchn), F_GETFL) & O_NONBLOCK);
    CHECK_EQ(xen_io_evtchn_pending(&back_evtchn), -EAGAIN);
    close_all();
}

static void notifications_coalesce_and_come_again_after_unmask(void) {
    int front_port, back_port;

    open_all();
    connect_ports(&front_port, &back_port);
    CHECK(!is_readable(&back_evtchn));
    for (int i = 0; i < 3; i++)
        CHECK_EQ(xen_io_evtchn_notify(&front_evtchn, (uint32_t) front_port), 0);
    CHECK(is_readable(&back_evtchn));
    CHECK_EQ(xen_io_evtchn_pending(&back_evtchn), back_port);
    CHECK_EQ(xen_io_evtchn_pending(&back_evtchn), -EAGAIN);
    CHECK_EQ(xen_io_evtchn_unmask(&back_evtchn, (uint32_t) back_port), 0);
    CHECK_EQ(xen_io_evtchn_pending(&back_evtchn),
             back_port); /* the second and third, which came while masked */
    CHECK_EQ(xen_io_evtchn_unmask(&back_evtchn, (uint32_t) back_port), 0);
    CHECK_EQ(xen_io_evtchn_pending(&back_evtchn), -EAGAIN);
    CHECK_EQ(xen_io_evtchn_notify(&back_evtchn, (uint32_t) back_port), 0);
    CHECK_EQ(xen_io_evtchn_pending(&front_evtchn), front_port);
    close_all();
}

static void a_port_binds_once_and_for_its_peer_only(void) {
    int front_port, back_port;

    open_all();
    front_port = xen_io_evtchn_bind_unbound(&front_evtchn, 7);
    CHECK_EQ(xen_io_evtchn_bind_interdomain(&back_evtchn, FRONTEND, (uint32_t) front_port), -EINVAL);
    CHECK_EQ(xen_io_evtchn_bind_interdomain(&back_evtchn, FRONTEND, 0), -EINVAL);
    CHECK_EQ(xen_io_evtchn_bind_interdomain(&back_evtchn, FRONTEND, UINT32_MAX), -EINVAL);
    connect_ports(&front_port, &back_port);
    CHECK_EQ(xen_io_evtchn_bind_interdomain(&back_evtchn, FRONTEND, (uint32_t) front_port), -EINVAL);
    close_all();
}

static void the_end_of_a_peer_is_silent(void) {
    int front_port, back_port;

    open_all();
    connect_ports(&front_port, &back_port);
    xen_io_evtchn_unbind(&front_evtchn, (uint32_t) front_port);
    CHECK_EQ(xen_io_evtchn_notify(&back_evtchn, (uint32_t) back_port), 0);
    CHECK_EQ(xen_io_evtchn_pending(&back_evtchn), -EAGAIN);
    CHECK_EQ(xen_io_evtchn_notify(&front_evtchn, (uint32_t) front_port), -ENOTCONN);
    xen_io_evtchn_unbind(&back_evtchn, (uint32_t) back_port);
    CHECK_EQ(fake_xen_usage().ports, 0);
    close_all();
}

static void *notify_once(void *port) {
    xen_io_evtchn_notify(&front_evtchn, *(uint32_t *) port);
    return NULL;
}

static void poll_wakes_for_a_notification_of_another_thread(void) {
    struct pollfd item = {.events = POLLIN};
    int front_port, back_port;
    pthread_t thread;

    open_all();
    connect_ports(&front_port, &back_port);
    item.fd = xen_io_evtchn_fd(&back_evtchn);
    CHECK_EQ(pthread_create(&thread, NULL, notify_once, &front_port), 0);
    CHECK_EQ(poll(&item, 1, WAIT_MS), 1);
    CHECK_EQ(xen_io_evtchn_pending(&back_evtchn), back_port);
    pthread_join(thread, NULL);
    close_all();
}

/* ---- every call's failure comes back as its errno, and nothing leaks ---- */

static int share_open(void) {
    return xen_io_share_open(&share, BACKEND);
}

static int share_two_pages(void) {
    uint32_t refs[2];
    void *pages;
    int r = xen_io_share_pages(&share, 2, true, &pages, refs);

    CHECK(pages == NULL || r == 0);
    xen_io_unshare_pages(&share, pages, 2);
    return r;
}

static int share_alive_page(void) {
    uint32_t ref;
    void *page;
    int r = xen_io_share_page_alive(&share, 20, &page, &ref);

    CHECK(page == NULL || r == 0);
    xen_io_unshare_pages(&share, page, 1);
    return r;
}

static int map_open(void) {
    return xen_io_map_open(&map, FRONTEND);
}

static int map_one_page(void) {
    uint32_t ref;
    void *ours, *theirs;
    int r;

    CHECK_EQ(xen_io_share_pages(&share, 1, true, &ours, &ref), 0);
    r = xen_io_map_pages(&map, 1, &ref, true, &theirs);
    CHECK(theirs == NULL || r == 0);
    xen_io_unmap_pages(&map, theirs, 1);
    xen_io_unshare_pages(&share, ours, 1);
    return r;
}

static int evtchn_open(void) {
    return xen_io_evtchn_open(&front_evtchn);
}

static int bind_unbound(void) {
    return xen_io_evtchn_bind_unbound(&front_evtchn, BACKEND);
}

static int bind_interdomain(void) {
    int port = xen_io_evtchn_bind_unbound(&front_evtchn, BACKEND);

    return xen_io_evtchn_bind_interdomain(&back_evtchn, FRONTEND, (uint32_t) port);
}

static int notify(void) {
    int front_port, back_port;

    connect_ports(&front_port, &back_port);
    return xen_io_evtchn_notify(&front_evtchn, (uint32_t) front_port);
}

static int pending(void) {
    return xen_io_evtchn_pending(&front_evtchn);
}

static int unmask(void) {
    return xen_io_evtchn_unmask(&front_evtchn, 1);
}

struct failure {
    const char *title;
    enum fake_xen_call call;
    int (*run)(void);
    bool opens; /* run opens a handle itself, so that none is open before */
};

static const struct failure failures[] = {
    {"share_open", FAKE_XEN_SHARE_OPEN, share_open, true},
    {"map_open", FAKE_XEN_MAP_OPEN, map_open, true},
    {"evtchn_open", FAKE_XEN_EVTCHN_OPEN, evtchn_open, true},
    {"share_pages", FAKE_XEN_SHARE_PAGES, share_two_pages, false},
    {"share_page_alive", FAKE_XEN_SHARE_PAGES, share_alive_page, false},
    {"map_pages", FAKE_XEN_MAP_PAGES, map_one_page, false},
    {"bind_unbound", FAKE_XEN_BIND_UNBOUND, bind_unbound, false},
    {"bind_interdomain", FAKE_XEN_BIND_INTERDOMAIN, bind_interdomain, false},
    {"notify", FAKE_XEN_NOTIFY, notify, false},
    {"pending", FAKE_XEN_PENDING, pending, false},
    {"unmask", FAKE_XEN_UNMASK, unmask, false},
};

static void a_failing_call_gives_its_errno_and_leaks_nothing(void) {
    static const struct {
        int error, result;
    } errors[] = {{ENOENT, -ENOENT}, {EACCES, -EACCES}, {ENOMEM, -ENOMEM}, {0, -EIO}};

    for (size_t i = 0; i < N_ELEMENTS(failures) * N_ELEMENTS(errors); i++) {
        const struct failure *failure = &failures[i / N_ELEMENTS(errors)];

        CHECK_ROW("%s with errno %d", failure->title, errors[i % N_ELEMENTS(errors)].error);
        if (!failure->opens)
            open_all();
        fake_xen_fail(failure->call, 1, errors[i % N_ELEMENTS(errors)].error);
        CHECK_EQ(failure->run(), errors[i % N_ELEMENTS(errors)].result);
        close_all();
    }
}

static void an_event_channel_without_descriptor_is_closed_again(void) {
    fake_xen_fail(FAKE_XEN_EVTCHN_FD, 1, EBADF);
    CHECK_EQ(xen_io_evtchn_open(&front_evtchn), -EBADF);
    CHECK(front_evtchn.handle == NULL);
    CHECK_EQ(fake_xen_leaks(), 0);
}

static void a_handle_of_before_a_resume_is_left_alone(void) {
    int front_port, back_port;

    open_all();
    connect_ports(&front_port, &back_port);
    fake_xen_resume(FRONTEND);
    xen_io_evtchn_abandon(&front_evtchn);
    CHECK(front_evtchn.handle == NULL);
    xen_io_evtchn_abandon(&front_evtchn);
    CHECK_EQ(xen_io_evtchn_notify(&back_evtchn, (uint32_t) back_port), 0);
    CHECK_EQ(fake_xen_usage().ports, 2); /* closed by nobody, as close_all sees as well */
    fake_xen_kill(FRONTEND);
    share.handle = NULL;
    close_all();
}

static void what_is_not_given_back_is_counted(void) {
    uint32_t refs[2];
    void *ours, *theirs;
    struct fake_xen_usage usage;
    int front_port, back_port;

    open_all();
    CHECK_EQ(xen_io_share_pages(&share, 2, true, &ours, refs), 0);
    CHECK_EQ(xen_io_map_pages(&map, 1, refs, true, &theirs), 0);
    connect_ports(&front_port, &back_port);
    usage = fake_xen_usage();
    CHECK_EQ(usage.handles, 4);
    CHECK_EQ(usage.shared_pages, 2);
    CHECK_EQ(usage.mapped_pages, 1);
    CHECK_EQ(usage.ports, 2);
    CHECK_EQ(usage.misuses, 0);
    fake_xen_kill(FRONTEND);
    share.handle = front_evtchn.handle = NULL;
    usage = fake_xen_usage();
    CHECK_EQ(usage.handles, 2);
    CHECK_EQ(usage.shared_pages, 0);
    CHECK_EQ(usage.mapped_pages, 1);
    CHECK_EQ(usage.ports, 1);
    xen_io_unmap_pages(&map, theirs, 1);
    close_all();
}

int main(void) {
    static const struct check_test tests[] = {
        {"closing what was never open is safe", closing_what_was_never_open_is_safe},
        {"shared pages are zeroed, and contiguous on both sides",
         shared_pages_are_zeroed_and_contiguous_for_both},
        {"giving back nothing is safe", giving_back_nothing_is_safe},
        {"a read-only grant maps read-only", a_read_only_grant_maps_read_only},
        {"grants are for their domain and their time only", grants_are_for_their_domain_and_time_only},
        {"senseless counts are refused", senseless_counts_are_refused},
        {"the alive octet is cleared when its owner ends", the_alive_octet_is_cleared_at_the_end},
        {"pending never blocks", pending_never_blocks},
        {"notifications coalesce and come again after unmask",
         notifications_coalesce_and_come_again_after_unmask},
        {"a port binds once and for its peer only", a_port_binds_once_and_for_its_peer_only},
        {"the end of a peer is silent", the_end_of_a_peer_is_silent},
        {"poll wakes for a notification of another thread", poll_wakes_for_a_notification_of_another_thread},
        {"a failing call gives its errno and leaks nothing",
         a_failing_call_gives_its_errno_and_leaks_nothing},
        {"an event channel without descriptor is closed again",
         an_event_channel_without_descriptor_is_closed_again},
        {"a handle of before a resume is left alone", a_handle_of_before_a_resume_is_left_alone},
        {"the fake counts what is not given back", what_is_not_given_back_is_counted},
    };

    return check_main("xen-io", tests, N_ELEMENTS(tests));
}
