/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-backend.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "sndif-evt-ring.h"
#include "sndif-ring.h"
#include "sndif-shbuf.h"
#include "xen-io.h"

/* A frontend may ask for so much work, requests and notifications, in a window; what is over waits for the next. */
#define WINDOW_USEC 10000u
#define WINDOW_WORK 64u
#define EVENT_SPACING_USEC 1000u
/* Linux gives up on an answer after 3 s; an owner that takes longer than this is not coming back. */
#define OWNER_LIMIT_USEC 2000000u
/* How often to look after a frontend that sleeps: its death makes no noise. */
#define ALIVE_POLL_USEC 5000000u
#define LATENCY_REVIEW_USEC 1000000u
#define TIMER_MIN_USEC 500u
#define SINK_LATENCY_MIN_USEC 2000u

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
    struct sndif_playback playback;
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

static uint64_t now_usec(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u;
}

static void break_off(struct sndif_backend *b, const char *reason, bool frontend_gone) {
    if (b->broken)
        return;

    b->broken = true;
    sndif_mailbox_tell_broken(&b->mailbox, reason, frontend_gone);
}

/* ---- answers and events ---- */

static void respond(struct sndif_backend *b, int status, const struct xensnd_query_hw_param *query) {
    struct xensnd_resp resp;

    memset(&resp, 0, sizeof(resp));
    resp.id = b->request.id;
    resp.operation = b->request.operation;
    resp.status = status;
    if (query)
        resp.resp.hw_param = *query;

    if (sndif_ring_back_put(&b->ring, &resp))
        xen_io_evtchn_notify(&b->evtchn, (uint32_t) b->request_port);
}

static void send_position(struct sndif_backend *b, uint64_t position_bytes, uint64_t now) {
    struct sndif_cur_pos pos = {.position_bytes = position_bytes};
    uint64_t latency_usec = sndif_playback_latency_usec(&b->playback, position_bytes, now);

    if (b->config.feature_latency)
        pos.latency_usec = latency_usec > UINT32_MAX ? UINT32_MAX : (uint32_t) latency_usec;

    b->event_usec = now;
    if (sndif_evt_back_put(&b->events, &pos))
        xen_io_evtchn_notify(&b->evtchn, (uint32_t) b->event_port);
}

/* The position at which the frontend wants to hear of us next; false: never. */
static bool next_event(const struct sndif_backend *b, uint64_t *position_bytes) {
    if (b->state != STREAM_RUNNING || b->waiting)
        return false;

    if (b->config.feature_wakeup) {
        *position_bytes = sndif_evt_back_wakeup(&b->events);
        return *position_bytes != b->served_wakeup;
    }
    *position_bytes = b->next_event_bytes;
    return b->playback.params.period_bytes > 0;
}

/* One frame after a period, because ALSA counts a period only when it is exceeded. */
static uint64_t event_after(const struct sndif_playback *playback, uint64_t position_bytes) {
    const uint64_t period = playback->params.period_bytes, frame = playback->params.frame_bytes;
    const uint64_t done = position_bytes - playback->base_bytes;

    if (period == 0)
        return 0;
    return playback->base_bytes + (done < frame ? 1 : (done - frame) / period + 1) * period + frame;
}

static void review_latency(struct sndif_backend *b, uint64_t now) {
    uint64_t wanted_usec;

    if (now < b->review_usec + LATENCY_REVIEW_USEC)
        return;

    b->review_usec = now;
    wanted_usec = sndif_playback_take_fill_usec(&b->playback) / 2;
    if (wanted_usec < SINK_LATENCY_MIN_USEC)
        wanted_usec = SINK_LATENCY_MIN_USEC;
    if (wanted_usec > b->asked_usec + b->asked_usec / 4 || wanted_usec < b->asked_usec - b->asked_usec / 4) {
        b->asked_usec = wanted_usec;
        sndif_mailbox_tell_latency(&b->mailbox, wanted_usec);
    }
}

