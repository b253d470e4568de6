/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-params.h"

#include <errno.h>

static uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static uint32_t max_u32(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

static bool has_format(uint64_t formats, const struct sndif_format *format) {
    return (formats >> format->id) & 1;
}

/* ---- OPEN ---- */

/* Fills format, rate, channels and frame_bytes. Returns NULL, or why they cannot be had. */
static const char *check_samples(const struct sndif_caps *caps, const struct xensnd_open_req *open,
                                 struct sndif_params *params) {
    params->format = sndif_format_by_id(open->pcm_format);
    params->rate = open->pcm_rate;
    params->channels = open->pcm_channels;

    if (!params->format || !has_format(caps->formats, params->format))
        return "pcm_format is not one of the formats on offer";
    if (params->rate < max_u32(caps->rate_min, 1) || params->rate > caps->rate_max)
        return "pcm_rate is outside the rates on offer";
    if (!sndif_rates_has(&caps->rates, params->rate))
        return "pcm_rate is not one of the rates on offer";
    if (params->channels < max_u32(caps->channels_min, 1) || params->channels > caps->channels_max)
        return "pcm_channels is outside the channels on offer";
    params->frame_bytes = params->channels * params->format->sample_bytes;
    return NULL;
}

/* Fills the sizes; frame_bytes is known. */
static const char *check_sizes(const struct sndif_caps *caps, const struct xensnd_open_req *open,
                               struct sndif_params *params) {
    uint32_t frame_bytes = params->frame_bytes;

    params->buffer_bytes = open->buffer_sz;
    params->period_bytes = open->period_sz;
    params->gref_directory = open->gref_directory;

    if (params->buffer_bytes > caps->buffer_max_bytes)
        return "buffer_sz is larger than the buffer on offer";
    if (params->buffer_bytes % frame_bytes != 0)
        return "buffer_sz is not a whole number of frames";
    if (params->buffer_bytes / frame_bytes < max_u32(caps->buffer_min_frames, 1))
        return "buffer_sz is smaller than the smallest buffer on offer";
    if (params->period_bytes % frame_bytes != 0)
        return "period_sz is not a whole number of frames";
    if (params->period_bytes != 0 && params->period_bytes / frame_bytes < caps->period_min_frames)
        return "period_sz is smaller than the smallest period on offer";
    if (params->period_bytes > params->buffer_bytes)
        return "period_sz is larger than buffer_sz";
    if (params->gref_directory == 0)
        return "gref_directory is 0, which is no grant reference";
    return NULL;
}

int sndif_params_check_open(const struct sndif_caps *caps, const struct xensnd_open_req *open,
                            struct sndif_params *params, const char **reason) {
    *params = (struct sndif_params) {0};
    *reason = check_samples(caps, open, params);
    if (!*reason)
        *reason = check_sizes(caps, open, params);
    return *reason ? -EINVAL : 0;
}

/* ---- HW_PARAM_QUERY ---- */

/* Formats on offer whose sample is at most sample_max_bytes, and the sizes of the samples that are left. */
static uint64_t narrow_formats(uint64_t wanted, uint32_t sample_max_bytes, uint32_t *narrowest_bytes,
                               uint32_t *widest_bytes) {
    size_t count;
    const struct sndif_format *table = sndif_formats(&count);
    uint64_t left = 0;

    *widest_bytes = 0;
    *narrowest_bytes = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!has_format(wanted, &table[i]) || table[i].sample_bytes > sample_max_bytes)
            continue;
        left |= UINT64_C(1) << table[i].id;
        *widest_bytes = max_u32(*widest_bytes, table[i].sample_bytes);
        *narrowest_bytes = min_u32(*narrowest_bytes, table[i].sample_bytes);
    }
    return left;
}

/* The listed rates within *min..*max are what is left of them. False: none. */
static bool narrow_rates(const struct sndif_rates *rates, uint32_t *min, uint32_t *max) {
    uint32_t lowest = UINT32_MAX, highest = 0;

    if (rates->count > 0) {
        for (unsigned i = 0; i < rates->count; i++) {
            if (rates->hz[i] < *min || rates->hz[i] > *max)
                continue;
            lowest = min_u32(lowest, rates->hz[i]);
            highest = max_u32(highest, rates->hz[i]);
        }
        *min = lowest;
        *max = highest;
    }
    return *min <= *max;
}

/* period.max 0 asks for a stream without events and leaves nothing to narrow. */
static bool narrow_period(const struct sndif_caps *caps, const struct xensnd_query_hw_param *query,
                          uint32_t buffer_max_frames, struct xensnd_query_hw_param *result) {
    if (query->period.max == 0) {
        result->period.min = result->period.max = 0;
        return query->period.min == 0;
    }
    result->period.min = max_u32(max_u32(query->period.min, caps->period_min_frames), 1);
    result->period.max = min_u32(query->period.max, buffer_max_frames);
    return result->period.min <= result->period.max;
}

/*
 * Formats, channels, buffer and period depend on each other through buffer_max_bytes. First what cannot carry
 * the smallest buffer goes (wide formats, then high channel counts); then the buffer is what the narrowest
 * frame left allows: ALSA asks before it has chosen a format, only ever narrows, and bounds the octets by
 * itself.
 */
static bool narrow_sizes(const struct sndif_caps *caps, const struct xensnd_query_hw_param *query,
                         struct xensnd_query_hw_param *result) {
    uint32_t buffer_min_frames = max_u32(max_u32(query->buffer.min, caps->buffer_min_frames), 1);
    uint32_t frame_max_bytes = caps->buffer_max_bytes / buffer_min_frames;
    uint32_t channels_min = max_u32(max_u32(query->channels.min, caps->channels_min), 1);
    uint32_t channels_max = min_u32(query->channels.max, caps->channels_max);
    uint32_t narrowest_bytes, widest_bytes;

    result->formats = narrow_formats(query->formats & caps->formats, frame_max_bytes / channels_min,
                                     &narrowest_bytes, &widest_bytes);
    if (result->formats == 0)
        return false;
    result->channels.min = channels_min;
    result->channels.max = min_u32(channels_max, frame_max_bytes / widest_bytes);
    if (result->channels.min > result->channels.max)
        return false;
    result->buffer.max =
        min_u32(query->buffer.max, caps->buffer_max_bytes / (result->channels.min * narrowest_bytes));
    if (!narrow_period(caps, query, result->buffer.max, result))
        return false;
    result->buffer.min = max_u32(buffer_min_frames, result->period.min);
    return result->buffer.min <= result->buffer.max;
}

int sndif_params_query(const struct sndif_caps *caps, const struct xensnd_query_hw_param *query,
                       struct xensnd_query_hw_param *result) {
    struct xensnd_query_hw_param left = {0};

    left.rates.min = max_u32(max_u32(query->rates.min, caps->rate_min), 1);
    left.rates.max = min_u32(query->rates.max, caps->rate_max);
    if (!narrow_rates(&caps->rates, &left.rates.min, &left.rates.max) || !narrow_sizes(caps, query, &left))
        return -EINVAL;
    *result = left;
    return 0;
}

/* ---- ranges of the buffer ---- */

bool sndif_params_check_range(uint32_t buffer_bytes, uint32_t unit_bytes, uint32_t offset, uint32_t length) {
    return unit_bytes > 0 && length > 0 && length <= buffer_bytes && offset <= buffer_bytes - length &&
           offset % unit_bytes == 0 && length % unit_bytes == 0;
}
