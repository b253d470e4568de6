/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_XENBUS_CARD_H
#define XEN_AUDIO_XENBUS_CARD_H

/* A vsnd card as a guest finds it in its own part of xenstore: which streams it has and what they allow. */

#include <stdbool.h>
#include <stdint.h>

#include "sndif-format.h"

struct xs_handle;

#define XENBUS_PATH_BYTES 256
/* The most that PCM streams of ours have. */
#define XENBUS_CHANNELS_MAX 8u

/* A stream of a card: device=<devid>[/<pcm>/<stream>]. */
struct xenbus_stream_id {
    unsigned devid;
    bool chosen; /* pcm and stream were given, not to be searched for */
    unsigned pcm, stream;
};

/* What the card's nodes say of a stream, narrowed from card to device to stream. Absent: 0, or empty. */
struct xenbus_stream_config {
    uint64_t formats; /* bits 1 << id; 0: not given */
    struct sndif_rates rates;
    uint32_t channels_min, channels_max;
    uint32_t buffer_bytes;
};

struct xenbus_card {
    struct xs_handle *xs;
    unsigned devid;
};

/* A strict decimal, the whole of text. */
bool xenbus_parse_u32(const char *text, uint32_t *value);
/* Parses "0", "2" or "0/1/0"; false for anything else. */
bool xenbus_parse_stream_id(const char *text, struct xenbus_stream_id *id);

/* The name of the kernel driver that holds card devid, malloc'd, or NULL. sysfs: normally "/sys". */
char *xenbus_card_driver(const char *sysfs, unsigned devid);

/* Writes the path of a node below the card's directory. */
__attribute__((format(printf, 3, 4))) void
xenbus_card_path(const struct xenbus_card *card, char path[XENBUS_PATH_BYTES], const char *format, ...);
/* A node's value, malloc'd, or NULL. */
char *xenbus_card_read(const struct xenbus_card *card, const char *path);

/*
 * The first stream at or behind *pcm, *stream; start with 0, 0 and go on with *stream + 1. *type is 'p', 'c' or, for
 * anything else, '?'. False when there are no more.
 */
bool xenbus_card_next_stream(const struct xenbus_card *card, unsigned *pcm, unsigned *stream, char *type);

/*
 * Finds the stream of the given type ('p' or 'c'), writes it to id->pcm and id->stream unless they were chosen, and
 * reads its configuration. 0; -ENOENT: there is no card (yet); -ENODEV: the card has no such stream; -EINVAL: a node
 * makes no sense. For the last two *error is a malloc'd text.
 */
int xenbus_card_find(const struct xenbus_card *card, struct xenbus_stream_id *id, char type,
                     struct xenbus_stream_config *config, char **error);

/* Why samples of this kind are not among what the card allows, malloc'd; NULL when they are. */
char *xenbus_config_complaint(const struct xenbus_stream_config *config, const struct sndif_format *format,
                              uint32_t rate, uint32_t channels);

#endif
