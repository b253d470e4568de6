/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <pulse/rtclock.h>
#include <pulse/timeval.h>
#include <pulse/xmalloc.h>

#include <pulsecore/i18n.h>
#include <pulsecore/log.h>
#include <pulsecore/macro.h>
#include <pulsecore/modargs.h>
#include <pulsecore/module.h>
#include <pulsecore/sink.h>

#include "sndif-player.h"
#include "xen-args.h"
#include "xen-stream.h"

PA_MODULE_AUTHOR("xen-audio");
PA_MODULE_DESCRIPTION(_("Sink of a Xen guest, played by the backend domain"));
PA_MODULE_VERSION(PACKAGE_VERSION);
PA_MODULE_LOAD_ONCE(false);
PA_MODULE_USAGE("sink_name=<name of the sink> "
                "sink_properties=<properties of the sink> " XEN_ARGS_USAGE);

#define DEFAULT_SINK_NAME "xen_output"
/* More than any sink in dom0 delays what it has been given. */
#define DOWNSTREAM_USEC_MAX (1 * PA_USEC_PER_SEC)
/* How far after the position to write on after an underrun: the way of a WRITE to dom0. */
#define SKIP_USEC (2 * PA_USEC_PER_MSEC)
/* Samples so close to being played are not taken back. */
#define REWIND_MARGIN_USEC (4 * PA_USEC_PER_MSEC)
/* Without a backend time passes in steps of this, or of what clients ask for. */
#define UNLINKED_BLOCK_USEC (100 * PA_USEC_PER_MSEC)

static const char *const valid_modargs[] = {"sink_name", "sink_properties", XEN_ARGS_NAMES, NULL};

struct userdata {
    pa_core *core;
    pa_module *module;
    pa_sink *sink;
    struct xen_stream xen;
    struct xen_args args;

    /* IO thread */
    struct {
        struct sndif_player player;
        pa_usec_t latency_usec;  /* what clients ask for, at most what the buffer holds */
        pa_usec_t unlinked_usec; /* time up to which we have rendered and dropped */
    } io;
};

/* ---- IO thread: without a backend ---- */

static pa_usec_t requested_latency(struct userdata *u) {
    pa_usec_t usec = pa_sink_get_requested_latency_within_thread(u->sink);

    return usec == (pa_usec_t) -1 ? u->args.max_latency_usec : usec;
}

