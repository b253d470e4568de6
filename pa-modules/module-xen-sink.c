/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include <pulse/rtclock.h>
#include <pulse/timeval.h>
#include <pulse/util.h>
#include <pulse/xmalloc.h>

#include <pulsecore/core-error.h>
#include <pulsecore/core-rtclock.h>
#include <pulsecore/core-util.h>
#include <pulsecore/i18n.h>
#include <pulsecore/log.h>
#include <pulsecore/macro.h>
#include <pulsecore/modargs.h>
#include <pulsecore/module.h>
#include <pulsecore/msgobject.h>
#include <pulsecore/rtpoll.h>
#include <pulsecore/shared.h>
#include <pulsecore/sink.h>
#include <pulsecore/thread-mq.h>
#include <pulsecore/thread.h>

#include "sndif-player.h"
#include "xen-pa-util.h"
#include "xenbus-front.h"

PA_MODULE_AUTHOR("xen-audio");
PA_MODULE_DESCRIPTION(_("Sink of a Xen guest, played by the backend domain"));
PA_MODULE_VERSION(PACKAGE_VERSION);
PA_MODULE_LOAD_ONCE(false);
PA_MODULE_USAGE("sink_name=<name of the sink> "
                "sink_properties=<properties of the sink> "
                "device=<index of the vsnd card, or card/pcm/stream> "
                "format=<sample format> "
                "rate=<sample rate> "
                "channels=<number of channels> "
                "channel_map=<channel map> "
                "min_latency_msec=<least latency that clients get> "
                "max_latency_msec=<most latency, up to what the card's buffer holds>");

#define DEFAULT_SINK_NAME "xen_output"
#define DEFAULT_BUFFER_BYTES 65536u
#define BUFFER_BYTES_MAX (4u * 1024u * 1024u)
#define DEFAULT_MIN_LATENCY_MSEC 5u
#define LATENCY_MSEC_MAX 10000u
/* More than any sink in dom0 delays what it has been given. */
#define DOWNSTREAM_USEC_MAX (1 * PA_USEC_PER_SEC)
#define RATE_MIN 8000u
#define RATE_MAX 192000u
#define CHANNELS_MAX 8u
/* A stream that has been idle for so long is closed, its buffer unmapped in dom0. */
#define IDLE_CLOSE_USEC (5 * PA_USEC_PER_SEC)
/* How far after the position to write on after an underrun: the way of a WRITE to dom0. */
#define SKIP_USEC (2 * PA_USEC_PER_MSEC)
/* Samples so close to being played are not taken back. */
#define REWIND_MARGIN_USEC (4 * PA_USEC_PER_MSEC)
/* Without a backend time passes in steps of this, or of what clients ask for. */
#define UNLINKED_BLOCK_USEC (100 * PA_USEC_PER_MSEC)
#define RECONNECT_USEC (2 * PA_USEC_PER_SEC)

static const char *const valid_modargs[] = {
    "sink_name", "sink_properties", "device",           "format",           "rate",
    "channels",  "channel_map",     "min_latency_msec", "max_latency_msec", NULL};

enum { SINK_MESSAGE_LINK = PA_SINK_MESSAGE_MAX, SINK_MESSAGE_UNLINK };
enum { MODULE_MESSAGE_FAILED };

struct module_msg {
    pa_msgobject parent;
    struct userdata *userdata;
};
typedef struct module_msg module_msg;
PA_DEFINE_PRIVATE_CLASS(module_msg, pa_msgobject);

struct userdata {
    pa_core *core;
    pa_module *module;
    pa_sink *sink;
    pa_thread *thread;
    pa_thread_mq thread_mq;
    pa_rtpoll *rtpoll;
    module_msg *msg;

    const struct sndif_format *format;
    size_t buffer_bytes; /* asked for; whole frames */
    pa_usec_t min_latency_usec, max_latency_usec;

    /* main thread */
    char *claim; /* key of the card in the core's shared properties */
    struct xenbus_front bus;
    pa_io_event *bus_event;
    pa_time_event *reconnect_event;
    struct sndif_frontend front; /* lent to the IO thread between LINK and UNLINK */
    bool granted, linked;
    char *refusal; /* last reason the card was refused for, said once */

    /* IO thread */
    struct {
        struct sndif_player player;
        bool linked, failure_said;
        pa_rtpoll_item *item;
        size_t target_bytes;     /* how much to keep written ahead */
        pa_usec_t unlinked_usec; /* time up to which we have rendered and dropped */
        pa_usec_t idle_usec;     /* since when the open stream is idle */
    } io;
};

