/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_BACKEND_H
#define XEN_AUDIO_SNDIF_BACKEND_H

/*
 * The backend of one stream, playback or capture: a thread that serves the request ring of a frontend and reports
 * positions, for any sound server. It owns ring, event page, channels and mappings from new to free, and
 * nobody else touches them, so a frontend that floods or stalls its ring troubles no sink's thread. What only
 * the sound server can do is asked of the owner by commands.
 *
 *            frontend                stream thread               owner (a main loop)        audio thread
 *     OPEN ------------------------> checks, maps
 *                                    OPEN ----------------------> makes a sink input
 *          <------------------------------------------------------ reply
 *     WRITE -----------------------> copies, answers ...................................... pulls
 *     TRIGGER START ---------------> START ---------------------> uncorks
 *
 * and of a capture stream:
 *     TRIGGER START ---------------> START ---------------------> admits a source, if its guest may record
 *                                    wakes, at the position wanted <......................... pushes
 *     READ ------------------------> copies, answers
 *                                    wipes <--------------------- revokes the source, at any time
 *                                    WIPED ---------------------> says so
 */

#include "sndif-mailbox.h"
#include "sndif-capture.h"
#include "sndif-params.h"
#include "sndif-playback.h"

struct sndif_backend;

struct sndif_backend_config {
    uint32_t domid; /* the frontend's */
    uint32_t ring_ref, event_channel, evt_ring_ref, evt_event_channel;
    struct sndif_caps caps;
    bool capture;      /* else playback */
    bool linux_quirks; /* the frontend wrote no `version` */
    bool feature_latency, feature_wakeup, feature_rewind, feature_alive;
    void (*thread_started)(
        void *userdata); /* first thing in the stream thread, e.g. to become realtime; may be NULL */
    void *userdata;
};

/* Maps ring and event page, binds both channels, starts the thread. 0 or -errno with *what naming the step;
 * nothing is left on failure. */
int sndif_backend_new(struct sndif_backend **backend, const struct sndif_backend_config *config,
                      const char **what);

/* Becomes readable when sndif_backend_next has something for the owner. */
int sndif_backend_fd(const struct sndif_backend *backend);

/* The owner's thread: the next command to carry out, or NULL. Every command but news is replied to, soon: the
 * frontend waits. */
struct sndif_backend_command *sndif_backend_next(struct sndif_backend *backend);
/* status: 0 or -errno. */
void sndif_backend_reply(struct sndif_backend *backend, int status);
/* The owner's thread, an open capture stream: nobody pushes any more. What is there is wiped; WIPED says when. */
void sndif_backend_revoke(struct sndif_backend *backend);

/* The audio thread: a push has reached what the stream thread waits for. One write, no lock. */
void sndif_backend_wake(struct sndif_backend *backend);

/*
 * Ends the thread (within a fraction of a second), unmaps and unbinds everything. The owner must have stopped
 * pulling or pushing. Safe with NULL.
 */
void sndif_backend_free(struct sndif_backend *backend);

#endif
