/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_XEN_ARGS_H
#define XEN_AUDIO_XEN_ARGS_H

/* The arguments that module-xen-sink and module-xen-source have in common, with errors that teach. */

#include <pulsecore/core.h>
#include <pulsecore/modargs.h>

#include "xenbus-card.h"

#define XEN_ARGS_NAMES                                                                                       \
    "device", "format", "rate", "channels", "channel_map", "min_latency_msec", "max_latency_msec"
#define XEN_ARGS_USAGE                                                                                       \
    "device=<index of the vsnd card, or card/pcm/stream> "                                                   \
    "format=<sample format> "                                                                                \
    "rate=<sample rate> "                                                                                    \
    "channels=<number of channels> "                                                                         \
    "channel_map=<channel map> "                                                                             \
    "min_latency_msec=<least latency that clients get> "                                                     \
    "max_latency_msec=<most latency, up to what the card's buffer holds>"

struct xen_args {
    pa_sample_spec ss;
    pa_channel_map map;
    const struct sndif_format *format;
    uint32_t buffer_bytes; /* of the shared buffer, whole frames */
    pa_usec_t min_latency_usec, max_latency_usec;
};

/*
 * Reads them. What they leave open is chosen from what the card allows, nearest to the server's default; the buffer
 * holds `parts` times the latency. -1 after logging what was wrong.
 */
int xen_args_read(struct xen_args *args, pa_core *core, pa_modargs *ma, unsigned devid,
                  const struct xenbus_stream_config *config, unsigned parts);

#endif
