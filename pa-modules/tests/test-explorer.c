/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xenbus-front.h"

#include <errno.h>
#include <stdlib.h>

#include <xenstore.h>

#include "check.h"
#include "fake-store.h"
#include "fake-xen.h"
#include "sndif-frontend.h"

/*
 * Drives the frontend's handshake through every sequence of up to DEPTH things that a backend, a toolstack, the
 * kernel or the end of its own process can do to it, and through longer random ones. After each sequence what was
 * broken is mended, and a healthy backend must get it connected; in the end nothing of it may be left.
 */

#define DEPTH 2u
#define RANDOM_RUNS 2500u
/* The same with XEN_AUDIO_TEST_FULL=1, which takes minutes. */
#define DEPTH_FULL 3u
#define RANDOM_RUNS_FULL 100000u
#define RANDOM_ACTIONS 40u
#define FRONT_DOMID 7u
#define STREAMS 2u
#define BUFFER_BYTES 4096u
/* More turns than this without an end: it goes round in a circle. */
#define TURNS_MAX 64u

#define CARD "device/vsnd/0"
#define STATE CARD "/state"

/* ---- the frontend, with its card's reactions as in xen-card.c ---- */

static struct xenbus_front bus;
static struct sndif_frontend fronts[STREAMS];
static bool granted[STREAMS], linked, retry;

static void withdraw(void) {
    for (unsigned i = 0; i < STREAMS; i++) {
        if (granted[i])
            sndif_frontend_done(&fronts[i]);
        granted[i] = false;
    }
    linked = false;
}

static void disconnect(void) {
    const bool resumed = bus.published && xenbus_front_resumed(&bus);

    withdraw();
    if (bus.published)
        xenbus_front_closed(&bus);
    retry = retry || resumed;
}

static bool grant(struct xenbus_transport *transports) {
    const char *what;

    for (unsigned i = 0; i < STREAMS; i++) {
        if (sndif_frontend_init(&fronts[i], bus.backend_domid, BUFFER_BYTES, &what) < 0)
            return false;
        granted[i] = true;
        transports[i] = (struct xenbus_transport) {.stream = i,
                                                   .ring_ref = fronts[i].ring_ref,
                                                   .event_channel = fronts[i].request_port,
                                                   .evt_ring_ref = fronts[i].evt_ring_ref,
                                                   .evt_event_channel = fronts[i].event_port};
    }
    return true;
}

static void follow(void) {
    struct xenbus_transport transports[STREAMS];

    switch (xenbus_front_next(&bus)) {
        case XENBUS_PUBLISH:
            CHECK(!granted[0] && !granted[1]);
            retry = !grant(transports) || xenbus_front_publish(&bus, transports, STREAMS) < 0;
            if (retry)
                withdraw();
            break;
        case XENBUS_GO:
            CHECK(granted[0] && granted[1]);
            linked = true;
            break;
        case XENBUS_LOST:
            disconnect();
            break;
        case XENBUS_NOTHING:
            break;
    }
}

/* Until nothing happens any more. */
static bool run_front(void) {
    unsigned turns = 0;

    while (fake_store_has_events() && turns++ < TURNS_MAX)
        follow();
    return turns <= TURNS_MAX;
}

static void begin_front(void) {
    fake_xen_set_domain(FRONT_DOMID);
    CHECK_EQ(xenbus_front_open(&bus, 0), 0);
}

static void end_front(void) {
    withdraw();
    xenbus_front_close(&bus);
    CHECK_EQ(fake_store_watches(), 0);
    CHECK_EQ(fake_store_handles(), 0);
}

/* ---- toolstack and backend ---- */

static unsigned backend_domid;

static const char *backend_path(const char *node) {
    static char path[96];

    snprintf(path, sizeof(path), "/local/domain/%u/backend/vsnd/7/0%s%s", backend_domid, node ? "/" : "",
             node ? node : "");
    return path;
}

/* Makes the card anew, with the backend in this domain. */
static void attach(unsigned domid) {
    char text[16];

    fake_store_drop(backend_path(NULL));
    fake_store_drop(CARD);
    backend_domid = domid;
    snprintf(text, sizeof(text), "%u", domid);
    fake_store_put(CARD "/backend", backend_path(NULL));
    fake_store_put(CARD "/backend-id", text);
    fake_store_put(CARD "/0/0/type", "p");
    fake_store_put(CARD "/0/1/type", "c");
    fake_store_put(STATE, "1");
    fake_store_put(backend_path("feature-wakeup"), "1");
    fake_store_put(backend_path("state"), "1");
}

