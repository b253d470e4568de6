/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_EVIL_GUEST_H
#define XEN_AUDIO_EVIL_GUEST_H

/*
 * A frontend of its own making, without any of the product's code: card 0, stream 0/0, and nothing that would keep
 * its user from breaking every rule. What fails on our own side ends the program with a message.
 */

#include <stdbool.h>
#include <stdint.h>

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>

#include <xen/xen.h>
#include <xen/io/sndif.h>

#define PAGE_BYTES 4096u
#define BUFFER_PAGES 16u
#define RING_SLOTS 32u

struct evil_guest {
    struct xs_handle *xs;
    xengntshr_handle *share;
    xenevtchn_handle *evtchn;
    uint8_t *ring, *events; /* one page each */
    uint32_t *directory;    /* one page: link, then references */
    uint8_t *buffer;
    uint32_t ring_ref, events_ref, directory_ref, buffer_refs[BUFFER_PAGES];
    xenevtchn_port_or_error_t request_port, event_port;
    uint32_t request_count, answer_count;
};

/* Prints and exits with 1. */
__attribute__((format(printf, 1, 2), noreturn)) void evil_die(const char *format, ...);

/* Connects to xenstore and to the devices, grants everything to domid. */
void evil_guest_open(struct evil_guest *guest, uint32_t domid);
/* Waits until the backend's state is the one wanted, at most 20 s. */
void evil_guest_await(struct evil_guest *guest, unsigned state);
/* Writes a node below device/vsnd/0. */
void evil_guest_write(struct evil_guest *guest, const char *node, const char *value);
void evil_guest_write_number(struct evil_guest *guest, const char *node, uint32_t number);
/* Waits for InitWait, publishes its rings, with the reference given as ring-ref, and state Initialised. */
void evil_guest_publish(struct evil_guest *guest, uint32_t ring_ref);
/* Publishes and waits until both are connected. */
void evil_guest_connect(struct evil_guest *guest);

/* The index of requests in the ring page, for those who like to change it. */
volatile uint32_t *evil_guest_req_prod(struct evil_guest *guest);
void evil_guest_notify(struct evil_guest *guest);
/* Puts a request without asking for room. */
void evil_guest_put(struct evil_guest *guest, const struct xensnd_req *req);
/* Sends a request and waits for its answer, at most 5 s: its status. */
int evil_guest_ask(struct evil_guest *guest, struct xensnd_req req);
/* OPEN of s16_le, 44100 Hz, stereo, the whole buffer. */
struct xensnd_req evil_guest_open_request(const struct evil_guest *guest);
/* Opens and starts. */
void evil_guest_play(struct evil_guest *guest);

#endif
