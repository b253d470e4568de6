/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_TESTS_FAKE_XEN_H
#define XEN_AUDIO_TESTS_FAKE_XEN_H

/*
 * A Xen inside one process: linked in the place of libxengnttab and libxenevtchn, for several domains at
 * once. A page that one domain grants and another maps is the same memory at two addresses. References and
 * ports are never the next number and are not used again at once, so that a stale one is noticed. Safe from
 * several threads.
 */

#include <stdint.h>

/* The domain of the handles that the calling thread opens from now on; 0 in a thread that has not said. */
void fake_xen_set_domain(uint32_t domid);

/* The calls that can be made to fail, and are counted. */
enum fake_xen_call {
    FAKE_XEN_SHARE_OPEN,
    FAKE_XEN_SHARE_PAGES, /* with or without notification */
    FAKE_XEN_MAP_OPEN,
    FAKE_XEN_MAP_PAGES,
    FAKE_XEN_EVTCHN_OPEN,
    FAKE_XEN_EVTCHN_FD,
    FAKE_XEN_BIND_UNBOUND,
    FAKE_XEN_BIND_INTERDOMAIN,
    FAKE_XEN_NOTIFY,
    FAKE_XEN_PENDING,
    FAKE_XEN_UNMASK,
    FAKE_XEN_CALLS,
};

/* Makes the nth call from now (1: the next) fail once with this errno; nth 0 takes it back. */
void fake_xen_fail(enum fake_xen_call call, unsigned nth, int error);
/* How often it was called since the program began. */
unsigned fake_xen_count(enum fake_xen_call call);

/* From now on a grant cannot be mapped; what is mapped stays, as on Xen. */
void fake_xen_revoke(uint32_t ref);

/*
 * The end of a domain's process without a word: its mappings and grants go, octets registered with
 * xengntshr_share_page_notify are cleared, its ports are closed, its handles freed. Nothing of it may be used
 * again.
 */
void fake_xen_kill(uint32_t domid);

/* The domain is resumed, as after a migration: its ports are dead, and closing one is a misuse. */
void fake_xen_resume(uint32_t domid);

struct fake_xen_usage {
    unsigned handles, shared_pages, mapped_pages, ports;
    unsigned misuses; /* calls with a handle, address or count that was never given out; never goes down */
};
struct fake_xen_usage fake_xen_usage(void);

/* The sum of the above; what there is goes to stderr. 0 when all has been given back. */
unsigned fake_xen_leaks(void);

#endif
