/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-backend.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "check.h"
#include "fake-server.h"
#include "fake-xen.h"
#include "linux-model.h"
#include "sndif-player.h"

/* The backend's thread against the model of Linux's driver, against our own frontend, and against frontends
 * that misbehave. */

#define RATE                                                                                                 \
    8000u /* so that 64 KiB are two seconds, which outlast the stalls of a busy machine: these threads are   \
             real */
#define GUEST 5u
#define MS_BYTES(ms) ((uint64_t) (ms) * RATE / 1000u * 4u)

/* Small buffers are tested in simulated time, in test-playback.c. */
static const struct {
    uint32_t period_ms, periods, block_ms;
} geometries[] = {{500, 2, 5}, {500, 2, 50}, {250, 8, 20}, {400, 4, 100}};

static struct sndif_backend_config config_of(const struct linux_transport *t) {
    return (struct sndif_backend_config) {
        .domid = GUEST,
        .ring_ref = t->ring_ref,
        .event_channel = t->req_port,
        .evt_ring_ref = t->evt_ring_ref,
        .evt_event_channel = t->evt_port,
        .caps = fake_server_caps(),
        .linux_quirks = true,
    };
}

struct pair {
    struct linux_model model;
    struct fake_server server;
    uint32_t written; /* frames, each holding its number plus 1 */
};

static bool pair_start(struct pair *p, uint64_t block_usec) {
    struct sndif_backend_config config;
    const char *what = "";

    memset(p, 0, sizeof(*p));
    fake_xen_set_domain(GUEST);
    if (!CHECK_EQ(linux_model_connect(&p->model, 0), 0))
        return false;
    config = config_of(&p->model.driver.transport);
    if (!CHECK_EQ(fake_server_start(&p->server, &config, block_usec, &what), 0))
        return false;
    return CHECK_EQ(linux_model_open(&p->model), 0);
}

/* What holds at the end of every conversation with the driver. */
static void pair_end(struct pair *p) {
    CHECK_EQ(linux_model_close(&p->model), 0);
    CHECK_EQ(p->model.driver.events_dropped, 0);
    CHECK_EQ(p->model.driver.oopses, 0);
    CHECK_EQ(p->model.driver.uninitialised_answers, 0);
    CHECK_EQ(p->model.driver.stray_answers, 0);
    fake_server_stop(&p->server);
    linux_model_disconnect(&p->model);
    CHECK_EQ(fake_xen_leaks(), 0);
}

static void pair_setup(struct pair *p, uint32_t period_ms, uint32_t periods) {
    const struct linux_hw hw = {.buffer_frames = RATE / 1000 * period_ms * periods,
                                .period_frames = RATE / 1000 * period_ms,
                                .rate = RATE,
                                .format = XENSND_PCM_FORMAT_S16_LE,
                                .channels = 2};

    CHECK_EQ(linux_model_hw_params(&p->model, &hw), 0);
    CHECK_EQ(linux_model_prepare(&p->model), 0);
}

/* Writes as aplay does, a period at a time; false on an error. */
static bool pair_play(struct pair *p, uint32_t frames) {
    const uint32_t period = p->model.driver.hw.period_frames;
    uint32_t *samples = calloc(period, sizeof(uint32_t));
    bool ok = true;

    while (ok && frames > 0) {
        const uint32_t n = frames < period ? frames : period;

        for (uint32_t i = 0; i < n; i++)
            samples[i] = ++p->written;
        ok = linux_model_write(&p->model, samples, n) == n;
        frames -= n;
    }
    free(samples);
    return ok;
}

/* Frames of the sequence first, first + 1, … that were heard in order, gaps of silence allowed. */
static uint32_t heard_in_order(const struct fake_server *s, uint32_t first, uint32_t last) {
    uint32_t expected = first;

    for (size_t i = 0; i < s->heard_frames; i++)
        if (s->heard[i] == expected && expected <= last)
            expected++;
    return expected - first;
}

