/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compares what a sound server says of latency with what happens. Plays impulses on one server and records the
 * monitor of a sink of another, which they come out of, in one process and by one clock (CLOCK_MONOTONIC).
 *
 *   latency-probe --play-server=S --play-device=D --record-server=S --record-device=D
 *                 --rate=HZ --latency-msec=N [--record-latency-msec=N] [--impulses=N]
 *   latency-probe --drained-port=N --record-server=S --record-device=D --rate=HZ
 *
 * Each impulse is written at once after asking the server for the latency, so it is expected to be heard at
 * written_usec + reported_latency_usec. When it was heard is known from its place in the recording and from
 * what the recording server says about that place; it has arrived when the recorder is given it, which is earlier where
 * the sink renders ahead. The height of an impulse is its number, so none is taken for
 * another. After the last one the stream is drained. Standard output is JSON:
 *
 *   {"impulses": [{"written_usec": N, "reported_latency_usec": N, "heard_usec": N or null,
 *                  "arrived_usec": N or null}, ...],
 *    "drain": {"last_written_usec": N, "last_heard_usec": N or null, "drained_usec": N}}
 *
 * In the second form another program, of a guest whose clock is not ours, plays one impulse at the end of a stream and
 * drains it; a datagram to that UDP port says that it has. The stream must last until the probe listens, a second.
 *
 * The last impulse is the last frame of the stream. Both sides use s16le mono at --rate; all sinks on the way
 * must do so too.
 */
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <pulse/pulseaudio.h>

#define IMPULSES_MAX 500u
/* Impulse n has this height, so that all are told apart by the upper bits. */
#define HEIGHT(n) ((int16_t) (4096 + 32 * (n)))
/* The first impulse comes when the streams have settled. */
#define SETTLE_USEC (2 * PA_USEC_PER_SEC)
/* Between impulses; not in step with any block, so that all phases are met. */
#define INTERVAL_USEC (103 * PA_USEC_PER_MSEC)
/* Recorded on after the drain, for frames that are heard after it. */
#define TAIL_USEC PA_USEC_PER_SEC
#define MARGIN_USEC (30 * PA_USEC_PER_SEC)
#define RECORD_LATENCY_MSEC 25u

struct impulse {
    pa_usec_t written_usec;
    int64_t reported_latency_usec;
    int64_t heard_usec; /* 0: not yet */
    int64_t arrived_usec;
};

struct side {
    const char *server, *device;
    pa_context *context;
    pa_stream *stream;
};

struct probe {
    pa_mainloop *mainloop;
    pa_mainloop_api *api;
    struct side play, record;
    pa_sample_spec spec;
    pa_usec_t latency_usec, record_latency_usec, drained_usec;
    unsigned impulses_wanted, impulses_written;
    uint16_t drained_port; /* 0: we play ourselves */
    int drained_fd;
    bool draining, asked_record;
    int64_t readable_usec; /* since when there is something to read */
    pa_time_event *timer;
    struct impulse impulses[IMPULSES_MAX];
};

static void fail(struct probe *p, const char *what, pa_context *context) {
    fprintf(stderr, "latency-probe: %s: %s\n", what,
            context ? pa_strerror(pa_context_errno(context)) : "gave up");
    p->api->quit(p->api, 1);
}

static void forget(pa_operation *operation) {
    if (operation)
        pa_operation_unref(operation);
}

static void set_timer(struct probe *p, pa_usec_t at_usec) {
    pa_context_rttime_restart(p->record.context, p->timer, at_usec);
}

/* ---- playing ---- */

static void drained_cb(pa_stream *s, int success, void *userdata) {
    struct probe *p = userdata;

    if (!success) {
        fail(p, "draining", pa_stream_get_context(s));
        return;
    }
    p->drained_usec = pa_rtclock_now();
    set_timer(p, p->drained_usec + TAIL_USEC);
}

static void drain(struct probe *p) {
    p->draining = true;
    pa_stream_set_write_callback(p->play.stream, NULL, NULL);
    set_timer(p, pa_rtclock_now() + MARGIN_USEC);
    forget(pa_stream_drain(p->play.stream, drained_cb, p));
}

