/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long frames take from one machine to another, each program on its own machine and by its own clock.
 *
 *   delay-probe play SERVER SINK LATENCY-MSEC SECONDS
 *   delay-probe record SERVER SOURCE
 *   delay-probe clock-server PORT
 *   delay-probe clock HOST PORT
 *
 * play: writes numbered frames whenever the server asks for some, as much as it asks for. record: takes what it is given,
 * without any wish for a latency, so that it changes nothing for the player; says "recording" on a line when it does, and
 * ends when no number has come for a second. A frame is 32 bits of s16le stereo at 48000 Hz: its number, from 1 on. Both print
 * what they wrote or got, by their CLOCK_MONOTONIC:
 *
 *   {"runs": [[FIRST-NUMBER, FRAMES, USEC], ...]}
 *
 * clock asks clock-server 300 times for its CLOCK_MONOTONIC over UDP, and prints by how much that is ahead of its own, from
 * the shortest round trip: {"ahead_usec": N, "round_trip_usec": N}. clock-server ends when it has been asked so often.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <pulse/pulseaudio.h>

#define RUNS_MAX 200000u
#define FRAME_BYTES 4u
#define FRAGMENT_BYTES 16384u
#define CLOCK_ROUNDS 300u
#define CLOCK_TIMEOUT_SEC 10
/* A recorder that hears nothing at all. */
#define SILENCE_LIMIT_USEC (60 * PA_USEC_PER_SEC)

static const pa_sample_spec spec = {.format = PA_SAMPLE_S16LE, .rate = 48000, .channels = 2};

struct run {
    uint32_t first, frames;
    pa_usec_t usec;
};

struct probe {
    pa_mainloop_api *api;
    pa_context *context;
    pa_stream *stream;
    pa_time_event *timer;
    const char *device;
    pa_usec_t latency_usec, duration_usec; /* 0: records */
    uint32_t next;
    unsigned runs_count;
    struct run runs[RUNS_MAX];
};

static int64_t now_usec(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void fail(struct probe *p, const char *what) {
    fprintf(stderr, "delay-probe: %s: %s\n", what, pa_strerror(pa_context_errno(p->context)));
    p->api->quit(p->api, 1);
}

static void end_cb(pa_mainloop_api *api, pa_time_event *e, const struct timeval *tv, void *userdata) {
    (void) e, (void) tv, (void) userdata;
    api->quit(api, 0);
}

static void end_in(struct probe *p, pa_usec_t usec) {
    if (p->timer)
        pa_context_rttime_restart(p->context, p->timer, pa_rtclock_now() + usec);
    else
        p->timer = pa_context_rttime_new(p->context, pa_rtclock_now() + usec, end_cb, p);
}

static void add_run(struct probe *p, uint32_t first, uint32_t frames, pa_usec_t usec) {
    if (frames > 0 && p->runs_count < RUNS_MAX)
        p->runs[p->runs_count++] = (struct run) {first, frames, usec};
}

/* ---- play ---- */

static void write_cb(pa_stream *s, size_t bytes, void *userdata) {
    struct probe *p = userdata;
    const uint32_t frames = (uint32_t) (bytes / FRAME_BYTES);
    void *data;

    bytes = frames * FRAME_BYTES;
    if (frames == 0)
        return;
    if (pa_stream_begin_write(s, &data, &bytes) < 0 || !data) {
        fail(p, "getting a buffer");
        return;
    }
    for (uint32_t i = 0; i < bytes / FRAME_BYTES; i++)
        ((uint32_t *) data)[i] = p->next + i;
    add_run(p, p->next, (uint32_t) (bytes / FRAME_BYTES), pa_rtclock_now());
    p->next += (uint32_t) (bytes / FRAME_BYTES);
    if (pa_stream_write(s, data, bytes, NULL, 0, PA_SEEK_RELATIVE) < 0)
        fail(p, "writing");
}

static int connect_player(struct probe *p) {
    const pa_buffer_attr attr = {.maxlength = UINT32_MAX,
                                 .tlength = (uint32_t) pa_usec_to_bytes(p->latency_usec, &spec),
                                 .prebuf = UINT32_MAX,
                                 .minreq = UINT32_MAX,
                                 .fragsize = UINT32_MAX};

    p->next = 1;
    pa_stream_set_write_callback(p->stream, write_cb, p);
    end_in(p, p->duration_usec);
    return pa_stream_connect_playback(p->stream, p->device, &attr, PA_STREAM_ADJUST_LATENCY, NULL, NULL);
}

/* ---- record ---- */

static void add_recorded(struct probe *p, const uint32_t *numbers, uint32_t frames, pa_usec_t usec) {
    uint32_t first = 0;

    for (uint32_t i = 1; i <= frames; i++)
        if (i == frames || numbers[i] != numbers[i - 1] + 1) {
            if (numbers[first] != 0)
                add_run(p, numbers[first], i - first, usec);
            first = i;
        }
}

static void read_cb(pa_stream *s, size_t bytes, void *userdata) {
    struct probe *p = userdata;
    const pa_usec_t usec = pa_rtclock_now();
    const unsigned before = p->runs_count;
    const void *data;

    while (pa_stream_readable_size(s) > 0) {
        if (pa_stream_peek(s, &data, &bytes) < 0 || bytes == 0)
            return;
        if (data)
            add_recorded(p, data, (uint32_t) (bytes / FRAME_BYTES), usec);
        pa_stream_drop(s);
    }
    if (p->runs_count > before)
        end_in(p, PA_USEC_PER_SEC);
}

static int connect_recorder(struct probe *p) {
    const pa_buffer_attr attr = {.maxlength = UINT32_MAX, .fragsize = FRAGMENT_BYTES};

    pa_stream_set_read_callback(p->stream, read_cb, p);
    end_in(p, SILENCE_LIMIT_USEC);
    return pa_stream_connect_record(p->stream, p->device, &attr, PA_STREAM_NOFLAGS);
}

/* ---- both ---- */

static void stream_state_cb(pa_stream *s, void *userdata) {
    struct probe *p = userdata;

    if (pa_stream_get_state(s) == PA_STREAM_FAILED)
        fail(p, p->device);
    else if (pa_stream_get_state(s) == PA_STREAM_READY && p->duration_usec == 0) {
        printf("recording\n");
        fflush(stdout);
    }
}

static void context_state_cb(pa_context *context, void *userdata) {
    struct probe *p = userdata;

    if (pa_context_get_state(context) == PA_CONTEXT_FAILED)
        fail(p, "the connection");
    if (pa_context_get_state(context) != PA_CONTEXT_READY)
        return;
    p->stream = pa_stream_new(context, "delay probe", &spec, NULL);
    pa_stream_set_state_callback(p->stream, stream_state_cb, p);
    if ((p->duration_usec ? connect_player(p) : connect_recorder(p)) < 0)
        fail(p, p->device);
}

static void print_runs(const struct probe *p) {
    printf("{\"runs\": [");
    for (unsigned i = 0; i < p->runs_count; i++)
        printf("%s[%" PRIu32 ", %" PRIu32 ", %" PRIu64 "]", i ? ", " : "", p->runs[i].first,
               p->runs[i].frames, p->runs[i].usec);
    printf("]}\n");
}

static int run_stream(struct probe *p, const char *server) {
    pa_mainloop *mainloop = pa_mainloop_new();
    int status = 1;

    p->api = pa_mainloop_get_api(mainloop);
    p->context = pa_context_new(p->api, "delay probe");
    pa_context_set_state_callback(p->context, context_state_cb, p);
    if (pa_context_connect(p->context, server, PA_CONTEXT_NOAUTOSPAWN, NULL) < 0)
        fail(p, server);
    if (pa_mainloop_run(mainloop, &status) < 0)
        status = 1;
    if (status == 0)
        print_runs(p);
    pa_context_set_state_callback(p->context, NULL, NULL);
    if (p->timer)
        p->api->time_free(p->timer);
    if (p->stream)
        pa_stream_unref(p->stream);
    pa_context_disconnect(p->context);
    pa_context_unref(p->context);
    pa_mainloop_free(mainloop);
    return status;
}

/* ---- clocks ---- */

static int open_socket(void) {
    const struct timeval limit = {.tv_sec = CLOCK_TIMEOUT_SEC};
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0) {
        perror("delay-probe: socket");
        exit(1);
    }
    return fd;
}