static void linux_plays_and_drains(void) {
    for (size_t g = 0; g < N_ELEMENTS(geometries); g++) {
        const uint32_t frames = geometries[g].period_ms * (RATE / 1000) * (2000 / geometries[g].period_ms);
        struct pair p;
        uint64_t drained_usec, heard_usec;

        CHECK_ROW("%u periods of %u ms, block %u ms", geometries[g].periods, geometries[g].period_ms,
                  geometries[g].block_ms);
        if (!pair_start(&p, geometries[g].block_ms * 1000))
            return;
        pair_setup(&p, geometries[g].period_ms, geometries[g].periods);
        CHECK(pair_play(&p, frames));
        CHECK_EQ(linux_model_drain(&p.model), 0);
        drained_usec = fake_server_now_usec();
        heard_usec = atomic_load(&p.server.last_sound_usec);
        CHECK(drained_usec >= heard_usec);
        CHECK(drained_usec < heard_usec + 200000);
        CHECK_EQ(p.model.xruns, 0);
        CHECK_EQ(p.model.appl_ptr_frames, frames);
        CHECK_EQ(heard_in_order(&p.server, 1, frames), frames);
        pair_end(&p);
    }
}

static void linux_stops_and_starts_again(void) {
    struct pair p;

    if (!pair_start(&p, 5000))
        return;
    pair_setup(&p, 400, 3);
    for (unsigned round = 0; round < 4; round++) {
        uint32_t first = p.written + 1;

        CHECK_ROW("round %u", round);
        CHECK(pair_play(&p, RATE + round * 77));
        if (round == 2) {
            CHECK_EQ(linux_model_drain(&p.model), 0);
            CHECK_EQ(heard_in_order(&p.server, first, p.written), p.written - first + 1);
        } else {
            CHECK_EQ(linux_model_stop(&p.model), 0);
        }
        /* the driver's pointer is where ALSA's count begins anew */
        CHECK_EQ(p.model.driver.hw_ptr_frames, round == 2 ? p.model.driver.hw_ptr_frames : 0);
        CHECK_EQ(linux_model_prepare(&p.model), 0);
    }
    CHECK_EQ(p.model.xruns, 0);
    pair_end(&p);
}

static void linux_recovers_from_an_underrun(void) {
    struct pair p;
    int64_t end_ms;

    if (!pair_start(&p, 5000))
        return;
    pair_setup(&p, 400, 2);
    CHECK(pair_play(&p, RATE));
    for (end_ms = linux_now_ms() + 3000; p.model.state != LINUX_XRUN && linux_now_ms() < end_ms;)
        linux_model_poll(&p.model, 10);
    CHECK_EQ(p.model.state, LINUX_XRUN);
    CHECK_EQ(linux_model_prepare(&p.model), 0);
    {
        uint32_t first = p.written + 1;

        CHECK(pair_play(&p, RATE));
        CHECK_EQ(linux_model_drain(&p.model), 0);
        CHECK_EQ(heard_in_order(&p.server, first, p.written), RATE);
    }
    CHECK_EQ(p.model.xruns, 1);
    pair_end(&p);
}

static void linux_suspends_and_opens_twice(void) {
    struct pair p;

    if (!pair_start(&p, 5000))
        return;
    pair_setup(&p, 400, 2);
    CHECK(pair_play(&p, RATE));
    CHECK_EQ(linux_model_pause(&p.model), 0);
    CHECK_EQ(linux_model_prepare(&p.model), 0);
    {
        uint32_t first = p.written + 1;

        CHECK(pair_play(&p, RATE));
        CHECK_EQ(linux_model_drain(&p.model), 0);
        CHECK_EQ(heard_in_order(&p.server, first, p.written), RATE);
    }

    /* hw_params anew: OPEN comes without a CLOSE */
    pair_setup(&p, 320, 2);
    CHECK(pair_play(&p, RATE));
    CHECK_EQ(linux_model_drain(&p.model), 0);
    CHECK_EQ(atomic_load(&p.server.opens), 2);
    CHECK_EQ(atomic_load(&p.server.closes), 1);
    pair_end(&p);
}

static void the_guest_s_buffer_decides_the_latency(void) {
    struct pair p;

    if (!pair_start(&p, 5000))
        return;
    pair_setup(&p, 10, 4);
    CHECK(pair_play(&p, RATE * 4 / 10));
    CHECK_EQ(atomic_load(&p.server.asked_latency_usec), 20000);
    pair_end(&p);
}

static void without_a_sink_linux_sees_time_pass(void) {
    struct pair p;
    int64_t began_ms, took_ms;

    if (!pair_start(&p, 5000))
        return;
    atomic_store(&p.server.no_sink, true);
    pair_setup(&p, 400, 2);
    began_ms = linux_now_ms();
    CHECK(pair_play(&p, RATE));
    CHECK_EQ(linux_model_drain(&p.model), 0);
    took_ms = linux_now_ms() - began_ms;
    CHECK(took_ms >= 900 && took_ms < 3000);
    pair_end(&p);
}

