/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-playback.h"

#include <stdlib.h>

#include "check.h"

/*
 * A frontend, the stream thread and a sink's audio thread, played by one loop over simulated time. Every
 * frame is its own number, so that what arrives can be compared frame by frame.
 */

#define RATE 48000u
#define FRAME 4u
#define MSEC 1000u
#define MS_BYTES(ms) ((uint64_t) (ms) * RATE / 1000u * FRAME)

struct world {
    struct sndif_playback playback;
    uint64_t now_usec;
    uint32_t written; /* frames, each holding its number plus 1 */
    uint64_t offset;  /* next octet in the frontend's buffer */
    uint32_t *heard;  /* frames pulled, silence included */
    size_t heard_frames;
    uint64_t last_heard_usec; /* when the last frame that was no silence is heard */
    uint64_t sink_next_usec, sink_block_usec;
    uint64_t sink_sleeps_until_usec; /* then it catches up, a block each millisecond */
};

static void world_init(struct world *w, unsigned buffer_ms, unsigned period_ms, unsigned block_ms,
                       bool quirks) {
    struct sndif_params params = {
        .format = sndif_format_by_id(XENSND_PCM_FORMAT_S16_LE),
        .rate = RATE,
        .channels = 2,
        .frame_bytes = FRAME,
        .buffer_bytes = (uint32_t) MS_BYTES(buffer_ms),
        .period_bytes = (uint32_t) MS_BYTES(period_ms),
    };

    memset(w, 0, sizeof(*w));
    w->now_usec = 1000 * MSEC;
    w->sink_block_usec = block_ms * MSEC;
    w->sink_next_usec = w->now_usec + 3 * MSEC;
    w->heard = calloc(RATE * 20, sizeof(uint32_t));
    CHECK_EQ(sndif_playback_init(&w->playback, &params, quirks), 0);
}

static void world_done(struct world *w) {
    sndif_playback_done(&w->playback);
    free(w->heard);
}

static void write_frames(struct world *w, uint32_t frames) {
    while (frames > 0) {
        const uint32_t room = (uint32_t) (w->playback.params.buffer_bytes - w->offset) / FRAME;
        const uint32_t n = frames < room ? frames : room;
        uint32_t *samples = calloc(n, FRAME);

        for (uint32_t i = 0; i < n; i++)
            samples[i] = ++w->written;
        sndif_playback_write(&w->playback, (uint32_t) w->offset, samples, n * FRAME, w->now_usec);
        free(samples);
        w->offset = (w->offset + n * FRAME) % w->playback.params.buffer_bytes;
        frames -= n;
    }
}

/* The sink renders a block of latency zero, like a null sink. */
static void sink_turn(struct world *w) {
    const size_t frames = (size_t) (w->sink_block_usec * RATE / 1000000u);
    uint32_t *dst = w->heard + w->heard_frames;

    sndif_playback_pull(&w->playback, dst, frames * FRAME, w->now_usec,
                        (int64_t) w->sink_next_usec - (int64_t) w->now_usec);
    for (size_t i = 0; i < frames; i++)
        if (dst[i] != 0)
            w->last_heard_usec = w->sink_next_usec + (i + 1) * 1000000u / RATE;
    w->heard_frames += frames;
    w->sink_next_usec += w->sink_block_usec;
}

/* Keeps the buffer filled to fill_bytes while frames are left of total; steps of a millisecond. */
static void run(struct world *w, unsigned ms, uint64_t fill_bytes, uint32_t total_frames) {
    for (unsigned i = 0; i < ms; i++) {
        const uint64_t position = sndif_playback_position(&w->playback, w->now_usec);
        const uint64_t end = atomic_load(&w->playback.write_bytes);
        const uint64_t held = end > position ? end - position : 0;

        if (held <= fill_bytes / 2 && w->written < total_frames) {
            uint64_t wanted = (fill_bytes - held) / FRAME;
            wanted = wanted < total_frames - w->written ? wanted : total_frames - w->written;
            if (position > end) /* after an underrun a frontend goes on ahead of the position */
                w->offset = (position + MS_BYTES(2)) % w->playback.params.buffer_bytes;
            write_frames(w, (uint32_t) wanted);
        }
        w->now_usec += MSEC;
        if (w->now_usec >= w->sink_next_usec && w->now_usec >= w->sink_sleeps_until_usec)
            sink_turn(w);
    }
}

