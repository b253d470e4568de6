/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-margin.h"

#include "check.h"

#define MSEC 1000u
#define SEC 1000000u
#define WRITE_EVERY_USEC (5 * MSEC)

struct world {
    struct sndif_margin margin;
    uint64_t now_usec;
};

static void world_init(struct world *w) {
    memset(w, 0, sizeof(*w));
    w->now_usec = 1000 * SEC;
    sndif_margin_start(&w->margin, w->now_usec);
}

/* Pulls that leave so much where there is no margin, and more by what there is of it. */
static void run(struct world *w, unsigned msec, unsigned slack_usec) {
    for (uint64_t end = w->now_usec + (uint64_t) msec * MSEC; w->now_usec < end;) {
        w->now_usec += WRITE_EVERY_USEC;
        sndif_margin_grow(&w->margin, w->now_usec);
        sndif_margin_judge(&w->margin, slack_usec + w->margin.usec, w->now_usec);
    }
}

/* One pull finds nothing in spite of the margin. */
static void stall(struct world *w) {
    w->now_usec += WRITE_EVERY_USEC;
    sndif_margin_grow(&w->margin, w->now_usec);
    sndif_margin_judge(&w->margin, 0, w->now_usec);
}

static void grows_to_what_is_needed(void) {
    struct world w;

    world_init(&w);
    run(&w, 1000, 0);
    CHECK(w.margin.usec >= 1000 && w.margin.usec < 2000);
    world_init(&w);
    w.margin.goal_usec = w.margin.usec = 0;
    run(&w, 1000, 0);
    CHECK(w.margin.usec >= 1000 && w.margin.usec < 2000);
}

static void shrinks_soon_where_less_will_do(void) {
    struct world w;

    world_init(&w);
    run(&w, 100, 0);
    stall(&w);
    run(&w, 100, 0);
    stall(&w);
    run(&w, 100, 0);
    CHECK(w.margin.usec >= 3 * MSEC);
    run(&w, 9000, 700);           /* at the first look, the growing itself is a part of what was seen */
    CHECK_EQ(w.margin.usec, 800); /* 1.5 ms are to be left */
    run(&w, 20000, 5 * MSEC);
    CHECK_EQ(w.margin.usec, 0);
}

/* What happens every ten seconds costs gaps at first only. */
static void keeps_what_is_needed_now_and_then(void) {
    struct world w;
    unsigned gaps = 0;

    world_init(&w);
    for (unsigned i = 0; i < 60; i++) {
        const uint64_t late_usec = 8 * MSEC, left_usec = 3 * MSEC + w.margin.usec;

        gaps += left_usec < late_usec;
        sndif_margin_judge(&w.margin, left_usec < late_usec ? 0 : left_usec - late_usec, w.now_usec);
        run(&w, 10000, 3 * MSEC);
    }
    CHECK(gaps > 0 && gaps <= 10);
    CHECK(w.margin.usec >= 5 * MSEC);
}

static void the_next_look_comes_later_after_a_wrong_one(void) {
    struct world w;
    uint64_t before;

    world_init(&w);
    before = w.margin.patience_usec;
    run(&w, 5000, 10 * MSEC);
    CHECK(w.margin.lowered);
    stall(&w);
    CHECK_EQ(w.margin.patience_usec, 2 * before);
    run(&w, 100, 10 * MSEC);
    stall(&w); /* it has not been lowered since */
    CHECK_EQ(w.margin.patience_usec, 2 * before);
    for (unsigned i = 0; i < 20; i++) {
        run(&w, 70000, 10 * MSEC);
        stall(&w);
    }
    CHECK(w.margin.patience_usec <= 64 * SEC);
}

static void never_passes_its_limit(void) {
    struct world w;

    world_init(&w);
    for (unsigned i = 0; i < 1000; i++) {
        const uint64_t before = w.margin.usec;

        stall(&w);
        CHECK(w.margin.usec - before <= WRITE_EVERY_USEC / 4);
    }
    CHECK_EQ(w.margin.usec, 40 * MSEC);
}

static void a_frontend_that_pauses_changes_nothing(void) {
    struct world w;
    uint64_t before;

    world_init(&w);
    run(&w, 1000, 10 * MSEC);
    before = w.margin.goal_usec;
    for (unsigned i = 0; i < 10; i++) {
        w.now_usec += 300 * MSEC;
        sndif_margin_judge(&w.margin, 0, w.now_usec);
    }
    CHECK_EQ(w.margin.goal_usec, before);
}

static void a_time_without_pulls_changes_nothing(void) {
    struct world w;
    uint64_t before;

    world_init(&w);
    run(&w, 100, 0);
    before = w.margin.usec;
    for (unsigned i = 0; i < 2000; i++) {
        w.now_usec += WRITE_EVERY_USEC;
        sndif_margin_judge(&w.margin, UINT64_MAX, w.now_usec);
    }
    CHECK_EQ(w.margin.usec, before);
}

int main(void) {
    static const struct check_test tests[] = {
        {"it grows to what is needed", grows_to_what_is_needed},
        {"it shrinks soon where less will do", shrinks_soon_where_less_will_do},
        {"it keeps what is needed now and then", keeps_what_is_needed_now_and_then},
        {"the next look comes later after a wrong one", the_next_look_comes_later_after_a_wrong_one},
        {"it never passes its limit, nor grows faster than a quarter of the time", never_passes_its_limit},
        {"a frontend that pauses changes nothing", a_frontend_that_pauses_changes_nothing},
        {"a time without pulls changes nothing", a_time_without_pulls_changes_nothing},
    };

    return check_main("margin", tests, N_ELEMENTS(tests));
}
