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
    int n = snprintf(path, XENBUS_PATH_BYTES, "device/vsnd/%u/", card->devid);
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

/* ---- its streams ---- */

/* '\0' when there is no such stream. */
static char read_type(const struct xenbus_card *card, unsigned pcm, unsigned stream) {
    char path[XENBUS_PATH_BYTES];
    char *text;
    char type = '\0';

    xenbus_card_path(card, path, "%u/%u/type", pcm, stream);
    if ((text = xenbus_card_read(card, path)))
        type = strcmp(text, "p") == 0 || strcmp(text, "c") == 0 ? text[0] : '?';
    free(text);
    return type;
}

/* Indices are contiguous from 0 (sndif.h), so the first gap ends the search. */
bool xenbus_card_next_stream(const struct xenbus_card *card, unsigned *pcm, unsigned *stream, char *type) {
    for (; *pcm <= UINT8_MAX; ++*pcm, *stream = 0) {
        if (*stream <= UINT8_MAX && (*type = read_type(card, *pcm, *stream)))
            return true;
        if (*stream == 0)
            return false;
    }
    return false;
}

static bool search_stream(const struct xenbus_card *card, struct xenbus_stream_id *id, char type) {
    unsigned pcm = 0, stream = 0;
    char found;

    if (id->chosen)
        return read_type(card, id->pcm, id->stream) == type;

    for (; xenbus_card_next_stream(card, &pcm, &stream, &found); stream++)
        if (found == type) {
            id->pcm = pcm;
            id->stream = stream;
            return true;
        }
    return false;
}

int xenbus_card_find(const struct xenbus_card *card, struct xenbus_stream_id *id, char type,
                     struct xenbus_stream_config *config, char **error) {
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

    if (!search_stream(card, id, type)) {
        if (id->chosen)
            complain(error, "device/vsnd/%u/%u/%u is no %s stream; choose another with device=", card->devid,
                     id->pcm, id->stream, kind);
        else
            complain(error,
                     "device/vsnd/%u has no %s stream; add one to its vsnd= line, or choose another card "
                     "with device=",
                     card->devid, kind);
        return -ENODEV;
    }
    snprintf(level[0], sizeof(level[0]), "%u/", id->pcm);
    snprintf(level[1], sizeof(level[1]), "%u/%u/", id->pcm, id->stream);
    if ((r = read_level(card, "", config, error)) < 0 || (r = read_level(card, level[0], config, error)) < 0)
        return r;
    return read_level(card, level[1], config, error);
}

char *xenbus_config_complaint(const struct xenbus_stream_config *config, const struct sndif_format *format,
                              uint32_t rate, uint32_t channels) {
    char *text = NULL;

    if (config->formats && !(config->formats & (UINT64_C(1) << format->id)))
        complain(&text,
                 "format %s is not among its sample-formats; choose another with format=, or add it there",
                 format->name);
    else if (!sndif_rates_has(&config->rates, rate))
        complain(&text,
                 "rate %u Hz is not among its sample-rates; choose another with rate=, or add it there",
                 rate);
    else if ((config->channels_min && channels < config->channels_min) ||
             (config->channels_max && channels > config->channels_max))
        complain(&text,
                 "%u channels are not within its %u to %u; choose another number with channels=", channels,
                 config->channels_min ? config->channels_min : 1,
                 config->channels_max ? config->channels_max : XENBUS_CHANNELS_MAX);
    return text;
}
