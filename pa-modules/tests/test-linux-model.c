/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "linux-model.h"

#include <errno.h>

#include "check.h"
#include "fake-xen.h"
#include "scripted-peer.h"

#define FRONTEND 5u
#define BACKEND 0u
#define WAIT_MS 10000
#define BUFFER 960u
#define PERIOD 480u

static const struct linux_hw hw = {BUFFER, PERIOD, 48000, XENSND_PCM_FORMAT_S16_LE, 2};
/* So slow that waits, which are limited by the time of a buffer, have 10 s. */
static const struct linux_hw slow_hw = {BUFFER, PERIOD, 100, XENSND_PCM_FORMAT_S16_LE, 2};
static const char data[4 * BUFFER * 4];

static struct linux_model model;
static struct scripted_peer peer;

static void set_up(void) {
    fake_xen_set_domain(FRONTEND);
    CHECK_EQ(linux_model_connect(&model, BACKEND), 0);
    CHECK(scripted_peer_start(&peer, BACKEND, FRONTEND, &model.driver.transport));
    CHECK_EQ(linux_model_open(&model), 0);
}

static void tear_down(void) {
    linux_model_disconnect(&model); /* closes while the peer can answer */
    scripted_peer_stop(&peer);
    CHECK_EQ(fake_xen_leaks(), 0);
}

static void prepare_stream_of(const struct linux_hw *params) {
    CHECK_EQ(linux_model_hw_params(&model, params), 0);
    CHECK_EQ(linux_model_prepare(&model), 0);
}

static void prepare_stream(void) {
    prepare_stream_of(&hw);
}

static void play_full_buffer(void) {
    CHECK_EQ(linux_model_write(&model, data, BUFFER), BUFFER);
    CHECK_EQ(model.state, LINUX_RUNNING);
}

static void move_to(uint64_t position_frames) {
    unsigned before = model.driver.events_accepted;
    int64_t end_ms = linux_now_ms() + WAIT_MS;

    CHECK(scripted_peer_send(&peer, position_frames));
    while (model.driver.events_accepted == before && linux_now_ms() < end_ms)
        linux_model_poll(&model, WAIT_MS);
    CHECK(model.driver.events_accepted > before);
}

/* Position events that follow the next START. */
static void script_positions(const uint64_t *frames, size_t count) {
    memset(peer.after_start_frames, 0, sizeof(peer.after_start_frames));
    memcpy(peer.after_start_frames, frames, count * sizeof(*frames));
}

static bool is_trigger(unsigned nth, uint8_t type) {
    struct xensnd_req req = scripted_peer_request(&peer, nth);

    return req.operation == XENSND_OP_TRIGGER && req.op.trigger.type == type;
}

static void five_queries_come_before_the_parameters(void) {
    set_up();
    CHECK_EQ(linux_model_hw_params(&model, &hw), 0);
    CHECK_EQ(scripted_peer_count(&peer, XENSND_OP_HW_PARAM_QUERY), 5);
    CHECK_EQ(model.state, LINUX_SETUP);
    peer.query_buffer_max_frames = BUFFER - 1;
    CHECK_EQ(linux_model_hw_params(&model, &hw), -EINVAL);
    peer.status[XENSND_OP_HW_PARAM_QUERY] = -EINVAL;
    CHECK_EQ(linux_model_hw_params(&model, &hw), -EINVAL);
    peer.status[XENSND_OP_HW_PARAM_QUERY] = 7;
    CHECK_EQ(linux_model_hw_params(&model, &hw), -EPROTO);
    CHECK_EQ(model.driver.uninitialised_answers, 1);
    tear_down();
}

static void data_go_before_start_and_split_at_the_end_of_the_buffer(void) {
    set_up();
    prepare_stream();
    scripted_peer_forget(&peer);
    CHECK_EQ(linux_model_write(&model, data, 900), 900);
    CHECK_EQ(model.state, LINUX_PREPARED);
    CHECK_EQ(linux_model_write(&model, data, 60), 60);
    CHECK_EQ(model.state, LINUX_RUNNING);
    CHECK(is_trigger(2, XENSND_OP_TRIGGER_START));
    move_to(500);
    CHECK_EQ(linux_model_avail(&model), 500);
    CHECK_EQ(linux_model_write(&model, data, 500), 500);
    move_to(900);
    CHECK_EQ(linux_model_write(&model, data, 400), 400);
    CHECK_EQ(scripted_peer_request(&peer, 4).op.rw.offset, 500 * 4);
    CHECK_EQ(scripted_peer_request(&peer, 4).op.rw.length, 400 * 4);
    move_to(1500);
    CHECK_EQ(linux_model_write(&model, data, 200), 200);
    CHECK_EQ(scripted_peer_request(&peer, 5).op.rw.length, 60 * 4); /* then 140 from the start */
    CHECK_EQ(scripted_peer_request(&peer, 6).op.rw.offset, 0);
    CHECK_EQ(scripted_peer_request(&peer, 6).op.rw.length, 140 * 4);
    tear_down();
}

