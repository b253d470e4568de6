/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-format.h"

#include <errno.h>

#include "check.h"
#include "sndif-proto.h"

#define BIT(id) (UINT64_C(1) << (id))

static void table_agrees_with_itself(void) {
    size_t count;
    const struct sndif_format *table = sndif_formats(&count);
    uint64_t seen = 0;

    CHECK_EQ(count, 11);
    for (size_t i = 0; i < count; i++) {
        CHECK_ROW("%s", table[i].name);
        CHECK((seen & BIT(table[i].id)) == 0);
        CHECK(sndif_format_by_id(table[i].id) == &table[i]);
        CHECK(sndif_format_by_name(table[i].name, strlen(table[i].name)) == &table[i]);
        CHECK(!table[i].alias || sndif_format_by_name(table[i].alias, strlen(table[i].alias)) == &table[i]);
        seen |= BIT(table[i].id);
    }
}

static void rows_are_as_the_specification_has_them(void) {
    static const struct sndif_format rows[] = {
        {1, 1, 0x80, false, "u8", NULL},        {2, 2, 0, false, "s16_le", NULL},
        {3, 2, 0, false, "s16_be", NULL},       {6, 4, 0, false, "s24_le", NULL},
        {7, 4, 0, false, "s24_be", NULL},       {10, 4, 0, false, "s32_le", NULL},
        {11, 4, 0, false, "s32_be", NULL},      {14, 4, 0, true, "float_le", "f32_le"},
        {15, 4, 0, true, "float_be", "f32_be"}, {20, 1, 0xff, false, "mu_law", NULL},
        {21, 1, 0xd5, false, "a_law", NULL},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        const struct sndif_format *format = sndif_format_by_id(rows[i].id);

        CHECK_ROW("%s", rows[i].name);
        if (!CHECK(format != NULL))
            continue;
        CHECK_EQ(format->sample_bytes, rows[i].sample_bytes);
        CHECK_EQ(format->silence, rows[i].silence);
        CHECK_EQ(format->is_float, rows[i].is_float);
        CHECK(strcmp(format->name, rows[i].name) == 0);
        CHECK(!rows[i].alias == !format->alias);
        CHECK(!rows[i].alias || strcmp(format->alias, rows[i].alias) == 0);
    }
}

static void ids_we_cannot_carry_have_no_row(void) {
    static const unsigned ids[] = {0,  4,  5,  8,  9,  12, 13, 16,  17,     18,
                                   19, 22, 23, 24, 25, 63, 64, 255, 256 + 2};

    for (size_t i = 0; i < N_ELEMENTS(ids); i++) {
        CHECK_ROW("id %u", ids[i]);
        CHECK(sndif_format_by_id(ids[i]) == NULL);
    }
}

static void names_need_no_terminator_and_match_whole(void) {
    CHECK(sndif_format_by_name("s16_le,u8", 6) == sndif_format_by_id(2));
    CHECK(sndif_format_by_name("s16_le", 5) == NULL);
    CHECK(sndif_format_by_name("s16_lex", 7) == NULL);
    CHECK(sndif_format_by_name("S16_LE", 6) == NULL);
    CHECK(sndif_format_by_name("", 0) == NULL);
}

static void format_lists_skip_what_they_do_not_know(void) {
    static const struct {
        const char *list;
        uint64_t bits;
    } rows[] = {
        {"s16_le", BIT(2)},
        {"u8,s16_le", BIT(1) | BIT(2)},
        {" u8 ,\ts16_le ", BIT(1) | BIT(2)},
        {"s16_le,s16_le", BIT(2)},
        {"float_le,f32_be", BIT(14) | BIT(15)},
        {"gsm,mu_law,nonsense,float64_le", BIT(20)},
        {",,u8,", BIT(1)},
        {"s16_le u8", 0},
        {"gsm", 0},
        {",", 0},
        {"", 0},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        CHECK_ROW("\"%s\"", rows[i].list);
        CHECK(sndif_format_parse_list(rows[i].list) == rows[i].bits);
    }
}

static void rate_lists_are_strict_decimals(void) {
    static const struct {
        const char *list;
        int result;
        unsigned count;
        uint32_t last;
    } rows[] = {
        {"", 0, 0, 0},
        {"48000", 0, 1, 48000},
        {"8000,44100", 0, 2, 44100},
        {" 8000 ,\t44100 ", 0, 2, 44100},
        {"1", 0, 1, 1},
        {"4294967295", 0, 1, 4294967295u},
        {"4294967296", -EINVAL, 0, 0},
        {"18446744073709551617", -EINVAL, 0, 0},
        {"0", -EINVAL, 0, 0},
        {"048000", -EINVAL, 0, 0},
        {"+48000", -EINVAL, 0, 0},
        {"-48000", -EINVAL, 0, 0},
        {"0x10", -EINVAL, 0, 0},
        {"48000.0", -EINVAL, 0, 0},
        {"48 000", -EINVAL, 0, 0},
        {"48000,", -EINVAL, 0, 0},
        {",48000", -EINVAL, 0, 0},
        {"44100,,48000", -EINVAL, 0, 0},
        {" ", -EINVAL, 0, 0},
        {"48000;44100", -EINVAL, 0, 0},
    };

    for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
        struct sndif_rates rates = {0};

        CHECK_ROW("\"%s\"", rows[i].list);
        CHECK_EQ(sndif_rates_parse_list(rows[i].list, &rates), rows[i].result);
        CHECK_EQ(rates.count, rows[i].count);
        CHECK(rates.count == 0 || rates.hz[rates.count - 1] == rows[i].last);
    }
}

static void rate_lists_have_room_for_32(void) {
    struct sndif_rates rates = {0};
    char list[SNDIF_RATES_MAX * 2 + 2];

    for (size_t i = 0; i <= SNDIF_RATES_MAX; i++)
        memcpy(list + 2 * i, "7,", 2);
    list[2 * SNDIF_RATES_MAX + 1] = '\0';
    CHECK_EQ(sndif_rates_parse_list(list, &rates), -E2BIG);
    CHECK_EQ(rates.count, 0);
    list[2 * SNDIF_RATES_MAX - 1] = '\0';
    CHECK_EQ(sndif_rates_parse_list(list, &rates), 0);
    CHECK_EQ(rates.count, SNDIF_RATES_MAX);
}

static void an_empty_rate_list_has_any_rate(void) {
    struct sndif_rates any = {0}, two = {2, {44100, 48000}};

    CHECK(sndif_rates_has(&any, 12345));
    CHECK(sndif_rates_has(&two, 48000));
    CHECK(!sndif_rates_has(&two, 47999));
}

int main(void) {
    static const struct check_test tests[] = {
        {"the table finds each of its rows by id, name and alias", table_agrees_with_itself},
        {"each row has the id, size and silence of the specification",
         rows_are_as_the_specification_has_them},
        {"ids that cannot be carried have no row", ids_we_cannot_carry_have_no_row},
        {"names need no terminator and match as a whole", names_need_no_terminator_and_match_whole},
        {"format lists skip names they do not know", format_lists_skip_what_they_do_not_know},
        {"rate lists take strict decimals only", rate_lists_are_strict_decimals},
        {"rate lists have room for 32 rates and refuse more", rate_lists_have_room_for_32},
        {"an empty rate list has any rate", an_empty_rate_list_has_any_rate},
    };

    return check_main("format", tests, N_ELEMENTS(tests));
}
