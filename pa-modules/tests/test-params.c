/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-params.h"

#include <errno.h>

#include "check.h"

#define BIT(id) (UINT64_C(1) << (id))
#define S16 XENSND_PCM_FORMAT_S16_LE
#define S32 XENSND_PCM_FORMAT_S32_LE
#define U8 XENSND_PCM_FORMAT_U8

static const struct sndif_caps caps = {
    .formats = BIT(S16) | BIT(S32),
    .rates = {3, {44100, 48000, 96000}},
    .rate_min = 8000,
    .rate_max = 48000,
    .channels_min = 1,
    .channels_max = 8,
    .buffer_max_bytes = 65536,
    .buffer_min_frames = 64,
    .period_min_frames = 32,
};

/* An OPEN that is accepted; rows change one field of it. */
#define GOOD                                                                                                 \
    .pcm_rate = 48000, .pcm_format = S16, .pcm_channels = 2, .buffer_sz = 16384, .gref_directory = 9,        \
    .period_sz = 4096

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const struct {
    const char *title;
    struct xensnd_open_req open;
    const char *reason; /* how it begins, NULL: accepted */
} open_rows[] = {
    {"as offered", {GOOD}, NULL},
    {"reserved octets set", {GOOD, .reserved = 0xffff}, NULL},
    {"no events", {GOOD, .period_sz = 0}, NULL},
    {"smallest period", {GOOD, .period_sz = 128}, NULL},
    {"period of a buffer", {GOOD, .period_sz = 16384}, NULL},
    {"largest buffer", {GOOD, .buffer_sz = 65536}, NULL},
    {"smallest buffer", {GOOD, .buffer_sz = 256, .period_sz = 0}, NULL},
    {"buffer of no whole page", {GOOD, .buffer_sz = 5000}, NULL},
    {"most channels", {GOOD, .pcm_channels = 8}, NULL},
    {"format not offered", {GOOD, .pcm_format = U8}, "pcm_format"},
    {"format we cannot carry", {GOOD, .pcm_format = XENSND_PCM_FORMAT_GSM}, "pcm_format"},
    {"format far outside", {GOOD, .pcm_format = 255}, "pcm_format"},
    {"rate 0", {GOOD, .pcm_rate = 0}, "pcm_rate"},
    {"rate not listed", {GOOD, .pcm_rate = 47999}, "pcm_rate"},
    {"rate listed but beyond the maximum", {GOOD, .pcm_rate = 96000}, "pcm_rate"},
    {"no channel", {GOOD, .pcm_channels = 0}, "pcm_channels"},
    {"too many channels", {GOOD, .pcm_channels = 9}, "pcm_channels"},
    {"no buffer", {GOOD, .buffer_sz = 0, .period_sz = 0}, "buffer_sz"},
    {"half a frame more", {GOOD, .buffer_sz = 16386}, "buffer_sz"},
    {"buffer too large by a frame", {GOOD, .buffer_sz = 65540}, "buffer_sz"},
    {"all of 32 bits", {GOOD, .buffer_sz = UINT32_MAX}, "buffer_sz"},
    {"buffer too small by a frame", {GOOD, .buffer_sz = 252, .period_sz = 0}, "buffer_sz"},
    {"half a frame of period", {GOOD, .period_sz = 4098}, "period_sz"},
    {"period too small by a frame", {GOOD, .period_sz = 124}, "period_sz"},
    {"period of one frame", {GOOD, .period_sz = 4}, "period_sz"},
    {"period beyond the buffer", {GOOD, .period_sz = 16388}, "period_sz"},
    {"no directory", {GOOD, .gref_directory = 0}, "gref_directory"},
};
#pragma GCC diagnostic pop

