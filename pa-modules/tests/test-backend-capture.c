/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-backend.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "check.h"
#include "fake-server.h"
#include "fake-xen.h"
#include "linux-model.h"
#include "sndif-frontend.h"

/* A capture stream of the backend's thread against the model of Linux's driver, and against frontends that
 * misbehave. Simulated time is in test-capture.c. */

#define RATE                                                                                                 \
    8000u /* so that 64 KiB are two seconds, which outlast the stalls of a busy machine: these threads are real */
#define GUEST 5u
#define FRAME 4u
#define MS_FRAMES(ms) ((uint32_t) (ms) * RATE / 1000u)
#define BUFFER_BYTES 65536u
#define GOT_MAX (RATE * 20u)
/* A machine that stalls for so long makes a source stall. */
#define BUSY_USEC 90000u

static struct sndif_backend_config config_of(const struct linux_transport *t) {
    return (struct sndif_backend_config) {
        .domid = GUEST,
        .ring_ref = t->ring_ref,
        .event_channel = t->req_port,
        .evt_ring_ref = t->evt_ring_ref,
        .evt_event_channel = t->evt_port,
        .caps = fake_server_caps(),
        .capture = true,
        .linux_quirks = true,
    };
}

/* ---- Linux ---- */

static struct linux_model model;
static struct fake_server server;
static uint32_t got[GOT_MAX]; /* frames that arecord has read */
static size_t got_frames;

static bool linux_start(uint64_t block_usec, bool allowed) {
    struct sndif_backend_config config;
    const char *what = "";

    got_frames = 0;
    fake_xen_set_domain(GUEST);
    if (!CHECK_EQ(linux_model_connect(&model, 0), 0))
        return false;
    config = config_of(&model.driver.transport);
    if (!CHECK_EQ(fake_server_start(&server, &config, block_usec, &what), 0))
        return false;
    atomic_store(&server.allowed, allowed);
    return CHECK_EQ(linux_model_open_capture(&model), 0);
}

static void linux_set_up(uint32_t period_ms, uint32_t periods) {
    const struct linux_hw hw = {.buffer_frames = MS_FRAMES(period_ms * periods),
                                .period_frames = MS_FRAMES(period_ms),
                                .rate = RATE,
                                .format = XENSND_PCM_FORMAT_S16_LE,
                                .channels = 2};

    CHECK_EQ(linux_model_hw_params(&model, &hw), 0);
    CHECK_EQ(linux_model_prepare(&model), 0);
}

/* What holds at the end of every conversation with the driver. */
static void linux_end(void) {
    CHECK_EQ(linux_model_close(&model), 0);
    CHECK(fake_server_await_as(&server.active, false));
    CHECK_EQ(model.driver.events_dropped, 0);
    CHECK_EQ(model.driver.oopses, 0);
    CHECK_EQ(model.driver.uninitialised_answers, 0);
    CHECK_EQ(model.driver.stray_answers, 0);
    fake_server_stop(&server);
    linux_model_disconnect(&model);
    CHECK_EQ(fake_xen_leaks(), 0);
}

/* Reads as arecord does, a period at a time; false on an error. */
static bool record(uint32_t frames) {
    const uint32_t period = model.driver.hw.period_frames;

    while (frames > 0) {
        const uint32_t n = frames < period ? frames : period;

        if (!CHECK(got_frames + n <= GOT_MAX) || linux_model_read(&model, got + got_frames, n) != n)
            return false;
        got_frames += n;
        frames -= n;
    }
    return true;
}

static bool is_silence(const uint32_t *frames, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (frames[i] != 0)
            return false;
    return true;
}

/* From frame `from` on: silence, then n, n + 1, …; how many of those there are. */
static size_t numbers_after(size_t from, size_t *silent) {
    size_t i = from, first;

    while (i < got_frames && got[i] == 0)
        i++;
    *silent = i - from;
    for (first = i; i < got_frames && got[i] == got[first] + (i - first);)
        i++;
    return i - first;
}