/* Leading silence, then 1, 2, 3 … up to last, then silence. */
static void check_heard_exactly(const struct world *w, uint32_t last) {
    size_t i = 0;
    uint32_t expected = 1;

    while (i < w->heard_frames && w->heard[i] == 0)
        i++;
    while (i < w->heard_frames && expected <= last && w->heard[i] == expected)
        i++, expected++;
    CHECK_EQ(expected, last + 1);
    while (i < w->heard_frames && w->heard[i] == 0)
        i++;
    CHECK_EQ(i, w->heard_frames);
}

static void blocks_of_any_size_lose_nothing(void) {
    static const struct {
        unsigned buffer_ms, block_ms;
    } rows[] = {{10, 5}, {20, 10}, {20, 20}, {20, 50}, {20, 200}, {340, 50}, {340, 5}};

    for (size_t r = 0; r < N_ELEMENTS(rows); r++) {
        struct world w;

        CHECK_ROW("buffer %u ms, block %u ms", rows[r].buffer_ms, rows[r].block_ms);
        world_init(&w, rows[r].buffer_ms, 0, rows[r].block_ms, false);
        write_frames(&w, rows[r].buffer_ms * RATE / 1000);
        sndif_playback_start(&w.playback, w.now_usec);
        run(&w, 5000, MS_BYTES(rows[r].buffer_ms), 4 * RATE);
        check_heard_exactly(&w, 4 * RATE);
        CHECK_EQ(atomic_load(&w.playback.stats.underruns), 0);
        CHECK_EQ(atomic_load(&w.playback.stats.late_bytes), 0);
        world_done(&w);
    }
}

static void reported_latency_is_when_it_is_heard(void) {
    static const unsigned blocks_ms[] = {5, 10, 50};

    for (size_t r = 0; r < N_ELEMENTS(blocks_ms); r++) {
        struct world w;
        uint64_t predicted_usec, marked;
        size_t i;

        CHECK_ROW("block %u ms", blocks_ms[r]);
        world_init(&w, 20, 0, blocks_ms[r], false);
        write_frames(&w, RATE / 50);
        sndif_playback_start(&w.playback, w.now_usec);
        run(&w, 2000, MS_BYTES(20), 10 * RATE);
        marked = w.written;
        predicted_usec = w.now_usec + sndif_playback_latency_usec(
                                          &w.playback, atomic_load(&w.playback.write_bytes), w.now_usec);
        run(&w, 500, MS_BYTES(20), 10 * RATE);
        for (i = 0; i < w.heard_frames && w.heard[i] != marked; i++)
            ;
        /* the world began at 1 s, the sink's first block at 3 ms */
        const int64_t heard_usec = 1003 * MSEC + (int64_t) (i + 1) * 1000000 / RATE;
        CHECK(llabs(heard_usec - (int64_t) predicted_usec) < 2 * MSEC);
        world_done(&w);
    }
}

static void drain_waits_for_the_last_frame(void) {
    static const unsigned blocks_ms[] = {5, 20, 50};

    for (size_t r = 0; r < N_ELEMENTS(blocks_ms); r++) {
        struct world w;
        uint64_t passed_usec;

        CHECK_ROW("block %u ms", blocks_ms[r]);
        world_init(&w, 40, 10, blocks_ms[r], true);
        write_frames(&w, RATE / 25);
        sndif_playback_start(&w.playback, w.now_usec);
        for (passed_usec = 0; passed_usec == 0 && w.heard_frames < RATE;) {
            run(&w, 1, MS_BYTES(40), RATE / 2);
            if (w.written == RATE / 2 &&
                sndif_playback_position(&w.playback, w.now_usec) >= atomic_load(&w.playback.write_bytes))
                passed_usec = w.now_usec;
        }
        CHECK(passed_usec >= w.last_heard_usec);
        CHECK(passed_usec < w.last_heard_usec + 5 * MSEC);
        /* and it has stepped over the next period, which ALSA waits for */
        CHECK(sndif_playback_position(&w.playback, w.now_usec) > MS_BYTES(500));
        world_done(&w);
    }
}

