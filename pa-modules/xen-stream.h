/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_XEN_STREAM_H
#define XEN_AUDIO_XEN_STREAM_H

/*
 * The IO thread of a sink or source whose samples go through a stream of a vsnd card: its loop, and which request
 * the state of the sink or source asks for. Without a backend it lets time pass.
 */

#include <pulsecore/rtpoll.h>
#include <pulsecore/thread.h>

#include "xen-card.h"

/* What the sink or source is up to. */
enum xen_stream_use {
    XEN_STREAM_RUNNING,
    XEN_STREAM_IDLE, /* nobody plays or records; the stream is closed after a while */
    XEN_STREAM_OFF,  /* suspended; the stream is closed at once */
};

/* All but in_use in the IO thread; none allocates or blocks. */
struct xen_stream_ops {
    bool (*in_use)(void *userdata); /* main thread */
    enum xen_stream_use (*use)(void *userdata);
    /* Initialises the struct sndif_session, features left open. */
    void (*reset)(void *userdata, struct sndif_frontend *front);
    /* It has been connected, or is not any more. */
    void (*changed)(void *userdata);
    /* The begin of each turn; linked: takes answers and events. */
    void (*process)(void *userdata, pa_usec_t now);
    /* OPEN, and START follows. */
    void (*prepare)(void *userdata, pa_usec_t now);
    /* RUNNING. Returns when to look again. */
    pa_usec_t (*run)(void *userdata, pa_usec_t now);
    /* Whether no answer is worth waking up for. RUNNING. */
    bool (*quiet)(void *userdata);
    /* Lets time pass without a backend. Returns when to look again. */
    pa_usec_t (*pass_time)(void *userdata, pa_usec_t now);
    /* Time passes as well while a backend is there, and the stream is not RUNNING yet. */
    bool impatient;
};

struct xen_stream {
    pa_core *core;
    pa_module *module;
    const struct xen_stream_ops *ops;
    void *userdata;
    struct sndif_session *session; /* userdata's, valid while linked */

    struct xen_card_stream *card;
    pa_msgobject *msg;
    pa_thread *thread;
    pa_thread_mq thread_mq;
    pa_rtpoll *rtpoll;

    /* IO thread */
    bool linked, failure_said;
    pa_rtpoll_item *item;
    pa_usec_t idle_usec; /* since when the open stream is idle */
};

/*
 * Claims the stream of the card that the module argument device names, 'p' or 'c', and makes the queues of the
 * thread. -1 after logging. xen_stream_done cleans up in either case.
 */
int xen_stream_init(struct xen_stream *s, pa_module *module, const char *device, char type,
                    const struct xen_stream_ops *ops, void *userdata, struct sndif_session *session);
/* Starts the thread. -1 after logging. */
int xen_stream_start(struct xen_stream *s, const char *thread_name);
/* Disconnects, ends the thread and frees all; the sink or source has been unlinked. Safe on a zeroed struct. */
void xen_stream_done(struct xen_stream *s);

/* IO thread: the backend is there, and the stream is to be used. */
bool xen_stream_is_up(const struct xen_stream *s);

#endif