/* ---- IO thread: without a backend ---- */

static pa_usec_t requested_latency(struct userdata *u) {
    pa_usec_t usec = pa_sink_get_requested_latency_within_thread(u->sink);

    return usec == (pa_usec_t) -1 ? u->max_latency_usec : usec;
}

/* Applications never freeze: what they play meanwhile goes nowhere, at the pace of the system's clock. */
static pa_usec_t drop_samples(struct userdata *u, pa_usec_t now) {
    const pa_usec_t block_usec = PA_MIN(requested_latency(u), UNLINKED_BLOCK_USEC);

    if (u->io.unlinked_usec + 2 * block_usec < now)
        u->io.unlinked_usec = now;
    while (u->io.unlinked_usec < now + block_usec) {
        pa_memchunk chunk;

        pa_sink_render(u->sink, pa_usec_to_bytes(block_usec, &u->sink->sample_spec), &chunk);
        pa_memblock_unref(chunk.memblock);
        u->io.unlinked_usec += pa_bytes_to_usec(chunk.length, &u->sink->sample_spec);
    }
    pa_sink_process_input_underruns(u->sink, 0);
    return u->io.unlinked_usec;
}

/* ---- IO thread: rendering ---- */

/* Renders straight into the granted pages, then tells the backend. */
static void render_piece(struct userdata *u, uint64_t *wanted_bytes) {
    struct sndif_player *player = &u->io.player;
    uint64_t length = PA_MIN(*wanted_bytes, (uint64_t) u->sink->thread_info.max_request);
    void *place = sndif_player_place(player, &length);
    pa_memchunk chunk;

    chunk.memblock = pa_memblock_new_fixed(u->core->mempool, place, (size_t) length, false);
    chunk.index = 0;
    chunk.length = (size_t) length;
    pa_sink_render_into_full(u->sink, &chunk);
    pa_memblock_unref_fixed(chunk.memblock);

    if (!sndif_player_wrote(player, (uint32_t) length)) {
        *wanted_bytes = 0; /* the backend is behind; its answers wake us */
        return;
    }
    *wanted_bytes -= length;
}

static void fill_buffer(struct userdata *u, pa_usec_t now) {
    struct sndif_player *player = &u->io.player;
    const bool running = player->state == PLAYER_RUNNING;
    const uint64_t half = u->io.target_bytes / 2;
    uint64_t left = sndif_player_left_bytes(player, now), wanted;

    /* not merely late, which costs nothing: the listener has heard the end */
    if (running && left == 0 && sndif_player_heard_in_usec(player, now) == 0) {
        sndif_player_skip(player, now, SKIP_USEC);
        left = sndif_player_left_bytes(player, now);
    }
    if (left >= u->io.target_bytes || (running && left > half + player->frame_bytes)) {
        if (running) /* what the clients ask for may have changed since the last WRITE */
            sndif_player_wake_at_now(player, player->write_bytes - half);
        return;
    }

    wanted = u->io.target_bytes - left;
    /* before the WRITE that makes the backend look at it */
    sndif_player_wake_at(player, player->write_bytes + wanted - half);
    while (wanted > 0)
        render_piece(u, &wanted);
}

/* Tells inputs that ended when their last frame has been heard; returns the time until the next such moment,
 * 0 for none. */
static pa_usec_t process_underruns(struct userdata *u, pa_usec_t now) {
    const size_t left =
        pa_usec_to_bytes(sndif_player_heard_in_usec(&u->io.player, now), &u->sink->sample_spec);
    const size_t until = pa_sink_process_input_underruns(u->sink, left);

    return until < left ? pa_bytes_to_usec(until, &u->sink->sample_spec) + 1 : 0;
}

static void process_rewind(struct userdata *u, pa_usec_t now) {
    struct sndif_player *player = &u->io.player;
    const uint64_t margin = pa_usec_to_bytes(REWIND_MARGIN_USEC, &u->sink->sample_spec);
    uint64_t left = 0;
    size_t rewind_bytes;

    if (u->io.linked && player->state == PLAYER_RUNNING && player->feature_rewind)
        left = sndif_player_left_bytes(player, now);

    rewind_bytes =
        left > margin ? (size_t) PA_MIN(left - margin, (uint64_t) u->sink->thread_info.rewind_nbytes) : 0;
    rewind_bytes = pa_frame_align(rewind_bytes, &u->sink->sample_spec);
    pa_sink_process_rewind(u->sink, rewind_bytes);
    if (rewind_bytes > 0)
        sndif_player_rewind(player, rewind_bytes);
}