static void open_is_checked_field_by_field(void) {
    for (size_t i = 0; i < N_ELEMENTS(open_rows); i++) {
        const char *wanted = open_rows[i].reason, *reason = "unset";
        struct sndif_params params;
        int r = sndif_params_check_open(&caps, &open_rows[i].open, &params, &reason);

        CHECK_ROW("%s", open_rows[i].title);
        CHECK_EQ(r, wanted ? -EINVAL : 0);
        CHECK(wanted ? reason && strncmp(reason, wanted, strlen(wanted)) == 0 : reason == NULL);
    }
}

static void an_accepted_open_gives_its_parameters(void) {
    struct xensnd_open_req open = {GOOD};
    struct sndif_params params;
    const char *reason;

    if (!CHECK_EQ(sndif_params_check_open(&caps, &open, &params, &reason), 0))
        return;
    CHECK(params.format == sndif_format_by_id(S16));
    CHECK_EQ(params.rate, 48000);
    CHECK_EQ(params.channels, 2);
    CHECK_EQ(params.frame_bytes, 4);
    CHECK_EQ(params.buffer_bytes, 16384);
    CHECK_EQ(params.period_bytes, 4096);
    CHECK_EQ(params.gref_directory, 9);
}

#define ALL {0, UINT32_MAX}

static void a_query_is_answered_with_the_intersection(void) {
    static const struct {
        const char *title;
        struct xensnd_query_hw_param query, result; /* result.formats 0: -EINVAL */
    } rows[] = {
        {"everything",
         {~0ULL, ALL, ALL, ALL, ALL},
         {BIT(S16) | BIT(S32), {44100, 48000}, {1, 8}, {64, 32768}, {32, 32768}}},
        {"s16 stereo",
         {BIT(S16), ALL, {2, 2}, ALL, ALL},
         {BIT(S16), {44100, 48000}, {2, 2}, {64, 16384}, {32, 16384}}},
        {"one rate",
         {BIT(S16), {48000, 48000}, {2, 2}, ALL, ALL},
         {BIT(S16), {48000, 48000}, {2, 2}, {64, 16384}, {32, 16384}}},
        {"between two rates", {BIT(S16), {44101, 47999}, {2, 2}, ALL, ALL}, {0}},
        {"a rate beyond the maximum", {BIT(S16), {96000, 96000}, {2, 2}, ALL, ALL}, {0}},
        {"rates the wrong way round", {BIT(S16), {48000, 44100}, {2, 2}, ALL, ALL}, {0}},
        {"no format", {0, ALL, ALL, ALL, ALL}, {0}},
        {"a format not offered", {BIT(U8), ALL, ALL, ALL, ALL}, {0}},
        {"too many channels", {BIT(S16), ALL, {9, 16}, ALL, ALL}, {0}},
        {"channels the wrong way round", {BIT(S16), ALL, {4, 2}, ALL, ALL}, {0}},
        {"a buffer too large", {BIT(S16), ALL, {2, 2}, {16385, 20000}, ALL}, {0}},
        {"a buffer too small", {BIT(S16), ALL, {2, 2}, {1, 63}, ALL}, {0}},
        {"a buffer the wrong way round", {BIT(S16), ALL, {2, 2}, {128, 127}, ALL}, {0}},
        {"a period too small", {BIT(S16), ALL, {2, 2}, ALL, {1, 31}}, {0}},
        {"a period the wrong way round", {BIT(S16), ALL, {2, 2}, ALL, {64, 63}}, {0}},
        {"a period beyond every buffer", {BIT(S16), ALL, {2, 2}, {64, 1024}, {1025, 2048}}, {0}},
        {"a period beyond the smallest buffer",
         {BIT(S16), ALL, {2, 2}, {64, 1024}, {512, 2048}},
         {BIT(S16), {44100, 48000}, {2, 2}, {512, 1024}, {512, 1024}}},
        {"no events",
         {BIT(S16), ALL, {2, 2}, {256, 256}, {0, 0}},
         {BIT(S16), {44100, 48000}, {2, 2}, {256, 256}, {0, 0}}},
        {"a large buffer drops the wide format",
         {~0ULL, ALL, {1, 1}, {20000, 20000}, ALL},
         {BIT(S16), {44100, 48000}, {1, 1}, {20000, 20000}, {32, 20000}}},
        {"a large buffer drops channels",
         {BIT(S16), ALL, ALL, {8192, 8192}, ALL},
         {BIT(S16), {44100, 48000}, {1, 4}, {8192, 8192}, {32, 8192}}},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct xensnd_query_hw_param result = {0};

        CHECK_ROW("%s", rows[i].title);
        CHECK_EQ(sndif_params_query(&caps, &rows[i].query, &result), rows[i].result.formats ? 0 : -EINVAL);
        CHECK_EQ(result.formats, rows[i].result.formats);
        CHECK_EQ(result.rates.min, rows[i].result.rates.min);
        CHECK_EQ(result.rates.max, rows[i].result.rates.max);
        CHECK_EQ(result.channels.min, rows[i].result.channels.min);
        CHECK_EQ(result.channels.max, rows[i].result.channels.max);
        CHECK_EQ(result.buffer.min, rows[i].result.buffer.min);
        CHECK_EQ(result.buffer.max, rows[i].result.buffer.max);
        CHECK_EQ(result.period.min, rows[i].result.period.min);
        CHECK_EQ(result.period.max, rows[i].result.period.max);
    }
}