/* ---- our own frontend ---- */

struct ours {
    struct sndif_frontend front;
    struct sndif_player player;
    struct fake_server server;
    uint32_t written;
};

static bool ours_start(struct ours *o, uint64_t block_usec, uint32_t buffer_bytes) {
    struct sndif_backend_config config;
    const char *what = "";

    memset(o, 0, sizeof(*o));
    fake_xen_set_domain(GUEST);
    if (!CHECK_EQ(sndif_frontend_init(&o->front, 0, buffer_bytes, &what), 0))
        return false;
    config = config_of(&(struct linux_transport) {o->front.ring_ref, o->front.evt_ring_ref,
                                                  o->front.request_port, o->front.event_port});
    config.linux_quirks = false;
    config.feature_latency = config.feature_wakeup = config.feature_rewind = config.feature_alive = true;
    if (!CHECK_EQ(fake_server_start(&o->server, &config, block_usec, &what), 0))
        return false;
    sndif_session_init(&o->player.session, &o->front, sndif_format_by_id(XENSND_PCM_FORMAT_S16_LE), RATE, 2);
    o->player.session.feature_latency = o->player.session.feature_wakeup = true;
    o->player.session.feature_rewind = true;
    return true;
}

static void ours_end(struct ours *o) {
    fake_server_stop(&o->server);
    sndif_frontend_done(&o->front);
    CHECK_EQ(fake_xen_leaks(), 0);
}

static void ours_wait(struct ours *o, int timeout_ms) {
    struct pollfd fd = {.fd = sndif_frontend_fd(&o->front), .events = POLLIN};

    if (!sndif_frontend_may_not_sleep(&o->front, o->player.session.state == SESSION_RUNNING) &&
        poll(&fd, 1, timeout_ms) > 0)
        sndif_frontend_take(&o->front);
    sndif_player_process(&o->player, fake_server_now_usec());
}

/* Waits for the answer to the last request. */
static bool ours_reaches(struct ours *o, enum sndif_session_state state) {
    for (unsigned i = 0; i < 100 && o->player.session.state == SESSION_ASKING; i++)
        ours_wait(o, 50);
    return CHECK_EQ(o->player.session.state, state);
}

static void ours_fill(struct ours *o, uint64_t fill_bytes) {
    uint64_t left = sndif_player_left_bytes(&o->player, fake_server_now_usec());

    if (left >= fill_bytes)
        return;
    sndif_session_wake_at(&o->player.session,
                          o->player.session.next_bytes + fill_bytes - left - fill_bytes / 2);
    while (left < fill_bytes) {
        uint64_t n = fill_bytes - left;
        uint32_t *place = sndif_player_place(&o->player, &n);

        for (uint64_t i = 0; i < n / 4; i++)
            place[i] = ++o->written;
        if (!CHECK(sndif_player_wrote(&o->player, (uint32_t) n)))
            return;
        left += n;
    }
}

static bool ours_open(struct ours *o) {
    sndif_session_query(&o->player.session, fake_server_now_usec());
    if (!ours_reaches(o, SESSION_CLOSED))
        return false;
    sndif_session_open(&o->player.session, fake_server_now_usec());
    return ours_reaches(o, SESSION_OPEN);
}

static void ours_plays_exactly(void) {
    static const struct {
        uint32_t fill_ms, block_ms;
    } rows[] = {{800, 5}, {800, 50}, {1600, 20}};

    for (size_t r = 0; r < N_ELEMENTS(rows); r++) {
        const uint64_t fill = rows[r].fill_ms * RATE / 1000 * 4;
        struct ours o;
        uint64_t end_usec;

        CHECK_ROW("fill %u ms, block %u ms", rows[r].fill_ms, rows[r].block_ms);
        if (!ours_start(&o, rows[r].block_ms * 1000, 65536) || !ours_open(&o))
            return;
        for (unsigned round = 0; round < 2; round++) {
            ours_fill(&o, fill);
            sndif_session_start(&o.player.session, fake_server_now_usec());
            ours_reaches(&o, SESSION_RUNNING);
            for (end_usec = fake_server_now_usec() + 1000000; fake_server_now_usec() < end_usec;) {
                ours_wait(&o, 100);
                ours_fill(&o, fill);
            }
            sndif_player_wake_when_heard(&o.player);
            while (!sndif_player_all_heard(&o.player) && CHECK(o.player.session.state == SESSION_RUNNING))
                ours_wait(&o, 1000);
            CHECK(fake_server_now_usec() >= atomic_load(&o.server.last_sound_usec));
            sndif_session_stop(&o.player.session, fake_server_now_usec());
            ours_reaches(&o, SESSION_OPEN);
        }
        CHECK_EQ(heard_in_order(&o.server, 1, o.written), o.written);
        sndif_session_close(&o.player.session, fake_server_now_usec());
        ours_reaches(&o, SESSION_CLOSED);
        ours_end(&o);
    }
}

