/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "evil-guest.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CARD "device/vsnd/0"
#define ALIVE_OFFSET 20u
#define SLOTS_OFFSET 64u
#define STATE_LIMIT_MSEC 20000
#define ANSWER_LIMIT_MSEC 5000
#define POLL_MSEC 5

void evil_die(const char *format, ...) {
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (%s)\n", strerror(errno));
    exit(1);
}

/* ---- what is granted ---- */

static void grant_pages(struct evil_guest *guest, uint32_t domid) {
    guest->ring = xengntshr_share_page_notify(guest->share, domid, &guest->ring_ref, 1, ALIVE_OFFSET,
                                              (evtchn_port_t) -1);
    guest->events = xengntshr_share_pages(guest->share, domid, 1, &guest->events_ref, 1);
    guest->directory = xengntshr_share_pages(guest->share, domid, 1, &guest->directory_ref, 1);
    guest->buffer = xengntshr_share_pages(guest->share, domid, BUFFER_PAGES, guest->buffer_refs, 1);
    if (!guest->ring || !guest->events || !guest->directory || !guest->buffer)
        evil_die("granting pages to domain %u failed", domid);

    memset(guest->ring, 0, PAGE_BYTES);
    memset(guest->events, 0, PAGE_BYTES);
    memset(guest->directory, 0, PAGE_BYTES);
    guest->ring[ALIVE_OFFSET] = 1;
    ((volatile uint32_t *) guest->ring)[1] = 1; /* req_event */
    ((volatile uint32_t *) guest->ring)[3] = 1; /* rsp_event */
    memcpy(guest->directory + 1, guest->buffer_refs, sizeof(guest->buffer_refs));
}

void evil_guest_open(struct evil_guest *guest, uint32_t domid) {
    memset(guest, 0, sizeof(*guest));
    if (!(guest->xs = xs_open(0)))
        evil_die("connecting to xenstore failed");
    if (!(guest->share = xengntshr_open(NULL, 0)))
        evil_die("opening the grant allocator failed");
    if (!(guest->evtchn = xenevtchn_open(NULL, 0)))
        evil_die("opening event channels failed");
    grant_pages(guest, domid);
    guest->request_port = xenevtchn_bind_unbound_port(guest->evtchn, domid);
    guest->event_port = xenevtchn_bind_unbound_port(guest->evtchn, domid);
    if (guest->request_port < 0 || guest->event_port < 0)
        evil_die("allocating event channels failed");
}

/* ---- xenstore ---- */

void evil_guest_write(struct evil_guest *guest, const char *node, const char *value) {
    char path[128];

    snprintf(path, sizeof(path), CARD "/%s", node);
    if (!xs_write(guest->xs, XBT_NULL, path, value, (unsigned) strlen(value)))
        evil_die("writing %s failed", path);
}

void evil_guest_write_number(struct evil_guest *guest, const char *node, uint32_t number) {
    char text[16];

    snprintf(text, sizeof(text), "%u", number);
    evil_guest_write(guest, node, text);
}

static unsigned backend_state(struct evil_guest *guest) {
    unsigned length, state = 0;
    char *backend = xs_read(guest->xs, XBT_NULL, CARD "/backend", &length);
    char path[256], *text;

    if (!backend)
        evil_die("there is no " CARD "/backend");
    snprintf(path, sizeof(path), "%s/state", backend);
    free(backend);
    if ((text = xs_read(guest->xs, XBT_NULL, path, &length)))
        state = (unsigned) strtoul(text, NULL, 10);
    free(text);
    return state;
}

void evil_guest_await(struct evil_guest *guest, unsigned state) {
    for (int waited = 0; backend_state(guest) != state; waited += POLL_MSEC) {
        if (waited >= STATE_LIMIT_MSEC)
            evil_die("the backend is in state %u, not %u", backend_state(guest), state);
        poll(NULL, 0, POLL_MSEC);
    }
}

void evil_guest_publish(struct evil_guest *guest, uint32_t ring_ref) {
    evil_guest_await(guest, 2);
    evil_guest_write(guest, "version", "2");
    evil_guest_write(guest, "feature-alive", "1");
    evil_guest_write_number(guest, "0/0/ring-ref", ring_ref);
    evil_guest_write_number(guest, "0/0/event-channel", (uint32_t) guest->request_port);
    evil_guest_write_number(guest, "0/0/evt-ring-ref", guest->events_ref);
    evil_guest_write_number(guest, "0/0/evt-event-channel", (uint32_t) guest->event_port);
    evil_guest_write(guest, "state", "3");
}

void evil_guest_connect(struct evil_guest *guest) {
    evil_guest_publish(guest, guest->ring_ref);
    evil_guest_await(guest, 4);
    evil_guest_write(guest, "state", "4");
}

/* ---- requests ---- */

volatile uint32_t *evil_guest_req_prod(struct evil_guest *guest) {
    return (volatile uint32_t *) guest->ring;
}

void evil_guest_notify(struct evil_guest *guest) {
    xenevtchn_notify(guest->evtchn, (evtchn_port_t) guest->request_port);
}

void evil_guest_put(struct evil_guest *guest, const struct xensnd_req *req) {
    const uint32_t slot = guest->request_count % RING_SLOTS;

    memcpy(guest->ring + SLOTS_OFFSET + slot * sizeof(*req), req, sizeof(*req));
    __atomic_thread_fence(__ATOMIC_RELEASE); /* the request before the index that shows it */
    *evil_guest_req_prod(guest) = ++guest->request_count;
}

int evil_guest_ask(struct evil_guest *guest, struct xensnd_req req) {
    const volatile uint32_t *rsp_prod = (const volatile uint32_t *) guest->ring + 2;
    const uint32_t slot = guest->answer_count % RING_SLOTS;
    struct xensnd_resp resp;

    req.id = (uint16_t) guest->request_count;
    evil_guest_put(guest, &req);
    evil_guest_notify(guest);
    for (int waited = 0; *rsp_prod == guest->answer_count; waited += POLL_MSEC) {
        if (waited >= ANSWER_LIMIT_MSEC)
            evil_die("no answer to operation %u", req.operation);
        poll(NULL, 0, POLL_MSEC);
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the index before the answer it shows */
    memcpy(&resp, guest->ring + SLOTS_OFFSET + slot * sizeof(resp), sizeof(resp));
    guest->answer_count++;
    if (resp.id != req.id || resp.operation != req.operation)
        evil_die("the answer is to request %u, operation %u", resp.id, resp.operation);
    return resp.status;
}

struct xensnd_req evil_guest_open_request(const struct evil_guest *guest) {
    struct xensnd_req req;

    memset(&req, 0, sizeof(req));
    req.operation = XENSND_OP_OPEN;
    req.op.open.pcm_rate = 44100;
    req.op.open.pcm_format = XENSND_PCM_FORMAT_S16_LE;
    req.op.open.pcm_channels = 2;
    req.op.open.buffer_sz = BUFFER_PAGES * PAGE_BYTES;
    req.op.open.gref_directory = guest->directory_ref;
    req.op.open.period_sz = PAGE_BYTES;
    return req;
}

void evil_guest_play(struct evil_guest *guest) {
    struct xensnd_req req = {.operation = XENSND_OP_TRIGGER};
    int status = evil_guest_ask(guest, evil_guest_open_request(guest));

    req.op.trigger.type = XENSND_OP_TRIGGER_START;
    if (status == 0)
        status = evil_guest_ask(guest, req);
    if (status < 0)
        evil_die("a correct stream was refused with %d", status);
}
