/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_CAPTURE_H
#define XEN_AUDIO_SNDIF_CAPTURE_H

/*
 * An open capture stream on the backend's side: the samples of a source, and the clock that says how many of
 * them can be read. No system call, no lock, no allocation but in init; time is an argument.
 *
 * Three threads meet here. The audio thread of the sound server pushes samples in and thereby drives the
 * clock. The stream thread serves the request ring: it reads them out and reports the position. The owner
 * admits a source, and revokes it. Samples are stored by their position in the stream.
 *
 *      not kept any more    the frontend's buffer    captured, not announced    not yet captured
 *     .....................|------------------------|--------------------------|................>  position
 *                                          last CUR_POS                    position
 *
 * While a source pushes, the position is what it has pushed: between two pushes it stands. While none does,
 * because none is admitted, or it has just been woken, or it has stalled, the position runs on by the clock
 * and what it runs over is silence. A first push begins where the clock has come to; as much of it as the
 * clock has counted since the push before is dropped, so that no time counts twice.
 */

#include "sndif-clock.h"
#include "sndif-window.h"

/* Each step is made by one side only: SILENT to ADMITTED to REVOKED by the owner, back to SILENT by the stream thread. */
enum sndif_capture_access {
    SNDIF_CAPTURE_SILENT,   /* nothing of a microphone is here */
    SNDIF_CAPTURE_ADMITTED, /* a source may push */
    SNDIF_CAPTURE_REVOKED,  /* none pushes any more; what it left is not read, and not yet wiped */
};

struct sndif_capture_stats {
    atomic_uint_fast64_t overruns; /* READs that found less than they asked for */
};

struct sndif_capture {
    struct sndif_params params;
    uint64_t stall_min_usec, stall_max_usec; /* how late a push may be before the clock runs on */
    struct sndif_capture_stats stats;
    atomic_int access;

    /* stream thread and audio thread */
    struct sndif_window window;
    struct sndif_shared_clock
        clock; /* the end of what was pushed; when silence follows it; when it sounded */
    atomic_uint_fast64_t position_bytes; /* written by the stream thread */
    atomic_uint_fast64_t claimed_bytes;  /* a push is storing samples up to here */
    atomic_uint_fast64_t filled_bytes;   /* and has stored them: from here on is silence */
    atomic_uint_fast64_t wanted_bytes;   /* a push that gets here wakes the stream thread */

    /* stream thread */
    bool running;
    uint64_t base_bytes;     /* position at the last START: origin of the period grid */
    uint64_t told_bytes;     /* position of the last event */
    uint64_t distance_bytes; /* longest way between two events lately */

    /* audio thread; the stream thread while no source is admitted */
    bool clean; /* the window holds nothing but silence */
};

/* 0 or -ENOMEM. The frontend's ALSA gives up when the position stands still, so quirks bound the wait for a late push. */
int sndif_capture_init(struct sndif_capture *capture, const struct sndif_params *params, bool linux_quirks);
/* Wipes. Safe on a zeroed struct. */
void sndif_capture_done(struct sndif_capture *capture);

/* ---- owner ---- */

/* Lets a source push. False: what the last one left is not wiped yet; try again when it is. */
bool sndif_capture_admit(struct sndif_capture *capture);
/* Nobody pushes any more. From now on every octet reads as silence; the stream thread wipes them soon. */
void sndif_capture_revoke(struct sndif_capture *capture);

/* ---- stream thread ---- */

/* Begins or resumes to count; no source is admitted yet. */
void sndif_capture_start(struct sndif_capture *capture, uint64_t now_usec);
/* Freezes the position where it is; no source is admitted any more. */
void sndif_capture_pause(struct sndif_capture *capture, uint64_t now_usec);
/* Discards what is there and rounds the position up to the next multiple of the buffer; call when not running. */
void sndif_capture_realign(struct sndif_capture *capture);
/* Wipes what a revoked source left. True: it has done so just now. */
bool sndif_capture_wipe(struct sndif_capture *capture, uint64_t now_usec);
/* The position now: whole frames, never less than before. */
uint64_t sndif_capture_position(struct sndif_capture *capture, uint64_t now_usec);
/* The frontend is told this position: its READs are understood from here. */
void sndif_capture_tell(struct sndif_capture *capture, uint64_t position_bytes);
/* Time until the position gets there if no push tells earlier, which the first that does will; at least 1. */
uint64_t sndif_capture_await_usec(struct sndif_capture *capture, uint64_t position_bytes, uint64_t now_usec);
/* Time since the octet before position was at the microphone; 0 for silence. */
uint64_t sndif_capture_latency_usec(const struct sndif_capture *capture, uint64_t position_bytes,
                                    uint64_t now_usec);
/* The longest way between two events since the last call. */
uint64_t sndif_capture_take_distance_usec(struct sndif_capture *capture);

/* Whether a frontend may read there: whole frames, and no number that wraps. */
bool sndif_capture_may_read_at(const struct sndif_capture *capture, uint64_t position_bytes,
                               uint32_t length_bytes);
/* Fills dst with the octets of a position of the stream; silence, and an overrun, for those that are not there. */
void sndif_capture_read_at(struct sndif_capture *capture, uint64_t position_bytes, void *dst,
                           uint32_t length_bytes, uint64_t now_usec);
/* The same for a frontend that says no position: the buffer before the last one it was told. */
void sndif_capture_read(struct sndif_capture *capture, uint32_t offset_bytes, void *dst,
                        uint32_t length_bytes, uint64_t now_usec);

/* ---- audio thread ---- */

/* Takes samples (whole frames). age_usec: time since the last of them was at the microphone, as the sound server
 * knows it; below 0 for what will sound only then. True: wake the stream thread. */
bool sndif_capture_push(struct sndif_capture *capture, const void *samples, size_t length_bytes,
                        uint64_t now_usec, int64_t age_usec);

#endif
