/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "xen-backend.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include <pulse/rtclock.h>
#include <pulse/timeval.h>

#include <pulsecore/core-error.h>
#include <pulsecore/core-rtclock.h>
#include <pulsecore/core-util.h>
#include <pulsecore/hashmap.h>
#include <pulsecore/idxset.h>
#include <pulsecore/log.h>

/* The control directory: what is, for the controller and for people; and what the controller wants. */

#define STATS_USEC (1 * PA_USEC_PER_SEC)
#define RECONNECT_MIN_USEC (500 * PA_USEC_PER_MSEC)
#define RECONNECT_MAX_USEC (10 * PA_USEC_PER_SEC)

static bool try_write(struct userdata *u, const char *node, const char *value) {
    char path[512];

    if (!u->xs)
        return false;
    pa_snprintf(path, sizeof(path), "%s/%s", u->control, node);
    if (xs_write(u->xs, XBT_NULL, path, value, (unsigned) strlen(value)))
        return true;
    if (pa_log_ratelimit(PA_LOG_WARN))
        pa_log_warn("Guest %s: writing %s failed: %s", u->guest, path, pa_cstrerror(errno));
    return false;
}

static pa_hashmap *new_values(void) {
    return pa_hashmap_new_full(pa_idxset_string_hash_func, pa_idxset_string_compare_func, pa_xfree, pa_xfree);
}

static void set_value(pa_hashmap *values, const char *node, const char *value) {
    pa_hashmap_remove_and_free(values, node);
    pa_hashmap_put(values, pa_xstrdup(node), pa_xstrdup(value));
}

/* What stands there already is not written again. What cannot be written now is kept, the last of each node, for the next
 * connection. */
void xen_backend_write(struct userdata *u, const char *node, const char *value) {
    if (!u->sent)
        return;
    pa_hashmap_remove_and_free(u->unsent, node);
    if (pa_safe_streq(pa_hashmap_get(u->sent, node), value))
        return;
    pa_hashmap_remove_and_free(u->sent, node); /* a write that fails may have been carried out all the same */
    set_value(try_write(u, node, value) ? u->sent : u->unsent, node, value);
}

static void write_unsent(struct userdata *u) {
    pa_hashmap *unsent = u->unsent;
    const void *node;
    void *state;
    const char *value;

    u->unsent = new_values();
    PA_HASHMAP_FOREACH_KV(node, value, unsent, state)
    xen_backend_write(u, node, value);
    pa_hashmap_free(unsent);
}

void xen_backend_write_number(struct userdata *u, const char *node, uint64_t value) {
    char text[24];

    pa_snprintf(text, sizeof(text), "%" PRIu64, value);
    xen_backend_write(u, node, text);
}

void xen_backend_write_format(struct userdata *u, const struct sndif_params *params) {
    xen_backend_write_number(u, "rate", params ? params->rate : 0);
    xen_backend_write_number(u, "channels", params ? params->channels : 0);
    xen_backend_write(u, "format", params ? params->format->name : "");
}

/* ---- what the controller writes ---- */

/* In the order they are first read: before anything sounds, it is known how loud it may be. */
static const struct control_node {
    const char *name;
    bool of_playback, of_capture;
    const char *(*changed)(struct userdata *u, const char *value);
} control_nodes[] = {
    {"volume-cap", true, false, xen_backend_volume_cap_node},
    {"volume-set", true, true, xen_backend_volume_set_node},
    {"mute-set", true, true, xen_backend_mute_set_node},
    {"device-set", true, true, xen_backend_device_set_node},
    {"levels", true, true, xen_backend_levels_node},
    {"latency-range", true, true, xen_backend_latency_range_node},
    {"playback", true, false, xen_backend_playback_node},
    {"capture", false, true, xen_backend_capture_node},
};

static void read_node(struct userdata *u, size_t index) {
    const struct control_node *node = &control_nodes[index];
    const unsigned bit = 1u << index;
    const char *expected;
    char path[512];
    unsigned length;
    char *value;

    if (u->config.capture ? !node->of_capture : !node->of_playback)
        return;
    pa_snprintf(path, sizeof(path), "%s/%s", u->control, node->name);
    value = xs_read(u->xs, XBT_NULL, path, &length);
    /* what cannot be read is as it was, but for leave to record, which nobody could take back */
    if (!value && errno != ENOENT && node->changed != xen_backend_capture_node)
        return;
    expected = node->changed(u, value);
    if (expected && !(u->malformed & bit))
        pa_log_warn("Guest %s: %s is \"%.100s\", expected %s.", u->guest, path, value, expected);
    u->malformed = expected ? u->malformed | bit : u->malformed & ~bit;
    free(value);
}

static void read_nodes(struct userdata *u) {
    for (size_t i = 0; i < PA_ELEMENTSOF(control_nodes); i++)
        read_node(u, i);
}

/* Most are of what we write ourselves. */
static void path_changed(struct userdata *u, const char *path) {
    const size_t length = strlen(u->control);

    if (strncmp(path, u->control, length) != 0)
        return;
    if (path[length] == '\0' && u->is_read)
        u->is_read = false;
    else if (path[length] == '\0') /* the directory itself */
        read_nodes(u);
    for (size_t i = 0; path[length] == '/' && i < PA_ELEMENTSOF(control_nodes); i++)
        if (pa_streq(path + length + 1, control_nodes[i].name))
            read_node(u, i);
}