/* The end is to be heard, but the sink that should have pulled it by now is late. */
static void drain_waits_for_a_late_sink(void) {
    struct world w;
    uint64_t wait_usec;

    world_init(&w, 40, 0, 10, false);
    write_frames(&w, RATE * 15 / 1000);
    sndif_playback_start(&w.playback, w.now_usec);
    w.now_usec = w.sink_next_usec;
    sink_turn(&w);
    w.now_usec += 20 * MSEC;
    CHECK_EQ(sndif_playback_position(&w.playback, w.now_usec), MS_BYTES(15) - FRAME);
    wait_usec = sndif_playback_wait_usec(&w.playback, MS_BYTES(15), w.now_usec);
    CHECK(wait_usec > MSEC && wait_usec < 5 * MSEC);

    sink_turn(&w);
    CHECK(w.now_usec >= w.last_heard_usec);
    CHECK(sndif_playback_position(&w.playback, w.now_usec) >= MS_BYTES(15));
    check_heard_exactly(&w, w.written);
    world_done(&w);
}

/* A sink that has rendered two seconds ahead hears the end long after ALSA would have given the stream up. */
static void a_late_frontend_hears_of_the_end_before_alsa_gives_up(void) {
    static const uint64_t alsa_patience_usec = 100 * MSEC;
    uint32_t frames[RATE / 100];
    struct world w;
    uint64_t woken_usec;

    world_init(&w, 10, 5, 5, true);
    write_frames(&w, RATE / 100);
    sndif_playback_start(&w.playback, w.now_usec);
    sndif_playback_pull(&w.playback, frames, sizeof(frames), w.now_usec, 2000 * MSEC);
    w.now_usec += 5 * MSEC;
    CHECK(sndif_playback_position(&w.playback, w.now_usec) < MS_BYTES(10));
    woken_usec = w.now_usec + sndif_playback_wait_usec(&w.playback, MS_BYTES(10) + FRAME, w.now_usec);
    CHECK(woken_usec < w.now_usec + alsa_patience_usec);
    CHECK(sndif_playback_position(&w.playback, woken_usec) >= MS_BYTES(10) + FRAME);
    world_done(&w);
}

/* An idle null sink pulls a second after START, and then from the start: the position is far ahead of its clock. */
static void a_position_ahead_of_the_clock_goes_on_at_half_the_speed(void) {
    const uint64_t period = MS_BYTES(100);
    struct world w;
    uint64_t position, wait_usec;

    world_init(&w, 400, 100, 10, true);
    write_frames(&w, RATE * 4 / 10);
    sndif_playback_start(&w.playback, w.now_usec);
    w.sink_sleeps_until_usec = w.now_usec + 1000 * MSEC;
    run(&w, 1000, MS_BYTES(400), RATE * 20);
    position = sndif_playback_position(&w.playback, w.now_usec);
    CHECK(position > sndif_clock_read(&w.playback.clock).bytes + MS_BYTES(900));
    wait_usec = sndif_playback_wait_usec(&w.playback, position + period, w.now_usec);
    CHECK(wait_usec <= 200 * MSEC + 2);
    CHECK(sndif_playback_position(&w.playback, w.now_usec + wait_usec) >= position + period);
    world_done(&w);
}

static void a_short_lateness_costs_a_gap_but_no_frame(void) {
    struct world w;
    size_t numbered = 0;

    world_init(&w, 20, 0, 10, false);
    write_frames(&w, RATE / 50);
    sndif_playback_start(&w.playback, w.now_usec);
    run(&w, 200, MS_BYTES(20), 10 * RATE);
    run(&w, 40, 0, 0); /* the frontend sleeps longer than its buffer holds */
    run(&w, 500, MS_BYTES(20), w.written + RATE / 4);
    for (size_t i = 0, expected = 1; i < w.heard_frames; i++)
        if (w.heard[i] == expected)
            expected++, numbered++;
    CHECK_EQ(numbered, w.written);
    CHECK_EQ(atomic_load(&w.playback.stats.underruns), 1);
    world_done(&w);
}