/* The server has just said how long a frame written now has to go. */
static void write_impulse_cb(pa_stream *s, int success, void *userdata) {
    struct probe *p = userdata;
    struct impulse *impulse = &p->impulses[p->impulses_written];
    const int16_t sample = HEIGHT(p->impulses_written);
    pa_usec_t latency;
    int negative;

    if (!success || pa_stream_get_latency(s, &latency, &negative) < 0) {
        fail(p, "asking for the latency", pa_stream_get_context(s));
        return;
    }
    impulse->reported_latency_usec = negative ? -(int64_t) latency : (int64_t) latency;
    impulse->written_usec = pa_rtclock_now();
    if (pa_stream_write(s, &sample, sizeof(sample), NULL, 0, PA_SEEK_RELATIVE) < 0) {
        fail(p, "writing an impulse", pa_stream_get_context(s));
        return;
    }
    if (++p->impulses_written == p->impulses_wanted)
        drain(p);
    else
        set_timer(p, impulse->written_usec + INTERVAL_USEC);
}

static void timer_cb(pa_mainloop_api *a, pa_time_event *e, const struct timeval *tv, void *userdata) {
    struct probe *p = userdata;

    (void) e, (void) tv;
    if (p->drained_usec > 0)
        a->quit(a, 0);
    else if (p->draining)
        fail(p, "the drain did not end", NULL);
    else
        forget(pa_stream_update_timing_info(p->play.stream, write_impulse_cb, p));
}

static void write_silence_cb(pa_stream *s, size_t bytes, void *userdata) {
    void *silence = calloc(1, bytes);

    if (!silence || pa_stream_write(s, silence, bytes, free, 0, PA_SEEK_RELATIVE) < 0)
        fail(userdata, "writing silence", pa_stream_get_context(s));
}

/* ---- another program plays ---- */

static void told_cb(pa_mainloop_api *a, pa_io_event *e, int fd, pa_io_event_flags_t events, void *userdata) {
    struct probe *p = userdata;
    char datagram[16];

    (void) events;
    p->drained_usec = pa_rtclock_now();
    (void) !recv(fd, datagram, sizeof(datagram), 0);
    a->io_free(e);
    set_timer(p, p->drained_usec + TAIL_USEC);
}

static void await_datagram(struct probe *p) {
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(p->drained_port)};

    p->drained_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (p->drained_fd < 0 || bind(p->drained_fd, (const struct sockaddr *) &any, sizeof(any)) < 0) {
        fail(p, "listening on the port of --drained-port", NULL);
        return;
    }
    p->impulses_written = p->impulses_wanted;
    p->draining = true;
    p->api->io_new(p->api, p->drained_fd, PA_IO_EVENT_INPUT, told_cb, p);
    set_timer(p, pa_rtclock_now() + MARGIN_USEC);
}

/* ---- recording ---- */

/* Looks for an impulse in a fragment; heard_usec is when its first frame is heard. */
static void search(struct probe *p, const int16_t *samples, size_t bytes, int64_t heard_usec) {
    for (size_t i = 0; samples && i < bytes / sizeof(*samples); i++) {
        const unsigned n = (unsigned) (samples[i] - HEIGHT(0)) / 32u;

        if (samples[i] >= HEIGHT(0) && n < p->impulses_written && samples[i] == HEIGHT(n) &&
            p->impulses[n].heard_usec == 0) {
            p->impulses[n].heard_usec =
                heard_usec + (int64_t) pa_bytes_to_usec(i * sizeof(*samples), &p->spec);
            p->impulses[n].arrived_usec = p->readable_usec;
        }
    }
}

/* Now the latency is that of the next octet to be read. For a monitor it is negative while that is not heard. */
static void read_cb(pa_stream *s, int success, void *userdata) {
    struct probe *p = userdata;
    const int64_t now = (int64_t) pa_rtclock_now();
    pa_usec_t latency;
    int64_t heard_usec;
    int negative;

    p->asked_record = false;
    if (!success || pa_stream_get_latency(s, &latency, &negative) < 0) {
        fail(p, "asking for the latency of the recording", pa_stream_get_context(s));
        return;
    }
    heard_usec = negative ? now + (int64_t) latency : now - (int64_t) latency;
    while (pa_stream_readable_size(s) > 0) {
        const void *data;
        size_t bytes;

        if (pa_stream_peek(s, &data, &bytes) < 0 || bytes == 0)
            return;
        search(p, data, bytes, heard_usec);
        heard_usec += (int64_t) pa_bytes_to_usec(bytes, &p->spec);
        pa_stream_drop(s);
    }
}

