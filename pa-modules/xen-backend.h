/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_XEN_BACKEND_H
#define XEN_AUDIO_XEN_BACKEND_H

/*
 * module-xen-backend: arguments, loading and what the stream thread asks (module-xen-backend.c), the control
 * directory (xen-backend-control.c), and the two ways samples go: a sink input that plays (xen-backend-playback.c), a
 * source output that records (xen-backend-capture.c). What the controller may change about either: volume and mute
 * (xen-backend-volume.c), and its device (xen-backend-route.c). How loud it is: xen-backend-level.c. All in PulseAudio's
 * main thread but what is marked as its IO thread's.
 */

#include <pulsecore/core.h>
#include <pulsecore/module.h>
#include <pulsecore/namereg.h>
#include <pulsecore/sconv.h>
#include <pulsecore/sink-input.h>
#include <pulsecore/source-output.h>

#include "control-values.h"
#include "sndif-backend.h"

struct userdata;

/* What the two directions do differently. */
struct xen_direction {
    const char *running_state; /* of the node `state` */
    void (*attach)(struct userdata *u);
    /* Nobody pulls or pushes any more, so the backend may go. */
    void (*detach)(struct userdata *u);
    /* Last words, when the backend is gone. */
    void (*gone)(struct userdata *u);

    /* The stream of `c` is open; u->started is false. */
    void (*open)(struct userdata *u, const struct sndif_backend_command *c);
    /* u->started has changed. */
    void (*run)(struct userdata *u);
    void (*close)(struct userdata *u);
    /* u->latency_usec has changed; 0: not known. */
    void (*set_latency)(struct userdata *u);
    /* Writes the counters of the stream, if one is open. */
    void (*write_stats)(struct userdata *u);

    /* Of the sink input or source output. Without one, the first three are NULL and the others do nothing. */
    const pa_cvolume *(*volume)(const struct userdata *u);
    const char *(*device)(const struct userdata *u);
    const char *(*preferred_device)(const struct userdata *u); /* as PulseAudio has it; NULL: the default */
    void (*set_volume)(struct userdata *u, const pa_cvolume *volume);
    void (*set_mute)(struct userdata *u, bool mute);
    /* u->route.wanted has changed, or has appeared. */
    void (*follow_route)(struct userdata *u);
};

extern const struct xen_direction xen_backend_playback, xen_backend_capture;

/* What a node `SERIAL VALUE` has last been told. */
struct xen_report {
    bool written;
    uint32_t serial, value;
};

/* Of the sink input or source output, also while there is none. */
struct xen_volume {
    struct control_cap cap;
    bool is_known, mute_is_known; /* else PulseAudio says what the first one starts with */
    pa_cvolume volume;            /* with one channel while it is not known */
    bool mute;
    struct control_serial volume_serial, mute_serial;
    struct xen_report volume_report, mute_report;
    pa_defer_event *resync_event;
};

/* Where a stream goes to or comes from. */
struct xen_route {
    char *argument; /* sink= or source=, or NULL */
    char *ordered;  /* by the last `device-set`, or NULL */
    char *
        wanted; /* either, or what the user has chosen since; NULL: the default, or whatever PulseAudio says */
    bool default_is_meant;
    struct control_serial serial;
};

#define XEN_LEVEL_SAMPLES 256u

struct xen_level {
    atomic_bool is_wanted;
    atomic_uint peak; /* since it was last taken, 65536 is full scale */
    pa_time_event *event;
    uint32_t written;

    /* IO thread, constant while it runs */
    pa_convert_func_t to_float;
    size_t sample_bytes;
    float samples[XEN_LEVEL_SAMPLES];
};

struct userdata {
    pa_core *core;
    pa_module *module;
    uint32_t devid, pcm, stream;
    char *guest, *uuid, *control;
    struct sndif_backend_config config;
    const struct xen_direction *direction;

    struct sndif_backend *backend;
    pa_io_event *backend_event;
    bool started;
    pa_usec_t guest_latency_usec; /* what the guest's buffer asks for */
    pa_usec_t latency_min_usec, latency_max_usec;
    pa_usec_t latency_usec; /* that, within those bounds */
    struct xs_handle *xs;
    pa_io_event *watch_event;
    bool is_read;       /* what stands there, and the event that a new watch begins with has not come yet */
    pa_hashmap *sent;   /* nodes to their values, NULL without a control directory */
    pa_hashmap *unsent; /* the same, for the next connection */
    pa_time_event *reconnect_event; /* while there is none */
    pa_usec_t reconnect_usec;
    unsigned malformed; /* bits: nodes whose value is malformed, which has been said */
    pa_time_event *stats_event;
    pa_time_event *tell_event; /* the control directory is told soon */
    struct xen_volume volume;
    struct xen_route route;
    struct xen_level level;

