/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include <pulse/error.h>
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
#include <pulsecore/namereg.h>
#include <pulsecore/sink-input.h>
#include <pulsecore/sink.h>

#include "sndif-backend.h"
#include "xen-pa-util.h"

PA_MODULE_AUTHOR("xen-audio");
PA_MODULE_DESCRIPTION(_("Plays one stream of a Xen guest"));
PA_MODULE_VERSION(PACKAGE_VERSION);
PA_MODULE_LOAD_ONCE(false);
PA_MODULE_USAGE("domid=<the guest's> devid=<card> pcm=<device> stream=<stream> "
                "ring_ref=<grant> event_channel=<port> evt_ring_ref=<grant> evt_event_channel=<port> "
                "guest=<name> uuid=<of the VM> "
                "formats=<list as in sample-formats> rates=<list as in sample-rates, empty: any> "
                "rate_min=<Hz> rate_max=<Hz> channels_min=<number> channels_max=<number> buffer_max=<octets> "
                "linux_quirks=<0|1> latency=<0|1> wakeup=<0|1> rewind=<0|1> alive=<0|1> "
                "sink=<sink to play on, the default if omitted> "
                "control=<xenstore directory for state and counters>");

#define BUFFER_BYTES_MAX (4u * 1024u * 1024u)
#define BUFFER_FRAMES_MIN 64u
#define PERIOD_FRAMES_MIN 32u
#define STATS_USEC (1 * PA_USEC_PER_SEC)
#define GUEST_VOLUME_KEY "xen-guest"

static const char *const valid_modargs[] = {
    "domid",      "devid",         "pcm",          "stream",
    "ring_ref",   "event_channel", "evt_ring_ref", "evt_event_channel",
    "guest",      "uuid",          "formats",      "rates",
    "rate_min",   "rate_max",      "channels_min", "channels_max",
    "buffer_max", "linux_quirks",  "latency",      "wakeup",
    "rewind",     "alive",         "sink",         "control",
    NULL};

struct userdata {
    pa_core *core;
    pa_module *module;
    uint32_t devid, pcm, stream;
    char *guest, *uuid, *sink_name, *control;
    struct sndif_backend_config config;

    struct sndif_backend *backend;
    pa_io_event *backend_event;
    pa_hook_slot *sink_put_slot;
    pa_sink_input *sink_input;
    struct sndif_playback *playback; /* open, or NULL */
    bool started;
    pa_usec_t latency_usec;

    int32_t guest_millidecibel[SNDIF_BACKEND_CHANNELS_MAX];
    bool guest_muted[SNDIF_BACKEND_CHANNELS_MAX];

    struct xs_handle *xs;
    pa_time_event *stats_event;
};

/* ---- xenstore: what is, for the controller and for people ---- */

static void write_control(struct userdata *u, const char *node, const char *value) {
    char path[512];

    if (!u->xs)
        return;
    pa_snprintf(path, sizeof(path), "%s/%s", u->control, node);
    if (!xs_write(u->xs, XBT_NULL, path, value, (unsigned) strlen(value)) && pa_log_ratelimit(PA_LOG_WARN))
        pa_log_warn("Guest %s: writing %s failed: %s", u->guest, path, pa_cstrerror(errno));
}

static void write_counter(struct userdata *u, const char *node, uint64_t value) {
    char text[24];

    pa_snprintf(text, sizeof(text), "%" PRIu64, value);
    write_control(u, node, text);
}

static void write_stats(struct userdata *u) {
    struct sndif_playback *playback = u->playback;

    if (!playback || !u->xs)
        return;
    write_counter(u, "underruns", atomic_load(&playback->stats.underruns));
    write_counter(u, "late-bytes", atomic_load(&playback->stats.late_bytes));
    write_counter(
        u, "latency-usec",
        sndif_playback_latency_usec(playback, atomic_load(&playback->write_bytes), pa_rtclock_now()));
}

static void stats_cb(pa_mainloop_api *a, pa_time_event *e, const struct timeval *tv, void *userdata) {
    struct userdata *u = userdata;

    (void) a, (void) tv;
    write_stats(u);
    pa_core_rttime_restart(u->core, e, pa_rtclock_now() + STATS_USEC);
}