static int serve_clock(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int fd = open_socket();

    if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
        perror("delay-probe: bind");
        return 1;
    }
    printf("serving\n");
    fflush(stdout);
    for (unsigned i = 0; i < CLOCK_ROUNDS; i++) {
        socklen_t length = sizeof(address);
        int64_t asked, now;

        if (recvfrom(fd, &asked, sizeof(asked), 0, (struct sockaddr *) &address, &length) != sizeof(asked)) {
            perror("delay-probe: waiting to be asked for the time");
            return 1;
        }
        now = now_usec();
        if (sendto(fd, &now, sizeof(now), 0, (struct sockaddr *) &address, length) != sizeof(now)) {
            perror("delay-probe: telling the time");
            return 1;
        }
    }
    return 0;
}

static int ask_clock(const char *host, uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int fd = open_socket();
    int64_t ahead_usec = 0, shortest_usec = INT64_MAX;

    if (inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
        fprintf(stderr, "delay-probe: %s: no address\n", host);
        return 1;
    }
    for (unsigned i = 0; i < CLOCK_ROUNDS; i++) {
        const int64_t before = now_usec();
        int64_t there, after;

        if (send(fd, &before, sizeof(before), 0) != sizeof(before) ||
            recv(fd, &there, sizeof(there), 0) != sizeof(there)) {
            perror("delay-probe: asking for the time");
            return 1;
        }
        after = now_usec();
        if (after - before < shortest_usec) {
            shortest_usec = after - before;
            ahead_usec = there - (before + after) / 2;
        }
    }
    printf("{\"ahead_usec\": %" PRId64 ", \"round_trip_usec\": %" PRId64 "}\n", ahead_usec, shortest_usec);
    return 0;
}

int main(int argc, char **argv) {
    static struct probe probe;
    const char *command = argc > 1 ? argv[1] : "";

    if (strcmp(command, "play") == 0 && argc == 6) {
        probe.device = argv[3];
        probe.latency_usec = strtoul(argv[4], NULL, 10) * PA_USEC_PER_MSEC;
        probe.duration_usec = strtoul(argv[5], NULL, 10) * PA_USEC_PER_SEC;
        if (probe.latency_usec > 0 && probe.duration_usec > 0)
            return run_stream(&probe, argv[2]);
    }
    if (strcmp(command, "record") == 0 && argc == 4) {
        probe.device = argv[3];
        return run_stream(&probe, argv[2]);
    }
    if (strcmp(command, "clock-server") == 0 && argc == 3)
        return serve_clock((uint16_t) strtoul(argv[2], NULL, 10));
    if (strcmp(command, "clock") == 0 && argc == 4)
        return ask_clock(argv[2], (uint16_t) strtoul(argv[3], NULL, 10));
    fprintf(stderr, "usage: delay-probe play SERVER SINK LATENCY-MSEC SECONDS | record SERVER SOURCE |\n"
                    "       clock-server PORT | clock HOST PORT\n");
    return 2;
}