static void set_backend(unsigned state) {
    char text[16];

    snprintf(text, sizeof(text), "%u", state);
    fake_store_put(backend_path("state"), text);
}

/* One move of a healthy backend; table of docs/protocol.md. False: it waits. */
static bool backend_moves(void) {
    const unsigned own = fake_store_number(backend_path("state")), front = fake_store_number(STATE);
    const bool rings = front == XENBUS_INITIALISED || front == XENBUS_CONNECTED;
    unsigned next = own;

    if (own == XENBUS_INITIALISING || (own == XENBUS_CLOSED && !rings))
        next = XENBUS_INIT_WAIT;
    else if (own == XENBUS_INIT_WAIT && front == XENBUS_INITIALISED)
        next = XENBUS_CONNECTED;
    else if (own != XENBUS_INIT_WAIT && own != XENBUS_CLOSED && !(own == XENBUS_CONNECTED && rings))
        next = XENBUS_CLOSED;
    if (next != own)
        set_backend(next);
    return next != own;
}

/* ---- what may happen ---- */

enum { ACTION_BACK = 0, ACTION_OWN = 9, ACTION_NAMED = 18 };

static void front_reacts(void) {
    CHECK(run_front());
}
static void backend_reacts(void) {
    (void) backend_moves();
}
static void backend_state_gone(void) {
    fake_store_drop(backend_path("state"));
}
static void backend_gone(void) {
    fake_store_drop(backend_path(NULL));
}
static void backend_state_is_junk(void) {
    fake_store_put(backend_path("state"), "-");
}
static void link_gone(void) {
    fake_store_drop(CARD "/backend");
}
static void link_elsewhere(void) {
    fake_store_put(CARD "/backend", "/local/domain/5/backend/vsnd/7/0");
}
static void link_is_too_long(void) {
    fake_store_put(CARD "/backend", "////////////////////////////////////////////////////////////////");
}
static void backend_id_is_junk(void) {
    fake_store_put(CARD "/backend-id", "x");
}
static void own_state_is_junk(void) {
    fake_store_put(STATE, "junk");
}
static void own_state_gone(void) {
    fake_store_drop(STATE);
}
static void rings_gone(void) {
    fake_store_drop(CARD "/0/0");
}
static void card_gone(void) {
    fake_store_drop(CARD);
}
static void card_anew(void) {
    attach(backend_domid);
}
static void another_backend(void) {
    attach(backend_domid == 0 ? 3 : 0);
}
static void front_leaves_and_returns(void) {
    end_front();
    begin_front();
}
static void front_is_killed_and_returns(void) {
    withdraw(); /* the kernel does */
    xs_close(bus.card.xs);
    free(bus.backend_path);
    begin_front();
}
static void others_write(void) {
    fake_store_disturb(2);
}
static void grants_run_out(void) {
    fake_xen_fail(FAKE_XEN_SHARE_PAGES, 2, ENOSPC);
}
static void ports_run_out(void) {
    fake_xen_fail(FAKE_XEN_BIND_UNBOUND, 3, ENOSPC);
}

/* Behind the states 0 to 8 of the backend, and of the frontend written by another. */
static const struct {
    const char *name;
    void (*act)(void);
} named[] = {
    {"front", front_reacts},
    {"back", backend_reacts},
    {"back-state-gone", backend_state_gone},
    {"back-gone", backend_gone},
    {"back-state-junk", backend_state_is_junk},
    {"link-gone", link_gone},
    {"link-elsewhere", link_elsewhere},
    {"link-too-long", link_is_too_long},
    {"backend-id-junk", backend_id_is_junk},
    {"own-state-junk", own_state_is_junk},
    {"own-state-gone", own_state_gone},
    {"rings-gone", rings_gone},
    {"card-gone", card_gone},
    {"card-anew", card_anew},
    {"another-backend", another_backend},
    {"leave", front_leaves_and_returns},
    {"killed", front_is_killed_and_returns},
    {"conflicts", others_write},
    {"no-grants", grants_run_out},
    {"no-ports", ports_run_out},
};
#define ACTIONS (ACTION_NAMED + N_ELEMENTS(named))