    struct {
        struct sndif_playback *stream; /* open, or NULL */
        pa_sink_input *input;
        bool denied; /* by the node `playback` */
        pa_hook_slot *sink_put_slot, *moved_slot;
        int32_t guest_millidecibel[SNDIF_BACKEND_CHANNELS_MAX];
        bool guest_muted[SNDIF_BACKEND_CHANNELS_MAX];
    } playback;

    struct {
        struct sndif_capture *stream; /* open, or NULL */
        pa_source_output *output;
        pa_hook_slot *source_put_slot, *default_source_slot, *moved_slot;
        bool allowed;          /* by the node `capture` */
        bool wiping;           /* the last output is gone, but not yet what it captured */
        bool source_is_missed; /* and that has been said */
    } capture;
};

/* ---- the guest ---- */

/* The properties by which dom0's mixers know the stream. */
void xen_backend_describe(const struct userdata *u, pa_proplist *p, const char *media_name);
/* The sample spec and channel map of an open stream. */
void xen_backend_spec(const struct sndif_params *params, pa_sample_spec *ss, pa_channel_map *map);

/* ---- the control directory; nothing happens without one ---- */

/* 0, or -1 after logging why. */
int xen_backend_open_control(struct userdata *u);
/* Reads what the controller has written, and goes on doing so. Without it nobody may record. */
void xen_backend_watch_control(struct userdata *u);
void xen_backend_close_control(struct userdata *u);
void xen_backend_write(struct userdata *u, const char *node, const char *value);
void xen_backend_write_number(struct userdata *u, const char *node, uint64_t value);
/* Writes the format of an open stream; NULL: it is closed. */
void xen_backend_write_format(struct userdata *u, const struct sndif_params *params);
/* Counters move only while the stream runs, and so does their timer. */
void xen_backend_run_stats(struct userdata *u, bool run);

/*
 * What the controller's nodes do. The value is NULL for a node that does not exist. Each returns NULL, or what it had
 * expected instead of a malformed value.
 */
const char *xen_backend_playback_node(struct userdata *u, const char *value);
const char *xen_backend_capture_node(struct userdata *u, const char *value);
const char *xen_backend_volume_cap_node(struct userdata *u, const char *value);
const char *xen_backend_volume_set_node(struct userdata *u, const char *value);
const char *xen_backend_mute_set_node(struct userdata *u, const char *value);
const char *xen_backend_device_set_node(struct userdata *u, const char *value);
const char *xen_backend_levels_node(struct userdata *u, const char *value);
const char *xen_backend_latency_range_node(struct userdata *u, const char *value);

/* ---- volume and mute, as the mixer has them ---- */

void xen_volume_init(struct userdata *u);
void xen_volume_done(struct userdata *u);
/* Writes what is known before there is any sink input or source output. */
void xen_volume_report(struct userdata *u);
/* The volume that a sink input or source output of so many channels starts with; false: PulseAudio's. */
bool xen_volume_known(const struct userdata *u, unsigned channels, pa_cvolume *volume);
/* What it is now; reported when it is another than before. */
void xen_volume_is(struct userdata *u, const pa_cvolume *volume);
void xen_mute_is(struct userdata *u, bool mute);
/* A new sink input, not yet put: takes its volume and mute, and sees to it that they stay below the cap. */
void xen_volume_adopt_input(struct userdata *u, pa_sink_input *i);

/* ---- the device ---- */

void xen_route_init(struct userdata *u, const char *argument);
void xen_route_done(struct userdata *u);
/* The sink or source a new sink input or source output is put on; NULL: what PulseAudio says. */
void *xen_route_start(const struct userdata *u, pa_namereg_type_t type, bool *is_preferred);
/* Whether sink= or source=, or the controller, has named it. */
bool xen_route_names(const struct userdata *u, const void *device, pa_namereg_type_t type);
/* Takes note of where it is, and reports it; call when that has changed. */
void xen_route_is(struct userdata *u);

/* ---- how loud it is ---- */

/* A stream is open; nobody pulls or pushes yet. */
void xen_level_open(struct userdata *u, const struct sndif_params *params);
/* u->started or what the controller wants has changed. */
void xen_level_update(struct userdata *u);
/* IO thread: takes account of samples. No lock, no allocation. */
void xen_level_measure(struct xen_level *level, const void *samples, size_t length_bytes);

/* ---- playback: the guest's volume ---- */

/* The factor that the guest's own volume and mute are. */
void xen_backend_guest_factor(const struct userdata *u, pa_cvolume *factor);

void xen_backend_set_volume(struct userdata *u, const struct sndif_backend_command *c);
void xen_backend_get_volume(const struct userdata *u, struct sndif_backend_command *c);
void xen_backend_set_mute(struct userdata *u, const struct sndif_backend_command *c);

/* ---- capture ---- */

/* What a source had left is wiped. */
void xen_backend_wiped(struct userdata *u);

#endif
