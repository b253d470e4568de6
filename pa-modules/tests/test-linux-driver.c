/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "linux-driver.h"

#include <errno.h>

#include "check.h"
#include "fake-xen.h"
#include "scripted-peer.h"

#define FRONTEND 5u
#define BACKEND 0u
#define WAIT_MS 10000

static struct linux_driver driver;
static struct scripted_peer peer;

static void set_up(void) {
    fake_xen_set_domain(FRONTEND);
    CHECK_EQ(linux_driver_connect(&driver, BACKEND), 0);
    CHECK(scripted_peer_start(&peer, BACKEND, FRONTEND, &driver.transport));
}

static void tear_down(void) {
    scripted_peer_stop(&peer);
    linux_driver_disconnect(&driver);
    CHECK_EQ(fake_xen_leaks(), 0);
}

/* A stream of s16 stereo that runs. */
static void start_stream(uint32_t buffer_frames, uint32_t period_frames) {
    struct linux_hw hw = {buffer_frames, period_frames, 48000, XENSND_PCM_FORMAT_S16_LE, 2};

    linux_driver_open(&driver);
    CHECK_EQ(linux_driver_hw_params(&driver, &hw), 0);
    CHECK_EQ(linux_driver_prepare(&driver), 0);
    CHECK_EQ(linux_driver_trigger(&driver, XENSND_OP_TRIGGER_START), 0);
}

/* Sends an event and lets the driver take it. */
static void move_to(uint64_t position_frames) {
    unsigned before = driver.events_accepted + driver.events_dropped + driver.oopses;
    int64_t end_ms = linux_now_ms() + WAIT_MS;

    CHECK(scripted_peer_send(&peer, position_frames));
    while (driver.events_accepted + driver.events_dropped + driver.oopses == before &&
           linux_now_ms() < end_ms)
        linux_driver_poll(&driver, WAIT_MS);
    CHECK(driver.events_accepted + driver.events_dropped + driver.oopses > before);
}

/* ---- reference 2.6, item 6 ---- */

static void only_more_than_a_period_is_a_period(void) {
    static const struct {
        const char *title;
        uint32_t first, step, events; /* frames; over 40 periods of 480 */
        unsigned periods;
    } rows[] = {
        {"an event each period", 480, 480, 40, 20},
        {"an event each half period", 240, 240, 80, 39},
        {"an event each quarter", 120, 120, 160, 39},
        {"an event a frame past each period", 481, 480, 40, 40},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        CHECK_ROW("%s", rows[i].title);
        set_up();
        start_stream(960, 480);
        for (uint32_t n = 0; n < rows[i].events; n++)
            move_to(rows[i].first + (uint64_t) n * rows[i].step);
        CHECK_EQ(driver.events_accepted, rows[i].events);
        CHECK_EQ(driver.periods, rows[i].periods);
        tear_down();
    }
}

/* ---- item 5 ---- */

static void a_skipped_event_id_deafens_the_stream(void) {
    set_up();
    start_stream(960, 480);
    for (unsigned n = 1; n <= 7; n++) { /* ids 0, 1, 3, 4, 5, 6, 7 */
        if (n == 3)
            scripted_peer_skip_id(&peer);
        move_to(n * 100);
    }
    CHECK_EQ(driver.events_accepted, 2);
    CHECK_EQ(driver.events_dropped, 5);
    CHECK_EQ(driver.hw_ptr_frames, 200);
    tear_down();
}

static void event_ids_go_on_over_a_reopen(void) {
    set_up();
    start_stream(960, 480);
    move_to(100);
    CHECK_EQ(linux_driver_hw_free(&driver), 0);
    linux_driver_close(&driver);
    start_stream(960, 480);
    move_to(200); /* the backend's id 1 */
    CHECK_EQ(driver.events_accepted, 2);
    CHECK_EQ(driver.hw_ptr_frames, 200);
    tear_down();
}

/* ---- item 9 ---- */

static void a_restart_is_aligned_by_rounding_up(void) {
    static const struct {
        const char *title;
        uint64_t position_frames;
        uint32_t hw_ptr_frames;
    } rows[] = {
        {"rounded up to the next buffer", 1920, 0},
        {"back to 0", 0, 256}, /* -1780 modulo 2^64, and 820, modulo 960 */
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        CHECK_ROW("%s", rows[i].title);
        set_up();
        start_stream(960, 480);
        move_to(960 + 820);
        CHECK_EQ(driver.hw_ptr_frames, 820);
        CHECK_EQ(linux_driver_trigger(&driver, XENSND_OP_TRIGGER_STOP), 0);
        move_to(rows[i].position_frames);
        CHECK_EQ(driver.hw_ptr_frames, rows[i].hw_ptr_frames);
        CHECK_EQ(linux_driver_prepare(&driver), 0); /* changes nothing */
        CHECK_EQ(driver.hw_ptr_frames, rows[i].hw_ptr_frames);
        tear_down();
    }
}

