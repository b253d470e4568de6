/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-ring.h"

/* The peer may change an index at any moment: each is read once, by a load the compiler cannot repeat. */
static RING_IDX load_index(const RING_IDX *index) {
    return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

/*
 * Publishes one item and tells whether the peer asked to hear of it. The macros of ring.h would compare with
 * the shared index, which is the peer's to change; one item at a time needs no comparison with an older
 * index.
 */
static bool publish(RING_IDX *shared_prod, RING_IDX prod, const RING_IDX *shared_event) {
    __atomic_store_n(shared_prod, prod, __ATOMIC_RELEASE); /* the item before its index */
    xen_mb();                                              /* the index before the look at the event */
    return load_index(shared_event) == prod;
}

/* Asks for a notification at the next item, unless one is there already. True: one is there. */
static bool ask_and_look_again(const RING_IDX *shared_prod, RING_IDX cons, RING_IDX *shared_event) {
    if (load_index(shared_prod) != cons)
        return true;
    __atomic_store_n(shared_event, cons + 1, __ATOMIC_RELAXED);
    xen_mb(); /* the event before the second look, or a wake-up is lost */
    return load_index(shared_prod) != cons;
}

/* ---- backend ---- */

void sndif_ring_back_init(struct sndif_ring_back *back, void *page) {
    BACK_RING_INIT(&back->ring, (struct xen_sndif_sring *) page, SNDIF_PAGE_BYTES);
    back->broken = false;
}

enum sndif_ring_result sndif_ring_back_get(struct sndif_ring_back *back, struct xensnd_req *req) {
    struct xen_sndif_back_ring *ring = &back->ring;
    RING_IDX waiting, unanswered = ring->req_cons - ring->rsp_prod_pvt;

    if (back->broken)
        return SNDIF_RING_BROKEN;
    waiting = load_index(&ring->sring->req_prod) - ring->req_cons;
    if (waiting == 0)
        return SNDIF_RING_EMPTY;
    /* Waiting and unanswered requests share the slots. An index that went back is a huge `waiting`. */
    if (waiting > SNDIF_RING_SLOTS - unanswered) {
        back->broken = true;
        return SNDIF_RING_BROKEN;
    }
    RING_COPY_REQUEST(ring, ring->req_cons, req);
    ring->req_cons++;
    return SNDIF_RING_GOT;
}

bool sndif_ring_back_put(struct sndif_ring_back *back, const struct xensnd_resp *resp) {
    struct xen_sndif_back_ring *ring = &back->ring;

    if (back->broken)
        return false;
    *RING_GET_RESPONSE(ring, ring->rsp_prod_pvt) = *resp;
    ring->rsp_prod_pvt++;
    return publish(&ring->sring->rsp_prod, ring->rsp_prod_pvt, &ring->sring->rsp_event);
}

bool sndif_ring_back_final_check(struct sndif_ring_back *back) {
    struct xen_sndif_back_ring *ring = &back->ring;

    return !back->broken &&
           ask_and_look_again(&ring->sring->req_prod, ring->req_cons, &ring->sring->req_event);
}

/* ---- frontend ---- */

void sndif_ring_front_init(struct sndif_ring_front *front, void *page) {
    XEN_FRONT_RING_INIT(&front->ring, (struct xen_sndif_sring *) page, SNDIF_PAGE_BYTES);
    front->broken = false;
}

unsigned sndif_ring_front_free(const struct sndif_ring_front *front) {
    return front->broken ? 0 : RING_FREE_REQUESTS(&front->ring);
}

bool sndif_ring_front_put(struct sndif_ring_front *front, const struct xensnd_req *req, bool *notify) {
    struct xen_sndif_front_ring *ring = &front->ring;

    *notify = false;
    if (sndif_ring_front_free(front) == 0)
        return false;
    *RING_GET_REQUEST(ring, ring->req_prod_pvt) = *req;
    ring->req_prod_pvt++;
    *notify = publish(&ring->sring->req_prod, ring->req_prod_pvt, &ring->sring->req_event);
    return true;
}

enum sndif_ring_result sndif_ring_front_get(struct sndif_ring_front *front, struct xensnd_resp *resp) {
    struct xen_sndif_front_ring *ring = &front->ring;
    RING_IDX waiting;

    if (front->broken)
        return SNDIF_RING_BROKEN;
    waiting = load_index(&ring->sring->rsp_prod) - ring->rsp_cons;
    if (waiting == 0)
        return SNDIF_RING_EMPTY;
    /* No more answers than questions. */
    if (waiting > ring->req_prod_pvt - ring->rsp_cons) {
        front->broken = true;
        return SNDIF_RING_BROKEN;
    }
    RING_COPY_RESPONSE(ring, ring->rsp_cons, resp);
    ring->rsp_cons++;
    return SNDIF_RING_GOT;
}

bool sndif_ring_front_final_check(struct sndif_ring_front *front) {
    struct xen_sndif_front_ring *ring = &front->ring;

    return !front->broken &&
           ask_and_look_again(&ring->sring->rsp_prod, ring->rsp_cons, &ring->sring->rsp_event);
}

void sndif_ring_front_hold_off(struct sndif_ring_front *front, unsigned pending) {
    struct xen_sndif_front_ring *ring = &front->ring;

    /* An event at or behind rsp_cons would not be met again before the counter has wrapped. */
    __atomic_store_n(&ring->sring->rsp_event, ring->rsp_cons + (pending > 0 ? pending : 1), __ATOMIC_RELAXED);
    xen_mb(); /* the event before the caller's last look at the responses */
}
