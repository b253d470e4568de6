/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_XEN_CARD_H
#define XEN_AUDIO_XEN_CARD_H

/*
 * The connection of a vsnd card, which the modules of one PulseAudio share: a card has one state, and its streams
 * are published together before that becomes Initialised (docs/protocol.md). A module joins with the stream it
 * wants and is told when that is connected and when it is not. When one joins or leaves, the card is connected
 * anew. For the main thread.
 */

#include <pulsecore/module.h>
#include <pulsecore/thread-mq.h>

#include "sndif-session.h"
#include "xenbus-front.h"

struct xen_card_stream;

struct xen_card_callbacks {
    /* The stream is connected: front is the IO thread's until unlink. */
    void (*link)(void *userdata, struct sndif_frontend *front, const struct xenbus_features *features);
    /* Returns when the IO thread has let go of it. */
    void (*unlink)(void *userdata);
    /* Whether somebody plays or records now, and would notice that the card is connected anew. */
    bool (*in_use)(void *userdata);
};

/* What a stream carries. */
struct xen_card_params {
    const struct sndif_format *format;
    uint32_t rate, channels;
    uint32_t buffer_bytes;
};

/*
 * Claims a stream for a module: device is a module argument, "0" or "0/0/1", type 'p' or 'c'. NULL after logging
 * why: no such thing, taken by another module, no xenstore.
 */
struct xen_card_stream *xen_card_join(pa_module *module, const char *device, char type,
                                      const struct xen_card_callbacks *callbacks, void *userdata);
/* Ends the stream's connection, and the card's with the last. Unlinks first. Safe with NULL. */
void xen_card_leave(struct xen_card_stream *stream);

unsigned xen_card_devid(const struct xen_card_stream *stream);
/* Reads what the card allows; all zero when it is not there yet, which is no error. -1 after logging. */
int xen_card_read(struct xen_card_stream *stream, struct xenbus_stream_config *config);
/* From now on the stream is connected whenever it can be. */
void xen_card_connect(struct xen_card_stream *stream, const struct xen_card_params *params);

/*
 * IO thread: the linked stream has failed and is left alone until unlink. The main thread says why and tries
 * again.
 */
void xen_card_post_failure(struct xen_card_stream *stream, pa_thread_mq *mq, struct sndif_session *failed);

/* IO thread: lost_usec of what was captured were overwritten before we read them. Logged. */
void xen_card_post_loss(struct xen_card_stream *stream, pa_thread_mq *mq, pa_usec_t lost_usec);

#endif
