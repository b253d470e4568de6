/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-recorder.h"

/* STOP and CLOSE always find room in the ring. */
#define WAITING_MAX (SNDIF_RING_SLOTS / 2)

void sndif_recorder_init(struct sndif_recorder *recorder, struct sndif_frontend *front,
                         const struct sndif_format *format, uint32_t rate, uint32_t channels) {
    memset(recorder, 0, sizeof(*recorder));
    sndif_session_init(&recorder->session, front, format, rate, channels);
}

/* ---- answers ---- */

static void note_answer(struct sndif_recorder *recorder, const struct xensnd_resp *resp) {
    if (recorder->waiting == 0 || recorder->reads[recorder->first_read].id != resp->id) {
        sndif_session_fail(&recorder->session, "READ, answered out of order,", 0);
        return;
    }
    recorder->ready_bytes += recorder->reads[recorder->first_read].length_bytes;
    recorder->first_read = (recorder->first_read + 1) % SNDIF_RING_SLOTS;
    recorder->waiting--;
}

void sndif_recorder_process(struct sndif_recorder *recorder, uint64_t now_usec) {
    struct sndif_session *s = &recorder->session;
    struct xensnd_resp resp;

    while (sndif_session_take(s, &resp, now_usec))
        if (s->state == SESSION_RUNNING)
            note_answer(recorder, &resp);

    if (s->state != SESSION_RUNNING) { /* nobody wants what was asked for before */
        recorder->waiting = 0;
        recorder->ready_bytes = recorder->taken_bytes = s->next_bytes;
    }
}

/* ---- requests ---- */

void sndif_recorder_wake_after(struct sndif_recorder *recorder, uint64_t length_bytes) {
    struct sndif_session *s = &recorder->session;

    sndif_session_wake_at(s, s->next_bytes + length_bytes);
    sndif_session_expect(s, s->wakeup_bytes);
}

/* Octets that may be asked for now. */
static uint64_t wanted_bytes(struct sndif_recorder *recorder) {
    struct sndif_session *s = &recorder->session;
    const uint64_t captured = s->position_bytes - min_u64(s->position_bytes, s->next_bytes);
    const uint64_t room = recorder->taken_bytes + s->buffer_bytes - s->next_bytes;

    if (captured <= s->buffer_bytes)
        return min_u64(captured, room);
    if (recorder->taken_bytes != s->next_bytes)
        return 0; /* what comes now would overwrite what is on its way */

    /* A little less than the buffer: its oldest samples may be gone when the backend sees the READ. */
    recorder->lost_bytes += captured - (s->buffer_bytes - s->period_bytes);
    s->next_bytes = s->position_bytes - (s->buffer_bytes - s->period_bytes);
    recorder->ready_bytes = recorder->taken_bytes = s->next_bytes;
    return s->buffer_bytes - s->period_bytes;
}

static void ask_for(struct sndif_recorder *recorder, uint64_t wanted) {
    struct sndif_session *s = &recorder->session;

    while (wanted > 0 && recorder->waiting < WAITING_MAX) {
        const unsigned slot = (recorder->first_read + recorder->waiting) % SNDIF_RING_SLOTS;
        const uint32_t length = (uint32_t) sndif_session_piece(s, s->next_bytes, wanted);

        if (!sndif_session_transfer(s, XENSND_OP_READ, length, &recorder->reads[slot].id))
            return;
        recorder->reads[slot].length_bytes = length;
        recorder->waiting++;
        wanted -= length;
    }
}

void sndif_recorder_read(struct sndif_recorder *recorder, uint64_t length_bytes) {
    struct sndif_session *s = &recorder->session;
    const uint64_t wanted = wanted_bytes(recorder);

    if (wanted > 0) {
        /* before the READ that makes the backend look at it */
        sndif_session_wake_at(s, s->next_bytes + wanted + length_bytes);
        ask_for(recorder, wanted);
    } else { /* what the clients ask for may have changed since */
        sndif_session_wake_at_now(s, s->next_bytes + length_bytes);
    }
    sndif_session_expect(s, s->wakeup_bytes);
}

/* ---- samples ---- */

const void *sndif_recorder_samples(const struct sndif_recorder *recorder, uint64_t *length_bytes) {
    const struct sndif_session *s = &recorder->session;
    const uint64_t ready = recorder->ready_bytes - recorder->taken_bytes;

    *length_bytes = sndif_session_piece(s, recorder->taken_bytes, min_u64(*length_bytes, ready));
    return sndif_session_memory(s, recorder->taken_bytes);
}

void sndif_recorder_took(struct sndif_recorder *recorder, uint64_t length_bytes) {
    recorder->taken_bytes += length_bytes;
}

uint64_t sndif_recorder_age_usec(const struct sndif_recorder *recorder, uint64_t now_usec) {
    const struct sndif_session *s = &recorder->session;

    if (s->state != SESSION_RUNNING)
        return 0;
    return s->latency_usec + now_usec - min_u64(now_usec, s->position_usec) +
           sndif_session_bytes_to_usec(s,
                                       s->position_bytes - min_u64(s->position_bytes, recorder->taken_bytes));
}

bool sndif_recorder_waits(const struct sndif_recorder *recorder) {
    return recorder->session.state != SESSION_RUNNING || recorder->waiting > 0;
}