static void report_position(struct sndif_backend *b, uint64_t now) {
    uint64_t due_bytes, position_bytes;

    if (!next_event(b, &due_bytes) || now < b->event_usec + EVENT_SPACING_USEC)
        return;

    position_bytes = sndif_playback_position(&b->playback, now);
    if (position_bytes < due_bytes)
        return;

    b->served_wakeup = due_bytes;
    b->next_event_bytes = event_after(&b->playback, position_bytes);
    send_position(b, position_bytes, now);
    review_latency(b, now);
}

/* ---- requests ---- */

static void await_owner(struct sndif_backend *b, enum sndif_backend_command_type type,
                        uint64_t latency_usec) {
    if (!sndif_mailbox_post(&b->mailbox, type, &b->playback, latency_usec)) {
        respond(b, -XEN_EBUSY, NULL);
        return;
    }
    b->waiting = true;
    b->abandoned = false;
    b->waiting_since_usec = now_usec();
}

static void release_stream(struct sndif_backend *b) {
    sndif_shbuf_back_unmap(&b->shbuf, &b->map);
    sndif_playback_done(&b->playback);
    b->state = STREAM_CLOSED;
}

static void serve_open(struct sndif_backend *b) {
    struct sndif_params params;
    const char *reason = "no memory";
    int r;

    if (b->state != STREAM_CLOSED) {
        /* Linux opens anew without closing; finish_owner comes back here */
        await_owner(b, SNDIF_BACKEND_CLOSE, 0);
        return;
    }
    r = sndif_params_check_open(&b->config.caps, &b->request.op.open, &params, &reason);
    if (r == 0) {
        r = sndif_shbuf_back_map(&b->shbuf, &b->map, params.gref_directory, params.buffer_bytes, true,
                                 &reason);
        if (r == -EACCES || r == -EPERM)
            r = sndif_shbuf_back_map(&b->shbuf, &b->map, params.gref_directory, params.buffer_bytes, false,
                                     &reason);
    }
    if (r == 0)
        r = sndif_playback_init(&b->playback, &params, b->config.linux_quirks);
    if (r < 0) {
        sndif_shbuf_back_unmap(&b->shbuf, &b->map);
        sndif_mailbox_tell_refused(&b->mailbox, reason);
        respond(b, r, NULL);
        return;
    }
    b->state = STREAM_OPEN;
    await_owner(b, SNDIF_BACKEND_OPEN, 0);
    if (!b->waiting)
        release_stream(b);
}

static void serve_write(struct sndif_backend *b, uint64_t now) {
    const uint32_t offset = b->request.op.rw.offset, length = b->request.op.rw.length;
    const struct sndif_params *params = &b->playback.params;
    const uint8_t *samples = (const uint8_t *) b->shbuf.data + offset;
    uint64_t position;

    if (b->state == STREAM_CLOSED ||
        !sndif_params_check_range(params->buffer_bytes, params->frame_bytes, offset, length)) {
        respond(b, -XEN_EINVAL, NULL);
        return;
    }
    if (!b->config.feature_rewind) {
        sndif_playback_write(&b->playback, offset, samples, length, now);
        respond(b, 0, NULL);
        return;
    }
    memcpy(&position, (const uint8_t *) &b->request + SNDIF_WRITE_POSITION_OFFSET, sizeof(position));
    if (!sndif_playback_may_write_at(&b->playback, position, length)) {
        respond(b, -XEN_EINVAL, NULL);
        return;
    }
    sndif_playback_write_at(&b->playback, position, samples, length, now);
    respond(b, 0, NULL);
}

/* What was queued is gone, and the frontend that restarts from offset 0 is told where that is. */
static void realign(struct sndif_backend *b, uint64_t now) {
    sndif_playback_realign(&b->playback);
    b->state = STREAM_OPEN;
    send_position(b, b->playback.position_bytes, now);
}

/* Linux pauses when it suspends, never resumes, and starts anew at offset 0: its PAUSE is a STOP. */
static bool discards(const struct sndif_backend *b, uint8_t trigger) {
    return trigger == XENSND_OP_TRIGGER_STOP ||
           (trigger == XENSND_OP_TRIGGER_PAUSE && b->config.linux_quirks);
}

