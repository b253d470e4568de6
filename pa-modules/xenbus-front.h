/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_XENBUS_FRONT_H
#define XEN_AUDIO_XENBUS_FRONT_H

/*
 * A frontend's side of the handshake (docs/protocol.md): finds a vsnd card in the guest's own part of
 * xenstore, publishes the rings of its streams, follows the states. No sound in here, and paths are relative, so
 * that a new domid changes nothing.
 */

#include <stdbool.h>
#include <stdint.h>

#include "xenbus-card.h"

enum xenbus_state {
    XENBUS_UNKNOWN = 0, /* no such node */
    XENBUS_INITIALISING = 1,
    XENBUS_INIT_WAIT = 2,
    XENBUS_INITIALISED = 3,
    XENBUS_CONNECTED = 4,
    XENBUS_CLOSING = 5,
    XENBUS_CLOSED = 6,
};

/* The backend's extensions, of which all are used. */
struct xenbus_features {
    bool latency, wakeup, rewind;
};

/* What xenstore is told of a stream. */
struct xenbus_transport {
    unsigned pcm, stream;
    uint32_t ring_ref, event_channel, evt_ring_ref, evt_event_channel;
};

enum xenbus_news {
    XENBUS_NOTHING,
    XENBUS_PUBLISH, /* the backend waits: grant, then xenbus_front_publish */
    XENBUS_GO,      /* both are connected: play */
    XENBUS_LOST,    /* the backend is gone or closes: free, then xenbus_front_closed */
};

struct xenbus_front {
    struct xenbus_card card;
    char *backend_path; /* watched, or NULL */
    uint32_t backend_domid;
    uint32_t own_domid; /* at XENBUS_PUBLISH */
    bool published, connected;
    struct xenbus_features features;
};

/* Connects to xenstore and watches the card. 0 or -errno; nothing is left on failure. */
int xenbus_front_open(struct xenbus_front *front, unsigned devid);
/* Leaves the card as Closed without our nodes. Safe on a zeroed struct and twice. */
void xenbus_front_close(struct xenbus_front *front);

/* Readable when xenbus_front_next has something to say. Do not read it. */
int xenbus_front_fd(const struct xenbus_front *front);
/* Takes the watches that fired and says what is to be done now. */
enum xenbus_news xenbus_front_next(struct xenbus_front *front);

/*
 * Whether the domain has been resumed since XENBUS_PUBLISH, as after a migration: what was granted and bound before is
 * dead, and the card begins anew.
 */
bool xenbus_front_resumed(const struct xenbus_front *front);

/*
 * Answers XENBUS_PUBLISH: in one transaction writes the nodes of these streams, takes away what a process that died
 * left in the card's others, and sets the state Initialised. 0 or -errno.
 */
int xenbus_front_publish(struct xenbus_front *front, const struct xenbus_transport *transports,
                         unsigned count);
/* Answers XENBUS_LOST, and ends a connection of our own accord: removes the nodes
 * of all streams, state Closed. A card that was made anew meanwhile is left as it is. */
void xenbus_front_closed(struct xenbus_front *front);

#endif
