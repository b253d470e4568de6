/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-recorder.h"

#include "check.h"
#include "fake-xen.h"

/*
 * A recorder and its backend in one thread: the test says when the backend looks at the ring, and what time it
 * is. Captured samples are numbered, so that a sample says which one it is.
 */

#define GUEST 7
#define RATE 48000u
#define FRAME_BYTES 4u
#define BUFFER_BYTES 16384u
#define KEPT_BYTES (BUFFER_BYTES + RATE / 10 * FRAME_BYTES)

struct pair {
    struct sndif_frontend front;
    struct sndif_recorder recorder;
    struct sndif_session *session;
    uint64_t now_usec;

    /* the backend */
    struct sndif_ring_back ring;
    struct sndif_evt_back evt;
    uint64_t captured_bytes;
    int32_t status; /* of the next answers */
    unsigned requests[XENSND_OP_HW_PARAM_QUERY + 1];
    struct xensnd_req last; /* request */
    struct xensnd_req held[SNDIF_RING_SLOTS];
    unsigned n_held;
    bool holds; /* READs are answered by answer_held only */

    uint32_t next_sample; /* that the recorder must give */
    uint64_t silent_frames;
};

/* ---- the backend ---- */

static uint64_t position_of(const struct pair *p, const struct xensnd_req *req) {
    const uint64_t start =
        p->captured_bytes - (p->captured_bytes > BUFFER_BYTES ? BUFFER_BYTES : p->captured_bytes);
    uint64_t position;

    memcpy(&position, (const char *) req + SNDIF_WRITE_POSITION_OFFSET, sizeof(position));
    if (p->session->feature_rewind)
        return position;
    return start + (req->op.rw.offset + BUFFER_BYTES - start % BUFFER_BYTES) % BUFFER_BYTES;
}

/* The sample at position n is n / FRAME_BYTES + 1. */
static void fill(struct pair *p, const struct xensnd_req *req) {
    const uint64_t position = position_of(p, req);
    uint8_t *to = (uint8_t *) p->front.shbuf.data + req->op.rw.offset;

    CHECK(req->op.rw.length > 0 && req->op.rw.length % FRAME_BYTES == 0);
    if (!CHECK(req->op.rw.offset + req->op.rw.length <= BUFFER_BYTES))
        return;
    CHECK_EQ(position % BUFFER_BYTES, req->op.rw.offset);
    CHECK(position + req->op.rw.length <= p->captured_bytes);
    for (uint32_t i = 0; i < req->op.rw.length; i += FRAME_BYTES) {
        const uint64_t at = position + i;
        const uint32_t sample = at + KEPT_BYTES >= p->captured_bytes && at < p->captured_bytes
                                    ? (uint32_t) (at / FRAME_BYTES) + 1
                                    : 0;

        memcpy(to + i, &sample, sizeof(sample));
    }
}

static void answer(struct pair *p, const struct xensnd_req *req) {
    const struct xensnd_resp resp = {.id = req->id, .operation = req->operation, .status = p->status};

    if (req->operation == XENSND_OP_READ && p->status == 0)
        fill(p, req);
    sndif_ring_back_put(&p->ring, &resp); /* the test looks at the ring by itself */
}

static void backend_serves(struct pair *p) {
    struct xensnd_req req;

    while (sndif_ring_back_get(&p->ring, &req) == SNDIF_RING_GOT) {
        if (CHECK(req.operation <= XENSND_OP_HW_PARAM_QUERY))
            p->requests[req.operation]++;
        p->last = req;
        if (req.operation == XENSND_OP_READ && p->holds)
            p->held[p->n_held++] = req;
        else
            answer(p, &req);
    }
}

static void answer_held(struct pair *p) {
    for (unsigned i = 0; i < p->n_held; i++)
        answer(p, &p->held[i]);
    p->n_held = 0;
}

static void backend_captures(struct pair *p, uint64_t bytes, uint32_t latency_usec) {
    p->captured_bytes += bytes;
    CHECK(sndif_evt_back_put(&p->evt, &(struct sndif_cur_pos) {p->captured_bytes, latency_usec}));
}

/* ---- the recorder ---- */

