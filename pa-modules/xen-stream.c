/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "xen-stream.h"

#include <poll.h>

#include <pulse/rtclock.h>
#include <pulse/timeval.h>
#include <pulse/util.h>

#include <pulsecore/log.h>
#include <pulsecore/macro.h>
#include <pulsecore/msgobject.h>

/* A stream that has been idle for so long is closed, its buffer unmapped in dom0. */
#define IDLE_CLOSE_USEC (5 * PA_USEC_PER_SEC)

enum { STREAM_MESSAGE_LINK, STREAM_MESSAGE_UNLINK };

struct stream_msg {
    pa_msgobject parent;
    struct xen_stream *stream;
};
typedef struct stream_msg stream_msg;
PA_DEFINE_PRIVATE_CLASS(stream_msg, pa_msgobject);

/* What travels with STREAM_MESSAGE_LINK. */
struct link_data {
    struct sndif_frontend *front;
    const struct xenbus_features *features;
};

bool xen_stream_is_up(const struct xen_stream *s) {
    return s->linked && s->session->state != SESSION_FAILED;
}

/* ---- IO thread: the loop ---- */

/* Asks for what brings the stream where its use wants it. Returns when to look again; 0: when something happens. */
static pa_usec_t drive(struct xen_stream *s, pa_usec_t now) {
    struct sndif_session *session = s->session;
    const enum xen_stream_use use = s->ops->use(s->userdata);

    switch (session->state) {
        case SESSION_NEW:
            sndif_session_query(session, now);
            break;
        case SESSION_CLOSED:
            if (use != XEN_STREAM_RUNNING)
                return 0;
            sndif_session_open(session, now);
            s->idle_usec = now;
            break;
        case SESSION_OPEN:
            if (use == XEN_STREAM_RUNNING) {
                s->ops->prepare(s->userdata, now);
                sndif_session_start(session, now);
            } else if (use == XEN_STREAM_OFF || now >= s->idle_usec + IDLE_CLOSE_USEC) {
                sndif_session_close(session, now);
            } else {
                return s->idle_usec + IDLE_CLOSE_USEC;
            }
            break;
        case SESSION_RUNNING: {
            const pa_usec_t next = s->ops->run(s->userdata, now);

            if (session->state != SESSION_RUNNING)
                s->idle_usec = now;
            return next;
        }
        case SESSION_ASKING:
        case SESSION_FAILED:
            break;
    }
    return session->deadline_usec;
}

static bool must_pass_time(const struct xen_stream *s) {
    if (s->ops->use(s->userdata) != XEN_STREAM_RUNNING)
        return false;
    return !xen_stream_is_up(s) || (s->ops->impatient && s->session->state != SESSION_RUNNING);
}

/* One turn of the loop: returns when to wake up by itself, 0 for not at all. */
static pa_usec_t turn(struct xen_stream *s) {
    const pa_usec_t now = pa_rtclock_now();
    pa_usec_t next = 0;

    s->ops->process(s->userdata, now);
    if (xen_stream_is_up(s))
        next = drive(s, now);
    if (s->linked && !xen_stream_is_up(s) && !s->failure_said) {
        s->failure_said = true;
        xen_card_post_failure(s->card, &s->thread_mq, s->session);
    }
    if (must_pass_time(s)) {
        const pa_usec_t then = s->ops->pass_time(s->userdata, now);

        return xen_stream_is_up(s) ? PA_MIN(next, then) : then;
    }
    return xen_stream_is_up(s) ? next : 0;
}

static void before_sleep(struct xen_stream *s, pa_usec_t wake_usec) {
    bool look_again = false;

    if (xen_stream_is_up(s))
        look_again = sndif_frontend_may_not_sleep(s->session->front, s->session->state == SESSION_RUNNING &&
                                                                         s->ops->quiet(s->userdata));
    if (look_again)
        pa_rtpoll_set_timer_relative(s->rtpoll, 0);
    else if (wake_usec > 0)
        pa_rtpoll_set_timer_absolute(s->rtpoll, wake_usec);
    else
        pa_rtpoll_set_timer_disabled(s->rtpoll);
}

