/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-xen-internal.h"

#include <errno.h>
#include <stdio.h>

pthread_mutex_t fake_xen_lock = PTHREAD_MUTEX_INITIALIZER;

static _Thread_local uint32_t current_domid;
static unsigned misuses;

static struct {
    unsigned count, fail_at;
    int error;
} calls[FAKE_XEN_CALLS];

void fake_xen_set_domain(uint32_t domid) {
    current_domid = domid;
}

uint32_t fake_xen_domid(void) {
    return current_domid;
}

void fake_xen_fail(enum fake_xen_call call, unsigned nth, int error) {
    pthread_mutex_lock(&fake_xen_lock);
    calls[call].fail_at = nth ? calls[call].count + nth : 0;
    calls[call].error = error;
    pthread_mutex_unlock(&fake_xen_lock);
}

unsigned fake_xen_count(enum fake_xen_call call) {
    unsigned count;

    pthread_mutex_lock(&fake_xen_lock);
    count = calls[call].count;
    pthread_mutex_unlock(&fake_xen_lock);
    return count;
}

bool fake_xen_is_failing(enum fake_xen_call call) {
    if (++calls[call].count != calls[call].fail_at)
        return false;
    errno = calls[call].error;
    return true;
}

int fake_xen_misuse(const char *what) {
    fprintf(stderr, "fake-xen: %s\n", what);
    misuses++;
    errno = EINVAL;
    return -1;
}

void fake_xen_kill(uint32_t domid) {
    pthread_mutex_lock(&fake_xen_lock);
    fake_xen_kill_grants(domid);
    fake_xen_kill_ports(domid);
    pthread_mutex_unlock(&fake_xen_lock);
}

void fake_xen_resume(uint32_t domid) {
    pthread_mutex_lock(&fake_xen_lock);
    fake_xen_resume_ports(domid);
    pthread_mutex_unlock(&fake_xen_lock);
}

struct fake_xen_usage fake_xen_usage(void) {
    struct fake_xen_usage usage = {0};

    pthread_mutex_lock(&fake_xen_lock);
    usage.misuses = misuses;
    fake_xen_add_grant_usage(&usage);
    fake_xen_add_port_usage(&usage);
    pthread_mutex_unlock(&fake_xen_lock);
    return usage;
}

unsigned fake_xen_leaks(void) {
    struct fake_xen_usage usage = fake_xen_usage();
    unsigned sum = usage.handles + usage.shared_pages + usage.mapped_pages + usage.ports + usage.misuses;

    if (sum > 0)
        fprintf(stderr,
                "fake-xen: %u handles, %u shared pages, %u mapped pages, %u ports are left; %u misuses\n",
                usage.handles, usage.shared_pages, usage.mapped_pages, usage.ports, usage.misuses);
    return sum;
}
