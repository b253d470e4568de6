/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * A domain's libraries are symbolic links in DIR/domains/KEY/lib. The path under which the loader found this
 * one is thus all that tells which domain we are; it must not be resolved.
 */
static int library_relative_path(char path[PATH_MAX], const char *relative) {
    Dl_info info;
    const char *slash;
    int length;

    if (!dladdr((const void *) library_relative_path, &info) || !(slash = strrchr(info.dli_fname, '/'))) {
        errno = ENODEV;
        return -1;
    }
    length = snprintf(path, PATH_MAX, "%.*s/%s", (int) (slash - info.dli_fname), info.dli_fname, relative);
    if (length >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return 0;
}

int emulator_path(char path[PATH_MAX], const char *name) {
    char relative[NAME_MAX];

    snprintf(relative, sizeof(relative), "../../../%s", name);
    return library_relative_path(path, relative);
}

static int connect_to_hypervisor(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[PATH_MAX], resolved[PATH_MAX];
    int fd, saved;

    if (library_relative_path(path, "../hypervisor.sock") < 0 || !realpath(path, resolved))
        return -1;
    if (strlen(resolved) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, resolved);

    if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
        return -1;
    if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
        saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

int rpc_open(struct rpc *rpc) {
    int saved;

    if ((rpc->fd = connect_to_hypervisor()) < 0)
        return -1;
    rpc->owner = getpid();
    pthread_mutex_init(&rpc->mutex, NULL);
    if (rpc_call(rpc, RPC_OPEN, NULL, 0, &rpc->id, 1) < 0) {
        saved = errno;
        rpc_close(rpc);
        errno = saved;
        return -1;
    }
    return 0;
}

void rpc_close(struct rpc *rpc) {
    /* Waits until all is freed; without it the emulator would notice only some time later. */
    if (rpc->owner == getpid())
        rpc_call(rpc, RPC_CLOSE, NULL, 0, NULL, 0);
    close(rpc->fd);
    pthread_mutex_destroy(&rpc->mutex);
}

static bool send_all(int fd, const void *octets, size_t length) {
    const char *next = octets;

    while (length > 0) {
        ssize_t sent = send(fd, next, length, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        next += sent;
        length -= (size_t) sent;
    }
    return true;
}

static bool receive_all(int fd, void *octets, size_t length) {
    char *next = octets;

    while (length > 0) {
        ssize_t received = recv(fd, next, length, 0);

        if (received < 0 && errno == EINTR)
            continue;
        if (received <= 0)
            return false;
        next += received;
        length -= (size_t) received;
    }
    return true;
}

int rpc_call(struct rpc *rpc, enum rpc_op op, const uint32_t *in, size_t n_in, uint32_t *out, size_t n_out) {
    struct rpc_header header = {.op_or_status = op, .words = (uint32_t) n_in};
    bool answered;

    pthread_mutex_lock(&rpc->mutex);
    answered = send_all(rpc->fd, &header, sizeof(header)) && send_all(rpc->fd, in, n_in * sizeof(*in)) &&
               receive_all(rpc->fd, &header, sizeof(header));
    if (answered && header.op_or_status == 0)
        answered = header.words == n_out && receive_all(rpc->fd, out, n_out * sizeof(*out));
    pthread_mutex_unlock(&rpc->mutex);

    if (answered && header.op_or_status == 0)
        return 0;
    errno = answered ? -(int) header.op_or_status : ENODEV;
    return -1;
}