/* ---- IO thread: the stream ---- */

/* A playing stream. Returns when to look again. */
static pa_usec_t run_stream(struct userdata *u, pa_usec_t now) {
    struct sndif_player *player = &u->io.player;
    pa_usec_t next;

    if (u->sink->thread_info.state == PA_SINK_RUNNING) {
        next = process_underruns(u, now);
        fill_buffer(u, now);
        return next > 0 ? now + next : player->deadline_usec;
    }
    if (u->sink->thread_info.state == PA_SINK_IDLE && !sndif_player_all_heard(player)) {
        process_underruns(u, now);
        sndif_player_wake_when_heard(player);
        return player->deadline_usec;
    }
    sndif_player_stop(player, now);
    u->io.idle_usec = now;
    return player->deadline_usec;
}

/* Does what the sink's state asks of the stream's. Returns when to look again; 0: when something happens. */
static pa_usec_t drive_stream(struct userdata *u, pa_usec_t now) {
    struct sndif_player *player = &u->io.player;
    const pa_sink_state_t state = u->sink->thread_info.state;

    switch (player->state) {
        case PLAYER_NEW:
            sndif_player_query(player, now);
            break;
        case PLAYER_CLOSED:
            if (state != PA_SINK_RUNNING)
                return 0;
            sndif_player_open(player, now);
            u->io.idle_usec = now;
            break;
        case PLAYER_OPEN:
            if (state == PA_SINK_RUNNING) {
                fill_buffer(u, now);
                sndif_player_start(player, now);
            } else if (state != PA_SINK_IDLE || now >= u->io.idle_usec + IDLE_CLOSE_USEC) {
                sndif_player_close(player, now);
            } else {
                return u->io.idle_usec + IDLE_CLOSE_USEC;
            }
            break;
        case PLAYER_RUNNING:
            return run_stream(u, now);
        case PLAYER_ASKING:
        case PLAYER_FAILED:
            break;
    }
    return player->deadline_usec;
}

/* One turn of the thread's loop: returns when to wake up by itself, 0 for not at all. */
static pa_usec_t turn(struct userdata *u) {
    const pa_usec_t now = pa_rtclock_now();

    if (u->io.linked)
        sndif_player_process(&u->io.player, now);
    if (u->sink->thread_info.rewind_requested)
        process_rewind(u, now);

    if (u->io.linked && u->io.player.state != PLAYER_FAILED) {
        pa_usec_t next = drive_stream(u, now);

        if (u->io.player.state != PLAYER_FAILED)
            return next;
    }
    if (u->io.linked && !u->io.failure_said) {
        u->io.failure_said = true;
        pa_asyncmsgq_post(u->thread_mq.outq, PA_MSGOBJECT(u->msg), MODULE_MESSAGE_FAILED, NULL, 0, NULL,
                          NULL);
    }
    return u->sink->thread_info.state == PA_SINK_RUNNING ? drop_samples(u, now) : 0;
}

static void before_sleep(struct userdata *u, pa_usec_t wake_usec) {
    const struct sndif_player *player = &u->io.player;
    bool look_again = false;

    /* Answers to WRITE can wait for the next position; an awaited answer cannot. */
    if (u->io.linked && player->state != PLAYER_FAILED)
        look_again = sndif_frontend_may_not_sleep(&u->front, player->state == PLAYER_RUNNING);

    if (look_again)
        pa_rtpoll_set_timer_relative(u->rtpoll, 0);
    else if (wake_usec > 0)
        pa_rtpoll_set_timer_absolute(u->rtpoll, wake_usec);
    else
        pa_rtpoll_set_timer_disabled(u->rtpoll);
}

static void thread_func(void *userdata) {
    struct userdata *u = userdata;

    if (u->core->realtime_scheduling)
        pa_thread_make_realtime(u->core->realtime_priority);
    pa_thread_mq_install(&u->thread_mq);

    for (;;) {
        int ret;

        before_sleep(u, turn(u));
        if ((ret = pa_rtpoll_run(u->rtpoll)) < 0)
            goto fail;
        if (ret == 0)
            return;
        if (u->io.item && pa_rtpoll_item_get_pollfd(u->io.item, NULL)->revents)
            sndif_frontend_take(&u->front);
    }

fail:
    pa_asyncmsgq_post(u->thread_mq.outq, PA_MSGOBJECT(u->core), PA_CORE_MESSAGE_UNLOAD_MODULE, u->module, 0,
                      NULL, NULL);
    pa_asyncmsgq_wait_for(u->thread_mq.inq, PA_MESSAGE_SHUTDOWN);
}

