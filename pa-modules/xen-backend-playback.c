/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "xen-backend.h"

#include <string.h>

#include <pulse/error.h>
#include <pulse/rtclock.h>

#include <pulsecore/core-util.h>
#include <pulsecore/i18n.h>
#include <pulsecore/log.h>
#include <pulsecore/macro.h>
#include <pulsecore/namereg.h>
#include <pulsecore/sink.h>

#define GUEST_VOLUME_KEY "xen-guest"

/* ---- IO thread of the sink ---- */

static int64_t latency_of_next_frame(pa_sink_input *i) {
    int64_t usec = pa_sink_get_latency_within_thread(i->sink, true);

    usec += (int64_t) pa_bytes_to_usec(pa_memblockq_get_length(i->thread_info.render_memblockq),
                                       &i->sink->sample_spec);
    if (i->thread_info.resampler)
        usec += (int64_t) pa_resampler_get_delay_usec(i->thread_info.resampler);
    return usec;
}

static int sink_input_pop_cb(pa_sink_input *i, size_t length, pa_memchunk *chunk) {
    struct userdata *u = i->userdata;
    void *dst;

    length = PA_MIN(pa_frame_align(length, &i->sample_spec),
                    pa_frame_align(pa_mempool_block_size_max(i->core->mempool), &i->sample_spec));
    length = PA_MAX(length, pa_frame_size(&i->sample_spec));
    chunk->memblock = pa_memblock_new(i->core->mempool, length);
    chunk->index = 0;
    chunk->length = length;
    dst = pa_memblock_acquire(chunk->memblock);
    sndif_playback_pull(u->playback.stream, dst, length, pa_rtclock_now(), latency_of_next_frame(i));
    xen_level_measure(&u->level, dst, length);
    pa_memblock_release(chunk->memblock);
    return 0;
}

static void sink_input_process_rewind_cb(pa_sink_input *i, size_t length) {
    struct userdata *u = i->userdata;

    sndif_playback_push_back(u->playback.stream, length);
}

/* ---- main thread: the sink input ---- */

void xen_backend_guest_factor(const struct userdata *u, pa_cvolume *factor) {
    factor->channels = u->playback.input->sample_spec.channels;
    for (unsigned c = 0; c < factor->channels; c++)
        factor->values[c] = u->playback.guest_muted[c]
                                ? PA_VOLUME_MUTED
                                : pa_sw_volume_from_dB((double) u->playback.guest_millidecibel[c] / 1000.0);
}

/* The guest's own volume and mute, below the slider that dom0's user moves. */
static void apply_guest_volume(struct userdata *u) {
    pa_sink_input *i = u->playback.input;
    pa_cvolume factor;

    if (!i)
        return;

    xen_backend_guest_factor(u, &factor);
    if (!pa_sink_flat_volume_enabled(i->sink)) /* the factor that keeps the cap goes: xen-backend-volume.c */
        i->real_ratio = i->volume;
    pa_sink_input_remove_volume_factor(i, GUEST_VOLUME_KEY);
    pa_sink_input_add_volume_factor(i, GUEST_VOLUME_KEY, &factor);
}

static void destroy_sink_input(struct userdata *u) {
    if (!u->playback.input)
        return;

    pa_sink_input_unlink(u->playback.input);
    pa_sink_input_unref(u->playback.input);
    u->playback.input = NULL;
    xen_route_is(u);
}

/* The sink went away and nobody took us in: the guest sees time pass until there is a sink again. */
static void sink_input_kill_cb(pa_sink_input *i) {
    struct userdata *u = i->userdata;

    pa_log_info("Guest %s: its stream has lost its sink.", u->guest);
    destroy_sink_input(u);
}

