/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-evt-ring.h"

_Static_assert(XENSND_IN_RING_LEN == SNDIF_EVT_SLOTS, "sndif v2 event page");

static uint32_t load_index(const uint32_t *index) {
    return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

static uint64_t *wakeup_of(struct xensnd_event_page *page) {
    return (uint64_t *) (void *) ((char *) page + SNDIF_WAKEUP_OFFSET);
}

/* ---- backend ---- */

void sndif_evt_back_init(struct sndif_evt_back *back, void *page) {
    *back = (struct sndif_evt_back) {.page = page};
}

/*
 * 63 slots do not divide 2^32: behind the wrap of the counter the slots start again at 0 while the events
 * before it still hold theirs. So the page also counts as full while cons is numerically above prod, which is
 * as well what an in_cons beyond in_prod looks like.
 */
static bool is_full(uint32_t prod, uint32_t cons) {
    return cons > prod || prod - cons >= SNDIF_EVT_SLOTS;
}

bool sndif_evt_back_put(struct sndif_evt_back *back, const struct sndif_cur_pos *pos) {
    struct xensnd_evt evt;

    if (is_full(back->prod, load_index(&back->page->in_cons)))
        return false;
    memset(&evt, 0, sizeof(evt)); /* all 64 octets reach the guest */
    evt.id = back->next_id++;
    evt.type = XENSND_EVT_CUR_POS;
    evt.op.cur_pos.position = pos->position_bytes;
    memcpy((char *) &evt + SNDIF_EVT_LATENCY_OFFSET, &pos->latency_usec, sizeof(pos->latency_usec));
    XENSND_IN_RING_REF(back->page, back->prod) = evt;
    back->prod++;
    __atomic_store_n(&back->page->in_prod, back->prod, __ATOMIC_RELEASE); /* the event before its index */
    return true;
}

uint64_t sndif_evt_back_wakeup(const struct sndif_evt_back *back) {
    xen_mb(); /* our last event before the look, as the frontend sets it after the events it took */
    return __atomic_load_n(wakeup_of(back->page), __ATOMIC_ACQUIRE);
}

/* ---- frontend ---- */

void sndif_evt_front_init(struct sndif_evt_front *front, void *page) {
    *front = (struct sndif_evt_front) {.page = page};
    memset(page, 0, sizeof(*front->page));
}

enum sndif_ring_result sndif_evt_front_get(struct sndif_evt_front *front, struct sndif_cur_pos *pos) {
    struct xensnd_evt evt;
    uint32_t prod;

    if (front->broken)
        return SNDIF_RING_BROKEN;
    prod = load_index(&front->page->in_prod);
    if (prod - front->cons > SNDIF_EVT_SLOTS) {
        front->broken = true;
        return SNDIF_RING_BROKEN;
    }
    while (front->cons != prod) {
        evt = *(volatile struct xensnd_evt *) &XENSND_IN_RING_REF(front->page, front->cons);
        front->cons++;
        __atomic_store_n(&front->page->in_cons, front->cons,
                         __ATOMIC_RELEASE); /* the copy before the slot is free */
        if (evt.type != XENSND_EVT_CUR_POS)
            continue;
        pos->position_bytes = evt.op.cur_pos.position;
        memcpy(&pos->latency_usec, (char *) &evt + SNDIF_EVT_LATENCY_OFFSET, sizeof(pos->latency_usec));
        return SNDIF_RING_GOT;
    }
    return SNDIF_RING_EMPTY;
}

void sndif_evt_front_set_wakeup(struct sndif_evt_front *front, uint64_t position_bytes) {
    __atomic_store_n(wakeup_of(front->page), position_bytes, __ATOMIC_RELEASE);
    xen_mb(); /* the wish before the caller's last look at the events */
}
