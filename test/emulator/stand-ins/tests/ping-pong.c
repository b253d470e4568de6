/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Round trips over an event channel between two processes.
 *   ping-pong serve DOMID ROUNDS         prints its port, answers each event
 *   ping-pong ping DOMID PORT ROUNDS     sends them, prints the median and the longest round trip in
 * microseconds A wake-up that is lost makes either end with status 1 within seconds.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xenevtchn.h>

#define WAIT_MS 5000

static int compare_usec(const void *a, const void *b) {
    double left = *(const double *) a, right = *(const double *) b;

    return (left > right) - (left < right);
}

static double now_usec(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec * 1e6 + (double) now.tv_nsec / 1e3;
}

/* Takes one event of this port and unmasks it again. 0, or -1 when none comes. */
static int wait_event(xenevtchn_handle *evt, int port) {
    struct pollfd pollfd = {.fd = xenevtchn_fd(evt), .events = POLLIN};

    if (poll(&pollfd, 1, WAIT_MS) != 1 || xenevtchn_pending(evt) != port) {
        fprintf(stderr, "no event within %d ms: a wake-up was lost\n", WAIT_MS);
        return -1;
    }
    return xenevtchn_unmask(evt, (evtchn_port_t) port);
}

static int serve(xenevtchn_handle *evt, uint32_t domid, long rounds) {
    int port = xenevtchn_bind_unbound_port(evt, domid);

    if (port < 0)
        return 1;
    printf("%d\n", port);
    fflush(stdout);
    for (long i = 0; i < rounds; i++) {
        if (wait_event(evt, port) < 0 || xenevtchn_notify(evt, (evtchn_port_t) port) < 0)
            return 1;
    }
    return 0;
}

static int ping(xenevtchn_handle *evt, uint32_t domid, uint32_t remote_port, long rounds) {
    int port = xenevtchn_bind_interdomain(evt, domid, remote_port);
    double *trips = calloc((size_t) rounds, sizeof(*trips));
    int failed = !trips || port < 0 || wait_event(evt, port) < 0; /* a new binding fires once */

    for (long i = 0; !failed && i < rounds; i++) {
        double start = now_usec();

        failed = xenevtchn_notify(evt, (evtchn_port_t) port) < 0 || wait_event(evt, port) < 0;
        trips[i] = now_usec() - start;
    }
    if (!failed) {
        qsort(trips, (size_t) rounds, sizeof(*trips), compare_usec);
        printf("%.1f %.1f\n", trips[rounds / 2], trips[rounds - 1]);
    }
    free(trips);
    return failed;
}

int main(int argc, char **argv) {
    xenevtchn_handle *evt = xenevtchn_open(NULL, 0);
    int status = 2;

    if (!evt) {
        perror("xenevtchn_open");
        return 1;
    }
    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        status = serve(evt, (uint32_t) atoi(argv[2]), atol(argv[3]));
    else if (argc == 5 && strcmp(argv[1], "ping") == 0)
        status = ping(evt, (uint32_t) atoi(argv[2]), (uint32_t) atoi(argv[3]), atol(argv[4]));
    xenevtchn_close(evt);
    return status;
}
