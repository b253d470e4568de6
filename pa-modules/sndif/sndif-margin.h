/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_MARGIN_H
#define XEN_AUDIO_SNDIF_MARGIN_H

/*
 * How much further than it must the position of a playback stream runs ahead, so that threads that are late do not cost
 * gaps. It grows as soon as a pull has left hardly anything, and shrinks to what was needed when that has been less for a
 * while; where the machine then shows that it was needed after all, that while is twice as long the next time. Times are
 * microseconds; the caller has one thread.
 */

#include <stdbool.h>
#include <stdint.h>

struct sndif_margin {
    uint64_t usec;      /* now */
    uint64_t goal_usec; /* what it grows to */
    uint64_t grown_at_usec;
    uint64_t judged_at_usec;
    uint64_t look_at_usec; /* when to see whether less would have done */
    uint64_t patience_usec;
    uint64_t least_slack_usec; /* since the margin was last judged too small, or looked at */
    bool lowered;              /* since it last grew */
};

/* A stream begins or goes on: what was learnt stays. */
void sndif_margin_start(struct sndif_margin *margin, uint64_t now_usec);
/* Samples came. slack_usec: the least that a pull has left of what was there since they came last; UINT64_MAX: none
 * pulled. */
void sndif_margin_judge(struct sndif_margin *margin, uint64_t slack_usec, uint64_t now_usec);
/* Goes on growing: the position must not jump, since the frontend may have less than that. */
void sndif_margin_grow(struct sndif_margin *margin, uint64_t now_usec);

#endif
