/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-capture.h"

#include <stdlib.h>

#include "check.h"

/*
 * A source's audio thread, the stream thread and a frontend, played by one loop over simulated time. Every
 * frame is its own number, so that what is read can be compared frame by frame; 0 is silence.
 */

#define RATE 48000u
#define FRAME 4u
#define MSEC 1000u
#define MS_FRAMES(ms) ((uint64_t) (ms) * RATE / 1000u)
#define MS_BYTES(ms) (MS_FRAMES(ms) * FRAME)
#define SECOND 1000000u

static struct sndif_capture capture;
static uint64_t now_usec;
static uint32_t captured; /* frames that the source has captured, each holding its number plus 1 */
static uint64_t captured_usec;
static uint64_t last_bytes; /* the last position seen */
static uint64_t read_bytes; /* by the frontend, counted as position */
static uint32_t *got;       /* what it has read */
static size_t got_frames;

#define GOT_MAX (RATE * 60u)

static void set_up_as(unsigned buffer_ms, unsigned period_ms, bool quirks) {
    const struct sndif_params params = {
        .format = sndif_format_by_id(XENSND_PCM_FORMAT_S16_LE),
        .rate = RATE,
        .channels = 2,
        .frame_bytes = FRAME,
        .buffer_bytes = (uint32_t) MS_BYTES(buffer_ms),
        .period_bytes = (uint32_t) MS_BYTES(period_ms),
    };

    now_usec = 1000 * MSEC;
    captured = 0;
    captured_usec = now_usec;
    last_bytes = read_bytes = 0;
    got_frames = 0;
    got = calloc(GOT_MAX, sizeof(uint32_t));
    CHECK_EQ(sndif_capture_init(&capture, &params, quirks), 0);
}

static void set_up(void) {
    set_up_as(100, 20, false);
    sndif_capture_start(&capture, now_usec);
}

static void tear_down(void) {
    sndif_capture_done(&capture);
    free(got);
}

/* ---- the source ---- */

/* Pushes frames, the last of which was at the microphone age_usec ago. */
static bool push_aged(uint32_t frames, int64_t age_usec) {
    uint32_t *samples = calloc(frames, FRAME);
    bool wakes;

    for (uint32_t i = 0; i < frames; i++)
        samples[i] = ++captured;
    wakes = sndif_capture_push(&capture, samples, (size_t) frames * FRAME, now_usec, age_usec);
    free(samples);
    return wakes;
}

static bool push(uint32_t frames) {
    return push_aged(frames, 0);
}

/* Pushes what the card has captured since the last time, by the clock. */
static bool push_due(void) {
    const uint64_t due = (now_usec - captured_usec) * RATE / SECOND;

    captured_usec += due * SECOND / RATE;
    return due > 0 && push((uint32_t) due);
}

/* A source that wakes up loses what it has not captured. */
static void admit(void) {
    CHECK(sndif_capture_admit(&capture));
    captured_usec = now_usec;
}

static void revoke(void) {
    sndif_capture_revoke(&capture);
    CHECK(sndif_capture_wipe(&capture, now_usec));
}

/* ---- the stream thread and the frontend ---- */

static uint64_t position(void) {
    const uint64_t bytes = sndif_capture_position(&capture, now_usec);

    CHECK_EQ(bytes % FRAME, 0);
    CHECK(bytes >= last_bytes);
    last_bytes = bytes;
    return bytes;
}

/* Is told the position and reads all up to there as Linux does: in chunks that do not wrap. */
static void read_all(void) {
    const uint64_t end = position();
    const uint64_t buffer = capture.params.buffer_bytes;

    sndif_capture_tell(&capture, end);
    while (read_bytes < end) {
        const uint64_t offset = read_bytes % buffer;
        const uint64_t n = min_u64(end - read_bytes, buffer - offset);

        if (!CHECK(got_frames + n / FRAME <= GOT_MAX))
            return;
        sndif_capture_read(&capture, (uint32_t) offset, got + got_frames, (uint32_t) n, now_usec);
        got_frames += n / FRAME;
        read_bytes += n;
    }
}

static uint64_t overruns(void) {
    return atomic_load(&capture.stats.overruns);
}