static void a_write_waits_for_room(void) {
    static const uint64_t positions[] = {481, 961, 1441};

    set_up();
    prepare_stream_of(&slow_hw);
    script_positions(positions, N_ELEMENTS(positions));
    model.stop_frames = UINT64_MAX;
    CHECK_EQ(linux_model_write(&model, data, 2 * BUFFER), 2 * BUFFER);
    CHECK_EQ(model.appl_ptr_frames, 2 * BUFFER);
    CHECK(model.wakeups > 0);
    tear_down();
}

static void a_write_without_wakeups_gives_up(void) {
    int64_t start_ms;

    set_up();
    prepare_stream();
    play_full_buffer();
    start_ms = linux_now_ms();
    CHECK_EQ(linux_model_write(&model, data, PERIOD), -EIO);
    CHECK(linux_now_ms() - start_ms >= 100);
    tear_down();
}

static void a_drain_ends_at_a_period_behind_the_last_frame(void) {
    static const uint64_t positions[] = {481, 961};

    set_up();
    prepare_stream_of(&slow_hw);
    model.start_frames = UINT64_MAX;
    CHECK_EQ(linux_model_write(&model, data, BUFFER), BUFFER);
    script_positions(positions, N_ELEMENTS(positions));
    scripted_peer_forget(&peer);
    CHECK_EQ(linux_model_drain(&model), 0);
    CHECK_EQ(model.state, LINUX_SETUP);
    CHECK_EQ(model.hw_ptr_frames, 961);
    CHECK(is_trigger(0, XENSND_OP_TRIGGER_START));
    CHECK(is_trigger(1, XENSND_OP_TRIGGER_STOP));
    tear_down();
}

/* Positions that stop with the data bring no period_elapsed that sees them all heard. */
static void a_drain_without_a_last_period_gives_up(void) {
    static const struct {
        const char *title;
        uint64_t positions[2];
    } rows[] = {{"no event", {0, 0}}, {"frozen at the last frame", {481, 960}}};

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        int64_t start_ms;

        CHECK_ROW("%s", rows[i].title);
        set_up();
        prepare_stream();
        script_positions(rows[i].positions, 2);
        play_full_buffer();
        start_ms = linux_now_ms();
        CHECK_EQ(linux_model_drain(&model), -EIO);
        CHECK(linux_now_ms() - start_ms >= 100);
        CHECK_EQ(model.state, LINUX_SETUP);
        tear_down();
    }
}

static void an_underrun_stops_the_stream(void) {
    set_up();
    prepare_stream();
    play_full_buffer();
    move_to(481);
    CHECK_EQ(model.state, LINUX_RUNNING);
    scripted_peer_forget(&peer);
    move_to(970);
    CHECK_EQ(model.state, LINUX_XRUN);
    CHECK_EQ(model.xruns, 1);
    CHECK(is_trigger(0, XENSND_OP_TRIGGER_STOP));
    CHECK_EQ(linux_model_write(&model, data, 1), -EPIPE);
    CHECK_EQ(linux_model_avail(&model), -EPIPE);
    tear_down();
}

static void a_stop_threshold_beyond_reach_plays_on(void) {
    set_up();
    prepare_stream();
    model.stop_frames = UINT64_MAX;
    play_full_buffer();
    move_to(900);
    move_to(1800);
    move_to(2700);
    CHECK_EQ(model.state, LINUX_RUNNING);
    CHECK_EQ(model.xruns, 0);
    CHECK_EQ(linux_model_avail(&model), 2700);
    tear_down();
}

