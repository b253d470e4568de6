/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-playback.h"

#include <string.h>

/* Longest stretch that dom0 queues on top of the frontend's buffer. */
#define QUEUE_USEC 1000000u
/* A sink that has been dry for so long has stopped; what piled up meanwhile is not worth hearing. */
#define STALL_USEC 250000u
/* Data that come so soon after the end has been heard are still played: a late thread costs a gap, but no frame. */
#define DRY_GRACE_USEC 100000u
/* How often to look whether a sink has begun to pull at all, and whether one that is late has pulled the end. */
#define UNHEARD_POLL_USEC 10000u
#define LATE_PULL_POLL_USEC 2000u
#define HOLD_LIMIT_USEC 2000000u

static uint64_t usec_to_bytes(const struct sndif_playback *playback, uint64_t usec) {
    return sndif_usec_to_bytes(&playback->params, usec);
}

static uint64_t bytes_to_usec(const struct sndif_playback *playback, uint64_t bytes) {
    return sndif_bytes_to_usec(&playback->params, bytes);
}

static uint64_t margin_bytes(const struct sndif_playback *playback) {
    return usec_to_bytes(playback, playback->margin.usec);
}

/* ---- the clock: written by the audio thread, or by the stream thread while the other does not pull ---- */

/* When the octet at position is heard, by the last pull. */
static uint64_t clock_heard(const struct sndif_playback *playback, const struct sndif_clock *clock,
                            uint64_t position_bytes) {
    if (position_bytes >= clock->bytes)
        return clock->sound_usec + bytes_to_usec(playback, position_bytes - clock->bytes);

    return clock->sound_usec -
           min_u64(clock->sound_usec, bytes_to_usec(playback, clock->bytes - position_bytes));
}

/* ---- life ---- */

int sndif_playback_init(struct sndif_playback *playback, const struct sndif_params *params,
                        bool linux_quirks) {
    memset(playback, 0, sizeof(*playback));
    playback->params = *params;
    playback->hold_limit_usec = linux_quirks ? sndif_alsa_patience_usec(&playback->params) : HOLD_LIMIT_USEC;

    return sndif_window_init(&playback->window,
                             params->buffer_bytes + (size_t) usec_to_bytes(playback, QUEUE_USEC),
                             params->format->silence);
}

void sndif_playback_done(struct sndif_playback *playback) {
    sndif_window_done(&playback->window);
}

/* ---- stream thread ---- */

void sndif_playback_start(struct sndif_playback *playback, uint64_t now_usec) {
    struct sndif_clock clock = sndif_clock_read(&playback->clock);

    clock.at_usec = now_usec;
    clock.sound_usec = 0;
    sndif_clock_publish(&playback->clock, &clock);
    playback->base_bytes = playback->position_bytes;
    playback->position_usec = now_usec;
    sndif_margin_start(&playback->margin, now_usec);
    atomic_store_explicit(&playback->starved, false, memory_order_relaxed);
    atomic_store_explicit(&playback->slack_bytes, UINT64_MAX, memory_order_relaxed);
    playback->running = true;
}

void sndif_playback_pause(struct sndif_playback *playback, uint64_t now_usec) {
    sndif_playback_position(playback, now_usec);
    playback->running = false;
}

void sndif_playback_realign(struct sndif_playback *playback) {
    const uint64_t buffer_bytes = playback->params.buffer_bytes;
    const uint64_t aligned = (playback->position_bytes + buffer_bytes - 1) / buffer_bytes * buffer_bytes;

    const struct sndif_clock clock = {.bytes = aligned};

    /* before the clock, which the audio thread reads first */
    atomic_store_explicit(&playback->skip_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&playback->floor_bytes, aligned, memory_order_release);
    sndif_clock_publish(&playback->clock, &clock);
    playback->position_bytes = aligned;
    playback->base_bytes = aligned;
    atomic_store_explicit(&playback->write_bytes, aligned, memory_order_release);
}

