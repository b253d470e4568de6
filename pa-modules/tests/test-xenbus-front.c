/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xenbus-front.h"

#include "check.h"
#include "fake-store.h"

#define CARD "device/vsnd/0"

/* As libxl makes it: a card with one playback stream, whose backend waits. */
static void make_card(const char *domid) {
    char backend[64], state[80];

    fake_store_clear();
    snprintf(backend, sizeof(backend), "/local/domain/0/backend/vsnd/%s/0", domid);
    snprintf(state, sizeof(state), "%s/state", backend);
    fake_store_put("domid", domid);
    fake_store_put(CARD "/backend", backend);
    fake_store_put(CARD "/backend-id", "0");
    fake_store_put(CARD "/state", "1");
    fake_store_put(CARD "/0/0/type", "p");
    fake_store_put(state, "2");
}

static void connect(struct xenbus_front *front) {
    const struct xenbus_transport transport = {
        .ring_ref = 8, .event_channel = 3, .evt_ring_ref = 9, .evt_event_channel = 4};

    CHECK_EQ(xenbus_front_open(front, 0), 0);
    CHECK_EQ(xenbus_front_next(front), XENBUS_PUBLISH);
    CHECK(!xenbus_front_resumed(front));
    CHECK_EQ(xenbus_front_publish(front, &transport, 1), 0);
    fake_store_put("/local/domain/0/backend/vsnd/5/0/state", "4");
    CHECK_EQ(xenbus_front_next(front), XENBUS_GO);
    CHECK_EQ(fake_store_number(CARD "/state"), 4);
}

static void a_connection_that_ends_was_not_resumed(void) {
    struct xenbus_front front;

    make_card("5");
    connect(&front);
    CHECK_EQ(xenbus_front_next(&front), XENBUS_NOTHING);
    CHECK(!xenbus_front_resumed(&front)); /* as after a suspend that was called off */
    fake_store_put("/local/domain/0/backend/vsnd/5/0/state", "5");
    CHECK_EQ(xenbus_front_next(&front), XENBUS_LOST);
    CHECK(!xenbus_front_resumed(&front));
    xenbus_front_closed(&front);
    CHECK_EQ(fake_store_number(CARD "/state"), 6);
    CHECK(fake_store_find(CARD "/0/0/ring-ref") == NULL);
    xenbus_front_close(&front);
}

static void a_resume_is_told_by_domid_or_state(void) {
    static const char *const domids[] = {"6", "5"}; /* a migration may give the same again */

    for (size_t i = 0; i < N_ELEMENTS(domids); i++) {
        struct xenbus_front front;

        CHECK_ROW("domid %s", domids[i]);
        make_card("5");
        connect(&front);
        make_card(domids[i]);
        CHECK_EQ(xenbus_front_next(&front), XENBUS_LOST);
        CHECK(xenbus_front_resumed(&front));
        xenbus_front_closed(&front);
        CHECK_EQ(fake_store_number(CARD "/state"),
                 1); /* the new backend is told nothing of the old connection */
        CHECK_EQ(xenbus_front_next(&front), XENBUS_PUBLISH);
        CHECK(!xenbus_front_resumed(&front));
        xenbus_front_close(&front);
    }
}

static void a_resume_without_a_card_is_told_by_domid(void) {
    struct xenbus_front front;

    make_card("5");
    connect(&front);
    fake_store_clear();
    CHECK_EQ(xenbus_front_next(&front), XENBUS_LOST);
    CHECK(!xenbus_front_resumed(&front)); /* it was only detached */
    fake_store_put("domid", "6");
    CHECK(xenbus_front_resumed(&front));
    xenbus_front_closed(&front);
    CHECK(fake_store_find(CARD "/state") == NULL);
    xenbus_front_close(&front);
}

int main(void) {
    static const struct check_test tests[] = {
        {"a connection that ends was not resumed", a_connection_that_ends_was_not_resumed},
        {"a resume is told by domid or state", a_resume_is_told_by_domid_or_state},
        {"a resume without a card is told by domid", a_resume_without_a_card_is_told_by_domid},
    };

    return check_main("xenbus-front", tests, N_ELEMENTS(tests));
}
