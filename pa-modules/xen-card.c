/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "xen-card.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <pulse/rtclock.h>
#include <pulse/timeval.h>
#include <pulse/xmalloc.h>

#include <pulsecore/core-error.h>
#include <pulsecore/core-rtclock.h>
#include <pulsecore/core-util.h>
#include <pulsecore/llist.h>
#include <pulsecore/log.h>
#include <pulsecore/macro.h>
#include <pulsecore/msgobject.h>
#include <pulsecore/shared.h>

#define RETRY_USEC (2 * PA_USEC_PER_SEC)
/* A stream that fails beside others, or cannot be granted what it needs, waits twice as long each time, up to 64 s:
 * each attempt interrupts the others. */
#define DOUBLINGS_MAX 5u
/* Unless it has lasted for so long. */
#define STABLE_USEC (10 * PA_USEC_PER_SEC)
/* It waits no longer than a minute more for them to fall silent. */
#define POSTPONED_MAX 30u

enum { CARD_MESSAGE_FAILURE, CARD_MESSAGE_LOSS };

/* Outlives its stream in the queue of an IO thread. */
struct card_msg {
    pa_msgobject parent;
    struct xen_card_stream *stream; /* NULL when it has left */
};
typedef struct card_msg card_msg;
PA_DEFINE_PRIVATE_CLASS(card_msg, pa_msgobject);

struct xen_card {
    pa_core *core;
    char key[32]; /* of the card in the core's shared properties */
    struct xenbus_front bus;
    pa_io_event *bus_event;
    pa_time_event *retry_event; /* nothing is published before it */
    unsigned postponed;         /* how often, because other streams are in use */
    bool stale;                 /* streams have joined since it was published */
    PA_LLIST_HEAD(struct xen_card_stream, streams);
};

struct xen_card_stream {
    struct xen_card *card;
    PA_LLIST_FIELDS(struct xen_card_stream);
    pa_module *module;
    char type;
    struct xenbus_stream_id id;
    bool found; /* id.pcm and id.stream are those of the card */
    const struct xen_card_callbacks *callbacks;
    void *userdata;
    card_msg *msg;

    bool wanted; /* params are set */
    struct xen_card_params params;
    struct sndif_frontend front;
    bool granted, linked;
    pa_usec_t linked_usec; /* since when */
    unsigned failures;     /* in a row */
    char *refusal;         /* last reason it was refused for, said once */
};

static const char *kind_of(const struct xen_card_stream *stream) {
    return stream->type == 'p' ? "playback" : "capture";
}

/* ---- the end of a connection ---- */

static void unlink_stream(struct xen_card_stream *stream) {
    if (!stream->linked)
        return;
    stream->callbacks->unlink(stream->userdata);
    stream->linked = false;
    if (pa_rtclock_now() - stream->linked_usec > STABLE_USEC)
        stream->failures = 0;
}

/* resumed: the channels are of the domain's life before a resume. */
static void withdraw(struct xen_card_stream *stream, bool resumed) {
    unlink_stream(stream);
    if (stream->granted) {
        if (resumed)
            xen_io_evtchn_abandon(&stream->front.evtchn);
        sndif_frontend_done(&stream->front);
    }
    stream->granted = false;
}

static void cancel_retry(struct xen_card *card) {
    if (card->retry_event)
        card->core->mainloop->time_free(card->retry_event);
    card->retry_event = NULL;
}

static void retry_in(struct xen_card *card, pa_usec_t usec);

static pa_usec_t next_delay(struct xen_card_stream *stream) {
    return RETRY_USEC << PA_MIN(stream->failures++, DOUBLINGS_MAX);
}

