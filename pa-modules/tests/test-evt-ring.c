/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-evt-ring.h"

#include "check.h"

static _Alignas(4096) char page[SNDIF_PAGE_BYTES];
static struct xensnd_event_page *const shared = (void *) page;
static struct sndif_evt_front front;
static struct sndif_evt_back back;

static void start_at(uint32_t start) {
    memset(page, 0, sizeof(page));
    sndif_evt_front_init(&front, page);
    sndif_evt_back_init(&back, page);
    shared->in_cons = shared->in_prod = start;
    front.cons = back.prod = start;
}

static bool put(uint64_t position) {
    return sndif_evt_back_put(&back, &(struct sndif_cur_pos) {position, (uint32_t) position + 1});
}

static bool gets(uint64_t position) {
    struct sndif_cur_pos pos = {0};

    return sndif_evt_front_get(&front, &pos) == SNDIF_RING_GOT && pos.position_bytes == position &&
           pos.latency_usec == (uint32_t) position + 1;
}

/* The event in the slot of counter `index`, as it lies in the page. */
static const struct xensnd_evt *raw(uint32_t index) {
    return &XENSND_IN_RING_REF(shared, index);
}

static void an_event_arrives_whole_and_once(void) {
    struct sndif_cur_pos pos;

    start_at(0);
    CHECK_EQ(sndif_evt_front_get(&front, &pos), SNDIF_RING_EMPTY);
    CHECK(put(UINT64_C(0x1122334455667788)));
    CHECK(gets(UINT64_C(0x1122334455667788)));
    CHECK_EQ(sndif_evt_front_get(&front, &pos), SNDIF_RING_EMPTY);
    CHECK_EQ(shared->in_cons, 1);
}

static void an_event_is_laid_out_as_specified(void) {
    const uint8_t *octets = (const uint8_t *) page + 64;
    uint64_t position;
    uint32_t latency;

    start_at(0);
    memset(page + 64, 0xff, 64);
    put(0x1234);
    memcpy(&position, octets + 8, sizeof(position));
    memcpy(&latency, octets + 16, sizeof(latency));
    CHECK_EQ(shared->in_prod, 1);
    CHECK_EQ(octets[0], 0);
    CHECK_EQ(octets[2], XENSND_EVT_CUR_POS);
    CHECK_EQ(position, 0x1234);
    CHECK_EQ(latency, 0x1235);
    for (unsigned i = 3; i < 64; i++) {
        CHECK_ROW("octet %u", i);
        CHECK((i >= 8 && i < 20) || octets[i] == 0);
    }
}

static void a_full_page_drops_without_using_an_id(void) {
    start_at(0);
    for (unsigned i = 0; i < SNDIF_EVT_SLOTS; i++)
        CHECK(put(i));
    CHECK(!put(1000));
    CHECK(!put(1001));
    CHECK_EQ(shared->in_prod, SNDIF_EVT_SLOTS);
    CHECK(gets(0));
    CHECK(put(63));
    CHECK_EQ(raw(63)->id, 63);
    for (unsigned i = 1; i <= SNDIF_EVT_SLOTS; i++) {
        CHECK_ROW("event %u", i);
        CHECK(gets(i));
    }
}

static void a_senseless_in_cons_is_a_full_page(void) {
    static const struct {
        uint32_t prod, in_cons;
        bool full;
    } rows[] = {
        {100, 100, false}, {100, 38, false}, {100, 37, true},  {100, 36, true},
        {100, 0, true},    {100, 101, true}, {100, 163, true}, {100, UINT32_MAX, true},
        {0, 1, true},      {0, 0, false},    {62, 0, false},   {63, 0, true},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        CHECK_ROW("in_prod %u, in_cons %u", rows[i].prod, rows[i].in_cons);
        start_at(rows[i].prod);
        shared->in_cons = rows[i].in_cons;
        CHECK_EQ(put(1), !rows[i].full);
        CHECK_EQ(back.next_id, !rows[i].full);
    }
}

static void a_changed_in_prod_does_not_move_the_backend(void) {
    start_at(5);
    shared->in_prod = 1000;
    CHECK(put(77));
    CHECK_EQ(shared->in_prod, 6);
    CHECK_EQ(raw(5)->op.cur_pos.position, 77);
}

static void counters_wrap(void) {
    start_at(UINT32_MAX - 100);
    for (unsigned i = 0; i < 300; i++) {
        CHECK_ROW("event %u", i);
        CHECK(put(i));
        CHECK(gets(i));
        CHECK_EQ(raw(front.cons - 1)->id, i);
    }
}

