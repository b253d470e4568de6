/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_CLOCK_H
#define XEN_AUDIO_SNDIF_CLOCK_H

/*
 * What both directions need to reckon with time: units, and three numbers that the audio thread of a sound
 * server publishes and the stream thread reads, consistently and without a lock (a sequence lock).
 */

#include <stdatomic.h>

#include "sndif-minmax.h"
#include "sndif-params.h"

struct sndif_clock {
    uint64_t bytes;      /* a position in the stream */
    uint64_t at_usec;    /* when the stream is there */
    uint64_t sound_usec; /* when that octet sounds: at the listener's ear, at the microphone; 0: not known */
};

struct sndif_shared_clock {
    atomic_uint seq;
    atomic_uint_fast64_t bytes, at_usec, sound_usec;
};

/* One thread at a time publishes, any may read. */
void sndif_clock_publish(struct sndif_shared_clock *shared, const struct sndif_clock *clock);
struct sndif_clock sndif_clock_read(const struct sndif_shared_clock *shared);

/* How far the stream has come by the clock alone. */
uint64_t sndif_clock_position(const struct sndif_clock *clock, const struct sndif_params *params,
                              uint64_t now_usec);

/* Whole frames. */
uint64_t sndif_usec_to_bytes(const struct sndif_params *params, uint64_t usec);
uint64_t sndif_bytes_to_usec(const struct sndif_params *params, uint64_t bytes);

/* The longest time a position may stand still before the ALSA of a frontend gives up, which it does when no
 * period has passed for max(100 ms, 1.1 buffers); a period and some slack are taken off. */
uint64_t sndif_alsa_patience_usec(const struct sndif_params *params);

#endif