static bool pair_setup(struct pair *p, bool rewind) {
    const char *what = "";

    memset(p, 0, sizeof(*p));
    fake_xen_set_domain(GUEST);
    if (!CHECK_EQ(sndif_frontend_init(&p->front, 0, BUFFER_BYTES, &what), 0))
        return false;
    sndif_ring_back_init(&p->ring, p->front.ring_page);
    sndif_evt_back_init(&p->evt, p->front.evt_page);
    p->now_usec = 1000000;
    p->next_sample = 1;
    p->session = &p->recorder.session;
    sndif_recorder_init(&p->recorder, &p->front, sndif_format_by_id(XENSND_PCM_FORMAT_S16_LE), RATE, 2);
    p->session->feature_latency = p->session->feature_wakeup = true;
    p->session->feature_rewind = rewind;
    return true;
}

static void pair_end(struct pair *p) {
    sndif_frontend_done(&p->front);
    CHECK_EQ(fake_xen_leaks(), 0);
}

static bool reaches(struct pair *p, enum sndif_session_state state) {
    backend_serves(p);
    sndif_recorder_process(&p->recorder, p->now_usec);
    return CHECK_EQ(p->session->state, state);
}

static bool starts(struct pair *p, uint64_t fragment_bytes) {
    sndif_session_query(p->session, p->now_usec);
    if (!reaches(p, SESSION_CLOSED))
        return false;
    sndif_session_open(p->session, p->now_usec);
    if (!reaches(p, SESSION_OPEN))
        return false;
    sndif_recorder_wake_after(&p->recorder, fragment_bytes);
    sndif_session_start(p->session, p->now_usec);
    return reaches(p, SESSION_RUNNING);
}

/* Takes what is there and looks that it is what comes next. */
static uint64_t takes(struct pair *p) {
    uint64_t taken = 0;

    for (;;) {
        uint64_t length = 1000; /* no divisor of the buffer */
        const uint8_t *samples = sndif_recorder_samples(&p->recorder, &length);

        if (length == 0)
            return taken;
        for (uint64_t i = 0; i < length; i += FRAME_BYTES) {
            uint32_t sample;

            memcpy(&sample, samples + i, sizeof(sample));
            if (sample == 0)
                p->silent_frames++;
            else if (!CHECK_EQ(sample, p->next_sample))
                p->next_sample = sample;
            p->next_sample++;
        }
        sndif_recorder_took(&p->recorder, length);
        taken += length;
    }
}

static uint64_t turn(struct pair *p, uint64_t fragment_bytes) {
    uint64_t taken;

    sndif_recorder_process(&p->recorder, p->now_usec);
    taken = takes(p);
    if (p->session->state == SESSION_RUNNING)
        sndif_recorder_read(&p->recorder, fragment_bytes);
    return taken;
}

/* ---- tests ---- */

static void it_takes_each_sample_once_and_in_order(void) {
    for (unsigned rewind = 0; rewind < 2; rewind++) {
        unsigned long long random = 1;
        uint64_t taken = 0;
        struct pair p;

        CHECK_ROW("feature-rewind %u", rewind);
        if (!pair_setup(&p, rewind) || !starts(&p, 1920))
            return;
        for (unsigned i = 0; i < 5000; i++) {
            const unsigned long long dice = check_random(&random);

            if (dice % 3 != 0)
                backend_captures(&p, dice / 3 % 1000 * FRAME_BYTES, 0);
            if (dice / 3000 % 4 != 0)
                backend_serves(&p);
            taken += turn(&p, 1920);
        }
        backend_serves(&p);
        taken += turn(&p, 1920);
        backend_serves(&p);
        taken += turn(&p, 1920);
        CHECK_EQ(taken + p.recorder.lost_bytes, p.captured_bytes);
        CHECK_EQ(p.silent_frames, 0);
        CHECK_EQ(p.session->state, SESSION_RUNNING);
        pair_end(&p);
    }
}

static void it_asks_again_before_it_is_answered(void) {
    struct pair p;

    if (!pair_setup(&p, true) || !starts(&p, 960))
        return;
    p.holds = true;
    for (unsigned i = 1; i <= 4; i++) {
        backend_captures(&p, 960, 0);
        CHECK_EQ(turn(&p, 960), 0);
        backend_serves(&p);
        CHECK_EQ(p.n_held, i);
        CHECK(sndif_recorder_waits(&p.recorder));
    }
    answer_held(&p);
    CHECK_EQ(turn(&p, 960), 4 * 960);
    CHECK(!sndif_recorder_waits(&p.recorder));
    CHECK_EQ(p.requests[XENSND_OP_READ], 4);
    pair_end(&p);
}

