/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_TESTS_FAKE_SERVER_H
#define XEN_AUDIO_TESTS_FAKE_SERVER_H

/* A sound server of one thread: owns a backend, carries out its commands, and pulls a block at a time like a
 * null sink, or pushes one like a card that captures. */

#include <pthread.h>

#include "sndif-backend.h"

struct fake_server {
    struct sndif_backend *backend;
    pthread_t thread;
    atomic_bool stop;
    uint64_t block_usec;
    atomic_bool deaf;    /* replies to nothing */
    atomic_bool no_sink; /* never pulls */

    struct sndif_playback *playback;
    struct sndif_capture *capture;
    bool running;
    uint64_t next_usec;

    /* capture: consent, and what follows of it */
    atomic_bool allowed, no_source; /* no_source: admitted, but does not push */
    bool admitted, wiping;
    atomic_bool active;     /* admitted, or not yet wiped */
    uint32_t pushed_frames; /* each holds its number plus 1, of 4 octets */
    atomic_uint pushes, wakes;
    atomic_uint_fast64_t late_usec; /* how late a push was at most: a busy machine */

    /* read these after fake_server_stop, or when nothing plays */
    uint32_t *heard; /* frames of 4 octets, silence included */
    size_t heard_frames, heard_max;
    atomic_uint_fast64_t last_sound_usec; /* when the last frame other than 0 is heard */
    atomic_uint opens, closes, starts, stops;
    atomic_bool broken, frontend_gone, refused;
    _Atomic(const char *) refusal; /* of the last OPEN that was refused */
    atomic_uint_fast64_t asked_latency_usec, overruns;
    int32_t millidecibel[2];
    bool muted[2];
};

/* Connects to what a frontend granted, as domain 0 of the calling thread, and starts. 0 or -errno. */
int fake_server_start(struct fake_server *server, const struct sndif_backend_config *config,
                      uint64_t block_usec, const char **what);
/* Ends thread and backend. */
void fake_server_stop(struct fake_server *server);

/* Caps that allow what the tests use: s16, 48 kHz, 1 or 2 channels, 64 KiB. */
struct sndif_caps fake_server_caps(void);

uint64_t fake_server_now_usec(void);

/* Waits until *flag is true, or what `is` says, at most 5 s. */
bool fake_server_await(atomic_bool *flag);
bool fake_server_await_as(atomic_bool *flag, bool is);

#endif
