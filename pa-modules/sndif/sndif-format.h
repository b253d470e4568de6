/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_FORMAT_H
#define XEN_AUDIO_SNDIF_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One row for each sample format that sndif names and a sound server can carry (XENSND_PCM_FORMAT_*). */
struct sndif_format {
    uint8_t id;           /* XENSND_PCM_FORMAT_* */
    uint8_t sample_bytes; /* storage of one sample */
    uint8_t silence;      /* the octet that silence is made of */
    bool is_float;        /* may hold NaN and infinity */
    const char *name;     /* as in sample-formats */
    const char *alias;    /* libxl's other spelling, or NULL */
};

/* The whole table, ordered by preference of a frontend that may choose; count receives the number of rows. */
const struct sndif_format *sndif_formats(size_t *count);
/* NULL for an id we cannot carry. */
const struct sndif_format *sndif_format_by_id(unsigned id);
/* NULL for a name we cannot carry; name need not be terminated. */
const struct sndif_format *sndif_format_by_name(const char *name, size_t length);
/*
 * Parses a comma list as in sample-formats into bits (1 << id). Blanks around a name are allowed; unknown
 * names are skipped, since sndif names more formats than we carry. 0 when nothing is left.
 */
uint64_t sndif_format_parse_list(const char *list);

/* A list of rates in Hz as in sample-rates. */
#define SNDIF_RATES_MAX 32
struct sndif_rates {
    unsigned count; /* 0: any rate */
    uint32_t hz[SNDIF_RATES_MAX];
};
/*
 * Parses a comma list of strict decimals, 1 to 4294967295 without leading zero, blanks around an item
 * allowed. -EINVAL for anything else, -E2BIG for more than SNDIF_RATES_MAX; *rates is then as before. An
 * empty string is "any".
 */
int sndif_rates_parse_list(const char *list, struct sndif_rates *rates);
/* True for every rate when the list is empty. */
bool sndif_rates_has(const struct sndif_rates *rates, uint32_t hz);

#endif
