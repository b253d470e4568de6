/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FAKE_STORE_H
#define FAKE_STORE_H

#include <stdbool.h>

/*
 * A xenstore in memory, as one guest sees it: what a test links instead of libxenstore. Relative and absolute paths are
 * nodes like any other. Watches fire for what happens at, below and above their path.
 */

void fake_store_put(const char *path, const char *value);
/* With all below; whether anything was there. */
bool fake_store_drop(const char *path);
/* NULL: there is no such node. Valid until the next change. */
const char *fake_store_find(const char *path);
/* 0: no node, or no number. */
unsigned fake_store_number(const char *path);
/* Forgets all nodes, without telling anybody. */
void fake_store_clear(void);
/* So many of the next transactions meet other writers. */
void fake_store_disturb(unsigned transactions);

bool fake_store_has_events(void);
unsigned fake_store_watches(void);
/* How many are open. */
unsigned fake_store_handles(void);

#endif
