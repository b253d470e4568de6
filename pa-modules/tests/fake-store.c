/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-store.h"

#include <errno.h>
#include <stdlib.h>

#include <xenstore.h>

#include "check.h"

#define NODES 64u
#define WATCHES 8u

struct xs_handle {
    char open;
};

struct node {
    char path[96], value[64]; /* path "": free */
};

struct watch {
    char path[96]; /* "": free */
    bool fired;
};

static struct xs_handle the_handle;
static struct node nodes[NODES], kept[NODES];
static struct watch watches[WATCHES];
static unsigned conflicts;

static struct node *find_node(const char *path) {
    for (unsigned i = 0; i < NODES; i++)
        if (strcmp(nodes[i].path, path) == 0)
            return &nodes[i];
    return NULL;
}

static bool is_at_or_below(const char *path, const char *directory) {
    const size_t length = strlen(directory);

    return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static void fire(const char *path) {
    for (unsigned i = 0; i < WATCHES; i++)
        if (watches[i].path[0] &&
            (is_at_or_below(path, watches[i].path) || is_at_or_below(watches[i].path, path)))
            watches[i].fired = true;
}

void fake_store_put(const char *path, const char *value) {
    struct node *node = find_node(path);

    if (!node && !(node = find_node("")))
        abort();
    snprintf(node->path, sizeof(node->path), "%s", path);
    snprintf(node->value, sizeof(node->value), "%s", value);
    fire(path);
}

bool fake_store_drop(const char *path) {
    bool any = false;

    for (unsigned i = 0; i < NODES; i++)
        if (nodes[i].path[0] && is_at_or_below(nodes[i].path, path)) {
            nodes[i].path[0] = '\0';
            any = true;
        }
    if (any)
        fire(path);
    return any;
}

const char *fake_store_find(const char *path) {
    const struct node *node = find_node(path);

    return node ? node->value : NULL;
}

unsigned fake_store_number(const char *path) {
    const char *value = fake_store_find(path);

    return value && value[0] >= '0' && value[0] <= '9' ? (unsigned) atoi(value) : 0;
}

void fake_store_clear(void) {
    memset(nodes, 0, sizeof(nodes));
    conflicts = 0;
}

void fake_store_disturb(unsigned transactions) {
    conflicts = transactions;
}

unsigned fake_store_handles(void) {
    return (unsigned) the_handle.open;
}

unsigned fake_store_watches(void) {
    unsigned count = 0;

    for (unsigned i = 0; i < WATCHES; i++)
        count += watches[i].path[0] != '\0';
    return count;
}

struct xs_handle *xs_open(unsigned long flags) {
    (void) flags;
    the_handle.open++;
    return &the_handle;
}

void xs_close(struct xs_handle *xs) {
    xs->open--;
    memset(watches, 0, sizeof(watches));
}

int xs_fileno(struct xs_handle *xs) {
    (void) xs;
    return -1;
}

void *xs_read(struct xs_handle *xs, xs_transaction_t t, const char *path, unsigned int *length) {
    const struct node *node = find_node(path);

    (void) xs, (void) t;
    if (!node) {
        errno = ENOENT;
        return NULL;
    }
    *length = (unsigned) strlen(node->value);
    return strdup(node->value);
}

bool xs_write(struct xs_handle *xs, xs_transaction_t t, const char *path, const void *data,
              unsigned int length) {
    char value[64];

    (void) xs, (void) t;
    snprintf(value, sizeof(value), "%.*s", (int) length, (const char *) data);
    fake_store_put(path, value);
    return true;
}

bool xs_rm(struct xs_handle *xs, xs_transaction_t t, const char *path) {
    (void) xs, (void) t;
    errno = ENOENT;
    return fake_store_drop(path);
}

bool xs_watch(struct xs_handle *xs, const char *path, const char *token) {
    (void) xs, (void) token;
    for (unsigned i = 0; i < WATCHES; i++)
        if (!watches[i].path[0]) {
            snprintf(watches[i].path, sizeof(watches[i].path), "%s", path);
            watches[i].fired = true;
            return true;
        }
    abort();
}

bool xs_unwatch(struct xs_handle *xs, const char *path, const char *token) {
    (void) xs, (void) token;
    for (unsigned i = 0; i < WATCHES; i++)
        if (strcmp(watches[i].path, path) == 0) {
            memset(&watches[i], 0, sizeof(watches[i]));
            return true;
        }
    CHECK(!"a path is unwatched that is watched");
    return false;
}

char **xs_check_watch(struct xs_handle *xs) {
    (void) xs;
    for (unsigned i = 0; i < WATCHES; i++)
        if (watches[i].fired) {
            watches[i].fired = false;
            return calloc(2, sizeof(char *));
        }
    return NULL;
}

bool fake_store_has_events(void) {
    for (unsigned i = 0; i < WATCHES; i++)
        if (watches[i].fired)
            return true;
    return false;
}

xs_transaction_t xs_transaction_start(struct xs_handle *xs) {
    (void) xs;
    memcpy(kept, nodes, sizeof(kept));
    return 1;
}

bool xs_transaction_end(struct xs_handle *xs, xs_transaction_t t, bool abort_it) {
    (void) xs, (void) t;
    if (!abort_it && conflicts == 0)
        return true;
    memcpy(nodes, kept, sizeof(nodes));
    if (abort_it)
        return true;
    conflicts--;
    errno = EAGAIN;
    return false;
}
