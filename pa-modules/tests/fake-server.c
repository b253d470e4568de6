/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "fake-xen.h"

#define HEARD_MAX_FRAMES (48000u * 30u)

uint64_t fake_server_now_usec(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u;
}

bool fake_server_await_as(atomic_bool *flag, bool is) {
    const struct timespec millisecond = {.tv_nsec = 1000000};
    const uint64_t end_usec = fake_server_now_usec() + 5000000u;

    while (atomic_load(flag) != is && fake_server_now_usec() < end_usec)
        nanosleep(&millisecond, NULL);
    return atomic_load(flag) == is;
}

bool fake_server_await(atomic_bool *flag) {
    return fake_server_await_as(flag, true);
}

struct sndif_caps fake_server_caps(void) {
    return (struct sndif_caps) {
        .formats = UINT64_C(1) << XENSND_PCM_FORMAT_S16_LE,
        .rate_min = 8000,
        .rate_max = 48000,
        .channels_min = 1,
        .channels_max = 2,
        .buffer_max_bytes = 65536,
        .buffer_min_frames = 64,
        .period_min_frames = 32,
    };
}

/* A source pushes while the frontend has started the stream and its guest may record. */
static void reconcile(struct fake_server *s) {
    const bool wanted = s->capture && s->running && atomic_load(&s->allowed);

    if (wanted && !s->admitted && !s->wiping) {
        s->admitted = sndif_capture_admit(s->capture);
        s->next_usec = fake_server_now_usec() + s->block_usec;
        atomic_store(&s->active, true);
    } else if (!wanted && s->admitted) {
        s->admitted = false;
        s->wiping = true;
        sndif_backend_revoke(s->backend);
    }
}

static int carry_out(struct fake_server *s, struct sndif_backend_command *c) {
    switch (c->type) {
        case SNDIF_BACKEND_OPEN:
            s->playback = c->playback;
            s->capture = c->capture;
            atomic_fetch_add(&s->opens, 1);
            return 0;
        case SNDIF_BACKEND_START:
            s->running = true;
            s->next_usec = fake_server_now_usec();
            atomic_store(&s->asked_latency_usec, c->latency_usec);
            atomic_fetch_add(&s->starts, 1);
            reconcile(s);
            return 0;
        case SNDIF_BACKEND_STOP:
            s->running = false;
            reconcile(s);
            atomic_fetch_add(&s->stops, 1);
            return 0;
        case SNDIF_BACKEND_CLOSE:
            s->running = false;
            reconcile(s);
            if (s->capture)
                atomic_store(&s->overruns, atomic_load(&s->capture->stats.overruns));
            s->playback = NULL;
            s->capture = NULL;
            atomic_fetch_add(&s->closes, 1);
            return 0;
        case SNDIF_BACKEND_SET_VOLUME:
            memcpy(s->millidecibel, c->millidecibel, sizeof(s->millidecibel));
            return 0;
        case SNDIF_BACKEND_GET_VOLUME:
            memcpy(c->millidecibel, s->millidecibel, sizeof(s->millidecibel));
            return 0;
        case SNDIF_BACKEND_SET_MUTE:
            for (unsigned i = 0; i < 2; i++)
                if (c->affected[i])
                    s->muted[i] = c->mute;
            return 0;
        default:
            return -EINVAL;
    }
}

static void serve_commands(struct fake_server *s) {
    struct sndif_backend_command *c;

    while ((c = sndif_backend_next(s->backend))) {
        if (c->type == SNDIF_BACKEND_BROKEN) {
            s->running = false;
            reconcile(s);
            atomic_store(&s->frontend_gone, c->frontend_gone);
            atomic_store(&s->broken, true);
        } else if (c->type == SNDIF_BACKEND_REFUSED) {
            atomic_store(&s->refusal, c->reason);
            atomic_store(&s->refused, true);
        } else if (c->type == SNDIF_BACKEND_WIPED) {
            s->wiping = false;
            atomic_store(&s->active, false);
        } else if (c->type == SNDIF_BACKEND_LATENCY) {
            atomic_store(&s->asked_latency_usec, c->latency_usec);
        } else if (!atomic_load(&s->deaf)) {
            sndif_backend_reply(s->backend, carry_out(s, c));
        }
    }
}

