/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check.h"
#include "control-values.h"

static void reads_numbers(void) {
    static const struct {
        const char *text;
        uint32_t max;
        long long expected; /* -1: malformed */
    } rows[] = {
        {"0", 10, 0},
        {"10", 10, 10},
        {"65536", UINT32_MAX, 65536},
        {"4294967295", UINT32_MAX, 4294967295},
        {"11", 10, -1},
        {"4294967296", UINT32_MAX, -1},
        {"99999999999999999999999999", UINT32_MAX, -1},
        {"", 10, -1},
        {"-1", 10, -1},
        {"+1", 10, -1},
        {" 1", 10, -1},
        {"1 ", 10, -1},
        {"01", 10, -1},
        {"1.5", 10, -1},
        {"0x1", 10, -1},
        {"1\n", 10, -1},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        uint32_t n = 77;
        const bool ok = control_parse_number(rows[i].text, rows[i].max, &n);

        CHECK_ROW("\"%s\"", rows[i].text);
        CHECK_EQ(ok, rows[i].expected >= 0);
        CHECK_EQ(n, rows[i].expected >= 0 ? rows[i].expected : 77);
    }
}

static void reads_flags(void) {
    bool flag = true;

    CHECK(control_parse_flag("0", &flag) && !flag);
    CHECK(control_parse_flag("1", &flag) && flag);
    CHECK(!control_parse_flag("2", &flag) && flag);
    CHECK(!control_parse_flag("", &flag) && flag);
    CHECK(!control_parse_flag("yes", &flag) && flag);
}

static void splits_orders(void) {
    static const struct {
        const char *text;
        uint32_t serial;
        const char *value; /* NULL: malformed */
    } rows[] = {
        {"1 65536", 1, "65536"}, {"4294967295 0", 4294967295, "0"},
        {"0 1", 0, "1"},         {"7 ", 7, ""},
        {"7 a b", 7, "a b"},     {"7  x", 7, " x"},
        {"7", 0, NULL},          {"", 0, NULL},
        {" 7 1", 0, NULL},       {"-7 1", 0, NULL},
        {"07 1", 0, NULL},       {"4294967296 1", 0, NULL},
        {"7\t1", 0, NULL},       {"x 1", 0, NULL},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        uint32_t serial = 77;
        const char *value = control_parse_order(rows[i].text, &serial);

        CHECK_ROW("\"%s\"", rows[i].text);
        if (!CHECK_EQ(value != NULL, rows[i].value != NULL) || !value) {
            CHECK_EQ(serial, 77);
            continue;
        }
        CHECK_EQ(serial, rows[i].serial);
        CHECK(strcmp(value, rows[i].value) == 0);
    }
}

static void takes_each_serial_once(void) {
    struct control_serial serial = {0};

    CHECK_EQ(serial.last, 0);
    CHECK(control_take_serial(&serial, 0));
    CHECK(!control_take_serial(&serial, 0));
    CHECK(control_take_serial(&serial, 5));
    CHECK(!control_take_serial(&serial, 5));
    CHECK(control_take_serial(&serial, 4)); /* compared for inequality: a controller may begin anew */
    CHECK_EQ(serial.last, 4);
}

static void caps_volumes(void) {
    const struct control_cap none = {0}, mute = {true, 0}, half = {true, 32768};

    CHECK_EQ(control_capped(&none, 200000), 200000);
    CHECK_EQ(control_capped(&half, 32767), 32767);
    CHECK_EQ(control_capped(&half, 32768), 32768);
    CHECK_EQ(control_capped(&half, 32769), 32768);
    CHECK_EQ(control_capped(&mute, 1), 0);
}

/* PulseAudio's pa_sw_volume_multiply: rounds to nearest. */
static uint32_t multiply(uint32_t a, uint32_t b) {
    return (uint32_t) (((uint64_t) a * b + CONTROL_VOLUME_NORM / 2) / CONTROL_VOLUME_NORM);
}

static void never_exceeds_the_cap_by_rounding(void) {
    unsigned long long state = 1;

    CHECK_EQ(control_excess_factor(98304, 65536), 43690);
    CHECK_EQ(control_excess_factor(65536, 0), 0);
    CHECK_EQ(control_excess_factor(65536, 65536), CONTROL_VOLUME_NORM);
    CHECK_EQ(control_excess_factor(1, 65536), CONTROL_VOLUME_NORM);
    CHECK_EQ(control_excess_factor(0, 0), CONTROL_VOLUME_NORM);
    for (unsigned i = 0; i < 1000000; i++) {
        const uint32_t volume = (uint32_t) (check_random(&state) % (UINT32_MAX / 2)) + 1;
        const uint32_t capped = (uint32_t) (check_random(&state) % volume);
        const uint32_t result = multiply(volume, control_excess_factor(volume, capped));

        if (result > capped || (uint64_t) result + volume / CONTROL_VOLUME_NORM + 1 < capped) {
            CHECK_ROW("%u to %u", volume, capped);
            CHECK_EQ(result, capped);
            return;
        }
    }
}

int main(void) {
    static const struct check_test tests[] = {
        {"reads numbers, and nothing that only looks like one", reads_numbers},
        {"reads flags", reads_flags},
        {"splits an order into serial and value", splits_orders},
        {"takes each serial once", takes_each_serial_once},
        {"caps volumes", caps_volumes},
        {"never exceeds the cap by rounding", never_exceeds_the_cap_by_rounding},
    };

    return check_main("control-values", tests, N_ELEMENTS(tests));
}