/* Our own state says Closed, which the backend answers with InitWait; after a resume it waits already. */
static void disconnect(struct xen_card *card) {
    const bool resumed = card->bus.published && xenbus_front_resumed(&card->bus);
    struct xen_card_stream *stream;

    PA_LLIST_FOREACH(stream, card->streams) {
        withdraw(stream, resumed);
    }
    card->stale = false;
    card->postponed = 0;
    cancel_retry(card); /* what it waits for has happened another way */
    if (card->bus.published)
        xenbus_front_closed(&card->bus);
    if (!resumed)
        return;
    pa_log("Card vsnd-%u: this guest has been resumed while it was connected; connecting anew. Its old event "
           "channels stay open until this process ends, which Linux may not survive cleanly: next time, let "
           "dom0 "
           "disconnect the card first, with xen-audioctl save or migrate, or PrepareSuspend on D-Bus.",
           card->bus.card.devid);
    retry_in(card, 0); /* no state of ours is about to change */
}

/* ---- refusals ---- */

/* Says why a stream cannot be used, once for each reason. */
static void refuse(struct xen_card_stream *stream, char *reason) {
    if (!reason || pa_safe_streq(reason, stream->refusal)) {
        free(reason);
        return;
    }
    pa_log("Card vsnd-%u: %s. %s until that changes.", stream->id.devid, reason,
           stream->type == 'p' ? "Playing nowhere" : "Recording silence");
    free(stream->refusal);
    stream->refusal = reason;
}

static char *driver_complaint(unsigned devid) {
    char *driver = xenbus_card_driver("/sys", devid), *text = NULL;

    if (driver &&
        asprintf(&text,
                 "it is held by the kernel driver \"%s\". Either use it (load-module module-alsa-sink or "
                 "module-alsa-source on its card), or free it: echo vsnd-%u > /sys/bus/xen/drivers/%s/unbind "
                 "(and blacklist snd_xen_front)",
                 driver, devid, driver) < 0)
        text = NULL;
    free(driver);
    return text;
}

/* What to do about a device of Xen's that cannot be opened; "" for other errors. */
static const char *device_hint(int error) {
    switch (error) {
        case EACCES:
        case EPERM:
            return ". May this user open /dev/xen/xenbus, gntalloc and evtchn? With our udev rule the group "
                   "xen-audio may";
        case ENOENT:
        case ENODEV:
        case ENXIO:
            return ". Is this a Xen guest, with the kernel's modules xen-gntalloc and xen-evtchn loaded?";
        default:
            return "";
    }
}

/* Who had the same stream before: of a card that is not there yet, both may only want its first. */
static struct xen_card_stream *rival_of(const struct xen_card_stream *stream) {
    struct xen_card_stream *other;

    PA_LLIST_FOREACH(other, stream->card->streams) {
        if (other->module->index >= stream->module->index || other->type != stream->type ||
            other->found != stream->found)
            continue;
        if (!stream->found || (other->id.pcm == stream->id.pcm && other->id.stream == stream->id.stream))
            return other;
    }
    return NULL;
}

static char *rival_complaint(const struct xen_card_stream *stream) {
    const struct xen_card_stream *rival = rival_of(stream);
    char *text = NULL;

    if (rival && asprintf(&text,
                          "used by module #%u already: unload that, or choose another card or %s stream "
                          "with device=",
                          rival->module->index, kind_of(stream)) < 0)
        text = NULL;
    return text;
}

/* Finds the stream in the card. As xenbus_card_find. */
static int find_stream(struct xen_card_stream *stream, struct xenbus_stream_config *config, char **error) {
    int r;

    if ((*error = driver_complaint(stream->id.devid)))
        return -EBUSY;
    r = xenbus_card_find(&stream->card->bus.card, &stream->id, stream->type, config, error);
    stream->found = stream->id.chosen || r == 0;
    return r;
}

/* ---- the handshake ---- */

