/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "linux-driver.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#include "sndif-format.h"

int64_t linux_now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- connection ---- */

/*
 * The driver does not clear slots, so that requests carry rests of old responses: here from the first lap on.
 */
static void init_ring(struct linux_driver *driver) {
    struct xen_sndif_sring *sring = driver->ring_page;

    memset(driver->ring_page, 0xa5, SNDIF_PAGE_BYTES);
    XEN_FRONT_RING_INIT(&driver->ring, sring, SNDIF_PAGE_BYTES);
}

static int bind_port(struct linux_driver *driver, uint32_t backend_domid, uint32_t *port) {
    int r = xen_io_evtchn_bind_unbound(&driver->evtchn, backend_domid);

    if (r < 0)
        return r;
    *port = (uint32_t) r;
    return 0;
}

static int connect_all(struct linux_driver *driver, uint32_t backend_domid) {
    struct linux_transport *transport = &driver->transport;
    void *evt_page;
    int r;

    if ((r = xen_io_share_open(&driver->share, backend_domid)) < 0 ||
        (r = xen_io_evtchn_open(&driver->evtchn)) < 0 ||
        (r = xen_io_share_pages(&driver->share, 1, true, &driver->ring_page, &transport->ring_ref)) < 0 ||
        (r = xen_io_share_pages(&driver->share, 1, true, &evt_page, &transport->evt_ring_ref)) < 0)
        return r;
    driver->evt_page = evt_page;
    init_ring(driver);
    if ((r = bind_port(driver, backend_domid, &transport->req_port)) < 0)
        return r;
    return bind_port(driver, backend_domid, &transport->evt_port);
}

int linux_driver_connect(struct linux_driver *driver, uint32_t backend_domid) {
    int r;

    *driver = (struct linux_driver) {.wait_ms = LINUX_DRIVER_WAIT_MS};
    r = connect_all(driver, backend_domid);
    if (r < 0)
        linux_driver_disconnect(driver);
    return r;
}

void linux_driver_disconnect(struct linux_driver *driver) {
    sndif_shbuf_front_free(&driver->shbuf, &driver->share);
    xen_io_unshare_pages(&driver->share, driver->ring_page, 1);
    xen_io_unshare_pages(&driver->share, driver->evt_page, 1);
    driver->ring_page = driver->evt_page = NULL;
    xen_io_evtchn_close(&driver->evtchn);
    xen_io_share_close(&driver->share);
}

/* ---- events ---- */

static void handle_cur_pos(struct linux_driver *driver, uint64_t position_bytes) {
    uint64_t frames, delta;

    if (driver->frame_bytes == 0) {
        driver->oopses++;
        return;
    }
    frames = position_bytes / driver->frame_bytes;
    delta = frames - driver->prev_frames; /* unsigned: a position that goes back is a huge delta */
    driver->prev_frames = frames;
    driver->hw_ptr_frames = (uint32_t) ((driver->hw_ptr_frames + delta) % driver->hw.buffer_frames);
    driver->out_frames += delta;
    if (driver->out_frames > driver->hw.period_frames) {
        driver->out_frames %= driver->hw.period_frames;
        driver->periods++;
        if (driver->period_elapsed)
            driver->period_elapsed(driver->userdata);
    }
}

/*
 * While the PCM device is closed, events stay in the page and are handled some time after it is opened again.
 */
static void handle_events(struct linux_driver *driver) {
    struct xensnd_event_page *page = driver->evt_page;
    uint32_t cons, prod = __atomic_load_n(&page->in_prod, __ATOMIC_ACQUIRE);

    if (!driver->connected)
        return;
    for (cons = page->in_cons; cons != prod; cons++) {
        struct xensnd_evt evt = XENSND_IN_RING_REF(page, cons);

        if (evt.id != driver->expected_evt_id++) { /* moves on whether or not it matched */
            driver->events_dropped++;
            continue;
        }
        driver->events_accepted++;
        if (evt.type == XENSND_EVT_CUR_POS)
            handle_cur_pos(driver, evt.op.cur_pos.position);
    }
    __atomic_store_n(&page->in_cons, cons, __ATOMIC_RELEASE);
}