/* All that was read is a beginning of silence and then what the source captured, without a gap. */
static void check_exact(size_t from, size_t silent_max) {
    size_t silent, samples = numbers_after(from, &silent);

    if (atomic_load(&server.late_usec) > BUSY_USEC) {
        printf("    the machine was %llu ms late: a gap would be its own\n",
               (unsigned long long) atomic_load(&server.late_usec) / 1000);
        return;
    }
    CHECK(silent <= silent_max);
    CHECK_EQ(samples, got_frames - from - silent);
}

static void linux_records_exactly(void) {
    static const struct {
        uint32_t period_ms, periods, block_ms;
    } rows[] = {{500, 2, 5}, {500, 2, 50}, {250, 8, 20}, {400, 4, 100}};

    for (size_t r = 0; r < N_ELEMENTS(rows); r++) {
        CHECK_ROW("%u periods of %u ms, block %u ms", rows[r].periods, rows[r].period_ms, rows[r].block_ms);
        if (!linux_start(rows[r].block_ms * 1000, true))
            return;
        linux_set_up(rows[r].period_ms, rows[r].periods);
        CHECK(record(RATE * 2));
        check_exact(0, MS_FRAMES(3 * rows[r].block_ms + 50));
        CHECK_EQ(model.xruns, 0);
        CHECK_EQ(model.appl_ptr_frames, RATE * 2);
        linux_end();
        CHECK_EQ(atomic_load(&server.overruns), 0);
    }
}

static void while_denied_linux_hears_silence_in_real_time(void) {
    int64_t began_ms, took_ms;

    if (!linux_start(10000, false))
        return;
    linux_set_up(250, 4);
    began_ms = linux_now_ms();
    CHECK(record(RATE));
    took_ms = linux_now_ms() - began_ms;
    CHECK(took_ms >= 990 && took_ms < 3000);
    CHECK(is_silence(got, got_frames));
    CHECK_EQ(atomic_load(&server.starts), 1);
    CHECK_EQ(atomic_load(&server.pushes), 0); /* no source */
    CHECK(!atomic_load(&server.active));
    CHECK_EQ(model.xruns, 0);
    linux_end();
    CHECK_EQ(atomic_load(&server.overruns), 0);
}

static void leave_is_given_and_taken_while_linux_records(void) {
    size_t silent, samples, from = 0;

    if (!linux_start(10000, false))
        return;
    linux_set_up(100, 8);
    for (unsigned round = 0; round < 3; round++) {
        CHECK_ROW("round %u", round);
        CHECK(record(RATE / 2));
        atomic_store(&server.allowed, true);
        CHECK(record(RATE / 2));
        samples = numbers_after(from, &silent);
        from += silent + samples;
        if (atomic_load(&server.late_usec) < BUSY_USEC) {
            CHECK(silent >= MS_FRAMES(400) && silent <= MS_FRAMES(700));
            CHECK_EQ(from, got_frames);
        }

        atomic_store(&server.allowed, false);
        CHECK(fake_server_await_as(&server.active, false));
        memset(model.driver.shbuf.data, 0, (size_t) model.driver.hw.buffer_frames * FRAME);
        CHECK(record(RATE / 2));
        CHECK(is_silence(got + from, got_frames - from));
        CHECK(is_silence(model.driver.shbuf.data, model.driver.hw.buffer_frames));
        from = got_frames;
    }
    CHECK_EQ(model.xruns, 0);
    CHECK_EQ(atomic_load(&server.opens), 1);
    linux_end();
}

