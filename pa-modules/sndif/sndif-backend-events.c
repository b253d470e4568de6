/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-backend-internal.h"

#define EVENT_SPACING_USEC 1000u
#define LATENCY_REVIEW_USEC 1000000u
#define LATENCY_MIN_USEC 1000u

void sndif_backend_send_position(struct sndif_backend *b, uint64_t position_bytes, uint64_t now) {
    struct sndif_cur_pos pos = {.position_bytes = position_bytes};
    uint64_t latency_usec = sndif_backend_stream_latency_usec(&b->stream, position_bytes, now);

    if (b->config.feature_latency)
        pos.latency_usec = latency_usec > UINT32_MAX ? UINT32_MAX : (uint32_t) latency_usec;

    b->event_usec = now;
    if (!sndif_evt_back_put(&b->events, &pos))
        return;
    if (b->stream.is_capture)
        sndif_capture_tell(&b->stream.capture, position_bytes);
    xen_io_evtchn_notify(&b->evtchn, (uint32_t) b->event_port);
}

/* The position at which the frontend wants to hear of us next; false: never. */
static bool next_event(const struct sndif_backend *b, uint64_t *position_bytes) {
    if (b->state != STREAM_RUNNING || b->waiting)
        return false;

    if (b->config.feature_wakeup) {
        *position_bytes = sndif_evt_back_wakeup(&b->events);
        return *position_bytes != b->served_wakeup;
    }
    *position_bytes = b->next_event_bytes;
    return sndif_backend_stream_params(&b->stream)->period_bytes > 0;
}

/* One frame after a period, because ALSA counts a period only when it is exceeded. */
static uint64_t event_after(const struct sndif_backend_stream *stream, uint64_t position_bytes) {
    const struct sndif_params *params = sndif_backend_stream_params(stream);
    const uint64_t period = params->period_bytes, frame = params->frame_bytes;
    const uint64_t base = sndif_backend_stream_base(stream), done = position_bytes - base;

    if (period == 0)
        return 0;
    return base + (done < frame ? 1 : (done - frame) / period + 1) * period + frame;
}

void sndif_backend_begin_events(struct sndif_backend *b) {
    b->served_wakeup = 0;
    b->next_event_bytes = event_after(&b->stream, sndif_backend_stream_base(&b->stream));
}

/* ---- latency asked of the sound server ---- */

/* Half of the frontend's rhythm: while one half is under way, the other is in hand. */
static uint64_t latency_of(uint64_t rhythm_usec) {
    return max_u64(rhythm_usec / 2, LATENCY_MIN_USEC);
}

/* A capture stream has no rhythm yet; what it waits for is a first guess, to be looked at with the first event. */
static uint64_t guess_rhythm_usec(struct sndif_backend *b, uint64_t now) {
    const struct sndif_params *params = sndif_backend_stream_params(&b->stream);
    const uint64_t position = sndif_backend_stream_position(&b->stream, now);
    const uint64_t wakeup = b->config.feature_wakeup ? sndif_evt_back_wakeup(&b->events) : 0;
    const uint64_t distance = wakeup > position ? wakeup - position : params->period_bytes;

    b->review_usec = 0;
    return sndif_bytes_to_usec(params, min_u64(distance, params->buffer_bytes));
}

uint64_t sndif_backend_first_latency_usec(struct sndif_backend *b, uint64_t now) {
    uint64_t rhythm_usec = sndif_backend_stream_take_rhythm_usec(&b->stream);

    b->review_usec = now;
    if (b->stream.is_capture)
        rhythm_usec = guess_rhythm_usec(b, now);
    b->asked_usec = latency_of(rhythm_usec);
    return b->asked_usec;
}

static void review_latency(struct sndif_backend *b, uint64_t now) {
    uint64_t wanted_usec;

    if (now < b->review_usec + LATENCY_REVIEW_USEC)
        return;

    b->review_usec = now;
    wanted_usec = latency_of(sndif_backend_stream_take_rhythm_usec(&b->stream));
    if (wanted_usec > b->asked_usec + b->asked_usec / 4 || wanted_usec < b->asked_usec - b->asked_usec / 4) {
        b->asked_usec = wanted_usec;
        sndif_mailbox_tell_latency(&b->mailbox, wanted_usec);
    }
}

/* ---- events ---- */

void sndif_backend_report_position(struct sndif_backend *b, uint64_t now) {
    uint64_t due_bytes, position_bytes;

    if (!next_event(b, &due_bytes) || now < b->event_usec + EVENT_SPACING_USEC)
        return;

    position_bytes = sndif_backend_stream_position(&b->stream, now);
    if (position_bytes < due_bytes)
        return;

    b->served_wakeup = due_bytes;
    b->next_event_bytes = event_after(&b->stream, position_bytes);
    sndif_backend_send_position(b, position_bytes, now);
    review_latency(b, now);
}

uint64_t sndif_backend_event_wait_usec(struct sndif_backend *b, uint64_t now) {
    const uint64_t spaced_usec = max_u64(b->event_usec + EVENT_SPACING_USEC, now);
    uint64_t due_bytes;

    if (!next_event(b, &due_bytes))
        return UINT64_MAX;
    return max_u64(sndif_backend_stream_await_usec(&b->stream, due_bytes, now), spaced_usec - now);
}
