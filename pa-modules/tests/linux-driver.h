/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_TESTS_LINUX_DRIVER_H
#define XEN_AUDIO_TESTS_LINUX_DRIVER_H

/*
 * What Linux's snd_xen_front does for one stream, written from a description of its behaviour,
 * quirks included: it reads the pages itself and shares no code with our frontend. linux-model.h puts ALSA on
 * top.
 *
 * All runs in the caller's thread. Where the driver has an interrupt thread, events are handled when the
 * caller polls, and never while a request waits: that is one of the orders in which Linux may run them, and a
 * repeatable one.
 */

#include "sndif-proto.h"
#include "sndif-shbuf.h"
#include "xen-io.h"

#define LINUX_DRIVER_WAIT_MS 3000

/* What the frontend publishes in xenstore. */
struct linux_transport {
    uint32_t ring_ref, evt_ring_ref;
    uint32_t req_port, evt_port;
};

/* The parameters of snd_pcm_hw_params. */
struct linux_hw {
    uint32_t buffer_frames, period_frames;
    uint32_t rate;
    uint8_t format; /* XENSND_PCM_FORMAT_* */
    uint8_t channels;
};

struct linux_driver {
    struct xen_io_share share;
    struct xen_io_evtchn evtchn;
    struct linux_transport transport;
    struct xen_sndif_front_ring ring;
    void *ring_page;
    struct xensnd_event_page *evt_page;
    int wait_ms; /* LINUX_DRIVER_WAIT_MS; a test of the limit itself may shorten it */

    /* requests: one in flight */
    uint16_t next_id;
    bool waiting, answered;
    struct xensnd_req request; /* the one in flight */
    struct xensnd_resp answer;
    bool evt_fired; /* while a request was waiting; its port is still masked */

    /* the stream */
    bool connected; /* the PCM device is open: events are handled */
    bool is_open;   /* OPEN was answered with 0 since the last hw_params */
    struct linux_hw hw;
    uint32_t frame_bytes; /* 0 before hw_params */
    struct sndif_shbuf_front shbuf;

    /* the pointer */
    uint16_t expected_evt_id; /* never reset while connected to the backend */
    uint64_t prev_frames;     /* position of the last event */
    uint32_t hw_ptr_frames;   /* what ALSA's pointer callback gives, below buffer_frames */
    uint64_t out_frames;      /* since the last period_elapsed */
    unsigned periods;         /* calls of period_elapsed */
    void (*period_elapsed)(void *userdata);
    void *userdata;

    /* for tests */
    unsigned events_accepted, events_dropped; /* dropped: not the expected id */
    unsigned oopses;                          /* events that make the real driver divide by zero */
    unsigned uninitialised_answers;           /* HW_PARAM_QUERY answered with a positive status */
    unsigned stray_answers;                   /* late, or with an operation nobody knows */
};

/*
 * Grants the pages and binds the ports, as domain of the caller's handles. Then the backend may connect.
 * -errno.
 */
int linux_driver_connect(struct linux_driver *driver, uint32_t backend_domid);
/* Gives all back. Safe after a failed connect. */
void linux_driver_disconnect(struct linux_driver *driver);

/*
 * Handles what has fired; waits at most timeout_ms for it. 1: something was handled, 0: nothing, or -errno.
 */
int linux_driver_poll(struct linux_driver *driver, int timeout_ms);

/* The callbacks of a PCM device. 0, the backend's negative status, or -ETIMEDOUT. */
void linux_driver_open(struct linux_driver *driver);
/* Narrows *param by HW_PARAM_QUERY. */
int linux_driver_query(struct linux_driver *driver, struct xensnd_query_hw_param *param);
int linux_driver_hw_params(struct linux_driver *driver, const struct linux_hw *hw);
int linux_driver_prepare(struct linux_driver *driver);
int linux_driver_trigger(struct linux_driver *driver, uint8_t type);
/* Copies frames to offset_frames of the buffer, which they do not exceed, and sends WRITE. */
int linux_driver_write(struct linux_driver *driver, uint32_t offset_frames, const void *data,
                       uint32_t frames);
/* Sends READ for frames at offset_frames of the buffer, which they do not exceed, and copies them out. */
int linux_driver_read(struct linux_driver *driver, uint32_t offset_frames, void *data, uint32_t frames);
int linux_driver_hw_free(struct linux_driver *driver);
void linux_driver_close(struct linux_driver *driver);

/* Milliseconds of the monotonic clock. */
int64_t linux_now_ms(void);

#endif