static void linux_recovers_from_an_overrun(void) {
    const struct timespec too_long = {.tv_sec = 1, .tv_nsec = 200000000};

    if (!linux_start(10000, true))
        return;
    linux_set_up(200, 4);
    for (unsigned round = 1; round <= 3; round++) {
        CHECK_ROW("round %u", round);
        CHECK(record(RATE / 2));
        nanosleep(&too_long, NULL);
        CHECK_EQ(linux_model_avail(&model), -EPIPE);
        CHECK_EQ(model.xruns, round);
        CHECK_EQ(model.driver.hw_ptr_frames, 0); /* realigned */
        CHECK_EQ(linux_model_prepare(&model), 0);
        got_frames = 0;
        CHECK(record(RATE));
        check_exact(0, MS_FRAMES(80));
        CHECK_EQ(linux_model_stop(&model), 0);
        CHECK_EQ(linux_model_prepare(&model), 0);
    }
    linux_end();
}

static void linux_suspends_and_opens_twice(void) {
    if (!linux_start(10000, true))
        return;
    linux_set_up(200, 4);
    CHECK(record(RATE / 2));
    CHECK_EQ(linux_model_pause(&model), 0);
    CHECK(fake_server_await_as(&server.active, false)); /* no microphone while the guest is suspended */
    CHECK_EQ(linux_model_prepare(&model), 0);
    got_frames = 0;
    CHECK(record(RATE / 2));
    check_exact(0, MS_FRAMES(80));

    /* hw_params anew: OPEN comes without a CLOSE */
    CHECK_EQ(linux_model_stop(&model), 0);
    linux_set_up(160, 5);
    got_frames = 0;
    CHECK(record(RATE / 2));
    check_exact(0, MS_FRAMES(80));
    CHECK_EQ(atomic_load(&server.opens), 2);
    linux_end();
}

static void a_source_that_stalls_does_not_stall_linux(void) {
    if (!linux_start(5000, true))
        return;
    linux_set_up(200, 4); /* small buffers are tested in simulated time */
    CHECK(record(MS_FRAMES(600)));
    atomic_store(&server.no_source, true);
    CHECK(record(RATE * 2));
    CHECK_EQ(model.xruns, 0);
    CHECK(is_silence(got + got_frames - RATE / 2, RATE / 2));
    linux_end();
}

static void half_of_linux_s_period_is_the_latency_asked_of_the_source(void) {
    if (!linux_start(10000, true))
        return;
    linux_set_up(240, 8);
    CHECK(record(RATE / 4));
    CHECK_EQ(atomic_load(&server.asked_latency_usec), 120000);
    linux_end();
}

/* ---- our own frontend, by hand ---- */

static struct sndif_frontend front;

static bool ours_start(bool allowed) {
    struct sndif_backend_config config;
    const char *what = "";

    fake_xen_set_domain(GUEST);
    if (!CHECK_EQ(sndif_frontend_init(&front, 0, BUFFER_BYTES, &what), 0))
        return false;
    config = config_of(
        &(struct linux_transport) {front.ring_ref, front.evt_ring_ref, front.request_port, front.event_port});
    config.linux_quirks = false;
    config.feature_latency = config.feature_wakeup = config.feature_rewind = config.feature_alive = true;
    if (!CHECK_EQ(fake_server_start(&server, &config, 10000, &what), 0))
        return false;
    atomic_store(&server.allowed, allowed);
    return true;
}

static void ours_end(void) {
    fake_server_stop(&server);
    sndif_frontend_done(&front);
    CHECK_EQ(fake_xen_leaks(), 0);
}

static void ours_wait(int timeout_ms) {
    struct pollfd fd = {.fd = sndif_frontend_fd(&front), .events = POLLIN};

    if (!sndif_frontend_may_not_sleep(&front, false) && poll(&fd, 1, timeout_ms) > 0)
        sndif_frontend_take(&front);
}

/* The answer to one request, or INT32_MAX when none comes. */
static int32_t answer_to(struct xensnd_req req) {
    struct xensnd_resp resp;

    if (!CHECK(sndif_frontend_request(&front, &req)))
        return INT32_MAX;
    for (unsigned i = 0; i < 100; i++) {
        while (sndif_frontend_response(&front, &resp) == SNDIF_RING_GOT)
            if (resp.id == req.id)
                return resp.status;
        ours_wait(50);
    }
    return INT32_MAX;
}

