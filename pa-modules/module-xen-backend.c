/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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

#include "xen-backend.h"
#include "xen-pa-util.h"

PA_MODULE_AUTHOR("xen-audio");
PA_MODULE_DESCRIPTION(_("Plays or records one stream of a Xen guest"));
PA_MODULE_VERSION(PACKAGE_VERSION);
PA_MODULE_LOAD_ONCE(false);
PA_MODULE_USAGE(
    "type=<p: playback, or c: capture> domid=<the guest's> devid=<card> pcm=<device> stream=<stream> "
    "ring_ref=<grant> event_channel=<port> evt_ring_ref=<grant> evt_event_channel=<port> "
    "guest=<name> uuid=<of the VM> "
    "formats=<list as in sample-formats> rates=<list as in sample-rates, empty: any> "
    "rate_min=<Hz> rate_max=<Hz> channels_min=<number> channels_max=<number> buffer_max=<octets> "
    "linux_quirks=<0|1> latency=<0|1> wakeup=<0|1> rewind=<0|1> alive=<0|1> "
    "sink=<sink to play on, the default if omitted> "
    "source=<source to record from, the default if omitted; a monitor only if named> "
    "control=<xenstore directory for state, counters and consent>");

#define BUFFER_BYTES_MAX (4u * 1024u * 1024u)
#define BUFFER_FRAMES_MIN 64u
#define PERIOD_FRAMES_MIN 32u
#define TELL_USEC (30 * PA_USEC_PER_MSEC)
/* For this stream, and for PulseAudio's own clients and devices. */
#define DESCRIPTORS_KEPT 48u

static const char *const valid_modargs[] = {"type",          "domid",        "devid",
                                            "pcm",           "stream",       "ring_ref",
                                            "event_channel", "evt_ring_ref", "evt_event_channel",
                                            "guest",         "uuid",         "formats",
                                            "rates",         "rate_min",     "rate_max",
                                            "channels_min",  "channels_max", "buffer_max",
                                            "linux_quirks",  "latency",      "wakeup",
                                            "rewind",        "alive",        "sink",
                                            "source",        "control",      NULL};

/* ---- the guest ---- */

void xen_backend_describe(const struct userdata *u, pa_proplist *p, const char *media_name) {
    pa_proplist_sets(p, PA_PROP_MEDIA_NAME, media_name);
    pa_proplist_sets(p, PA_PROP_APPLICATION_NAME, u->guest);
    pa_proplist_setf(p, PA_PROP_APPLICATION_ID, "org.xenproject.Audio1.%s", u->uuid);
    pa_proplist_sets(p, PA_PROP_APPLICATION_ICON_NAME, "computer");
    pa_proplist_sets(p, PA_PROP_MEDIA_ICON_NAME, "computer");
    pa_proplist_sets(p, "xen.guest.name", u->guest);
    pa_proplist_sets(p, "xen.guest.uuid", u->uuid);
    pa_proplist_setf(p, "xen.guest.domid", "%u", u->config.domid);
    pa_proplist_setf(p, "xen.device", "vsnd-%u/%u/%u", u->devid, u->pcm, u->stream);
}

void xen_backend_spec(const struct sndif_params *params, pa_sample_spec *ss, pa_channel_map *map) {
    ss->format = xen_pa_format_from_sndif(params->format->id);
    ss->rate = params->rate;
    ss->channels = (uint8_t) params->channels;
    pa_channel_map_init_extend(map, ss->channels, PA_CHANNEL_MAP_ALSA);
}

/* ---- what the stream thread asks ---- */

static void ask_latency(struct userdata *u, uint64_t latency_usec) {
    u->guest_latency_usec = latency_usec;
    u->latency_usec = latency_usec;
    if (latency_usec > 0) /* else it is not known */
        u->latency_usec = PA_CLAMP(latency_usec, u->latency_min_usec, u->latency_max_usec);
    u->direction->set_latency(u);
}

const char *xen_backend_latency_range_node(struct userdata *u, const char *value) {
    uint32_t min = 0, max = UINT32_MAX;
    const char *rest;

    if (value && (!(rest = control_parse_order(value, &min)) ||
                  !control_parse_number(rest, UINT32_MAX, &max) || min > max))
        return "the least and the most latency in microseconds, with a space between them";
    u->latency_min_usec = min;
    u->latency_max_usec = max;
    ask_latency(u, u->guest_latency_usec);
    return NULL;
}

