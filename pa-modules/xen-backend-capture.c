/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "xen-backend.h"

#include <pulse/error.h>
#include <pulse/rtclock.h>

#include <pulsecore/core-util.h>
#include <pulsecore/i18n.h>
#include <pulsecore/log.h>
#include <pulsecore/macro.h>
#include <pulsecore/namereg.h>
#include <pulsecore/source.h>

/*
 * A source output exists only while the guest asks for one (`requested`) and may have one (`capture`). It is
 * `active` from when it exists until it is destroyed and what it captured is wiped:
 *
 *     none ----> output, active 1 ----> output destroyed, being wiped ----> none, active 0
 */

/* ---- IO thread of the source ---- */

/* While a block is posted, the server's latency is still the age of its first frame. */
static int64_t age_of_last_frame(const pa_source_output *o, const pa_memchunk *chunk) {
    const pa_usec_t chunk_usec = pa_bytes_to_usec(chunk->length, &o->sample_spec);
    int64_t usec = pa_source_get_latency_within_thread(o->source, true) - (int64_t) chunk_usec;
    pa_usec_t held_usec;

    if (o->thread_info.resampler)
        usec += (int64_t) pa_resampler_get_delay_usec(o->thread_info.resampler);
    if (o->source->thread_info.max_rewind > 0) { /* a monitor: held back until nobody rewinds it any more */
        held_usec = pa_bytes_to_usec(pa_memblockq_get_length(o->thread_info.delay_memblockq),
                                     &o->source->sample_spec);
        usec += (int64_t) (held_usec > chunk_usec ? held_usec - chunk_usec : 0);
    }
    return usec;
}

static void source_output_push_cb(pa_source_output *o, const pa_memchunk *chunk) {
    struct userdata *u = o->userdata;
    const uint8_t *samples = pa_memblock_acquire(chunk->memblock);

    if (sndif_capture_push(u->capture.stream, samples + chunk->index, chunk->length, pa_rtclock_now(),
                           age_of_last_frame(o, chunk)))
        sndif_backend_wake(u->backend);
    xen_level_measure(&u->level, samples + chunk->index, chunk->length);
    pa_memblock_release(chunk->memblock);
}

/* ---- main thread: the source output ---- */

/* What dom0 plays is no microphone: a guest hears it only if it has been named. */
static bool may_record_from(const struct userdata *u, const pa_source *source) {
    return !source->monitor_of || xen_route_names(u, source, PA_NAMEREG_SOURCE);
}

static bool source_output_may_move_to_cb(pa_source_output *o, pa_source *source) {
    return may_record_from(o->userdata, source);
}

static void unlink_source_output(struct userdata *u) {
    pa_source_output_unlink(u->capture.output);
    pa_source_output_unref(u->capture.output);
    u->capture.output = NULL;
    xen_route_is(u);
}

/* Ends the recording at once; xen_backend_wiped follows. */
static void dismiss_source(struct userdata *u) {
    if (!u->capture.output)
        return;

    unlink_source_output(u);
    u->capture.wiping = true;
    sndif_backend_revoke(u->backend);
}

/* The source went away and nobody took us in: the guest hears silence until there is a source again. */
static void source_output_kill_cb(pa_source_output *o) {
    struct userdata *u = o->userdata;

    pa_log_info("Guest %s: its stream has lost its source.", u->guest);
    dismiss_source(u);
}

/* The guest hears silence, which is no error it should see. Said once. */
static void miss_source(struct userdata *u, const char *reason) {
    if (!u->capture.source_is_missed)
        pa_log_info("Guest %s, vsnd-%u/%u/%u: may record, but hears silence until there is a source: %s.",
                    u->guest, u->devid, u->pcm, u->stream, reason);
    u->capture.source_is_missed = true;
}

static void output_volume_changed_cb(pa_source_output *o) {
    xen_volume_is(o->userdata, &o->volume);
}

static void output_mute_changed_cb(pa_source_output *o) {
    xen_mute_is(o->userdata, o->muted);
}

