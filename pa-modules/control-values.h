/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_CONTROL_VALUES_H
#define XEN_AUDIO_CONTROL_VALUES_H

/* What the nodes of a control directory mean, and how loud a stream may be. Pure: knows no sound server and no xenstore. */

#include <stdbool.h>
#include <stdint.h>

/* 100 %, as PA_VOLUME_NORM. */
#define CONTROL_VOLUME_NORM 65536u

/* A decimal from 0 to max without sign, blanks or leading zeros. False for anything else; *number is then as before. */
bool control_parse_number(const char *text, uint32_t max, uint32_t *number);

/* `0` or `1`. */
bool control_parse_flag(const char *text, bool *flag);

/* Of a node `SERIAL VALUE`: an order that is carried out once. */
struct control_serial {
    bool seen;
    uint32_t last; /* 0 until one is seen */
};

/* Splits `SERIAL VALUE`. The value, which may be empty, or NULL for anything else; points into text. */
const char *control_parse_order(const char *text, uint32_t *serial);
/* Whether this order has not been carried out yet; it counts as such from now on. */
bool control_take_serial(struct control_serial *serial, uint32_t number);

/* The highest volume a stream may have. */
struct control_cap {
    bool is_set;
    uint32_t volume;
};

uint32_t control_capped(const struct control_cap *cap, uint32_t volume);
/* What makes `capped` of a larger volume when multiplied with it, never more: CONTROL_VOLUME_NORM is 1. */
uint32_t control_excess_factor(uint32_t volume, uint32_t capped);

#endif
