/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scripted-peer.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "fake-xen.h"
#include "sndif-format.h"

/* ---- with the lock held ---- */

static bool send_bytes(struct scripted_peer *peer, uint64_t position_bytes) {
    peer->position_bytes = position_bytes;
    if (!sndif_evt_back_put(&peer->evt, &(struct sndif_cur_pos) {.position_bytes = position_bytes}))
        return false;
    xen_io_evtchn_notify(&peer->evtchn, (uint32_t) peer->evt_port);
    return true;
}

static void answer(struct scripted_peer *peer, const struct xensnd_req *req) {
    struct xensnd_resp resp = {.id = req->id, .operation = req->operation};

    if (req->operation <= XENSND_OP_HW_PARAM_QUERY)
        resp.status = peer->status[req->operation];
    if (req->operation == XENSND_OP_HW_PARAM_QUERY) {
        resp.resp.hw_param = req->op.hw_param;
        if (peer->query_buffer_max_frames > 0)
            resp.resp.hw_param.buffer.max = peer->query_buffer_max_frames;
    }
    if (sndif_ring_back_put(&peer->ring, &resp))
        xen_io_evtchn_notify(&peer->evtchn, (uint32_t) peer->req_port);
}

static void note_open(struct scripted_peer *peer, const struct xensnd_open_req *open) {
    const struct sndif_format *format = sndif_format_by_id(open->pcm_format);

    peer->frame_bytes = format ? (uint32_t) format->sample_bytes * open->pcm_channels : 1;
    peer->buffer_bytes = open->buffer_sz;
    peer->position_bytes = 0;
}

static void serve(struct scripted_peer *peer, const struct xensnd_req *req) {
    bool trigger = req->operation == XENSND_OP_TRIGGER;

    if (peer->logged < SCRIPTED_LOG)
        peer->log[peer->logged++] = *req;
    pthread_cond_broadcast(&peer->arrived);
    if (req->operation == XENSND_OP_OPEN)
        note_open(peer, &req->op.open);
    if (peer->unanswered >> req->operation & 1)
        return;
    if (trigger && req->op.trigger.type == XENSND_OP_TRIGGER_STOP && peer->realign_at_stop)
        send_bytes(peer,
                   (peer->position_bytes + peer->buffer_bytes - 1) / peer->buffer_bytes * peer->buffer_bytes);
    answer(peer, req);
    if (trigger && req->op.trigger.type == XENSND_OP_TRIGGER_START)
        for (unsigned i = 0; i < SCRIPTED_POSITIONS && peer->after_start_frames[i] > 0; i++)
            send_bytes(peer, peer->after_start_frames[i] * peer->frame_bytes);
}

static void serve_all(struct scripted_peer *peer) {
    struct xensnd_req req;
    int port;

    while ((port = xen_io_evtchn_pending(&peer->evtchn)) >= 0)
        xen_io_evtchn_unmask(&peer->evtchn, (uint32_t) port);
    do
        while (sndif_ring_back_get(&peer->ring, &req) == SNDIF_RING_GOT)
            serve(peer, &req);
    while (sndif_ring_back_final_check(&peer->ring));
}

/* ---- the thread ---- */

static void *run(void *userdata) {
    struct scripted_peer *peer = userdata;
    struct pollfd items[] = {
        {.fd = xen_io_evtchn_fd(&peer->evtchn), .events = POLLIN},
        {.fd = peer->stop_fd, .events = POLLIN},
    };

    while (poll(items, 2, -1) > 0 && !items[1].revents) {
        pthread_mutex_lock(&peer->lock);
        serve_all(peer);
        pthread_mutex_unlock(&peer->lock);
    }
    return NULL;
}

/* ---- called by the test ---- */

