/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "xen-backend.h"

#include <pulsecore/core-util.h>
#include <pulsecore/log.h>
#include <pulsecore/macro.h>
#include <pulsecore/sink.h>

/*
 * PulseAudio's mixer is the master of volume and mute: we ask it for what the controller orders, and report what it
 * says, whoever moved the slider.
 *
 * The cap is kept where PulseAudio tells a stream of its new volume: after that is stored, before it has any effect, and
 * before anybody else hears of it (`volume_changed`). What is stored is lowered there, so that mixers never see
 * more. With flat volumes everything else is computed from it. Without, PulseAudio goes on with the volume it was
 * asked for, as real_ratio; a factor set aside for it makes up for that in the same step. It lasts until the next change:
 *
 *     soft_volume = real_ratio * volume_factor      volume_factor = the guest's own * capped / asked for
 */

static uint32_t capped(const struct userdata *u, uint32_t volume) {
    return control_capped(&u->volume.cap, volume);
}

/* ---- reports ---- */

static void report(struct userdata *u, struct xen_report *last, const char *node, uint32_t serial,
                   uint32_t value) {
    char text[32];

    if (last->written && last->serial == serial && last->value == value)
        return;
    *last = (struct xen_report) {.written = true, .serial = serial, .value = value};
    pa_snprintf(text, sizeof(text), "%u %u", serial, value);
    xen_backend_write(u, node, text);
}

static void report_volume(struct userdata *u) {
    report(u, &u->volume.volume_report, "volume", u->volume.volume_serial.last,
           pa_cvolume_max(&u->volume.volume));
}

static void report_mute(struct userdata *u) {
    report(u, &u->volume.mute_report, "mute", u->volume.mute_serial.last, u->volume.mute);
}

void xen_volume_is(struct userdata *u, const pa_cvolume *volume) {
    u->volume.is_known = true;
    u->volume.volume = *volume;
    report_volume(u);
}

void xen_mute_is(struct userdata *u, bool mute) {
    u->volume.mute_is_known = true;
    u->volume.mute = mute;
    report_mute(u);
}

bool xen_volume_known(const struct userdata *u, unsigned channels, pa_cvolume *volume) {
    if (!u->volume.is_known)
        return false;
    if (u->volume.volume.channels == channels)
        *volume = u->volume.volume;
    else
        pa_cvolume_set(volume, channels, pa_cvolume_max(&u->volume.volume));
    return true;
}

/* ---- the cap ---- */

static void resync_cb(pa_mainloop_api *a, pa_defer_event *e, void *userdata) {
    struct userdata *u = userdata;
    pa_sink_input *i = u->playback.input;

    a->defer_enable(e, 0);
    if (i && i->sink && pa_sink_flat_volume_enabled(i->sink))
        pa_sink_set_volume(i->sink, NULL, true, false);
}

static void input_volume_changed_cb(pa_sink_input *i) {
    struct userdata *u = i->userdata;
    const pa_volume_t asked = pa_cvolume_max(&i->volume);
    const bool flat = pa_sink_flat_volume_enabled(i->sink);
    pa_cvolume factor;

    xen_backend_guest_factor(u, &factor);
    if (capped(u, asked) < asked) {
        pa_cvolume_scale(&i->volume, capped(u, asked));
        if (flat) /* somebody may have turned the hardware up: then it, or our share of it, goes down again */
            u->core->mainloop->defer_enable(u->volume.resync_event, 1);
        else
            pa_sw_cvolume_multiply_scalar(&factor, &factor, control_excess_factor(asked, capped(u, asked)));
    }
    i->volume_factor = factor;
    xen_volume_is(u, &i->volume);
}

static void input_mute_changed_cb(pa_sink_input *i) {
    xen_mute_is(i->userdata, i->muted);
}

void xen_volume_adopt_input(struct userdata *u, pa_sink_input *i) {
    const pa_volume_t given = pa_cvolume_max(&i->volume);

    if (capped(u, given) < given) { /* PulseAudio computes everything else from it when the input is put */
        pa_cvolume_scale(&i->volume, capped(u, given));
        pa_sink_input_set_reference_ratio(i, &i->volume);
    }
    i->volume_changed = input_volume_changed_cb;
    i->mute_changed = input_mute_changed_cb;
    xen_volume_is(u, &i->volume);
    xen_mute_is(u, i->muted);
}

/* ---- orders ---- */

/* In all channels; a balance that the user has set stays. */
static pa_cvolume scaled(const struct userdata *u, pa_volume_t volume) {
    const pa_cvolume *now = u->direction->volume(u);
    pa_cvolume result = now ? *now : u->volume.volume;

    pa_cvolume_scale(&result, volume);
    return result;
}

const char *xen_backend_volume_set_node(struct userdata *u, const char *value) {
    uint32_t serial, volume;
    const char *text;
    pa_cvolume wanted;

    if (!value)
        return NULL;
    text = control_parse_order(value, &serial);
    if (!text || !control_parse_number(text, PA_VOLUME_MAX, &volume))
        return "a serial, a space, and a volume, 65536 for 100 %";
    if (!control_take_serial(&u->volume.volume_serial, serial))
        return NULL;

    wanted = scaled(u, capped(u, volume));
    u->direction->set_volume(u, &wanted);
    xen_volume_is(u, &wanted);
    return NULL;
}

const char *xen_backend_mute_set_node(struct userdata *u, const char *value) {
    uint32_t serial;
    const char *text;
    bool mute;

    if (!value)
        return NULL;
    text = control_parse_order(value, &serial);
    if (!text || !control_parse_flag(text, &mute))
        return "a serial, a space, and 0 or 1";
    if (!control_take_serial(&u->volume.mute_serial, serial))
        return NULL;

    u->direction->set_mute(u, mute);
    xen_mute_is(u, mute);
    return NULL;
}

const char *xen_backend_volume_cap_node(struct userdata *u, const char *value) {
    struct control_cap cap = {.is_set = value != NULL};
    uint32_t now;

    if (value && !control_parse_number(value, PA_VOLUME_MAX, &cap.volume))
        return "a volume, 65536 for 100 %";
    u->volume.cap = cap;
    now = pa_cvolume_max(&u->volume.volume);
    if (capped(u, now) < now) {
        pa_cvolume lower = scaled(u, cap.volume);

        u->direction->set_volume(u, &lower);
        u->volume.volume = lower; /* known to us only if it was before */
        report_volume(u);
    }
    return NULL;
}

/* ---- life ---- */

void xen_volume_report(struct userdata *u) {
    report_volume(u);
    report_mute(u);
}

void xen_volume_init(struct userdata *u) {
    pa_cvolume_set(&u->volume.volume, 1, PA_VOLUME_NORM);
    u->volume.resync_event = u->core->mainloop->defer_new(u->core->mainloop, resync_cb, u);
    u->core->mainloop->defer_enable(u->volume.resync_event, 0);
}

void xen_volume_done(struct userdata *u) {
    if (u->volume.resync_event)
        u->core->mainloop->defer_free(u->volume.resync_event);
    u->volume.resync_event = NULL;
}
