/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_RING_H
#define XEN_AUDIO_SNDIF_RING_H

/*
 * The request ring, both sides (xen/io/ring.h). All indices that matter are private; a peer whose index makes
 * no sense breaks the ring for good. No allocation, no system call; the caller notifies.
 */

#include <stdbool.h>

#include "sndif-proto.h"

#define SNDIF_RING_SLOTS 32u

enum sndif_ring_result {
    SNDIF_RING_EMPTY,  /* nothing there */
    SNDIF_RING_GOT,    /* one item copied out */
    SNDIF_RING_BROKEN, /* the peer's index is impossible: stop using the ring */
};

/* ---- backend ---- */

struct sndif_ring_back {
    struct xen_sndif_back_ring ring;
    bool broken;
};

/* Attaches to a mapped ring page that a frontend has just initialised. */
void sndif_ring_back_init(struct sndif_ring_back *back, void *page);
/* Copies the next request out, once, into private memory. */
enum sndif_ring_result sndif_ring_back_get(struct sndif_ring_back *back, struct xensnd_req *req);
/* Puts one response (all 64 octets) and publishes it. True: notify the frontend. */
bool sndif_ring_back_put(struct sndif_ring_back *back, const struct xensnd_resp *resp);
/* Before sleeping: asks for a notification and looks again. True: there is work, do not sleep. */
bool sndif_ring_back_final_check(struct sndif_ring_back *back);

/* ---- frontend ---- */

struct sndif_ring_front {
    struct xen_sndif_front_ring ring;
    bool broken;
};

/* Initialises a zeroed shared page; the octet at SNDIF_ALIVE_OFFSET is 0 afterwards. */
void sndif_ring_front_init(struct sndif_ring_front *front, void *page);
/* Slots that can still be put before an answer must come. */
unsigned sndif_ring_front_free(const struct sndif_ring_front *front);
/* Puts one request (all 64 octets) and publishes it. *notify: notify the backend. False: the ring is full. */
bool sndif_ring_front_put(struct sndif_ring_front *front, const struct xensnd_req *req, bool *notify);
/* Copies the next response out. */
enum sndif_ring_result sndif_ring_front_get(struct sndif_ring_front *front, struct xensnd_resp *resp);
/* Before sleeping, as above. */
bool sndif_ring_front_final_check(struct sndif_ring_front *front);
/*
 * Before sleeping when no answer is awaited for its own sake: asks to be notified only when `pending` more
 * responses have come, at least one. Who must not miss those that came meanwhile calls sndif_ring_front_get
 * once more.
 */
void sndif_ring_front_hold_off(struct sndif_ring_front *front, unsigned pending);

#endif