static bool connect_to(struct scripted_peer *peer, uint32_t frontend_domid,
                       const struct linux_transport *transport) {
    if (xen_io_map_open(&peer->map, frontend_domid) < 0 || xen_io_evtchn_open(&peer->evtchn) < 0 ||
        xen_io_map_pages(&peer->map, 1, &transport->ring_ref, true, &peer->ring_page) < 0 ||
        xen_io_map_pages(&peer->map, 1, &transport->evt_ring_ref, true, &peer->evt_page) < 0)
        return false;
    peer->req_port = xen_io_evtchn_bind_interdomain(&peer->evtchn, frontend_domid, transport->req_port);
    peer->evt_port = xen_io_evtchn_bind_interdomain(&peer->evtchn, frontend_domid, transport->evt_port);
    sndif_ring_back_init(&peer->ring, peer->ring_page);
    sndif_evt_back_init(&peer->evt, peer->evt_page);
    peer->stop_fd = eventfd(0, EFD_CLOEXEC);
    return peer->req_port > 0 && peer->evt_port > 0 && peer->stop_fd >= 0;
}

bool scripted_peer_start(struct scripted_peer *peer, uint32_t backend_domid, uint32_t frontend_domid,
                         const struct linux_transport *transport) {
    bool connected;

    memset(peer, 0, sizeof(*peer));
    pthread_mutex_init(&peer->lock, NULL);
    pthread_cond_init(&peer->arrived, NULL);
    fake_xen_set_domain(backend_domid);
    connected = connect_to(peer, frontend_domid, transport);
    fake_xen_set_domain(frontend_domid);
    return connected && pthread_create(&peer->thread, NULL, run, peer) == 0;
}

void scripted_peer_stop(struct scripted_peer *peer) {
    eventfd_write(peer->stop_fd, 1);
    pthread_join(peer->thread, NULL);
    close(peer->stop_fd);
    xen_io_unmap_pages(&peer->map, peer->ring_page, 1);
    xen_io_unmap_pages(&peer->map, peer->evt_page, 1);
    xen_io_evtchn_close(&peer->evtchn);
    xen_io_map_close(&peer->map);
    pthread_cond_destroy(&peer->arrived);
    pthread_mutex_destroy(&peer->lock);
}

bool scripted_peer_send(struct scripted_peer *peer, uint64_t position_frames) {
    bool sent;

    pthread_mutex_lock(&peer->lock);
    sent = send_bytes(peer, position_frames * peer->frame_bytes);
    pthread_mutex_unlock(&peer->lock);
    return sent;
}

void scripted_peer_skip_id(struct scripted_peer *peer) {
    pthread_mutex_lock(&peer->lock);
    peer->evt.next_id++;
    pthread_mutex_unlock(&peer->lock);
}

void scripted_peer_answer(struct scripted_peer *peer, const struct xensnd_req *req) {
    pthread_mutex_lock(&peer->lock);
    answer(peer, req);
    pthread_mutex_unlock(&peer->lock);
}

static unsigned count_requests(const struct scripted_peer *peer, uint8_t operation) {
    unsigned count = 0;

    for (unsigned i = 0; i < peer->logged; i++)
        count += peer->log[i].operation == operation;
    return count;
}

unsigned scripted_peer_count(struct scripted_peer *peer, uint8_t operation) {
    unsigned count;

    pthread_mutex_lock(&peer->lock);
    count = count_requests(peer, operation);
    pthread_mutex_unlock(&peer->lock);
    return count;
}

bool scripted_peer_await(struct scripted_peer *peer, uint8_t operation, unsigned count, int timeout_ms) {
    struct timespec end;
    bool came;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (end.tv_nsec >= 1000000000L) {
        end.tv_nsec -= 1000000000L;
        end.tv_sec++;
    }
    pthread_mutex_lock(&peer->lock);
    while (!(came = count_requests(peer, operation) >= count))
        if (pthread_cond_timedwait(&peer->arrived, &peer->lock, &end) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&peer->lock);
    return came;
}

struct xensnd_req scripted_peer_request(struct scripted_peer *peer, unsigned nth) {
    struct xensnd_req req;

    memset(&req, 0xff, sizeof(req));
    pthread_mutex_lock(&peer->lock);
    if (nth < peer->logged)
        req = peer->log[nth];
    pthread_mutex_unlock(&peer->lock);
    return req;
}

void scripted_peer_forget(struct scripted_peer *peer) {
    pthread_mutex_lock(&peer->lock);
    peer->logged = 0;
    pthread_mutex_unlock(&peer->lock);
}