/* What the guest's stream is, and what it had or shall have. module-stream-restore neither overrides nor stores that. */
static void describe_sink_input(const struct userdata *u, pa_sink_input_new_data *data) {
    bool is_preferred;
    pa_sink *sink = xen_route_start(u, PA_NAMEREG_SINK, &is_preferred);
    pa_sample_spec ss;
    pa_channel_map map;
    pa_cvolume volume;

    data->driver = __FILE__;
    data->module = u->module;
    data->flags = PA_SINK_INPUT_START_CORKED;
    xen_backend_describe(u, data->proplist, _("Playback"));
    xen_backend_spec(&u->playback.stream->params, &ss, &map);
    pa_sink_input_new_data_set_sample_spec(data, &ss);
    pa_sink_input_new_data_set_channel_map(data, &map);
    if (sink)
        pa_sink_input_new_data_set_sink(data, sink, is_preferred, is_preferred);
    if (xen_volume_known(u, ss.channels, &volume)) {
        pa_sink_input_new_data_set_volume(data, &volume);
        data->volume_is_absolute = true; /* as flat volumes have it */
    }
    if (u->volume.mute_is_known)
        pa_sink_input_new_data_set_muted(data, u->volume.mute);
}

static int create_sink_input(struct userdata *u) {
    pa_sink_input_new_data data;
    pa_sink_input *i;
    int r;

    pa_sink_input_new_data_init(&data);
    describe_sink_input(u, &data);
    r = pa_sink_input_new(&u->playback.input, u->core, &data);
    pa_sink_input_new_data_done(&data);
    if (r < 0)
        return r;

    i = u->playback.input;
    i->userdata = u;
    i->pop = sink_input_pop_cb;
    i->process_rewind = sink_input_process_rewind_cb;
    i->kill = sink_input_kill_cb;
    xen_volume_adopt_input(u, i);
    if (u->latency_usec > 0)
        pa_sink_input_set_requested_latency(i, u->latency_usec);
    pa_sink_input_put(i);
    apply_guest_volume(u);
    xen_route_is(u);
    return 0;
}

/* A stream without a sink plays into nothing, by the clock; that is no error the guest should see. */
static void ensure_sink_input(struct userdata *u) {
    int r;

    if (u->playback.input || !u->playback.stream || u->playback.denied)
        return;
    r = create_sink_input(u);
    if (r < 0)
        pa_log_info("Guest %s: no sink takes its stream (%s); it plays into nothing until there is one.",
                    u->guest, pa_strerror(-r));
    else if (u->started)
        pa_sink_input_cork(u->playback.input, false);
}

static void follow_route(struct userdata *u) {
    bool is_preferred;
    pa_sink *sink = xen_route_start(u, PA_NAMEREG_SINK, &is_preferred);

    if (u->playback.input && sink)
        pa_sink_input_set_preferred_sink(u->playback.input, is_preferred ? sink : NULL);
}

static pa_hook_result_t sink_put_cb(pa_core *core, pa_sink *sink, struct userdata *u) {
    bool is_preferred;

    (void) core;
    ensure_sink_input(u);
    if (xen_route_start(u, PA_NAMEREG_SINK, &is_preferred) == sink && is_preferred)
        follow_route(u);
    return PA_HOOK_OK;
}

static pa_hook_result_t moved_cb(pa_core *core, pa_sink_input *i, struct userdata *u) {
    (void) core;
    if (i == u->playback.input)
        xen_route_is(u);
    return PA_HOOK_OK;
}

/* ---- main thread: what the controller may change ---- */

static const pa_cvolume *volume_of(const struct userdata *u) {
    return u->playback.input ? &u->playback.input->volume : NULL;
}

static const char *device_of(const struct userdata *u) {
    return u->playback.input && u->playback.input->sink ? u->playback.input->sink->name : NULL;
}

static const char *preferred_device_of(const struct userdata *u) {
    return u->playback.input ? u->playback.input->preferred_sink : NULL;
}

static void set_volume(struct userdata *u, const pa_cvolume *volume) {
    if (u->playback.input && u->playback.input->volume_writable)
        pa_sink_input_set_volume(u->playback.input, volume, false, true);
}

static void set_mute(struct userdata *u, bool mute) {
    if (u->playback.input)
        pa_sink_input_set_mute(u->playback.input, mute, false);
}

