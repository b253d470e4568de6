/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counts gaps for as long as it runs, in constant memory. Plays numbered frames on one server and records the monitor of
 * the sink of another (or the same) that they come out of; each frame must be the successor of the one before.
 *
 *   gap-probe PLAY-SERVER PLAY-SINK RECORD-SERVER RECORD-SOURCE LATENCY-MSEC
 *
 * A frame is 32 bits of s16le stereo at 44100 Hz: its number, from 1 on, never silent and told apart over 27 hours. The
 * end of standard input ends it. Standard output: a line each second and at the end, JSON:
 *
 *   {"frames": N, "gaps": N, "lost": N, "inserted": N, "places": [N, ...]}
 *
 * The first five seconds are not judged: a sink that begins to play rewinds what it had rendered ahead, and the recorder has had
 * that already. frames: heard in their order since. A gap is a place where something else than the successor came: lost counts frames that
 * never came, inserted counts silence and repetitions. places: seconds from the first frame to each of the first gaps.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pulse/error.h>
#include <pulse/simple.h>

#define RATE 44100u
#define BLOCK_FRAMES 441u
#define PLACES_MAX 16u
#define SETTLED_FRAMES (5u * RATE)

static const pa_sample_spec spec = {.format = PA_SAMPLE_S16LE, .rate = RATE, .channels = 2};

struct counts {
    uint64_t frames, gaps, lost, inserted;
    double places[PLACES_MAX];
};

__attribute__((noreturn)) static void die(const char *what, int error) {
    fprintf(stderr, "%s failed: %s\n", what, pa_strerror(error));
    exit(1);
}

static pa_simple *connect_stream(const char *server, pa_stream_direction_t direction, const char *device,
                                 uint32_t latency_msec) {
    const uint32_t bytes = latency_msec * RATE / 1000 * 4;
    const pa_buffer_attr attr = {.maxlength = (uint32_t) -1,
                                 .tlength = bytes,
                                 .prebuf = (uint32_t) -1,
                                 .minreq = (uint32_t) -1,
                                 .fragsize = bytes};
    int error;
    pa_simple *stream =
        pa_simple_new(server, "gap-probe", direction, device, "numbers", &spec, NULL, &attr, &error);

    if (!stream)
        die(device, error);
    return stream;
}

static void *play_numbers(void *userdata) {
    uint32_t block[BLOCK_FRAMES], number = 0;
    int error;

    for (;;) {
        for (unsigned i = 0; i < BLOCK_FRAMES; i++)
            block[i] = ++number;
        if (pa_simple_write(userdata, block, sizeof(block), &error) < 0)
            die("playing", error);
    }
}

/* Ends the process, with everything counted so far already printed but for the last second. */
static void *await_end(void *userdata) {
    char octet;

    (void) userdata;
    while (read(STDIN_FILENO, &octet, 1) > 0)
        ;
    exit(0);
}

static void print_counts(const struct counts *c) {
    printf("{\"frames\":%lu,\"gaps\":%lu,\"lost\":%lu,\"inserted\":%lu,\"places\":[", c->frames, c->gaps,
           c->lost, c->inserted);
    for (unsigned i = 0; i < c->gaps && i < PLACES_MAX; i++)
        printf("%s%.3f", i ? "," : "", c->places[i]);
    printf("]}\n");
    fflush(stdout);
}

/* One frame heard; *expected is 0 before the first one that is judged. */
static void count_frame(struct counts *c, uint32_t frame, uint32_t *expected, bool *in_gap) {
    if (*expected == 0 && frame < SETTLED_FRAMES)
        return;
    if (*expected == 0 || frame == *expected) {
        c->frames++;
        *expected = frame + 1;
        *in_gap = false;
        return;
    }
    if (!*in_gap) {
        if (c->gaps < PLACES_MAX)
            c->places[c->gaps] = (double) (c->frames + c->lost + c->inserted) / RATE;
        c->gaps++;
        *in_gap = true;
    }
    if (frame > *expected) { /* goes on behind what was lost */
        c->lost += frame - *expected;
        c->frames++;
        *expected = frame + 1;
        *in_gap = false;
    } else {
        c->inserted++;
    }
}

int main(int argc, char **argv) {
    struct counts counts = {0};
    uint32_t block[BLOCK_FRAMES], expected = 0, latency_msec;
    bool in_gap = false;
    pa_simple *recorder;
    pthread_t player, end;
    int error;

    if (argc != 6) {
        fprintf(stderr, "usage: gap-probe PLAY-SERVER PLAY-SINK RECORD-SERVER RECORD-SOURCE LATENCY-MSEC\n");
        return 2;
    }
    latency_msec = (uint32_t) strtoul(argv[5], NULL, 10);
    recorder = connect_stream(argv[3], PA_STREAM_RECORD, argv[4], latency_msec);
    if (pthread_create(&player, NULL, play_numbers,
                       connect_stream(argv[1], PA_STREAM_PLAYBACK, argv[2], latency_msec)) != 0 ||
        pthread_create(&end, NULL, await_end, NULL) != 0)
        return 1;
    for (unsigned blocks = 1;; blocks++) {
        if (pa_simple_read(recorder, block, sizeof(block), &error) < 0)
            die("recording", error);
        for (unsigned i = 0; i < BLOCK_FRAMES; i++)
            count_frame(&counts, block[i], &expected, &in_gap);
        if (blocks % (RATE / BLOCK_FRAMES) == 0)
            print_counts(&counts);
    }
}
