/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xenbus-front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#define PUBLISH_TRIES 10

/* ---- nodes ---- */

static enum xenbus_state read_state(const struct xenbus_front *front, const char *path) {
    char *text = xenbus_card_read(&front->card, path);
    uint32_t state = XENBUS_UNKNOWN;

    if (text && (!xenbus_parse_u32(text, &state) || state > 8))
        state = XENBUS_UNKNOWN;
    free(text);
    return state;
}

static bool write_node(const struct xenbus_front *front, xs_transaction_t t, const char *path,
                       const char *value) {
    return xs_write(front->card.xs, t, path, value, (unsigned) strlen(value));
}

static bool write_number(const struct xenbus_front *front, xs_transaction_t t, const char *path,
                         uint32_t number) {
    char text[16];

    snprintf(text, sizeof(text), "%u", number);
    return write_node(front, t, path, text);
}

static void write_state(const struct xenbus_front *front, enum xenbus_state state) {
    char path[XENBUS_PATH_BYTES];

    xenbus_card_path(&front->card, path, "state");
    write_number(front, XBT_NULL, path, state);
}

/* ---- the handshake ---- */

static bool read_feature(const struct xenbus_front *front, const char *name) {
    char path[XENBUS_PATH_BYTES];
    char *text;
    bool is;

    snprintf(path, sizeof(path), "%s/%s", front->backend_path, name);
    text = xenbus_card_read(&front->card, path);
    is = text && strcmp(text, "1") == 0;
    free(text);
    return is;
}

/* 0 when xenstore does not say, which no guest's is. */
static uint32_t read_own_domid(const struct xenbus_front *front) {
    char *text = xenbus_card_read(&front->card, "domid");
    uint32_t domid = 0;

    if (text && !xenbus_parse_u32(text, &domid))
        domid = 0;
    free(text);
    return domid;
}

bool xenbus_front_resumed(const struct xenbus_front *front) {
    const uint32_t domid = read_own_domid(front);
    char path[XENBUS_PATH_BYTES];

    /* The toolstack makes the card's nodes anew, and nobody else puts our state back: that tells when a migration has
     * given us the same domid again. */
    xenbus_card_path(&front->card, path, "state");
    return (domid != 0 && front->own_domid != 0 && domid != front->own_domid) ||
           (front->published && read_state(front, path) == XENBUS_INITIALISING);
}

/* The backend may be another one after a resume: its path and domid are read anew and its state is watched.
 */
static bool follow_backend(struct xenbus_front *front) {
    char path[XENBUS_PATH_BYTES], state_path[XENBUS_PATH_BYTES];
    char *backend, *domid;
    bool ok;

    xenbus_card_path(&front->card, path, "backend");
    backend = xenbus_card_read(&front->card, path);
    xenbus_card_path(&front->card, path, "backend-id");
    domid = xenbus_card_read(&front->card, path);
    ok = backend && strlen(backend) < 128 && domid && xenbus_parse_u32(domid, &front->backend_domid);
    free(domid);

    if (ok && front->backend_path && strcmp(backend, front->backend_path) == 0) {
        free(backend);
        return true;
    }
    if (front->backend_path) {
        snprintf(state_path, sizeof(state_path), "%s/state", front->backend_path);
        xs_unwatch(front->card.xs, state_path, "backend");
        free(front->backend_path);
        front->backend_path = NULL;
    }
    if (!ok) {
        free(backend);
        return false;
    }
    front->backend_path = backend;
    snprintf(state_path, sizeof(state_path), "%s/state", backend);
    xs_watch(front->card.xs, state_path, "backend");
    return true;
}

int xenbus_front_open(struct xenbus_front *front, unsigned devid) {
    char path[XENBUS_PATH_BYTES];

    memset(front, 0, sizeof(*front));
    front->card.devid = devid;
    errno = 0;
    front->card.xs = xs_open(0);
    if (!front->card.xs)
        return errno ? -errno : -ENOENT;

    xenbus_card_path(&front->card, path, "state");
    if (!xs_watch(front->card.xs, path, "card")) {
        int r = -errno;

        xs_close(front->card.xs);
        front->card.xs = NULL;
        return r;
    }
    return 0;
}

void xenbus_front_close(struct xenbus_front *front) {
    if (!front->card.xs)
        return;

    if (front->published)
        xenbus_front_closed(front);
    xs_close(front->card.xs);
    free(front->backend_path);
    memset(front, 0, sizeof(*front));
}

int xenbus_front_fd(const struct xenbus_front *front) {
    return xs_fileno(front->card.xs);
}

/* What the two states ask for; table of docs/protocol.md. */
static enum xenbus_news decide(struct xenbus_front *front, enum xenbus_state own, enum xenbus_state back) {
    /* anything else was written by another, and the backend goes by it */
    const bool ours = own == (front->connected ? XENBUS_CONNECTED : XENBUS_INITIALISED);

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
    char path[XENBUS_PATH_BYTES];
    enum xenbus_state own, back;
    enum xenbus_news news;
    char **event;
    bool followed;

