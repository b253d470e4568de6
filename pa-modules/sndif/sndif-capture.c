/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-capture.h"

#include <string.h>

/* Kept on top of two of the frontend's buffers: one before the position it knows, one by which that may be old. */
#define KEEP_USEC 250000u
/* A source that is so late has stopped; one with long blocks may be later. */
#define STALL_MIN_USEC 250000u
#define STALL_MAX_USEC 2000000u
/* However small the buffer of a frontend's ALSA: no source is that punctual. */
#define STALL_ALSA_MIN_USEC 40000u

static bool is_admitted(const struct sndif_capture *capture) {
    return atomic_load(&capture->access) == SNDIF_CAPTURE_ADMITTED;
}

/* ---- life ---- */

int sndif_capture_init(struct sndif_capture *capture, const struct sndif_params *params, bool linux_quirks) {
    memset(capture, 0, sizeof(*capture));
    capture->params = *params;
    capture->stall_min_usec = STALL_MIN_USEC;
    capture->stall_max_usec = STALL_MAX_USEC;
    if (linux_quirks)
        capture->stall_min_usec = capture->stall_max_usec =
            max_u64(min_u64(sndif_alsa_patience_usec(params), STALL_MIN_USEC), STALL_ALSA_MIN_USEC);

    capture->clean = true;
    atomic_store(&capture->wanted_bytes, UINT64_MAX);
    return sndif_window_init(
        &capture->window, 2 * (size_t) params->buffer_bytes + (size_t) sndif_usec_to_bytes(params, KEEP_USEC),
        params->format->silence);
}

void sndif_capture_done(struct sndif_capture *capture) {
    sndif_window_done(&capture->window);
}

/* ---- owner ---- */

bool sndif_capture_admit(struct sndif_capture *capture) {
    int silent = SNDIF_CAPTURE_SILENT;

    return atomic_compare_exchange_strong(&capture->access, &silent, SNDIF_CAPTURE_ADMITTED);
}

void sndif_capture_revoke(struct sndif_capture *capture) {
    int admitted = SNDIF_CAPTURE_ADMITTED;

    atomic_compare_exchange_strong(&capture->access, &admitted, SNDIF_CAPTURE_REVOKED);
}

/* ---- stream thread ---- */

/* Goes on from here by the clock. Only while no source is admitted: the clock is the audio thread's else. */
static void run_from(struct sndif_capture *capture, uint64_t position_bytes, uint64_t now_usec) {
    const struct sndif_clock clock = {.bytes = position_bytes, .at_usec = now_usec};

    sndif_clock_publish(&capture->clock, &clock);
    atomic_store_explicit(&capture->position_bytes, position_bytes, memory_order_relaxed);
}

void sndif_capture_start(struct sndif_capture *capture, uint64_t now_usec) {
    const uint64_t position = sndif_capture_position(capture, now_usec);

    run_from(capture, position, now_usec);
    capture->base_bytes = position;
    capture->running = true;
}

void sndif_capture_pause(struct sndif_capture *capture, uint64_t now_usec) {
    sndif_capture_position(capture, now_usec);
    capture->running = false;
}

void sndif_capture_realign(struct sndif_capture *capture) {
    const uint64_t buffer_bytes = capture->params.buffer_bytes;
    const uint64_t position = atomic_load_explicit(&capture->position_bytes, memory_order_relaxed);
    const uint64_t aligned = (position + buffer_bytes - 1) / buffer_bytes * buffer_bytes;

    run_from(capture, aligned, 0);
    capture->base_bytes = aligned;
}

bool sndif_capture_wipe(struct sndif_capture *capture, uint64_t now_usec) {
    if (atomic_load(&capture->access) != SNDIF_CAPTURE_REVOKED)
        return false;

    run_from(capture, sndif_capture_position(capture, now_usec), now_usec);
    sndif_window_put(&capture->window, 0, NULL, capture->window.bytes);
    capture->clean = true;
    atomic_store(&capture->access, SNDIF_CAPTURE_SILENT);
    return true;
}

uint64_t sndif_capture_position(struct sndif_capture *capture, uint64_t now_usec) {
    const struct sndif_clock clock = sndif_clock_read(&capture->clock);
    uint64_t position = atomic_load_explicit(&capture->position_bytes, memory_order_relaxed);

    if (!capture->running)
        return position;

    position = max_u64(position, sndif_clock_position(&clock, &capture->params, now_usec));
    atomic_store_explicit(&capture->position_bytes, position, memory_order_relaxed);
    return position;
}

void sndif_capture_tell(struct sndif_capture *capture, uint64_t position_bytes) {
    capture->distance_bytes = max_u64(capture->distance_bytes, position_bytes - capture->told_bytes);
    capture->told_bytes = position_bytes;
}

