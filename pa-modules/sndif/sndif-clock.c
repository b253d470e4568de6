/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-clock.h"

void sndif_clock_publish(struct sndif_shared_clock *shared, const struct sndif_clock *clock) {
    unsigned seq = atomic_load_explicit(&shared->seq, memory_order_relaxed);

    atomic_store_explicit(&shared->seq, seq + 1, memory_order_relaxed);
    /* the odd number before the fields, the fields before the even one */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&shared->bytes, clock->bytes, memory_order_relaxed);
    atomic_store_explicit(&shared->at_usec, clock->at_usec, memory_order_relaxed);
    atomic_store_explicit(&shared->sound_usec, clock->sound_usec, memory_order_relaxed);
    atomic_store_explicit(&shared->seq, seq + 2, memory_order_release);
}

struct sndif_clock sndif_clock_read(const struct sndif_shared_clock *shared) {
    struct sndif_clock clock;
    unsigned before, after;

    /* the writer is inside for a few instructions, once a block */
    do {
        before = atomic_load_explicit(&shared->seq, memory_order_acquire);
        clock.bytes = atomic_load_explicit(&shared->bytes, memory_order_relaxed);
        clock.at_usec = atomic_load_explicit(&shared->at_usec, memory_order_relaxed);
        clock.sound_usec = atomic_load_explicit(&shared->sound_usec, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&shared->seq, memory_order_relaxed);
    } while (before != after || before % 2 != 0);

    return clock;
}

uint64_t sndif_clock_position(const struct sndif_clock *clock, const struct sndif_params *params,
                              uint64_t now_usec) {
    uint64_t elapsed_usec = now_usec > clock->at_usec ? now_usec - clock->at_usec : 0;

    return clock->bytes + sndif_usec_to_bytes(params, elapsed_usec);
}

uint64_t sndif_usec_to_bytes(const struct sndif_params *params, uint64_t usec) {
    return usec * params->rate / 1000000u * params->frame_bytes;
}

uint64_t sndif_bytes_to_usec(const struct sndif_params *params, uint64_t bytes) {
    return bytes / params->frame_bytes * 1000000u / params->rate;
}

uint64_t sndif_alsa_patience_usec(const struct sndif_params *params) {
    const uint64_t patience_usec =
        max_u64(100000u, sndif_bytes_to_usec(params, params->buffer_bytes) * 11 / 10);
    const uint64_t taken_usec = sndif_bytes_to_usec(params, params->period_bytes) + 30000u;

    return patience_usec - min_u64(patience_usec, taken_usec);
}
