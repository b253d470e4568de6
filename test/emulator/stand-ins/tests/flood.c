/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Races notifications against unmasking, to find a wake-up that is lost.
 *   flood consume DOMID             prints port and grant reference, acknowledges what it is woken for
 *   flood produce DOMID PORT REF    two threads count up and notify; waits after each burst until all is
 * acknowledged A burst whose last notification was lost is never acknowledged: both sides then end with
 * status 1.
 */
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <xenevtchn.h>
#include <xengnttab.h>

#define BURSTS 3000
#define NOTIFICATIONS_PER_THREAD 20
#define TOTAL (BURSTS * NOTIFICATIONS_PER_THREAD * 2)
#define WAIT_MS 5000

/* What both processes see. */
struct shared {
    uint32_t produced;
    uint32_t acknowledged;
};

struct producer {
    xenevtchn_handle *evt;
    evtchn_port_t port;
    struct shared *shared;
};

/* Takes some time, so that notifications also arrive between work and unmask. */
static void work(uint32_t amount) {
    for (volatile uint32_t i = 0; i < amount * 100; i++)
        ;
}

static int consume(xenevtchn_handle *evt, uint32_t domid) {
    xengntshr_handle *shr = xengntshr_open(NULL, 0);
    struct pollfd pollfd = {.fd = xenevtchn_fd(evt), .events = POLLIN};
    int port = xenevtchn_bind_unbound_port(evt, domid);
    uint32_t ref, seen = 0;
    struct shared *shared = shr ? xengntshr_share_pages(shr, domid, 1, &ref, 1) : NULL;

    if (!shared || port < 0)
        return 1;
    printf("%d %u\n", port, ref);
    fflush(stdout);
    while (seen < TOTAL) {
        if (poll(&pollfd, 1, WAIT_MS) != 1 || xenevtchn_pending(evt) != port) {
            fprintf(stderr, "woken for %u of %u, seen %u\n", seen, TOTAL,
                    __atomic_load_n(&shared->produced, __ATOMIC_ACQUIRE));
            return 1;
        }
        seen = __atomic_load_n(&shared->produced, __ATOMIC_ACQUIRE);
        __atomic_store_n(&shared->acknowledged, seen, __ATOMIC_RELEASE);
        /* The unmask follows the work, as the library asks for: what comes in between must fire again. */
        work(seen % 64);
        xenevtchn_unmask(evt, (evtchn_port_t) port);
    }
    return 0;
}

static void *produce_some(void *userdata) {
    const struct producer *producer = userdata;

    for (int i = 0; i < NOTIFICATIONS_PER_THREAD; i++) {
        __atomic_fetch_add(&producer->shared->produced, 1, __ATOMIC_ACQ_REL);
        xenevtchn_notify(producer->evt, producer->port);
    }
    return NULL;
}

/* 0, or -1 when the consumer does not acknowledge in time. */
static int wait_acknowledged(const struct shared *shared, uint32_t count) {
    struct timespec start, now;

    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        if (__atomic_load_n(&shared->acknowledged, __ATOMIC_ACQUIRE) == count)
            return 0;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 < WAIT_MS);
    fprintf(stderr, "a wake-up was lost before notification %u\n", count);
    return -1;
}

static int produce(xenevtchn_handle *evt, uint32_t domid, evtchn_port_t remote_port, uint32_t ref) {
    xengnttab_handle *tab = xengnttab_open(NULL, 0);
    struct producer producer = {.evt = evt};
    int port = xenevtchn_bind_interdomain(evt, domid, remote_port);

    if (!tab || port < 0 ||
        !(producer.shared = xengnttab_map_grant_ref(tab, domid, ref, PROT_READ | PROT_WRITE)))
        return 1;
    producer.port = (evtchn_port_t) port;
    for (uint32_t burst = 1; burst <= BURSTS; burst++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, produce_some, &producer))
            return 1;
        produce_some(&producer);
        pthread_join(thread, NULL);
        if (wait_acknowledged(producer.shared, burst * NOTIFICATIONS_PER_THREAD * 2) < 0)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    xenevtchn_handle *evt = xenevtchn_open(NULL, 0);
    int status = 2;

    if (!evt) {
        perror("xenevtchn_open");
        return 1;
    }
    if (argc == 3 && strcmp(argv[1], "consume") == 0)
        status = consume(evt, (uint32_t) atoi(argv[2]));
    else if (argc == 5 && strcmp(argv[1], "produce") == 0)
        status =
            produce(evt, (uint32_t) atoi(argv[2]), (evtchn_port_t) atoi(argv[3]), (uint32_t) atoi(argv[4]));
    xenevtchn_close(evt);
    return status;
}
