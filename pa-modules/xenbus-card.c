/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xenbus-card.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenstore.h>

/* ---- text ---- */

/* A strict decimal, the whole of text. */
bool xenbus_parse_u32(const char *text, uint32_t *value) {
    char *end;
    unsigned long long n;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (*end != '\0' || errno != 0 || n > UINT32_MAX)
        return false;
    *value = (uint32_t) n;
    return true;
}

bool xenbus_parse_stream_id(const char *text, struct xenbus_stream_id *id) {
    unsigned devid, pcm, stream;
    int end = -1;

    memset(id, 0, sizeof(*id));
    if (strlen(text) > 16 || strspn(text, "0123456789/") != strlen(text))
        return false;
    if (sscanf(text, "%u/%u/%u%n", &devid, &pcm, &stream, &end) == 3 && end == (int) strlen(text)) {
        id->chosen = true;
        id->pcm = pcm;
        id->stream = stream;
    } else if (sscanf(text, "%u%n", &devid, &end) != 1 || end != (int) strlen(text)) {
        return false;
    }
    id->devid = devid;
    return devid <= UINT16_MAX && id->pcm <= UINT8_MAX && id->stream <= UINT8_MAX;
}

char *xenbus_card_driver(const char *sysfs, unsigned devid) {
    char path[XENBUS_PATH_BYTES], target[XENBUS_PATH_BYTES];
    const char *name;
    ssize_t n;

    snprintf(path, sizeof(path), "%s/bus/xen/devices/vsnd-%u/driver", sysfs, devid);
    n = readlink(path, target, sizeof(target) - 1);
    if (n < 0)
        return NULL;
    target[n] = '\0';
    name = strrchr(target, '/');
    return strdup(name ? name + 1 : target);
}

/* ---- nodes, all below device/vsnd/<devid> ---- */

void xenbus_card_path(const struct xenbus_card *card, char path[XENBUS_PATH_BYTES], const char *format, ...) {
    int n = snprintf(path, XENBUS_PATH_BYTES, "device/vsnd/%u/", card->id.devid);
    va_list args;

    va_start(args, format);
    vsnprintf(path + n, (size_t) (XENBUS_PATH_BYTES - n), format, args);
    va_end(args);
}

char *xenbus_card_read(const struct xenbus_card *card, const char *path) {
    unsigned length;

    return xs_read(card->xs, XBT_NULL, path, &length);
}

/* ---- the card's configuration ---- */

__attribute__((format(printf, 2, 3))) static int complain(char **error, const char *format, ...) {
    va_list args;

    va_start(args, format);
    if (vasprintf(error, format, args) < 0)
        *error = NULL;
    va_end(args);
    return -EINVAL;
}

static int read_limit(const struct xenbus_card *card, const char *level, const char *name, uint32_t *value,
                      char **error) {
    char path[XENBUS_PATH_BYTES];
    char *text;
    int r = 0;

    xenbus_card_path(card, path, "%s%s", level, name);
    text = xenbus_card_read(card, path);
    if (text && (!xenbus_parse_u32(text, value) || *value == 0))
        r = complain(error, "%s is \"%.40s\", expected a number from 1 to 4294967295", path, text);
    free(text);
    return r;
}

static int read_level(const struct xenbus_card *card, const char *level, struct xenbus_stream_config *config,
                      char **error) {
    char path[XENBUS_PATH_BYTES];
    char *text;
    int r;

    xenbus_card_path(card, path, "%ssample-formats", level);
    if ((text = xenbus_card_read(card, path))) {
        config->formats = sndif_format_parse_list(text);
        r = config->formats
                ? 0
                : complain(error, "%s is \"%.80s\", none of which is a format we know", path, text);
        free(text);
        if (r < 0)
            return r;
    }
    xenbus_card_path(card, path, "%ssample-rates", level);
    if ((text = xenbus_card_read(card, path))) {
        r = sndif_rates_parse_list(text, &config->rates);
        if (r < 0)
            complain(error, "%s is \"%.80s\", expected rates in Hz with commas between them", path, text);
        free(text);
        if (r < 0)
            return r;
    }
    if ((r = read_limit(card, level, "channels-min", &config->channels_min, error)) < 0 ||
        (r = read_limit(card, level, "channels-max", &config->channels_max, error)) < 0)
        return r;
    return read_limit(card, level, "buffer-size", &config->buffer_bytes, error);
}

static bool stream_has_type(const struct xenbus_card *card, unsigned pcm, unsigned stream, char type,
                            bool *exists) {
    char path[XENBUS_PATH_BYTES];
    char *text;
    bool is;

    xenbus_card_path(card, path, "%u/%u/type", pcm, stream);
    text = xenbus_card_read(card, path);
    *exists = text != NULL;
    is = text && text[0] == type && text[1] == '\0';
    free(text);
    return is;
}

/* Indices are contiguous from 0 (sndif.h), so the first gap ends the search. */
static bool search_stream(struct xenbus_card *card, char type) {
    bool exists;

    if (card->id.chosen)
        return stream_has_type(card, card->id.pcm, card->id.stream, type, &exists);

    for (unsigned pcm = 0; pcm <= UINT8_MAX; pcm++) {
        for (unsigned stream = 0; stream <= UINT8_MAX; stream++) {
            if (stream_has_type(card, pcm, stream, type, &exists)) {
                card->id.pcm = pcm;
                card->id.stream = stream;
                return true;
            }
            if (!exists && stream == 0)
                return false;
            if (!exists)
                break;
        }
    }
    return false;
}

int xenbus_card_find(struct xenbus_card *card, char type, struct xenbus_stream_config *config, char **error) {
    const char *kind = type == 'p' ? "playback" : "capture";
    char path[XENBUS_PATH_BYTES], level[2][32];
    char *backend;
    int r;

    memset(config, 0, sizeof(*config));
    *error = NULL;
    xenbus_card_path(card, path, "backend");
    backend = xenbus_card_read(card, path);
    if (!backend)
        return -ENOENT;
    free(backend);

    if (!search_stream(card, type)) {
        if (card->id.chosen)
            complain(error,
                     "device/vsnd/%u/%u/%u is no %s stream; choose another with device=", card->id.devid,
                     card->id.pcm, card->id.stream, kind);
        else
            complain(error,
                     "device/vsnd/%u has no %s stream; add one to its vsnd= line, or choose another card "
                     "with device=",
                     card->id.devid, kind);
        return -ENODEV;
    }
    snprintf(level[0], sizeof(level[0]), "%u/", card->id.pcm);
    snprintf(level[1], sizeof(level[1]), "%u/%u/", card->id.pcm, card->id.stream);
    if ((r = read_level(card, "", config, error)) < 0 || (r = read_level(card, level[0], config, error)) < 0)
        return r;
    return read_level(card, level[1], config, error);
}