/* ---- responses ---- */

static void handle_answer(struct linux_driver *driver, const struct xensnd_resp *resp) {
    bool known = resp->operation == XENSND_OP_OPEN || resp->operation == XENSND_OP_CLOSE ||
                 resp->operation == XENSND_OP_READ || resp->operation == XENSND_OP_WRITE ||
                 resp->operation == XENSND_OP_TRIGGER || resp->operation == XENSND_OP_HW_PARAM_QUERY;

    if (!driver->waiting || !known || resp->id != driver->request.id) {
        driver->stray_answers++;
        return;
    }
    driver->answer = *resp;
    driver->answered = true;
}

static void handle_answers(struct linux_driver *driver) {
    int more;

    do {
        RING_IDX prod = __atomic_load_n(&driver->ring.sring->rsp_prod, __ATOMIC_ACQUIRE);

        while (driver->ring.rsp_cons != prod) {
            struct xensnd_resp resp;

            RING_COPY_RESPONSE(&driver->ring, driver->ring.rsp_cons, &resp);
            driver->ring.rsp_cons++;
            handle_answer(driver, &resp);
        }
        RING_FINAL_CHECK_FOR_RESPONSES(&driver->ring, more);
    } while (more);
}

/* ---- interrupts ---- */

static void handle_port(struct linux_driver *driver, uint32_t port) {
    if (port == driver->transport.req_port) {
        handle_answers(driver);
    } else if (driver->waiting) {
        driver->evt_fired = true;
        return;
    } else {
        handle_events(driver);
    }
    xen_io_evtchn_unmask(&driver->evtchn, port);
}

static int handle_ports(struct linux_driver *driver) {
    int handled = 0, port;

    while ((port = xen_io_evtchn_pending(&driver->evtchn)) >= 0) {
        handle_port(driver, (uint32_t) port);
        handled = 1;
    }
    return port == -EAGAIN ? handled : port;
}

int linux_driver_poll(struct linux_driver *driver, int timeout_ms) {
    struct pollfd item = {.fd = xen_io_evtchn_fd(&driver->evtchn), .events = POLLIN};

    if (driver->evt_fired && !driver->waiting) {
        driver->evt_fired = false;
        handle_port(driver, driver->transport.evt_port);
        return 1;
    }
    if (poll(&item, 1, timeout_ms) < 0 && errno != EINTR)
        return -errno;
    return handle_ports(driver);
}

/* ---- requests ---- */

static int wait_for_answer(struct linux_driver *driver) {
    int64_t end_ms = linux_now_ms() + driver->wait_ms;

    while (!driver->answered) {
        int64_t left_ms = end_ms - linux_now_ms();
        int r = left_ms > 0 ? linux_driver_poll(driver, (int) left_ms) : -ETIMEDOUT;

        if (r < 0)
            return r;
    }
    return driver->answer.status;
}

/* The next slot, with what its last user left in it. */
static struct xensnd_req *next_request(struct linux_driver *driver, uint8_t operation) {
    struct xensnd_req *req = RING_GET_REQUEST(&driver->ring, driver->ring.req_prod_pvt);

    req->id = driver->next_id++;
    req->operation = operation;
    return req;
}

/* Sends what next_request gave and was filled, and waits for the answer. */
static int send_request(struct linux_driver *driver, const struct xensnd_req *req) {
    int notify, r;

    driver->request = *req;
    driver->answered = false;
    driver->waiting = true;
    driver->ring.req_prod_pvt++;
    RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&driver->ring, notify);
    if (notify)
        xen_io_evtchn_notify(&driver->evtchn, driver->transport.req_port);
    r = wait_for_answer(driver);
    driver->waiting = false;
    return r;
}

int linux_driver_query(struct linux_driver *driver, struct xensnd_query_hw_param *param) {
    struct xensnd_req *req = next_request(driver, XENSND_OP_HW_PARAM_QUERY);
    int r;

    req->op.hw_param = *param;
    r = send_request(driver, req);
    if (r > 0)
        driver->uninitialised_answers++;
    if (r == 0)
        *param = driver->answer.resp.hw_param;
    return r;
}