static void ours_wakes_as_asked_and_no_more(void) {
    struct ours o;
    unsigned wakeups = 0;

    if (!ours_start(&o, 10000, 65536) || !ours_open(&o))
        return;
    ours_fill(&o, MS_BYTES(800));
    sndif_session_start(&o.player.session, fake_server_now_usec());
    ours_reaches(&o, SESSION_RUNNING);
    for (uint64_t end_usec = fake_server_now_usec() + 2000000; fake_server_now_usec() < end_usec; wakeups++) {
        ours_wait(&o, 1000);
        ours_fill(&o, MS_BYTES(800));
    }
    CHECK(wakeups >= 3 && wakeups <= 10); /* one each 400 ms */
    ours_end(&o);
}

static void volume_and_mute_travel(void) {
    struct ours o;
    struct xensnd_req req = {.operation = XENSND_OP_SET_VOLUME};
    struct xensnd_resp resp;
    int32_t *volumes;

    if (!ours_start(&o, 10000, 65536) || !ours_open(&o))
        return;
    volumes = (int32_t *) ((uint8_t *) o.front.shbuf.data + 1024);
    volumes[0] = -6000;
    volumes[1] = -12000;
    req.op.rw.offset = 1024;
    req.op.rw.length = 8;
    CHECK(sndif_frontend_request(&o.front, &req));
    volumes[0] = 0;
    req.operation = XENSND_OP_GET_VOLUME;
    for (unsigned answers = 0, tries = 0; answers < 2 && tries < 100; tries++) {
        struct pollfd fd = {.fd = sndif_frontend_fd(&o.front), .events = POLLIN};

        if (sndif_frontend_response(&o.front, &resp) == SNDIF_RING_GOT) {
            CHECK_EQ(resp.status, 0);
            if (++answers == 1) {
                volumes[0] = volumes[1] = 0;
                CHECK(sndif_frontend_request(&o.front, &req));
            }
        } else if (!sndif_frontend_may_not_sleep(&o.front, false) && poll(&fd, 1, 100) > 0) {
            sndif_frontend_take(&o.front);
        }
    }
    CHECK_EQ(volumes[1], -12000);
    ours_end(&o);
}

/* ---- frontends that misbehave ---- */

/* The answer to one request, or INT32_MAX when none comes within a second. */
static int32_t answer_to(struct ours *o, struct xensnd_req req) {
    struct xensnd_resp resp;

    if (!CHECK(sndif_frontend_request(&o->front, &req)))
        return INT32_MAX;
    for (unsigned i = 0; i < 100; i++) {
        struct pollfd fd = {.fd = sndif_frontend_fd(&o->front), .events = POLLIN};

        while (sndif_frontend_response(&o->front, &resp) == SNDIF_RING_GOT)
            if (resp.id == req.id)
                return resp.status;
        if (!sndif_frontend_may_not_sleep(&o->front, false) && poll(&fd, 1, 50) > 0)
            sndif_frontend_take(&o->front);
    }
    return INT32_MAX;
}