/* What the guest's stream is, and what it had or shall have. module-stream-restore neither overrides nor stores that. */
static void describe_source_output(const struct userdata *u, pa_source_output_new_data *data) {
    pa_channel_map map;
    pa_sample_spec ss;
    pa_cvolume volume;

    data->driver = __FILE__;
    data->module = u->module;
    xen_backend_describe(u, data->proplist, _("Recording"));
    xen_backend_spec(&u->capture.stream->params, &ss, &map);
    pa_source_output_new_data_set_sample_spec(data, &ss);
    pa_source_output_new_data_set_channel_map(data, &map);
    if (xen_volume_known(u, ss.channels, &volume)) {
        pa_source_output_new_data_set_volume(data, &volume);
        data->volume_is_absolute = true; /* as flat volumes have it */
    }
    if (u->volume.mute_is_known)
        pa_source_output_new_data_set_muted(data, u->volume.mute);
}

/* Made, but not yet running. NULL: there is no source for it. */
static pa_source_output *new_source_output(struct userdata *u, pa_source *source, bool is_preferred) {
    pa_source_output *output = NULL;
    pa_source_output_new_data data;
    int r;

    pa_source_output_new_data_init(&data);
    describe_source_output(u, &data);
    if (source)
        pa_source_output_new_data_set_source(&data, source, is_preferred, is_preferred);
    r = pa_source_output_new(&output, u->core, &data);
    pa_source_output_new_data_done(&data);
    if (r < 0)
        miss_source(u, pa_strerror(-r));
    return r < 0 ? NULL : output;
}

static bool create_source_output(struct userdata *u) {
    bool is_preferred;
    pa_source *source = xen_route_start(u, PA_NAMEREG_SOURCE, &is_preferred);
    pa_source_output *output;

    if (is_preferred && !source) {
        miss_source(u, "the one that is named for it does not exist");
        return false;
    }
    output = new_source_output(u, source, is_preferred);
    if (!output)
        return false;
    u->capture.output = output;
    if ((is_preferred && output->source != source) || !may_record_from(u, output->source)) {
        miss_source(u, "the default source is the monitor of a sink, and a guest must not hear what dom0 "
                       "plays unless that is named");
        unlink_source_output(u);
        return false;
    }
    output->userdata = u;
    output->push = source_output_push_cb;
    output->kill = source_output_kill_cb;
    output->may_move_to = source_output_may_move_to_cb;
    output->volume_changed = output_volume_changed_cb;
    output->mute_changed = output_mute_changed_cb;
    return true;
}

static void set_latency(struct userdata *u) {
    if (u->capture.output && u->latency_usec > 0)
        pa_source_output_set_requested_latency(u->capture.output, u->latency_usec);
}

/* Brings about what `requested` and `capture` ask for. */
static void reconcile(struct userdata *u) {
    if (!u->capture.stream || !u->started || !u->capture.allowed) {
        dismiss_source(u);
        return;
    }
    if (u->capture.output || u->capture.wiping || !create_source_output(u))
        return;

    u->capture.source_is_missed = false;
    pa_assert_se(sndif_capture_admit(u->capture.stream)); /* nothing is left to be wiped */
    set_latency(u);
    pa_source_output_put(u->capture.output);
    xen_volume_is(u, &u->capture.output->volume);
    xen_mute_is(u, u->capture.output->muted);
    xen_route_is(u);
    xen_backend_write(u, "active", "1");
}

static pa_hook_result_t default_source_changed_cb(pa_core *core, pa_source *source, struct userdata *u) {
    (void) core, (void) source;
    reconcile(u);
    return PA_HOOK_OK;
}

static void follow_route(struct userdata *u) {
    bool is_preferred;
    pa_source *source = xen_route_start(u, PA_NAMEREG_SOURCE, &is_preferred);

    u->capture.source_is_missed = false;
    if (u->capture.output && source)
        pa_source_output_set_preferred_source(u->capture.output, is_preferred ? source : NULL);
    else
        reconcile(u);
}

static pa_hook_result_t source_put_cb(pa_core *core, pa_source *source, struct userdata *u) {
    bool is_preferred;

    (void) core;
    reconcile(u);
    if (xen_route_start(u, PA_NAMEREG_SOURCE, &is_preferred) == source && is_preferred)
        follow_route(u);
    return PA_HOOK_OK;
}

static pa_hook_result_t moved_cb(pa_core *core, pa_source_output *o, struct userdata *u) {
    (void) core;
    if (o == u->capture.output)
        xen_route_is(u);
    return PA_HOOK_OK;
}

/* ---- main thread: what the controller may change ---- */

static const pa_cvolume *volume_of(const struct userdata *u) {
    return u->capture.output ? &u->capture.output->volume : NULL;
}

static const char *device_of(const struct userdata *u) {
    return u->capture.output && u->capture.output->source ? u->capture.output->source->name : NULL;
}