/* ---- IO thread: messages and callbacks ---- */

static void update_target(struct userdata *u) {
    size_t bytes = pa_usec_to_bytes(requested_latency(u), &u->sink->sample_spec);

    u->io.target_bytes = PA_MIN(bytes, u->buffer_bytes);
    /* PulseAudio takes an input for drained when its history has passed through: all that is not yet heard must fit in */
    pa_sink_set_max_rewind_within_thread(
        u->sink, u->buffer_bytes + pa_usec_to_bytes(DOWNSTREAM_USEC_MAX, &u->sink->sample_spec));
    pa_sink_set_max_request_within_thread(u->sink, u->io.target_bytes);
}

static void link_stream(struct userdata *u) {
    struct pollfd *pollfd;

    sndif_player_init(&u->io.player, &u->front, u->format, u->sink->sample_spec.rate,
                      u->sink->sample_spec.channels);
    u->io.player.feature_latency = u->bus.features.latency;
    u->io.player.feature_wakeup = u->bus.features.wakeup;
    u->io.player.feature_rewind = u->bus.features.rewind;

    u->io.item = pa_rtpoll_item_new(u->rtpoll, PA_RTPOLL_NEVER, 1);
    pollfd = pa_rtpoll_item_get_pollfd(u->io.item, NULL);
    pollfd->fd = sndif_frontend_fd(&u->front);
    pollfd->events = POLLIN;
    pollfd->revents = 0;
    u->io.linked = true;
    u->io.failure_said = false;
    update_target(u);
}

static void unlink_stream(struct userdata *u) {
    if (!u->io.linked)
        return;

    pa_rtpoll_item_free(u->io.item);
    u->io.item = NULL;
    u->io.linked = false;
    u->io.unlinked_usec = 0;
    update_target(u);
}

static int64_t latency_now(struct userdata *u) {
    const pa_usec_t now = pa_rtclock_now();

    if (u->io.linked && u->io.player.state != PLAYER_FAILED)
        return (int64_t) sndif_player_heard_in_usec(&u->io.player, now);
    return u->io.unlinked_usec > now ? (int64_t) (u->io.unlinked_usec - now) : 0;
}

static int sink_process_msg_cb(pa_msgobject *o, int code, void *data, int64_t offset, pa_memchunk *chunk) {
    struct userdata *u = PA_SINK(o)->userdata;

    switch (code) {
        case PA_SINK_MESSAGE_GET_LATENCY:
            *((int64_t *) data) = latency_now(u);
            return 0;
        case SINK_MESSAGE_LINK:
            link_stream(u);
            return 0;
        case SINK_MESSAGE_UNLINK:
            unlink_stream(u);
            return 0;
    }
    return pa_sink_process_msg(o, code, data, offset, chunk);
}

static void sink_update_requested_latency_cb(pa_sink *s) {
    update_target(s->userdata);
}

/* ---- main thread: the connection ---- */

static void unlink_backend(struct userdata *u) {
    if (u->linked)
        pa_asyncmsgq_send(u->sink->asyncmsgq, PA_MSGOBJECT(u->sink), SINK_MESSAGE_UNLINK, NULL, 0, NULL);
    u->linked = false;
    if (u->granted)
        sndif_frontend_done(&u->front);
    u->granted = false;
    /* what it waits for has happened another way */
    if (u->reconnect_event)
        u->core->mainloop->time_free(u->reconnect_event);
    u->reconnect_event = NULL;
}

/* Says why the card cannot be used, once for each reason. */
static void refuse_card(struct userdata *u, char *reason) {
    if (!reason || pa_safe_streq(reason, u->refusal)) {
        free(reason);
        return;
    }
    pa_log("Card vsnd-%u: %s. Playing nowhere until that changes.", u->bus.card.id.devid, reason);
    free(u->refusal);
    u->refusal = reason;
}

static char *driver_complaint(unsigned devid) {
    char *driver = xenbus_card_driver("/sys", devid), *text = NULL;

    if (driver &&
        asprintf(
            &text,
            "it is held by the kernel driver \"%s\". Either play through it (load-module module-alsa-sink "
            "on its card), or free it: echo vsnd-%u > /sys/bus/xen/drivers/%s/unbind (and blacklist "
            "snd_xen_front)",
            driver, devid, driver) < 0)
        text = NULL;
    free(driver);
    return text;
}