/* ---- events at the wrong time ---- */

static void events_for_a_closed_device_wait_in_the_page(void) {
    set_up();
    start_stream(960, 480);
    CHECK_EQ(linux_driver_hw_free(&driver), 0);
    linux_driver_close(&driver);
    CHECK(scripted_peer_send(&peer, 100));
    while (linux_driver_poll(&driver, 0) > 0)
        continue;
    CHECK_EQ(driver.events_accepted, 0);
    CHECK_EQ(driver.evt_page->in_prod - driver.evt_page->in_cons, 1);
    start_stream(960, 480);
    move_to(200); /* both are taken now, and the first is a position of the stream before */
    CHECK_EQ(driver.events_accepted, 2);
    tear_down();
}

static void an_event_before_hw_params_would_crash_the_guest(void) {
    set_up();
    linux_driver_open(&driver);
    move_to(0);
    CHECK_EQ(driver.oopses, 1);
    tear_down();
}

/* ---- requests ---- */

static void requests_are_as_the_driver_sends_them(void) {
    struct linux_hw hw = {1000, 250, 44100, XENSND_PCM_FORMAT_S16_LE, 2};
    struct xensnd_req req;
    char data[400];

    memset(data, 0x77, sizeof(data));
    set_up();
    linux_driver_open(&driver);
    CHECK_EQ(linux_driver_hw_params(&driver, &hw), 0);
    CHECK_EQ(linux_driver_prepare(&driver), 0);
    CHECK_EQ(linux_driver_prepare(&driver), 0); /* asks nothing again */
    CHECK_EQ(linux_driver_write(&driver, 900, data, 100), 0);
    CHECK_EQ(linux_driver_trigger(&driver, XENSND_OP_TRIGGER_START), 0);
    req = scripted_peer_request(&peer, 0);
    CHECK_EQ(req.id, 0);
    CHECK_EQ(req.operation, XENSND_OP_OPEN);
    CHECK_EQ(req.op.open.pcm_rate, 44100);
    CHECK_EQ(req.op.open.pcm_format, XENSND_PCM_FORMAT_S16_LE);
    CHECK_EQ(req.op.open.pcm_channels, 2);
    CHECK_EQ(req.op.open.buffer_sz, 4000);
    CHECK_EQ(req.op.open.period_sz, 1000);
    CHECK_EQ(req.op.open.gref_directory, driver.shbuf.gref_directory);
    CHECK(req.reserved[0] != 0 && req.op.open.reserved != 0 && req.op.reserved[55] != 0);
    req = scripted_peer_request(&peer, 1);
    CHECK_EQ(req.id, 1);
    CHECK_EQ(req.operation, XENSND_OP_WRITE);
    CHECK_EQ(req.op.rw.offset, 3600);
    CHECK_EQ(req.op.rw.length, 400);
    CHECK(memcmp((char *) driver.shbuf.data + 3600, data, 400) == 0);
    CHECK_EQ(scripted_peer_request(&peer, 2).op.trigger.type, XENSND_OP_TRIGGER_START);
    tear_down();
}

static void a_read_gives_what_the_backend_put_there(void) {
    struct linux_hw hw = {1000, 250, 44100, XENSND_PCM_FORMAT_S16_LE, 2};
    char data[400];

    set_up();
    linux_driver_open(&driver);
    CHECK_EQ(linux_driver_hw_params(&driver, &hw), 0);
    CHECK_EQ(linux_driver_prepare(&driver), 0);
    memset((char *) driver.shbuf.data + 3600, 0x77, 400);
    CHECK_EQ(linux_driver_read(&driver, 900, data, 100), 0);
    CHECK_EQ(data[0], 0x77);
    CHECK_EQ(data[399], 0x77);
    CHECK_EQ(scripted_peer_request(&peer, 1).operation, XENSND_OP_READ);
    CHECK_EQ(scripted_peer_request(&peer, 1).op.rw.offset, 3600);
    CHECK_EQ(scripted_peer_request(&peer, 1).op.rw.length, 400);
    peer.status[XENSND_OP_READ] = -EINVAL;
    memset(data, 0, sizeof(data));
    CHECK_EQ(linux_driver_read(&driver, 900, data, 100), -EINVAL);
    CHECK_EQ(data[0], 0);
    tear_down();
}

