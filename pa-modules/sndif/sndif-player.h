/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_PLAYER_H
#define XEN_AUDIO_SNDIF_PLAYER_H

/*
 * A frontend's playback stream: which request comes next, what is written, what is played, when it is heard.
 * For one thread; nothing here blocks or allocates; time is an argument.
 *
 *            query           open           start
 *     NEW --------> CLOSED --------> OPEN --------> RUNNING
 *                     ^  <--close---  ^  <--stop---
 *
 * Each arrow is a request whose answer is awaited in ASKING; no answer in time, or a refusal, is FAILED.
 */

#include "sndif-frontend.h"

enum sndif_player_state {
    PLAYER_NEW,
    PLAYER_CLOSED,
    PLAYER_OPEN,
    PLAYER_RUNNING,
    PLAYER_ASKING,
    PLAYER_FAILED
};

/* The longest time an answer, or a position event that is due, may take. */
#define SNDIF_PLAYER_LIMIT_USEC 3000000u

struct sndif_player {
    struct sndif_frontend *front;
    const struct sndif_format *format;
    uint32_t rate, channels, frame_bytes;
    uint32_t buffer_bytes; /* whole frames */
    uint32_t period_bytes; /* without feature-wakeup */
    bool feature_latency, feature_wakeup, feature_rewind;

    enum sndif_player_state state, next_state; /* next: when the answer is 0 */
    uint16_t asked_id;
    uint64_t deadline_usec; /* ASKING and RUNNING */
    const char *failure;    /* FAILED: what was refused or did not come, static text */
    int failure_status;     /* the backend's -errno, or 0 */

    uint64_t write_bytes;    /* written so far, counted as position */
    uint64_t position_bytes; /* of the last event */
    uint64_t position_usec;  /* when it came */
    uint64_t latency_usec;   /* until the octet at position_bytes is heard, counted from position_usec */
    uint64_t wakeup_bytes;
};

/* front stays the caller's. buffer_bytes is cut to whole frames. */
void sndif_player_init(struct sndif_player *player, struct sndif_frontend *front,
                       const struct sndif_format *format, uint32_t rate, uint32_t channels);

/* Takes answers and events; call after each wake-up. */
void sndif_player_process(struct sndif_player *player, uint64_t now_usec);

/* Requests, each in its state only: NEW, CLOSED, OPEN (start), RUNNING (stop), OPEN (close). */
void sndif_player_query(struct sndif_player *player, uint64_t now_usec);
void sndif_player_open(struct sndif_player *player, uint64_t now_usec);
void sndif_player_start(struct sndif_player *player, uint64_t now_usec);
void sndif_player_stop(struct sndif_player *player, uint64_t now_usec);
void sndif_player_close(struct sndif_player *player, uint64_t now_usec);

/* Octets written and not yet played, by the last event and the time since; 0 in an underrun. */
uint64_t sndif_player_left_bytes(const struct sndif_player *player, uint64_t now_usec);
/* Time from now until everything written has been heard; 0 when it has. */
uint64_t sndif_player_heard_in_usec(const struct sndif_player *player, uint64_t now_usec);
/* In an underrun: goes on writing ahead_usec after what is being played now. */
void sndif_player_skip(struct sndif_player *player, uint64_t now_usec, uint64_t ahead_usec);

/* Where the next samples go: up to *length_bytes octets of granted memory, cut at the end of the buffer. */
void *sndif_player_place(const struct sndif_player *player, uint64_t *length_bytes);
/* They are there. False when the ring is full (a backend that does not answer). */
bool sndif_player_wrote(struct sndif_player *player, uint32_t length_bytes);
/* Takes back what has been written; the caller writes it anew. */
void sndif_player_rewind(struct sndif_player *player, uint64_t length_bytes);
/* Asks to be woken by an event at this position; takes effect with the next WRITE. */
void sndif_player_wake_at(struct sndif_player *player, uint64_t position_bytes);
/* The same where no WRITE follows. */
void sndif_player_wake_at_now(struct sndif_player *player, uint64_t position_bytes);
/* Asks, at once, to be woken when everything written has been heard: the position gets there no earlier. */
void sndif_player_wake_when_heard(struct sndif_player *player);
/* Whether it has been. */
bool sndif_player_all_heard(const struct sndif_player *player);

#endif