/* The stream position that offset means (docs/protocol.md): onwards, back to what is not yet played, or
 * ahead. */
static uint64_t position_of_offset(const struct sndif_playback *playback, uint32_t offset_bytes,
                                   uint64_t write_bytes) {
    const uint64_t buffer_bytes = playback->params.buffer_bytes;
    const uint64_t ahead = (offset_bytes + buffer_bytes - write_bytes % buffer_bytes) % buffer_bytes;
    const uint64_t back = buffer_bytes - ahead;
    const uint64_t slack = buffer_bytes / 8;
    const uint64_t ahead_bytes = write_bytes + ahead;
    uint64_t laps = 0;

    if (ahead == 0)
        return write_bytes;
    if (write_bytes >= back && write_bytes - back + slack >= playback->position_bytes &&
        write_bytes - back >= playback->base_bytes)
        return write_bytes - back;
    /* after an underrun the position may be laps of the buffer ahead */
    if (ahead_bytes + slack < playback->position_bytes)
        laps = (playback->position_bytes - slack - ahead_bytes + buffer_bytes - 1) / buffer_bytes;
    return ahead_bytes + laps * buffer_bytes;
}

/* NaN and infinity would stay in a mixer's filters for ever. */
static void sanitise_floats(const struct sndif_format *format, uint8_t *data, size_t length_bytes) {
    const size_t exponent = format->id == XENSND_PCM_FORMAT_F32_BE ? 0 : 3;

    for (size_t i = 0; i + 4 <= length_bytes; i += 4) {
        uint8_t *sample = data + i;
        bool exponent_full = (sample[exponent] & 0x7f) == 0x7f && (sample[exponent == 0 ? 1 : 2] & 0x80) != 0;

        if (exponent_full)
            memset(sample, 0, 4);
    }
}

/* In our own memory, where the frontend cannot change them any more. */
static void sanitise(struct sndif_playback *playback, uint64_t position_bytes, size_t length_bytes) {
    while (length_bytes > 0) {
        size_t n = length_bytes;
        uint8_t *data = sndif_window_at(&playback->window, position_bytes, &n);

        sanitise_floats(playback->params.format, data, n);
        position_bytes += n;
        length_bytes -= n;
    }
}

/* Data after a pull that found too little: an underrun, not the end of the music. */
static void count_lateness(struct sndif_playback *playback, uint64_t late_bytes) {
    atomic_fetch_add_explicit(&playback->stats.late_bytes, late_bytes, memory_order_relaxed);
    if (atomic_exchange_explicit(&playback->starved, false, memory_order_relaxed))
        atomic_fetch_add_explicit(&playback->stats.underruns, 1, memory_order_relaxed);
}

static void judge_margin(struct sndif_playback *playback, uint64_t now_usec) {
    const uint64_t slack = atomic_exchange_explicit(&playback->slack_bytes, UINT64_MAX, memory_order_relaxed);

    sndif_margin_judge(&playback->margin, slack == UINT64_MAX ? slack : bytes_to_usec(playback, slack),
                       now_usec);
}

/* What is there already stays: silence for a gap, unless the position has left it behind, then it is none any more. */
static void bridge_gap(struct sndif_playback *playback, uint64_t write_bytes, uint64_t start,
                       uint64_t read_bytes) {
    if (start > write_bytes && read_bytes < write_bytes)
        sndif_window_put(&playback->window, write_bytes, NULL, (size_t) (start - write_bytes));
    else if (start > write_bytes)
        atomic_store_explicit(&playback->skip_bytes, start, memory_order_relaxed);
}

bool sndif_playback_may_write_at(struct sndif_playback *playback, uint64_t position_bytes,
                                 uint32_t length_bytes, uint64_t now_usec) {
    const uint64_t position = sndif_playback_position(playback, now_usec);
    const uint64_t span = playback->window.bytes;

    return position_bytes % playback->params.frame_bytes == 0 && length_bytes <= span &&
           position_bytes <= UINT64_MAX - length_bytes && position_bytes + length_bytes <= position + span;
}