static void open_stream(struct userdata *u, const struct sndif_backend_command *c) {
    u->started = false;
    ask_latency(u, 0);
    u->direction->open(u, c);
}

static void start_stream(struct userdata *u, uint64_t latency_usec) {
    ask_latency(u, latency_usec);
    u->started = true;
    u->direction->run(u);
}

static void stop_stream(struct userdata *u) {
    u->started = false;
    u->direction->run(u);
}

static void close_stream(struct userdata *u) {
    if (u->started)
        stop_stream(u);
    u->direction->close(u);
}

/* ---- and what is told of that in the control directory, when the guest has its answer ---- */

static const struct sndif_params *params_of(const struct userdata *u) {
    if (u->config.capture)
        return u->capture.stream ? &u->capture.stream->params : NULL;
    return u->playback.stream ? &u->playback.stream->params : NULL;
}

static void tell(struct userdata *u) {
    xen_backend_write_format(u, params_of(u));
    u->direction->write_stats(u);
    xen_backend_write(u, "state", u->started ? u->direction->running_state : "connected");
}

static void tell_cb(pa_mainloop_api *a, pa_time_event *e, const struct timeval *tv, void *userdata) {
    struct userdata *u = userdata;

    (void) tv;
    a->time_free(e);
    u->tell_event = NULL;
    tell(u);
}

/*
 * A dozen nodes take milliseconds, and requests come in rows: a drain is a STOP and a CLOSE, and the guest's
 * program waits for both. So it is told when they are through.
 */
static void tell_soon(struct userdata *u) {
    xen_backend_run_stats(u, u->started);
    xen_level_update(u);
    if (!u->tell_event)
        u->tell_event = pa_core_rttime_new(u->core, pa_rtclock_now() + TELL_USEC, tell_cb, u);
}

static void tell_nothing(struct userdata *u) {
    if (u->tell_event)
        u->core->mainloop->time_free(u->tell_event);
    u->tell_event = NULL;
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
    tell_nothing(u);
    xen_backend_run_stats(u, false);
    xen_level_update(u);
    xen_backend_write_format(u, NULL);
    pa_snprintf(text, sizeof(text), "%s: %s", c->frontend_gone ? "lost" : "broken", c->reason);
    xen_backend_write(u, "state", text);
}

static void carry_out(struct userdata *u, struct sndif_backend_command *c) {
    const enum sndif_backend_command_type type =
        c->type; /* *c is the stream thread's once it has its answer */

    switch (type) {
        case SNDIF_BACKEND_OPEN:
            open_stream(u, c);
            break;
        case SNDIF_BACKEND_START:
            start_stream(u, c->latency_usec);
            break;
        case SNDIF_BACKEND_STOP:
            stop_stream(u);
            break;
        case SNDIF_BACKEND_CLOSE:
            close_stream(u);
            break;
        case SNDIF_BACKEND_SET_VOLUME:
            xen_backend_set_volume(u, c);
            break;
        case SNDIF_BACKEND_GET_VOLUME:
            xen_backend_get_volume(u, c);
            break;
        case SNDIF_BACKEND_SET_MUTE:
            xen_backend_set_mute(u, c);
            break;
        case SNDIF_BACKEND_LATENCY:
            ask_latency(u, c->latency_usec);
            return;
        case SNDIF_BACKEND_WIPED:
            xen_backend_wiped(u);
            return;
        case SNDIF_BACKEND_REFUSED:
            refused(u, c);
            return;
        case SNDIF_BACKEND_BROKEN:
            broken(u, c);
            return;
    }
    sndif_backend_reply(u->backend, 0);
    if (type <= SNDIF_BACKEND_CLOSE) /* it has opened, started, stopped or closed */
        tell_soon(u);
}

static void backend_event_cb(pa_mainloop_api *a, pa_io_event *e, int fd, pa_io_event_flags_t events,
                             void *userdata) {
    struct userdata *u = userdata;
    struct sndif_backend_command *c;

    (void) a, (void) e, (void) fd, (void) events;
    while ((c = sndif_backend_next(u->backend)))
        carry_out(u, c);
}

