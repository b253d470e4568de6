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
    pa_memblock_release(chunk->memblock);
    return 0;
}

static void sink_input_process_rewind_cb(pa_sink_input *i, size_t length) {
    struct userdata *u = i->userdata;

    sndif_playback_push_back(u->playback.stream, length);
}

/* ---- main thread: the sink input ---- */

/* The guest's own volume and mute, below the slider that dom0's user moves. */
static void apply_guest_volume(struct userdata *u) {
    pa_cvolume volume;

    if (!u->playback.input)
        return;

    volume.channels = u->playback.input->sample_spec.channels;
    for (unsigned c = 0; c < volume.channels; c++)
        volume.values[c] = u->playback.guest_muted[c]
                               ? PA_VOLUME_MUTED
                               : pa_sw_volume_from_dB((double) u->playback.guest_millidecibel[c] / 1000.0);
    pa_sink_input_remove_volume_factor(u->playback.input, GUEST_VOLUME_KEY);
    pa_sink_input_add_volume_factor(u->playback.input, GUEST_VOLUME_KEY, &volume);
}

static void destroy_sink_input(struct userdata *u) {
    if (!u->playback.input)
        return;

    pa_sink_input_unlink(u->playback.input);
    pa_sink_input_unref(u->playback.input);
    u->playback.input = NULL;
}

/* The sink went away and nobody took us in: the guest sees time pass until there is a sink again. */
static void sink_input_kill_cb(pa_sink_input *i) {
    struct userdata *u = i->userdata;

    pa_log_info("Guest %s: its stream has lost its sink.", u->guest);
    destroy_sink_input(u);
}

static int create_sink_input(struct userdata *u) {
    pa_sink *sink = u->device ? pa_namereg_get(u->core, u->device, PA_NAMEREG_SINK) : NULL;
    pa_sink_input_new_data data;
    pa_sample_spec ss;
    pa_channel_map map;
    int r;

    pa_sink_input_new_data_init(&data);
    data.driver = __FILE__;
    data.module = u->module;
    data.flags = PA_SINK_INPUT_START_CORKED;
    xen_backend_describe(u, data.proplist, _("Playback"));
    xen_backend_spec(&u->playback.stream->params, &ss, &map);
    pa_sink_input_new_data_set_sample_spec(&data, &ss);
    pa_sink_input_new_data_set_channel_map(&data, &map);
    if (sink)
        pa_sink_input_new_data_set_sink(&data, sink, false, true);
    r = pa_sink_input_new(&u->playback.input, u->core, &data);
    pa_sink_input_new_data_done(&data);
    if (r < 0)
        return r;

    u->playback.input->userdata = u;
    u->playback.input->pop = sink_input_pop_cb;
    u->playback.input->process_rewind = sink_input_process_rewind_cb;
    u->playback.input->kill = sink_input_kill_cb;
    if (u->latency_usec > 0)
        pa_sink_input_set_requested_latency(u->playback.input, u->latency_usec);
    pa_sink_input_put(u->playback.input);
    apply_guest_volume(u);
    return 0;
}

/* A stream without a sink plays into nothing, by the clock; that is no error the guest should see. */
static void ensure_sink_input(struct userdata *u) {
    int r;

    if (u->playback.input || !u->playback.stream)
        return;
    r = create_sink_input(u);
    if (r < 0)
        pa_log_info("Guest %s: no sink takes its stream (%s); it plays into nothing until there is one.",
                    u->guest, pa_strerror(-r));
    else if (u->started)
        pa_sink_input_cork(u->playback.input, false);
}

static pa_hook_result_t sink_put_cb(pa_core *core, pa_sink *sink, struct userdata *u) {
    (void) core, (void) sink;
    ensure_sink_input(u);
    return PA_HOOK_OK;
}

/* ---- main thread: what the stream thread asks ---- */

static void set_latency(struct userdata *u) {
    if (u->playback.input && u->latency_usec > 0)
        pa_sink_input_set_requested_latency(u->playback.input, u->latency_usec);
}

static void open_stream(struct userdata *u, const struct sndif_backend_command *c) {
    u->playback.stream = c->playback;
    ensure_sink_input(u);
}

static void run(struct userdata *u) {
    if (u->playback.input)
        pa_sink_input_cork(u->playback.input, !u->started);
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
    xen_backend_write_number(
        u, "latency-usec",
        sndif_playback_latency_usec(stream, atomic_load(&stream->write_bytes), pa_rtclock_now()));
}

static void attach(struct userdata *u) {
    xen_backend_write(u, "underruns", "0");
    xen_backend_write(u, "late-bytes", "0");
    u->playback.sink_put_slot =
        pa_hook_connect(&u->core->hooks[PA_CORE_HOOK_SINK_PUT], PA_HOOK_LATE, (pa_hook_cb_t) sink_put_cb, u);
}

static void detach(struct userdata *u) {
    if (u->playback.sink_put_slot)
        pa_hook_slot_free(u->playback.sink_put_slot);
    u->playback.sink_put_slot = NULL;
    close_stream(u);
}

static void gone(struct userdata *u) {
    (void) u; /* the counters stay */
}

static bool in_use(const struct userdata *u) {
    return u->playback.input != NULL;
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
    .in_use = in_use,
};