static void readable_cb(pa_stream *s, size_t bytes, void *userdata) {
    struct probe *p = userdata;

    (void) bytes;
    if (p->asked_record)
        return;
    p->asked_record = true;
    p->readable_usec = (int64_t) pa_rtclock_now();
    forget(pa_stream_update_timing_info(s, read_cb, p));
}

/* ---- connecting: the recording first, so that it hears all ---- */

static void play_state_cb(pa_stream *s, void *userdata) {
    struct probe *p = userdata;

    if (pa_stream_get_state(s) == PA_STREAM_FAILED)
        fail(p, "playing", pa_stream_get_context(s));
    else if (pa_stream_get_state(s) == PA_STREAM_READY)
        set_timer(p, pa_rtclock_now() + SETTLE_USEC);
}

static void start_playing(struct probe *p) {
    const pa_buffer_attr attr = {.maxlength = UINT32_MAX,
                                 .tlength = (uint32_t) pa_usec_to_bytes(p->latency_usec, &p->spec),
                                 .prebuf = UINT32_MAX,
                                 .minreq = UINT32_MAX,
                                 .fragsize = UINT32_MAX};

    p->play.stream = pa_stream_new(p->play.context, "latency probe", &p->spec, NULL);
    pa_stream_set_state_callback(p->play.stream, play_state_cb, p);
    pa_stream_set_write_callback(p->play.stream, write_silence_cb, p);
    if (pa_stream_connect_playback(p->play.stream, p->play.device, &attr, PA_STREAM_ADJUST_LATENCY, NULL,
                                   NULL) < 0)
        fail(p, "connecting the player", p->play.context);
}

static void start_recording(struct probe *p) {
    const pa_buffer_attr attr = {.maxlength = UINT32_MAX,
                                 .fragsize = (uint32_t) pa_usec_to_bytes(p->record_latency_usec, &p->spec)};

    p->record.stream = pa_stream_new(p->record.context, "latency probe", &p->spec, NULL);
    pa_stream_set_read_callback(p->record.stream, readable_cb, p);
    if (pa_stream_connect_record(p->record.stream, p->record.device, &attr, PA_STREAM_ADJUST_LATENCY) < 0)
        fail(p, "connecting the recorder", p->record.context);
}

static void context_state_cb(pa_context *context, void *userdata) {
    struct probe *p = userdata;
    const bool record = context == p->record.context;

    switch (pa_context_get_state(context)) {
        case PA_CONTEXT_READY:
            if (record)
                start_recording(p);
            else
                start_playing(p);
            break;
        case PA_CONTEXT_FAILED:
        case PA_CONTEXT_TERMINATED:
            fail(p,
                 record ? "connecting to the server to record from" : "connecting to the server to play on",
                 context);
            break;
        default:
            break;
    }
}

static void connect_side(struct probe *p, struct side *side) {
    side->context = pa_context_new(p->api, "latency probe");
    pa_context_set_state_callback(side->context, context_state_cb, p);
    if (pa_context_connect(side->context, side->server, PA_CONTEXT_NOAUTOSPAWN, NULL) < 0)
        fail(p, side->server, side->context);
}

static void disconnect_side(struct side *side) {
    if (side->stream)
        pa_stream_unref(side->stream);
    if (!side->context)
        return;
    pa_context_set_state_callback(side->context, NULL, NULL);
    pa_context_disconnect(side->context);
    pa_context_unref(side->context);
}

/* ---- the command ---- */

/* One that never came is 0. */
static void print_time(int64_t usec) {
    if (usec == 0)
        printf("null");
    else
        printf("%" PRId64, usec);
}

