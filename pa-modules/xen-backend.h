/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_XEN_BACKEND_H
#define XEN_AUDIO_XEN_BACKEND_H

/*
 * module-xen-backend in four files: arguments, loading and what the stream thread asks (module-xen-backend.c),
 * the control directory (xen-backend-control.c), and the two ways samples go: a sink input that plays
 * (xen-backend-playback.c), a source output that records (xen-backend-capture.c). All in PulseAudio's main
 * thread but what is marked as its IO thread's.
 */

#include <pulsecore/core.h>
#include <pulsecore/module.h>
#include <pulsecore/sink-input.h>
#include <pulsecore/source-output.h>

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
    bool (*in_use)(const struct userdata *u);
};

extern const struct xen_direction xen_backend_playback, xen_backend_capture;

struct userdata {
    pa_core *core;
    pa_module *module;
    uint32_t devid, pcm, stream;
    char *guest, *uuid, *control;
    char *device; /* name of the sink or source, or NULL */
    struct sndif_backend_config config;
    const struct xen_direction *direction;

    struct sndif_backend *backend;
    pa_io_event *backend_event;
    bool started;
    pa_usec_t latency_usec; /* asked for */
    struct xs_handle *xs;
    pa_time_event *stats_event;

    struct {
        struct sndif_playback *stream; /* open, or NULL */
        pa_sink_input *input;
        pa_hook_slot *sink_put_slot;
        int32_t guest_millidecibel[SNDIF_BACKEND_CHANNELS_MAX];
        bool guest_muted[SNDIF_BACKEND_CHANNELS_MAX];
    } playback;

    struct {
        struct sndif_capture *stream; /* open, or NULL */
        pa_source_output *output;
        pa_hook_slot *source_put_slot, *default_source_slot;
        pa_io_event *consent_event;
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
void xen_backend_close_control(struct userdata *u);
void xen_backend_write(struct userdata *u, const char *node, const char *value);
void xen_backend_write_number(struct userdata *u, const char *node, uint64_t value);
/* Counters move only while the stream runs, and so does their timer. */
void xen_backend_run_stats(struct userdata *u, bool run);

/* ---- playback: the guest's volume ---- */

void xen_backend_set_volume(struct userdata *u, const struct sndif_backend_command *c);
void xen_backend_get_volume(const struct userdata *u, struct sndif_backend_command *c);
void xen_backend_set_mute(struct userdata *u, const struct sndif_backend_command *c);

/* ---- capture ---- */

/* What a source had left is wiped. */
void xen_backend_wiped(struct userdata *u);

#endif
