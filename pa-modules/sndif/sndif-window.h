/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_WINDOW_H
#define XEN_AUDIO_SNDIF_WINDOW_H

/* A window of a stream in memory: its last so many octets, each found by its position. */

#include <stddef.h>
#include <stdint.h>

struct sndif_window {
    uint8_t *data;
    size_t bytes;    /* a power of two */
    uint8_t silence; /* the octet it is made of */
};

/* Holds at least so many octets, silence at first and touched, so that audio threads meet no page fault later. 0 or
 * -ENOMEM. */
int sndif_window_init(struct sndif_window *window, size_t least_bytes, uint8_t silence);
/* Wipes and frees. Safe on a zeroed struct. */
void sndif_window_done(struct sndif_window *window);

/* The memory of a position; *length_bytes is cut to what lies there in one piece. */
uint8_t *sndif_window_at(const struct sndif_window *window, uint64_t position_bytes, size_t *length_bytes);

/* Stores samples, or silence where they are NULL. */
void sndif_window_put(struct sndif_window *window, uint64_t position_bytes, const void *samples,
                      size_t length_bytes);
void sndif_window_get(const struct sndif_window *window, uint64_t position_bytes, void *dst,
                      size_t length_bytes);

#endif