static void start(struct sndif_backend *b, uint64_t now) {
    uint64_t latency_usec = sndif_playback_take_fill_usec(&b->playback) / 2;

    b->asked_usec = latency_usec < SINK_LATENCY_MIN_USEC ? SINK_LATENCY_MIN_USEC : latency_usec;
    b->review_usec = now;
    sndif_playback_start(&b->playback, now);
    await_owner(b, SNDIF_BACKEND_START, b->asked_usec);
}

static void serve_trigger(struct sndif_backend *b, uint64_t now) {
    const uint8_t type = b->request.op.trigger.type;

    if (b->state == STREAM_CLOSED || type > XENSND_OP_TRIGGER_RESUME) {
        respond(b, -XEN_EINVAL, NULL);
    } else if (type == XENSND_OP_TRIGGER_START || type == XENSND_OP_TRIGGER_RESUME) {
        if (b->state == STREAM_RUNNING)
            respond(b, 0, NULL);
        else
            start(b, now);
    } else if (b->state == STREAM_RUNNING) {
        await_owner(b, SNDIF_BACKEND_STOP, 0);
    } else {
        if (discards(b, type))
            realign(b, now);
        respond(b, 0, NULL);
    }
}

/* Volume and mute lie in the shared buffer, one element a channel: copied once, then handed to the owner. */
static void serve_volume(struct sndif_backend *b) {
    const bool is_volume = b->request.operation <= XENSND_OP_GET_VOLUME;
    const uint32_t unit = is_volume ? sizeof(int32_t) : sizeof(uint8_t);
    const uint32_t offset = b->request.op.rw.offset, length = b->request.op.rw.length;
    const struct sndif_params *params = &b->playback.params;
    uint8_t muted[SNDIF_BACKEND_CHANNELS_MAX];

    if (b->state == STREAM_CLOSED || params->channels > SNDIF_BACKEND_CHANNELS_MAX ||
        length != params->channels * unit ||
        !sndif_params_check_range(params->buffer_bytes, unit, offset, length)) {
        respond(b, -XEN_EINVAL, NULL);
        return;
    }
    if (!sndif_mailbox_is_free(&b->mailbox)) {
        respond(b, -XEN_EBUSY, NULL);
        return;
    }
    if (b->request.operation == XENSND_OP_GET_VOLUME) {
        await_owner(b, SNDIF_BACKEND_GET_VOLUME, 0);
    } else if (is_volume) {
        memcpy(b->mailbox.command.millidecibel, (const uint8_t *) b->shbuf.data + offset, length);
        await_owner(b, SNDIF_BACKEND_SET_VOLUME, 0);
    } else {
        memcpy(muted, (const uint8_t *) b->shbuf.data + offset, length);
        for (uint32_t c = 0; c < params->channels; c++)
            b->mailbox.command.affected[c] = muted[c] != 0;
        b->mailbox.command.mute = b->request.operation == XENSND_OP_MUTE;
        await_owner(b, SNDIF_BACKEND_SET_MUTE, 0);
    }
}

static void serve_query(struct sndif_backend *b) {
    struct xensnd_query_hw_param result;
    int r;

    memset(&result, 0, sizeof(result));
    r = sndif_params_query(&b->config.caps, &b->request.op.hw_param, &result);
    respond(b, r, r == 0 ? &result : NULL);
}

static void serve(struct sndif_backend *b, uint64_t now) {
    switch (b->request.operation) {
        case XENSND_OP_OPEN:
            serve_open(b);
            break;
        case XENSND_OP_CLOSE:
            if (b->state == STREAM_CLOSED)
                respond(b, 0, NULL);
            else
                await_owner(b, SNDIF_BACKEND_CLOSE, 0);
            break;
        case XENSND_OP_WRITE:
            serve_write(b, now);
            break;
        case XENSND_OP_TRIGGER:
            serve_trigger(b, now);
            break;
        case XENSND_OP_SET_VOLUME:
        case XENSND_OP_GET_VOLUME:
        case XENSND_OP_MUTE:
        case XENSND_OP_UNMUTE:
            serve_volume(b);
            break;
        case XENSND_OP_HW_PARAM_QUERY:
            serve_query(b);
            break;
        default:
            respond(b, -XEN_EOPNOTSUPP, NULL);
    }
}

