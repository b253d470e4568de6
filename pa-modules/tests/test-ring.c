/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-ring.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check.h"

#define NEAR_WRAP (UINT32_MAX - 5)
#define WAIT_MS 10000

/* Both ends of one page. */
static _Alignas(4096) char page[SNDIF_PAGE_BYTES];
static struct xen_sndif_sring *const shared = (void *) page;
static struct sndif_ring_front front;
static struct sndif_ring_back back;

/* A fresh ring, all of whose counters are at `start`. */
static void start_at(RING_IDX start) {
    memset(page, 0, sizeof(page));
    sndif_ring_front_init(&front, page);
    sndif_ring_back_init(&back, page);
    shared->req_prod = shared->rsp_prod = start;
    shared->req_event = shared->rsp_event = start + 1;
    front.ring.req_prod_pvt = front.ring.rsp_cons = start;
    back.ring.req_cons = back.ring.rsp_prod_pvt = start;
}

static bool put_request(uint16_t id) {
    struct xensnd_req req = {.id = id, .operation = XENSND_OP_WRITE, .op.rw = {id * 2u, id * 3u}};
    bool notify;

    return sndif_ring_front_put(&front, &req, &notify);
}

/* The backend's turn: takes one request and answers it. */
static enum sndif_ring_result serve_one(uint16_t *id) {
    struct xensnd_req req;
    enum sndif_ring_result r = sndif_ring_back_get(&back, &req);

    if (r == SNDIF_RING_GOT) {
        struct xensnd_resp resp = {
            .id = req.id, .operation = req.operation, .status = -(int) req.op.rw.length};

        *id = req.id;
        sndif_ring_back_put(&back, &resp);
    }
    return r;
}

static void a_request_and_its_answer_arrive_whole(void) {
    struct xensnd_req req, got;
    struct xensnd_resp resp, answer;
    bool notify;

    memset(&req, 0xa1, sizeof(req));
    memset(&resp, 0xb2, sizeof(resp));
    start_at(0);
    CHECK(sndif_ring_front_put(&front, &req, &notify));
    CHECK_EQ(sndif_ring_back_get(&back, &got), SNDIF_RING_GOT);
    CHECK(memcmp(&req, &got, sizeof(req)) == 0);
    CHECK_EQ(sndif_ring_back_get(&back, &got), SNDIF_RING_EMPTY);
    CHECK_EQ(sndif_ring_front_get(&front, &answer), SNDIF_RING_EMPTY);
    sndif_ring_back_put(&back, &resp);
    CHECK_EQ(sndif_ring_front_get(&front, &answer), SNDIF_RING_GOT);
    CHECK(memcmp(&resp, &answer, sizeof(resp)) == 0);
    CHECK_EQ(sndif_ring_front_get(&front, &answer), SNDIF_RING_EMPTY);
}

static void the_page_is_laid_out_as_specified(void) {
    memset(page, 0xff, sizeof(page));
    sndif_ring_front_init(&front, page);
    CHECK_EQ(front.ring.nr_ents, SNDIF_RING_SLOTS);
    CHECK_EQ(shared->req_prod, 0);
    CHECK_EQ(shared->rsp_prod, 0);
    CHECK_EQ(shared->req_event, 1);
    CHECK_EQ(shared->rsp_event, 1);
    CHECK_EQ(page[SNDIF_ALIVE_OFFSET], 0);
    put_request(7);
    CHECK_EQ(((uint32_t *) (void *) page)[0], 1);
    CHECK_EQ(page[64], 7);
    CHECK_EQ(page[64 + 2], XENSND_OP_WRITE);
}

static void counters_wrap(void) {
    struct xensnd_resp resp;
    uint16_t id;

    start_at(NEAR_WRAP);
    for (uint16_t i = 0; i < 100; i++) {
        CHECK_ROW("request %u", i);
        CHECK(put_request(i));
        CHECK(serve_one(&id) == SNDIF_RING_GOT && id == i);
        CHECK(sndif_ring_front_get(&front, &resp) == SNDIF_RING_GOT && resp.id == i && resp.status == -3 * i);
    }
    CHECK_EQ(shared->req_prod, (RING_IDX) (NEAR_WRAP + 100));
}