/* Counters move only while the stream plays, and so does the timer. */
static void run_stats(struct userdata *u, bool run) {
    if (run && !u->stats_event && u->xs)
        u->stats_event = pa_core_rttime_new(u->core, pa_rtclock_now() + STATS_USEC, stats_cb, u);
    if (!run && u->stats_event) {
        u->core->mainloop->time_free(u->stats_event);
        u->stats_event = NULL;
    }
}

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
    sndif_playback_pull(u->playback, dst, length, pa_rtclock_now(), latency_of_next_frame(i));
    pa_memblock_release(chunk->memblock);
    return 0;
}

static void sink_input_process_rewind_cb(pa_sink_input *i, size_t length) {
    struct userdata *u = i->userdata;

    sndif_playback_push_back(u->playback, length);
}

/* ---- main thread: the sink input ---- */

/* The guest's own volume and mute, below the slider that dom0's user moves. */
static void apply_guest_volume(struct userdata *u) {
    pa_cvolume volume;

    if (!u->sink_input)
        return;

    volume.channels = u->sink_input->sample_spec.channels;
    for (unsigned c = 0; c < volume.channels; c++)
        volume.values[c] = u->guest_muted[c]
                               ? PA_VOLUME_MUTED
                               : pa_sw_volume_from_dB((double) u->guest_millidecibel[c] / 1000.0);
    pa_sink_input_remove_volume_factor(u->sink_input, GUEST_VOLUME_KEY);
    pa_sink_input_add_volume_factor(u->sink_input, GUEST_VOLUME_KEY, &volume);
}

static void destroy_sink_input(struct userdata *u) {
    if (!u->sink_input)
        return;

    pa_sink_input_unlink(u->sink_input);
    pa_sink_input_unref(u->sink_input);
    u->sink_input = NULL;
}

/* The sink went away and nobody took us in: the guest sees time pass until there is a sink again. */
static void sink_input_kill_cb(pa_sink_input *i) {
    struct userdata *u = i->userdata;

    pa_log_info("Guest %s: its stream has lost its sink.", u->guest);
    destroy_sink_input(u);
}

static void describe(struct userdata *u, pa_proplist *p) {
    pa_proplist_sets(p, PA_PROP_MEDIA_NAME, _("Playback"));
    pa_proplist_sets(p, PA_PROP_APPLICATION_NAME, u->guest);
    pa_proplist_setf(p, PA_PROP_APPLICATION_ID, "org.xenproject.Audio1.%s", u->uuid);
    pa_proplist_sets(p, PA_PROP_APPLICATION_ICON_NAME, "computer");
    pa_proplist_sets(p, PA_PROP_MEDIA_ICON_NAME, "computer");
    pa_proplist_sets(p, "xen.guest.name", u->guest);
    pa_proplist_sets(p, "xen.guest.uuid", u->uuid);
    pa_proplist_setf(p, "xen.guest.domid", "%u", u->config.domid);
    pa_proplist_setf(p, "xen.device", "vsnd-%u/%u/%u", u->devid, u->pcm, u->stream);
}

static int create_sink_input(struct userdata *u) {
    const struct sndif_params *params = &u->playback->params;
    pa_sample_spec ss = {.format = xen_pa_format_from_sndif(params->format->id),
                         .rate = params->rate,
                         .channels = (uint8_t) params->channels};
    pa_sink *sink = u->sink_name ? pa_namereg_get(u->core, u->sink_name, PA_NAMEREG_SINK) : NULL;
    pa_sink_input_new_data data;
    pa_channel_map map;
    int r;

    pa_sink_input_new_data_init(&data);
    data.driver = __FILE__;
    data.module = u->module;
    data.flags = PA_SINK_INPUT_START_CORKED;
    describe(u, data.proplist);
    pa_sink_input_new_data_set_sample_spec(&data, &ss);
    pa_channel_map_init_extend(&map, ss.channels, PA_CHANNEL_MAP_ALSA);
    pa_sink_input_new_data_set_channel_map(&data, &map);
    if (sink)
        pa_sink_input_new_data_set_sink(&data, sink, false, true);
    r = pa_sink_input_new(&u->sink_input, u->core, &data);
    pa_sink_input_new_data_done(&data);
    if (r < 0)
        return r;

    u->sink_input->userdata = u;
    u->sink_input->pop = sink_input_pop_cb;
    u->sink_input->process_rewind = sink_input_process_rewind_cb;
    u->sink_input->kill = sink_input_kill_cb;
    if (u->latency_usec > 0)
        pa_sink_input_set_requested_latency(u->sink_input, u->latency_usec);
    pa_sink_input_put(u->sink_input);
    apply_guest_volume(u);
    return 0;
}