static void a_read_ends_with_the_buffer(void) {
    struct pair p;

    if (!pair_setup(&p, true) || !starts(&p, 12000))
        return;
    for (unsigned i = 0; i < 2; i++) {
        backend_captures(&p, 12000, 0);
        turn(&p, 12000);
        backend_serves(&p);
        CHECK_EQ(turn(&p, 12000), 12000);
    }
    CHECK_EQ(p.requests[XENSND_OP_READ], 3);
    CHECK_EQ(p.last.op.rw.offset, 0);
    CHECK_EQ(p.last.op.rw.length, 24000 - BUFFER_BYTES);
    pair_end(&p);
}

static void it_is_woken_when_the_fragment_is_there(void) {
    struct pair p;

    if (!pair_setup(&p, true) || !starts(&p, 1920))
        return;
    CHECK_EQ(sndif_evt_back_wakeup(&p.evt), 1920);
    backend_captures(&p, 1924, 0);
    turn(&p, 1920);
    CHECK_EQ(sndif_evt_back_wakeup(&p.evt), 1924 + 1920);
    turn(&p, 480); /* a client that wants less */
    CHECK_EQ(sndif_evt_back_wakeup(&p.evt), 1924 + 480);
    backend_serves(&p);
    turn(&p, 480);
    CHECK_EQ(p.requests[XENSND_OP_READ], 1);
    pair_end(&p);
}

static void it_goes_on_with_the_newest_when_it_was_too_late(void) {
    const uint64_t late = 10 * BUFFER_BYTES;
    struct pair p;

    if (!pair_setup(&p, true) || !starts(&p, 1920))
        return;
    p.holds = true;
    backend_captures(&p, 1920, 0);
    turn(&p, 1920);
    backend_serves(&p);
    backend_captures(&p, late, 0); /* while a READ is on its way */
    turn(&p, 1920);
    backend_serves(&p);
    CHECK_EQ(p.n_held, 1);
    CHECK_EQ(p.recorder.lost_bytes, 0);

    p.captured_bytes = 1920; /* it was answered before */
    answer_held(&p);
    p.captured_bytes += late;
    p.holds = false;
    CHECK_EQ(turn(&p, 1920), 1920);
    CHECK_EQ(p.recorder.lost_bytes, late - BUFFER_BYTES / 8 * 7);
    p.next_sample = (uint32_t) ((p.captured_bytes - BUFFER_BYTES / 8 * 7) / FRAME_BYTES) + 1;
    backend_serves(&p);
    CHECK_EQ(turn(&p, 1920), BUFFER_BYTES / 8 * 7);
    CHECK_EQ(p.silent_frames, 0);
    pair_end(&p);
}

static void it_says_how_old_a_sample_is(void) {
    struct pair p;

    if (!pair_setup(&p, true) || !starts(&p, 1920))
        return;
    backend_captures(&p, 1920, 7000); /* 10 ms */
    sndif_recorder_process(&p.recorder, p.now_usec);
    CHECK_EQ(sndif_recorder_age_usec(&p.recorder, p.now_usec), 17000);
    CHECK_EQ(sndif_recorder_age_usec(&p.recorder, p.now_usec + 3000), 20000);
    turn(&p, 1920);
    backend_serves(&p);
    turn(&p, 1920);
    CHECK_EQ(sndif_recorder_age_usec(&p.recorder, p.now_usec + 3000), 10000);
    sndif_session_stop(p.session, p.now_usec);
    CHECK_EQ(sndif_recorder_age_usec(&p.recorder, p.now_usec + 3000), 0);
    pair_end(&p);
}

static void it_starts_again_where_the_backend_went_on(void) {
    struct pair p;

    if (!pair_setup(&p, false) || !starts(&p, 1920))
        return;
    backend_captures(&p, 1920, 0);
    turn(&p, 1920);
    sndif_session_stop(p.session, p.now_usec);
    backend_captures(&p, BUFFER_BYTES - 1920, 0); /* rounded up, before the answer */
    p.holds = true;
    if (!reaches(&p, SESSION_OPEN))
        return;
    CHECK_EQ(takes(&p), 0); /* nobody wants the rest */
    CHECK_EQ(p.session->next_bytes, BUFFER_BYTES);

    p.holds = false;
    p.next_sample = BUFFER_BYTES / FRAME_BYTES + 1;
    sndif_recorder_wake_after(&p.recorder, 1920);
    CHECK_EQ(sndif_evt_back_wakeup(&p.evt), BUFFER_BYTES + 1920);
    sndif_session_start(p.session, p.now_usec);
    if (!reaches(&p, SESSION_RUNNING))
        return;
    backend_captures(&p, 1920, 0);
    turn(&p, 1920);
    backend_serves(&p);
    CHECK_EQ(turn(&p, 1920), 1920);
    CHECK_EQ(p.last.op.rw.offset, 0);
    sndif_session_stop(p.session, p.now_usec);
    reaches(&p, SESSION_OPEN);
    sndif_session_close(p.session, p.now_usec);
    reaches(&p, SESSION_CLOSED);
    pair_end(&p);
}

