/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sndif-proto.h"

int sndif_window_init(struct sndif_window *window, size_t least_bytes, uint8_t silence) {
    window->silence = silence;
    window->bytes = SNDIF_PAGE_BYTES;
    while (window->bytes < least_bytes)
        window->bytes *= 2;

    window->data = malloc(window->bytes);
    if (!window->data)
        return -ENOMEM;
    memset(window->data, silence, window->bytes);
    return 0;
}

void sndif_window_done(struct sndif_window *window) {
    if (window->data)
        explicit_bzero(window->data, window->bytes);
    free(window->data);
    window->data = NULL;
}

uint8_t *sndif_window_at(const struct sndif_window *window, uint64_t position_bytes, size_t *length_bytes) {
    const size_t at = position_bytes & (window->bytes - 1);

    if (*length_bytes > window->bytes - at)
        *length_bytes = window->bytes - at;
    return window->data + at;
}

void sndif_window_put(struct sndif_window *window, uint64_t position_bytes, const void *samples,
                      size_t length_bytes) {
    const uint8_t *src = samples;

    while (length_bytes > 0) {
        size_t n = length_bytes;
        uint8_t *dst = sndif_window_at(window, position_bytes, &n);

        if (src) {
            memcpy(dst, src, n);
            src += n;
        } else {
            memset(dst, window->silence, n);
        }
        position_bytes += n;
        length_bytes -= n;
    }
}

void sndif_window_get(const struct sndif_window *window, uint64_t position_bytes, void *dst,
                      size_t length_bytes) {
    uint8_t *to = dst;

    while (length_bytes > 0) {
        size_t n = length_bytes;
        const uint8_t *src = sndif_window_at(window, position_bytes, &n);

        memcpy(to, src, n);
        to += n;
        position_bytes += n;
        length_bytes -= n;
    }
}
