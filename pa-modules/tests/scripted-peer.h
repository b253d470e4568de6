/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_TESTS_SCRIPTED_PEER_H
#define XEN_AUDIO_TESTS_SCRIPTED_PEER_H

/*
 * The other side of the Linux model in the model's own tests: a thread that answers every request with 0 (a
 * query with itself), keeps a log, and sends exactly the positions it is told to.
 */

#include <pthread.h>

#include "linux-driver.h"
#include "sndif-evt-ring.h"
#include "sndif-ring.h"

#define SCRIPTED_LOG 512u
#define SCRIPTED_POSITIONS 8u

struct scripted_peer {
    /* the script; set it before the request it is about */
    int32_t status[XENSND_OP_HW_PARAM_QUERY + 1]; /* the answer of each operation */
    uint32_t unanswered;                          /* bits, 1 << operation */
    uint32_t query_buffer_max_frames;             /* answers of queries are cut to it; 0: not */
    bool realign_at_stop; /* an event at the next multiple of buffer_sz, before the answer */
    uint64_t after_start_frames[SCRIPTED_POSITIONS]; /* sent behind the answer to START, up to the first 0 */

    /* what came; read it through the functions below */
    struct xensnd_req log[SCRIPTED_LOG];
    unsigned logged;

    uint64_t position_bytes; /* of the last event */
    uint32_t frame_bytes, buffer_bytes;

    struct xen_io_map map;
    struct xen_io_evtchn evtchn;
    void *ring_page, *evt_page;
    int req_port, evt_port, stop_fd;
    struct sndif_ring_back ring;
    struct sndif_evt_back evt;
    pthread_mutex_t lock;   /* guards all of it between the thread and the test */
    pthread_cond_t arrived; /* a request */
    pthread_t thread;
};

/* Connects as backend_domid to what frontend_domid publishes, and starts the thread. False: it could not. */
bool scripted_peer_start(struct scripted_peer *peer, uint32_t backend_domid, uint32_t frontend_domid,
                         const struct linux_transport *transport);
void scripted_peer_stop(struct scripted_peer *peer);

/* Sends one CUR_POS, in frames of the stream that was opened last. False when the page is full. */
bool scripted_peer_send(struct scripted_peer *peer, uint64_t position_frames);
/* Leaves out an event id, as a backend must not. */
void scripted_peer_skip_id(struct scripted_peer *peer);
/* Answers a request of the log again. */
void scripted_peer_answer(struct scripted_peer *peer, const struct xensnd_req *req);

/* How many requests of this operation came since the last scripted_peer_forget. */
unsigned scripted_peer_count(struct scripted_peer *peer, uint8_t operation);
/* Waits until that many have come. False: they did not within timeout_ms. */
bool scripted_peer_await(struct scripted_peer *peer, uint8_t operation, unsigned count, int timeout_ms);
/* The nth request since then, of any operation; all octets 0xff when there is none. */
struct xensnd_req scripted_peer_request(struct scripted_peer *peer, unsigned nth);
void scripted_peer_forget(struct scripted_peer *peer);

#endif
