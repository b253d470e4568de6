/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-backend-stream.h"

int sndif_backend_stream_init(struct sndif_backend_stream *stream, const struct sndif_params *params,
                              bool linux_quirks) {
    return stream->is_capture ? sndif_capture_init(&stream->capture, params, linux_quirks)
                              : sndif_playback_init(&stream->playback, params, linux_quirks);
}

void sndif_backend_stream_done(struct sndif_backend_stream *stream) {
    if (stream->is_capture)
        sndif_capture_done(&stream->capture);
    else
        sndif_playback_done(&stream->playback);
}

const struct sndif_params *sndif_backend_stream_params(const struct sndif_backend_stream *stream) {
    return stream->is_capture ? &stream->capture.params : &stream->playback.params;
}

uint64_t sndif_backend_stream_base(const struct sndif_backend_stream *stream) {
    return stream->is_capture ? stream->capture.base_bytes : stream->playback.base_bytes;
}

void sndif_backend_stream_start(struct sndif_backend_stream *stream, uint64_t now_usec) {
    if (stream->is_capture)
        sndif_capture_start(&stream->capture, now_usec);
    else
        sndif_playback_start(&stream->playback, now_usec);
}

void sndif_backend_stream_pause(struct sndif_backend_stream *stream, uint64_t now_usec) {
    if (stream->is_capture)
        sndif_capture_pause(&stream->capture, now_usec);
    else
        sndif_playback_pause(&stream->playback, now_usec);
}

void sndif_backend_stream_realign(struct sndif_backend_stream *stream) {
    if (stream->is_capture)
        sndif_capture_realign(&stream->capture);
    else
        sndif_playback_realign(&stream->playback);
}

uint64_t sndif_backend_stream_position(struct sndif_backend_stream *stream, uint64_t now_usec) {
    return stream->is_capture ? sndif_capture_position(&stream->capture, now_usec)
                              : sndif_playback_position(&stream->playback, now_usec);
}

uint64_t sndif_backend_stream_await_usec(struct sndif_backend_stream *stream, uint64_t position_bytes,
                                         uint64_t now_usec) {
    return stream->is_capture ? sndif_capture_await_usec(&stream->capture, position_bytes, now_usec)
                              : sndif_playback_wait_usec(&stream->playback, position_bytes, now_usec);
}

uint64_t sndif_backend_stream_latency_usec(const struct sndif_backend_stream *stream, uint64_t position_bytes,
                                           uint64_t now_usec) {
    return stream->is_capture ? sndif_capture_latency_usec(&stream->capture, position_bytes, now_usec)
                              : sndif_playback_latency_usec(&stream->playback, position_bytes, now_usec);
}

uint64_t sndif_backend_stream_take_rhythm_usec(struct sndif_backend_stream *stream) {
    return stream->is_capture ? sndif_capture_take_distance_usec(&stream->capture)
                              : sndif_playback_take_fill_usec(&stream->playback);
}