uint64_t sndif_capture_await_usec(struct sndif_capture *capture, uint64_t position_bytes, uint64_t now_usec) {
    struct sndif_clock clock;
    uint64_t due_usec;

    /* asked for before looking: a push that the look misses finds it */
    atomic_store_explicit(&capture->wanted_bytes, position_bytes, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    clock = sndif_clock_read(&capture->clock);
    if (clock.bytes >= position_bytes)
        return 1;

    due_usec = clock.at_usec + sndif_bytes_to_usec(&capture->params, position_bytes - clock.bytes);
    return max_u64(due_usec, now_usec + 1) - now_usec + 1;
}

uint64_t sndif_capture_latency_usec(const struct sndif_capture *capture, uint64_t position_bytes,
                                    uint64_t now_usec) {
    const struct sndif_clock clock = sndif_clock_read(&capture->clock);
    const uint64_t since_usec = now_usec - min_u64(now_usec, clock.sound_usec);

    if (clock.sound_usec == 0 || position_bytes > clock.bytes)
        return 0;
    return since_usec + sndif_bytes_to_usec(&capture->params, clock.bytes - position_bytes);
}

uint64_t sndif_capture_take_distance_usec(struct sndif_capture *capture) {
    const uint64_t distance_bytes = min_u64(capture->distance_bytes, capture->params.buffer_bytes);

    capture->distance_bytes = 0;
    return sndif_bytes_to_usec(&capture->params, distance_bytes);
}

/* ---- stream thread: reading ---- */

bool sndif_capture_may_read_at(const struct sndif_capture *capture, uint64_t position_bytes,
                               uint32_t length_bytes) {
    return position_bytes % capture->params.frame_bytes == 0 && position_bytes <= UINT64_MAX - length_bytes;
}

void sndif_capture_read_at(struct sndif_capture *capture, uint64_t start_bytes, void *dst,
                           uint32_t length_bytes, uint64_t now_usec) {
    const uint64_t filled =
        is_admitted(capture) ? atomic_load_explicit(&capture->filled_bytes, memory_order_acquire) : 0;
    const uint64_t position = sndif_capture_position(capture, now_usec);
    const size_t stored = (size_t) min_u64(length_bytes, filled - min_u64(filled, start_bytes));
    uint64_t claimed, oldest;

    sndif_window_get(&capture->window, start_bytes, dst, stored);
    memset((uint8_t *) dst + stored, capture->window.silence, length_bytes - stored);

    /* looked at after the copy: a push may have gone over it meanwhile */
    atomic_thread_fence(memory_order_acquire);
    claimed = atomic_load_explicit(&capture->claimed_bytes, memory_order_relaxed);
    oldest = claimed - min_u64(claimed, capture->window.bytes);
    if (start_bytes < oldest)
        memset(dst, capture->window.silence, (size_t) min_u64(length_bytes, oldest - start_bytes));

    if (start_bytes < oldest || start_bytes + length_bytes > position)
        atomic_fetch_add_explicit(&capture->stats.overruns, 1, memory_order_relaxed);
}

/* The stream position that offset means (docs/protocol.md): within the buffer before the last one told. */
static uint64_t position_of_offset(const struct sndif_capture *capture, uint32_t offset_bytes) {
    const uint64_t buffer_bytes = capture->params.buffer_bytes, told_bytes = capture->told_bytes;
    const uint64_t ahead = (offset_bytes + buffer_bytes - told_bytes % buffer_bytes) % buffer_bytes;

    return told_bytes + ahead - (told_bytes + ahead < buffer_bytes ? 0 : buffer_bytes);
}

void sndif_capture_read(struct sndif_capture *capture, uint32_t offset_bytes, void *dst,
                        uint32_t length_bytes, uint64_t now_usec) {
    sndif_capture_read_at(capture, position_of_offset(capture, offset_bytes), dst, length_bytes, now_usec);
}

/* ---- audio thread ---- */

/* Stores samples at a position behind all others, and silence between. */
static void store(struct sndif_capture *capture, uint64_t start_bytes, const uint8_t *samples,
                  size_t length_bytes) {
    const uint64_t end_bytes = start_bytes + length_bytes;
    const uint64_t skipped = length_bytes - min_u64(length_bytes, capture->window.bytes);
    const uint64_t filled = atomic_load_explicit(&capture->filled_bytes, memory_order_relaxed);
    const uint64_t gap = min_u64(start_bytes - filled, capture->window.bytes);

    if (length_bytes == 0)
        return;
    /* what is about to be overwritten is given up first */
    atomic_store_explicit(&capture->claimed_bytes, end_bytes, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    if (!capture->clean)
        sndif_window_put(&capture->window, start_bytes - gap, NULL, (size_t) gap);
    sndif_window_put(&capture->window, start_bytes + skipped, samples + skipped,
                     (size_t) (length_bytes - skipped));
    capture->clean = false;
    atomic_store_explicit(&capture->filled_bytes, end_bytes, memory_order_release);
}

/* Whether the stream thread waits for this position; it is told once. */
static bool take_wanted(struct sndif_capture *capture, uint64_t position_bytes) {
    uint64_t wanted;

    atomic_thread_fence(memory_order_seq_cst);
    wanted = atomic_load_explicit(&capture->wanted_bytes, memory_order_relaxed);
    return position_bytes >= wanted &&
           atomic_compare_exchange_strong(&capture->wanted_bytes, &wanted, UINT64_MAX);
}

bool sndif_capture_push(struct sndif_capture *capture, const void *samples, size_t length_bytes,
                        uint64_t now_usec, int64_t age_usec) {
    const struct sndif_params *params = &capture->params;
    const uint64_t patience_usec =
        max_u64(2 * sndif_bytes_to_usec(params, length_bytes), capture->stall_min_usec);
    struct sndif_clock clock = sndif_clock_read(&capture->clock);
    const uint64_t start = max_u64(sndif_clock_position(&clock, params, now_usec),
                                   atomic_load_explicit(&capture->position_bytes, memory_order_relaxed));
    const size_t counted = (size_t) min_u64(length_bytes, start - clock.bytes);

    if (!is_admitted(capture))
        return false;

    store(capture, start, (const uint8_t *) samples + counted, length_bytes - counted);
    clock.bytes = start + length_bytes - counted;
    clock.at_usec = now_usec + min_u64(patience_usec, capture->stall_max_usec);
    clock.sound_usec = (uint64_t) ((int64_t) now_usec - age_usec);
    sndif_clock_publish(&capture->clock, &clock);
    return take_wanted(capture, clock.bytes);
}