static void print_json(const struct probe *p) {
    const struct impulse *last = &p->impulses[p->impulses_written - 1];

    printf("{\"impulses\": [");
    for (const struct impulse *i = p->impulses; i <= last; i++) {
        printf("%s{\"written_usec\": %" PRIu64 ", \"reported_latency_usec\": %" PRId64 ", \"heard_usec\": ",
               i == p->impulses ? "" : ", ", i->written_usec, i->reported_latency_usec);
        print_time(i->heard_usec);
        printf(", \"arrived_usec\": ");
        print_time(i->arrived_usec);
        printf("}");
    }
    printf("], \"drain\": {\"last_written_usec\": %" PRIu64 ", \"last_heard_usec\": ", last->written_usec);
    print_time(last->heard_usec);
    printf(", \"drained_usec\": %" PRIu64 "}}\n", p->drained_usec);
}

static bool read_arguments(struct probe *p, int argc, char **argv) {
    static const struct option options[] = {
        {"play-server", required_argument, NULL, 'p'},
        {"play-device", required_argument, NULL, 'd'},
        {"record-server", required_argument, NULL, 'r'},
        {"record-device", required_argument, NULL, 'e'},
        {"rate", required_argument, NULL, 'h'},
        {"latency-msec", required_argument, NULL, 'l'},
        {"record-latency-msec", required_argument, NULL, 'c'},
        {"impulses", required_argument, NULL, 'n'},
        {"drained-port", required_argument, NULL, 'o'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
            case 'p':
                p->play.server = optarg;
                break;
            case 'd':
                p->play.device = optarg;
                break;
            case 'r':
                p->record.server = optarg;
                break;
            case 'e':
                p->record.device = optarg;
                break;
            case 'h':
                p->spec.rate = (uint32_t) strtoul(optarg, NULL, 10);
                break;
            case 'l':
                p->latency_usec = strtoul(optarg, NULL, 10) * PA_USEC_PER_MSEC;
                break;
            case 'c':
                p->record_latency_usec = strtoul(optarg, NULL, 10) * PA_USEC_PER_MSEC;
                break;
            case 'n':
                p->impulses_wanted = (unsigned) strtoul(optarg, NULL, 10);
                break;
            case 'o':
                p->drained_port = (uint16_t) strtoul(optarg, NULL, 10);
                p->impulses_wanted = 1;
                break;
            default:
                return false;
        }
    if (!p->drained_port && (!p->play.server || !p->play.device || p->latency_usec == 0))
        return false;
    return p->record.server && p->record.device && pa_sample_spec_valid(&p->spec) && p->impulses_wanted > 0 &&
           p->impulses_wanted <= IMPULSES_MAX;
}

int main(int argc, char **argv) {
    static struct probe probe = {.spec = {.format = PA_SAMPLE_S16LE, .channels = 1},
                                 .record_latency_usec = RECORD_LATENCY_MSEC * PA_USEC_PER_MSEC,
                                 .impulses_wanted = 30,
                                 .drained_fd = -1};
    struct probe *p = &probe;
    int status = 1;

    if (!read_arguments(p, argc, argv)) {
        fprintf(stderr,
                "usage: latency-probe --play-server= --play-device= --record-server= --record-device= "
                "--rate= --latency-msec= [--record-latency-msec=] [--impulses=1..%u]\n"
                "       latency-probe --drained-port= --record-server= --record-device= --rate=\n",
                IMPULSES_MAX);
        return 2;
    }
    p->mainloop = pa_mainloop_new();
    p->api = pa_mainloop_get_api(p->mainloop);
    connect_side(p, &p->record);
    p->timer = pa_context_rttime_new(p->record.context, PA_USEC_INVALID, timer_cb, p);
    if (p->drained_port)
        await_datagram(p);
    else
        connect_side(p, &p->play);
    pa_mainloop_run(p->mainloop, &status);
    if (status == 0)
        print_json(p);

    p->api->time_free(p->timer);
    disconnect_side(&p->play);
    disconnect_side(&p->record);
    if (p->drained_fd >= 0)
        close(p->drained_fd);
    pa_mainloop_free(p->mainloop);
    return status;
}
