/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_PROTO_H
#define XEN_AUDIO_SNDIF_PROTO_H

/*
 * sndif version 2 as Xen publishes it (xen/io/sndif.h), and the places of our extensions (docs/protocol.md).
 * The layout is asserted, because the pictures in Xen's header count octets from the end of a row.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/io/ring.h>
#include <xen/io/sndif.h>

/* Behind the includes, because ring.h takes us for an old interface version and defines them as mb() etc. */
#undef xen_mb
#undef xen_rmb
#undef xen_wmb
#define xen_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define xen_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define xen_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)

#define SNDIF_PAGE_BYTES 4096u

/* feature-alive: octet of the request ring page that is 1 while the frontend lives. */
#define SNDIF_ALIVE_OFFSET 20u
/* feature-wakeup: u64 of the event page, the position at which the frontend wants its next CUR_POS. */
#define SNDIF_WAKEUP_OFFSET 8u
/* feature-rewind: u64 of a WRITE request, the position in the stream that its samples have. */
#define SNDIF_WRITE_POSITION_OFFSET 16u
/* feature-latency: u32 of a CUR_POS event, microseconds until the octet at its position is heard. */
#define SNDIF_EVT_LATENCY_OFFSET 16u

/* Grant references a directory page holds after its link to the next one. */
#define SNDIF_GREFS_PER_PAGE ((SNDIF_PAGE_BYTES - sizeof(grant_ref_t)) / sizeof(grant_ref_t))

_Static_assert(sizeof(struct xensnd_req) == 64, "sndif v2 request");
_Static_assert(sizeof(struct xensnd_resp) == 64, "sndif v2 response");
_Static_assert(sizeof(struct xensnd_evt) == 64, "sndif v2 event");
_Static_assert(offsetof(struct xensnd_req, op.open.buffer_sz) == 16, "OPEN buffer_sz");
_Static_assert(offsetof(struct xensnd_req, op.open.gref_directory) == 20, "OPEN gref_directory");
_Static_assert(offsetof(struct xensnd_req, op.open.period_sz) == 24, "OPEN period_sz");
_Static_assert(offsetof(struct xensnd_resp, status) == 4, "response status");
_Static_assert(offsetof(struct xensnd_evt, op.cur_pos.position) == 8, "CUR_POS position");

#endif
