/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_FRONTEND_H
#define XEN_AUDIO_SNDIF_FRONTEND_H

/*
 * The frontend's end of one stream: its pages, channels and ring, for any source of samples. Grants are made
 * once, when the stream is connected; requests and events neither allocate nor block and belong in the audio
 * thread.
 */

#include "sndif-evt-ring.h"
#include "sndif-params.h"
#include "sndif-ring.h"
#include "sndif-shbuf.h"
#include "xen-io.h"

struct sndif_frontend {
    struct xen_io_share share;
    struct xen_io_evtchn evtchn;
    void *ring_page, *evt_page;
    uint32_t ring_ref, evt_ring_ref;   /* for xenstore */
    uint32_t request_port, event_port; /* for xenstore */
    struct sndif_shbuf_front shbuf;    /* the samples */
    uint32_t buffer_bytes;
    struct sndif_ring_front ring;
    struct sndif_evt_front events;
    uint16_t next_id;
};

/* Opens the devices and grants everything to the backend's domain. 0 or -errno with *what naming the step;
 * nothing is left on failure. */
int sndif_frontend_init(struct sndif_frontend *front, uint32_t backend_domid, uint32_t buffer_bytes,
                        const char **what);
/* Ends grants and channels. Safe on a zeroed struct and twice. */
void sndif_frontend_done(struct sndif_frontend *front);

/* The descriptor to poll; when it is readable call sndif_frontend_take. */
int sndif_frontend_fd(const struct sndif_frontend *front);
/* Takes what has fired, before looking at responses and events. */
void sndif_frontend_take(struct sndif_frontend *front);

/* Puts a request, numbers it and notifies the backend. False when the ring is full. */
bool sndif_frontend_request(struct sndif_frontend *front, struct xensnd_req *req);
enum sndif_ring_result sndif_frontend_response(struct sndif_frontend *front, struct xensnd_resp *resp);
enum sndif_ring_result sndif_frontend_event(struct sndif_frontend *front, struct sndif_cur_pos *pos);
/* Before sleeping; quiet: answers to WRITE alone are not worth waking up for. True: look again first. */
bool sndif_frontend_may_not_sleep(struct sndif_frontend *front, bool quiet);

#endif