/* A millisecond at a time: pushes each block_ms, jittering, unless it is 0; reads each read_ms. */
static void run(unsigned ms, unsigned block_ms, unsigned jitter_ms, unsigned read_ms) {
    static unsigned long long seed = 42;
    unsigned next_push = block_ms;

    for (unsigned i = 1; i <= ms; i++) {
        now_usec += MSEC;
        if (block_ms > 0 && i >= next_push) {
            push_due();
            next_push = i + block_ms +
                        (jitter_ms ? (unsigned) (check_random(&seed) % (2 * jitter_ms + 1)) - jitter_ms : 0);
        }
        position();
        if (i % read_ms == 0)
            read_all();
    }
}

/* From frame `from` on: `silent` frames of silence, then n, n + 1, …; how many of those there are. */
static size_t numbers_after(size_t from, size_t *silent, uint32_t *first) {
    size_t i = from, begin;

    while (i < got_frames && got[i] == 0)
        i++;
    *silent = i - from;
    *first = i < got_frames ? got[i] : 0;
    begin = i;
    while (i < got_frames && got[i] == *first + (i - begin))
        i++;
    return i - begin;
}

/* ---- silence and samples ---- */

static void without_a_source_time_passes_in_silence(void) {
    set_up();
    run(1000, 0, 0, 10);
    CHECK_EQ(position(), MS_BYTES(1000));
    CHECK_EQ(got_frames, MS_FRAMES(1000));
    for (size_t i = 0; i < got_frames; i++)
        if (!CHECK_EQ(got[i], 0))
            break;
    CHECK_EQ(overruns(), 0);
    CHECK_EQ(sndif_capture_latency_usec(&capture, position(), now_usec), 0);
    tear_down();
}

static void samples_follow_silence_and_silence_samples_without_a_jump(void) {
    static const unsigned blocks_ms[] = {1, 5, 10, 40};

    for (size_t b = 0; b < N_ELEMENTS(blocks_ms); b++) {
        const unsigned block = blocks_ms[b];
        size_t silent, samples, from = 0;
        uint32_t first;

        CHECK_ROW("blocks of %u ms", block);
        set_up();
        run(500, 0, 0, 10);
        for (unsigned round = 0; round < 3; round++) {
            uint32_t before = captured;

            admit();
            run(500, block, block / 3, 10);
            /* the first block was counted by the clock already; the position is a block late at most */
            CHECK(position() <= MS_BYTES((now_usec - 1000 * MSEC) / MSEC));
            CHECK(position() + MS_BYTES(2 * block + 1) * (round + 1) >=
                  (now_usec - 1000 * MSEC) / MSEC * MS_BYTES(1));
            revoke();
            run(500, 0, 0, 10);

            samples = numbers_after(from, &silent, &first);
            CHECK(silent >= MS_FRAMES(500) - 1 && silent <= MS_FRAMES(500 + 2 * block + 11));
            CHECK(first > before && first <= before + MS_FRAMES(2 * block + 1));
            CHECK(samples >= MS_FRAMES(500 - 3 * block - 12));
            from += silent + samples;
        }
        CHECK_EQ(overruns(), 0);
        tear_down();
    }
}

static void a_source_that_wakes_slowly_stalls_nothing(void) {
    size_t silent;
    uint32_t first;

    set_up();
    run(100, 0, 0, 10);
    admit();
    run(700, 0, 0, 10); /* it does not push yet */
    CHECK_EQ(position(), MS_BYTES(800));
    captured_usec = now_usec;
    run(200, 10, 0, 10);
    CHECK_EQ(position(), MS_BYTES(1000));
    CHECK_EQ(numbers_after(0, &silent, &first), MS_FRAMES(190));
    CHECK_EQ(silent, MS_FRAMES(810)); /* the first block is of time that was counted */
    CHECK_EQ(first, MS_FRAMES(10) + 1);
    CHECK_EQ(overruns(), 0);
    tear_down();
}

static void between_two_pushes_the_position_stands(void) {
    set_up();
    admit();
    now_usec += 10 * MSEC;
    push_due();
    CHECK_EQ(position(), MS_BYTES(10));
    now_usec += 39 * MSEC;
    CHECK_EQ(position(), MS_BYTES(10));
    push_due();
    CHECK_EQ(position(), MS_BYTES(49));
    tear_down();
}