/* Grants what a stream needs. False after saying why not. */
static bool grant(struct xen_card_stream *stream) {
    const struct xen_card_params *params = &stream->params;
    struct xenbus_stream_config config;
    const char *what;
    char *error;
    int r = find_stream(stream, &config, &error);

    if (r == 0 && !(error = rival_complaint(stream)))
        error = xenbus_config_complaint(&config, params->format, params->rate, params->channels);
    if (error || r < 0) {
        refuse(stream, error);
        return false;
    }
    r = sndif_frontend_init(&stream->front, stream->card->bus.backend_domid, params->buffer_bytes, &what);
    if (r < 0) {
        if (asprintf(&error, "%s failed: %s%s", what, pa_cstrerror(-r), device_hint(-r)) >= 0)
            refuse(stream, error);
        retry_in(stream->card, next_delay(stream)); /* nobody tells when there is room, or leave */
        return false;
    }
    stream->granted = true;
    return true;
}

static struct xenbus_transport transport_of(const struct xen_card_stream *stream) {
    return (struct xenbus_transport) {.pcm = stream->id.pcm,
                                      .stream = stream->id.stream,
                                      .ring_ref = stream->front.ring_ref,
                                      .event_channel = stream->front.request_port,
                                      .evt_ring_ref = stream->front.evt_ring_ref,
                                      .evt_event_channel = stream->front.event_port};
}

static void publish_failed(struct xen_card *card, int error) {
    const bool resumed = xenbus_front_resumed(&card->bus);
    struct xen_card_stream *stream;
    char *reason;

    PA_LLIST_FOREACH(stream, card->streams) {
        if (stream->granted &&
            asprintf(&reason, "publishing its rings in xenstore failed: %s", pa_cstrerror(error)) >= 0)
            refuse(stream, reason);
        withdraw(stream, resumed);
        retry_in(card, next_delay(stream));
    }
}

static unsigned count_streams(const struct xen_card *card) {
    const struct xen_card_stream *stream;
    unsigned count = 0;

    PA_LLIST_FOREACH(stream, card->streams) {
        count++;
    }
    return count;
}

/* The streams that can be used, although others cannot. */
static void publish(struct xen_card *card) {
    struct xenbus_transport *transports = pa_xnew(struct xenbus_transport, count_streams(card));
    struct xen_card_stream *stream;
    unsigned count = 0;
    int r;

    PA_LLIST_FOREACH(stream, card->streams) {
        if (stream->wanted && grant(stream))
            transports[count++] = transport_of(stream);
    }
    if (count > 0 && (r = xenbus_front_publish(&card->bus, transports, count)) < 0)
        publish_failed(card, -r);
    pa_xfree(transports);
}

static void link_streams(struct xen_card *card) {
    struct xen_card_stream *stream;

    PA_LLIST_FOREACH(stream, card->streams) {
        if (!stream->granted)
            continue;
        free(stream->refusal);
        stream->refusal = NULL;
        stream->callbacks->link(stream->userdata, &stream->front, &card->bus.features);
        stream->linked = true;
        stream->linked_usec = pa_rtclock_now();
    }
}

static void follow_bus(struct xen_card *card) {
    switch (xenbus_front_next(&card->bus)) {
        case XENBUS_PUBLISH:
            if (!card->retry_event)
                publish(card);
            break;
        case XENBUS_GO:
            pa_log_info("Card vsnd-%u: connected to domain %u.", card->bus.card.devid,
                        card->bus.backend_domid);
            if (card->stale)
                disconnect(card);
            else
                link_streams(card);
            break;
        case XENBUS_LOST:
            pa_log_info(
                "Card vsnd-%u: the backend has closed; playing nowhere and recording silence until it "
                "returns. If it does not, the log of xen-audiod in the backend's domain says why.",
                card->bus.card.devid);
            disconnect(card);
            break;
        case XENBUS_NOTHING:
            break;
    }
}

static void bus_event_cb(pa_mainloop_api *a, pa_io_event *e, int fd, pa_io_event_flags_t events,
                         void *userdata) {
    (void) a, (void) e, (void) fd, (void) events;
    follow_bus(userdata);
}

/* ---- trying again ---- */