static void a_query_may_be_answered_in_place(void) {
    struct xensnd_query_hw_param query = {BIT(S16), ALL, {2, 2}, ALL, ALL};

    CHECK_EQ(sndif_params_query(&caps, &query, &query), 0);
    CHECK_EQ(query.buffer.max, 16384);
}

/* ---- any OPEN within the answer to any query is accepted ---- */

static uint32_t between(unsigned long long *seed, uint32_t min, uint32_t max) {
    return min + (uint32_t) (check_random(seed) % ((uint64_t) max - min + 1));
}

/* Numbers of all magnitudes, as hostile as they come. */
static uint32_t any_number(unsigned long long *seed) {
    return (uint32_t) (check_random(seed) >> (32 + check_random(seed) % 32));
}

static struct sndif_caps any_caps(unsigned long long *seed) {
    struct sndif_caps any = {
        .formats = check_random(seed),
        .rates = {.count = between(seed, 0, 3)},
        .rate_min = between(seed, 0, 48000),
        .rate_max = between(seed, 0, 192000),
        .channels_min = between(seed, 0, 4),
        .channels_max = between(seed, 0, 255),
        .buffer_max_bytes = any_number(seed),
        .buffer_min_frames = any_number(seed) >> 16,
        .period_min_frames = any_number(seed) >> 16,
    };

    for (unsigned i = 0; i < any.rates.count; i++)
        any.rates.hz[i] = between(seed, 1, 192000);
    return any;
}

static struct xensnd_query_hw_param any_query(unsigned long long *seed) {
    struct xensnd_query_hw_param query;
    uint32_t bounds[8];

    for (size_t i = 0; i < N_ELEMENTS(bounds); i++)
        bounds[i] = between(seed, 0, 3) ? (i % 2 ? UINT32_MAX : 0) : any_number(seed);
    query.formats = between(seed, 0, 1) ? check_random(seed) : UINT64_MAX;
    memcpy(&query.rates, bounds, sizeof(bounds));
    return query;
}

