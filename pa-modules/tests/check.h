/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_TESTS_CHECK_H
#define XEN_AUDIO_TESTS_CHECK_H

/*
 * A test program is a table of titled functions and a call of check_main. A failed CHECK marks its test as
 * failed and lets it run on, so that its cleanup happens. Use from one thread only.
 */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

struct check_test {
    const char *title; /* a sentence of behaviour */
    void (*run)(void);
};

/* Of the test that is running. */
static unsigned check_failures;
static char check_row[128];

/* Names the row of a table that the next checks belong to. */
#define CHECK_ROW(...) ((void) snprintf(check_row, sizeof(check_row), __VA_ARGS__))

static inline bool check_that(bool ok, const char *file, int line, const char *what) {
    if (!ok) {
        check_failures++;
        printf("    %s:%d: %s%s%s\n", file, line, check_row, check_row[0] ? ": " : "", what);
    }
    return ok;
}

static inline bool check_equal(long long actual, long long expected, const char *file, int line,
                               const char *what) {
    char text[256];

    snprintf(text, sizeof(text), "%s is %lld, expected %lld", what, actual, expected);
    return check_that(actual == expected, file, line, text);
}

/* Both give true when the check holds, so that a test can leave early. */
#define CHECK(condition) check_that(condition, __FILE__, __LINE__, #condition)
#define CHECK_EQ(actual, expected)                                                                           \
    check_equal((long long) (actual), (long long) (expected), __FILE__, __LINE__, #actual)

/* Runs the tests and prints each; the result is the exit code. */
static inline int check_main(const char *suite, const struct check_test *tests, size_t count) {
    unsigned failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%s\n", suite);
    for (size_t i = 0; i < count; i++) {
        check_failures = 0;
        check_row[0] = '\0';
        tests[i].run();
        printf("  %s %s\n", check_failures ? "FAILED" : "ok", tests[i].title);
        failed += check_failures != 0;
    }
    printf("%zu passed, %u failed\n", count - failed, failed);
    return failed ? 1 : 0;
}

/* A seeded generator (splitmix64), so that a failing run can be repeated. */
static inline unsigned long long check_random(unsigned long long *state) {
    unsigned long long z = *state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

#endif
