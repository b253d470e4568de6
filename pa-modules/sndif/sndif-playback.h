/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_PLAYBACK_H
#define XEN_AUDIO_SNDIF_PLAYBACK_H

/*
 * An open playback stream on the backend's side: the samples a frontend has written, the clock that says how
 * many of them are consumed, and when each is heard. No system call, no lock, no allocation but in init; time
 * is an argument.
 *
 * Two threads meet here. The stream thread serves the request ring: it writes samples in and reports the
 * position. The audio thread of the sound server pulls samples out and thereby drives the clock. Samples are
 * stored by their position in the stream, so that a rewind replaces, a skip leaves silence and what comes
 * late is dropped.
 *
 *      late, dropped   pulled   queued in dom0   the frontend's buffer      free
 *     ................|--------|----------------|------------------------|..........>  position
 *                           read_bytes      position                 write_bytes
 *
 * Where threads are late, the position is made to run ahead a little more, until a pull always leaves something: a machine
 * that keeps its times gets the least latency, one that stalls gets no gaps. The latency is reported as it is.
 *
 * The position runs ahead of read_bytes between two pulls, by the time that has passed since the last one. So
 * a sink that pulls 50 ms at once finds 50 ms queued although the frontend's buffer holds 20 ms, and nobody
 * needs to know its block size.
 */

#include "sndif-clock.h"
#include "sndif-margin.h"
#include "sndif-window.h"

struct sndif_playback_stats {
    atomic_uint_fast64_t underruns;  /* times the sound server found too little, and more came later */
    atomic_uint_fast64_t late_bytes; /* octets that came after the position had passed */
};

struct sndif_playback {
    struct sndif_params params;
    uint64_t hold_limit_usec; /* longest time that the position waits for the end of the data to be heard */
    struct sndif_playback_stats stats;

    /* both threads */
    struct sndif_window window;
    atomic_uint_fast64_t write_bytes;
    struct sndif_shared_clock clock;     /* pulled so far, when, and when the next octet will be heard */
    atomic_uint_fast64_t skip_bytes;     /* the frontend went on here after an underrun: read on from there */
    atomic_uint_fast64_t floor_bytes;    /* what lies before was discarded, and is not pushed back any more */
    atomic_bool starved;                 /* a pull has found too little since the last WRITE */
    atomic_uint_fast64_t slack_bytes;    /* least that a pull has left behind since the last WRITE */
    atomic_uint_fast64_t position_bytes; /* written by the stream thread, read by anybody */

    /* stream thread */
    bool running;
    uint64_t base_bytes;        /* position at the last START: origin of the period grid */
    uint64_t position_usec;     /* when it was last computed */
    struct sndif_margin margin; /* by which the position runs ahead */
    uint64_t fill_bytes;        /* most that the frontend's buffer has held lately */

    /* audio thread */
    uint64_t pulled_bytes; /* since the last silence: what may be pushed back */
};

/* 0 or -ENOMEM. The frontend's ALSA gives up a drain after max(100 ms, 1.1 buffers), so quirks bound the
 * hold. */
int sndif_playback_init(struct sndif_playback *playback, const struct sndif_params *params,
                        bool linux_quirks);
/* Safe on a zeroed struct. */
void sndif_playback_done(struct sndif_playback *playback);

/* ---- stream thread ---- */

/* Begins or resumes to count; the audio thread must not pull yet. */
void sndif_playback_start(struct sndif_playback *playback, uint64_t now_usec);
/* Freezes the position where it is; the audio thread does not pull any more. Queued data stay. */
void sndif_playback_pause(struct sndif_playback *playback, uint64_t now_usec);
/* Discards what is queued and rounds the position up to the next multiple of the buffer; call when not
 * running. */
void sndif_playback_realign(struct sndif_playback *playback);
/*
 * Whether a frontend may write there: no further ahead of the position now than its buffer and our queue span. Its own
 * idea of the position may be ahead of ours, by what a sink that stands still keeps us behind. What is long past is late.
 */
bool sndif_playback_may_write_at(struct sndif_playback *playback, uint64_t position_bytes,
                                 uint32_t length_bytes, uint64_t now_usec);
/* Takes samples for a position of the stream, replacing what was there; what has been pulled already is dropped. */
void sndif_playback_write_at(struct sndif_playback *playback, uint64_t start_bytes, const void *samples,
                             uint32_t length_bytes, uint64_t now_usec);
/* The same for a frontend that says no position: it is told from the offset and from where the last WRITE ended. */
void sndif_playback_write(struct sndif_playback *playback, uint32_t offset_bytes, const void *samples,
                          uint32_t length_bytes, uint64_t now_usec);
/* The position now: whole frames, never less than before. */
uint64_t sndif_playback_position(struct sndif_playback *playback, uint64_t now_usec);
/* Time until the position is expected to reach the given one, for a timer; at least 1. */
uint64_t sndif_playback_wait_usec(const struct sndif_playback *playback, uint64_t position_bytes,
                                  uint64_t now_usec);
/* Time from now until the octet at position is heard; 0 when it has been. */
uint64_t sndif_playback_latency_usec(const struct sndif_playback *playback, uint64_t position_bytes,
                                     uint64_t now_usec);
/* What the frontend's buffer has held at most since the last call. */
uint64_t sndif_playback_take_fill_usec(struct sndif_playback *playback);

/* ---- audio thread ---- */

/* Fills dst with the next length_bytes (whole frames), silence where there are none. latency_usec: time from
 * now until the first of them is heard, as the sound server knows it. */
void sndif_playback_pull(struct sndif_playback *playback, void *dst, size_t length_bytes, uint64_t now_usec,
                         int64_t latency_usec);

/* Gives back the last length_bytes that were pulled, as far as they are still there and have not been discarded: the
 * sound server wants them again. */
void sndif_playback_push_back(struct sndif_playback *playback, size_t length_bytes);

#endif