static void bad_requests_are_refused_and_harm_nobody(void) {
    struct ours o;

    if (!ours_start(&o, 10000, 65536))
        return;

    const struct xensnd_req open = {.operation = XENSND_OP_OPEN,
                                    .op.open = {.pcm_rate = RATE,
                                                .pcm_format = XENSND_PCM_FORMAT_S16_LE,
                                                .pcm_channels = 2,
                                                .buffer_sz = 65536,
                                                .gref_directory = o.front.shbuf.gref_directory}};
    struct xensnd_req req;

    req = (struct xensnd_req) {.operation = XENSND_OP_WRITE, .op.rw = {.length = 4}};
    CHECK_EQ(answer_to(&o, req), -XEN_EINVAL); /* before OPEN */
    req = (struct xensnd_req) {.operation = XENSND_OP_TRIGGER};
    CHECK_EQ(answer_to(&o, req), -XEN_EINVAL);
    req = (struct xensnd_req) {.operation = XENSND_OP_CLOSE};
    CHECK_EQ(answer_to(&o, req), 0);
    req = (struct xensnd_req) {.operation = 77};
    CHECK_EQ(answer_to(&o, req), -XEN_EOPNOTSUPP);

    req = open;
    req.op.open.buffer_sz = UINT32_MAX - 3;
    CHECK_EQ(answer_to(&o, req), -XEN_EINVAL);
    if (CHECK(fake_server_await(&o.server.refused))) /* the owner learns why */
        CHECK(strstr(atomic_load(&o.server.refusal), "buffer_sz") != NULL);
    req = open;
    req.op.open.gref_directory = 0;
    CHECK_EQ(answer_to(&o, req), -XEN_EINVAL);
    req = open;
    req.op.open.gref_directory = 123456;
    CHECK(answer_to(&o, req) < 0);
    ((struct xensnd_page_directory *) o.front.shbuf.directory)->gref[15] = 0; /* one page short */
    CHECK_EQ(answer_to(&o, open), -XEN_EINVAL);
    ((struct xensnd_page_directory *) o.front.shbuf.directory)->gref[15] =
        ((struct xensnd_page_directory *) o.front.shbuf.directory)->gref[14];
    CHECK_EQ(answer_to(&o, open), 0);

    static const struct {
        uint32_t offset, length;
    } ranges[] = {{0, 0}, {65536, 4}, {65532, 8}, {UINT32_MAX - 3, 8}, {4, UINT32_MAX - 3},
                  {2, 4}, {0, 6},     {0, 65540}};
    for (size_t i = 0; i < N_ELEMENTS(ranges); i++) {
        CHECK_ROW("offset %u length %u", ranges[i].offset, ranges[i].length);
        req = (struct xensnd_req) {.operation = XENSND_OP_WRITE,
                                   .op.rw = {.offset = ranges[i].offset, .length = ranges[i].length}};
        CHECK_EQ(answer_to(&o, req), -XEN_EINVAL);
        req.operation = XENSND_OP_SET_VOLUME;
        CHECK_EQ(answer_to(&o, req), -XEN_EINVAL);
    }
    CHECK_ROW("after all that");
    req = (struct xensnd_req) {.operation = XENSND_OP_READ, .op.rw = {.length = 4}};
    CHECK_EQ(answer_to(&o, req), -XEN_EINVAL); /* of a playback stream */
    req = (struct xensnd_req) {.operation = XENSND_OP_TRIGGER, .op.trigger = {.type = 9}};
    CHECK_EQ(answer_to(&o, req), -XEN_EINVAL);
    req = (struct xensnd_req) {.operation = XENSND_OP_WRITE, .op.rw = {.length = 65536}};
    CHECK_EQ(answer_to(&o, req), 0);
    CHECK(!atomic_load(&o.server.broken));
    ours_end(&o);
}

static void an_impossible_index_ends_the_stream(void) {
    struct ours o;

    if (!ours_start(&o, 10000, 65536) || !ours_open(&o))
        return;
    ((struct xen_sndif_sring *) o.front.ring_page)->req_prod += 1000;
    xen_io_evtchn_notify(&o.front.evtchn, o.front.request_port);
    CHECK(fake_server_await(&o.server.broken));
    CHECK(!atomic_load(&o.server.frontend_gone));
    ours_end(&o);
}

static void a_dead_frontend_is_noticed_while_it_plays(void) {
    struct ours o;

    if (!ours_start(&o, 10000, 65536) || !ours_open(&o))
        return;
    ours_fill(&o, MS_BYTES(50));
    sndif_session_start(&o.player.session, fake_server_now_usec());
    ours_reaches(&o, SESSION_RUNNING);
    fake_xen_kill(GUEST);
    CHECK(fake_server_await(&o.server.broken));
    CHECK(atomic_load(&o.server.frontend_gone));
    fake_server_stop(&o.server);
    CHECK_EQ(fake_xen_leaks(), 0);
}