static void a_full_ring_takes_no_more(void) {
    static const RING_IDX starts[] = {0, NEAR_WRAP};
    struct xensnd_resp resp;
    uint16_t id;

    for (size_t s = 0; s < N_ELEMENTS(starts); s++) {
        CHECK_ROW("from %u", starts[s]);
        start_at(starts[s]);
        for (uint16_t i = 0; i < SNDIF_RING_SLOTS; i++) {
            CHECK_EQ(sndif_ring_front_free(&front), SNDIF_RING_SLOTS - i);
            CHECK(put_request(i));
        }
        CHECK_EQ(sndif_ring_front_free(&front), 0);
        CHECK(!put_request(99));
        for (uint16_t i = 0; i < SNDIF_RING_SLOTS; i++)
            CHECK(serve_one(&id) == SNDIF_RING_GOT && id == i);
        CHECK_EQ(serve_one(&id), SNDIF_RING_EMPTY);
        CHECK(!put_request(99)); /* answers not taken still hold their slots */
        for (uint16_t i = 0; i < SNDIF_RING_SLOTS; i++)
            CHECK(sndif_ring_front_get(&front, &resp) == SNDIF_RING_GOT && resp.id == i);
        CHECK(put_request(99));
    }
}

/* `taken` of `put` requests are taken and `answered` of those answered; then the frontend writes req_prod. */
static void an_impossible_request_index_breaks_the_ring(void) {
    static const struct {
        unsigned put, taken, answered;
        int jump; /* from the true index */
        enum sndif_ring_result result;
    } rows[] = {
        {0, 0, 0, 33, SNDIF_RING_BROKEN},  {0, 0, 0, 32, SNDIF_RING_GOT},
        {0, 0, 0, -1, SNDIF_RING_BROKEN},  {0, 0, 0, INT32_MAX, SNDIF_RING_BROKEN},
        {4, 4, 0, 28, SNDIF_RING_GOT},     {4, 4, 0, 29, SNDIF_RING_BROKEN},
        {4, 4, 0, -1, SNDIF_RING_BROKEN},  {4, 4, 2, -1, SNDIF_RING_BROKEN},
        {4, 4, 4, 32, SNDIF_RING_GOT},     {4, 4, 4, 33, SNDIF_RING_BROKEN},
        {32, 32, 0, 1, SNDIF_RING_BROKEN}, {32, 31, 0, 0, SNDIF_RING_GOT},
        {4, 2, 2, -2, SNDIF_RING_EMPTY},   {4, 2, 2, -3, SNDIF_RING_BROKEN},
    };
    static const RING_IDX starts[] = {0, NEAR_WRAP};

    for (size_t i = 0; i < N_ELEMENTS(rows) * N_ELEMENTS(starts); i++) {
        size_t row = i / N_ELEMENTS(starts);
        RING_IDX truth;
        struct xensnd_req req;
        struct xensnd_resp resp = {0};

        CHECK_ROW("row %zu from %u", row, starts[i % N_ELEMENTS(starts)]);
        start_at(starts[i % N_ELEMENTS(starts)]);
        for (unsigned n = 0; n < rows[row].put; n++)
            put_request((uint16_t) n);
        for (unsigned n = 0; n < rows[row].taken; n++)
            sndif_ring_back_get(&back, &req);
        for (unsigned n = 0; n < rows[row].answered; n++)
            sndif_ring_back_put(&back, &resp);
        truth = shared->req_prod;
        shared->req_prod = truth + (RING_IDX) rows[row].jump;
        CHECK_EQ(sndif_ring_back_get(&back, &req), rows[row].result);
        if (rows[row].result != SNDIF_RING_BROKEN)
            continue;
        shared->req_prod = truth; /* too late to be good */
        CHECK_EQ(sndif_ring_back_get(&back, &req), SNDIF_RING_BROKEN);
        CHECK(!sndif_ring_back_final_check(&back));
        CHECK(!sndif_ring_back_put(&back, &resp));
    }
}