/* Item 9 as ALSA sees it: after prepare it counts from 0, from wherever the driver's pointer is. */
static void a_recovery_is_exact_only_when_the_backend_realigns(void) {
    for (int realigns = 0; realigns < 2; realigns++) {
        uint64_t restart;

        CHECK_ROW(realigns ? "realigned" : "not realigned");
        set_up();
        peer.realign_at_stop = realigns;
        prepare_stream();
        play_full_buffer();
        move_to(481);
        move_to(1100);
        CHECK_EQ(model.state, LINUX_XRUN);
        restart = peer.position_bytes / peer.frame_bytes;
        CHECK_EQ(restart, realigns ? 1920 : 1100);
        scripted_peer_forget(&peer);
        CHECK_EQ(linux_model_prepare(&model), 0);
        CHECK_EQ(peer.logged, 0); /* asks nothing */
        play_full_buffer();
        CHECK_EQ(model.hw_ptr_frames, 0);
        move_to(restart + 481);
        CHECK_EQ(model.hw_ptr_frames, realigns ? 481 : 481 + 1100 % BUFFER);
        CHECK_EQ(scripted_peer_count(&peer, XENSND_OP_OPEN), 0);
        tear_down();
    }
}

static void a_stop_and_restart_need_no_open(void) {
    set_up();
    peer.realign_at_stop = true;
    prepare_stream();
    for (int round = 0; round < 3; round++) {
        CHECK_ROW("round %d", round);
        play_full_buffer();
        move_to(peer.position_bytes / 4 + 500);
        CHECK_EQ(linux_model_stop(&model), 0);
        CHECK_EQ(model.state, LINUX_SETUP);
        CHECK_EQ(model.driver.hw_ptr_frames, 0);
        CHECK_EQ(linux_model_prepare(&model), 0);
    }
    CHECK_EQ(scripted_peer_count(&peer, XENSND_OP_OPEN), 1);
    tear_down();
}

/* ---- recording ---- */

static void set_up_capture(void) {
    set_up();
    CHECK_EQ(linux_model_close(&model), 0);
    CHECK_EQ(linux_model_open_capture(&model), 0);
    scripted_peer_forget(&peer);
}

static void a_read_starts_and_takes_only_what_is_captured(void) {
    static const uint64_t positions[] = {481, 961};
    static char taken[BUFFER * 4];

    set_up_capture();
    prepare_stream_of(&slow_hw);
    script_positions(positions, N_ELEMENTS(positions));
    scripted_peer_forget(&peer);
    model.stop_frames = UINT64_MAX;
    CHECK_EQ(linux_model_read(&model, taken, 900), 900);
    CHECK(is_trigger(0, XENSND_OP_TRIGGER_START));
    CHECK_EQ(scripted_peer_request(&peer, 1).operation, XENSND_OP_READ);
    CHECK(scripted_peer_request(&peer, 1).op.rw.length >= 481 * 4);
    CHECK_EQ(model.appl_ptr_frames, 900);
    move_to(1500);
    CHECK_EQ(linux_model_avail(&model), 600);
    scripted_peer_forget(&peer);
    CHECK_EQ(linux_model_read(&model, taken, 200), 200); /* 60 to the end of the buffer, 140 from its start */
    CHECK_EQ(scripted_peer_request(&peer, 0).op.rw.offset, 900 * 4);
    CHECK_EQ(scripted_peer_request(&peer, 0).op.rw.length, 60 * 4);
    CHECK_EQ(scripted_peer_request(&peer, 1).op.rw.offset, 0);
    CHECK_EQ(scripted_peer_request(&peer, 1).op.rw.length, 140 * 4);
    tear_down();
}

static void an_overrun_stops_the_recording(void) {
    static char taken[4];

    set_up_capture();
    peer.realign_at_stop = true;
    prepare_stream();
    CHECK_EQ(linux_model_start(&model), 0); /* nothing need be there */
    move_to(481);
    CHECK_EQ(model.state, LINUX_RUNNING);
    move_to(970);
    CHECK_EQ(model.state, LINUX_XRUN);
    CHECK_EQ(model.xruns, 1);
    CHECK_EQ(linux_model_read(&model, taken, 1), -EPIPE);
    CHECK_EQ(linux_model_prepare(&model), 0);
    CHECK_EQ(linux_model_start(&model), 0);
    move_to(peer.position_bytes / peer.frame_bytes + 481);
    scripted_peer_forget(&peer);
    CHECK_EQ(linux_model_read(&model, taken, 1), 1);
    CHECK_EQ(scripted_peer_request(&peer, 0).op.rw.offset, 0);
    tear_down();
}

static void a_read_without_wakeups_gives_up(void) {
    static char taken[4];
    int64_t start_ms;

    set_up_capture();
    prepare_stream();
    start_ms = linux_now_ms();
    CHECK_EQ(linux_model_read(&model, taken, 1), -EIO);
    CHECK(linux_now_ms() - start_ms >= 100);
    tear_down();
}

