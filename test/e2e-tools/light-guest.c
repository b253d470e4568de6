/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Usage: light-guest
 *
 * A guest without a sound server, so that many fit on a small machine: a correct frontend of card 0, which has the
 * playback stream 0/0 and the capture stream 0/1. It connects whenever its card is there, and comes back after each
 * disconnection. Commands on standard input, a line each: "play", "stop", "record", "deafen"; its end closes the card
 * in order. Standard output: "watching" once it would see a card, "connected", "lost", "failed: REASON".
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sndif-player.h"
#include "sndif-recorder.h"
#include "xenbus-front.h"

#define RATE 44100u
#define CHANNELS 2u
#define BUFFER_BYTES (16u * 4096u)
#define AHEAD_USEC 200000u
/* As a recorder's fragment. */
#define FRAGMENT_USEC 100000u
#define SKIP_USEC 10000u

struct stream {
    struct sndif_frontend front;
    bool is_linked, is_wanted, has_failed;
    union {
        struct sndif_session session; /* the first member of both */
        struct sndif_player player;
        struct sndif_recorder recorder;
    } u;
};

enum { PLAYBACK, CAPTURE, STREAMS };

struct guest {
    struct xenbus_front xenbus;
    bool is_connected;
    struct stream streams[STREAMS];
    uint32_t sample; /* of the last frame; what is played is never silent */
};

