/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct xengntdev_handle *handle_open(void) {
    struct xengntdev_handle *handle = calloc(1, sizeof(*handle));
    char path[PATH_MAX];
    int saved;

    if (!handle)
        return NULL;
    if (emulator_path(path, "memory") < 0 || (handle->memory_fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
        goto fail;
    if (rpc_open(&handle->rpc) < 0)
        goto fail_close;
    pthread_mutex_init(&handle->mutex, NULL);
    return handle;

fail_close:
    saved = errno;
    close(handle->memory_fd);
    errno = saved;
fail:
    saved = errno;
    free(handle);
    errno = saved;
    return NULL;
}

static void unmap_and_free(struct region *region) {
    munmap(region->start, (size_t) region->pages * STAND_IN_PAGE_BYTES);
    free(region);
}

int handle_close(struct xengntdev_handle *handle) {
    while (handle->regions) {
        struct region *region = handle->regions;

        handle->regions = region->next;
        unmap_and_free(region);
    }
    rpc_close(&handle->rpc);
    close(handle->memory_fd);
    pthread_mutex_destroy(&handle->mutex);
    free(handle);
    return 0;
}

/* Puts pages with consecutive numbers in one mapping each: the kernel limits their count. */
static int map_runs(int fd, char *start, const uint32_t *page_numbers, size_t stride, uint32_t pages,
                    int prot) {
    for (uint32_t first = 0, end; first < pages; first = end) {
        uint32_t number = page_numbers[first * stride];

        for (end = first + 1; end < pages && page_numbers[end * stride] == number + (end - first);)
            end++;
        if (mmap(start + (size_t) first * STAND_IN_PAGE_BYTES, (size_t) (end - first) * STAND_IN_PAGE_BYTES,
                 prot, MAP_SHARED | MAP_FIXED, fd, (off_t) number * STAND_IN_PAGE_BYTES) == MAP_FAILED)
            return -1;
    }
    return 0;
}

void *region_add(struct xengntdev_handle *handle, uint32_t id, const uint32_t *page_numbers, size_t stride,
                 uint32_t pages, int prot) {
    struct region *region = calloc(1, sizeof(*region));
    size_t length = (size_t) pages * STAND_IN_PAGE_BYTES;
    int saved;

    if (!region)
        return NULL;
    region->id = id;
    region->pages = pages;
    region->start = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region->start == MAP_FAILED) {
        free(region);
        return NULL;
    }
    if (map_runs(handle->memory_fd, region->start, page_numbers, stride, pages, prot) < 0) {
        saved = errno;
        unmap_and_free(region);
        errno = saved;
        return NULL;
    }

    pthread_mutex_lock(&handle->mutex);
    region->next = handle->regions;
    handle->regions = region;
    pthread_mutex_unlock(&handle->mutex);
    return region->start;
}

static struct region *take_region(struct xengntdev_handle *handle, const void *start, uint32_t pages) {
    struct region **link, *found = NULL;

    pthread_mutex_lock(&handle->mutex);
    for (link = &handle->regions; *link; link = &(*link)->next) {
        if ((*link)->start == start && (*link)->pages == pages) {
            found = *link;
            *link = found->next;
            break;
        }
    }
    pthread_mutex_unlock(&handle->mutex);
    return found;
}

int region_remove(struct xengntdev_handle *handle, void *start, uint32_t pages, enum rpc_op op) {
    struct region *region = take_region(handle, start, pages);
    uint32_t id;

    if (!region) {
        errno = EINVAL;
        return -1;
    }
    id = region->id;
    unmap_and_free(region);
    return rpc_call(&handle->rpc, op, &id, 1, NULL, 0);
}
