/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_PLAYER_H
#define XEN_AUDIO_SNDIF_PLAYER_H

/*
 * A frontend's playback stream: what is written, what is played, when it is heard. States and requests are
 * those of sndif-session.h.
 */

#include "sndif-session.h"

struct sndif_player {
    struct sndif_session session; /* next_bytes: written so far */
};

/* Takes answers and events; call after each wake-up. */
void sndif_player_process(struct sndif_player *player, uint64_t now_usec);

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
/* Asks, at once, to be woken when everything written has been heard: the position gets there no earlier. */
void sndif_player_wake_when_heard(struct sndif_player *player);
/* Whether it has been. */
bool sndif_player_all_heard(const struct sndif_player *player);

#endif