static void an_empty_buffer_lets_the_position_run_on(void) {
    struct world w;
    uint64_t before;

    world_init(&w, 20, 10, 10, true);
    write_frames(&w, RATE / 50);
    sndif_playback_start(&w.playback, w.now_usec);
    run(&w, 300, 0, 0);
    before = sndif_playback_position(&w.playback, w.now_usec);
    run(&w, 100, 0, 0);
    CHECK_EQ((sndif_playback_position(&w.playback, w.now_usec) - before + MS_BYTES(1)) / MS_BYTES(50), 2);

    /* what was meant for the past is dropped and counted, once */
    write_frames(&w, RATE / 100);
    CHECK_EQ(atomic_load(&w.playback.stats.underruns), 1);
    CHECK_EQ(atomic_load(&w.playback.stats.late_bytes), MS_BYTES(10));
    world_done(&w);
}

static void a_rewind_replaces_what_is_not_yet_played(void) {
    struct world w;
    uint32_t sample = 777;

    world_init(&w, 100, 0, 5, false);
    write_frames(&w, RATE / 20);
    sndif_playback_start(&w.playback, w.now_usec);
    run(&w, 10, 0, 0);
    /* the frame at 40 ms again, and with it everything behind it is taken back */
    sndif_playback_write(&w.playback, (uint32_t) MS_BYTES(40), &sample, FRAME, w.now_usec);
    CHECK_EQ(atomic_load(&w.playback.write_bytes), MS_BYTES(40) + FRAME);
    run(&w, 100, 0, 0);
    size_t i = 0;
    while (i < w.heard_frames && w.heard[i] != RATE / 25)
        i++;
    CHECK_EQ(w.heard[i + 1], 777);
    CHECK_EQ(w.heard[i + 2], 0);
    world_done(&w);
}

static void a_skip_leaves_silence(void) {
    struct world w;
    uint32_t sample = 777;

    world_init(&w, 100, 0, 5, false);
    write_frames(&w, RATE / 100);
    sndif_playback_write(&w.playback, (uint32_t) MS_BYTES(20), &sample, FRAME, w.now_usec);
    CHECK_EQ(atomic_load(&w.playback.write_bytes), MS_BYTES(20) + FRAME);
    sndif_playback_start(&w.playback, w.now_usec);
    run(&w, 60, 0, 0);
    size_t i = 0;
    while (i < w.heard_frames && w.heard[i] != RATE / 100)
        i++;
    CHECK_EQ(w.heard[i + 1], 0);
    CHECK_EQ(w.heard[i + 1 + RATE / 100], 777);
    world_done(&w);
}

static void stop_discards_and_realigns(void) {
    struct world w;

    world_init(&w, 20, 5, 10, true);
    write_frames(&w, RATE / 50);
    sndif_playback_start(&w.playback, w.now_usec);
    run(&w, 33, MS_BYTES(20), 10 * RATE);
    sndif_playback_pause(&w.playback, w.now_usec);
    sndif_playback_realign(&w.playback);
    CHECK_EQ(w.playback.position_bytes % w.playback.params.buffer_bytes, 0);
    CHECK_EQ(atomic_load(&w.playback.write_bytes), w.playback.position_bytes);

    /* and again from offset 0, as ALSA does */
    w.heard_frames = 0;
    w.written = 0;
    w.offset = 0;
    write_frames(&w, RATE / 50);
    sndif_playback_start(&w.playback, w.now_usec);
    run(&w, 1000, MS_BYTES(20), RATE / 2);
    check_heard_exactly(&w, RATE / 2);
    world_done(&w);
}

static void without_a_sink_time_passes(void) {
    struct world w;

    world_init(&w, 20, 0, 10, false);
    w.sink_next_usec = UINT64_MAX;
    write_frames(&w, RATE / 50);
    sndif_playback_start(&w.playback, w.now_usec);
    run(&w, 4000, MS_BYTES(20), 10 * RATE);
    CHECK(w.written > 39 * RATE / 10 && w.written < 41 * RATE / 10);

    /* a sink that comes now hears what is played now, not what was played before */
    w.sink_next_usec = w.now_usec + MSEC;
    run(&w, 500, MS_BYTES(20), 10 * RATE);
    size_t i = 0;
    while (i < w.heard_frames && w.heard[i] == 0)
        i++;
    CHECK(i < RATE / 20 && w.heard[i] > 38 * RATE / 10);
    world_done(&w);
}