static void thread_func(void *userdata) {
    struct xen_stream *s = userdata;

    if (s->core->realtime_scheduling)
        pa_thread_make_realtime(s->core->realtime_priority);
    pa_thread_mq_install(&s->thread_mq);

    for (;;) {
        int ret;

        before_sleep(s, turn(s));
        if ((ret = pa_rtpoll_run(s->rtpoll)) < 0)
            goto fail;
        if (ret == 0)
            return;
        if (s->item && pa_rtpoll_item_get_pollfd(s->item, NULL)->revents)
            sndif_frontend_take(s->session->front);
    }

fail:
    pa_asyncmsgq_post(s->thread_mq.outq, PA_MSGOBJECT(s->core), PA_CORE_MESSAGE_UNLOAD_MODULE, s->module, 0,
                      NULL, NULL);
    pa_asyncmsgq_wait_for(s->thread_mq.inq, PA_MESSAGE_SHUTDOWN);
}

/* ---- IO thread: messages ---- */

static void link_front(struct xen_stream *s, const struct link_data *data) {
    struct pollfd *pollfd;

    s->ops->reset(s->userdata, data->front);
    s->session->feature_latency = data->features->latency;
    s->session->feature_wakeup = data->features->wakeup;
    s->session->feature_rewind = data->features->rewind;

    s->item = pa_rtpoll_item_new(s->rtpoll, PA_RTPOLL_NEVER, 1);
    pollfd = pa_rtpoll_item_get_pollfd(s->item, NULL);
    pollfd->fd = sndif_frontend_fd(data->front);
    pollfd->events = POLLIN;
    pollfd->revents = 0;
    s->linked = true;
    s->failure_said = false;
    s->ops->changed(s->userdata);
}

static void unlink_front(struct xen_stream *s) {
    if (!s->linked)
        return;

    pa_rtpoll_item_free(s->item);
    s->item = NULL;
    s->linked = false;
    s->ops->changed(s->userdata);
}

static int stream_process_msg_cb(pa_msgobject *o, int code, void *data, int64_t offset, pa_memchunk *chunk) {
    struct xen_stream *s = ((stream_msg *) o)->stream;

    (void) offset, (void) chunk;
    if (code == STREAM_MESSAGE_LINK)
        link_front(s, data);
    else
        unlink_front(s);
    return 0;
}

/* ---- main thread ---- */

static void link_cb(void *userdata, struct sndif_frontend *front, const struct xenbus_features *features) {
    struct xen_stream *s = userdata;
    struct link_data data = {.front = front, .features = features};

    pa_asyncmsgq_send(s->thread_mq.inq, s->msg, STREAM_MESSAGE_LINK, &data, 0, NULL);
}

static void unlink_cb(void *userdata) {
    struct xen_stream *s = userdata;

    pa_asyncmsgq_send(s->thread_mq.inq, s->msg, STREAM_MESSAGE_UNLINK, NULL, 0, NULL);
}

static bool in_use_cb(void *userdata) {
    struct xen_stream *s = userdata;

    return s->ops->in_use(s->userdata);
}

static const struct xen_card_callbacks callbacks = {
    .link = link_cb, .unlink = unlink_cb, .in_use = in_use_cb};

int xen_stream_init(struct xen_stream *s, pa_module *module, const char *device, char type,
                    const struct xen_stream_ops *ops, void *userdata, struct sndif_session *session) {
    stream_msg *msg;

    memset(s, 0, sizeof(*s));
    s->core = module->core;
    s->module = module;
    s->ops = ops;
    s->userdata = userdata;
    s->session = session;
    if (!(s->card = xen_card_join(module, device, type, &callbacks, s)))
        return -1;

    msg = pa_msgobject_new(stream_msg);
    msg->parent.process_msg = stream_process_msg_cb;
    msg->stream = s;
    s->msg = PA_MSGOBJECT(msg);
    s->rtpoll = pa_rtpoll_new();
    if (pa_thread_mq_init(&s->thread_mq, module->core->mainloop, s->rtpoll) < 0) {
        pa_log("Creating the message queue of the stream's thread failed.");
        return -1;
    }
    return 0;
}

int xen_stream_start(struct xen_stream *s, const char *thread_name) {
    if (!(s->thread = pa_thread_new(thread_name, thread_func, s))) {
        pa_log("Creating the stream's thread failed.");
        return -1;
    }
    return 0;
}

void xen_stream_done(struct xen_stream *s) {
    xen_card_leave(s->card);
    if (s->thread) {
        pa_asyncmsgq_send(s->thread_mq.inq, NULL, PA_MESSAGE_SHUTDOWN, NULL, 0, NULL);
        pa_thread_free(s->thread);
    }
    pa_thread_mq_done(&s->thread_mq);
    if (s->msg)
        pa_msgobject_unref(s->msg);
    if (s->rtpoll)
        pa_rtpoll_free(s->rtpoll);
    memset(s, 0, sizeof(*s));
}
