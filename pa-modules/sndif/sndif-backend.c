/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-backend-internal.h"

#include <errno.h>
#include <stdlib.h>

/* ---- the owner's side ---- */

int sndif_backend_fd(const struct sndif_backend *backend) {
    return backend->mailbox.owner_fd;
}

struct sndif_backend_command *sndif_backend_next(struct sndif_backend *backend) {
    return sndif_mailbox_next(&backend->mailbox);
}

void sndif_backend_reply(struct sndif_backend *backend, int status) {
    sndif_mailbox_reply(&backend->mailbox, status);
}

void sndif_backend_revoke(struct sndif_backend *backend) {
    sndif_capture_revoke(&backend->stream.capture);
    sndif_mailbox_wake_stream(&backend->mailbox);
}

/* ---- the audio thread's side ---- */

void sndif_backend_wake(struct sndif_backend *backend) {
    sndif_mailbox_wake_stream(&backend->mailbox);
}

/* ---- life ---- */

static int connect_frontend(struct sndif_backend *b, const char **what) {
    const struct sndif_backend_config *c = &b->config;
    int r;

    *what = "opening the grant device (/dev/xen/gntdev)";
    if ((r = xen_io_map_open(&b->map, c->domid)) < 0)
        return r;
    *what = "opening the event channel device (/dev/xen/evtchn)";
    if ((r = xen_io_evtchn_open(&b->evtchn)) < 0)
        return r;
    *what = "mapping the request ring (ring-ref)";
    if ((r = xen_io_map_pages(&b->map, 1, &c->ring_ref, true, &b->ring_page)) < 0)
        return r;
    *what = "mapping the event page (evt-ring-ref)";
    if ((r = xen_io_map_pages(&b->map, 1, &c->evt_ring_ref, true, &b->evt_page)) < 0)
        return r;
    *what = "binding the request channel (event-channel)";
    if ((r = b->request_port = xen_io_evtchn_bind_interdomain(&b->evtchn, c->domid, c->event_channel)) < 0)
        return r;
    *what = "binding the event page's channel (evt-event-channel)";
    if ((r = b->event_port = xen_io_evtchn_bind_interdomain(&b->evtchn, c->domid, c->evt_event_channel)) < 0)
        return r;

    sndif_ring_back_init(&b->ring, b->ring_page);
    sndif_evt_back_init(&b->events, b->evt_page);
    return 0;
}

static int init_mailbox(struct sndif_backend *b) {
    int r = sndif_mailbox_init(&b->mailbox);

    b->mailbox.command.playback = b->config.capture ? NULL : &b->stream.playback;
    b->mailbox.command.capture = b->config.capture ? &b->stream.capture : NULL;
    return r;
}

static int start_thread(struct sndif_backend *b, const char **what) {
    int r;

    *what = "starting the stream thread";
    if ((r = pthread_create(&b->thread, NULL, sndif_backend_thread, b)) != 0)
        return -r;
    b->thread_running = true;
    return 0;
}

int sndif_backend_new(struct sndif_backend **backend, const struct sndif_backend_config *config,
                      const char **what) {
    struct sndif_backend *b = calloc(1, sizeof(*b));
    int r;

    *what = "allocating memory";
    if (!b)
        return -ENOMEM;

    b->config = *config;
    b->stream.is_capture = config->capture;
    *what = "creating event descriptors";
    if ((r = init_mailbox(b)) < 0 || (r = connect_frontend(b, what)) < 0 || (r = start_thread(b, what)) < 0) {
        sndif_backend_free(b);
        return r;
    }
    *backend = b;
    return 0;
}

void sndif_backend_free(struct sndif_backend *b) {
    if (!b)
        return;

    if (b->thread_running) {
        atomic_store(&b->stop, true);
        sndif_mailbox_wake_stream(&b->mailbox);
        pthread_join(b->thread, NULL);
    }
    sndif_backend_release_stream(b);
    xen_io_evtchn_close(&b->evtchn);
    xen_io_unmap_pages(&b->map, b->evt_page, 1);
    xen_io_unmap_pages(&b->map, b->ring_page, 1);
    xen_io_map_close(&b->map);
    sndif_mailbox_done(&b->mailbox);
    free(b);
}