/* First thing in the stream thread: it serves what a sink's thread waits for. */
static void thread_started_cb(void *userdata) {
    struct userdata *u = userdata;

    if (u->core->realtime_scheduling)
        pa_thread_make_realtime(u->core->realtime_priority);
}

/* ---- loading ---- */

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

static int parse_type(struct userdata *u, pa_modargs *ma) {
    const char *type = pa_modargs_get_value(ma, "type", "p");

    if (!pa_streq(type, "p") && !pa_streq(type, "c")) {
        pa_log("type=%s: expected p (playback) or c (capture).", type);
        return -1;
    }
    u->config.capture = pa_streq(type, "c");
    u->direction = u->config.capture ? &xen_backend_capture : &xen_backend_playback;
    return 0;
}

static int parse_arguments(struct userdata *u, pa_modargs *ma) {
    struct sndif_backend_config *c = &u->config;

    if (parse_type(u, ma) < 0 || xen_pa_need_number(ma, "domid", 0, 0x7fef, &c->domid) < 0 ||
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
    xen_route_init(u, pa_modargs_get_value(ma, c->capture ? "source" : "sink", NULL));
    u->control = pa_xstrdup(pa_modargs_get_value(ma, "control", NULL));
    return parse_caps(ma, &c->caps);
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
        xen_backend_write(u, "state", text);
        return -1;
    }
    u->backend_event = u->core->mainloop->io_new(u->core->mainloop, sndif_backend_fd(u->backend),
                                                 PA_IO_EVENT_INPUT, backend_event_cb, u);
    u->direction->attach(u);
    xen_backend_watch_control(u);
    xen_volume_report(u);
    xen_route_is(u);
    xen_backend_write(u, "state", "connected");
    return 0;
}

/*
 * PulseAudio aborts when it runs out of file descriptors, and its own limit is 256: a guest more must not end what all
 * others play. Descriptors are given out from the lowest on, so a fresh one tells how many there are.
 */
static bool has_descriptors_left(void) {
    struct rlimit limit;
    int fd;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return true;
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && (rlim_t) fd + DESCRIPTORS_KEPT < limit.rlim_cur)
        return true;
    pa_log("PulseAudio may have %llu files open and has nearly as many: no further stream of a guest is "
           "served. Raise "
           "rlimit-nofile in its daemon.conf, and start it again.",
           (unsigned long long) limit.rlim_cur);
    return false;
}

int pa__init(pa_module *m) {
    struct userdata *u;
    pa_modargs *ma;

    pa_assert(m);
    m->userdata = u = pa_xnew0(struct userdata, 1);
    u->core = m->core;
    u->module = m;
    u->direction = &xen_backend_playback;
    u->latency_max_usec = UINT32_MAX;
    xen_volume_init(u);

    if (!(ma = pa_modargs_new(m->argument, valid_modargs))) {
        pa_log("Failed to parse the module's arguments \"%s\"; usage: %s", m->argument ? m->argument : "",
               pa__get_usage());
        goto fail;
    }
    if (parse_arguments(u, ma) < 0 || !has_descriptors_left() || xen_backend_open_control(u) < 0 ||
        connect_backend(u) < 0)
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

    return u->direction->volume(u) ? 1 : 0;
}

void pa__done(pa_module *m) {
    struct userdata *u = m->userdata;

    if (!u)
        return;

    if (u->backend_event)
        u->core->mainloop->io_free(u->backend_event);
    u->started = false;
    xen_level_update(u);
    tell_nothing(u);
    xen_backend_run_stats(u, false);
    u->direction->detach(u);
    sndif_backend_free(u->backend);
    if (u->backend) { /* the controller, if it was not it who unloads us, tells the frontend */
        u->direction->gone(u);
        xen_backend_write(u, "state", "lost: the backend module was unloaded");
    }
    xen_backend_close_control(u);
    xen_volume_done(u);
    xen_route_done(u);
    pa_xfree(u->guest);
    pa_xfree(u->uuid);
    pa_xfree(u->control);
    pa_xfree(u);
    m->userdata = NULL;
}
