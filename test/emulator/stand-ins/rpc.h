/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef STAND_INS_RPC_H
#define STAND_INS_RPC_H

#include <limits.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "layout.h"

/* The connection of one library handle to the emulator. The emulator frees what the handle has when it
 * closes. */
struct rpc {
    int fd;
    pthread_mutex_t mutex; /* one call at a time */
    uint32_t id;           /* of the handle */
    pid_t owner;           /* who opened it; a forked child must not free what its parent has */
};

/* Connects to the emulator of the directory this library lies in. 0 or -1 with errno. */
int rpc_open(struct rpc *rpc);
/* Frees all that the handle has and disconnects. In a forked child it only disconnects; the parent keeps all.
 */
void rpc_close(struct rpc *rpc);
/*
 * Sends a call and waits for the answer, of exactly n_out words. 0, or -1 with errno: what the emulator says,
 * or ENODEV when it is gone. Any thread.
 */
int rpc_call(struct rpc *rpc, enum rpc_op op, const uint32_t *in, size_t n_in, uint32_t *out, size_t n_out);

/* Writes the path of a file of the emulator's directory. 0 or -1 with errno. */
int emulator_path(char path[PATH_MAX], const char *name);

#endif
