/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_SESSION_H
#define XEN_AUDIO_SNDIF_SESSION_H

/*
 * What a frontend's playing and recording streams share: which request comes next, its answer, the position.
 * For one thread; nothing here blocks or allocates; time is an argument.
 *
 *            query           open           start
 *     NEW --------> CLOSED --------> OPEN --------> RUNNING
 *                     ^  <--close---  ^  <--stop---
 *
 * Each arrow is a request whose answer is awaited in ASKING; no answer in time, or a refusal, is FAILED.
 */

#include "sndif-frontend.h"
#include "sndif-minmax.h"

enum sndif_session_state {
    SESSION_NEW,
    SESSION_CLOSED,
    SESSION_OPEN,
    SESSION_RUNNING,
    SESSION_ASKING,
    SESSION_FAILED
};

/* The longest time an answer, or a position event that is due, may take. */
#define SNDIF_SESSION_LIMIT_USEC 3000000u

struct sndif_session {
    struct sndif_frontend *front;
    const struct sndif_format *format;
    uint32_t rate, channels, frame_bytes;
    uint32_t buffer_bytes; /* whole frames */
    uint32_t period_bytes; /* without feature-wakeup */
    bool feature_latency, feature_wakeup, feature_rewind;

    enum sndif_session_state state, next_state; /* next: when the answer is 0 */
    uint16_t asked_id;
    uint64_t deadline_usec; /* ASKING and RUNNING */
    const char *failure;    /* FAILED: what was refused or did not come, static text */
    int failure_status;     /* the backend's -errno, or 0 */

    uint64_t next_bytes;     /* where the next READ or WRITE begins, counted as position */
    uint64_t due_bytes;      /* an event must have come when this position is reached */
    uint64_t position_bytes; /* of the last event */
    uint64_t position_usec;  /* when it came */
    uint64_t
        latency_usec; /* from position_usec until the octet at position_bytes is heard; since it was recorded */
    uint64_t wakeup_bytes;
};

/* front stays the caller's. buffer_bytes is cut to whole frames. */
void sndif_session_init(struct sndif_session *session, struct sndif_frontend *front,
                        const struct sndif_format *format, uint32_t rate, uint32_t channels);

/* Requests, each in its state only: NEW, CLOSED, OPEN (start), RUNNING (stop), OPEN (close). */
void sndif_session_query(struct sndif_session *session, uint64_t now_usec);
void sndif_session_open(struct sndif_session *session, uint64_t now_usec);
void sndif_session_start(struct sndif_session *session, uint64_t now_usec);
void sndif_session_stop(struct sndif_session *session, uint64_t now_usec);
void sndif_session_close(struct sndif_session *session, uint64_t now_usec);

/* Ends in FAILED; failure is static text, status the backend's -errno or 0. */
void sndif_session_fail(struct sndif_session *session, const char *failure, int status);

/*
 * Takes events and answers up to and with the next answer to a READ or WRITE, which *resp receives. False when
 * there is none. Call it after each wake-up until then.
 */
bool sndif_session_take(struct sndif_session *session, struct xensnd_resp *resp, uint64_t now_usec);

/* A READ or WRITE (operation) of the length_bytes from next_bytes on, which lie before the end of the buffer.
 * *id receives its number. False when the ring is full (a backend that does not answer). */
bool sndif_session_transfer(struct sndif_session *session, uint8_t operation, uint32_t length_bytes,
                            uint16_t *id);
/* From now on an event must come when this position is reached. */
void sndif_session_expect(struct sndif_session *session, uint64_t due_bytes);

/* Octets from a position on that the buffer holds in one piece, at most length_bytes. */
uint64_t sndif_session_piece(const struct sndif_session *session, uint64_t position_bytes,
                             uint64_t length_bytes);
/* The granted memory of the octet at a position. */
void *sndif_session_memory(const struct sndif_session *session, uint64_t position_bytes);

/* Asks to be woken by an event at this position; takes effect with the next request. */
void sndif_session_wake_at(struct sndif_session *session, uint64_t position_bytes);
/* The same where no request follows. */
void sndif_session_wake_at_now(struct sndif_session *session, uint64_t position_bytes);

/* The position by the last event and the time since. */
uint64_t sndif_session_position(const struct sndif_session *session, uint64_t now_usec);

uint64_t sndif_session_usec_to_bytes(const struct sndif_session *session, uint64_t usec);
uint64_t sndif_session_bytes_to_usec(const struct sndif_session *session, uint64_t bytes);

#endif