static void a_stalled_sink_is_rejoined_without_its_backlog(void) {
    struct world w;
    uint64_t latency_before, latency_after;

    world_init(&w, 20, 0, 10, false);
    write_frames(&w, RATE / 50);
    sndif_playback_start(&w.playback, w.now_usec);
    run(&w, 500, MS_BYTES(20), 20 * RATE);
    latency_before =
        sndif_playback_latency_usec(&w.playback, atomic_load(&w.playback.write_bytes), w.now_usec);
    w.sink_next_usec = w.now_usec + 700 * MSEC; /* suspended, or moved */
    run(&w, 2000, MS_BYTES(20), 20 * RATE);
    latency_after =
        sndif_playback_latency_usec(&w.playback, atomic_load(&w.playback.write_bytes), w.now_usec);
    CHECK(llabs((int64_t) latency_after - (int64_t) latency_before) < 12 * (int64_t) MSEC);
    world_done(&w);
}

static void the_position_never_goes_back(void) {
    struct world w;
    unsigned long long seed = 20260101;
    uint64_t last = 0;

    world_init(&w, 20, 0, 10, false);
    write_frames(&w, RATE / 50);
    sndif_playback_start(&w.playback, w.now_usec);
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t position;

        run(&w, 1 + (unsigned) (check_random(&seed) % 3), MS_BYTES(20), 15 * RATE);
        w.sink_next_usec += check_random(&seed) % 200; /* a drifting sink */
        position = sndif_playback_position(&w.playback, w.now_usec);
        CHECK(position >= last && position % FRAME == 0);
        last = position;
    }
    world_done(&w);
}

static void what_is_pushed_back_is_pulled_again(void) {
    struct world w;
    uint32_t frames[480];

    world_init(&w, 100, 0, 10, false);
    write_frames(&w, RATE / 10);
    sndif_playback_start(&w.playback, w.now_usec);
    sndif_playback_pull(&w.playback, frames, sizeof(frames), w.now_usec, 0);
    CHECK_EQ(frames[479], 480);
    sndif_playback_push_back(&w.playback, 100 * FRAME);
    sndif_playback_pull(&w.playback, frames, sizeof(frames), w.now_usec, 0);
    CHECK_EQ(frames[0], 381);
    sndif_playback_push_back(&w.playback, 1u << 30);
    sndif_playback_pull(&w.playback, frames, sizeof(frames), w.now_usec, 0);
    CHECK_EQ(frames[0], 1);
    world_done(&w);
}

/* PulseAudio rewinds once more when a stream is corked, and whenever another one begins. */
static void what_stop_has_discarded_is_not_pushed_back(void) {
    struct world w;
    uint32_t frames[480];

    for (int pulled_since = 0; pulled_since < 2; pulled_since++) {
        CHECK_ROW(pulled_since ? "and more was pulled since" : "right after it");
        world_init(&w, 100, 0, 10, false);
        write_frames(&w, RATE / 10);
        sndif_playback_start(&w.playback, w.now_usec);
        sndif_playback_pull(&w.playback, frames, sizeof(frames), w.now_usec, 0);
        sndif_playback_pause(&w.playback, w.now_usec);
        sndif_playback_realign(&w.playback);
        w.offset = 0;
        write_frames(&w, RATE / 10);
        sndif_playback_start(&w.playback, w.now_usec);
        if (pulled_since)
            sndif_playback_pull(&w.playback, frames, sizeof(frames), w.now_usec, 0);
        sndif_playback_push_back(&w.playback, 2 * sizeof(frames));
        sndif_playback_pull(&w.playback, frames, sizeof(frames), w.now_usec, 0);
        CHECK_EQ(frames[0], RATE / 10 + 1);
        world_done(&w);
    }
}

/* The frontend went on after an underrun, further ahead than the buffer that STOP ends. */
static void a_skip_ends_with_stop(void) {
    const uint64_t buffer_bytes = MS_BYTES(20);
    struct world w;
    uint32_t frames[480];

    world_init(&w, 20, 0, 10, false);
    sndif_playback_start(&w.playback, w.now_usec);
    w.now_usec += 19 * MSEC;
    sndif_playback_pull(&w.playback, frames, sizeof(frames), w.now_usec, 0);
    sndif_playback_write_at(&w.playback, buffer_bytes + MS_BYTES(2), frames, FRAME, w.now_usec);
    sndif_playback_pause(&w.playback, w.now_usec);
    sndif_playback_realign(&w.playback);
    CHECK_EQ(w.playback.position_bytes, buffer_bytes);

    write_frames(&w, RATE / 50);
    sndif_playback_start(&w.playback, w.now_usec);
    sndif_playback_pull(&w.playback, frames, sizeof(frames), w.now_usec, 0);
    CHECK_EQ(frames[0], 1);
    world_done(&w);
}