/* 250 ms after the last push the clock runs on; what it has counted is dropped from the next block. */
static void a_stalled_source_gives_way_to_the_clock_and_comes_back(void) {
    static const struct {
        const char *title;
        unsigned stall_ms;
        bool buffers; /* what it captured meanwhile comes with the next push */
        unsigned silent_ms, samples_ms;
    } rows[] = {
        {"a late push", 240, true, 0, 440},
        {"a very late push", 400, true, 160, 440},
        {"suspended", 5000, false, 4760, 190},
    };

    for (size_t r = 0; r < N_ELEMENTS(rows); r++) {
        size_t silent, samples;
        uint32_t first;

        CHECK_ROW("%s", rows[r].title);
        set_up_as(600, 20, false);
        sndif_capture_start(&capture, now_usec);
        admit();
        run(500, 10, 0, 10);
        samples = numbers_after(0, &silent, &first);
        CHECK_EQ(samples, MS_FRAMES(490));
        run(rows[r].stall_ms, 0, 0, 10);
        if (!rows[r].buffers)
            captured_usec = now_usec;
        run(200, 10, 0, 1);
        samples = numbers_after(silent + samples, &silent, &first);
        CHECK_EQ(silent, MS_FRAMES(rows[r].silent_ms));
        CHECK_EQ(samples, MS_FRAMES(rows[r].samples_ms));
        tear_down();
    }
}

/* However long its blocks are, a source that keeps its times has no gaps. */
static void long_blocks_are_no_stall(void) {
    size_t silent;
    uint32_t first;

    set_up_as(2000, 500, false);
    sndif_capture_start(&capture, now_usec);
    admit();
    run(6000, 700, 100, 10);
    CHECK(numbers_after(0, &silent, &first) >= MS_FRAMES(6000 - 700 - 800));
    CHECK_EQ(silent, MS_FRAMES(700));
    tear_down();
}

/* ALSA in the guest would give up sooner than a stall is noticed: 100 ms or 1.1 buffers without a period. */
static void linux_sees_a_period_before_it_gives_up(void) {
    static const struct {
        unsigned buffer_ms, period_ms;
    } rows[] = {{40, 10}, {80, 20}, {200, 50}, {500, 125}};

    for (size_t r = 0; r < N_ELEMENTS(rows); r++) {
        const unsigned patience_ms = rows[r].buffer_ms * 11 / 10 > 100 ? rows[r].buffer_ms * 11 / 10 : 100;
        uint64_t stands_at, since_usec;

        CHECK_ROW("buffer %u ms, period %u ms", rows[r].buffer_ms, rows[r].period_ms);
        set_up_as(rows[r].buffer_ms, rows[r].period_ms, true);
        sndif_capture_start(&capture, now_usec);
        admit();
        run(100, rows[r].period_ms / 2, 0, 10);
        stands_at = position();
        since_usec = now_usec;
        while (position() < stands_at + MS_BYTES(rows[r].period_ms))
            now_usec += MSEC;
        CHECK(now_usec - since_usec < (uint64_t) patience_ms * MSEC);
        tear_down();
    }
}

/* ---- privacy ---- */

static bool is_silence(const uint32_t *frames, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (frames[i] != 0)
            return false;
    return true;
}

static bool window_is_silent(void) {
    return is_silence((const uint32_t *) (const void *) capture.window.data, capture.window.bytes / FRAME);
}

static void what_was_not_read_is_gone_when_the_source_is_revoked(void) {
    uint32_t frames[MS_FRAMES(50)];
    uint64_t end;

    set_up();
    admit();
    run(90, 10, 0, 1000);
    end = position();
    CHECK(!window_is_silent());

    sndif_capture_revoke(&capture);
    sndif_capture_read_at(&capture, end - sizeof(frames), frames, sizeof(frames), now_usec);
    CHECK(is_silence(frames, MS_FRAMES(50))); /* at once */
    CHECK(!sndif_capture_admit(&capture));    /* not before it is wiped */
    CHECK(!push(480));                        /* and nothing gets in any more */
    CHECK(sndif_capture_wipe(&capture, now_usec));
    CHECK(!sndif_capture_wipe(&capture, now_usec));
    CHECK(window_is_silent());
    CHECK_EQ(position(), end);

    run(20, 0, 0, 1000);
    CHECK_EQ(position(), end + MS_BYTES(20));
    admit();
    run(20, 10, 0, 1000);
    sndif_capture_read_at(&capture, end - sizeof(frames), frames, sizeof(frames), now_usec);
    CHECK(is_silence(frames, MS_FRAMES(50))); /* nor later */
    CHECK_EQ(overruns(), 0);
    tear_down();
}

static void nothing_is_pushed_unless_admitted(void) {
    set_up();
    now_usec += 10 * MSEC;
    CHECK(!push(480));
    CHECK(window_is_silent());
    CHECK_EQ(position(), MS_BYTES(10));
    tear_down();
}