static void a_suspend_pauses_and_prepare_recovers(void) {
    set_up();
    prepare_stream();
    play_full_buffer();
    scripted_peer_forget(&peer);
    CHECK_EQ(linux_model_pause(&model), 0);
    CHECK(is_trigger(0, XENSND_OP_TRIGGER_PAUSE));
    CHECK_EQ(linux_model_write(&model, data, 1), -ESTRPIPE);
    CHECK_EQ(linux_model_drain(&model), -ESTRPIPE);
    CHECK_EQ(linux_model_prepare(&model), 0);
    play_full_buffer();
    CHECK(is_trigger(2, XENSND_OP_TRIGGER_START));
    tear_down();
}

static void new_parameters_reopen_without_close(void) {
    set_up();
    prepare_stream();
    scripted_peer_forget(&peer);
    prepare_stream();
    CHECK_EQ(scripted_peer_count(&peer, XENSND_OP_CLOSE), 0);
    CHECK_EQ(scripted_peer_count(&peer, XENSND_OP_OPEN), 1);
    tear_down();
}

static void a_close_stops_and_closes(void) {
    set_up();
    prepare_stream();
    play_full_buffer();
    scripted_peer_forget(&peer);
    CHECK_EQ(linux_model_close(&model), 0);
    CHECK(is_trigger(0, XENSND_OP_TRIGGER_STOP));
    CHECK_EQ(scripted_peer_request(&peer, 1).operation, XENSND_OP_CLOSE);
    CHECK_EQ(linux_model_close(&model), -EBADFD);
    CHECK_EQ(linux_model_open(&model), 0);
    CHECK_EQ(linux_model_open(&model), -EBUSY);
    CHECK_EQ(linux_model_close(&model), 0);
    CHECK_EQ(peer.logged, 2);
    tear_down();
}

static void calls_out_of_order_are_refused(void) {
    set_up();
    CHECK_EQ(linux_model_prepare(&model), -EBADFD);
    CHECK_EQ(linux_model_start(&model), -EBADFD);
    CHECK_EQ(linux_model_stop(&model), -EBADFD);
    CHECK_EQ(linux_model_pause(&model), -EBADFD);
    CHECK_EQ(linux_model_drain(&model), -EBADFD);
    CHECK_EQ(linux_model_hw_free(&model), -EBADFD);
    CHECK_EQ(linux_model_write(&model, data, 1), -EBADFD);
    prepare_stream();
    CHECK_EQ(linux_model_start(&model), -EPIPE); /* nothing to play */
    play_full_buffer();
    CHECK_EQ(linux_model_prepare(&model), -EBUSY);
    CHECK_EQ(linux_model_hw_params(&model, &hw), -EBADFD);
    CHECK_EQ(linux_model_hw_free(&model), -EBADFD);
    tear_down();
}

int main(void) {
    static const struct check_test tests[] = {
        {"five queries come before the parameters", five_queries_come_before_the_parameters},
        {"data go before START, and split at the end of the buffer",
         data_go_before_start_and_split_at_the_end_of_the_buffer},
        {"a write waits for room", a_write_waits_for_room},
        {"a write without wake-ups gives up with -EIO", a_write_without_wakeups_gives_up},
        {"a drain ends at a period behind the last frame", a_drain_ends_at_a_period_behind_the_last_frame},
        {"a drain without a last period gives up with -EIO", a_drain_without_a_last_period_gives_up},
        {"an underrun stops the stream", an_underrun_stops_the_stream},
        {"a stop threshold beyond reach plays on", a_stop_threshold_beyond_reach_plays_on},
        {"a recovery is exact only when the backend realigns",
         a_recovery_is_exact_only_when_the_backend_realigns},
        {"a stop and restart need no OPEN", a_stop_and_restart_need_no_open},
        {"a read starts, and takes only what is captured", a_read_starts_and_takes_only_what_is_captured},
        {"an overrun stops the recording", an_overrun_stops_the_recording},
        {"a read without wake-ups gives up with -EIO", a_read_without_wakeups_gives_up},
        {"a suspend pauses, and prepare recovers", a_suspend_pauses_and_prepare_recovers},
        {"new parameters reopen without CLOSE", new_parameters_reopen_without_close},
        {"a close stops and closes", a_close_stops_and_closes},
        {"calls out of order are refused", calls_out_of_order_are_refused},
    };

    return check_main("linux-model", tests, N_ELEMENTS(tests));
}