/*
 * Slot 0 follows slot 3 at the wrap: with more in the page than that, new events would overwrite unread ones.
 */
static void no_unread_event_is_overwritten_at_the_wrap(void) {
    start_at(UINT32_MAX - 9);
    for (unsigned i = 0; i < 10; i++)
        CHECK(put(i));
    CHECK_EQ(shared->in_prod, 0);
    for (unsigned i = 0; i < 10; i++) {
        CHECK_ROW("event %u", i);
        CHECK(!put(1000));
        CHECK(gets(i));
    }
    CHECK(put(10));
    CHECK_EQ(raw(0)->id, 10);
    CHECK(gets(10));
}

static void ids_wrap_at_16_bits(void) {
    start_at(0);
    for (uint32_t i = 0; i < 0x10003; i++) {
        put(i);
        CHECK_ROW("event %u", i);
        CHECK_EQ(raw(i)->id, i & 0xffff);
        CHECK(gets(i));
    }
}

static void an_impossible_in_prod_breaks_the_frontend_for_good(void) {
    static const struct {
        uint32_t cons, in_prod;
        enum sndif_ring_result result;
    } rows[] = {
        {10, 10, SNDIF_RING_EMPTY}, {10, 73, SNDIF_RING_GOT},         {10, 74, SNDIF_RING_BROKEN},
        {10, 9, SNDIF_RING_BROKEN}, {UINT32_MAX, 62, SNDIF_RING_GOT}, {UINT32_MAX, 63, SNDIF_RING_BROKEN},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct sndif_cur_pos pos;

        CHECK_ROW("in_cons %u, in_prod %u", rows[i].cons, rows[i].in_prod);
        start_at(rows[i].cons);
        shared->in_prod = rows[i].in_prod;
        CHECK_EQ(sndif_evt_front_get(&front, &pos), rows[i].result);
        shared->in_prod = rows[i].cons;
        if (rows[i].result == SNDIF_RING_BROKEN)
            CHECK_EQ(sndif_evt_front_get(&front, &pos), SNDIF_RING_BROKEN);
    }
}

static void other_event_types_are_skipped(void) {
    struct sndif_cur_pos pos;

    start_at(0);
    for (unsigned i = 0; i < 4; i++)
        put(i);
    XENSND_IN_RING_REF(shared, 0).type = 9;
    XENSND_IN_RING_REF(shared, 1).type = 255;
    XENSND_IN_RING_REF(shared, 3).type = 1;
    CHECK(gets(2));
    CHECK_EQ(sndif_evt_front_get(&front, &pos), SNDIF_RING_EMPTY);
    CHECK_EQ(shared->in_cons, 4);
}

static void the_wished_position_is_seen_by_the_backend(void) {
    uint64_t octets;

    start_at(0);
    CHECK_EQ(sndif_evt_back_wakeup(&back), 0);
    sndif_evt_front_set_wakeup(&front, UINT64_C(0x123456789abcdef0));
    CHECK(sndif_evt_back_wakeup(&back) == UINT64_C(0x123456789abcdef0));
    memcpy(&octets, page + 8, sizeof(octets));
    CHECK(octets == UINT64_C(0x123456789abcdef0));
}

int main(void) {
    static const struct check_test tests[] = {
        {"an event arrives whole and once", an_event_arrives_whole_and_once},
        {"an event is laid out as specified, zero elsewhere", an_event_is_laid_out_as_specified},
        {"a full page drops an event without using an id", a_full_page_drops_without_using_an_id},
        {"a senseless in_cons is a full page", a_senseless_in_cons_is_a_full_page},
        {"an in_prod changed by the guest does not move the backend",
         a_changed_in_prod_does_not_move_the_backend},
        {"counters wrap at 2^32", counters_wrap},
        {"no unread event is overwritten at the wrap", no_unread_event_is_overwritten_at_the_wrap},
        {"ids wrap at 2^16", ids_wrap_at_16_bits},
        {"an impossible in_prod breaks the frontend's side for good",
         an_impossible_in_prod_breaks_the_frontend_for_good},
        {"other event types are skipped", other_event_types_are_skipped},
        {"the position the frontend wishes is seen by the backend",
         the_wished_position_is_seen_by_the_backend},
    };

    return check_main("evt-ring", tests, N_ELEMENTS(tests));
}