static void a_stop_discards_and_begins_at_the_next_buffer(void) {
    uint32_t frame;

    set_up();
    admit();
    run(130, 10, 0, 10);
    sndif_capture_revoke(&capture); /* as the owner does before it replies */
    sndif_capture_pause(&capture, now_usec);
    sndif_capture_realign(&capture);
    CHECK_EQ(position(), MS_BYTES(200));
    CHECK(sndif_capture_wipe(&capture, now_usec));
    CHECK_EQ(position(), MS_BYTES(200));
    now_usec += SECOND;
    CHECK_EQ(position(), MS_BYTES(200)); /* it does not run */
    sndif_capture_tell(&capture, position());
    CHECK(window_is_silent());

    read_bytes = position();
    got_frames = 0;
    sndif_capture_start(&capture, now_usec);
    admit();
    run(100, 10, 0, 10);
    CHECK_EQ(position(), MS_BYTES(300));
    sndif_capture_read(&capture, (uint32_t) MS_BYTES(20), &frame, FRAME, now_usec);
    CHECK_EQ(frame, got[MS_FRAMES(20)]);
    CHECK(frame != 0);
    tear_down();
}

/* ---- time ---- */

/* A card whose clock is 200 ppm off, for three hours: the guest gets what it captured, whole. */
static void hours_do_not_drift(void) {
    uint64_t pushed = 0, before;

    set_up();
    admit();
    now_usec += 10 * MSEC;
    push(480); /* counted by the clock */
    before = position();
    for (unsigned i = 0; i < 3 * 3600 * 100; i++) {
        now_usec += 9998 + i % 3;
        push(480);
        pushed += 480;
        if (i % 10 == 0 && !CHECK_EQ(position(), before + pushed * FRAME))
            break;
    }
    CHECK_EQ(position(), before + pushed * FRAME);
    tear_down();
}

static void silence_does_not_drift_either(void) {
    set_up();
    for (unsigned i = 0; i < 3600 * 100; i++) {
        now_usec += 9997;
        position();
    }
    CHECK_EQ(position(), (uint64_t) 3600 * 100 * 9997 * RATE / SECOND * FRAME);
    tear_down();
}

static void the_latency_is_the_age_of_the_last_octet(void) {
    set_up();
    admit();
    now_usec += 10 * MSEC;
    push_aged(480, 3000);
    now_usec += 10 * MSEC;
    push_aged(480, 3000);
    CHECK_EQ(sndif_capture_latency_usec(&capture, position(), now_usec), 3000);
    now_usec += 4 * MSEC;
    CHECK_EQ(sndif_capture_latency_usec(&capture, position(), now_usec), 7000);
    CHECK_EQ(sndif_capture_latency_usec(&capture, position() - MS_BYTES(5), now_usec), 12000);
    push_aged(48, -9000); /* a monitor has what will sound only then */
    CHECK_EQ(sndif_capture_latency_usec(&capture, position(), now_usec), 0);
    now_usec += 10 * MSEC;
    CHECK_EQ(sndif_capture_latency_usec(&capture, position(), now_usec), 1000);
    now_usec += SECOND; /* stalled: silence is of now */
    CHECK_EQ(sndif_capture_latency_usec(&capture, position(), now_usec), 0);
    tear_down();
}

static void a_push_wakes_once_and_only_at_the_position_wanted(void) {
    set_up();
    CHECK_EQ(sndif_capture_await_usec(&capture, MS_BYTES(20), now_usec), 20 * MSEC + 1);
    admit();
    now_usec += 10 * MSEC;
    CHECK(!push(480)); /* position 10 ms */
    /* no timer before the source counts as stalled */
    CHECK_EQ(sndif_capture_await_usec(&capture, MS_BYTES(20), now_usec), 250 * MSEC + 10 * MSEC + 1);
    CHECK(!push(240));
    CHECK(push(240));
    CHECK(!push(480));
    CHECK_EQ(sndif_capture_await_usec(&capture, MS_BYTES(25), now_usec), 1); /* it is there already */
    tear_down();
}

/* ---- reading ---- */

