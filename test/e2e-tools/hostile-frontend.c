/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Usage: hostile-frontend MODE
 *
 * A guest domain that means harm, to be run in a domain with card 0 and no other frontend on it. It prints what it
 * got, then "done", and keeps all it has until it is ended.
 */
#include "evil-guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BACKEND_DOMID 0u
/* Some other guest; whether there is one makes no difference. */
#define OTHER_DOMID 2u
#define FLOOD_SEC 3
#define FLAPS 4000u

static double now_sec(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void report(const char *what, int status) {
    printf("%s: %d\n", what, status);
}

/* ---- rings and channels ---- */

static void jump_ring(struct evil_guest *guest) {
    evil_guest_connect(guest);
    evil_guest_play(guest);
    *evil_guest_req_prod(guest) += 1000000;
    evil_guest_notify(guest);
}

static void flood_notifications(struct evil_guest *guest) {
    unsigned long count = 0;

    evil_guest_connect(guest);
    evil_guest_play(guest);
    for (double end = now_sec() + FLOOD_SEC; now_sec() < end; count++) {
        evil_guest_notify(guest);
        xenevtchn_notify(guest->evtchn, (evtchn_port_t) guest->event_port);
    }
    printf("notifications: %lu\n", count);
}

/* Keeps the ring full of requests, every other one of an operation that there is not. */
static void flood_requests(struct evil_guest *guest) {
    const volatile uint32_t *rsp_prod = (const volatile uint32_t *) guest->ring + 2;
    struct xensnd_req req;

    memset(&req, 0, sizeof(req));
    evil_guest_connect(guest);
    for (double end = now_sec() + FLOOD_SEC; now_sec() < end;) {
        if (guest->request_count - *rsp_prod >= RING_SLOTS)
            continue;
        req.operation = guest->request_count % 2 ? XENSND_OP_HW_PARAM_QUERY : 200;
        evil_guest_put(guest, &req);
        evil_guest_notify(guest);
    }
    printf("requests: %u\n", guest->request_count);
}

static void write_rubbish(struct evil_guest *guest) {
    FILE *random = fopen("/dev/urandom", "r");

    evil_guest_connect(guest);
    for (double end = now_sec() + FLOOD_SEC; random && now_sec() < end;) {
        size_t n = fread(guest->ring, 1, PAGE_BYTES, random) + fread(guest->events, 1, PAGE_BYTES, random);

        if (n == 0)
            break;
        evil_guest_notify(guest);
    }
    if (random)
        fclose(random);
}

/* ---- pages ---- */

static void revoke_pages(struct evil_guest *guest) {
    evil_guest_connect(guest);
    evil_guest_play(guest);
    xengntshr_unshare(guest->share, guest->buffer, BUFFER_PAGES);
    xengntshr_unshare(guest->share, guest->directory, 1);
    xengntshr_unshare(guest->share, guest->events, 1);
    xengntshr_unshare(guest->share, guest->ring, 1);
    for (unsigned i = 0; i < 100; i++)
        evil_guest_notify(guest);
}

/* Pages that were granted to another domain, or to nobody. */
static void open_foreign_pages(struct evil_guest *guest) {
    struct xensnd_req req = evil_guest_open_request(guest);
    uint32_t foreign_ref;

    if (!xengntshr_share_pages(guest->share, OTHER_DOMID, 1, &foreign_ref, 1))
        evil_die("granting a page to domain %u failed", OTHER_DOMID);
    evil_guest_connect(guest);
    guest->directory[1] = foreign_ref;
    report("a page of another domain", evil_guest_ask(guest, req));
    guest->directory[1] = UINT32_MAX;
    report("a page of nobody", evil_guest_ask(guest, req));
    req.op.open.gref_directory = foreign_ref;
    report("a directory of another domain", evil_guest_ask(guest, req));
}

static void publish_foreign_ring(struct evil_guest *guest) {
    uint32_t foreign_ref;

    if (!xengntshr_share_pages(guest->share, OTHER_DOMID, 1, &foreign_ref, 1))
        evil_die("granting a page to domain %u failed", OTHER_DOMID);
    evil_guest_publish(guest, foreign_ref);
}

/* ---- requests that ask too much; the stream itself goes on ---- */

static void open_wrongly(struct evil_guest *guest) {
    struct xensnd_req req = evil_guest_open_request(guest);

    evil_guest_connect(guest);
    req.op.open.buffer_sz = UINT32_MAX - 3;
    report("a buffer of 4 GiB", evil_guest_ask(guest, req));
    req = evil_guest_open_request(guest);
    req.op.open.pcm_rate = 1000000000;
    report("a rate of 1 GHz", evil_guest_ask(guest, req));
    req = evil_guest_open_request(guest);
    req.op.open.pcm_format = 255;
    report("format 255", evil_guest_ask(guest, req));
    req = evil_guest_open_request(guest);
    guest->directory[BUFFER_PAGES] = 0;
    report("a short directory", evil_guest_ask(guest, req));
}

static void write_wrongly(struct evil_guest *guest) {
    static const uint32_t ranges[][2] = {{BUFFER_PAGES * PAGE_BYTES, 4},
                                         {0, BUFFER_PAGES * PAGE_BYTES + 4},
                                         {UINT32_MAX - 3, 8},
                                         {0, 0},
                                         {1, 4}};
    struct xensnd_req req = {.operation = XENSND_OP_WRITE};

    evil_guest_connect(guest);
    evil_guest_play(guest);
    for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        req.op.rw.offset = ranges[i][0];
        req.op.rw.length = ranges[i][1];
        report("a range out of bounds", evil_guest_ask(guest, req));
    }
    req.op.rw.offset = 0;
    req.op.rw.length = PAGE_BYTES;
    report("a range within bounds", evil_guest_ask(guest, req));
}

/* ---- xenstore ---- */

static void flap(struct evil_guest *guest) {
    evil_guest_publish(guest, guest->ring_ref);
    for (unsigned i = 0; i < FLAPS; i++)
        evil_guest_write_number(guest, "state", 1 + i % 8);
}

static void vanish(struct evil_guest *guest) {
    evil_guest_connect(guest);
    evil_guest_play(guest);
    printf("done\n");
    fflush(stdout);
    _exit(0);
}

static const struct {
    const char *name;
    void (*act)(struct evil_guest *guest);
} modes[] = {
    {"ring-jump", jump_ring},
    {"notify-flood", flood_notifications},
    {"request-flood", flood_requests},
    {"rubbish", write_rubbish},
    {"revoke", revoke_pages},
    {"foreign-pages", open_foreign_pages},
    {"foreign-ring", publish_foreign_ring},
    {"open-wrongly", open_wrongly},
    {"write-wrongly", write_wrongly},
    {"flap", flap},
    {"vanish", vanish},
};

int main(int argc, char **argv) {
    struct evil_guest guest;

    for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (argc != 2 || strcmp(argv[1], modes[i].name) != 0)
            continue;
        evil_guest_open(&guest, BACKEND_DOMID);
        modes[i].act(&guest);
        printf("done\n");
        fflush(stdout);
        for (;;)
            pause();
    }
    fprintf(stderr, "usage: hostile-frontend MODE, one of:\n");
    for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        fprintf(stderr, "  %s\n", modes[i].name);
    return 2;
}