static void floats_that_are_no_numbers_become_silence(void) {
    const union {
        uint32_t bits[4];
        float values[4];
    } in = {.bits = {0x7fc00000, 0x7f800000, 0xff800000, 0x3f000000}};
    struct sndif_params params = {.format = sndif_format_by_id(XENSND_PCM_FORMAT_F32_LE),
                                  .rate = RATE,
                                  .channels = 1,
                                  .frame_bytes = 4,
                                  .buffer_bytes = 4096};
    struct sndif_playback playback;
    float out[4];

    CHECK_EQ(sndif_playback_init(&playback, &params, false), 0);
    sndif_playback_write(&playback, 0, in.values, sizeof(in.values), 0);
    sndif_playback_start(&playback, 1000);
    sndif_playback_pull(&playback, out, sizeof(out), 1000, 0);
    CHECK(out[0] == 0.0f && out[1] == 0.0f && out[2] == 0.0f && out[3] == 0.5f);
    sndif_playback_done(&playback);
}

/* Frontend and sink oversleep at random, then keep their times again. */
static void after_any_stalls_all_is_well_again(void) {
    for (unsigned long long first = 1; first <= 200; first++) {
        unsigned long long seed = first;
        struct world w;
        uint32_t before = 0;
        uint64_t latency_usec;

        CHECK_ROW("seed %llu", first);
        world_init(&w, 340, 0, 5, false);
        write_frames(&w, RATE / 100);
        sndif_playback_start(&w.playback, w.now_usec);
        for (unsigned i = 0; i < 40; i++) {
            run(&w, 1 + (unsigned) (check_random(&seed) % 100), MS_BYTES(10), 20 * RATE);
            switch (check_random(&seed) % 3) {
                case 0: /* the frontend */
                    run(&w, (unsigned) (check_random(&seed) % 60), 0, 0);
                    break;
                case 1: /* the sink, which then plays what it missed */
                    w.sink_sleeps_until_usec = w.now_usec + check_random(&seed) % 400 * MSEC;
                    break;
                default: /* the sink, which goes on from then, as after a suspend */
                    if (w.sink_next_usec < w.now_usec + 10 * MSEC)
                        w.sink_next_usec = w.now_usec + check_random(&seed) % 400 * MSEC;
            }
        }
        run(&w, 1500, MS_BYTES(10), 20 * RATE);
        latency_usec =
            sndif_playback_latency_usec(&w.playback, atomic_load(&w.playback.write_bytes), w.now_usec);
        CHECK(latency_usec < 100 * MSEC);
        for (size_t i = 0; i < w.heard_frames; i++) {
            if (w.heard[i] == 0)
                continue;
            if (!CHECK(w.heard[i] > before)) /* nothing twice, nothing out of order */
                break;
            before = w.heard[i];
        }
        world_done(&w);
    }
}

/* A frontend with a small buffer has no more than that when the position jumps. */
static void the_margin_grows_without_a_jump(void) {
    struct world w;
    uint64_t last;

    world_init(&w, 10, 5, 50, true);
    write_frames(&w, RATE / 100);
    sndif_playback_start(&w.playback, w.now_usec);
    run(&w, 500, MS_BYTES(10), 20 * RATE);
    w.playback.margin.goal_usec = w.playback.margin.usec + 20 * MSEC;
    last = sndif_playback_position(&w.playback, w.now_usec);
    for (unsigned i = 0; i < 200; i++) {
        const uint64_t goal_usec = w.playback.margin.goal_usec;
        uint64_t position;

        run(&w, 1, MS_BYTES(10), 20 * RATE);
        position = sndif_playback_position(&w.playback, w.now_usec);
        CHECK(position - last <= MS_BYTES(2));
        CHECK(i < 100 || w.playback.margin.usec == goal_usec);
        last = position;
    }
    world_done(&w);
}

