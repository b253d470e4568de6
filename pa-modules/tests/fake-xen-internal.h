/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_TESTS_FAKE_XEN_INTERNAL_H
#define XEN_AUDIO_TESTS_FAKE_XEN_INTERNAL_H

/* What the halves of the fake share. All but the lock and the domid are to be called with the lock held. */

#include <pthread.h>
#include <stdbool.h>

#include "fake-xen.h"

extern pthread_mutex_t fake_xen_lock;

/* Of the calling thread. */
uint32_t fake_xen_domid(void);
/* Counts the call. True: it is the one that fails; errno is set. */
bool fake_xen_is_failing(enum fake_xen_call call);
/* Says so, counts it, sets errno; gives -1. */
int fake_xen_misuse(const char *what);

void fake_xen_kill_grants(uint32_t domid);
void fake_xen_kill_ports(uint32_t domid);
void fake_xen_resume_ports(uint32_t domid);
void fake_xen_add_grant_usage(struct fake_xen_usage *usage);
void fake_xen_add_port_usage(struct fake_xen_usage *usage);

#endif
