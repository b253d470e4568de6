/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xenbus-card.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "sndif-proto.h"

/* What needs no xenstore; the rest is tested end to end. */

static void a_stream_is_named_by_card_or_by_card_device_and_stream(void) {
    static const struct {
        const char *text;
        bool ok, chosen;
        unsigned devid, pcm, stream;
    } rows[] = {
        {"0", true, false, 0, 0, 0},
        {"7", true, false, 7, 0, 0},
        {"65535", true, false, 65535, 0, 0},
        {"2/1/3", true, true, 2, 1, 3},
        {"", false, false, 0, 0, 0},
        {"abc", false, false, 0, 0, 0},
        {"65536", false, false, 0, 0, 0},
        {"-1", false, false, 0, 0, 0},
        {"1/2", false, false, 0, 0, 0},
        {"1/2/", false, false, 0, 0, 0},
        {"1/2/3/4", false, false, 0, 0, 0},
        {"0/256/0", false, false, 0, 0, 0},
        {" 1", false, false, 0, 0, 0},
        {"1 ", false, false, 0, 0, 0},
        {"99999999999999999", false, false, 0, 0, 0},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct xenbus_stream_id id;

        CHECK_ROW("\"%s\"", rows[i].text);
        CHECK_EQ(xenbus_parse_stream_id(rows[i].text, &id), rows[i].ok);
        if (!rows[i].ok)
            continue;
        CHECK_EQ(id.chosen, rows[i].chosen);
        CHECK_EQ(id.devid, rows[i].devid);
        CHECK_EQ(id.pcm, rows[i].pcm);
        CHECK_EQ(id.stream, rows[i].stream);
    }
}

static void numbers_are_strict_decimals(void) {
    static const struct {
        const char *text;
        bool ok;
        uint32_t value;
    } rows[] = {{"0", true, 0},           {"4294967295", true, UINT32_MAX},
                {"4294967296", false, 0}, {"", false, 0},
                {"-1", false, 0},         {"+1", false, 0},
                {" 1", false, 0},         {"1\n", false, 0},
                {"0x1", false, 0},        {"1e3", false, 0}};

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        uint32_t value = 0;

        CHECK_ROW("\"%s\"", rows[i].text);
        CHECK_EQ(xenbus_parse_u32(rows[i].text, &value), rows[i].ok);
        if (rows[i].ok)
            CHECK_EQ(value, rows[i].value);
    }
}

static void a_card_held_by_the_kernel_is_noticed(void) {
    char sysfs[] = "/tmp/xen-audio-sysfs-XXXXXX";
    char path[128];
    char *driver;

    if (!CHECK(mkdtemp(sysfs)))
        return;
    driver = xenbus_card_driver(sysfs, 3);
    CHECK(driver == NULL);

    static const char *const folders[] = {"bus", "bus/xen", "bus/xen/devices", "bus/xen/devices/vsnd-3"};
    for (size_t i = 0; i < N_ELEMENTS(folders); i++) {
        snprintf(path, sizeof(path), "%s/%s", sysfs, folders[i]);
        CHECK_EQ(mkdir(path, 0700), 0);
    }
    driver = xenbus_card_driver(sysfs, 3);
    CHECK(driver == NULL); /* a device without a driver is free */

    snprintf(path, sizeof(path), "%s/bus/xen/devices/vsnd-3/driver", sysfs);
    CHECK_EQ(symlink("../../drivers/vsnd", path), 0);
    driver = xenbus_card_driver(sysfs, 3);
    CHECK(driver && strcmp(driver, "vsnd") == 0);
    free(driver);
    driver = xenbus_card_driver(sysfs, 4);
    CHECK(driver == NULL);

    unlink(path);
    for (size_t i = N_ELEMENTS(folders); i-- > 0;) {
        snprintf(path, sizeof(path), "%s/%s", sysfs, folders[i]);
        rmdir(path);
    }
    rmdir(sysfs);
}

static void a_card_says_what_it_does_not_allow(void) {
    const struct xenbus_stream_config any = {0};
    struct xenbus_stream_config narrow = {
        .formats = UINT64_C(1) << XENSND_PCM_FORMAT_S16_LE, .channels_min = 2, .channels_max = 4};
    const struct {
        const struct xenbus_stream_config *config;
        unsigned format, rate, channels;
        const char *complaint; /* begins so; NULL: none */
    } rows[] = {
        {&any, XENSND_PCM_FORMAT_U8, 8000, 1, NULL},
        {&narrow, XENSND_PCM_FORMAT_S16_LE, 48000, 2, NULL},
        {&narrow, XENSND_PCM_FORMAT_S16_LE, 48000, 4, NULL},
        {&narrow, XENSND_PCM_FORMAT_U8, 48000, 2, "format u8 is not among"},
        {&narrow, XENSND_PCM_FORMAT_S16_LE, 44100, 2, "rate 44100 Hz is not among"},
        {&narrow, XENSND_PCM_FORMAT_S16_LE, 48000, 1, "1 channels are not within its 2 to 4"},
        {&narrow, XENSND_PCM_FORMAT_S16_LE, 48000, 5, "5 channels are not within its 2 to 4"},
    };

    if (!CHECK_EQ(sndif_rates_parse_list("32000,48000", &narrow.rates), 0))
        return;
    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        char *said = xenbus_config_complaint(rows[i].config, sndif_format_by_id((uint8_t) rows[i].format),
                                             rows[i].rate, rows[i].channels);

        CHECK_ROW("row %zu", i);
        if (rows[i].complaint)
            CHECK(said && strncmp(said, rows[i].complaint, strlen(rows[i].complaint)) == 0);
        else
            CHECK(said == NULL);
        free(said);
    }
}

int main(void) {
    static const struct check_test tests[] = {
        {"a stream is named by its card, or by card, device and stream",
         a_stream_is_named_by_card_or_by_card_device_and_stream},
        {"numbers are strict decimals", numbers_are_strict_decimals},
        {"a card held by the kernel's driver is noticed", a_card_held_by_the_kernel_is_noticed},
        {"a card says what it does not allow", a_card_says_what_it_does_not_allow},
    };

    return check_main("xenbus-card", tests, N_ELEMENTS(tests));
}
