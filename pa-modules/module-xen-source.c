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
#include <pulsecore/source.h>

#include "sndif-recorder.h"
#include "xen-args.h"
#include "xen-stream.h"

PA_MODULE_AUTHOR("xen-audio");
PA_MODULE_DESCRIPTION(_("Source of a Xen guest, recorded by the backend domain"));
PA_MODULE_VERSION(PACKAGE_VERSION);
PA_MODULE_LOAD_ONCE(false);
PA_MODULE_USAGE("source_name=<name of the source> "
                "source_properties=<properties of the source> " XEN_ARGS_USAGE);

#define DEFAULT_SOURCE_NAME "xen_input"
/* A clients' fragment is read while the next is captured. */
#define BUFFER_FRAGMENTS 2u
/* Without a backend time passes in steps of this, or of what clients ask for. */
#define UNLINKED_BLOCK_USEC (100 * PA_USEC_PER_MSEC)

static const char *const valid_modargs[] = {"source_name", "source_properties", XEN_ARGS_NAMES, NULL};

struct userdata {
    pa_core *core;
    pa_module *module;
    pa_source *source;
    struct xen_stream xen;
    struct xen_args args;

    /* IO thread */
    struct {
        struct sndif_recorder recorder;
        bool loss_said;
        uint64_t fragment_bytes; /* how much to wait for */
        pa_usec_t unlinked_usec; /* time up to which silence has been recorded */
    } io;
};

/* ---- IO thread: without a backend ---- */

static pa_usec_t requested_latency(struct userdata *u) {
    pa_usec_t usec = pa_source_get_requested_latency_within_thread(u->source);

    return usec == (pa_usec_t) -1 ? u->args.max_latency_usec : usec;
}

static void post_silence(struct userdata *u, size_t length_bytes) {
    while (length_bytes > 0) {
        pa_memchunk chunk = u->source->silence;

        chunk.length = PA_MIN(chunk.length, length_bytes);
        pa_source_post(u->source, &chunk);
        length_bytes -= chunk.length;
    }
}

/* Applications never freeze: they record silence meanwhile, at the pace of the system's clock, a block when it has
 * passed. */
static pa_usec_t record_silence(void *userdata, pa_usec_t now) {
    struct userdata *u = userdata;
    const pa_sample_spec *ss = &u->source->sample_spec;
    const size_t block_bytes =
        PA_MAX(pa_usec_to_bytes(PA_MIN(requested_latency(u), UNLINKED_BLOCK_USEC), ss), pa_frame_size(ss));
    const pa_usec_t block_usec = pa_bytes_to_usec(block_bytes, ss);

    if (u->io.unlinked_usec + 2 * UNLINKED_BLOCK_USEC < now)
        u->io.unlinked_usec = now;
    while (u->io.unlinked_usec + block_usec <= now) {
        post_silence(u, block_bytes);
        u->io.unlinked_usec += block_usec;
    }
    return u->io.unlinked_usec + block_usec;
}

/* ---- IO thread: the stream ---- */

static enum xen_stream_use source_use(void *userdata) {
    struct userdata *u = userdata;

    switch (u->source->thread_info.state) {
        case PA_SOURCE_RUNNING:
            return XEN_STREAM_RUNNING;
        case PA_SOURCE_IDLE:
            return XEN_STREAM_IDLE;
        default:
            return XEN_STREAM_OFF;
    }
}

/* Posts what is there: a copy, as the granted pages are filled again while the clients read. */
static void post_samples(struct userdata *u) {
    struct sndif_recorder *recorder = &u->io.recorder;

    for (;;) {
        uint64_t length =
            pa_frame_align(pa_mempool_block_size_max(u->core->mempool), &u->source->sample_spec);
        const void *samples = sndif_recorder_samples(recorder, &length);
        pa_memchunk chunk = {.length = (size_t) length};

        if (length == 0)
            return;
        chunk.memblock = pa_memblock_new(u->core->mempool, chunk.length);
        memcpy(pa_memblock_acquire(chunk.memblock), samples, chunk.length);
        pa_memblock_release(chunk.memblock);
        sndif_recorder_took(recorder, length); /* before clients ask how old the next sample is */
        pa_source_post(u->source, &chunk);
        pa_memblock_unref(chunk.memblock);
    }
}

static void process_stream(void *userdata, pa_usec_t now) {
    struct userdata *u = userdata;

    if (!u->xen.linked)
        return;
    sndif_recorder_process(&u->io.recorder, now);
    if (u->io.recorder.session.state == SESSION_RUNNING)
        post_samples(u);
}

static void prepare_start(void *userdata, pa_usec_t now) {
    struct userdata *u = userdata;

    (void) now;
    sndif_recorder_wake_after(&u->io.recorder, u->io.fragment_bytes);
}

static void note_loss(struct userdata *u) {
    const struct sndif_recorder *recorder = &u->io.recorder;

    if (recorder->lost_bytes == 0 || u->io.loss_said)
        return;
    u->io.loss_said = true;
    xen_card_post_loss(u->xen.card, &u->xen.thread_mq,
                       sndif_session_bytes_to_usec(&recorder->session, recorder->lost_bytes));
}

/* A recording stream. Returns when to look again. */
static pa_usec_t run_stream(void *userdata, pa_usec_t now) {
    struct userdata *u = userdata;
    struct sndif_recorder *recorder = &u->io.recorder;

    if (source_use(u) == XEN_STREAM_RUNNING) {
        sndif_recorder_read(recorder, u->io.fragment_bytes);
        note_loss(u);
    } else {
        sndif_session_stop(&recorder->session, now);
    }
    return recorder->session.deadline_usec;
}