static void an_owner_that_does_not_answer_costs_an_error_not_a_hang(void) {
    struct ours o;

    if (!ours_start(&o, 10000, 65536))
        return;
    atomic_store(&o.server.deaf, true);
    const struct xensnd_req open = {.operation = XENSND_OP_OPEN,
                                    .op.open = {.pcm_rate = RATE,
                                                .pcm_format = XENSND_PCM_FORMAT_S16_LE,
                                                .pcm_channels = 2,
                                                .buffer_sz = 65536,
                                                .gref_directory = o.front.shbuf.gref_directory}};
    CHECK_EQ(answer_to(&o, open), -XEN_ETIMEDOUT);
    ours_end(&o);
}

static void a_flood_is_served_in_portions(void) {
    struct ours o;
    uint64_t began_usec;
    unsigned answers = 0;

    if (!ours_start(&o, 10000, 65536))
        return;
    began_usec = fake_server_now_usec();
    while (answers < 640) {
        struct xensnd_req req = {.operation = 77};
        struct xensnd_resp resp;
        struct pollfd fd = {.fd = sndif_frontend_fd(&o.front), .events = POLLIN};

        while (sndif_frontend_request(&o.front, &req))
            ;
        while (sndif_frontend_response(&o.front, &resp) == SNDIF_RING_GOT)
            answers++;
        if (!sndif_frontend_may_not_sleep(&o.front, false) && poll(&fd, 1, 1000) > 0)
            sndif_frontend_take(&o.front);
    }
    CHECK(fake_server_now_usec() - began_usec >= 80000); /* 64 in 10 ms */
    ours_end(&o);
}

static void a_failed_connection_leaves_nothing(void) {
    static const enum fake_xen_call steps[] = {FAKE_XEN_MAP_OPEN, FAKE_XEN_EVTCHN_OPEN, FAKE_XEN_MAP_PAGES,
                                               FAKE_XEN_BIND_INTERDOMAIN};

    for (size_t i = 0; i < N_ELEMENTS(steps); i++) {
        for (unsigned nth = 1; nth <= 2; nth++) {
            struct sndif_frontend front;
            struct sndif_backend_config config;
            struct sndif_backend *backend = NULL;
            const char *what = "";
            int r;

            if (nth == 2 && i < 2)
                continue;
            CHECK_ROW("step %zu, call %u", i, nth);
            fake_xen_set_domain(GUEST);
            CHECK_EQ(sndif_frontend_init(&front, 0, 65536, &what), 0);
            config = config_of(&(struct linux_transport) {front.ring_ref, front.evt_ring_ref,
                                                          front.request_port, front.event_port});
            fake_xen_set_domain(0);
            fake_xen_fail(steps[i], nth, EACCES);
            r = sndif_backend_new(&backend, &config, &what);
            CHECK_EQ(r, -EACCES);
            CHECK(what[0] != '\0');
            sndif_frontend_done(&front);
            CHECK_EQ(fake_xen_leaks(), 0);
        }
    }
}

int main(void) {
    static const struct check_test tests[] = {
        {"Linux plays and drains, whatever its periods and the sink's blocks", linux_plays_and_drains},
        {"Linux stops and starts again from offset 0", linux_stops_and_starts_again},
        {"Linux recovers from an underrun", linux_recovers_from_an_underrun},
        {"Linux suspends, and opens twice without closing", linux_suspends_and_opens_twice},
        {"what the guest's buffer holds decides the latency asked for",
         the_guest_s_buffer_decides_the_latency},
        {"without a sink Linux sees time pass", without_a_sink_linux_sees_time_pass},
        {"our frontend plays every frame, drains, stops and starts again", ours_plays_exactly},
        {"our frontend is woken as often as it asked", ours_wakes_as_asked_and_no_more},
        {"volume and mute travel", volume_and_mute_travel},
        {"bad requests are refused and harm nobody", bad_requests_are_refused_and_harm_nobody},
        {"an impossible ring index ends the stream", an_impossible_index_ends_the_stream},
        {"a dead frontend is noticed while it plays", a_dead_frontend_is_noticed_while_it_plays},
        {"an owner that does not answer costs an error, not a hang",
         an_owner_that_does_not_answer_costs_an_error_not_a_hang},
        {"a flood is served in portions", a_flood_is_served_in_portions},
        {"a connection that fails leaves nothing behind", a_failed_connection_leaves_nothing},
    };

    return check_main("backend", tests, N_ELEMENTS(tests));
}
