/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-backend-internal.h"

#include <poll.h>
#include <time.h>

/* A frontend may ask for so much work, requests and notifications, in a window; what is over waits for the next. */
#define WINDOW_USEC 10000u
#define WINDOW_WORK 64u
/* How often to look after a frontend that sleeps: its death makes no noise. */
#define ALIVE_POLL_USEC 5000000u
#define TIMER_MIN_USEC 500u

uint64_t sndif_backend_now_usec(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u;
}

static void break_off(struct sndif_backend *b, const char *reason, bool frontend_gone) {
    if (b->broken)
        return;

    b->broken = true;
    sndif_mailbox_tell_broken(&b->mailbox, reason, frontend_gone);
}

static bool may_serve(struct sndif_backend *b, uint64_t now) {
    if (b->broken || (b->waiting && !b->abandoned))
        return false;

    if (now >= b->window_usec + WINDOW_USEC) {
        b->window_usec = now;
        b->window_work = 0;
    }
    return b->window_work < WINDOW_WORK;
}

static void serve_ring(struct sndif_backend *b) {
    uint64_t now = sndif_backend_now_usec();

    while (may_serve(b, now)) {
        enum sndif_ring_result got = sndif_ring_back_get(&b->ring, &b->request);

        if (got == SNDIF_RING_BROKEN)
            break_off(b, "its request ring's producer index is impossible", false);
        if (got != SNDIF_RING_GOT)
            return;
        b->window_work++;
        sndif_backend_serve(b, now);
        now = sndif_backend_now_usec();
    }
}

/* A port stays masked until its work is done and the window has room: a flood stays in the guest. */
static void take_ports(struct sndif_backend *b) {
    int port;

    while ((port = xen_io_evtchn_pending(&b->evtchn)) >= 0) {
        b->request_masked |= port == b->request_port;
        b->event_masked |= port == b->event_port;
        b->window_work++;
    }
}

static void unmask_ports(struct sndif_backend *b) {
    if (b->request_masked)
        xen_io_evtchn_unmask(&b->evtchn, (uint32_t) b->request_port);
    if (b->event_masked)
        xen_io_evtchn_unmask(&b->evtchn, (uint32_t) b->event_port);
    b->request_masked = b->event_masked = false;
}

static void check_alive(struct sndif_backend *b) {
    const volatile uint8_t *alive = (const volatile uint8_t *) b->ring_page + SNDIF_ALIVE_OFFSET;

    if (b->config.feature_alive && *alive == 0)
        break_off(b, "the frontend's process is gone", true);
}

/* Time to sleep: until the next event, the end of a window, the owner's limit, or the next look after the
 * frontend. */
static uint64_t sleep_usec(struct sndif_backend *b, uint64_t now) {
    uint64_t sleep = b->config.feature_alive ? ALIVE_POLL_USEC : UINT64_MAX;
    const uint64_t event_wait = sndif_backend_event_wait_usec(b, now);

    if (b->broken)
        return UINT64_MAX;

    sleep = min_u64(sleep, max_u64(event_wait, TIMER_MIN_USEC));
    if (b->waiting && !b->abandoned)
        sleep = min_u64(sleep, SNDIF_BACKEND_OWNER_LIMIT_USEC);
    else if (b->window_work >= WINDOW_WORK)
        sleep = min_u64(sleep, WINDOW_USEC);
    return sleep;
}

/* True: requests are left that may be served now. */
static bool settle(struct sndif_backend *b, uint64_t now) {
    if (!may_serve(b, now))
        return false;
    if (sndif_ring_back_final_check(&b->ring))
        return true;
    unmask_ports(b);
    return false;
}

static void wait_for_work(struct sndif_backend *b) {
    struct pollfd fds[2] = {{.fd = b->mailbox.stream_fd, .events = POLLIN},
                            {.fd = xen_io_evtchn_fd(&b->evtchn), .events = POLLIN}};
    const uint64_t sleep = sleep_usec(b, sndif_backend_now_usec());
    const struct timespec ts = {.tv_sec = (time_t) (sleep / 1000000u),
                                .tv_nsec = (long) (sleep % 1000000u) * 1000};

    if (ppoll(fds, b->broken ? 1 : 2, sleep == UINT64_MAX ? NULL : &ts, NULL) <= 0)
        return;
    if (fds[0].revents)
        sndif_mailbox_clear_stream(&b->mailbox);
    if (fds[1].revents)
        take_ports(b);
}

void *sndif_backend_thread(void *userdata) {
    struct sndif_backend *b = userdata;

    if (b->config.thread_started)
        b->config.thread_started(b->config.userdata);

    while (!atomic_load(&b->stop)) {
        uint64_t now;

        sndif_backend_wipe(b, sndif_backend_now_usec());
        sndif_backend_check_owner(b, sndif_backend_now_usec());
        check_alive(b);
        serve_ring(b);
        now = sndif_backend_now_usec();
        sndif_backend_report_position(b, now);
        if (!settle(b, now))
            wait_for_work(b);
    }
    return NULL;
}