void sndif_playback_write_at(struct sndif_playback *playback, uint64_t start_bytes, const void *samples,
                             uint32_t length_bytes, uint64_t now_usec) {
    const uint64_t write_bytes = atomic_load_explicit(&playback->write_bytes, memory_order_relaxed);
    const uint64_t read_bytes = sndif_clock_read(&playback->clock).bytes;
    const uint64_t position = sndif_playback_position(playback, now_usec);
    const uint64_t end = start_bytes + length_bytes;
    const uint64_t late = start_bytes < read_bytes ? min_u64(end, read_bytes) - start_bytes : 0;

    bridge_gap(playback, write_bytes, start_bytes, read_bytes);
    sndif_window_put(&playback->window, start_bytes + late, (const uint8_t *) samples + late,
                     (size_t) (length_bytes - late));
    if (playback->params.format->is_float)
        sanitise(playback, start_bytes + late, (size_t) (length_bytes - late));
    /* the samples before the index that says they are there */
    atomic_store_explicit(&playback->write_bytes, end, memory_order_release);

    if (playback->running) {
        count_lateness(playback, late);
        judge_margin(playback, now_usec);
    }
    if (end > position)
        playback->fill_bytes = max_u64(playback->fill_bytes, end - position);
}

void sndif_playback_write(struct sndif_playback *playback, uint32_t offset_bytes, const void *samples,
                          uint32_t length_bytes, uint64_t now_usec) {
    const uint64_t write_bytes = atomic_load_explicit(&playback->write_bytes, memory_order_relaxed);

    sndif_playback_position(playback, now_usec);
    sndif_playback_write_at(playback, position_of_offset(playback, offset_bytes, write_bytes), samples,
                            length_bytes, now_usec);
}

/* By the last pull's account, which has what is heard then; or the audio thread has found the queue dry and gone on. */
static bool end_is_heard(const struct sndif_playback *playback, const struct sndif_clock *clock, uint64_t end,
                         uint64_t now_usec) {
    return clock->bytes >= end && (clock->sound_usec == 0 || now_usec >= clock_heard(playback, clock, end));
}

/* When it is, as far as can be told. */
static uint64_t end_heard_usec(const struct sndif_playback *playback, const struct sndif_clock *clock,
                               uint64_t end, uint64_t now_usec) {
    const uint64_t heard_usec = clock_heard(playback, clock, end);

    if (clock->sound_usec == 0)
        return now_usec + UNHEARD_POLL_USEC;
    return clock->bytes >= end ? heard_usec : max_u64(heard_usec, now_usec + LATE_PULL_POLL_USEC);
}

/* When the position may leave the end of the data behind although it has not been heard. */
static uint64_t hold_limit(const struct sndif_playback *playback, const struct sndif_clock *clock,
                           uint64_t end) {
    const uint64_t reached_usec = clock->at_usec + bytes_to_usec(playback, end - min_u64(end, clock->bytes));

    return reached_usec + playback->hold_limit_usec;
}

/*
 * The position would leave the data behind. It waits one frame short of their end until that end has been
 * heard, so that a drain ends when the listener's ears say so; then it steps over the next period, which ends
 * an ALSA drain at once.
 */
static uint64_t hold_at_end(const struct sndif_playback *playback, const struct sndif_clock *clock,
                            uint64_t target, uint64_t end, uint64_t now_usec) {
    const bool heard = end_is_heard(playback, clock, end, now_usec);
    const uint64_t period = playback->params.period_bytes;

    if (!heard && now_usec < hold_limit(playback, clock, end))
        return end - playback->params.frame_bytes;
    if (period == 0)
        return target;

    return max_u64(target, playback->base_bytes +
                               (end - playback->base_bytes + period - 1) / period * period +
                               playback->params.frame_bytes);
}

/*
 * A pull that comes late, or a rewind, leaves the position ahead of the clock. It never goes back, nor stands
 * still until the clock has caught up (ALSA would give up): half the speed.
 */