/* A null sink: what it renders is heard from next_usec on. */
static void pull_block(struct fake_server *s) {
    const struct sndif_params *params = &s->playback->params;
    const size_t frames = (size_t) (s->block_usec * params->rate / 1000000u);
    uint32_t *dst = s->heard + s->heard_frames;
    const uint64_t now = fake_server_now_usec();

    if (s->heard_frames + frames > s->heard_max)
        return;
    sndif_playback_pull(s->playback, dst, frames * params->frame_bytes, now,
                        (int64_t) s->next_usec - (int64_t) now);
    for (size_t i = 0; i < frames; i++)
        if (dst[i] != 0)
            atomic_store(&s->last_sound_usec, s->next_usec + (i + 1) * 1000000u / params->rate);
    s->heard_frames += frames;
    s->next_usec += s->block_usec;
}

/* A card: what it has captured was at the microphone until next_usec. */
static void push_block(struct fake_server *s) {
    const struct sndif_params *params = &s->capture->params;
    const uint32_t frames = (uint32_t) (s->block_usec * params->rate / 1000000u);
    const uint64_t now = fake_server_now_usec();
    uint32_t *samples = calloc(frames, sizeof(uint32_t));

    for (uint32_t i = 0; i < frames; i++)
        samples[i] = ++s->pushed_frames;
    if (now - s->next_usec > atomic_load(&s->late_usec))
        atomic_store(&s->late_usec, now - s->next_usec);
    if (sndif_capture_push(s->capture, samples, (size_t) frames * params->frame_bytes, now,
                           (int64_t) (now - s->next_usec))) {
        atomic_fetch_add(&s->wakes, 1);
        sndif_backend_wake(s->backend);
    }
    atomic_fetch_add(&s->pushes, 1);
    free(samples);
    s->next_usec += s->block_usec;
}

static bool has_card(const struct fake_server *s) {
    if (s->capture)
        return s->admitted && !atomic_load(&s->no_source);
    return s->running && !atomic_load(&s->no_sink);
}

static void *server_thread(void *userdata) {
    struct fake_server *s = userdata;

    while (!atomic_load(&s->stop)) {
        struct pollfd fd = {.fd = sndif_backend_fd(s->backend), .events = POLLIN};
        struct timespec ts = {.tv_nsec = 10000000};

        if (has_card(s)) {
            uint64_t now = fake_server_now_usec();
            uint64_t wait = s->next_usec > now ? s->next_usec - now : 0;

            ts.tv_nsec = (long) (wait < 10000u ? wait : 10000u) * 1000;
        }
        ppoll(&fd, 1, &ts, NULL);
        serve_commands(s);
        reconcile(s);
        if (has_card(s) && fake_server_now_usec() >= s->next_usec) {
            if (s->capture)
                push_block(s);
            else
                pull_block(s);
        }
    }
    return NULL;
}

int fake_server_start(struct fake_server *server, const struct sndif_backend_config *config,
                      uint64_t block_usec, const char **what) {
    int r;

    memset(server, 0, sizeof(*server));
    server->block_usec = block_usec;
    server->heard_max = HEARD_MAX_FRAMES;
    fake_xen_set_domain(0);
    if ((r = sndif_backend_new(&server->backend, config, what)) < 0)
        return r;
    server->heard = calloc(server->heard_max, sizeof(uint32_t));
    if ((r = pthread_create(&server->thread, NULL, server_thread, server)) != 0) {
        fake_server_stop(server);
        return -r;
    }
    return 0;
}

void fake_server_stop(struct fake_server *server) {
    if (server->thread) {
        atomic_store(&server->stop, true);
        pthread_join(server->thread, NULL);
        server->thread = 0;
    }
    sndif_backend_free(server->backend);
    free(server->heard);
    server->backend = NULL;
    server->heard = NULL;
}