static void every_offset_and_length_gives_what_was_captured(void) {
    const uint64_t buffer = MS_BYTES(100);
    unsigned long long seed = 7;
    uint32_t frames[MS_FRAMES(100)];

    set_up();
    admit();
    now_usec += MSEC;
    push(48); /* counted by the clock: frame n is at position n * FRAME from now on */
    for (unsigned i = 0; i < 3000; i++) {
        const uint32_t block = (uint32_t) (check_random(&seed) % 600);
        uint64_t told, start, n;

        now_usec += 5 * MSEC;
        push(block);
        told = position();
        sndif_capture_tell(&capture, told);
        if (told < buffer)
            continue;
        start = told - (1 + check_random(&seed) % (buffer / FRAME)) * FRAME;
        n = told - start < buffer - start % buffer ? told - start : buffer - start % buffer;
        n = (1 + check_random(&seed) % (n / FRAME)) * FRAME;
        /* the frontend may be late: up to a buffer and 100 ms may have come since it was told */
        push((uint32_t) (check_random(&seed) % MS_FRAMES(200)));
        sndif_capture_read(&capture, (uint32_t) (start % buffer), frames, (uint32_t) n, now_usec);
        for (uint64_t f = 0; f < n / FRAME; f++)
            if (!CHECK_EQ(frames[f], start / FRAME + f + 1))
                return;
    }
    CHECK_EQ(overruns(), 0);
    tear_down();
}

static void short_data_are_filled_and_counted(void) {
    static const struct {
        const char *title;
        int64_t from_ms, length_ms; /* from the position */
        uint64_t silent_ms, overruns;
        bool at_end;
    } rows[] = {
        {"the last 20 ms", -20, 20, 0, 0, true},
        {"half of it not yet captured", -10, 20, 10, 1, true},
        {"all of it not yet captured", 0, 20, 20, 1, true},
        {"far ahead", 100000, 20, 20, 1, true},
        {"a buffer and 100 ms back", -200, 20, 0, 0, false},
        {"long gone", -5000, 20, 20, 1, false},
    };

    for (size_t r = 0; r < N_ELEMENTS(rows); r++) {
        uint32_t frames[MS_FRAMES(20)];
        const size_t silent = MS_FRAMES(rows[r].silent_ms), there = MS_FRAMES(20) - silent;
        uint64_t start;

        CHECK_ROW("%s", rows[r].title);
        set_up();
        admit();
        run(8000, 10, 0, 10);
        start = position() + (uint64_t) (rows[r].from_ms * (int64_t) MS_BYTES(1));
        memset(frames, 0xee, sizeof(frames));
        sndif_capture_read_at(&capture, start, frames, sizeof(frames), now_usec);
        CHECK(is_silence(rows[r].at_end ? frames + there : frames, silent));
        for (size_t f = 0; f < there; f++)
            CHECK_EQ(frames[f + (rows[r].at_end ? 0 : silent)], start / FRAME + f + 1);
        CHECK_EQ(overruns(), rows[r].overruns);
        tear_down();
    }
}

static void positions_at_the_limits_harm_nobody(void) {
    uint32_t frames[MS_FRAMES(20)];

    set_up();
    admit();
    run(500, 10, 0, 10);
    CHECK(!sndif_capture_may_read_at(&capture, UINT64_MAX, 4));
    CHECK(!sndif_capture_may_read_at(&capture, UINT64_MAX - 3, 8));
    CHECK(!sndif_capture_may_read_at(&capture, 2, 4));
    CHECK(sndif_capture_may_read_at(&capture, UINT64_MAX - 1023, 1020));
    sndif_capture_read_at(&capture, UINT64_MAX - 1023, frames, 1020, now_usec);
    CHECK(is_silence(frames, 255));
    sndif_capture_read_at(&capture, 0, frames, sizeof(frames), now_usec);
    CHECK_EQ(overruns(), 1); /* half a second is kept */

    /* before anything was told */
    capture.told_bytes = 0;
    sndif_capture_read(&capture, 0, frames, sizeof(frames), now_usec);
    sndif_capture_read(&capture, (uint32_t) MS_BYTES(80), frames, (uint32_t) MS_BYTES(20), now_usec);
    tear_down();
}

static void a_block_larger_than_all_memory_leaves_its_end(void) {
    uint32_t frames[MS_FRAMES(20)];
    const uint32_t block = (uint32_t) (capture.window.bytes / FRAME + 48000 * 3);

    set_up();
    admit();
    now_usec += MSEC;
    push(48);
    push(block);
    CHECK_EQ(position(), MS_BYTES(1) + (uint64_t) block * FRAME);
    sndif_capture_read_at(&capture, position() - sizeof(frames), frames, sizeof(frames), now_usec);
    CHECK_EQ(frames[0], captured - MS_FRAMES(20) + 1);
    CHECK_EQ(overruns(), 0);
    sndif_capture_read_at(&capture, position() - capture.window.bytes - FRAME, frames, sizeof(frames),
                          now_usec);
    CHECK_EQ(frames[0], 0);
    CHECK(frames[1] != 0);
    CHECK_EQ(overruns(), 1);
    tear_down();
}

