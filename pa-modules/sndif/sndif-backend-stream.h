/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_BACKEND_STREAM_H
#define XEN_AUDIO_SNDIF_BACKEND_STREAM_H

/* An open stream as the stream thread sees it, whichever way the samples go. See the headers of both. */

#include "sndif-capture.h"
#include "sndif-playback.h"

struct sndif_backend_stream {
    bool is_capture; /* set once; the rest between init and done */
    struct sndif_playback playback;
    struct sndif_capture capture;
};

int sndif_backend_stream_init(struct sndif_backend_stream *stream, const struct sndif_params *params,
                              bool linux_quirks);
/* Safe on a zeroed struct. */
void sndif_backend_stream_done(struct sndif_backend_stream *stream);

const struct sndif_params *sndif_backend_stream_params(const struct sndif_backend_stream *stream);
/* The position at the last START. */
uint64_t sndif_backend_stream_base(const struct sndif_backend_stream *stream);

void sndif_backend_stream_start(struct sndif_backend_stream *stream, uint64_t now_usec);
void sndif_backend_stream_pause(struct sndif_backend_stream *stream, uint64_t now_usec);
void sndif_backend_stream_realign(struct sndif_backend_stream *stream);
uint64_t sndif_backend_stream_position(struct sndif_backend_stream *stream, uint64_t now_usec);
/* Time until the position is expected to reach the given one; at least 1. */
uint64_t sndif_backend_stream_await_usec(struct sndif_backend_stream *stream, uint64_t position_bytes,
                                         uint64_t now_usec);
/* Until that octet is heard; since the one before it was at the microphone. */
uint64_t sndif_backend_stream_latency_usec(const struct sndif_backend_stream *stream, uint64_t position_bytes,
                                           uint64_t now_usec);
/* How long the frontend sleeps at most, by what it did since the last call: what its buffer held (playback), the way
 * between two events (capture). */
uint64_t sndif_backend_stream_take_rhythm_usec(struct sndif_backend_stream *stream);

#endif