static void an_impossible_response_index_breaks_the_ring(void) {
    static const struct {
        unsigned put;
        RING_IDX rsp_prod;
        enum sndif_ring_result result;
    } rows[] = {
        {0, 0, SNDIF_RING_EMPTY},
        {0, 1, SNDIF_RING_BROKEN},
        {2, 2, SNDIF_RING_GOT},
        {2, 3, SNDIF_RING_BROKEN},
        {2, (RING_IDX) -1, SNDIF_RING_BROKEN},
        {32, 33, SNDIF_RING_BROKEN},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct xensnd_resp resp;

        CHECK_ROW("row %zu", i);
        start_at(0);
        for (unsigned n = 0; n < rows[i].put; n++)
            put_request((uint16_t) n);
        shared->rsp_prod = rows[i].rsp_prod;
        CHECK_EQ(sndif_ring_front_get(&front, &resp), rows[i].result);
        if (rows[i].result != SNDIF_RING_BROKEN)
            continue;
        shared->rsp_prod = 0;
        CHECK_EQ(sndif_ring_front_get(&front, &resp), SNDIF_RING_BROKEN);
        CHECK(!sndif_ring_front_final_check(&front));
        CHECK_EQ(sndif_ring_front_free(&front), 0);
        CHECK(!put_request(1));
    }
}

static void a_broken_index_is_work_until_it_is_seen(void) {
    struct xensnd_req req;

    start_at(0);
    shared->req_prod = 1000;
    CHECK(sndif_ring_back_final_check(&back));
    CHECK_EQ(sndif_ring_back_get(&back, &req), SNDIF_RING_BROKEN);
    CHECK(!sndif_ring_back_final_check(&back));
}

static void requests_notify_only_a_backend_that_asked(void) {
    struct xensnd_req req = {0};
    uint16_t id;
    bool notify;

    start_at(NEAR_WRAP);
    CHECK(sndif_ring_front_put(&front, &req, &notify) && notify); /* the first always */
    CHECK(sndif_ring_front_put(&front, &req, &notify) && !notify);
    CHECK(sndif_ring_back_final_check(&back)); /* work left: asks for nothing */
    CHECK(sndif_ring_front_put(&front, &req, &notify) && !notify);
    start_at(NEAR_WRAP);
    for (unsigned i = 0; i < 20; i++) {
        struct xensnd_resp resp;

        CHECK_ROW("sleep %u", i);
        CHECK(!sndif_ring_back_final_check(&back));
        CHECK(sndif_ring_front_put(&front, &req, &notify) && notify);
        CHECK(sndif_ring_front_put(&front, &req, &notify) && !notify);
        while (serve_one(&id) == SNDIF_RING_GOT)
            CHECK_EQ(sndif_ring_front_get(&front, &resp), SNDIF_RING_GOT);
    }
}

static void responses_notify_as_the_frontend_asked(void) {
    struct xensnd_req req;
    struct xensnd_resp resp = {0};

    start_at(NEAR_WRAP);
    for (uint16_t i = 0; i < 12; i++) {
        put_request(i);
        sndif_ring_back_get(&back, &req);
    }
    CHECK(sndif_ring_back_put(&back, &resp)); /* 1: asked for at the start */
    CHECK(!sndif_ring_back_put(&back, &resp));
    CHECK(sndif_ring_front_final_check(&front));
    CHECK_EQ(sndif_ring_front_get(&front, &resp), SNDIF_RING_GOT);
    CHECK_EQ(sndif_ring_front_get(&front, &resp), SNDIF_RING_GOT);
    CHECK(!sndif_ring_front_final_check(&front));
    CHECK(sndif_ring_back_put(&back, &resp)); /* 3 */
    CHECK_EQ(sndif_ring_front_get(&front, &resp), SNDIF_RING_GOT);
    sndif_ring_front_hold_off(&front, 4); /* of 4 to 12 */
    CHECK(!sndif_ring_back_put(&back, &resp));
    CHECK(!sndif_ring_back_put(&back, &resp));
    CHECK(!sndif_ring_back_put(&back, &resp));
    CHECK(sndif_ring_back_put(&back, &resp)); /* 7 */
    CHECK(!sndif_ring_back_put(&back, &resp));
    while (sndif_ring_front_get(&front, &resp) == SNDIF_RING_GOT)
        continue;
    sndif_ring_front_hold_off(&front, 0); /* no less than the next */
    CHECK(sndif_ring_back_put(&back, &resp));
}