static bool is_linked(const struct xen_card_stream *stream) {
    return stream->linked;
}

static bool is_in_use(const struct xen_card_stream *stream) {
    return stream->linked && stream->callbacks->in_use(stream->userdata);
}

static bool is_any(const struct xen_card *card, bool (*is)(const struct xen_card_stream *)) {
    const struct xen_card_stream *stream;

    PA_LLIST_FOREACH(stream, card->streams) {
        if (is(stream))
            return true;
    }
    return false;
}

static void retry_cb(pa_mainloop_api *a, pa_time_event *e, const struct timeval *tv, void *userdata) {
    struct xen_card *card = userdata;

    (void) a, (void) e, (void) tv;
    cancel_retry(card);
    if (card->bus.published && is_any(card, is_in_use) && card->postponed < POSTPONED_MAX) {
        card->postponed++;
        retry_in(card, RETRY_USEC);
        return;
    }
    if (card->bus.published)
        disconnect(card);
    follow_bus(card);
}

static void retry_in(struct xen_card *card, pa_usec_t usec) {
    if (!card->retry_event)
        card->retry_event = pa_core_rttime_new(card->core, pa_rtclock_now() + usec, retry_cb, card);
}

/* At the cost of the card's other streams only if there is no other way. */
static void try_again(struct xen_card_stream *stream, const struct sndif_session *failed) {
    pa_usec_t delay_usec = RETRY_USEC;
    bool alone;

    unlink_stream(stream);
    alone = !is_any(stream->card, is_linked);
    if (!alone)
        delay_usec = next_delay(stream);
    pa_log(
        "Card vsnd-%u, %s: %s failed: %s (%s, %u Hz, %u channels, buffer of %u octets). Trying again in %u "
        "s%s.",
        stream->id.devid, kind_of(stream), failed->failure,
        failed->failure_status ? pa_cstrerror(-failed->failure_status) : "protocol error",
        failed->format->name, failed->rate, failed->channels, failed->buffer_bytes,
        (unsigned) (delay_usec / PA_USEC_PER_SEC),
        alone ? "" : ", or up to a minute later while the card's other streams are in use");
    if (alone)
        disconnect(stream->card);
    retry_in(stream->card, delay_usec);
}

static int card_process_msg_cb(pa_msgobject *o, int code, void *data, int64_t offset, pa_memchunk *chunk) {
    struct xen_card_stream *stream = ((card_msg *) o)->stream;

    (void) chunk;
    if (!stream || !stream->linked)
        return 0;

    if (code == CARD_MESSAGE_FAILURE)
        try_again(stream, data);
    else
        pa_log(
            "Card vsnd-%u, %s: the stream's thread was late, and %.1f ms were lost. More of it is not logged "
            "until the card is connected anew. Does this guest get enough processor time?",
            stream->id.devid, kind_of(stream), (double) offset / PA_USEC_PER_MSEC);
    return 0;
}

void xen_card_post_failure(struct xen_card_stream *stream, pa_thread_mq *mq, struct sndif_session *failed) {
    pa_asyncmsgq_post(mq->outq, PA_MSGOBJECT(stream->msg), CARD_MESSAGE_FAILURE, failed, 0, NULL, NULL);
}

void xen_card_post_loss(struct xen_card_stream *stream, pa_thread_mq *mq, pa_usec_t lost_usec) {
    pa_asyncmsgq_post(mq->outq, PA_MSGOBJECT(stream->msg), CARD_MESSAGE_LOSS, NULL, (int64_t) lost_usec, NULL,
                      NULL);
}

/* ---- joining and leaving ---- */

static void card_free(struct xen_card *card) {
    cancel_retry(card);
    if (card->bus_event)
        card->core->mainloop->io_free(card->bus_event);
    xenbus_front_close(&card->bus);
    pa_shared_remove(card->core, card->key);
    pa_xfree(card);
}

static struct xen_card *card_open(pa_core *core, unsigned devid) {
    char key[sizeof(((struct xen_card *) NULL)->key)];
    struct xen_card *card;
    int r;