static uint64_t now_usec(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
    va_list args;

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

__attribute__((noreturn)) static void die(const char *what, int r) {
    fprintf(stderr, "%s failed: %s\n", what, strerror(-r));
    exit(1);
}

/* ---- the card ---- */

static void free_streams(struct guest *guest) {
    for (unsigned i = 0; i < STREAMS; i++)
        if (guest->streams[i].is_linked) {
            sndif_frontend_done(&guest->streams[i].front);
            guest->streams[i].is_linked = false;
        }
}

static void grant_stream(struct guest *guest, unsigned index, struct xenbus_transport *transport) {
    const struct sndif_format *format = sndif_format_by_name("s16_le", strlen("s16_le"));
    struct stream *stream = &guest->streams[index];
    const char *what;
    int r = sndif_frontend_init(&stream->front, guest->xenbus.backend_domid, BUFFER_BYTES, &what);

    if (r < 0)
        die(what, r);
    if (index == PLAYBACK)
        sndif_session_init(&stream->u.session, &stream->front, format, RATE, CHANNELS);
    else
        sndif_recorder_init(&stream->u.recorder, &stream->front, format, RATE, CHANNELS);
    stream->u.session.feature_latency = guest->xenbus.features.latency;
    stream->u.session.feature_wakeup = guest->xenbus.features.wakeup;
    stream->u.session.feature_rewind = guest->xenbus.features.rewind;
    stream->is_linked = true;
    stream->has_failed = false;
    *transport = (struct xenbus_transport) {.stream = index,
                                            .ring_ref = stream->front.ring_ref,
                                            .event_channel = stream->front.request_port,
                                            .evt_ring_ref = stream->front.evt_ring_ref,
                                            .evt_event_channel = stream->front.event_port};
}

static void publish(struct guest *guest) {
    struct xenbus_transport transports[STREAMS];

    for (unsigned i = 0; i < STREAMS; i++)
        grant_stream(guest, i, &transports[i]);
    /* a card that goes meanwhile is not there to be written to; its watch has fired */
    if (xenbus_front_publish(&guest->xenbus, transports, STREAMS) < 0)
        free_streams(guest);
}

static void follow_card(struct guest *guest) {
    switch (xenbus_front_next(&guest->xenbus)) {
        case XENBUS_NOTHING:
            break;
        case XENBUS_PUBLISH:
            publish(guest);
            break;
        case XENBUS_GO:
            guest->is_connected = true;
            say("connected");
            break;
        case XENBUS_LOST:
            free_streams(guest);
            xenbus_front_closed(&guest->xenbus);
            guest->is_connected = false;
            say("lost");
            break;
    }
}

/* ---- samples ---- */

static void write_piece(struct guest *guest, struct sndif_player *player, uint64_t *wanted_bytes) {
    uint64_t length = *wanted_bytes;
    uint32_t *frames = sndif_player_place(player, &length);

    for (uint64_t i = 0; i < length / sizeof(*frames); i++) {
        guest->sample = (guest->sample + 1) & 0xff;
        frames[i] = (guest->sample << 16 | guest->sample) + 0x00010001;
    }
    *wanted_bytes = sndif_player_wrote(player, (uint32_t) length) ? *wanted_bytes - length : 0;
}

/* Keeps half to all of AHEAD_USEC written. */
static void fill(struct guest *guest, struct sndif_player *player, uint64_t now) {
    struct sndif_session *s = &player->session;
    const uint64_t ahead = sndif_session_usec_to_bytes(s, AHEAD_USEC), half = ahead / 2;
    uint64_t left = sndif_player_left_bytes(player, now), wanted;

    if (s->state == SESSION_RUNNING && left == 0 && sndif_player_heard_in_usec(player, now) == 0) {
        sndif_player_skip(player, now, SKIP_USEC);
        left = sndif_player_left_bytes(player, now);
    }
    if (left > half + s->frame_bytes)
        return;
    wanted = ahead - left;
    sndif_session_wake_at(s, s->next_bytes + wanted - half / s->frame_bytes * s->frame_bytes);
    while (wanted > 0)
        write_piece(guest, player, &wanted);
}

static void take_all(struct sndif_recorder *recorder) {
    uint64_t length;

    for (;;) {
        length = UINT64_MAX;
        sndif_recorder_samples(recorder, &length);
        if (length == 0)
            break;
        sndif_recorder_took(recorder, length);
    }
    sndif_recorder_read(recorder, sndif_session_usec_to_bytes(&recorder->session, FRAGMENT_USEC));
}

static void run(struct guest *guest, unsigned index, uint64_t now) {
    if (index == PLAYBACK)
        fill(guest, &guest->streams[index].u.player, now);
    else
        take_all(&guest->streams[index].u.recorder);
}

static void drive(struct guest *guest, unsigned index, uint64_t now) {
    struct stream *stream = &guest->streams[index];
    struct sndif_session *s = &stream->u.session;

    if (index == PLAYBACK)
        sndif_player_process(&stream->u.player, now);
    else
        sndif_recorder_process(&stream->u.recorder, now);

    if (s->state == SESSION_NEW)
        sndif_session_query(s, now);
    else if (s->state == SESSION_CLOSED && stream->is_wanted)
        sndif_session_open(s, now);
    else if (s->state == SESSION_OPEN && stream->is_wanted) {
        if (index == PLAYBACK)
            fill(guest, &stream->u.player, now);
        else
            sndif_recorder_wake_after(&stream->u.recorder, sndif_session_usec_to_bytes(s, FRAGMENT_USEC));
        sndif_session_start(s, now);
    } else if (s->state == SESSION_OPEN)
        sndif_session_close(s, now);
    else if (s->state == SESSION_RUNNING && stream->is_wanted)
        run(guest, index, now);
    else if (s->state == SESSION_RUNNING)
        sndif_session_stop(s, now);
    else if (s->state == SESSION_FAILED && !stream->has_failed) {
        stream->has_failed = true;
        say("failed: %s of stream 0/%u, status %d", s->failure, index, s->failure_status);
    }
}

/* ---- the loop ---- */

/* False at the end of standard input. */
static bool obey(struct guest *guest) {
    static const struct {
        const char *name;
        unsigned stream;
        bool is_wanted;
    } commands[] = {{"play\n", PLAYBACK, true},
                    {"stop\n", PLAYBACK, false},
                    {"record\n", CAPTURE, true},
                    {"deafen\n", CAPTURE, false}};
    char text[256], *line, *next = text;
    const ssize_t got =
        read(STDIN_FILENO, text, sizeof(text) - 1); /* whole lines: the pipe's writer writes such */

    if (got <= 0)
        return false;
    text[got] = '\0';
    while ((line = next) && *line) {
        next = strchr(line, '\n');
        next = next ? next + 1 : NULL;
        for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
            if (strncmp(line, commands[i].name, strlen(commands[i].name)) == 0)
                guest->streams[commands[i].stream].is_wanted = commands[i].is_wanted;
    }
    return true;
}

/* Milliseconds until the earliest deadline of an answer; -1: none is awaited. */
static int sleep_msec(struct guest *guest, uint64_t now) {
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < STREAMS; i++) {
        struct stream *stream = &guest->streams[i];
        const enum sndif_session_state state = stream->u.session.state;

        if (!stream->is_linked || !guest->is_connected)
            continue;
        if (sndif_frontend_may_not_sleep(&stream->front, false))
            return 0;
        if (state == SESSION_ASKING || state == SESSION_RUNNING)
            next = min_u64(next, stream->u.session.deadline_usec);
    }
    if (next == UINT64_MAX)
        return -1;
    return (int) ((next - min_u64(next, now)) / 1000 + 1);
}

int main(void) {
    static struct guest guest;
    int r = xenbus_front_open(&guest.xenbus, 0);

    if (r < 0)
        die("watching card 0", r);
    say("watching");
    for (;;) {
        struct pollfd fds[2 + STREAMS] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                          {.fd = xenbus_front_fd(&guest.xenbus), .events = POLLIN}};

        for (unsigned i = 0; i < STREAMS; i++)
            fds[2 + i] = (struct pollfd) {
                .fd = guest.streams[i].is_linked ? sndif_frontend_fd(&guest.streams[i].front) : -1,
                .events = POLLIN};
        if (poll(fds, 2 + STREAMS, sleep_msec(&guest, now_usec())) < 0 && errno != EINTR)
            die("poll", -errno);
        if (fds[0].revents && !obey(&guest))
            break;
        if (fds[1].revents)
            follow_card(&guest);
        for (unsigned i = 0; i < STREAMS; i++)
            if (guest.streams[i].is_linked && guest.is_connected) {
                sndif_frontend_take(&guest.streams[i].front);
                drive(&guest, i, now_usec());
            }
    }
    free_streams(&guest);
    xenbus_front_close(&guest.xenbus);
    return 0;
}