static void reconnect_later(struct userdata *u);

static void disconnect(struct userdata *u) {
    if (u->watch_event)
        u->core->mainloop->io_free(u->watch_event);
    u->watch_event = NULL;
    if (u->xs)
        xs_close(u->xs);
    u->xs = NULL;
}

/* What plays goes on, but nobody could take leave to record back meanwhile. */
static void lose_control(struct userdata *u) {
    pa_log(
        "Guest %s, vsnd-%u/%u/%u: xenstore has closed the connection; until there is another, the controller "
        "is not heard%s.",
        u->guest, u->devid, u->pcm, u->stream, u->config.capture ? ", and the guest hears silence" : "");
    disconnect(u);
    xen_backend_run_stats(u, false);
    xen_level_update(u);
    if (u->config.capture)
        xen_backend_capture_node(u, NULL);
    reconnect_later(u);
}

static void take_events(struct userdata *u) {
    char **event;

    while ((event = xs_check_watch(u->xs))) {
        path_changed(u, event[XS_WATCH_PATH]);
        free(event);
    }
    if (errno != EAGAIN) /* else the descriptor may stay readable for ever */
        lose_control(u);
}

static void watch_cb(pa_mainloop_api *a, pa_io_event *e, int fd, pa_io_event_flags_t events, void *userdata) {
    (void) a, (void) e, (void) fd, (void) events;
    take_events(userdata);
}

static bool watch_control(struct userdata *u) {
    if (!xs_watch(u->xs, u->control, "control"))
        return false;
    u->watch_event =
        u->core->mainloop->io_new(u->core->mainloop, xs_fileno(u->xs), PA_IO_EVENT_INPUT, watch_cb, u);
    read_nodes(u);
    u->is_read = true;
    return true;
}

void xen_backend_watch_control(struct userdata *u) {
    if (u->xs && !watch_control(u))
        pa_log("Guest %s: watching %s failed, so the controller is not heard%s. May this domain read there?",
               u->guest, u->control, u->config.capture ? ", and the guest will hear silence" : "");
}

/* ---- when the connection is lost ---- */

/*
 * Only a socket of xenstored's can be lost. While nobody listens there, libxenstore would take the kernel's way, where a
 * request waits for xenstored however long that takes, and all of PulseAudio with it.
 */
static void reconnect_cb(pa_mainloop_api *a, pa_time_event *e, const struct timeval *tv, void *userdata) {
    struct userdata *u = userdata;

    (void) tv;
    a->time_free(e);
    u->reconnect_event = NULL;
    if ((u->xs = xs_open(XS_OPEN_SOCKETONLY)))
        write_unsent(u);
    if (!u->xs || !watch_control(u)) {
        disconnect(u);
        reconnect_later(u);
        return;
    }
    pa_log_info("Guest %s, vsnd-%u/%u/%u: connected to xenstore again.", u->guest, u->devid, u->pcm,
                u->stream);
    u->reconnect_usec = 0;
    xen_backend_run_stats(u, u->started);
    xen_level_update(u);
}

static void reconnect_later(struct userdata *u) {
    u->reconnect_usec = PA_CLAMP(2 * u->reconnect_usec, RECONNECT_MIN_USEC, RECONNECT_MAX_USEC);
    u->reconnect_event = pa_core_rttime_new(u->core, pa_rtclock_now() + u->reconnect_usec, reconnect_cb, u);
}

/* ---- counters ---- */

static void stats_cb(pa_mainloop_api *a, pa_time_event *e, const struct timeval *tv, void *userdata) {
    struct userdata *u = userdata;

    (void) a, (void) tv;
    u->direction->write_stats(u);
    pa_core_rttime_restart(u->core, e, pa_rtclock_now() + STATS_USEC);
    take_events(u); /* where xenstore is gone, not every libxenstore makes its descriptor readable */
}

void xen_backend_run_stats(struct userdata *u, bool run) {
    if (run && !u->stats_event && u->xs)
        u->stats_event = pa_core_rttime_new(u->core, pa_rtclock_now() + STATS_USEC, stats_cb, u);
    if (!run && u->stats_event) {
        u->core->mainloop->time_free(u->stats_event);
        u->stats_event = NULL;
    }
}

/* ---- life ---- */

int xen_backend_open_control(struct userdata *u) {
    if (!u->control)
        return 0;
    u->sent = new_values();
    u->unsent = new_values();
    u->xs = xs_open(0);
    if (!u->xs) {
        pa_log("Guest %s: connecting to xenstore failed: %s. Is xenstored running?", u->guest,
               pa_cstrerror(errno));
        return -1;
    }
    return 0;
}

void xen_backend_close_control(struct userdata *u) {
    disconnect(u);
    if (u->reconnect_event)
        u->core->mainloop->time_free(u->reconnect_event);
    u->reconnect_event = NULL;
    if (u->sent) {
        pa_hashmap_free(u->sent);
        pa_hashmap_free(u->unsent);
    }
    u->sent = u->unsent = NULL;
}