static uint64_t slowest_position(const struct sndif_playback *playback, uint64_t now_usec) {
    const uint64_t elapsed_usec = now_usec - min_u64(now_usec, playback->position_usec);

    return playback->position_bytes + usec_to_bytes(playback, elapsed_usec / 2);
}

/* When that reaches the given position. */
static uint64_t slowest_usec(const struct sndif_playback *playback, uint64_t position_bytes) {
    const uint64_t ahead_bytes = position_bytes - min_u64(position_bytes, playback->position_bytes);

    return playback->position_usec + 2 * bytes_to_usec(playback, ahead_bytes);
}

uint64_t sndif_playback_position(struct sndif_playback *playback, uint64_t now_usec) {
    struct sndif_clock clock;
    uint64_t target, end;

    if (!playback->running)
        return playback->position_bytes;

    sndif_margin_grow(&playback->margin, now_usec);
    clock = sndif_clock_read(&playback->clock);
    target = sndif_clock_position(&clock, &playback->params, now_usec) + margin_bytes(playback);
    end = atomic_load_explicit(&playback->write_bytes, memory_order_relaxed);

    target = max_u64(target, slowest_position(playback, now_usec));
    if (target >= end && playback->position_bytes < end)
        target = hold_at_end(playback, &clock, target, end, now_usec);

    if (target > playback->position_bytes) {
        playback->position_bytes = target;
        playback->position_usec = now_usec;
    }
    return playback->position_bytes;
}

uint64_t sndif_playback_wait_usec(const struct sndif_playback *playback, uint64_t position_bytes,
                                  uint64_t now_usec) {
    const uint64_t end = atomic_load_explicit(&playback->write_bytes, memory_order_relaxed);
    const struct sndif_clock clock = sndif_clock_read(&playback->clock);
    const uint64_t ahead_bytes = clock.bytes + margin_bytes(playback);
    uint64_t due_usec =
        clock.at_usec + bytes_to_usec(playback, position_bytes - min_u64(position_bytes, ahead_bytes));

    due_usec = min_u64(due_usec, slowest_usec(playback, position_bytes));
    if (position_bytes >= end && playback->position_bytes < end) {
        const uint64_t heard_usec = end_heard_usec(playback, &clock, end, now_usec);

        due_usec = max_u64(due_usec, min_u64(heard_usec, hold_limit(playback, &clock, end)));
    }
    return max_u64(due_usec, now_usec + 1) - now_usec + 1;
}

uint64_t sndif_playback_latency_usec(const struct sndif_playback *playback, uint64_t position_bytes,
                                     uint64_t now_usec) {
    const struct sndif_clock clock = sndif_clock_read(&playback->clock);
    const uint64_t heard_usec = clock_heard(playback, &clock, position_bytes);

    if (clock.sound_usec == 0)
        return bytes_to_usec(playback, position_bytes - min_u64(position_bytes, clock.bytes));
    return heard_usec - min_u64(heard_usec, now_usec);
}

uint64_t sndif_playback_take_fill_usec(struct sndif_playback *playback) {
    const uint64_t fill_usec = bytes_to_usec(playback, playback->fill_bytes);

    playback->fill_bytes = 0;
    return fill_usec;
}

/* ---- audio thread ---- */

/* Octets from read_bytes on that are there to be pulled. */
static uint64_t available_bytes(uint64_t write_bytes, const struct sndif_clock *clock) {
    return write_bytes > clock->bytes ? write_bytes - clock->bytes : 0;
}

/*
 * Where to read from. Mostly where the last pull ended: data that come a little late are heard a little late,
 * and none is lost. But once the listener has heard the end, or the sink has stood still, the position has
 * run on, and so do we.
 */