static void act(unsigned action) {
    char text[16];

    if (action < ACTION_OWN) {
        set_backend(action - ACTION_BACK);
    } else if (action < ACTION_NAMED) {
        snprintf(text, sizeof(text), "%u", action - ACTION_OWN);
        fake_store_put(STATE, text);
    } else {
        named[action - ACTION_NAMED].act();
    }
}

static void print_action(char *text, size_t size, unsigned action) {
    if (action < ACTION_OWN)
        snprintf(text, size, "back=%u", action - ACTION_BACK);
    else if (action < ACTION_NAMED)
        snprintf(text, size, "own=%u", action - ACTION_OWN);
    else
        snprintf(text, size, "%s", named[action - ACTION_NAMED].name);
}

/* ---- one schedule ---- */

static bool is_full(void) {
    const char *text = getenv("XEN_AUDIO_TEST_FULL");

    return text && strcmp(text, "1") == 0;
}

/* How a schedule begins, and what follows. Text: "connected eager: back=5 card-gone". */
struct schedule {
    bool connected; /* else the toolstack has just made the card */
    bool eager;     /* the frontend reacts to each action at once; else only when it is told to */
    unsigned count, actions[RANDOM_ACTIONS];
};

static bool is_intact(void) {
    const char *link = fake_store_find(CARD "/backend"), *id = fake_store_find(CARD "/backend-id");
    const unsigned own = fake_store_number(STATE), back = fake_store_number(backend_path("state"));

    return own > 0 && own <= 8 && back > 0 && link && strcmp(link, backend_path(NULL)) == 0 && id &&
           strcmp(id, "x") != 0 && fake_store_find(CARD "/0/0/type") && fake_store_find(CARD "/0/1/type");
}

/* Whether the nodes of the rings are those of the frontend, if it has published any. */
static bool rings_stand(void) {
    char path[64];

    for (unsigned i = 0; i < STREAMS; i++) {
        snprintf(path, sizeof(path), CARD "/0/%u/ring-ref", i);
        if (bus.published && fake_store_number(path) != fronts[i].ring_ref)
            return false;
    }
    return true;
}

static bool connect_both(void) {
    for (unsigned turns = 0; turns < TURNS_MAX; turns++) {
        const bool front_moved = fake_store_has_events() || retry;

        if (retry) { /* its timer */
            retry = false;
            follow();
        }
        if (!run_front())
            return false;
        if (!backend_moves() && !front_moved)
            break;
    }
    return linked && fake_store_number(STATE) == XENBUS_CONNECTED &&
           fake_store_number(backend_path("state")) == XENBUS_CONNECTED;
}

static void check_connected(void) {
    struct fake_xen_usage usage;

    CHECK(connect_both());
    CHECK_EQ(fake_store_watches(), 2);
    CHECK_EQ(bus.backend_domid, backend_domid);
    usage = fake_xen_usage();
    CHECK_EQ(usage.ports, 2 * STREAMS);
    CHECK_EQ(usage.misuses, 0);
    CHECK(bus.published && rings_stand());
}

static void play(const struct schedule *schedule) {
    fake_store_clear();
    retry = false;
    attach(0);
    begin_front();
    if (schedule->connected)
        check_connected();
    for (unsigned i = 0; i < schedule->count; i++) {
        act(schedule->actions[i]);
        if (schedule->eager)
            front_reacts();
    }

    fake_store_disturb(0);
    fake_xen_fail(FAKE_XEN_SHARE_PAGES, 0, 0);
    fake_xen_fail(FAKE_XEN_BIND_UNBOUND, 0, 0);
    if (!is_intact() || !rings_stand())
        attach(backend_domid);
    check_connected();

    set_backend(XENBUS_CLOSING); /* the card is removed */
    front_reacts();
    CHECK_EQ(fake_store_number(STATE), XENBUS_CLOSED);
    CHECK_EQ(fake_xen_leaks(), 0);
    CHECK(!fake_store_find(CARD "/0/0/ring-ref"));
    fake_store_drop(CARD);
    fake_store_drop(backend_path(NULL));
    front_reacts();
    CHECK(!fake_store_find(STATE));
    end_front();
}

static void print_schedule(const struct schedule *schedule) {
    char name[32];

    printf("    replay: XEN_AUDIO_TEST_SCHEDULE='%s %s:", schedule->connected ? "connected" : "fresh",
           schedule->eager ? "eager" : "lazy");
    for (unsigned i = 0; i < schedule->count; i++) {
        print_action(name, sizeof(name), schedule->actions[i]);
        printf(" %s", name);
    }
    printf("'\n");
}