static const char *preferred_device_of(const struct userdata *u) {
    return u->capture.output ? u->capture.output->preferred_source : NULL;
}

static void set_volume(struct userdata *u, const pa_cvolume *volume) {
    if (u->capture.output && u->capture.output->volume_writable)
        pa_source_output_set_volume(u->capture.output, volume, false, true);
}

static void set_mute(struct userdata *u, bool mute) {
    if (u->capture.output)
        pa_source_output_set_mute(u->capture.output, mute, false);
}

/* ---- main thread: consent ---- */

/* Whatever is not clearly leave is none. */
const char *xen_backend_capture_node(struct userdata *u, const char *value) {
    bool allowed = false;
    const char *expected = value && !control_parse_flag(value, &allowed) ? "0 or 1" : NULL;

    if (allowed == u->capture.allowed)
        return expected;
    u->capture.allowed = allowed;
    u->capture.source_is_missed = false;
    pa_log_info("Guest %s, vsnd-%u/%u/%u: %s record.", u->guest, u->devid, u->pcm, u->stream,
                allowed ? "may" : "may no longer");
    reconcile(u);
    return expected;
}

/* ---- main thread: what the stream thread asks ---- */

static void open_stream(struct userdata *u, const struct sndif_backend_command *c) {
    u->capture.stream = c->capture;
    xen_level_open(u, &c->capture->params);
}

static void run(struct userdata *u) {
    xen_backend_write(u, "requested", u->started ? "1" : "0");
    u->capture.source_is_missed = false;
    reconcile(u);
}

static void close_stream(struct userdata *u) {
    dismiss_source(u);
    u->capture.stream = NULL;
}

void xen_backend_wiped(struct userdata *u) {
    u->capture.wiping = false;
    xen_backend_write(u, "active", "0");
    reconcile(u);
}

/* ---- main thread: life ---- */

static void write_stats(struct userdata *u) {
    struct sndif_capture *stream = u->capture.stream;

    if (!stream || !u->xs)
        return;
    xen_backend_write_number(u, "overruns", atomic_load(&stream->stats.overruns));
    xen_backend_write_number(u, "position-frames",
                             atomic_load(&stream->position_bytes) / stream->params.frame_bytes);
    xen_backend_write_number(
        u, "latency-usec",
        sndif_capture_latency_usec(stream, atomic_load(&stream->position_bytes), pa_rtclock_now()));
}

static void publish_nothing(struct userdata *u) {
    xen_backend_write(u, "requested", "0");
    xen_backend_write(u, "active", "0");
}

static void attach(struct userdata *u) {
    publish_nothing(u);
    /* the default source changes after a source's own hook, and may have been none for us before */
    u->capture.source_put_slot = pa_hook_connect(&u->core->hooks[PA_CORE_HOOK_SOURCE_PUT], PA_HOOK_LATE,
                                                 (pa_hook_cb_t) source_put_cb, u);
    u->capture.default_source_slot =
        pa_hook_connect(&u->core->hooks[PA_CORE_HOOK_DEFAULT_SOURCE_CHANGED], PA_HOOK_LATE,
                        (pa_hook_cb_t) default_source_changed_cb, u);
    u->capture.moved_slot = pa_hook_connect(&u->core->hooks[PA_CORE_HOOK_SOURCE_OUTPUT_MOVE_FINISH],
                                            PA_HOOK_LATE, (pa_hook_cb_t) moved_cb, u);
}

static void detach(struct userdata *u) {
    if (u->capture.source_put_slot)
        pa_hook_slot_free(u->capture.source_put_slot);
    if (u->capture.default_source_slot)
        pa_hook_slot_free(u->capture.default_source_slot);
    if (u->capture.moved_slot)
        pa_hook_slot_free(u->capture.moved_slot);
    u->capture.source_put_slot = u->capture.default_source_slot = u->capture.moved_slot = NULL;
    if (u->capture.stream)
        close_stream(u);
}

const struct xen_direction xen_backend_capture = {
    .running_state = "recording",
    .attach = attach,
    .detach = detach,
    .gone = publish_nothing,
    .open = open_stream,
    .run = run,
    .close = close_stream,
    .set_latency = set_latency,
    .write_stats = write_stats,
    .volume = volume_of,
    .device = device_of,
    .preferred_device = preferred_device_of,
    .set_volume = set_volume,
    .set_mute = set_mute,
    .follow_route = follow_route,
};