/* Whether the sink's format is among what the card's nodes allow; else a malloc'd text. */
static char *card_complaint(const struct xenbus_stream_config *c, const pa_sample_spec *ss,
                            const struct sndif_format *f) {
    char *text = NULL;
    int r = 0;

    if (c->formats && !(c->formats & (UINT64_C(1) << f->id)))
        r = asprintf(
            &text, "format %s is not among its sample-formats; choose another with format=, or add it there",
            f->name);
    else if (!sndif_rates_has(&c->rates, ss->rate))
        r = asprintf(&text,
                     "rate %u Hz is not among its sample-rates; choose another with rate=, or add it there",
                     ss->rate);
    else if ((c->channels_min && ss->channels < c->channels_min) ||
             (c->channels_max && ss->channels > c->channels_max))
        r = asprintf(&text, "%u channels are not within its %u to %u; choose another number with channels=",
                     ss->channels, c->channels_min ? c->channels_min : 1,
                     c->channels_max ? c->channels_max : CHANNELS_MAX);
    return r < 0 ? NULL : text;
}

/* What to do about a device of Xen's that cannot be opened; "" for other errors. */
static const char *device_hint(int error) {
    switch (error) {
        case EACCES:
        case EPERM:
            return ". May this user open /dev/xen/xenbus, gntalloc and evtchn? With our udev rule the group "
                   "xen-audio may";
        case ENOENT:
        case ENODEV:
        case ENXIO:
            return ". Is this a Xen guest, with the kernel's modules xen-gntalloc and xen-evtchn loaded?";
        default:
            return "";
    }
}

static void publish(struct userdata *u) {
    struct xenbus_stream_config config;
    struct xenbus_transport transport;
    char *error = driver_complaint(u->bus.card.id.devid);
    const char *what;
    int r;

    if (!error && xenbus_card_find(&u->bus.card, 'p', &config, &error) == 0)
        error = card_complaint(&config, &u->sink->sample_spec, u->format);
    if (error) {
        refuse_card(u, error);
        return;
    }
    if ((r = sndif_frontend_init(&u->front, u->bus.backend_domid, (uint32_t) u->buffer_bytes, &what)) < 0) {
        if (asprintf(&error, "%s failed: %s%s", what, pa_cstrerror(-r), device_hint(-r)) >= 0)
            refuse_card(u, error);
        return;
    }
    u->granted = true;
    transport = (struct xenbus_transport) {.ring_ref = u->front.ring_ref,
                                           .event_channel = u->front.request_port,
                                           .evt_ring_ref = u->front.evt_ring_ref,
                                           .evt_event_channel = u->front.event_port};
    if ((r = xenbus_front_publish(&u->bus, &transport)) < 0) {
        unlink_backend(u);
        if (asprintf(&error, "publishing its rings in xenstore failed: %s", pa_cstrerror(-r)) >= 0)
            refuse_card(u, error);
    }
}

static void follow_bus(struct userdata *u) {
    switch (xenbus_front_next(&u->bus)) {
        case XENBUS_PUBLISH:
            publish(u);
            break;
        case XENBUS_GO:
            pa_log_info("Card vsnd-%u: connected to domain %u.", u->bus.card.id.devid, u->bus.backend_domid);
            free(u->refusal);
            u->refusal = NULL;
            pa_asyncmsgq_send(u->sink->asyncmsgq, PA_MSGOBJECT(u->sink), SINK_MESSAGE_LINK, NULL, 0, NULL);
            u->linked = true;
            break;
        case XENBUS_LOST:
            pa_log_info("Card vsnd-%u: the backend has closed; playing nowhere until it returns. If it does "
                        "not, the log "
                        "of xen-audiod in the backend's domain says why.",
                        u->bus.card.id.devid);
            unlink_backend(u);
            xenbus_front_closed(&u->bus);
            break;
        case XENBUS_NOTHING:
            break;
    }
}

static void bus_event_cb(pa_mainloop_api *a, pa_io_event *e, int fd, pa_io_event_flags_t events,
                         void *userdata) {
    (void) a, (void) e, (void) fd, (void) events;
    follow_bus(userdata);
}

static void reconnect_cb(pa_mainloop_api *a, pa_time_event *e, const struct timeval *tv, void *userdata) {
    struct userdata *u = userdata;

    (void) tv;
    a->time_free(e);
    u->reconnect_event = NULL;
    /* our own state says Closed, which the backend answers with InitWait */
    if (u->bus.published)
        xenbus_front_closed(&u->bus);
}