/* False after printing a schedule that went wrong. */
static bool explore(const struct schedule *schedule) {
    if (check_failures == 0)
        play(schedule);
    if (check_failures == 0)
        return true;
    print_schedule(schedule);
    return false;
}

/* ---- the tests ---- */

static bool next_sequence(struct schedule *schedule) {
    for (unsigned i = 0; i < schedule->count; i++) {
        if (++schedule->actions[i] < ACTIONS)
            return true;
        schedule->actions[i] = 0;
    }
    return false;
}

static void explore_all(bool connected, bool eager) {
    const unsigned depth_max = is_full() ? DEPTH_FULL : DEPTH;
    unsigned played = 0;

    for (unsigned depth = 1; depth <= depth_max; depth++) {
        struct schedule schedule = {.connected = connected, .eager = eager, .count = depth};

        do {
            if (!explore(&schedule))
                return;
            played++;
        } while (next_sequence(&schedule));
    }
    printf("    %u schedules of up to %u of %zu actions\n", played, depth_max, ACTIONS);
}

static void every_sequence_from_a_fresh_card(void) {
    explore_all(false, false);
}

static void every_sequence_from_a_connected_card(void) {
    explore_all(true, false);
}

static void every_sequence_with_a_frontend_that_reacts_at_once(void) {
    explore_all(true, true);
}

static void random_sequences(void) {
    const char *text = getenv("XEN_AUDIO_TEST_SEED");
    const unsigned long long first = text ? strtoull(text, NULL, 10) : 1;
    const unsigned runs = is_full() ? RANDOM_RUNS_FULL : RANDOM_RUNS;

    for (unsigned long long seed = first; seed < first + runs; seed++) {
        unsigned long long state = seed;
        struct schedule schedule = {.connected = check_random(&state) & 1, .eager = check_random(&state) & 1};

        schedule.count = DEPTH + (unsigned) (check_random(&state) % (RANDOM_ACTIONS - DEPTH));
        for (unsigned i = 0; i < schedule.count; i++)
            schedule.actions[i] = (unsigned) (check_random(&state) % ACTIONS);
        if (explore(&schedule))
            continue;
        printf("    seed %llu\n", seed);
        return;
    }
    printf("    %u schedules of up to %u actions, from seed %llu on\n", runs, RANDOM_ACTIONS - 1, first);
}

/* ---- replay ---- */

static bool parse_schedule(char *text, struct schedule *schedule) {
    char *save, *word = strtok_r(text, " :", &save), name[32];
    unsigned action;

    memset(schedule, 0, sizeof(*schedule));
    schedule->connected = word && strcmp(word, "connected") == 0;
    word = strtok_r(NULL, " :", &save);
    schedule->eager = word && strcmp(word, "eager") == 0;
    while (word && (word = strtok_r(NULL, " ", &save)) && schedule->count < RANDOM_ACTIONS) {
        for (action = 0; action < ACTIONS; action++) {
            print_action(name, sizeof(name), action);
            if (strcmp(name, word) == 0)
                break;
        }
        if (action == ACTIONS)
            return false;
        schedule->actions[schedule->count++] = action;
    }
    return true;
}

static void the_schedule_of_the_environment(void) {
    char *text = strdup(getenv("XEN_AUDIO_TEST_SCHEDULE"));
    struct schedule schedule;

    if (CHECK(parse_schedule(text, &schedule)))
        (void) explore(&schedule);
    free(text);
}

int main(void) {
    static const struct check_test replay[] = {
        {"the schedule of the environment", the_schedule_of_the_environment}};
    static const struct check_test tests[] = {
        {"every sequence of actions, on a fresh card", every_sequence_from_a_fresh_card},
        {"every sequence of actions, on a connected card", every_sequence_from_a_connected_card},
        {"every sequence of actions, with a frontend that reacts at once",
         every_sequence_with_a_frontend_that_reacts_at_once},
        {"random sequences", random_sequences},
    };

    if (getenv("XEN_AUDIO_TEST_SCHEDULE"))
        return check_main("explorer", replay, N_ELEMENTS(replay));
    return check_main("explorer", tests, N_ELEMENTS(tests));
}
