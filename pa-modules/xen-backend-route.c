/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "xen-backend.h"

#include <pulse/xmalloc.h>

#include <pulsecore/core-util.h>
#include <pulsecore/log.h>
#include <pulsecore/namereg.h>

/*
 * A name that is wanted becomes PulseAudio's "preferred" device of the stream: then PulseAudio itself brings it back when
 * that device returns, and leaves it there when the default changes. Without one the stream follows the default.
 * A user who moves the stream changes what is preferred, so PulseAudio also tells us what he wants.
 */

static void *find(const struct userdata *u, const char *name, pa_namereg_type_t type) {
    return name ? pa_namereg_get(u->core, name, type) : NULL;
}

static pa_namereg_type_t type_of(const struct userdata *u) {
    return u->config.capture ? PA_NAMEREG_SOURCE : PA_NAMEREG_SINK;
}

static void replace(char **text, const char *with) {
    char *copy = pa_xstrdup(with);

    pa_xfree(*text);
    *text = copy;
}

void xen_route_init(struct userdata *u, const char *argument) {
    u->route.argument = pa_xstrdup(argument);
    u->route.wanted = pa_xstrdup(argument);
}

void xen_route_done(struct userdata *u) {
    pa_xfree(u->route.argument);
    pa_xfree(u->route.ordered);
    pa_xfree(u->route.wanted);
}

void *xen_route_start(const struct userdata *u, pa_namereg_type_t type, bool *is_preferred) {
    *is_preferred = u->route.wanted != NULL;
    if (u->route.wanted)
        return find(u, u->route.wanted, type);
    return u->route.default_is_meant ? pa_namereg_get(u->core, NULL, type) : NULL;
}

bool xen_route_names(const struct userdata *u, const void *device, pa_namereg_type_t type) {
    return device &&
           (device == find(u, u->route.argument, type) || device == find(u, u->route.ordered, type));
}

/* What is wanted but not there is waited for, unless the user has chosen something else since. */
static void note_preference(struct userdata *u) {
    const char *preferred = u->direction->preferred_device(u);

    if (preferred) {
        if (!pa_safe_streq(u->route.wanted, preferred))
            replace(&u->route.wanted, preferred);
    } else if (!u->route.wanted || find(u, u->route.wanted, type_of(u))) {
        replace(&u->route.wanted, NULL);
        u->route.default_is_meant = true;
    }
}

static void report(struct userdata *u) {
    const char *device = u->direction->device(u);
    char text[160];

    pa_snprintf(text, sizeof(text), "%u %s", u->route.serial.last, device ? device : "");
    xen_backend_write(u, "device", text);
}

void xen_route_is(struct userdata *u) {
    if (u->direction->device(u))
        note_preference(u);
    report(u);
}

const char *xen_backend_device_set_node(struct userdata *u, const char *value) {
    uint32_t serial;
    const char *name;

    if (!value)
        return NULL;
    name = control_parse_order(value, &serial);
    if (!name || (*name && !pa_namereg_is_valid_name(name)))
        return "a serial, a space, and the name of a sink or source, or nothing for the default";
    if (!control_take_serial(&u->route.serial, serial))
        return NULL;

    name = *name ? name : NULL;
    replace(&u->route.ordered, name);
    replace(&u->route.wanted, name);
    u->route.default_is_meant = !name;
    if (name && !find(u, name, type_of(u)))
        pa_log_info(
            "Guest %s, vsnd-%u/%u/%u: shall be at %s, which does not exist now; it moves there when it does.",
            u->guest, u->devid, u->pcm, u->stream, name);
    u->direction->follow_route(u);
    report(u);
    return NULL;
}