/* A frontend may fill its whole buffer, however long that lasts, and no position makes the sum overflow. */
static bool may_write(struct world *w, uint64_t position_bytes, uint32_t length_bytes) {
    return sndif_playback_may_write_at(&w->playback, position_bytes, length_bytes, w->now_usec);
}

static void a_full_buffer_may_be_written(void) {
    static const unsigned buffers_ms[] = {5, 20, 340, 1000, 5000, 10000};

    for (size_t r = 0; r < N_ELEMENTS(buffers_ms); r++) {
        const uint64_t buffer = MS_BYTES(buffers_ms[r]);
        struct world w;

        CHECK_ROW("buffer %u ms", buffers_ms[r]);
        world_init(&w, buffers_ms[r], 0, 10, false);
        CHECK(may_write(&w, 0, (uint32_t) buffer));
        CHECK(may_write(&w, buffer, (uint32_t) MS_BYTES(5)));
        CHECK(may_write(&w, buffer + MS_BYTES(1000) - FRAME, FRAME));
        CHECK(!may_write(&w, w.playback.window.bytes, FRAME));
        CHECK(!may_write(&w, 1, FRAME));
        CHECK(!may_write(&w, UINT64_MAX - 3, 2 * FRAME));
        CHECK(!may_write(&w, UINT64_MAX - 4 * FRAME + 1, FRAME));
        world_done(&w);
    }
}

/* Nobody has asked for the position meanwhile, and a guest that comes back goes by the time that has passed. */
static void a_guest_that_was_paused_goes_on_where_the_position_is(void) {
    struct world w;
    uint64_t after_pause;

    world_init(&w, 200, 0, 10, false);
    write_frames(&w, RATE / 5);
    sndif_playback_start(&w.playback, w.now_usec);
    after_pause = MS_BYTES(10000);
    CHECK(!may_write(&w, after_pause, (uint32_t) MS_BYTES(200)));
    w.now_usec += 10000 * MSEC;
    CHECK(may_write(&w, MS_BYTES(200), (uint32_t) MS_BYTES(20))); /* it was about to */
    write_frames(&w, RATE / 50);
    CHECK(may_write(&w, after_pause, (uint32_t) MS_BYTES(200)));
    world_done(&w);
}

int main(void) {
    static const struct check_test tests[] = {
        {"blocks of any size lose nothing of a small buffer", blocks_of_any_size_lose_nothing},
        {"the reported latency is when a frame is heard", reported_latency_is_when_it_is_heard},
        {"a drain ends when the last frame has been heard, and soon after", drain_waits_for_the_last_frame},
        {"a drain waits for a sink that is late", drain_waits_for_a_late_sink},
        {"a late frontend hears of the end before ALSA gives up",
         a_late_frontend_hears_of_the_end_before_alsa_gives_up},
        {"a position ahead of the clock goes on at half the speed",
         a_position_ahead_of_the_clock_goes_on_at_half_the_speed},
        {"a short lateness costs a gap but no frame", a_short_lateness_costs_a_gap_but_no_frame},
        {"an empty buffer lets the position run on", an_empty_buffer_lets_the_position_run_on},
        {"a rewind replaces what is not yet played", a_rewind_replaces_what_is_not_yet_played},
        {"a skip leaves silence", a_skip_leaves_silence},
        {"STOP discards, and playing starts again at offset 0", stop_discards_and_realigns},
        {"without a sink time passes", without_a_sink_time_passes},
        {"a stalled sink is rejoined without its backlog", a_stalled_sink_is_rejoined_without_its_backlog},
        {"the position never goes back", the_position_never_goes_back},
        {"after any stalls all is well again", after_any_stalls_all_is_well_again},
        {"a full buffer may be written", a_full_buffer_may_be_written},
        {"a guest that was paused goes on where the position is",
         a_guest_that_was_paused_goes_on_where_the_position_is},
        {"the margin grows without a jump", the_margin_grows_without_a_jump},
        {"what is pushed back is pulled again", what_is_pushed_back_is_pulled_again},
        {"a skip ends with STOP", a_skip_ends_with_stop},
        {"what STOP has discarded is not pushed back", what_stop_has_discarded_is_not_pushed_back},
        {"floats that are no numbers become silence", floats_that_are_no_numbers_become_silence},
    };

    return check_main("playback", tests, N_ELEMENTS(tests));
}
