/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-frontend.h"

static int bind_ports(struct sndif_frontend *front, uint32_t backend_domid) {
    int r;

    if ((r = xen_io_evtchn_bind_unbound(&front->evtchn, backend_domid)) < 0)
        return r;
    front->request_port = (uint32_t) r;
    if ((r = xen_io_evtchn_bind_unbound(&front->evtchn, backend_domid)) < 0)
        return r;
    front->event_port = (uint32_t) r;
    return 0;
}

static int grant_all(struct sndif_frontend *front, uint32_t backend_domid, const char **what) {
    int r;

    *what = "opening the grant allocator (/dev/xen/gntalloc)";
    if ((r = xen_io_share_open(&front->share, backend_domid)) < 0)
        return r;
    *what = "opening the event channel device (/dev/xen/evtchn)";
    if ((r = xen_io_evtchn_open(&front->evtchn)) < 0)
        return r;
    *what = "granting the request ring";
    if ((r = xen_io_share_page_alive(&front->share, SNDIF_ALIVE_OFFSET, &front->ring_page,
                                     &front->ring_ref)) < 0)
        return r;
    *what = "granting the event page";
    if ((r = xen_io_share_pages(&front->share, 1, true, &front->evt_page, &front->evt_ring_ref)) < 0)
        return r;
    *what = "granting the sample buffer";
    if ((r = sndif_shbuf_front_alloc(&front->shbuf, &front->share, front->buffer_bytes, true)) < 0)
        return r;
    *what = "allocating event channels";
    return bind_ports(front, backend_domid);
}

int sndif_frontend_init(struct sndif_frontend *front, uint32_t backend_domid, uint32_t buffer_bytes,
                        const char **what) {
    int r;

    memset(front, 0, sizeof(*front));
    front->buffer_bytes = buffer_bytes;
    if ((r = grant_all(front, backend_domid, what)) < 0) {
        sndif_frontend_done(front);
        return r;
    }
    sndif_ring_front_init(&front->ring, front->ring_page);
    sndif_evt_front_init(&front->events, front->evt_page);
    ((volatile uint8_t *) front->ring_page)[SNDIF_ALIVE_OFFSET] = 1;
    return 0;
}

void sndif_frontend_done(struct sndif_frontend *front) {
    if (front->ring_page)
        ((volatile uint8_t *) front->ring_page)[SNDIF_ALIVE_OFFSET] = 0;
    xen_io_evtchn_close(&front->evtchn);
    sndif_shbuf_front_free(&front->shbuf, &front->share);
    xen_io_unshare_pages(&front->share, front->evt_page, 1);
    xen_io_unshare_pages(&front->share, front->ring_page, 1);
    xen_io_share_close(&front->share);
    memset(front, 0, sizeof(*front));
}

int sndif_frontend_fd(const struct sndif_frontend *front) {
    return xen_io_evtchn_fd(&front->evtchn);
}

void sndif_frontend_take(struct sndif_frontend *front) {
    int port;

    /* unmasked before the work: the work looks at everything that is there, and what comes later fires again
     */
    while ((port = xen_io_evtchn_pending(&front->evtchn)) >= 0)
        xen_io_evtchn_unmask(&front->evtchn, (uint32_t) port);
}

bool sndif_frontend_request(struct sndif_frontend *front, struct xensnd_req *req) {
    bool notify;

    req->id = front->next_id;
    if (!sndif_ring_front_put(&front->ring, req, &notify))
        return false;

    front->next_id++;
    if (notify)
        xen_io_evtchn_notify(&front->evtchn, front->request_port);
    return true;
}

enum sndif_ring_result sndif_frontend_response(struct sndif_frontend *front, struct xensnd_resp *resp) {
    return sndif_ring_front_get(&front->ring, resp);
}

enum sndif_ring_result sndif_frontend_event(struct sndif_frontend *front, struct sndif_cur_pos *pos) {
    return sndif_evt_front_get(&front->events, pos);
}

bool sndif_frontend_may_not_sleep(struct sndif_frontend *front, bool quiet) {
    if (!quiet)
        return sndif_ring_front_final_check(&front->ring);

    sndif_ring_front_hold_off(&front->ring, SNDIF_RING_SLOTS / 2);
    return false;
}