static int32_t answer_to_range(uint8_t operation, uint32_t offset, uint32_t length, uint64_t position) {
    struct xensnd_req req = {.operation = operation, .op.rw = {.offset = offset, .length = length}};

    memcpy((uint8_t *) &req + SNDIF_WRITE_POSITION_OFFSET, &position, sizeof(position));
    return answer_to(req);
}

static int32_t answer_to_trigger(uint8_t type) {
    return answer_to((struct xensnd_req) {.operation = XENSND_OP_TRIGGER, .op.trigger = {.type = type}});
}

static struct xensnd_req open_request(void) {
    return (struct xensnd_req) {.operation = XENSND_OP_OPEN,
                                .op.open = {.pcm_rate = RATE,
                                            .pcm_format = XENSND_PCM_FORMAT_S16_LE,
                                            .pcm_channels = 2,
                                            .buffer_sz = BUFFER_BYTES,
                                            .gref_directory = front.shbuf.gref_directory}};
}

static bool ours_record(bool allowed) {
    return ours_start(allowed) && CHECK_EQ(answer_to(open_request()), 0) &&
           CHECK_EQ(answer_to_trigger(XENSND_OP_TRIGGER_START), 0);
}

/* Waits for the event at the next `bytes`; UINT64_MAX when it does not come. */
static struct sndif_cur_pos next_position(uint64_t wakeup_bytes) {
    struct sndif_cur_pos pos = {.position_bytes = UINT64_MAX};

    sndif_evt_front_set_wakeup(&front.events, wakeup_bytes);
    xen_io_evtchn_notify(&front.evtchn, front.request_port);
    for (unsigned i = 0; i < 60 && sndif_frontend_event(&front, &pos) != SNDIF_RING_GOT; i++)
        ours_wait(50);
    return pos;
}

static uint64_t ours_overruns(void) {
    CHECK_EQ(answer_to((struct xensnd_req) {.operation = XENSND_OP_CLOSE}), 0);
    return atomic_load(&server.overruns);
}

static void ours_is_woken_as_asked_and_reads_by_position(void) {
    uint64_t before = 0;
    uint32_t expected = 0;
    unsigned wakeups;

    if (!ours_record(true))
        return;
    for (wakeups = 1; wakeups <= 10; wakeups++) {
        const struct sndif_cur_pos pos = next_position(before + MS_FRAMES(200) * FRAME);
        const uint32_t length = (uint32_t) (pos.position_bytes - before);
        const uint32_t *frames = front.shbuf.data;

        if (!CHECK(pos.position_bytes >= before + MS_FRAMES(200) * FRAME && length <= BUFFER_BYTES))
            break;
        CHECK(pos.latency_usec < 200000);
        CHECK_EQ(answer_to_range(XENSND_OP_READ, 0, length, before), 0);
        for (uint32_t f = 0; f < length / FRAME; f++) {
            if (expected != 0 && atomic_load(&server.late_usec) < BUSY_USEC && !CHECK_EQ(frames[f], expected))
                break;
            expected = frames[f] != 0 ? frames[f] + 1 : expected;
        }
        before = pos.position_bytes;
    }
    CHECK(expected > MS_FRAMES(1500));
    CHECK(atomic_load(&server.wakes) <= 10); /* of some 200 pushes */
    CHECK(atomic_load(&server.pushes) >= 190);
    CHECK(atomic_load(&server.asked_latency_usec) >= 100000 &&
          atomic_load(&server.asked_latency_usec) < 150000);
    CHECK_EQ(ours_overruns(), 0);
    ours_end();
}