/* Applications never freeze: what they play meanwhile goes nowhere, at the pace of the system's clock. */
static pa_usec_t drop_samples(void *userdata, pa_usec_t now) {
    struct userdata *u = userdata;
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

/*
 * How much to keep written ahead. Clients ask for the time until a frame is heard, so what dom0 takes of it is not ours;
 * but from a half to two thirds is: dom0's sink works in steps of half of what we keep (docs/architecture.md).
 */
static uint64_t target_bytes(const struct userdata *u) {
    const struct sndif_session *session = &u->io.player.session;
    const uint64_t asked_usec = u->io.latency_usec;
    const uint64_t dom0_usec = PA_CLAMP(session->latency_usec, asked_usec / 3, asked_usec / 2);

    return sndif_session_usec_to_bytes(session, asked_usec - dom0_usec);
}

static void fill_buffer(void *userdata, pa_usec_t now) {
    struct userdata *u = userdata;
    struct sndif_player *player = &u->io.player;
    struct sndif_session *session = &player->session;
    const bool running = session->state == SESSION_RUNNING;
    const uint64_t target = target_bytes(u), half = target / 2;
    uint64_t left = sndif_player_left_bytes(player, now), wanted;

    /* not merely late, which costs nothing: the listener has heard the end */
    if (running && left == 0 && sndif_player_heard_in_usec(player, now) == 0) {
        sndif_player_skip(player, now, SKIP_USEC);
        left = sndif_player_left_bytes(player, now);
    }
    if (left >= target || (running && left > half + session->frame_bytes)) {
        if (running) /* what the clients ask for may have changed since the last WRITE */
            sndif_session_wake_at_now(session, session->next_bytes - half);
        return;
    }

    wanted = target - left;
    /* before the WRITE that makes the backend look at it */
    sndif_session_wake_at(session, session->next_bytes + wanted - half);
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

    if (u->xen.linked && player->session.state == SESSION_RUNNING && player->session.feature_rewind)
        left = sndif_player_left_bytes(player, now);

    rewind_bytes =
        left > margin ? (size_t) PA_MIN(left - margin, (uint64_t) u->sink->thread_info.rewind_nbytes) : 0;
    rewind_bytes = pa_frame_align(rewind_bytes, &u->sink->sample_spec);
    pa_sink_process_rewind(u->sink, rewind_bytes);
    if (rewind_bytes > 0)
        sndif_player_rewind(player, rewind_bytes);
}

/* ---- IO thread: the stream ---- */

static enum xen_stream_use sink_use(void *userdata) {
    struct userdata *u = userdata;

    switch (u->sink->thread_info.state) {
        case PA_SINK_RUNNING:
            return XEN_STREAM_RUNNING;
        case PA_SINK_IDLE:
            return XEN_STREAM_IDLE;
        default:
            return XEN_STREAM_OFF;
    }
}

static void process_stream(void *userdata, pa_usec_t now) {
    struct userdata *u = userdata;

    if (u->xen.linked)
        sndif_player_process(&u->io.player, now);
    if (u->sink->thread_info.rewind_requested)
        process_rewind(u, now);
}

/* A playing stream. Returns when to look again. */
static pa_usec_t run_stream(void *userdata, pa_usec_t now) {
    struct userdata *u = userdata;
    struct sndif_player *player = &u->io.player;
    struct sndif_session *session = &player->session;

    if (sink_use(u) == XEN_STREAM_RUNNING) {
        const pa_usec_t next = process_underruns(u, now);

        fill_buffer(u, now);
        return next > 0 ? now + next : session->deadline_usec;
    }
    if (sink_use(u) == XEN_STREAM_IDLE && !sndif_player_all_heard(player)) {
        process_underruns(u, now);
        sndif_player_wake_when_heard(player);
        return session->deadline_usec;
    }
    sndif_session_stop(session, now);
    return session->deadline_usec;
}

/* Answers to WRITE can wait for the next position. */
static bool is_quiet(void *userdata) {
    (void) userdata;
    return true;
}

static void update_latency(struct userdata *u) {
    u->io.latency_usec = PA_MIN(requested_latency(u), u->args.max_latency_usec);
    /* PulseAudio takes an input for drained when its history has passed through: all that is not yet heard must fit in */
    pa_sink_set_max_rewind_within_thread(
        u->sink, u->args.buffer_bytes + pa_usec_to_bytes(DOWNSTREAM_USEC_MAX, &u->sink->sample_spec));
    pa_sink_set_max_request_within_thread(u->sink,
                                          pa_usec_to_bytes(u->io.latency_usec, &u->sink->sample_spec));
}

static void reset_player(void *userdata, struct sndif_frontend *front) {
    struct userdata *u = userdata;

    sndif_session_init(&u->io.player.session, front, u->args.format, u->args.ss.rate, u->args.ss.channels);
}

static void link_changed(void *userdata) {
    struct userdata *u = userdata;

    u->io.unlinked_usec = 0;
    update_latency(u);
}

/* ---- the sink ---- */

static bool sink_in_use(void *userdata) {
    struct userdata *u = userdata;

    return u->sink->state == PA_SINK_RUNNING;
}

static const struct xen_stream_ops ops = {
    .in_use = sink_in_use,
    .use = sink_use,
    .reset = reset_player,
    .changed = link_changed,
    .process = process_stream,
    .prepare = fill_buffer,
    .run = run_stream,
    .quiet = is_quiet,
    .pass_time = drop_samples,
};

static int64_t latency_now(struct userdata *u) {
    const pa_usec_t now = pa_rtclock_now();

    if (xen_stream_is_up(&u->xen))
        return (int64_t) sndif_player_heard_in_usec(&u->io.player, now);
    return u->io.unlinked_usec > now ? (int64_t) (u->io.unlinked_usec - now) : 0;
}

static int sink_process_msg_cb(pa_msgobject *o, int code, void *data, int64_t offset, pa_memchunk *chunk) {
    struct userdata *u = PA_SINK(o)->userdata;

    if (code == PA_SINK_MESSAGE_GET_LATENCY) {
        *((int64_t *) data) = latency_now(u);
        return 0;
    }
    return pa_sink_process_msg(o, code, data, offset, chunk);
}

static void sink_update_requested_latency_cb(pa_sink *s) {
    update_latency(s->userdata);
}

static int create_sink(struct userdata *u, pa_modargs *ma) {
    pa_sink_new_data data;

    pa_sink_new_data_init(&data);
    data.driver = __FILE__;
    data.module = u->module;
    pa_sink_new_data_set_name(&data, pa_modargs_get_value(ma, "sink_name", DEFAULT_SINK_NAME));
    data.namereg_fail = pa_modargs_get_value(ma, "sink_name", NULL) != NULL;
    pa_sink_new_data_set_sample_spec(&data, &u->args.ss);
    pa_sink_new_data_set_channel_map(&data, &u->args.map);
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
    pa_sink_set_asyncmsgq(u->sink, u->xen.thread_mq.inq);
    pa_sink_set_rtpoll(u->sink, u->xen.rtpoll);
    pa_sink_set_latency_range(u->sink, u->args.min_latency_usec, u->args.max_latency_usec);
    return 0;
}

/* ---- loading ---- */

/* All that can fail, in order; pa__done undoes it. */
static int load(struct userdata *u, pa_modargs *ma) {
    struct xenbus_stream_config config;

    if (xen_stream_init(&u->xen, u->module, pa_modargs_get_value(ma, "device", "0"), 'p', &ops, u,
                        &u->io.player.session) < 0 ||
        xen_card_read(u->xen.card, &config) < 0 ||
        xen_args_read(&u->args, u->core, ma, xen_card_devid(u->xen.card), &config, 1) < 0 ||
        create_sink(u, ma) < 0)
        return -1;
    return xen_stream_start(&u->xen, "xen-sink");
}

int pa__init(pa_module *m) {
    struct userdata *u;
    pa_modargs *ma;
    int r;

    pa_assert(m);
    m->userdata = u = pa_xnew0(struct userdata, 1);
    u->core = m->core;
    u->module = m;

    if (!(ma = pa_modargs_new(m->argument, valid_modargs))) {
        pa_log("Failed to parse the module's arguments \"%s\"; usage: %s", m->argument ? m->argument : "",
               pa__get_usage());
        pa__done(m);
        return -1;
    }
    r = load(u, ma);
    pa_modargs_free(ma);
    if (r < 0) {
        pa__done(m);
        return -1;
    }
    pa_sink_put(u->sink);
    xen_card_connect(u->xen.card, &(struct xen_card_params) {.format = u->args.format,
                                                             .rate = u->args.ss.rate,
                                                             .channels = u->args.ss.channels,
                                                             .buffer_bytes = u->args.buffer_bytes});
    return 0;
}

int pa__get_n_used(pa_module *m) {
    struct userdata *u = m->userdata;

    return pa_sink_linked_by(u->sink);
}

void pa__done(pa_module *m) {
    struct userdata *u = m->userdata;

    if (!u)
        return;

    if (u->sink)
        pa_sink_unlink(u->sink);
    xen_stream_done(&u->xen);
    if (u->sink)
        pa_sink_unref(u->sink);
    pa_xfree(u);
    m->userdata = NULL;
}
