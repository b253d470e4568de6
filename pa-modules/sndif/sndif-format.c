/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-format.h"

#include <errno.h>
#include <string.h>

#include "sndif-proto.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/*
 * S24 is four octets, as Linux has it. A frontend that may choose takes 16 bits first, since that is what
 * most programs have and half the octets to copy; then the wider formats; then what must be swapped; then
 * what loses.
 */
static const struct sndif_format formats[] = {
    {XENSND_PCM_FORMAT_S16_LE, 2, 0x00, false, XENSND_PCM_FORMAT_S16_LE_STR, NULL},
    {XENSND_PCM_FORMAT_S32_LE, 4, 0x00, false, XENSND_PCM_FORMAT_S32_LE_STR, NULL},
    {XENSND_PCM_FORMAT_S24_LE, 4, 0x00, false, XENSND_PCM_FORMAT_S24_LE_STR, NULL},
    {XENSND_PCM_FORMAT_F32_LE, 4, 0x00, true, XENSND_PCM_FORMAT_F32_LE_STR, "f32_le"},
    {XENSND_PCM_FORMAT_S16_BE, 2, 0x00, false, XENSND_PCM_FORMAT_S16_BE_STR, NULL},
    {XENSND_PCM_FORMAT_S32_BE, 4, 0x00, false, XENSND_PCM_FORMAT_S32_BE_STR, NULL},
    {XENSND_PCM_FORMAT_S24_BE, 4, 0x00, false, XENSND_PCM_FORMAT_S24_BE_STR, NULL},
    {XENSND_PCM_FORMAT_F32_BE, 4, 0x00, true, XENSND_PCM_FORMAT_F32_BE_STR, "f32_be"},
    {XENSND_PCM_FORMAT_U8, 1, 0x80, false, XENSND_PCM_FORMAT_U8_STR, NULL},
    {XENSND_PCM_FORMAT_MU_LAW, 1, 0xff, false, XENSND_PCM_FORMAT_MU_LAW_STR, NULL},
    {XENSND_PCM_FORMAT_A_LAW, 1, 0xd5, false, XENSND_PCM_FORMAT_A_LAW_STR, NULL},
};

const struct sndif_format *sndif_formats(size_t *count) {
    *count = N_ELEMENTS(formats);
    return formats;
}

const struct sndif_format *sndif_format_by_id(unsigned id) {
    for (size_t i = 0; i < N_ELEMENTS(formats); i++)
        if (formats[i].id == id)
            return &formats[i];
    return NULL;
}

static bool is_name(const char *known, const char *name, size_t length) {
    return known && strlen(known) == length && memcmp(known, name, length) == 0;
}

const struct sndif_format *sndif_format_by_name(const char *name, size_t length) {
    for (size_t i = 0; i < N_ELEMENTS(formats); i++)
        if (is_name(formats[i].name, name, length) || is_name(formats[i].alias, name, length))
            return &formats[i];
    return NULL;
}

/* One item of a comma list, without the blanks around it. */
struct item {
    const char *start;
    size_t length;
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* Takes the item at *list and moves *list behind its comma, or to NULL behind the last item. */
static struct item next_item(const char **list) {
    const char *start = *list, *end = start + strcspn(start, XENSND_LIST_SEPARATOR);

    *list = *end ? end + 1 : NULL;
    while (start < end && is_blank(*start))
        start++;
    while (start < end && is_blank(end[-1]))
        end--;
    return (struct item) {start, (size_t) (end - start)};
}

uint64_t sndif_format_parse_list(const char *list) {
    uint64_t bits = 0;

    while (list) {
        struct item item = next_item(&list);
        const struct sndif_format *format = sndif_format_by_name(item.start, item.length);

        if (format)
            bits |= UINT64_C(1) << format->id;
    }
    return bits;
}

/* Digits only, no leading zero, 1 to 4294967295. */
static bool parse_hz(struct item item, uint32_t *hz) {
    uint64_t value = 0;

    if (item.length == 0 || item.length >= XENSND_SAMPLE_RATE_MAX_LEN || item.start[0] == '0')
        return false;
    for (size_t i = 0; i < item.length; i++) {
        if (item.start[i] < '0' || item.start[i] > '9')
            return false;
        value = value * 10 + (uint64_t) (item.start[i] - '0');
    }
    *hz = (uint32_t) value;
    return value <= UINT32_MAX;
}

int sndif_rates_parse_list(const char *list, struct sndif_rates *rates) {
    struct sndif_rates parsed = {0};

    while (list && *list) {
        uint32_t hz;

        if (!parse_hz(next_item(&list), &hz))
            return -EINVAL;
        if (parsed.count == SNDIF_RATES_MAX)
            return -E2BIG;
        parsed.hz[parsed.count++] = hz;
        if (list && !*list)
            return -EINVAL; /* nothing behind the last comma */
    }
    *rates = parsed;
    return 0;
}

bool sndif_rates_has(const struct sndif_rates *rates, uint32_t hz) {
    for (unsigned i = 0; i < rates->count; i++)
        if (rates->hz[i] == hz)
            return true;
    return rates->count == 0;
}