const char *xen_backend_playback_node(struct userdata *u, const char *value) {
    bool allowed = true;

    if (value && !control_parse_flag(value, &allowed))
        return "0 or 1";
    if (allowed != u->playback.denied)
        return NULL;
    u->playback.denied = !allowed;
    pa_log_info("Guest %s, vsnd-%u/%u/%u: %s play.", u->guest, u->devid, u->pcm, u->stream,
                allowed ? "may" : "may not");
    if (allowed)
        ensure_sink_input(u);
    else
        destroy_sink_input(u);
    return NULL;
}

/* ---- main thread: what the stream thread asks ---- */

static void set_latency(struct userdata *u) {
    if (u->playback.input && u->latency_usec > 0)
        pa_sink_input_set_requested_latency(u->playback.input, u->latency_usec);
}

static void open_stream(struct userdata *u, const struct sndif_backend_command *c) {
    u->playback.stream = c->playback;
    xen_level_open(u, &c->playback->params);
    ensure_sink_input(u);
}

/*
 * A sink rewinds what a corked stream had ahead after it has taken the order to cork, and before it takes the next. The
 * answer to STOP must wait for that: the stream thread discards then, and nothing may come back to what plays next.
 */
static void cork(pa_sink_input *i) {
    pa_sink_input_cork(i, true);
    if (i->sink) /* it may be on its way from one to another */
        pa_sink_input_get_latency(i, NULL);
}

static void run(struct userdata *u) {
    if (u->playback.input && u->started)
        pa_sink_input_cork(u->playback.input, false);
    else if (u->playback.input)
        cork(u->playback.input);
    else if (u->started)
        ensure_sink_input(u);
}

static void close_stream(struct userdata *u) {
    destroy_sink_input(u);
    u->playback.stream = NULL;
}

void xen_backend_set_volume(struct userdata *u, const struct sndif_backend_command *c) {
    /* a guest turns itself down, never up */
    for (unsigned i = 0; i < u->playback.stream->params.channels; i++)
        u->playback.guest_millidecibel[i] = PA_MIN(c->millidecibel[i], 0);
    apply_guest_volume(u);
}

void xen_backend_get_volume(const struct userdata *u, struct sndif_backend_command *c) {
    memcpy(c->millidecibel, u->playback.guest_millidecibel, sizeof(c->millidecibel));
}

void xen_backend_set_mute(struct userdata *u, const struct sndif_backend_command *c) {
    for (unsigned i = 0; i < u->playback.stream->params.channels; i++)
        if (c->affected[i])
            u->playback.guest_muted[i] = c->mute;
    apply_guest_volume(u);
}

/* ---- main thread: life ---- */

static void write_stats(struct userdata *u) {
    struct sndif_playback *stream = u->playback.stream;

    if (!stream || !u->xs)
        return;
    xen_backend_write_number(u, "underruns", atomic_load(&stream->stats.underruns));
    xen_backend_write_number(u, "late-bytes", atomic_load(&stream->stats.late_bytes));
    xen_backend_write_number(u, "position-frames",
                             atomic_load(&stream->position_bytes) / stream->params.frame_bytes);
    xen_backend_write_number(
        u, "latency-usec",
        sndif_playback_latency_usec(stream, atomic_load(&stream->write_bytes), pa_rtclock_now()));
}

static void attach(struct userdata *u) {
    u->playback.sink_put_slot =
        pa_hook_connect(&u->core->hooks[PA_CORE_HOOK_SINK_PUT], PA_HOOK_LATE, (pa_hook_cb_t) sink_put_cb, u);
    u->playback.moved_slot = pa_hook_connect(&u->core->hooks[PA_CORE_HOOK_SINK_INPUT_MOVE_FINISH],
                                             PA_HOOK_LATE, (pa_hook_cb_t) moved_cb, u);
}

static void detach(struct userdata *u) {
    if (u->playback.sink_put_slot)
        pa_hook_slot_free(u->playback.sink_put_slot);
    if (u->playback.moved_slot)
        pa_hook_slot_free(u->playback.moved_slot);
    u->playback.sink_put_slot = u->playback.moved_slot = NULL;
    if (u->playback.stream)
        close_stream(u);
}

static void gone(struct userdata *u) {
    (void) u; /* the counters stay */
}

const struct xen_direction xen_backend_playback = {
    .running_state = "playing",
    .attach = attach,
    .detach = detach,
    .gone = gone,
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