static int module_process_msg_cb(pa_msgobject *o, int code, void *data, int64_t offset, pa_memchunk *chunk) {
    struct userdata *u = ((module_msg *) o)->userdata;
    const struct sndif_player *player = &u->io.player;

    (void) code, (void) data, (void) offset, (void) chunk;
    if (!u->linked)
        return 0;

    /* the IO thread has left the failed stream alone since it posted this */
    pa_log("Card vsnd-%u: %s failed: %s (%s, %u Hz, %u channels, buffer of %u octets). Trying again.",
           u->bus.card.id.devid, player->failure,
           player->failure_status ? pa_cstrerror(-player->failure_status) : "protocol error",
           player->format->name, player->rate, player->channels, player->buffer_bytes);
    unlink_backend(u);
    u->reconnect_event = pa_core_rttime_new(u->core, pa_rtclock_now() + RECONNECT_USEC, reconnect_cb, u);
    return 0;
}

/* ---- main thread: loading ---- */

/* The first value in the list, or the default where the list is empty or has it. */
static uint32_t choose_rate(const struct sndif_rates *rates, uint32_t preferred) {
    return sndif_rates_has(rates, preferred) ? preferred : rates->hz[0];
}

static pa_sample_format_t choose_format(uint64_t formats, pa_sample_format_t preferred) {
    const struct sndif_format *f = xen_pa_format_to_sndif(preferred);
    const struct sndif_format *all;
    size_t n;

    if (f && (formats == 0 || (formats & (UINT64_C(1) << f->id))))
        return preferred;
    all = sndif_formats(&n);
    for (size_t i = 0; i < n; i++)
        if (formats == 0 || (formats & (UINT64_C(1) << all[i].id)))
            return xen_pa_format_from_sndif(all[i].id);
    return PA_SAMPLE_S16LE;
}

/* Each argument by itself, so that the message names the one that is wrong. */
static int check_number_arguments(pa_modargs *ma) {
    const char *format = pa_modargs_get_value(ma, "format", NULL);
    uint32_t ignored = 0;

    if (format && pa_parse_sample_format(format) == PA_SAMPLE_INVALID) {
        pa_log("format=%s: no such sample format; expected one as in \"s16le\".", format);
        return -1;
    }
    if (xen_pa_get_number(ma, "rate", RATE_MIN, RATE_MAX, &ignored) < 0)
        return -1;
    return xen_pa_get_number(ma, "channels", 1, CHANNELS_MAX, &ignored);
}

/* The arguments win; what they leave open is chosen from what the card offers, nearest to the server's
 * default. */
static int choose_sample_spec(struct userdata *u, pa_modargs *ma, const struct xenbus_stream_config *c,
                              pa_sample_spec *ss, pa_channel_map *map) {
    uint32_t channels;
    char *error;

    *ss = u->core->default_sample_spec;
    *map = u->core->default_channel_map;
    ss->format = choose_format(c->formats, ss->format);
    ss->rate = choose_rate(&c->rates, ss->rate);
    channels = c->channels_max && ss->channels > c->channels_max ? c->channels_max : ss->channels;
    channels = c->channels_min && channels < c->channels_min ? c->channels_min : channels;
    if (channels != ss->channels ||
        channels > 2) { /* sndif counts channels only; both sides take ALSA's order */
        ss->channels = (uint8_t) PA_MIN(channels, PA_CHANNELS_MAX);
        pa_channel_map_init_extend(map, ss->channels, PA_CHANNEL_MAP_ALSA);
    }
    if (check_number_arguments(ma) < 0)
        return -1;
    if (pa_modargs_get_sample_spec_and_channel_map(ma, ss, map, PA_CHANNEL_MAP_ALSA) < 0) {
        pa_log(
            "channel_map=%s: expected as many positions as channels (%u), as in \"front-left,front-right\".",
            pa_strnull(pa_modargs_get_value(ma, "channel_map", NULL)), ss->channels);
        return -1;
    }
    u->format = xen_pa_format_to_sndif(ss->format);
    if (!u->format) {
        pa_log("format=%s cannot be carried by sndif; one of u8, s16le, s16be, s24-32le, s24-32be, s32le, "
               "s32be, "
               "float32le, float32be, ulaw, alaw can.",
               pa_sample_format_to_string(ss->format));
        return -1;
    }
    if ((error = card_complaint(c, ss, u->format))) {
        pa_log("Card vsnd-%u refuses these arguments: %s.", u->bus.card.id.devid, error);
        free(error);
        return -1;
    }
    return 0;
}