/* A stream without a sink plays into nothing, by the clock; that is no error the guest should see. */
static void ensure_sink_input(struct userdata *u) {
    int r;

    if (u->sink_input || !u->playback)
        return;
    r = create_sink_input(u);
    if (r < 0)
        pa_log_info("Guest %s: no sink takes its stream (%s); it plays into nothing until there is one.",
                    u->guest, pa_strerror(-r));
    else if (u->started)
        pa_sink_input_cork(u->sink_input, false);
}

static pa_hook_result_t sink_put_cb(pa_core *core, pa_sink *sink, struct userdata *u) {
    (void) core, (void) sink;
    ensure_sink_input(u);
    return PA_HOOK_OK;
}

/* ---- main thread: what the stream thread asks ---- */

static void ask_latency(struct userdata *u, uint64_t latency_usec) {
    u->latency_usec = latency_usec;
    if (u->sink_input && latency_usec > 0)
        pa_sink_input_set_requested_latency(u->sink_input, latency_usec);
}

static int open_stream(struct userdata *u, struct sndif_playback *playback) {
    u->playback = playback;
    u->started = false;
    ask_latency(u, 0);
    ensure_sink_input(u);
    return 0;
}

static int start_stream(struct userdata *u, uint64_t latency_usec) {
    ask_latency(u, latency_usec);
    u->started = true;
    if (u->sink_input)
        pa_sink_input_cork(u->sink_input, false);
    else
        ensure_sink_input(u);
    write_control(u, "state", "playing");
    run_stats(u, true);
    return 0;
}

static int stop_stream(struct userdata *u) {
    u->started = false;
    if (u->sink_input)
        pa_sink_input_cork(u->sink_input, true);
    run_stats(u, false);
    write_stats(u);
    write_control(u, "state", "connected");
    return 0;
}

static int close_stream(struct userdata *u) {
    if (u->started)
        stop_stream(u);
    destroy_sink_input(u);
    u->playback = NULL;
    return 0;
}

static int set_volume(struct userdata *u, const struct sndif_backend_command *c) {
    for (unsigned i = 0; i < u->playback->params.channels; i++)
        u->guest_millidecibel[i] = PA_MIN(c->millidecibel[i], 0); /* a guest turns itself down, never up */
    apply_guest_volume(u);
    return 0;
}

static int set_mute(struct userdata *u, const struct sndif_backend_command *c) {
    for (unsigned i = 0; i < u->playback->params.channels; i++)
        if (c->affected[i])
            u->guest_muted[i] = c->mute;
    apply_guest_volume(u);
    return 0;
}

/* The guest is told a number only; the reason stands here. */
static void refused(struct userdata *u, const struct sndif_backend_command *c) {
    if (pa_log_ratelimit(PA_LOG_WARN))
        pa_log_warn("Guest %s, vsnd-%u/%u/%u: its OPEN is refused: %s.", u->guest, u->devid, u->pcm,
                    u->stream, c->reason);
}

static void broken(struct userdata *u, const struct sndif_backend_command *c) {
    char text[128];

    if (c->frontend_gone)
        pa_log_info("Guest %s, vsnd-%u/%u/%u: %s.", u->guest, u->devid, u->pcm, u->stream, c->reason);
    else
        pa_log_warn("Guest %s, vsnd-%u/%u/%u: %s; its stream is closed.", u->guest, u->devid, u->pcm,
                    u->stream, c->reason);
    close_stream(u);
    pa_snprintf(text, sizeof(text), "%s: %s", c->frontend_gone ? "lost" : "broken", c->reason);
    write_control(u, "state", text);
}