/* Three channels: 12 octets, which no power of two is a multiple of; and a silence that is not 0. */
static void odd_frames_wrap_too(void) {
    const struct sndif_params params = {
        .format = sndif_format_by_id(XENSND_PCM_FORMAT_U8),
        .rate = 8000,
        .channels = 3,
        .frame_bytes = 3,
        .buffer_bytes = 3000,
        .period_bytes = 300,
    };
    uint8_t block[240], back[240];
    uint64_t end;

    now_usec = 1000 * MSEC;
    CHECK_EQ(sndif_capture_init(&capture, &params, false), 0);
    sndif_capture_start(&capture, now_usec);
    CHECK(sndif_capture_admit(&capture));
    for (unsigned i = 0; i < 2000; i++) {
        for (unsigned k = 0; k < sizeof(block); k++)
            block[k] = (uint8_t) (i * 7 + k);
        now_usec += 10 * MSEC;
        sndif_capture_push(&capture, block, sizeof(block), now_usec, 0);
        end = sndif_capture_position(&capture, now_usec);
        sndif_capture_read_at(&capture, end - sizeof(back), back, sizeof(back), now_usec);
        if (i > 0 && !CHECK(memcmp(block, back, sizeof(block)) == 0))
            break;
    }
    sndif_capture_revoke(&capture);
    sndif_capture_read_at(&capture, end - sizeof(back), back, sizeof(back), now_usec);
    for (unsigned k = 0; k < sizeof(back); k++)
        CHECK_EQ(back[k], 0x80);
    sndif_capture_done(&capture);
}

static void floats_are_as_captured(void) {
    const struct sndif_params params = {
        .format = sndif_format_by_id(XENSND_PCM_FORMAT_F32_LE),
        .rate = RATE,
        .channels = 1,
        .frame_bytes = 4,
        .buffer_bytes = 4800,
    };
    const uint32_t samples[4] = {0x7fc00000, 0x7f800000, 0x3f800000, 0xffffffff};
    uint32_t back[4];

    now_usec = 1000 * MSEC;
    CHECK_EQ(sndif_capture_init(&capture, &params, false), 0);
    sndif_capture_start(&capture, now_usec);
    CHECK(sndif_capture_admit(&capture));
    sndif_capture_push(&capture, samples, sizeof(samples), now_usec, 0);
    sndif_capture_read_at(&capture, 0, back, sizeof(back), now_usec);
    CHECK(memcmp(samples, back, sizeof(back)) == 0);
    sndif_capture_done(&capture);
}

int main(void) {
    static const struct check_test tests[] = {
        {"without a source time passes in silence", without_a_source_time_passes_in_silence},
        {"samples follow silence, and silence samples, without a jump",
         samples_follow_silence_and_silence_samples_without_a_jump},
        {"a source that wakes slowly stalls nothing", a_source_that_wakes_slowly_stalls_nothing},
        {"between two pushes the position stands", between_two_pushes_the_position_stands},
        {"a stalled source gives way to the clock and comes back",
         a_stalled_source_gives_way_to_the_clock_and_comes_back},
        {"long blocks are no stall", long_blocks_are_no_stall},
        {"Linux sees a period before it gives up", linux_sees_a_period_before_it_gives_up},
        {"what was not read is gone when the source is revoked",
         what_was_not_read_is_gone_when_the_source_is_revoked},
        {"nothing is pushed unless admitted", nothing_is_pushed_unless_admitted},
        {"a stop discards, and begins at the next buffer", a_stop_discards_and_begins_at_the_next_buffer},
        {"hours do not drift", hours_do_not_drift},
        {"silence does not drift either", silence_does_not_drift_either},
        {"the latency is the age of the last octet", the_latency_is_the_age_of_the_last_octet},
        {"a push wakes once, and only at the position wanted",
         a_push_wakes_once_and_only_at_the_position_wanted},
        {"every offset and length gives what was captured", every_offset_and_length_gives_what_was_captured},
        {"short data are filled and counted", short_data_are_filled_and_counted},
        {"positions at the limits harm nobody", positions_at_the_limits_harm_nobody},
        {"a block larger than all memory leaves its end", a_block_larger_than_all_memory_leaves_its_end},
        {"odd frames wrap too", odd_frames_wrap_too},
        {"floats are as captured", floats_are_as_captured},
    };

    return check_main("capture", tests, N_ELEMENTS(tests));
}
