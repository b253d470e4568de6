/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "xen-backend.h"

#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

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
    pa_memblock_release(chunk->memblock);
}

/* ---- main thread: the source output ---- */

/* What dom0 plays is no microphone: a guest hears it only if it has been named. */
static bool may_record_from(const struct userdata *u, const pa_source *source) {
    return u->device ? source == pa_namereg_get(u->core, u->device, PA_NAMEREG_SOURCE) : !source->monitor_of;
}

static bool source_output_may_move_to_cb(pa_source_output *o, pa_source *source) {
    const struct userdata *u = o->userdata;

    return !source->monitor_of || may_record_from(u, source);
}

static void unlink_source_output(struct userdata *u) {
    pa_source_output_unlink(u->capture.output);
    pa_source_output_unref(u->capture.output);
    u->capture.output = NULL;
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

/* Made, but not yet running. NULL: there is no source for it. */
static pa_source_output *new_source_output(struct userdata *u, pa_source *source) {
    pa_source_output *output = NULL;
    pa_source_output_new_data data;
    pa_channel_map map;
    pa_sample_spec ss;
    int r;

    pa_source_output_new_data_init(&data);
    data.driver = __FILE__;
    data.module = u->module;
    xen_backend_describe(u, data.proplist, _("Recording"));
    xen_backend_spec(&u->capture.stream->params, &ss, &map);
    pa_source_output_new_data_set_sample_spec(&data, &ss);
    pa_source_output_new_data_set_channel_map(&data, &map);
    if (source)
        pa_source_output_new_data_set_source(&data, source, false, true);
    r = pa_source_output_new(&output, u->core, &data);
    pa_source_output_new_data_done(&data);
    if (r < 0)
        miss_source(u, pa_strerror(-r));
    return r < 0 ? NULL : output;
}

static bool create_source_output(struct userdata *u) {
    pa_source *source = u->device ? pa_namereg_get(u->core, u->device, PA_NAMEREG_SOURCE) : NULL;

    if (u->device && !source) {
        miss_source(u, "the one named by source= does not exist");
        return false;
    }
    u->capture.output = new_source_output(u, source);
    if (!u->capture.output)
        return false;
    if (!may_record_from(u, u->capture.output->source)) {
        miss_source(u, "the default source is the monitor of a sink, and a guest must not hear what dom0 "
                       "plays unless source= names it");
        unlink_source_output(u);
        return false;
    }
    u->capture.output->userdata = u;
    u->capture.output->push = source_output_push_cb;
    u->capture.output->kill = source_output_kill_cb;
    u->capture.output->may_move_to = source_output_may_move_to_cb;
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
    xen_backend_write(u, "active", "1");
}

static pa_hook_result_t source_changed_cb(pa_core *core, pa_source *source, struct userdata *u) {
    (void) core, (void) source;
    reconcile(u);
    return PA_HOOK_OK;
}

/* ---- main thread: consent ---- */

static bool read_consent(struct userdata *u) {
    char path[512];
    unsigned length;
    char *value;
    bool allowed;

    pa_snprintf(path, sizeof(path), "%s/capture", u->control);
    value = xs_read(u->xs, XBT_NULL, path, &length);
    allowed = value && pa_streq(value, "1");
    free(value);
    return allowed;
}

static void update_consent(struct userdata *u) {
    const bool allowed = read_consent(u);

    if (allowed == u->capture.allowed)
        return;
    u->capture.allowed = allowed;
    u->capture.source_is_missed = false;
    pa_log_info("Guest %s, vsnd-%u/%u/%u: %s record.", u->guest, u->devid, u->pcm, u->stream,
                allowed ? "may" : "may no longer");
    reconcile(u);
}

static void consent_cb(pa_mainloop_api *a, pa_io_event *e, int fd, pa_io_event_flags_t events,
                       void *userdata) {
    struct userdata *u = userdata;
    char **event;

    (void) a, (void) e, (void) fd, (void) events;
    while ((event = xs_check_watch(u->xs)))
        free(event);
    update_consent(u);
}

/* Without a control directory nobody can consent, and the guest hears silence. */
static void watch_consent(struct userdata *u) {
    char path[512];

    if (!u->xs)
        return;
    pa_snprintf(path, sizeof(path), "%s/capture", u->control);
    if (!xs_watch(u->xs, path, "capture")) {
        pa_log("Guest %s: watching %s failed, so it will hear silence. May this domain read there?", u->guest,
               path);
        return;
    }
    u->capture.consent_event =
        u->core->mainloop->io_new(u->core->mainloop, xs_fileno(u->xs), PA_IO_EVENT_INPUT, consent_cb, u);
}

/* ---- main thread: what the stream thread asks ---- */

static void open_stream(struct userdata *u, const struct sndif_backend_command *c) {
    u->capture.stream = c->capture;
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
    xen_backend_write(u, "overruns", "0");
    /* the default source changes after a source's own hook, and may have been none for us before */
    u->capture.source_put_slot = pa_hook_connect(&u->core->hooks[PA_CORE_HOOK_SOURCE_PUT], PA_HOOK_LATE,
                                                 (pa_hook_cb_t) source_changed_cb, u);
    u->capture.default_source_slot = pa_hook_connect(&u->core->hooks[PA_CORE_HOOK_DEFAULT_SOURCE_CHANGED],
                                                     PA_HOOK_LATE, (pa_hook_cb_t) source_changed_cb, u);
    watch_consent(u);
}

static void detach(struct userdata *u) {
    if (u->capture.consent_event)
        u->core->mainloop->io_free(u->capture.consent_event);
    if (u->capture.source_put_slot)
        pa_hook_slot_free(u->capture.source_put_slot);
    if (u->capture.default_source_slot)
        pa_hook_slot_free(u->capture.default_source_slot);
    u->capture.consent_event = NULL;
    u->capture.source_put_slot = u->capture.default_source_slot = NULL;
    close_stream(u);
}

static bool in_use(const struct userdata *u) {
    return u->capture.output != NULL;
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
    .in_use = in_use,
};