static void a_stream_may_be_opened_twice_and_closed_unopened(void) {
    struct linux_hw hw = {1000, 250, 44100, XENSND_PCM_FORMAT_S16_LE, 2};

    set_up();
    linux_driver_open(&driver);
    CHECK_EQ(linux_driver_hw_params(&driver, &hw), 0);
    CHECK_EQ(linux_driver_hw_free(&driver), 0);
    CHECK_EQ(scripted_peer_count(&peer, XENSND_OP_CLOSE), 1);
    CHECK_EQ(scripted_peer_count(&peer, XENSND_OP_OPEN), 0);
    for (int twice = 0; twice < 2; twice++) {
        CHECK_EQ(linux_driver_hw_params(&driver, &hw), 0);
        CHECK_EQ(linux_driver_prepare(&driver), 0);
    }
    CHECK_EQ(scripted_peer_count(&peer, XENSND_OP_CLOSE), 1);
    CHECK_EQ(scripted_peer_count(&peer, XENSND_OP_OPEN), 2);
    CHECK_EQ(scripted_peer_request(&peer, 1).id, 0); /* ids restart at each hw_params */
    CHECK_EQ(scripted_peer_request(&peer, 2).id, 0);
    tear_down();
}

static void a_request_without_answer_times_out_and_a_late_answer_is_dropped(void) {
    struct linux_hw hw = {1000, 250, 44100, XENSND_PCM_FORMAT_S16_LE, 2};
    struct xensnd_req req;

    set_up();
    CHECK_EQ(driver.wait_ms, 3000);
    driver.wait_ms = 50;
    peer.unanswered = 1 << XENSND_OP_OPEN;
    linux_driver_open(&driver);
    CHECK_EQ(linux_driver_hw_params(&driver, &hw), 0);
    CHECK_EQ(linux_driver_prepare(&driver), -ETIMEDOUT);
    CHECK(!driver.is_open);
    driver.wait_ms = WAIT_MS;
    CHECK(scripted_peer_await(&peer, XENSND_OP_OPEN, 1, WAIT_MS));
    req = scripted_peer_request(&peer, 0);
    scripted_peer_answer(&peer, &req);
    CHECK_EQ(linux_driver_trigger(&driver, XENSND_OP_TRIGGER_STOP), 0);
    CHECK_EQ(driver.stray_answers, 1);
    tear_down();
}

static void the_backends_status_comes_back(void) {
    struct linux_hw hw = {1000, 250, 44100, XENSND_PCM_FORMAT_S16_LE, 2};
    struct xensnd_query_hw_param param = {.formats = 4};

    set_up();
    peer.status[XENSND_OP_OPEN] = -EBUSY;
    peer.status[XENSND_OP_HW_PARAM_QUERY] = 1;
    linux_driver_open(&driver);
    CHECK_EQ(linux_driver_query(&driver, &param), 1);
    CHECK_EQ(driver.uninitialised_answers, 1);
    CHECK_EQ(linux_driver_hw_params(&driver, &hw), 0);
    CHECK_EQ(linux_driver_prepare(&driver), -EBUSY);
    CHECK(!driver.is_open);
    tear_down();
}

static void a_failed_connect_leaves_nothing(void) {
    static const struct {
        enum fake_xen_call call;
        unsigned nth;
    } rows[] = {
        {FAKE_XEN_SHARE_OPEN, 1},  {FAKE_XEN_EVTCHN_OPEN, 1},  {FAKE_XEN_SHARE_PAGES, 1},
        {FAKE_XEN_SHARE_PAGES, 2}, {FAKE_XEN_BIND_UNBOUND, 1}, {FAKE_XEN_BIND_UNBOUND, 2},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        CHECK_ROW("row %zu", i);
        fake_xen_fail(rows[i].call, rows[i].nth, EPERM);
        CHECK_EQ(linux_driver_connect(&driver, BACKEND), -EPERM);
        CHECK_EQ(fake_xen_leaks(), 0);
    }
}

int main(void) {
    static const struct check_test tests[] = {
        {"only more than a period is a period", only_more_than_a_period_is_a_period},
        {"a skipped event id deafens the stream", a_skipped_event_id_deafens_the_stream},
        {"event ids go on over a reopen", event_ids_go_on_over_a_reopen},
        {"a restart is aligned by rounding up, and not by going back to 0",
         a_restart_is_aligned_by_rounding_up},
        {"events for a closed device wait in the page", events_for_a_closed_device_wait_in_the_page},
        {"an event before hw_params would crash the guest", an_event_before_hw_params_would_crash_the_guest},
        {"requests are as the driver sends them", requests_are_as_the_driver_sends_them},
        {"a read gives what the backend put there", a_read_gives_what_the_backend_put_there},
        {"a stream may be opened twice, and closed unopened",
         a_stream_may_be_opened_twice_and_closed_unopened},
        {"a request without answer times out, and a late answer is dropped",
         a_request_without_answer_times_out_and_a_late_answer_is_dropped},
        {"the backend's status comes back", the_backends_status_comes_back},
        {"a failed connect leaves nothing behind", a_failed_connect_leaves_nothing},
    };

    return check_main("linux-driver", tests, N_ELEMENTS(tests));
}