static int carry_out(struct userdata *u, struct sndif_backend_command *c) {
    switch (c->type) {
        case SNDIF_BACKEND_OPEN:
            return open_stream(u, c->playback);
        case SNDIF_BACKEND_START:
            return start_stream(u, c->latency_usec);
        case SNDIF_BACKEND_STOP:
            return stop_stream(u);
        case SNDIF_BACKEND_CLOSE:
            return close_stream(u);
        case SNDIF_BACKEND_SET_VOLUME:
            return set_volume(u, c);
        case SNDIF_BACKEND_GET_VOLUME:
            memcpy(c->millidecibel, u->guest_millidecibel, sizeof(c->millidecibel));
            return 0;
        case SNDIF_BACKEND_SET_MUTE:
            return set_mute(u, c);
        case SNDIF_BACKEND_LATENCY:
        case SNDIF_BACKEND_REFUSED:
        case SNDIF_BACKEND_BROKEN:
            break;
    }
    return -EINVAL;
}

static void backend_event_cb(pa_mainloop_api *a, pa_io_event *e, int fd, pa_io_event_flags_t events,
                             void *userdata) {
    struct userdata *u = userdata;
    struct sndif_backend_command *c;

    (void) a, (void) e, (void) fd, (void) events;
    while ((c = sndif_backend_next(u->backend))) {
        if (c->type == SNDIF_BACKEND_LATENCY)
            ask_latency(u, c->latency_usec);
        else if (c->type == SNDIF_BACKEND_REFUSED)
            refused(u, c);
        else if (c->type == SNDIF_BACKEND_BROKEN)
            broken(u, c);
        else
            sndif_backend_reply(u->backend, carry_out(u, c));
    }
}

/* First thing in the stream thread: it serves what a sink's thread waits for. */
static void thread_started_cb(void *userdata) {
    struct userdata *u = userdata;

    if (u->core->realtime_scheduling)
        pa_thread_make_realtime(u->core->realtime_priority);
}

/* ---- main thread: loading ---- */

static int parse_caps(pa_modargs *ma, struct sndif_caps *caps) {
    const char *formats = pa_modargs_get_value(ma, "formats", "");
    const char *rates = pa_modargs_get_value(ma, "rates", "");

    caps->rate_min = 8000;
    caps->rate_max = 192000;
    caps->channels_min = 1;
    caps->channels_max = 8;
    caps->buffer_max_bytes = 65536;
    caps->buffer_min_frames = BUFFER_FRAMES_MIN;
    caps->period_min_frames = PERIOD_FRAMES_MIN;
    caps->formats = sndif_format_parse_list(formats);
    if (caps->formats == 0) {
        pa_log("formats=%s: expected at least one of sndif's names, as in \"s16_le,s32_le\".", formats);
        return -1;
    }
    if (sndif_rates_parse_list(rates, &caps->rates) < 0) {
        pa_log("rates=%s: expected rates in Hz with commas between them, as in \"44100,48000\", or nothing.",
               rates);
        return -1;
    }
    if (xen_pa_get_number(ma, "rate_min", 1000, 768000, &caps->rate_min) < 0 ||
        xen_pa_get_number(ma, "rate_max", caps->rate_min, 768000, &caps->rate_max) < 0 ||
        xen_pa_get_number(ma, "channels_min", 1, PA_CHANNELS_MAX, &caps->channels_min) < 0 ||
        xen_pa_get_number(ma, "channels_max", caps->channels_min, PA_CHANNELS_MAX, &caps->channels_max) < 0)
        return -1;
    return xen_pa_get_number(ma, "buffer_max", SNDIF_PAGE_BYTES, BUFFER_BYTES_MAX, &caps->buffer_max_bytes);
}

static int get_flag(pa_modargs *ma, const char *name, bool *flag) {
    uint32_t n = 0;
    int r = xen_pa_get_number(ma, name, 0, 1, &n);

    *flag = n == 1;
    return r;
}

