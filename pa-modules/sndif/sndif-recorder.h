/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_RECORDER_H
#define XEN_AUDIO_SNDIF_RECORDER_H

/*
 * A frontend's recording stream: what is captured, what of it is asked for, what is there and how old it is.
 * States and requests are those of sndif-session.h. Samples are taken in their order, each once.
 *
 *     captured ....................... position: the backend has it, it wakes us
 *     asked for ............ next      a READ is on its way
 *     answered ..... ready             in the granted pages
 *     taken .. taken                   by the caller; its place may be filled again
 */

#include "sndif-session.h"

struct sndif_recorder {
    struct sndif_session session; /* next_bytes: asked for so far */
    uint64_t ready_bytes, taken_bytes;
    uint64_t lost_bytes; /* captured, and skipped because we were too late; since the stream was connected */

    /* READs that wait for their answers, the oldest first */
    struct {
        uint16_t id;
        uint32_t length_bytes;
    } reads[SNDIF_RING_SLOTS];
    unsigned first_read, waiting;
};

/* As sndif_session_init. */
void sndif_recorder_init(struct sndif_recorder *recorder, struct sndif_frontend *front,
                         const struct sndif_format *format, uint32_t rate, uint32_t channels);

/* Takes answers and events; call after each wake-up. */
void sndif_recorder_process(struct sndif_recorder *recorder, uint64_t now_usec);

/* Asks to be woken when length_bytes more have been captured than will have been asked for by now; takes effect
 * with the next request. */
void sndif_recorder_wake_after(struct sndif_recorder *recorder, uint64_t length_bytes);
/*
 * RUNNING: asks for all that is captured and not asked for, as far as the buffer has room, and to be woken when
 * length_bytes more have been captured. What it no longer holds is skipped, up to the newest.
 */
void sndif_recorder_read(struct sndif_recorder *recorder, uint64_t length_bytes);

/* The oldest samples that are there: at most *length_bytes octets of granted memory, cut at the end of the buffer.
 * *length_bytes is 0 when there are none. */
const void *sndif_recorder_samples(const struct sndif_recorder *recorder, uint64_t *length_bytes);
/* They have been copied. */
void sndif_recorder_took(struct sndif_recorder *recorder, uint64_t length_bytes);

/* How long ago the next sample that will be taken was at the microphone; 0 unless RUNNING. */
uint64_t sndif_recorder_age_usec(const struct sndif_recorder *recorder, uint64_t now_usec);
/* Whether an answer is awaited for its own sake. */
bool sndif_recorder_waits(const struct sndif_recorder *recorder);

#endif