static int choose_latency(struct userdata *u, pa_modargs *ma, const pa_sample_spec *ss,
                          uint32_t buffer_bytes) {
    uint32_t min_msec = DEFAULT_MIN_LATENCY_MSEC, max_msec = LATENCY_MSEC_MAX;
    pa_usec_t buffer_usec;

    if (xen_pa_get_number(ma, "min_latency_msec", 1, LATENCY_MSEC_MAX, &min_msec) < 0 ||
        xen_pa_get_number(ma, "max_latency_msec", 1, LATENCY_MSEC_MAX, &max_msec) < 0)
        return -1;

    u->buffer_bytes = PA_MIN(PA_MIN(buffer_bytes, BUFFER_BYTES_MAX),
                             pa_usec_to_bytes_round_up((pa_usec_t) max_msec * PA_USEC_PER_MSEC, ss));
    u->buffer_bytes = pa_frame_align(u->buffer_bytes, ss);
    buffer_usec = pa_bytes_to_usec(u->buffer_bytes, ss);
    u->min_latency_usec = min_msec * PA_USEC_PER_MSEC;
    u->max_latency_usec = buffer_usec;
    if (u->min_latency_usec > u->max_latency_usec) {
        pa_log("min_latency_msec=%u is more than the buffer holds: %u octets, %.1f ms.", min_msec,
               (unsigned) u->buffer_bytes, (double) buffer_usec / PA_USEC_PER_MSEC);
        return -1;
    }
    return 0;
}

/* Reads the card if it is there; a card that comes later is checked when it is published. */
static int read_card(struct userdata *u, struct xenbus_stream_config *config) {
    char *error = driver_complaint(u->bus.card.id.devid);
    int r = error ? -EBUSY : xenbus_card_find(&u->bus.card, 'p', config, &error);

    if (r == -ENOENT) {
        pa_log_info("Card vsnd-%u is not there yet; waiting for it.", u->bus.card.id.devid);
        return 0;
    }
    if (r < 0)
        pa_log("Card vsnd-%u: %s.", u->bus.card.id.devid, error ? error : pa_cstrerror(-r));
    free(error);
    return r;
}

/* A card has one state node, so one module: a second would take the first for a process that died. */
static int claim_card(struct userdata *u, unsigned devid) {
    char key[32];
    pa_module *holder;

    pa_snprintf(key, sizeof(key), "xen-audio-vsnd-%u", devid);
    if ((holder = pa_shared_get(u->core, key))) {
        pa_log(
            "Card vsnd-%u is used by module #%u already: unload that, or choose another card with device=.",
            devid, holder->index);
        return -1;
    }
    pa_shared_set(u->core, key, u->module);
    u->claim = pa_xstrdup(key);
    return 0;
}

static int open_card(struct userdata *u, pa_modargs *ma) {
    const char *device = pa_modargs_get_value(ma, "device", "0");
    struct xenbus_stream_id id;
    int r;

    if (!xenbus_parse_stream_id(device, &id)) {
        pa_log(
            "device=%s: expected the index of a vsnd card, as in \"0\", or card/pcm/stream, as in \"0/0/1\".",
            device);
        return -1;
    }
    if (claim_card(u, id.devid) < 0)
        return -1;
    if ((r = xenbus_front_open(&u->bus, &id)) < 0) {
        pa_log("Connecting to xenstore failed: %s%s.", pa_cstrerror(-r), device_hint(-r));
        return -1;
    }
    return 0;
}