    while ((event = xs_check_watch(front->card.xs)))
        free(event);

    xenbus_card_path(&front->card, path, "state");
    own = read_state(front, path);
    followed = follow_backend(front); /* also of a card that is gone: its backend is watched no longer */
    if (own == XENBUS_UNKNOWN || !followed)
        return front->published ? XENBUS_LOST : XENBUS_NOTHING;

    snprintf(path, sizeof(path), "%s/state", front->backend_path);
    back = read_state(front, path);
    news = decide(front, own, back);
    if (news == XENBUS_PUBLISH) {
        front->own_domid = read_own_domid(front); /* before anything is granted */
        front->features.latency = read_feature(front, "feature-latency");
        front->features.wakeup = read_feature(front, "feature-wakeup");
        front->features.rewind = read_feature(front, "feature-rewind");
    } else if (news == XENBUS_GO) {
        front->connected = true;
        write_state(front, XENBUS_CONNECTED);
    }
    return news;
}

/* ---- our nodes ---- */

/* Nodes with the values they get; written and removed together. */
struct our_node {
    const char *name;
    uint32_t value; /* 0: not there */
};

#define STREAM_NODES 4
#define CARD_NODES 5

/* Leaves no node with the value 0 behind. */
static bool put_node(const struct xenbus_front *front, xs_transaction_t t, const char *path, uint32_t value) {
    if (value != 0)
        return write_number(front, t, path, value);
    return xs_rm(front->card.xs, t, path) || errno == ENOENT;
}

static bool put_stream_nodes(const struct xenbus_front *front, xs_transaction_t t,
                             const struct xenbus_transport *transport) {
    const struct our_node nodes[STREAM_NODES] = {
        {"ring-ref", transport->ring_ref},
        {"event-channel", transport->event_channel},
        {"evt-ring-ref", transport->evt_ring_ref},
        {"evt-event-channel", transport->evt_event_channel},
    };
    char path[XENBUS_PATH_BYTES];

    for (unsigned i = 0; i < STREAM_NODES; i++) {
        xenbus_card_path(&front->card, path, "%u/%u/%s", transport->pcm, transport->stream, nodes[i].name);
        if (!put_node(front, t, path, nodes[i].value))
            return false;
    }
    return true;
}

static bool put_card_nodes(const struct xenbus_front *front, xs_transaction_t t, bool published) {
    const struct our_node nodes[CARD_NODES] = {
        {"version", published ? 2 : 0},
        {"feature-latency", published && front->features.latency},
        {"feature-wakeup", published && front->features.wakeup},
        {"feature-rewind", published && front->features.rewind},
        {"feature-alive", published},
    };
    char path[XENBUS_PATH_BYTES];

    for (unsigned i = 0; i < CARD_NODES; i++) {
        xenbus_card_path(&front->card, path, "%s", nodes[i].name);
        if (!put_node(front, t, path, nodes[i].value))
            return false;
    }
    return true;
}

/* All nodes of the card's streams: those of transports are written, the others removed. */
static bool put_all_streams(const struct xenbus_front *front, xs_transaction_t t,
                            const struct xenbus_transport *transports, unsigned count) {
    struct xenbus_transport none = {0};
    char type;

    for (; xenbus_card_next_stream(&front->card, &none.pcm, &none.stream, &type); none.stream++) {
        const struct xenbus_transport *transport = &none;

        for (unsigned i = 0; i < count; i++)
            if (transports[i].pcm == none.pcm && transports[i].stream == none.stream)
                transport = &transports[i];
        if (!put_stream_nodes(front, t, transport))
            return false;
    }
    return true;
}

static bool publish_all(const struct xenbus_front *front, xs_transaction_t t,
                        const struct xenbus_transport *transports, unsigned count) {
    char path[XENBUS_PATH_BYTES];

    xenbus_card_path(&front->card, path, "state");
    return put_all_streams(front, t, transports, count) && put_card_nodes(front, t, true) &&
           write_number(front, t, path, XENBUS_INITIALISED);
}

int xenbus_front_publish(struct xenbus_front *front, const struct xenbus_transport *transports,
                         unsigned count) {
    for (unsigned tries = 0; tries < PUBLISH_TRIES; tries++) {
        xs_transaction_t t = xs_transaction_start(front->card.xs);
        bool written;
        int r;

        if (t == XBT_NULL)
            return -errno;
        written = publish_all(front, t, transports, count);
        r = errno;
        if (xs_transaction_end(front->card.xs, t, !written) && written) {
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
    char path[XENBUS_PATH_BYTES];
    enum xenbus_state state;

    front->published = false;
    front->connected = false;
    xenbus_card_path(&front->card, path, "state");
    state = read_state(front, path);
    if (state == XENBUS_UNKNOWN || state == XENBUS_INITIALISING)
        return; /* the card is gone, and writing would bring a part of it back; or it is new, and has nothing of ours */

    put_all_streams(front, XBT_NULL, NULL, 0);
    put_card_nodes(front, XBT_NULL, false);
    write_state(front, XENBUS_CLOSED);
}