/* ---- two threads ---- */

#define STRESS_REQUESTS 2000000u

static int to_back, to_front; /* eventfds in the place of event channels */

static void ring_bell(int fd) {
    uint64_t one = 1;

    CHECK(write(fd, &one, sizeof(one)) == sizeof(one));
}

static bool wait_for_bell(int fd) {
    struct pollfd item = {.fd = fd, .events = POLLIN};
    uint64_t count;

    return poll(&item, 1, WAIT_MS) == 1 && read(fd, &count, sizeof(count)) == sizeof(count);
}

/* Answers every request in order; gives the number of those that came as expected. */
static void *stress_backend(void *userdata) {
    uint32_t *served = userdata;
    bool ok = true;

    while (ok && *served < STRESS_REQUESTS) {
        struct xensnd_req req;
        struct xensnd_resp resp = {.operation = XENSND_OP_WRITE};

        if (sndif_ring_back_get(&back, &req) == SNDIF_RING_GOT) {
            resp.id = req.id;
            resp.status = (int32_t) req.op.rw.offset;
            ok = req.op.rw.offset == *served && req.op.rw.length == ~*served;
            *served += ok;
            if (sndif_ring_back_put(&back, &resp))
                ok &= write(to_front, &(uint64_t) {1}, sizeof(uint64_t)) == sizeof(uint64_t);
        } else if (!sndif_ring_back_final_check(&back)) {
            ok = !back.broken && wait_for_bell(to_back);
        }
    }
    return NULL;
}

static void stress_put_all(uint32_t *asked) {
    bool notify, any = false;

    while (*asked < STRESS_REQUESTS) {
        struct xensnd_req req = {
            .id = (uint16_t) *asked, .operation = XENSND_OP_WRITE, .op.rw = {*asked, ~*asked}};

        if (!sndif_ring_front_put(&front, &req, &notify))
            break;
        any |= notify;
        ++*asked;
    }
    if (any)
        ring_bell(to_back);
}

static void two_threads_lose_nothing(void) {
    uint32_t asked = 0, answered = 0, served = 0;
    pthread_t thread;
    bool ok = true;

    start_at((RING_IDX) - (RING_IDX) (STRESS_REQUESTS / 2));
    to_back = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    to_front = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!CHECK_EQ(pthread_create(&thread, NULL, stress_backend, &served), 0))
        return;
    while (ok && answered < STRESS_REQUESTS) {
        struct xensnd_resp resp;

        stress_put_all(&asked);
        if (sndif_ring_front_get(&front, &resp) == SNDIF_RING_GOT) {
            ok = CHECK_EQ(resp.status, answered) && CHECK_EQ(resp.id, (uint16_t) answered);
            answered++;
        } else if (!sndif_ring_front_final_check(&front)) {
            ok = CHECK(!front.broken) && CHECK(wait_for_bell(to_front));
        }
    }
    pthread_join(thread, NULL);
    CHECK_EQ(answered, STRESS_REQUESTS);
    CHECK_EQ(served, STRESS_REQUESTS);
    close(to_back);
    close(to_front);
}

int main(void) {
    static const struct check_test tests[] = {
        {"a request and its answer arrive whole and once", a_request_and_its_answer_arrive_whole},
        {"the page is laid out as the specification has it", the_page_is_laid_out_as_specified},
        {"counters wrap at 2^32", counters_wrap},
        {"a full ring takes no more until answers are taken", a_full_ring_takes_no_more},
        {"an impossible request index breaks the ring for good", an_impossible_request_index_breaks_the_ring},
        {"an impossible response index breaks the ring for good",
         an_impossible_response_index_breaks_the_ring},
        {"a backend does not sleep over a broken index", a_broken_index_is_work_until_it_is_seen},
        {"requests notify only a backend that asked", requests_notify_only_a_backend_that_asked},
        {"responses notify as the frontend asked", responses_notify_as_the_frontend_asked},
        {"two threads pass two million requests across the wrap without loss", two_threads_lose_nothing},
    };

    return check_main("ring", tests, N_ELEMENTS(tests));
}