static void follow_position(struct sndif_playback *playback, struct sndif_clock *clock, uint64_t write_bytes,
                            uint64_t now_usec) {
    const bool stalled = clock->sound_usec != 0 && now_usec > clock->sound_usec + STALL_USEC;
    const uint64_t dry_usec = clock->sound_usec != 0 ? clock->sound_usec : clock->at_usec;
    const bool dry = available_bytes(write_bytes, clock) == 0 && now_usec >= dry_usec + DRY_GRACE_USEC;

    if (stalled || dry) {
        if (clock->sound_usec != 0)
            atomic_store_explicit(&playback->starved, true, memory_order_relaxed);
        clock->bytes = sndif_clock_position(clock, &playback->params, now_usec);
        clock->at_usec = now_usec;
        clock->sound_usec = 0;
        sndif_clock_publish(&playback->clock, clock);
    } else if (available_bytes(write_bytes, clock) > playback->window.bytes) {
        clock->bytes = write_bytes - playback->params.buffer_bytes;
    }
}

/* The least since the stream thread last took it. */
static void note_slack(struct sndif_playback *playback, uint64_t slack_bytes) {
    if (slack_bytes < atomic_load_explicit(&playback->slack_bytes, memory_order_relaxed))
        atomic_store_explicit(&playback->slack_bytes, slack_bytes, memory_order_relaxed);
}

void sndif_playback_pull(struct sndif_playback *playback, void *dst, size_t length_bytes, uint64_t now_usec,
                         int64_t latency_usec) {
    const uint64_t write_bytes = atomic_load_explicit(&playback->write_bytes, memory_order_acquire);
    struct sndif_clock clock = sndif_clock_read(&playback->clock);
    size_t available;

    clock.bytes = max_u64(clock.bytes, atomic_load_explicit(&playback->skip_bytes, memory_order_relaxed));
    follow_position(playback, &clock, write_bytes, now_usec);
    available = (size_t) min_u64(available_bytes(write_bytes, &clock), length_bytes);

    /* Nothing is heard before a whole block is there, or the frontend has no more to give: no gap after the
     * first frame. */
    if (clock.sound_usec == 0 && available < length_bytes &&
        (available == 0 || sndif_clock_position(&clock, &playback->params, now_usec) < write_bytes)) {
        memset(dst, playback->params.format->silence, length_bytes);
        playback->pulled_bytes = 0;
        return;
    }

    sndif_window_get(&playback->window, clock.bytes, dst, available);
    if (available < length_bytes) {
        memset((uint8_t *) dst + available, playback->params.format->silence, length_bytes - available);
        atomic_store_explicit(&playback->starved, true, memory_order_relaxed);
    }
    playback->pulled_bytes = available < length_bytes ? 0 : playback->pulled_bytes + length_bytes;
    if (clock.sound_usec != 0)
        note_slack(playback, available_bytes(write_bytes, &clock) - available);
    if (available > 0) {
        clock.bytes += available;
        clock.at_usec = now_usec;
        clock.sound_usec =
            (uint64_t) ((int64_t) now_usec + latency_usec) + bytes_to_usec(playback, available);
        sndif_clock_publish(&playback->clock, &clock);
    }
}

void sndif_playback_push_back(struct sndif_playback *playback, size_t length_bytes) {
    const uint64_t write_bytes = atomic_load_explicit(&playback->write_bytes, memory_order_acquire);
    struct sndif_clock clock = sndif_clock_read(&playback->clock);
    const uint64_t floor_bytes = atomic_load_explicit(&playback->floor_bytes, memory_order_acquire);
    const uint64_t queued = available_bytes(write_bytes, &clock) + playback->params.buffer_bytes;
    const uint64_t kept = playback->window.bytes - min_u64(playback->window.bytes, queued);
    const uint64_t undiscarded = clock.bytes - min_u64(clock.bytes, floor_bytes);
    const uint64_t n = min_u64(min_u64(length_bytes, playback->pulled_bytes), min_u64(kept, undiscarded));

    if (n == 0)
        return;
    clock.bytes -= n;
    clock.sound_usec -= min_u64(clock.sound_usec - 1, bytes_to_usec(playback, n));
    playback->pulled_bytes -= n;
    sndif_clock_publish(&playback->clock, &clock);
}