static struct xensnd_open_req any_open_within(const struct sndif_caps *any,
                                              const struct xensnd_query_hw_param *result,
                                              unsigned long long *seed) {
    const struct sndif_format *format;
    struct xensnd_open_req open = {.gref_directory = between(seed, 1, UINT32_MAX)};
    uint32_t frame_bytes, frames, frames_max;

    /* a frame so narrow that the smallest buffer fits: the answer promises that there is one */
    do {
        do
            format = sndif_format_by_id(between(seed, 0, 24));
        while (!format || !(result->formats >> format->id & 1));
        open.pcm_channels = (uint8_t) between(seed, result->channels.min, result->channels.max);
        frame_bytes = format->sample_bytes * open.pcm_channels;
        frames_max = any->buffer_max_bytes / frame_bytes;
    } while (frames_max < result->buffer.min);
    do
        open.pcm_rate = any->rates.count ? any->rates.hz[between(seed, 0, any->rates.count - 1)]
                                         : between(seed, result->rates.min, result->rates.max);
    while (open.pcm_rate < result->rates.min || open.pcm_rate > result->rates.max);
    open.pcm_format = format->id;
    frames_max = frames_max < result->buffer.max ? frames_max : result->buffer.max;
    frames = between(seed, result->buffer.min, frames_max);
    open.buffer_sz = frames * frame_bytes;
    open.period_sz =
        between(seed, result->period.min, result->period.max < frames ? result->period.max : frames) *
        frame_bytes;
    return open;
}

static void an_open_within_an_answer_is_accepted(void) {
    unsigned long long seed = 1;
    unsigned accepted = 0;

    for (unsigned i = 0; i < 300000; i++) {
        struct sndif_caps any = any_caps(&seed);
        struct xensnd_query_hw_param query = any_query(&seed), result;
        struct xensnd_open_req open;
        struct sndif_params params;
        const char *reason = "";

        if (sndif_params_query(&any, &query, &result) < 0)
            continue;
        open = any_open_within(&any, &result, &seed);
        CHECK_ROW("round %u: %s", i,
                  sndif_params_check_open(&any, &open, &params, &reason) ? reason : "accepted");
        if (!CHECK(reason == NULL))
            return;
        accepted++;
    }
    CHECK(accepted > 1000);
}

/* ---- ranges ---- */

static void ranges_lie_in_the_buffer_in_whole_units(void) {
    static const struct {
        uint32_t buffer, unit, offset, length;
        bool good;
    } rows[] = {
        {4096, 4, 0, 4096, true},
        {4096, 4, 0, 4, true},
        {4096, 4, 4092, 4, true},
        {4096, 1, 4095, 1, true},
        {4096, 4, 0, 0, false},
        {4096, 4, 4096, 4, false},
        {4096, 4, 4, 4096, false},
        {4096, 4, 0, 4100, false},
        {4096, 4, 2, 4, false},
        {4096, 4, 0, 6, false},
        {4096, 0, 0, 4, false},
        {0, 4, 0, 4, false},
        {4096, 4, UINT32_MAX - 3, 4, false},
        {4096, 4, UINT32_MAX - 3, 8, false},
        {4096, 4, 8, UINT32_MAX - 3, false},
        {UINT32_MAX, 1, UINT32_MAX - 1, 1, true},
        {UINT32_MAX, 1, UINT32_MAX, 1, false},
        {UINT32_MAX, 1, 0, UINT32_MAX, true},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        CHECK_ROW("%u+%u of %u in units of %u", rows[i].offset, rows[i].length, rows[i].buffer, rows[i].unit);
        CHECK_EQ(sndif_params_check_range(rows[i].buffer, rows[i].unit, rows[i].offset, rows[i].length),
                 rows[i].good);
    }
}

int main(void) {
    static const struct check_test tests[] = {
        {"OPEN is checked field by field, and the reason names the field", open_is_checked_field_by_field},
        {"an accepted OPEN gives its parameters", an_accepted_open_gives_its_parameters},
        {"HW_PARAM_QUERY is answered with the intersection", a_query_is_answered_with_the_intersection},
        {"the answer may overwrite the query", a_query_may_be_answered_in_place},
        {"an OPEN within the answer to any query is accepted", an_open_within_an_answer_is_accepted},
        {"ranges lie inside the buffer, in whole units, without overflow",
         ranges_lie_in_the_buffer_in_whole_units},
    };

    return check_main("params", tests, N_ELEMENTS(tests));
}