/* ---- the owner's reply ---- */

static void finish_trigger(struct sndif_backend *b, enum sndif_backend_command_type type, int status,
                           uint64_t now) {
    if (type == SNDIF_BACKEND_START && status == 0) {
        b->state = STREAM_RUNNING;
        b->served_wakeup = 0;
        b->next_event_bytes = event_after(&b->playback, b->playback.position_bytes);
    } else if (type == SNDIF_BACKEND_START) {
        sndif_playback_pause(&b->playback, now);
    } else {
        sndif_playback_pause(&b->playback, now);
        b->state = STREAM_PAUSED;
        if (discards(b, b->request.op.trigger.type))
            realign(b, now);
    }
}

static int finish_get_volume(struct sndif_backend *b) {
    if (!b->shbuf.writable)
        return -XEN_EPERM;

    memcpy((uint8_t *) b->shbuf.data + b->request.op.rw.offset, b->mailbox.command.millidecibel,
           b->request.op.rw.length);
    return 0;
}

static void finish_owner(struct sndif_backend *b, int status, uint64_t now) {
    const enum sndif_backend_command_type type = b->mailbox.command.type;
    const bool abandoned = b->abandoned;

    b->waiting = false;
    b->abandoned = false;
    if (type == SNDIF_BACKEND_CLOSE) {
        release_stream(b);
        status = 0;
        if (b->request.operation == XENSND_OP_OPEN && !abandoned) {
            serve_open(b);
            return;
        }
    } else if (type == SNDIF_BACKEND_OPEN && status < 0) {
        release_stream(b);
    } else if (type == SNDIF_BACKEND_OPEN && abandoned) {
        sndif_mailbox_post(&b->mailbox, SNDIF_BACKEND_CLOSE, &b->playback,
                           0); /* its frontend has been told that it failed */
        return;
    } else if (type == SNDIF_BACKEND_START || type == SNDIF_BACKEND_STOP) {
        finish_trigger(b, type, status, now);
    } else if (type == SNDIF_BACKEND_GET_VOLUME && status == 0 && !abandoned) {
        status = finish_get_volume(b);
    }
    if (!abandoned)
        respond(b, status, NULL);
}

static void check_owner(struct sndif_backend *b, uint64_t now) {
    int status;

    if (sndif_mailbox_take_reply(&b->mailbox, &status))
        finish_owner(b, status, now);

    if (b->waiting && !b->abandoned && now > b->waiting_since_usec + OWNER_LIMIT_USEC) {
        respond(b, -XEN_ETIMEDOUT, NULL);
        b->abandoned = true;
    }
}

/* ---- the thread ---- */

static bool may_serve(struct sndif_backend *b, uint64_t now) {
    if (b->broken || (b->waiting && !b->abandoned))
        return false;

    if (now >= b->window_usec + WINDOW_USEC) {
        b->window_usec = now;
        b->window_work = 0;
    }
    return b->window_work < WINDOW_WORK;
}

static void serve_ring(struct sndif_backend *b) {
    uint64_t now = now_usec();

    while (may_serve(b, now)) {
        enum sndif_ring_result got = sndif_ring_back_get(&b->ring, &b->request);

        if (got == SNDIF_RING_BROKEN)
            break_off(b, "its request ring's producer index is impossible", false);
        if (got != SNDIF_RING_GOT)
            return;
        b->window_work++;
        serve(b, now);
        now = now_usec();
    }
}

/* A port stays masked until its work is done and the window has room: a flood stays in the guest. */
static void take_ports(struct sndif_backend *b) {
    int port;

    while ((port = xen_io_evtchn_pending(&b->evtchn)) >= 0) {
        b->request_masked |= port == b->request_port;
        b->event_masked |= port == b->event_port;
        b->window_work++;
    }
}

