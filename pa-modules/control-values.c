/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "control-values.h"

#include <stddef.h>
#include <string.h>

/* The digits at the start of text; *end is behind them. False when there are none, or too many. */
static bool parse_digits(const char *text, uint32_t max, uint32_t *number, const char **end) {
    uint64_t n = 0;
    const char *c = text;

    for (; *c >= '0' && *c <= '9'; c++) {
        n = n * 10 + (uint64_t) (*c - '0');
        if (n > max)
            return false;
    }
    if (c == text || (text[0] == '0' && c - text > 1))
        return false;
    *number = (uint32_t) n;
    *end = c;
    return true;
}

bool control_parse_number(const char *text, uint32_t max, uint32_t *number) {
    const char *end;
    uint32_t n;

    if (!parse_digits(text, max, &n, &end) || *end != '\0')
        return false;
    *number = n;
    return true;
}

bool control_parse_flag(const char *text, bool *flag) {
    uint32_t n;

    if (!control_parse_number(text, 1, &n))
        return false;
    *flag = n == 1;
    return true;
}

const char *control_parse_order(const char *text, uint32_t *serial) {
    const char *end;
    uint32_t n;

    if (!parse_digits(text, UINT32_MAX, &n, &end) || *end != ' ')
        return NULL;
    *serial = n;
    return end + 1;
}

bool control_take_serial(struct control_serial *serial, uint32_t number) {
    if (serial->seen && serial->last == number)
        return false;
    serial->seen = true;
    serial->last = number;
    return true;
}

uint32_t control_capped(const struct control_cap *cap, uint32_t volume) {
    return cap->is_set && volume > cap->volume ? cap->volume : volume;
}

uint32_t control_excess_factor(uint32_t volume, uint32_t capped) {
    if (volume <= capped)
        return CONTROL_VOLUME_NORM;
    return (uint32_t) ((uint64_t) capped * CONTROL_VOLUME_NORM / volume);
}