static int parse_arguments(struct userdata *u, pa_modargs *ma) {
    struct sndif_backend_config *c = &u->config;

    if (xen_pa_need_number(ma, "domid", 0, 0x7fef, &c->domid) < 0 ||
        xen_pa_need_number(ma, "devid", 0, UINT16_MAX, &u->devid) < 0 ||
        xen_pa_get_number(ma, "pcm", 0, UINT8_MAX, &u->pcm) < 0 ||
        xen_pa_get_number(ma, "stream", 0, UINT8_MAX, &u->stream) < 0 ||
        xen_pa_need_number(ma, "ring_ref", 1, UINT32_MAX, &c->ring_ref) < 0 ||
        xen_pa_need_number(ma, "event_channel", 1, UINT32_MAX, &c->event_channel) < 0 ||
        xen_pa_need_number(ma, "evt_ring_ref", 1, UINT32_MAX, &c->evt_ring_ref) < 0 ||
        xen_pa_need_number(ma, "evt_event_channel", 1, UINT32_MAX, &c->evt_event_channel) < 0 ||
        get_flag(ma, "linux_quirks", &c->linux_quirks) < 0 ||
        get_flag(ma, "latency", &c->feature_latency) < 0 || get_flag(ma, "wakeup", &c->feature_wakeup) < 0 ||
        get_flag(ma, "rewind", &c->feature_rewind) < 0 || get_flag(ma, "alive", &c->feature_alive) < 0)
        return -1;

    u->guest = pa_sprintf_malloc("%s", pa_modargs_get_value(ma, "guest", "Xen guest"));
    u->uuid = pa_xstrdup(pa_modargs_get_value(ma, "uuid", "unknown"));
    u->sink_name = pa_xstrdup(pa_modargs_get_value(ma, "sink", NULL));
    u->control = pa_xstrdup(pa_modargs_get_value(ma, "control", NULL));
    return parse_caps(ma, &c->caps);
}

static int open_control(struct userdata *u) {
    if (!u->control)
        return 0;
    u->xs = xs_open(0);
    if (!u->xs) {
        pa_log("Guest %s: connecting to xenstore failed: %s. Is xenstored running?", u->guest,
               pa_cstrerror(errno));
        return -1;
    }
    write_counter(u, "underruns", 0);
    write_counter(u, "late-bytes", 0);
    return 0;
}

static int connect_backend(struct userdata *u) {
    const char *what;
    int r;

    u->config.thread_started = thread_started_cb;
    u->config.userdata = u;
    r = sndif_backend_new(&u->backend, &u->config, &what);
    if (r < 0) {
        char text[160];

        pa_snprintf(text, sizeof(text), "broken: %s failed: %s", what, pa_cstrerror(-r));
        pa_log("Guest %s, vsnd-%u/%u/%u: %s.", u->guest, u->devid, u->pcm, u->stream, text);
        write_control(u, "state", text);
        return -1;
    }
    u->backend_event = u->core->mainloop->io_new(u->core->mainloop, sndif_backend_fd(u->backend),
                                                 PA_IO_EVENT_INPUT, backend_event_cb, u);
    u->sink_put_slot =
        pa_hook_connect(&u->core->hooks[PA_CORE_HOOK_SINK_PUT], PA_HOOK_LATE, (pa_hook_cb_t) sink_put_cb, u);
    write_control(u, "state", "connected");
    return 0;
}

int pa__init(pa_module *m) {
    struct userdata *u;
    pa_modargs *ma;

    pa_assert(m);
    m->userdata = u = pa_xnew0(struct userdata, 1);
    u->core = m->core;
    u->module = m;

    if (!(ma = pa_modargs_new(m->argument, valid_modargs))) {
        pa_log("Failed to parse the module's arguments \"%s\"; usage: %s", m->argument ? m->argument : "",
               pa__get_usage());
        goto fail;
    }
    if (parse_arguments(u, ma) < 0 || open_control(u) < 0 || connect_backend(u) < 0)
        goto fail;

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

    return u->sink_input ? 1 : 0;
}

void pa__done(pa_module *m) {
    struct userdata *u = m->userdata;

    if (!u)
        return;

    if (u->sink_put_slot)
        pa_hook_slot_free(u->sink_put_slot);
    if (u->backend_event)
        u->core->mainloop->io_free(u->backend_event);
    run_stats(u, false);
    destroy_sink_input(u); /* nobody pulls any more, so the backend may go */
    sndif_backend_free(u->backend);
    if (u->backend) /* the controller, if it was not it who unloads us, tells the frontend */
        write_control(u, "state", "lost: the backend module was unloaded");
    if (u->xs)
        xs_close(u->xs);
    pa_xfree(u->guest);
    pa_xfree(u->uuid);
    pa_xfree(u->sink_name);
    pa_xfree(u->control);
    pa_xfree(u);
    m->userdata = NULL;
}
