/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_EVT_RING_H
#define XEN_AUDIO_SNDIF_EVT_RING_H

/*
 * The event page, both sides (struct xensnd_event_page), with our extensions. Private indices as in
 * sndif-ring.h.
 */

#include "sndif-proto.h"
#include "sndif-ring.h"

#define SNDIF_EVT_SLOTS 63u

struct sndif_cur_pos {
    uint64_t position_bytes;
    uint32_t latency_usec; /* feature-latency; 0 without it */
};

/* ---- backend ---- */

struct sndif_evt_back {
    struct xensnd_event_page *page;
    uint32_t prod; /* private in_prod */
    uint16_t next_id;
};

/* Attaches to a mapped event page that a frontend has just initialised. */
void sndif_evt_back_init(struct sndif_evt_back *back, void *page);
/*
 * Puts one CUR_POS. False when the page is full (or in_cons makes no sense, or events from before the wrap of
 * in_prod are still unread): no id is used. True: notify.
 */
bool sndif_evt_back_put(struct sndif_evt_back *back, const struct sndif_cur_pos *pos);
/* feature-wakeup: the position the frontend wants to hear of, read once. */
uint64_t sndif_evt_back_wakeup(const struct sndif_evt_back *back);

/* ---- frontend ---- */

struct sndif_evt_front {
    struct xensnd_event_page *page;
    uint32_t cons;
    bool broken;
};

/* Initialises a shared page: no events, no wake-up wished. */
void sndif_evt_front_init(struct sndif_evt_front *front, void *page);
/* The next CUR_POS; other event types are skipped. */
enum sndif_ring_result sndif_evt_front_get(struct sndif_evt_front *front, struct sndif_cur_pos *pos);
/* feature-wakeup: the position of which the frontend wants to hear next. */
void sndif_evt_front_set_wakeup(struct sndif_evt_front *front, uint64_t position_bytes);

#endif
