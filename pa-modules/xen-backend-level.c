/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "xen-backend.h"

#include <math.h>

#include <pulse/rtclock.h>
#include <pulse/timeval.h>

#include <pulsecore/core-rtclock.h>
#include <pulsecore/core-util.h>

#include "xen-pa-util.h"

#define LEVEL_USEC (PA_USEC_PER_SEC / 10)
#define LEVEL_FULL 65536u

/* ---- IO thread ---- */

void xen_level_measure(struct xen_level *level, const void *samples, size_t length_bytes) {
    const uint8_t *from = samples;
    float peak = 0;
    unsigned known, found;

    if (!atomic_load_explicit(&level->is_wanted, memory_order_relaxed))
        return;
    for (size_t left = length_bytes / level->sample_bytes; left > 0;) {
        const unsigned n = (unsigned) PA_MIN(left, XEN_LEVEL_SAMPLES);

        level->to_float(n, from, level->samples);
        for (unsigned i = 0; i < n; i++)
            if (fabsf(level->samples[i]) > peak) /* false for what is no number */
                peak = fabsf(level->samples[i]);
        from += n * level->sample_bytes;
        left -= n;
    }
    found = (unsigned) lrintf(PA_MIN(peak, 1.0f) * (float) LEVEL_FULL);
    known = atomic_load_explicit(&level->peak, memory_order_relaxed);
    while (found > known && !atomic_compare_exchange_weak_explicit(
                                &level->peak, &known, found, memory_order_relaxed, memory_order_relaxed))
        ;
}

/* ---- main thread ---- */

void xen_level_open(struct userdata *u, const struct sndif_params *params) {
    const pa_sample_format_t format = xen_pa_format_from_sndif(params->format->id);

    u->level.to_float = pa_get_convert_to_float32ne_function(format);
    u->level.sample_bytes = pa_sample_size_of_format(format);
}

static void write_level(struct userdata *u, uint32_t value) {
    if (value == u->level.written)
        return;
    u->level.written = value;
    xen_backend_write_number(u, "level", value);
}

static void level_cb(pa_mainloop_api *a, pa_time_event *e, const struct timeval *tv, void *userdata) {
    struct userdata *u = userdata;

    (void) a, (void) tv;
    write_level(u, atomic_exchange_explicit(&u->level.peak, 0, memory_order_relaxed));
    pa_core_rttime_restart(u->core, e, pa_rtclock_now() + LEVEL_USEC);
}

void xen_level_update(struct userdata *u) {
    const bool run = u->started && u->xs && atomic_load_explicit(&u->level.is_wanted, memory_order_relaxed);

    if (run && !u->level.event) {
        atomic_store_explicit(&u->level.peak, 0, memory_order_relaxed);
        u->level.event = pa_core_rttime_new(u->core, pa_rtclock_now() + LEVEL_USEC, level_cb, u);
    }
    if (!run && u->level.event) {
        u->core->mainloop->time_free(u->level.event);
        u->level.event = NULL;
        write_level(u, 0);
    }
}

const char *xen_backend_levels_node(struct userdata *u, const char *value) {
    bool wanted = false;

    if (value && !control_parse_flag(value, &wanted))
        return "0 or 1";
    atomic_store_explicit(&u->level.is_wanted, wanted, memory_order_relaxed);
    xen_level_update(u);
    return NULL;
}
