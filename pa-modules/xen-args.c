/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "xen-args.h"

#include <stdlib.h>

#include <pulse/timeval.h>

#include <pulsecore/core-util.h>
#include <pulsecore/log.h>
#include <pulsecore/macro.h>

#include "xen-pa-util.h"

#define DEFAULT_BUFFER_BYTES 65536u
#define BUFFER_BYTES_MAX (4u * 1024u * 1024u)
#define DEFAULT_MIN_LATENCY_MSEC 5u
#define LATENCY_MSEC_MAX 10000u
#define RATE_MIN 8000u
#define RATE_MAX 192000u

/* The first value in the list, or the default where the list is empty or has it. */
static uint32_t choose_rate(const struct sndif_rates *rates, uint32_t preferred) {
    return sndif_rates_has(rates, preferred) ? preferred : rates->hz[0];
}

static pa_sample_format_t choose_format(uint64_t formats, pa_sample_format_t preferred) {
    const struct sndif_format *f = xen_pa_format_to_sndif(preferred);
    const struct sndif_format *all;
    size_t n;

    if (f && (formats == 0 || (formats & (UINT64_C(1) << f->id))))
        return preferred;
    all = sndif_formats(&n);
    for (size_t i = 0; i < n; i++)
        if (formats == 0 || (formats & (UINT64_C(1) << all[i].id)))
            return xen_pa_format_from_sndif(all[i].id);
    return PA_SAMPLE_S16LE;
}

/* Each argument by itself, so that the message names the one that is wrong. */
static int check_numbers(pa_modargs *ma) {
    const char *format = pa_modargs_get_value(ma, "format", NULL);
    uint32_t ignored = 0;

    if (format && pa_parse_sample_format(format) == PA_SAMPLE_INVALID) {
        pa_log("format=%s: no such sample format; expected one as in \"s16le\".", format);
        return -1;
    }
    if (xen_pa_get_number(ma, "rate", RATE_MIN, RATE_MAX, &ignored) < 0)
        return -1;
    return xen_pa_get_number(ma, "channels", 1, XENBUS_CHANNELS_MAX, &ignored);
}

/* What the arguments leave open. */
static void choose_defaults(struct xen_args *args, const pa_core *core,
                            const struct xenbus_stream_config *config) {
    uint32_t channels;

    args->ss = core->default_sample_spec;
    args->map = core->default_channel_map;
    args->ss.format = choose_format(config->formats, args->ss.format);
    args->ss.rate = choose_rate(&config->rates, args->ss.rate);
    channels = config->channels_max ? PA_MIN(args->ss.channels, config->channels_max) : args->ss.channels;
    channels = PA_MAX(channels, config->channels_min);
    if (channels != args->ss.channels ||
        channels > 2) { /* sndif counts channels only; both sides take ALSA's order */
        args->ss.channels = (uint8_t) PA_MIN(channels, PA_CHANNELS_MAX);
        pa_channel_map_init_extend(&args->map, args->ss.channels, PA_CHANNEL_MAP_ALSA);
    }
}

static int read_sample_spec(struct xen_args *args, pa_modargs *ma, unsigned devid,
                            const struct xenbus_stream_config *config) {
    char *error;

    if (check_numbers(ma) < 0)
        return -1;
    if (pa_modargs_get_sample_spec_and_channel_map(ma, &args->ss, &args->map, PA_CHANNEL_MAP_ALSA) < 0) {
        pa_log("channel_map=%s: expected as many positions as channels (%u), as in "
               "\"front-left,front-right\".",
               pa_strnull(pa_modargs_get_value(ma, "channel_map", NULL)), args->ss.channels);
        return -1;
    }
    args->format = xen_pa_format_to_sndif(args->ss.format);
    if (!args->format) {
        pa_log("format=%s cannot be carried by sndif; one of u8, s16le, s16be, s24-32le, s24-32be, s32le, "
               "s32be, float32le, float32be, ulaw, alaw can.",
               pa_sample_format_to_string(args->ss.format));
        return -1;
    }
    if ((error = xenbus_config_complaint(config, args->format, args->ss.rate, args->ss.channels))) {
        pa_log("Card vsnd-%u refuses these arguments: %s.", devid, error);
        free(error);
        return -1;
    }
    return 0;
}

static int read_latency(struct xen_args *args, pa_modargs *ma, uint32_t card_bytes, unsigned parts) {
    uint32_t min_msec = DEFAULT_MIN_LATENCY_MSEC, max_msec = LATENCY_MSEC_MAX;
    size_t bytes;

    if (xen_pa_get_number(ma, "min_latency_msec", 1, LATENCY_MSEC_MAX, &min_msec) < 0 ||
        xen_pa_get_number(ma, "max_latency_msec", 1, LATENCY_MSEC_MAX, &max_msec) < 0)
        return -1;

    bytes = pa_usec_to_bytes_round_up((pa_usec_t) max_msec * parts * PA_USEC_PER_MSEC, &args->ss);
    bytes = pa_frame_align(PA_MIN(bytes, (size_t) PA_MIN(card_bytes, BUFFER_BYTES_MAX)), &args->ss);
    args->buffer_bytes = (uint32_t) bytes;
    args->min_latency_usec = min_msec * PA_USEC_PER_MSEC;
    args->max_latency_usec = pa_bytes_to_usec(bytes / parts, &args->ss);
    if (args->min_latency_usec > args->max_latency_usec) {
        pa_log("min_latency_msec=%u is more than the buffer holds: %u octets, %.1f ms.", min_msec,
               args->buffer_bytes / parts, (double) args->max_latency_usec / PA_USEC_PER_MSEC);
        return -1;
    }
    return 0;
}

int xen_args_read(struct xen_args *args, pa_core *core, pa_modargs *ma, unsigned devid,
                  const struct xenbus_stream_config *config, unsigned parts) {
    choose_defaults(args, core, config);
    if (read_sample_spec(args, ma, devid, config) < 0)
        return -1;
    return read_latency(args, ma, config->buffer_bytes ? config->buffer_bytes : DEFAULT_BUFFER_BYTES, parts);
}
