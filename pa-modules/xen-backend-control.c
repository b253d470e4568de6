/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "xen-backend.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <xenstore.h>

#include <pulse/rtclock.h>
#include <pulse/timeval.h>

#include <pulsecore/core-error.h>
#include <pulsecore/core-rtclock.h>
#include <pulsecore/core-util.h>
#include <pulsecore/log.h>

/* The control directory: what is, for the controller and for people. */

#define STATS_USEC (1 * PA_USEC_PER_SEC)

void xen_backend_write(struct userdata *u, const char *node, const char *value) {
    char path[512];

    if (!u->xs)
        return;
    pa_snprintf(path, sizeof(path), "%s/%s", u->control, node);
    if (!xs_write(u->xs, XBT_NULL, path, value, (unsigned) strlen(value)) && pa_log_ratelimit(PA_LOG_WARN))
        pa_log_warn("Guest %s: writing %s failed: %s", u->guest, path, pa_cstrerror(errno));
}

void xen_backend_write_number(struct userdata *u, const char *node, uint64_t value) {
    char text[24];

    pa_snprintf(text, sizeof(text), "%" PRIu64, value);
    xen_backend_write(u, node, text);
}

static void stats_cb(pa_mainloop_api *a, pa_time_event *e, const struct timeval *tv, void *userdata) {
    struct userdata *u = userdata;

    (void) a, (void) tv;
    u->direction->write_stats(u);
    pa_core_rttime_restart(u->core, e, pa_rtclock_now() + STATS_USEC);
}

void xen_backend_run_stats(struct userdata *u, bool run) {
    if (run && !u->stats_event && u->xs)
        u->stats_event = pa_core_rttime_new(u->core, pa_rtclock_now() + STATS_USEC, stats_cb, u);
    if (!run && u->stats_event) {
        u->core->mainloop->time_free(u->stats_event);
        u->stats_event = NULL;
    }
}

int xen_backend_open_control(struct userdata *u) {
    if (!u->control)
        return 0;
    u->xs = xs_open(0);
    if (!u->xs) {
        pa_log("Guest %s: connecting to xenstore failed: %s. Is xenstored running?", u->guest,
               pa_cstrerror(errno));
        return -1;
    }
    return 0;
}

void xen_backend_close_control(struct userdata *u) {
    if (u->xs)
        xs_close(u->xs);
    u->xs = NULL;
}