static int create_sink(struct userdata *u, pa_modargs *ma, const pa_sample_spec *ss,
                       const pa_channel_map *map) {
    pa_sink_new_data data;

    pa_sink_new_data_init(&data);
    data.driver = __FILE__;
    data.module = u->module;
    pa_sink_new_data_set_name(&data, pa_modargs_get_value(ma, "sink_name", DEFAULT_SINK_NAME));
    data.namereg_fail = pa_modargs_get_value(ma, "sink_name", NULL) != NULL;
    pa_sink_new_data_set_sample_spec(&data, ss);
    pa_sink_new_data_set_channel_map(&data, map);
    pa_proplist_sets(data.proplist, PA_PROP_DEVICE_DESCRIPTION, _("Xen Audio"));
    pa_proplist_sets(data.proplist, PA_PROP_DEVICE_CLASS, "sound");
    pa_proplist_sets(data.proplist, PA_PROP_DEVICE_BUS, "xen");
    pa_proplist_sets(data.proplist, PA_PROP_DEVICE_ICON_NAME, "audio-card");
    if (pa_modargs_get_proplist(ma, "sink_properties", data.proplist, PA_UPDATE_REPLACE) < 0) {
        pa_log("Invalid sink_properties=: expected name='value' pairs.");
        pa_sink_new_data_done(&data);
        return -1;
    }
    u->sink = pa_sink_new(u->core, &data, PA_SINK_LATENCY | PA_SINK_DYNAMIC_LATENCY);
    pa_sink_new_data_done(&data);
    if (!u->sink) {
        pa_log("Creating the sink failed; is sink_name= taken?");
        return -1;
    }
    u->sink->parent.process_msg = sink_process_msg_cb;
    u->sink->update_requested_latency = sink_update_requested_latency_cb;
    u->sink->userdata = u;
    pa_sink_set_asyncmsgq(u->sink, u->thread_mq.inq);
    pa_sink_set_rtpoll(u->sink, u->rtpoll);
    pa_sink_set_latency_range(u->sink, u->min_latency_usec, u->max_latency_usec);
    return 0;
}

int pa__init(pa_module *m) {
    struct xenbus_stream_config config = {0};
    struct userdata *u;
    pa_sample_spec ss;
    pa_channel_map map;
    pa_modargs *ma = NULL;

    pa_assert(m);
    m->userdata = u = pa_xnew0(struct userdata, 1);
    u->core = m->core;
    u->module = m;

    if (!(ma = pa_modargs_new(m->argument, valid_modargs))) {
        pa_log("Failed to parse the module's arguments \"%s\"; usage: %s", m->argument ? m->argument : "",
               pa__get_usage());
        goto fail;
    }
    if (open_card(u, ma) < 0 || read_card(u, &config) < 0 ||
        choose_sample_spec(u, ma, &config, &ss, &map) < 0 ||
        choose_latency(u, ma, &ss, config.buffer_bytes ? config.buffer_bytes : DEFAULT_BUFFER_BYTES) < 0)
        goto fail;

    u->rtpoll = pa_rtpoll_new();
    if (pa_thread_mq_init(&u->thread_mq, m->core->mainloop, u->rtpoll) < 0) {
        pa_log("Creating the message queue of the sink's thread failed.");
        goto fail;
    }
    u->msg = pa_msgobject_new(module_msg);
    u->msg->parent.process_msg = module_process_msg_cb;
    u->msg->userdata = u;
    if (create_sink(u, ma, &ss, &map) < 0)
        goto fail;
    if (!(u->thread = pa_thread_new("xen-sink", thread_func, u))) {
        pa_log("Creating the sink's thread failed.");
        goto fail;
    }
    pa_sink_put(u->sink);
    u->bus_event = m->core->mainloop->io_new(m->core->mainloop, xenbus_front_fd(&u->bus), PA_IO_EVENT_INPUT,
                                             bus_event_cb, u);
    pa_modargs_free(ma);
    return 0;

fail:
    if (ma)
        pa_modargs_free(ma);
    pa__done(m);
    return -1;
}

int pa__get_n_used(pa_module *m) {
    struct userdata *u = m->userdata;

    return pa_sink_linked_by(u->sink);
}

void pa__done(pa_module *m) {
    struct userdata *u = m->userdata;

    if (!u)
        return;

    if (u->bus_event)
        u->core->mainloop->io_free(u->bus_event);
    if (u->sink && u->thread)
        pa_sink_unlink(u->sink);
    if (u->thread)
        unlink_backend(u);
    if (u->thread) {
        pa_asyncmsgq_send(u->thread_mq.inq, NULL, PA_MESSAGE_SHUTDOWN, NULL, 0, NULL);
        pa_thread_free(u->thread);
    }
    pa_thread_mq_done(&u->thread_mq);
    if (u->sink)
        pa_sink_unref(u->sink);
    if (u->msg)
        pa_msgobject_unref(PA_MSGOBJECT(u->msg));
    if (u->rtpoll)
        pa_rtpoll_free(u->rtpoll);
    xenbus_front_close(&u->bus);
    if (u->claim)
        pa_shared_remove(u->core, u->claim);
    pa_xfree(u->claim);
    free(u->refusal);
    pa_xfree(u);
    m->userdata = NULL;
}