int linux_driver_trigger(struct linux_driver *driver, uint8_t type) {
    struct xensnd_req *req = next_request(driver, XENSND_OP_TRIGGER);

    req->op.trigger.type = type;
    return send_request(driver, req);
}

/* ---- the life of a stream ---- */

/* At open, hw_params and hw_free. Request ids restart, event ids do not. */
static void clear_stream(struct linux_driver *driver) {
    sndif_shbuf_front_free(&driver->shbuf, &driver->share);
    driver->is_open = false;
    driver->next_id = 0;
    driver->prev_frames = 0;
    driver->hw_ptr_frames = 0;
    driver->out_frames = 0;
}

void linux_driver_open(struct linux_driver *driver) {
    clear_stream(driver);
    driver->frame_bytes = 0;
    driver->connected = true;
}

/* No CLOSE, even when a stream is open: the next prepare sends a second OPEN. */
int linux_driver_hw_params(struct linux_driver *driver, const struct linux_hw *hw) {
    const struct sndif_format *format = sndif_format_by_id(hw->format);

    clear_stream(driver);
    if (!format)
        return -EINVAL;
    driver->hw = *hw;
    driver->frame_bytes = (uint32_t) format->sample_bytes * hw->channels;
    return sndif_shbuf_front_alloc(&driver->shbuf, &driver->share,
                                   (size_t) hw->buffer_frames * driver->frame_bytes, true);
}

/* Resets neither the pointer nor anything else; asks nothing of a stream that is open. */
int linux_driver_prepare(struct linux_driver *driver) {
    const struct linux_hw *hw = &driver->hw;
    struct xensnd_req *req;
    int r;

    if (driver->is_open)
        return 0;
    req = next_request(driver, XENSND_OP_OPEN);
    req->op.open.pcm_rate = hw->rate;
    req->op.open.pcm_format = hw->format;
    req->op.open.pcm_channels = hw->channels;
    req->op.open.buffer_sz = hw->buffer_frames * driver->frame_bytes;
    req->op.open.gref_directory = driver->shbuf.gref_directory;
    req->op.open.period_sz = hw->period_frames * driver->frame_bytes;
    r = send_request(driver, req);
    driver->is_open = r == 0;
    return r;
}

/* Sends READ or WRITE for a range of the buffer. */
static int send_range(struct linux_driver *driver, uint8_t operation, uint32_t offset_frames,
                      uint32_t frames) {
    struct xensnd_req *req = next_request(driver, operation);

    req->op.rw.offset = offset_frames * driver->frame_bytes;
    req->op.rw.length = frames * driver->frame_bytes;
    return send_request(driver, req);
}

static char *frames_at(const struct linux_driver *driver, uint32_t offset_frames) {
    return (char *) driver->shbuf.data + (size_t) offset_frames * driver->frame_bytes;
}

int linux_driver_write(struct linux_driver *driver, uint32_t offset_frames, const void *data,
                       uint32_t frames) {
    memcpy(frames_at(driver, offset_frames), data, (size_t) frames * driver->frame_bytes);
    return send_range(driver, XENSND_OP_WRITE, offset_frames, frames);
}

int linux_driver_read(struct linux_driver *driver, uint32_t offset_frames, void *data, uint32_t frames) {
    int r = send_range(driver, XENSND_OP_READ, offset_frames, frames);

    if (r == 0)
        memcpy(data, frames_at(driver, offset_frames), (size_t) frames * driver->frame_bytes);
    return r;
}

/* CLOSE even if OPEN never happened. */
int linux_driver_hw_free(struct linux_driver *driver) {
    int r = send_request(driver, next_request(driver, XENSND_OP_CLOSE));

    clear_stream(driver);
    return r;
}

void linux_driver_close(struct linux_driver *driver) {
    driver->connected = false;
    driver->frame_bytes = 0;
}
