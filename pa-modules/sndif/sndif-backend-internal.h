/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_BACKEND_INTERNAL_H
#define XEN_AUDIO_SNDIF_BACKEND_INTERNAL_H

/*
 * A backend in five files: its life and the owner's side (sndif-backend.c), the stream thread
 * (sndif-backend-thread.c), and what that does: requests (sndif-backend-requests.c), position events
 * (sndif-backend-events.c), and the stream of either direction (sndif-backend-stream.c). All functions here are
 * for the stream thread.
 */

#include <pthread.h>

#include "sndif-backend-stream.h"
#include "sndif-backend.h"
#include "sndif-evt-ring.h"
#include "sndif-ring.h"
#include "sndif-shbuf.h"
#include "xen-io.h"

/* Linux gives up on an answer after 3 s; an owner that takes longer than this is not coming back. */
#define SNDIF_BACKEND_OWNER_LIMIT_USEC 2000000u

enum stream_state { STREAM_CLOSED, STREAM_OPEN, STREAM_RUNNING, STREAM_PAUSED };

struct sndif_backend {
    struct sndif_backend_config config;
    pthread_t thread;
    bool thread_running;
    atomic_bool stop;
    struct sndif_mailbox mailbox;

    /* everything below belongs to the stream thread */
    struct xen_io_map map;
    struct xen_io_evtchn evtchn;
    void *ring_page, *evt_page;
    int request_port, event_port;
    bool request_masked, event_masked;
    struct sndif_ring_back ring;
    struct sndif_evt_back events;

    enum stream_state state;
    struct sndif_backend_stream stream;
    struct sndif_shbuf_back shbuf;
    bool broken;

    struct xensnd_req request; /* the one being served */
    bool waiting, abandoned;   /* ... by the owner; ... and was answered with a time-out */
    uint64_t waiting_since_usec;

    uint64_t window_usec;
    unsigned window_work;
    uint64_t next_event_bytes; /* periods */
    uint64_t served_wakeup;    /* feature-wakeup: the last value an event was sent for */
    uint64_t event_usec, review_usec, asked_usec;
};

/* ---- the thread ---- */

void *sndif_backend_thread(void *backend);
uint64_t sndif_backend_now_usec(void);

/* ---- requests ---- */

/* Serves b->request: answers it, or leaves it to the owner. */
void sndif_backend_serve(struct sndif_backend *b, uint64_t now);
/* Takes the owner's reply, or gives up on it. */
void sndif_backend_check_owner(struct sndif_backend *b, uint64_t now);
/* Wipes what a revoked source has left, and says so to the owner. */
void sndif_backend_wipe(struct sndif_backend *b, uint64_t now);
/* Forgets the stream that is open, if one is. */
void sndif_backend_release_stream(struct sndif_backend *b);

/* ---- events ---- */

/* Sends one CUR_POS. */
void sndif_backend_send_position(struct sndif_backend *b, uint64_t position_bytes, uint64_t now);
/* The stream runs from now on. */
void sndif_backend_begin_events(struct sndif_backend *b);
/* Sends one CUR_POS if it is due. */
void sndif_backend_report_position(struct sndif_backend *b, uint64_t now);
/* Time until one may be; UINT64_MAX when none is wanted. */
uint64_t sndif_backend_event_wait_usec(struct sndif_backend *b, uint64_t now);
/* What to ask of the sound server when the stream starts. */
uint64_t sndif_backend_first_latency_usec(struct sndif_backend *b, uint64_t now);

#endif
