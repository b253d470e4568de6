/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes the calls of libxengnttab and libxenevtchn that it reads from its standard input, one a line, and
 * answers each with "ok ..." or "error ENAME". A process of a domain, in the hands of a test.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenevtchn.h>
#include <xengnttab.h>

#define WORDS_MAX 1100
#define REGIONS_MAX 64

static xengntshr_handle *shr;
static xengnttab_handle *tab;
static xenevtchn_handle *evt;

static struct {
    unsigned char *start;
    uint32_t pages;
} regions[REGIONS_MAX];

/* The words after the command's name. */
struct arguments {
    int count;
    char **words;
};

static uint32_t number(struct arguments arguments, int index) {
    return index < arguments.count ? (uint32_t) strtol(arguments.words[index], NULL, 10) : 0;
}

static int has_word(struct arguments arguments, int index, const char *word) {
    return index < arguments.count && strcmp(arguments.words[index], word) == 0;
}

static void print_error(void) {
    printf("error %s\n", strerrorname_np(errno));
}

static void print_result(int result) {
    if (result < 0)
        print_error();
    else
        printf("ok %d\n", result);
}

/* Remembers pages under a number, by which later commands name them; prints it, without ending the line. */
static int print_region(void *start, uint32_t pages) {
    for (int i = 0; start && i < REGIONS_MAX; i++) {
        if (!regions[i].start) {
            regions[i].start = start;
            regions[i].pages = pages;
            printf("ok %d", i);
            return 1;
        }
    }
    print_error();
    return 0;
}

/* share DOMID COUNT rw|ro -> REGION REF... */
static void share(struct arguments arguments) {
    uint32_t refs[WORDS_MAX], count = number(arguments, 1);
    void *start = count < WORDS_MAX ? xengntshr_share_pages(shr, number(arguments, 0), (int) count, refs,
                                                            has_word(arguments, 2, "rw"))
                                    : NULL;

    if (!print_region(start, count))
        return;
    for (uint32_t i = 0; i < count; i++)
        printf(" %u", refs[i]);
    printf("\n");
}

/* share-notify DOMID OFFSET PORT -> REGION REF */
static void share_notify(struct arguments arguments) {
    uint32_t ref;
    void *start = xengntshr_share_page_notify(shr, number(arguments, 0), &ref, 1, number(arguments, 1),
                                              number(arguments, 2));

    if (print_region(start, 1))
        printf(" %u\n", ref);
}

/* map DOMID rw|ro REF... -> REGION */
static void map(struct arguments arguments) {
    uint32_t refs[WORDS_MAX];
    uint32_t count = arguments.count > 2 ? (uint32_t) arguments.count - 2 : 0;
    int prot = has_word(arguments, 1, "rw") ? PROT_READ | PROT_WRITE : PROT_READ;

    for (uint32_t i = 0; i < count; i++)
        refs[i] = number(arguments, (int) i + 2);
    if (print_region(xengnttab_map_domain_grant_refs(tab, count, number(arguments, 0), refs, prot), count))
        printf("\n");
}

/* map-notify DOMID REF OFFSET PORT -> REGION */
static void map_notify(struct arguments arguments) {
    void *start =
        xengnttab_map_grant_ref_notify(tab, number(arguments, 0), number(arguments, 1),
                                       PROT_READ | PROT_WRITE, number(arguments, 2), number(arguments, 3));

    if (print_region(start, 1))
        printf("\n");
}

static void unshare_region(struct arguments arguments) {
    uint32_t region = number(arguments, 0) % REGIONS_MAX;

    print_result(xengntshr_unshare(shr, regions[region].start, regions[region].pages));
    regions[region].start = NULL;
}

static void unmap_region(struct arguments arguments) {
    uint32_t region = number(arguments, 0) % REGIONS_MAX;

    print_result(xengnttab_unmap(tab, regions[region].start, regions[region].pages));
    regions[region].start = NULL;
}

