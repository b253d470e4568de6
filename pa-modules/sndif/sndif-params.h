/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_PARAMS_H
#define XEN_AUDIO_SNDIF_PARAMS_H

/* What a stream may be opened with, and the checks of OPEN and HW_PARAM_QUERY against it. Pure. */

#include "sndif-format.h"
#include "sndif-proto.h"

/* What the backend offers for one stream. */
struct sndif_caps {
    uint64_t formats;         /* bits, 1 << id */
    struct sndif_rates rates; /* count 0: any within rate_min..rate_max */
    uint32_t rate_min, rate_max;
    uint32_t channels_min, channels_max;
    uint32_t buffer_max_bytes;  /* of one stream's buffer */
    uint32_t buffer_min_frames; /* smaller buffers are refused */
    uint32_t period_min_frames; /* smaller periods are refused, 0 (no events) is not */
};

/* The parameters of an OPEN that has passed sndif_params_check_open. */
struct sndif_params {
    const struct sndif_format *format;
    uint32_t rate, channels;
    uint32_t frame_bytes;
    uint32_t buffer_bytes; /* whole frames */
    uint32_t period_bytes; /* 0: no periodic events */
    uint32_t gref_directory;
};

/*
 * Checks an OPEN. 0, or -EINVAL with *reason a static text that names the field ("buffer_sz is larger than
 * ..."); never reads the request twice, so pass a private copy.
 */
int sndif_params_check_open(const struct sndif_caps *caps, const struct xensnd_open_req *open,
                            struct sndif_params *params, const char **reason);

/*
 * Answers HW_PARAM_QUERY: the intersection of query and caps in *result (buffer and period in frames), 0, or
 * -EINVAL where it is empty (*result is then as before; it may be *query). Constant time. A query field pair
 * min > max is empty. Formats and channel counts too wide for the smallest buffer go; the largest buffer is
 * what fits the narrowest frame that is left, so a later OPEN within the answer is refused for its size only
 * if its octets exceed buffer_max_bytes. period 0..0 asks for a stream without events.
 */
int sndif_params_query(const struct sndif_caps *caps, const struct xensnd_query_hw_param *query,
                       struct xensnd_query_hw_param *result);

/*
 * WRITE, READ and volumes: octets [offset, offset + length) lie in the buffer, length > 0, both multiples of
 * unit_bytes.
 */
bool sndif_params_check_range(uint32_t buffer_bytes, uint32_t unit_bytes, uint32_t offset, uint32_t length);

#endif