static bool is_quiet(void *userdata) {
    struct userdata *u = userdata;

    return !sndif_recorder_waits(&u->io.recorder);
}

static void update_fragment(struct userdata *u) {
    const size_t bytes = pa_usec_to_bytes(requested_latency(u), &u->source->sample_spec);

    u->io.fragment_bytes = PA_MAX(bytes, pa_frame_size(&u->source->sample_spec));
}

static void reset_recorder(void *userdata, struct sndif_frontend *front) {
    struct userdata *u = userdata;

    sndif_recorder_init(&u->io.recorder, front, u->args.format, u->args.ss.rate, u->args.ss.channels);
}

static void link_changed(void *userdata) {
    struct userdata *u = userdata;

    u->io.unlinked_usec = pa_rtclock_now();
    u->io.loss_said = false;
    update_fragment(u);
}

/* ---- the source ---- */

static bool source_in_use(void *userdata) {
    struct userdata *u = userdata;

    return u->source->state == PA_SOURCE_RUNNING;
}

static const struct xen_stream_ops ops = {
    .in_use = source_in_use,
    .use = source_use,
    .reset = reset_recorder,
    .changed = link_changed,
    .process = process_stream,
    .prepare = prepare_start,
    .run = run_stream,
    .quiet = is_quiet,
    .pass_time = record_silence,
    .impatient = true,
};

static int64_t latency_now(struct userdata *u) {
    const pa_usec_t now = pa_rtclock_now();

    if (xen_stream_is_up(&u->xen))
        return (int64_t) sndif_recorder_age_usec(&u->io.recorder, now);
    return now > u->io.unlinked_usec ? (int64_t) (now - u->io.unlinked_usec) : 0;
}

static int source_process_msg_cb(pa_msgobject *o, int code, void *data, int64_t offset, pa_memchunk *chunk) {
    struct userdata *u = PA_SOURCE(o)->userdata;

    if (code == PA_SOURCE_MESSAGE_GET_LATENCY) {
        *((int64_t *) data) = latency_now(u);
        return 0;
    }
    return pa_source_process_msg(o, code, data, offset, chunk);
}

static void source_update_requested_latency_cb(pa_source *s) {
    update_fragment(s->userdata);
}

static int create_source(struct userdata *u, pa_modargs *ma) {
    pa_source_new_data data;

    pa_source_new_data_init(&data);
    data.driver = __FILE__;
    data.module = u->module;
    pa_source_new_data_set_name(&data, pa_modargs_get_value(ma, "source_name", DEFAULT_SOURCE_NAME));
    data.namereg_fail = pa_modargs_get_value(ma, "source_name", NULL) != NULL;
    pa_source_new_data_set_sample_spec(&data, &u->args.ss);
    pa_source_new_data_set_channel_map(&data, &u->args.map);
    pa_proplist_sets(data.proplist, PA_PROP_DEVICE_DESCRIPTION, _("Xen Audio"));
    pa_proplist_sets(data.proplist, PA_PROP_DEVICE_CLASS, "sound");
    pa_proplist_sets(data.proplist, PA_PROP_DEVICE_BUS, "xen");
    pa_proplist_sets(data.proplist, PA_PROP_DEVICE_ICON_NAME, "audio-input-microphone");
    if (pa_modargs_get_proplist(ma, "source_properties", data.proplist, PA_UPDATE_REPLACE) < 0) {
        pa_log("Invalid source_properties=: expected name='value' pairs.");
        pa_source_new_data_done(&data);
        return -1;
    }
    u->source = pa_source_new(u->core, &data, PA_SOURCE_LATENCY | PA_SOURCE_DYNAMIC_LATENCY);
    pa_source_new_data_done(&data);
    if (!u->source) {
        pa_log("Creating the source failed; is source_name= taken?");
        return -1;
    }
    u->source->parent.process_msg = source_process_msg_cb;
    u->source->update_requested_latency = source_update_requested_latency_cb;
    u->source->userdata = u;
    pa_source_set_asyncmsgq(u->source, u->xen.thread_mq.inq);
    pa_source_set_rtpoll(u->source, u->xen.rtpoll);
    pa_source_set_latency_range(u->source, u->args.min_latency_usec, u->args.max_latency_usec);
    return 0;
}

/* ---- loading ---- */

/* All that can fail, in order; pa__done undoes it. */
static int load(struct userdata *u, pa_modargs *ma) {
    struct xenbus_stream_config config;

    if (xen_stream_init(&u->xen, u->module, pa_modargs_get_value(ma, "device", "0"), 'c', &ops, u,
                        &u->io.recorder.session) < 0 ||
        xen_card_read(u->xen.card, &config) < 0 ||
        xen_args_read(&u->args, u->core, ma, xen_card_devid(u->xen.card), &config, BUFFER_FRAGMENTS) < 0 ||
        create_source(u, ma) < 0)
        return -1;
    return xen_stream_start(&u->xen, "xen-source");
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
    pa_source_put(u->source);
    xen_card_connect(u->xen.card, &(struct xen_card_params) {.format = u->args.format,
                                                             .rate = u->args.ss.rate,
                                                             .channels = u->args.ss.channels,
                                                             .buffer_bytes = u->args.buffer_bytes});
    return 0;
}

int pa__get_n_used(pa_module *m) {
    struct userdata *u = m->userdata;

    return pa_source_linked_by(u->source);
}

void pa__done(pa_module *m) {
    struct userdata *u = m->userdata;

    if (!u)
        return;

    if (u->source)
        pa_source_unlink(u->source);
    xen_stream_done(&u->xen);
    if (u->source)
        pa_source_unref(u->source);
    pa_xfree(u);
    m->userdata = NULL;
}