    pa_snprintf(key, sizeof(key), "xen-audio-vsnd-%u", devid);
    if ((card = pa_shared_get(core, key)))
        return card;

    card = pa_xnew0(struct xen_card, 1);
    card->core = core;
    memcpy(card->key, key, sizeof(key));
    if ((r = xenbus_front_open(&card->bus, devid)) < 0) {
        pa_log("Connecting to xenstore failed: %s%s.", pa_cstrerror(-r), device_hint(-r));
        pa_xfree(card);
        return NULL;
    }
    pa_shared_set(core, key, card);
    card->bus_event = core->mainloop->io_new(core->mainloop, xenbus_front_fd(&card->bus), PA_IO_EVENT_INPUT,
                                             bus_event_cb, card);
    return card;
}

struct xen_card_stream *xen_card_join(pa_module *module, const char *device, char type,
                                      const struct xen_card_callbacks *callbacks, void *userdata) {
    struct xen_card_stream *stream;
    struct xenbus_stream_id id;
    struct xen_card *card;

    if (!xenbus_parse_stream_id(device, &id)) {
        pa_log("device=%s: expected the index of a vsnd card, as in \"0\", or card/pcm/stream, as in "
               "\"0/0/1\".",
               device);
        return NULL;
    }
    if (!(card = card_open(module->core, id.devid)))
        return NULL;

    stream = pa_xnew0(struct xen_card_stream, 1);
    stream->card = card;
    stream->module = module;
    stream->type = type;
    stream->id = id;
    stream->found = id.chosen;
    stream->callbacks = callbacks;
    stream->userdata = userdata;
    stream->msg = pa_msgobject_new(card_msg);
    stream->msg->parent.process_msg = card_process_msg_cb;
    stream->msg->stream = stream;
    PA_LLIST_PREPEND(struct xen_card_stream, card->streams, stream);
    return stream;
}

void xen_card_leave(struct xen_card_stream *stream) {
    struct xen_card *card;

    if (!stream)
        return;

    card = stream->card;
    if (stream->granted) {
        const bool connected = card->bus.connected;

        disconnect(card);
        if (!connected) /* the backend may be connecting: it would take new rings for these */
            retry_in(card, RETRY_USEC);
    }
    PA_LLIST_REMOVE(struct xen_card_stream, card->streams, stream);
    stream->msg->stream = NULL;
    pa_msgobject_unref(PA_MSGOBJECT(stream->msg));
    free(stream->refusal);
    pa_xfree(stream);
    if (!card->streams)
        card_free(card);
}

unsigned xen_card_devid(const struct xen_card_stream *stream) {
    return stream->id.devid;
}

int xen_card_read(struct xen_card_stream *stream, struct xenbus_stream_config *config) {
    char *error, *taken = NULL;
    int r = find_stream(stream, config, &error);

    if (r == 0 || r == -ENOENT)
        taken = rival_complaint(stream);
    if (taken)
        pa_log("Card vsnd-%u is %s.", stream->id.devid, taken);
    else if (r == -ENOENT)
        pa_log_info("Card vsnd-%u is not there yet; waiting for it.", stream->id.devid);
    else if (r < 0)
        pa_log("Card vsnd-%u: %s.", stream->id.devid, error ? error : pa_cstrerror(-r));
    r = taken || (r < 0 && r != -ENOENT) ? -1 : 0;
    free(taken);
    free(error);
    return r;
}

void xen_card_connect(struct xen_card_stream *stream, const struct xen_card_params *params) {
    struct xen_card *card = stream->card;

    stream->params = *params;
    stream->wanted = true;
    if (card->bus.connected)
        disconnect(card);
    else if (card->bus.published)
        card->stale = true; /* the backend may be connecting, and is let finish */
    else
        retry_in(card, 0); /* from the main loop, when all modules are there that are loaded now */
}