/* peek REGION OFFSET -> OCTET */
static void peek(struct arguments arguments) {
    printf("ok %u\n", regions[number(arguments, 0) % REGIONS_MAX].start[number(arguments, 1)]);
}

/* poke REGION OFFSET OCTET */
static void poke(struct arguments arguments) {
    regions[number(arguments, 0) % REGIONS_MAX].start[number(arguments, 1)] =
        (unsigned char) number(arguments, 2);
    printf("ok\n");
}

static void bind_unbound(struct arguments arguments) {
    print_result(xenevtchn_bind_unbound_port(evt, number(arguments, 0)));
}

static void bind_interdomain(struct arguments arguments) {
    print_result(xenevtchn_bind_interdomain(evt, number(arguments, 0), number(arguments, 1)));
}

static void unbind(struct arguments arguments) {
    print_result(xenevtchn_unbind(evt, number(arguments, 0)));
}

static void notify(struct arguments arguments) {
    print_result(xenevtchn_notify(evt, number(arguments, 0)));
}

static void unmask(struct arguments arguments) {
    print_result(xenevtchn_unmask(evt, number(arguments, 0)));
}

static void restrict_handle(struct arguments arguments) {
    print_result(xenevtchn_restrict(evt, (domid_t) number(arguments, 0)));
}

/* pending TIMEOUT_MS -> PORT, or 0 if none came */
static void pending(struct arguments arguments) {
    struct pollfd pollfd = {.fd = xenevtchn_fd(evt), .events = POLLIN};

    if (poll(&pollfd, 1, (int) number(arguments, 0)) == 0)
        print_result(0);
    else
        print_result(xenevtchn_pending(evt));
}

/* open shr|tab|evt */
static void open_handle(struct arguments arguments) {
    if (has_word(arguments, 0, "shr"))
        shr = xengntshr_open(NULL, 0);
    else if (has_word(arguments, 0, "tab"))
        tab = xengnttab_open(NULL, 0);
    else
        evt = xenevtchn_open(NULL, 0);
    if (has_word(arguments, 0, "shr") ? !shr : has_word(arguments, 0, "tab") ? !tab : !evt)
        print_error();
    else
        printf("ok\n");
}

/* close shr|tab|evt */
static void close_handle(struct arguments arguments) {
    if (has_word(arguments, 0, "shr"))
        print_result(xengntshr_close(shr));
    else if (has_word(arguments, 0, "tab"))
        print_result(xengnttab_close(tab));
    else
        print_result(xenevtchn_close(evt));
}

static const struct {
    const char *name;
    void (*run)(struct arguments arguments);
} commands[] = {
    {"open", open_handle},
    {"close", close_handle},
    {"share", share},
    {"share-notify", share_notify},
    {"unshare", unshare_region},
    {"map", map},
    {"map-notify", map_notify},
    {"unmap", unmap_region},
    {"peek", peek},
    {"poke", poke},
    {"bind-unbound", bind_unbound},
    {"bind-interdomain", bind_interdomain},
    {"unbind", unbind},
    {"notify", notify},
    {"unmask", unmask},
    {"restrict", restrict_handle},
    {"pending", pending},
};

static void run_line(char *line) {
    char *words[WORDS_MAX], *save = NULL;
    int count = 0;

    for (char *word = strtok_r(line, " \n", &save); word && count < WORDS_MAX;
         word = strtok_r(NULL, " \n", &save))
        words[count++] = word;
    for (size_t i = 0; count > 0 && i < sizeof(commands) / sizeof(*commands); i++) {
        if (strcmp(commands[i].name, words[0]) == 0) {
            commands[i].run((struct arguments) {.count = count - 1, .words = words + 1});
            return;
        }
    }
    printf("error no such command\n");
}

int main(void) {
    char *line = NULL;
    size_t size = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    while (getline(&line, &size, stdin) >= 0)
        run_line(line);
    free(line);
    return 0;
}
