/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STAND_INS_LAYOUT_H
#define STAND_INS_LAYOUT_H

/* What the stand-ins share with the emulator: the calls (hypervisor/rpc.ts) and the files
 * (hypervisor/tables.ts). */

#include <stdint.h>

#define STAND_IN_PAGE_BYTES 4096u

enum rpc_op {
    RPC_OPEN = 1,             /* -> handle id */
    RPC_BIND_UNBOUND = 2,     /* domid -> port, slot */
    RPC_BIND_INTERDOMAIN = 3, /* domid, port -> port, slot */
    RPC_UNBIND = 4,           /* port */
    RPC_RESTRICT = 5,         /* domid */
    RPC_SHARE = 6,   /* domid, count, writable, notify offset, notify port -> region, count * (ref, page) */
    RPC_UNSHARE = 7, /* region */
    RPC_MAP = 8,     /* writable, notify offset, notify port, count * (domid, ref) -> region, count * page */
    RPC_UNMAP = 9,   /* region */
    RPC_CLOSE = 10,
};

/* Precedes the words of a call and of its answer. */
struct rpc_header {
    uint32_t op_or_status; /* answer: 0 or -errno */
    uint32_t words;
};

/* The two bits of event_slot.signal. Both change in one atomic step, so that no wake-up is lost. */
#define SIGNAL_PENDING 1u
#define SIGNAL_MASKED 2u

/* A port in DIR/event-channels. Slot 0 is no port. */
struct event_slot {
    uint32_t signal; /* written by the processes at both ends */
    uint32_t handle; /* whose FIFO gets the port's number; this and the rest are written by the emulator */
    uint32_t port;
    uint32_t peer;  /* slot of the other end, 0 while unbound */
    uint32_t loses; /* 1: the next notification does not arrive; taken back by who notifies */
    uint32_t reserved[3];
};

#define EVENT_SLOTS 16384u
#define PORTS_PER_DOMAIN 4096u

/* In a FIFO: an event of the emulator, which leaves it to the reader to set the pending bit. */
#define FIFO_RAISE 0x80000000u

#endif