static void unmask_ports(struct sndif_backend *b) {
    if (b->request_masked)
        xen_io_evtchn_unmask(&b->evtchn, (uint32_t) b->request_port);
    if (b->event_masked)
        xen_io_evtchn_unmask(&b->evtchn, (uint32_t) b->event_port);
    b->request_masked = b->event_masked = false;
}

static void check_alive(struct sndif_backend *b) {
    const volatile uint8_t *alive = (const volatile uint8_t *) b->ring_page + SNDIF_ALIVE_OFFSET;

    if (b->config.feature_alive && *alive == 0)
        break_off(b, "the frontend's process is gone", true);
}

/* Time to sleep: until the next event, the end of a window, the owner's limit, or the next look after the
 * frontend. */
static uint64_t sleep_usec(struct sndif_backend *b, uint64_t now) {
    uint64_t sleep = b->config.feature_alive ? ALIVE_POLL_USEC : UINT64_MAX;
    uint64_t due_bytes, wait;

    if (b->broken)
        return UINT64_MAX;

    if (next_event(b, &due_bytes)) {
        wait = sndif_playback_wait_usec(&b->playback, due_bytes, now);
        wait = wait < TIMER_MIN_USEC ? TIMER_MIN_USEC : wait;
        sleep = wait < sleep ? wait : sleep;
    }
    if (b->waiting && !b->abandoned)
        sleep = OWNER_LIMIT_USEC < sleep ? OWNER_LIMIT_USEC : sleep;
    else if (b->window_work >= WINDOW_WORK)
        sleep = WINDOW_USEC < sleep ? WINDOW_USEC : sleep;
    return sleep;
}

/* True: requests are left that may be served now. */
static bool settle(struct sndif_backend *b, uint64_t now) {
    if (!may_serve(b, now))
        return false;
    if (sndif_ring_back_final_check(&b->ring))
        return true;
    unmask_ports(b);
    return false;
}

static void wait_for_work(struct sndif_backend *b) {
    struct pollfd fds[2] = {{.fd = b->mailbox.stream_fd, .events = POLLIN},
                            {.fd = xen_io_evtchn_fd(&b->evtchn), .events = POLLIN}};
    const uint64_t sleep = sleep_usec(b, now_usec());
    const struct timespec ts = {.tv_sec = (time_t) (sleep / 1000000u),
                                .tv_nsec = (long) (sleep % 1000000u) * 1000};

    if (ppoll(fds, b->broken ? 1 : 2, sleep == UINT64_MAX ? NULL : &ts, NULL) <= 0)
        return;
    if (fds[0].revents)
        sndif_mailbox_clear_stream(&b->mailbox);
    if (fds[1].revents)
        take_ports(b);
}

static void *stream_thread(void *userdata) {
    struct sndif_backend *b = userdata;

    if (b->config.thread_started)
        b->config.thread_started(b->config.userdata);

    while (!atomic_load(&b->stop)) {
        uint64_t now;

        check_owner(b, now_usec());
        check_alive(b);
        serve_ring(b);
        now = now_usec();
        report_position(b, now);
        if (!settle(b, now))
            wait_for_work(b);
    }
    return NULL;
}

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

static int start_thread(struct sndif_backend *b, const char **what) {
    int r;

    *what = "starting the stream thread";
    if ((r = pthread_create(&b->thread, NULL, stream_thread, b)) != 0)
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
    *what = "creating event descriptors";
    if ((r = sndif_mailbox_init(&b->mailbox)) < 0 || (r = connect_frontend(b, what)) < 0 ||
        (r = start_thread(b, what)) < 0) {
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
    release_stream(b);
    xen_io_evtchn_close(&b->evtchn);
    xen_io_unmap_pages(&b->map, b->evt_page, 1);
    xen_io_unmap_pages(&b->map, b->ring_page, 1);
    xen_io_map_close(&b->map);
    sndif_mailbox_done(&b->mailbox);
    free(b);
}