static void short_data_are_zeroed_and_counted(void) {
    struct sndif_cur_pos pos;

    if (!ours_record(true))
        return;
    pos = next_position(MS_FRAMES(100) * FRAME);
    memset(front.shbuf.data, 0xee, BUFFER_BYTES);
    CHECK_EQ(answer_to_range(XENSND_OP_READ, 0, 4096, pos.position_bytes + 100 * BUFFER_BYTES), 0);
    CHECK(is_silence(front.shbuf.data, 1024));
    CHECK_EQ(((uint32_t *) front.shbuf.data)[1024], 0xeeeeeeee); /* and not an octet more */
    CHECK_EQ(ours_overruns(), 1);
    ours_end();
}

static void bad_requests_are_refused_and_harm_nobody(void) {
    static const struct {
        uint32_t offset, length;
    } ranges[] = {{0, 0},
                  {BUFFER_BYTES, 4},
                  {BUFFER_BYTES - 4, 8},
                  {UINT32_MAX - 3, 8},
                  {4, UINT32_MAX - 3},
                  {2, 4},
                  {0, 6},
                  {0, BUFFER_BYTES + 4},
                  {UINT32_MAX, 4},
                  {0, UINT32_MAX}};

    if (!ours_start(true))
        return;
    CHECK_EQ(answer_to_range(XENSND_OP_READ, 0, 4, 0), -XEN_EINVAL); /* before OPEN */
    CHECK_EQ(answer_to(open_request()), 0);
    for (size_t i = 0; i < N_ELEMENTS(ranges); i++) {
        CHECK_ROW("offset %u length %u", ranges[i].offset, ranges[i].length);
        CHECK_EQ(answer_to_range(XENSND_OP_READ, ranges[i].offset, ranges[i].length, 0), -XEN_EINVAL);
    }
    CHECK_ROW("after all that");
    CHECK_EQ(answer_to_range(XENSND_OP_READ, 0, 4, UINT64_MAX), -XEN_EINVAL);
    CHECK_EQ(answer_to_range(XENSND_OP_READ, 0, 8, UINT64_MAX - 3), -XEN_EINVAL);
    CHECK_EQ(answer_to_range(XENSND_OP_READ, 0, 4, 2), -XEN_EINVAL);
    CHECK_EQ(answer_to_range(XENSND_OP_READ, 0, 8, UINT64_MAX - 15), 0); /* far ahead is silence */
    CHECK_EQ(answer_to_range(XENSND_OP_WRITE, 0, 4, 0), -XEN_EINVAL);
    for (uint8_t op = XENSND_OP_SET_VOLUME; op <= XENSND_OP_UNMUTE; op++)
        CHECK_EQ(answer_to_range(op, 0, 8, 0), -XEN_EOPNOTSUPP);
    CHECK_EQ(answer_to_trigger(9), -XEN_EINVAL);
    CHECK_EQ(answer_to_range(XENSND_OP_READ, 0, BUFFER_BYTES, 0), 0);
    CHECK(!atomic_load(&server.broken));
    CHECK_EQ(answer_to_trigger(XENSND_OP_TRIGGER_START), 0);
    CHECK(next_position(400).position_bytes != UINT64_MAX);
    ours_end();
}

static void pages_that_cannot_be_written_are_refused(void) {
    struct sndif_shbuf_front read_only;
    struct xensnd_req req;

    if (!ours_start(true))
        return;
    CHECK_EQ(sndif_shbuf_front_alloc(&read_only, &front.share, BUFFER_BYTES, false), 0);
    req = open_request();
    req.op.open.gref_directory = read_only.gref_directory;
    CHECK(answer_to(req) < 0);
    if (CHECK(fake_server_await(&server.refused)))
        CHECK(strstr(atomic_load(&server.refusal), "cannot be mapped") != NULL);
    CHECK_EQ(answer_to(open_request()), 0);
    sndif_shbuf_front_free(&read_only, &front.share);
    ours_end();
}

