/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xenbus-front.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenstore.h>

#define PATH_BYTES 256
#define PUBLISH_TRIES 10

/* ---- text ---- */

/* A strict decimal, the whole of text. */
static bool parse_u32(const char *text, uint32_t *value) {
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
    char path[PATH_BYTES], target[PATH_BYTES];
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

__attribute__((format(printf, 3, 4))) static void card_path(const struct xenbus_front *front,
                                                            char path[PATH_BYTES], const char *format, ...) {
    int n = snprintf(path, PATH_BYTES, "device/vsnd/%u/", front->id.devid);
    va_list args;

    va_start(args, format);
    vsnprintf(path + n, (size_t) (PATH_BYTES - n), format, args);
    va_end(args);
}

static char *read_node(const struct xenbus_front *front, const char *path) {
    unsigned length;

    return xs_read(front->xs, XBT_NULL, path, &length);
}

static enum xenbus_state read_state(const struct xenbus_front *front, const char *path) {
    char *text = read_node(front, path);
    uint32_t state = XENBUS_UNKNOWN;

    if (text && (!parse_u32(text, &state) || state > 8))
        state = XENBUS_UNKNOWN;
    free(text);
    return state;
}

static bool write_node(const struct xenbus_front *front, xs_transaction_t t, const char *path,
                       const char *value) {
    return xs_write(front->xs, t, path, value, (unsigned) strlen(value));
}

static bool write_number(const struct xenbus_front *front, xs_transaction_t t, const char *path,
                         uint32_t number) {
    char text[16];

    snprintf(text, sizeof(text), "%u", number);
    return write_node(front, t, path, text);
}

static void write_state(const struct xenbus_front *front, enum xenbus_state state) {
    char path[PATH_BYTES];

    card_path(front, path, "state");
    write_number(front, XBT_NULL, path, state);
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

static int read_limit(const struct xenbus_front *front, const char *level, const char *name, uint32_t *value,
                      char **error) {
    char path[PATH_BYTES];
    char *text;
    int r = 0;

    card_path(front, path, "%s%s", level, name);
    text = read_node(front, path);
    if (text && (!parse_u32(text, value) || *value == 0))
        r = complain(error, "%s is \"%.40s\", expected a number from 1 to 4294967295", path, text);
    free(text);
    return r;
}

static int read_level(const struct xenbus_front *front, const char *level,
                      struct xenbus_stream_config *config, char **error) {
    char path[PATH_BYTES];
    char *text;
    int r;

    card_path(front, path, "%ssample-formats", level);
    if ((text = read_node(front, path))) {
        config->formats = sndif_format_parse_list(text);
        r = config->formats
                ? 0
                : complain(error, "%s is \"%.80s\", none of which is a format we know", path, text);
        free(text);
        if (r < 0)
            return r;
    }
    card_path(front, path, "%ssample-rates", level);
    if ((text = read_node(front, path))) {
        r = sndif_rates_parse_list(text, &config->rates);
        if (r < 0)
            complain(error, "%s is \"%.80s\", expected rates in Hz with commas between them", path, text);
        free(text);
        if (r < 0)
            return r;
    }
    if ((r = read_limit(front, level, "channels-min", &config->channels_min, error)) < 0 ||
        (r = read_limit(front, level, "channels-max", &config->channels_max, error)) < 0)
        return r;
    return read_limit(front, level, "buffer-size", &config->buffer_bytes, error);
}

static bool stream_has_type(const struct xenbus_front *front, unsigned pcm, unsigned stream, char type,
                            bool *exists) {
    char path[PATH_BYTES];
    char *text;
    bool is;

    card_path(front, path, "%u/%u/type", pcm, stream);
    text = read_node(front, path);
    *exists = text != NULL;
    is = text && text[0] == type && text[1] == '\0';
    free(text);
    return is;
}

/* Indices are contiguous from 0 (sndif.h), so the first gap ends the search. */
static bool search_stream(struct xenbus_front *front, char type) {
    bool exists;

    if (front->id.chosen)
        return stream_has_type(front, front->id.pcm, front->id.stream, type, &exists);

    for (unsigned pcm = 0; pcm <= UINT8_MAX; pcm++) {
        for (unsigned stream = 0; stream <= UINT8_MAX; stream++) {
            if (stream_has_type(front, pcm, stream, type, &exists)) {
                front->id.pcm = pcm;
                front->id.stream = stream;
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

int xenbus_front_find(struct xenbus_front *front, char type, struct xenbus_stream_config *config,
                      char **error) {
    char path[PATH_BYTES], level[2][32];
    int r;

    memset(config, 0, sizeof(*config));
    *error = NULL;
    card_path(front, path, "backend");
    free(front->backend_path);
    front->backend_path = read_node(front, path);
    if (!front->backend_path)
        return -ENOENT;
    free(front->backend_path);
    front->backend_path = NULL;

    if (!search_stream(front, type)) {
        const char *kind = type == 'p' ? "playback" : "capture";

        if (front->id.chosen)
            complain(error, "device/vsnd/%u/%u/%u is no %s stream", front->id.devid, front->id.pcm,
                     front->id.stream, kind);
        else
            complain(error, "device/vsnd/%u has no %s stream", front->id.devid, kind);
        return -ENODEV;
    }
    snprintf(level[0], sizeof(level[0]), "%u/", front->id.pcm);
    snprintf(level[1], sizeof(level[1]), "%u/%u/", front->id.pcm, front->id.stream);
    if ((r = read_level(front, "", config, error)) < 0 ||
        (r = read_level(front, level[0], config, error)) < 0)
        return r;
    return read_level(front, level[1], config, error);
}

/* ---- the handshake ---- */

static bool read_feature(const struct xenbus_front *front, const char *name) {
    char path[PATH_BYTES];
    char *text;
    bool is;

    snprintf(path, sizeof(path), "%s/%s", front->backend_path, name);
    text = read_node(front, path);
    is = text && strcmp(text, "1") == 0;
    free(text);
    return is;
}

/* The backend may be another one after a resume: its path and domid are read anew and its state is watched.
 */
static bool follow_backend(struct xenbus_front *front) {
    char path[PATH_BYTES], state_path[PATH_BYTES];
    char *backend, *domid;
    bool ok;

    card_path(front, path, "backend");
    backend = read_node(front, path);
    card_path(front, path, "backend-id");
    domid = read_node(front, path);
    ok = backend && strlen(backend) < 128 && domid && parse_u32(domid, &front->backend_domid);
    free(domid);

    if (ok && front->backend_path && strcmp(backend, front->backend_path) == 0) {
        free(backend);
        return true;
    }
    if (front->backend_path) {
        snprintf(state_path, sizeof(state_path), "%s/state", front->backend_path);
        xs_unwatch(front->xs, state_path, "backend");
        free(front->backend_path);
        front->backend_path = NULL;
    }
    if (!ok) {
        free(backend);
        return false;
    }
    front->backend_path = backend;
    snprintf(state_path, sizeof(state_path), "%s/state", backend);
    xs_watch(front->xs, state_path, "backend");
    return true;
}

int xenbus_front_open(struct xenbus_front *front, const struct xenbus_stream_id *id) {
    char path[PATH_BYTES];

    memset(front, 0, sizeof(*front));
    front->id = *id;
    errno = 0;
    front->xs = xs_open(0);
    if (!front->xs)
        return errno ? -errno : -ENOENT;

    card_path(front, path, "state");
    if (!xs_watch(front->xs, path, "card")) {
        int r = -errno;

        xs_close(front->xs);
        front->xs = NULL;
        return r;
    }
    return 0;
}

void xenbus_front_close(struct xenbus_front *front) {
    if (!front->xs)
        return;

    if (front->published)
        xenbus_front_closed(front);
    xs_close(front->xs);
    free(front->backend_path);
    memset(front, 0, sizeof(*front));
}

int xenbus_front_fd(const struct xenbus_front *front) {
    return xs_fileno(front->xs);
}

/* What the two states ask for; table of docs/protocol.md. */
static enum xenbus_news decide(struct xenbus_front *front, enum xenbus_state own, enum xenbus_state back) {
    const bool ours = front->published && (own == XENBUS_INITIALISED || own == XENBUS_CONNECTED);

    if (front->published && (!ours || (back != XENBUS_CONNECTED && front->connected) ||
                             back == XENBUS_CLOSING || back == XENBUS_CLOSED || back == XENBUS_UNKNOWN))
        return XENBUS_LOST;
    if (front->published)
        return back == XENBUS_CONNECTED && !front->connected ? XENBUS_GO : XENBUS_NOTHING;
    if (back == XENBUS_INIT_WAIT)
        return XENBUS_PUBLISH;
    /* a state left behind by a process that died: start over, which the backend answers with InitWait */
    if (own == XENBUS_INITIALISED || own == XENBUS_CONNECTED)
        write_state(front, XENBUS_INITIALISING);
    return XENBUS_NOTHING;
}

enum xenbus_news xenbus_front_next(struct xenbus_front *front) {
    char path[PATH_BYTES];
    enum xenbus_state own, back;
    enum xenbus_news news;
    char **event;

    while ((event = xs_check_watch(front->xs)))
        free(event);

    card_path(front, path, "state");
    own = read_state(front, path);
    if (own == XENBUS_UNKNOWN || !follow_backend(front))
        return front->published ? XENBUS_LOST : XENBUS_NOTHING;

    snprintf(path, sizeof(path), "%s/state", front->backend_path);
    back = read_state(front, path);
    news = decide(front, own, back);
    if (news == XENBUS_PUBLISH) {
        front->features.latency = read_feature(front, "feature-latency");
        front->features.wakeup = read_feature(front, "feature-wakeup");
        front->features.rewind = read_feature(front, "feature-rewind");
    } else if (news == XENBUS_GO) {
        front->connected = true;
        write_state(front, XENBUS_CONNECTED);
    }
    return news;
}

/* Nodes of ours, with the values they get; written and removed together. */
struct our_node {
    const char *name;
    bool of_stream;
    uint32_t value; /* 0: not written */
};

#define OUR_NODES 8

static void our_nodes(const struct xenbus_front *front, const struct xenbus_transport *transport,
                      struct our_node nodes[OUR_NODES]) {
    const struct our_node all[OUR_NODES] = {
        {"ring-ref", true, transport->ring_ref},
        {"event-channel", true, transport->event_channel},
        {"evt-ring-ref", true, transport->evt_ring_ref},
        {"evt-event-channel", true, transport->evt_event_channel},
        {"version", false, 2},
        {"feature-latency", false, front->features.latency},
        {"feature-wakeup", false, front->features.wakeup},
        {"feature-alive", false, 1},
    };

    memcpy(nodes, all, sizeof(all));
}

static void our_path(const struct xenbus_front *front, const struct our_node *node, char path[PATH_BYTES]) {
    if (node->of_stream)
        card_path(front, path, "%u/%u/%s", front->id.pcm, front->id.stream, node->name);
    else
        card_path(front, path, "%s", node->name);
}

static bool write_all(const struct xenbus_front *front, xs_transaction_t t,
                      const struct xenbus_transport *transport) {
    struct our_node nodes[OUR_NODES];
    char path[PATH_BYTES];

    our_nodes(front, transport, nodes);
    for (unsigned i = 0; i < OUR_NODES; i++) {
        our_path(front, &nodes[i], path);
        if (nodes[i].value != 0 && !write_number(front, t, path, nodes[i].value))
            return false;
    }
    card_path(front, path, "state");
    return write_number(front, t, path, XENBUS_INITIALISED);
}

int xenbus_front_publish(struct xenbus_front *front, const struct xenbus_transport *transport) {
    for (unsigned tries = 0; tries < PUBLISH_TRIES; tries++) {
        xs_transaction_t t = xs_transaction_start(front->xs);
        bool written;
        int r;

        if (t == XBT_NULL)
            return -errno;
        written = write_all(front, t, transport);
        r = errno;
        if (xs_transaction_end(front->xs, t, !written) && written) {
            front->published = true;
            return 0;
        }
        if (!written)
            return -r;
        if (errno != EAGAIN)
            return -errno;
    }
    return -EAGAIN;
}

void xenbus_front_closed(struct xenbus_front *front) {
    const struct xenbus_transport none = {0};
    struct our_node nodes[OUR_NODES];
    char path[PATH_BYTES];

    front->published = false;
    front->connected = false;
    card_path(front, path, "state");
    if (read_state(front, path) == XENBUS_UNKNOWN)
        return; /* the card is gone: writing would bring a part of it back */

    our_nodes(front, &none, nodes);
    for (unsigned i = 0; i < OUR_NODES; i++) {
        our_path(front, &nodes[i], path);
        xs_rm(front->xs, XBT_NULL, path);
    }
    write_state(front, XENBUS_CLOSED);
}