static void a_refusal_is_a_failure_that_names_the_request(void) {
    struct pair p;

    if (!pair_setup(&p, true))
        return;
    p.status = -XEN_EACCES;
    sndif_session_query(p.session, p.now_usec);
    reaches(&p, SESSION_FAILED);
    CHECK(strcmp(p.session->failure, "HW_PARAM_QUERY") == 0);
    CHECK_EQ(p.session->failure_status, -XEN_EACCES);
    pair_end(&p);

    if (!pair_setup(&p, true) || !starts(&p, 1920))
        return;
    backend_captures(&p, 1920, 0);
    turn(&p, 1920);
    p.status = -XEN_EINVAL;
    reaches(&p, SESSION_FAILED);
    CHECK(strcmp(p.session->failure, "READ") == 0);
    CHECK_EQ(takes(&p), 0);
    pair_end(&p);
}

static void a_backend_that_falls_silent_is_a_failure(void) {
    struct pair p;

    if (!pair_setup(&p, true) || !starts(&p, 19200)) /* 100 ms */
        return;
    p.now_usec += SNDIF_SESSION_LIMIT_USEC + 90000;
    turn(&p, 19200);
    CHECK_EQ(p.session->state, SESSION_RUNNING);
    p.now_usec += 20000;
    turn(&p, 19200);
    CHECK_EQ(p.session->state, SESSION_FAILED);
    CHECK_EQ(p.session->failure_status, -XEN_ETIMEDOUT);
    pair_end(&p);

    if (!pair_setup(&p, true))
        return;
    sndif_session_query(p.session, p.now_usec);
    p.now_usec += SNDIF_SESSION_LIMIT_USEC + 1;
    sndif_recorder_process(&p.recorder, p.now_usec);
    CHECK_EQ(p.session->state, SESSION_FAILED);
    pair_end(&p);
}

static void answers_out_of_order_are_a_failure(void) {
    struct pair p;

    if (!pair_setup(&p, true) || !starts(&p, 960))
        return;
    p.holds = true;
    for (unsigned i = 0; i < 2; i++) {
        backend_captures(&p, 960, 0);
        turn(&p, 960);
    }
    backend_serves(&p);
    answer(&p, &p.held[1]);
    turn(&p, 960);
    CHECK_EQ(p.session->state, SESSION_FAILED);
    pair_end(&p);
}

static void a_slow_backend_leaves_room_for_stop(void) {
    struct pair p;

    if (!pair_setup(&p, true) || !starts(&p, 4))
        return;
    p.holds = true;
    for (unsigned i = 0; i < 40; i++) {
        backend_captures(&p, 4, 0);
        turn(&p, 4);
        backend_serves(&p);
    }
    CHECK_EQ(p.n_held, SNDIF_RING_SLOTS / 2);
    sndif_session_stop(p.session, p.now_usec);
    CHECK_EQ(p.session->state, SESSION_ASKING);
    answer_held(&p);
    reaches(&p, SESSION_OPEN);
    pair_end(&p);
}

int main(void) {
    static const struct check_test tests[] = {
        {"it takes each sample once, and in order", it_takes_each_sample_once_and_in_order},
        {"it asks again before it is answered", it_asks_again_before_it_is_answered},
        {"a READ ends with the buffer", a_read_ends_with_the_buffer},
        {"it is woken when the clients' fragment is there", it_is_woken_when_the_fragment_is_there},
        {"it goes on with the newest when it was too late", it_goes_on_with_the_newest_when_it_was_too_late},
        {"it says how old a sample is", it_says_how_old_a_sample_is},
        {"it starts again where the backend went on", it_starts_again_where_the_backend_went_on},
        {"a refusal is a failure that names the request", a_refusal_is_a_failure_that_names_the_request},
        {"a backend that falls silent is a failure", a_backend_that_falls_silent_is_a_failure},
        {"answers out of order are a failure", answers_out_of_order_are_a_failure},
        {"a slow backend leaves room for STOP", a_slow_backend_leaves_room_for_stop},
    };

    return check_main("recorder", tests, N_ELEMENTS(tests));
}