static void pages_revoked_while_recording_harm_nobody(void) {
    if (!ours_record(true))
        return;
    for (size_t i = 0; i < front.shbuf.pages; i++)
        fake_xen_revoke(((struct xensnd_page_directory *) front.shbuf.directory)->gref[i]);
    CHECK(next_position(MS_FRAMES(100) * FRAME).position_bytes != UINT64_MAX);
    CHECK_EQ(answer_to_range(XENSND_OP_READ, 0, BUFFER_BYTES, 0), 0);
    CHECK_EQ(answer_to((struct xensnd_req) {.operation = XENSND_OP_CLOSE}), 0);
    CHECK(answer_to(open_request()) < 0);
    CHECK(!atomic_load(&server.broken));
    ours_end();
}

static void a_dead_frontend_ends_the_recording(void) {
    if (!ours_record(true))
        return;
    CHECK(next_position(MS_FRAMES(50) * FRAME).position_bytes != UINT64_MAX);
    CHECK(atomic_load(&server.active));
    sndif_evt_front_set_wakeup(&front.events, MS_FRAMES(500) * FRAME);
    xen_io_evtchn_notify(&front.evtchn, front.request_port);
    fake_xen_kill(GUEST);
    CHECK(fake_server_await(&server.broken));
    CHECK(fake_server_await_as(&server.active, false));
    fake_server_stop(&server);
    CHECK_EQ(fake_xen_leaks(), 0);
}

/* Leave that flickers: never a sample in the pages when the owner says that it is over. */
static void leave_may_come_and_go_at_any_moment(void) {
    unsigned long long seed = 11;

    if (!ours_record(false))
        return;
    for (unsigned i = 0; i < 40; i++) {
        const struct timespec moment = {.tv_nsec = (long) (check_random(&seed) % 40) * 1000000};
        uint64_t end;

        atomic_store(&server.allowed, true);
        nanosleep(&moment, NULL);
        end = 4 * (check_random(&seed) % (RATE * 2));
        CHECK_EQ(answer_to_range(XENSND_OP_READ, 0, 32768, end), 0);
        atomic_store(&server.allowed, false);
        if (!CHECK(fake_server_await_as(&server.active, false)))
            break;
        memset(front.shbuf.data, 0, BUFFER_BYTES);
        for (uint64_t at = 0; at < 4; at++)
            CHECK_EQ(answer_to_range(XENSND_OP_READ, 0, BUFFER_BYTES, at * BUFFER_BYTES), 0);
        if (!CHECK(is_silence(front.shbuf.data, BUFFER_BYTES / FRAME)))
            break;
    }
    CHECK(atomic_load(&server.pushes) > 10);
    ours_end();
}

int main(void) {
    static const struct check_test tests[] = {
        {"Linux records exactly, whatever its periods and the source's blocks", linux_records_exactly},
        {"while denied Linux hears silence in real time", while_denied_linux_hears_silence_in_real_time},
        {"leave is given and taken while Linux records", leave_is_given_and_taken_while_linux_records},
        {"Linux recovers from an overrun", linux_recovers_from_an_overrun},
        {"Linux suspends, and opens twice without closing", linux_suspends_and_opens_twice},
        {"a source that stalls does not stall Linux", a_source_that_stalls_does_not_stall_linux},
        {"half of Linux's period is the latency asked of the source",
         half_of_linux_s_period_is_the_latency_asked_of_the_source},
        {"our frontend is woken as asked, and reads by position",
         ours_is_woken_as_asked_and_reads_by_position},
        {"short data are zeroed and counted", short_data_are_zeroed_and_counted},
        {"bad requests are refused and harm nobody", bad_requests_are_refused_and_harm_nobody},
        {"pages that cannot be written are refused", pages_that_cannot_be_written_are_refused},
        {"pages revoked while recording harm nobody", pages_revoked_while_recording_harm_nobody},
        {"a dead frontend ends the recording", a_dead_frontend_ends_the_recording},
        {"leave may come and go at any moment", leave_may_come_and_go_at_any_moment},
    };

    return check_main("backend-capture", tests, N_ELEMENTS(tests));
}
