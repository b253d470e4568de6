/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-xen-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xengnttab.h>

#define PAGE_BYTES 4096u
#define GRANTS 16384u
#define GRANT_FIRST 8u /* Linux keeps those below to itself */
#define NO_OFFSET UINT32_MAX

/* A grant's number is also the place of its page in the memory file. */
struct grant {
    bool granted, writable, revoked;
    uint32_t owner, grantee;
    unsigned maps; /* the page is not given out again while the grantee maps it */
};

/* A contiguous run of pages in our address space: granted by us (share) or mapped by us. */
struct area {
    struct area *next;
    struct xengntdev_handle *handle;
    uint32_t domid; /* of the handle, which may be closed by now */
    char *start;
    uint32_t count, clear_offset;
    bool share;
    uint32_t refs[];
};

struct xengntdev_handle {
    struct xengntdev_handle *next;
    uint32_t domid;
};

static struct {
    int memory_fd;
    uint32_t last_grant;
    struct grant grants[GRANTS];
    struct area *areas;
    struct xengntdev_handle *handles;
} xen = {.memory_fd = -1};

static int memory(void) {
    if (xen.memory_fd < 0) {
        xen.memory_fd = memfd_create("fake-xen", MFD_CLOEXEC);
        if (xen.memory_fd < 0 || ftruncate(xen.memory_fd, (off_t) GRANTS * PAGE_BYTES) < 0)
            abort();
    }
    return xen.memory_fd;
}

/* Steps that share no factor with the table's size visit every place of it. */
static uint32_t next_free_grant(void) {
    for (uint32_t i = 0; i < GRANTS; i++) {
        struct grant *grant;

        xen.last_grant = (xen.last_grant + 37) % GRANTS;
        grant = &xen.grants[xen.last_grant];
        if (xen.last_grant >= GRANT_FIRST && !grant->granted && grant->maps == 0)
            return xen.last_grant;
    }
    return 0;
}

/* Maps the pages behind refs side by side. */
static struct area *add_area(struct xengntdev_handle *handle, bool share, uint32_t count,
                             const uint32_t *refs, int prot) {
    struct area *area = malloc(sizeof(*area) + count * sizeof(*refs));
    char *start = mmap(NULL, (size_t) count * PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (!area || start == MAP_FAILED)
        abort();
    for (uint32_t i = 0; i < count; i++)
        if (mmap(start + (size_t) i * PAGE_BYTES, PAGE_BYTES, prot, MAP_SHARED | MAP_FIXED, memory(),
                 (off_t) refs[i] * PAGE_BYTES) == MAP_FAILED)
            abort();
    *area = (struct area) {xen.areas, handle, handle->domid, start, count, NO_OFFSET, share};
    memcpy(area->refs, refs, count * sizeof(*refs));
    xen.areas = area;
    return area;
}

static void remove_area(struct area **link) {
    struct area *area = *link;

    if (area->clear_offset != NO_OFFSET)
        area->start[area->clear_offset] = 0;
    for (uint32_t i = 0; i < area->count; i++) {
        struct grant *grant = &xen.grants[area->refs[i]];

        if (area->share)
            grant->granted = false;
        else
            grant->maps--;
    }
    munmap(area->start, (size_t) area->count * PAGE_BYTES);
    *link = area->next;
    free(area);
}

static int remove_area_at(struct xengntdev_handle *handle, bool share, void *start, uint32_t count) {
    for (struct area **link = &xen.areas; *link; link = &(*link)->next) {
        struct area *area = *link;

        if (area->start != start || area->handle != handle || area->share != share || area->count != count)
            continue;
        remove_area(link);
        return 0;
    }
    return fake_xen_misuse(share ? "unshare of what is not shared so" : "unmap of what is not mapped so");
}

static struct xengntdev_handle *open_gnt(enum fake_xen_call call) {
    struct xengntdev_handle *handle = NULL;

    pthread_mutex_lock(&fake_xen_lock);
    if (!fake_xen_is_failing(call)) {
        handle = malloc(sizeof(*handle));
        if (!handle)
            abort();
        *handle = (struct xengntdev_handle) {xen.handles, fake_xen_domid()};
        xen.handles = handle;
    }
    pthread_mutex_unlock(&fake_xen_lock);
    return handle;
}

/* As with the kernel's descriptor, pages that are still shared or mapped stay so. */
static int close_gnt(struct xengntdev_handle *handle) {
    int r = -1;

    pthread_mutex_lock(&fake_xen_lock);
    for (struct xengntdev_handle **link = &xen.handles; r < 0 && *link; link = &(*link)->next)
        if (*link == handle) {
            *link = handle->next;
            free(handle);
            r = 0;
            break;
        }
    if (r < 0)
        fake_xen_misuse("close of a grant handle that is not open");
    pthread_mutex_unlock(&fake_xen_lock);
    return r;
}

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags) {
    (void) logger;
    (void) open_flags;
    return open_gnt(FAKE_XEN_SHARE_OPEN);
}

int xengntshr_close(xengntshr_handle *xgs) {
    return close_gnt(xgs);
}

static void *share_pages(xengntshr_handle *handle, uint32_t domid, uint32_t count, uint32_t *refs,
                         bool writable, uint32_t clear_offset) {
    struct area *area;

    if (fake_xen_is_failing(FAKE_XEN_SHARE_PAGES))
        return NULL;
    for (uint32_t i = 0; i < count; i++) {
        refs[i] = next_free_grant();
        if (refs[i] == 0) {
            while (i-- > 0)
                xen.grants[refs[i]].granted = false;
            errno = ENOSPC;
            return NULL;
        }
        xen.grants[refs[i]] = (struct grant) {true, writable, false, handle->domid, domid, 0};
        if (fallocate(memory(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) refs[i] * PAGE_BYTES,
                      PAGE_BYTES) < 0)
            abort();
    }
    area = add_area(handle, true, count, refs, PROT_READ | PROT_WRITE);
    area->clear_offset = clear_offset;
    return area->start;
}

void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs, int writable) {
    void *start;

    pthread_mutex_lock(&fake_xen_lock);
    start = share_pages(xgs, domid, (uint32_t) count, refs, writable != 0, NO_OFFSET);
    pthread_mutex_unlock(&fake_xen_lock);
    return start;
}

/* Only the octet is modelled: we register no port. */
void *xengntshr_share_page_notify(xengntshr_handle *xgs, uint32_t domid, uint32_t *ref, int writable,
                                  uint32_t notify_offset, evtchn_port_t notify_port) {
    void *start;

    pthread_mutex_lock(&fake_xen_lock);
    if (notify_port != (evtchn_port_t) -1)
        fake_xen_misuse("share_page_notify with a port, which is stale after a resume");
    start = share_pages(xgs, domid, 1, ref, writable != 0, notify_offset);
    pthread_mutex_unlock(&fake_xen_lock);
    return start;
}

int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count) {
    int r;

    pthread_mutex_lock(&fake_xen_lock);
    r = remove_area_at(xgs, true, start_address, count);
    pthread_mutex_unlock(&fake_xen_lock);
    return r;
}

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned open_flags) {
    (void) logger;
    (void) open_flags;
    return open_gnt(FAKE_XEN_MAP_OPEN);
}

int xengnttab_close(xengnttab_handle *xgt) {
    return close_gnt(xgt);
}

static bool may_map(const xengnttab_handle *handle, uint32_t domid, uint32_t ref, int prot) {
    const struct grant *grant = ref < GRANTS ? &xen.grants[ref] : NULL;

    return grant && grant->granted && !grant->revoked && grant->owner == domid &&
           grant->grantee == handle->domid && (grant->writable || !(prot & PROT_WRITE));
}

static void *map_pages(xengnttab_handle *handle, uint32_t count, uint32_t domid, const uint32_t *refs,
                       int prot) {
    if (fake_xen_is_failing(FAKE_XEN_MAP_PAGES))
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        if (!may_map(handle, domid, refs[i], prot)) {
            errno = EINVAL;
            return NULL;
        }
    for (uint32_t i = 0; i < count; i++)
        xen.grants[refs[i]].maps++;
    return add_area(handle, false, count, refs, prot)->start;
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t domid, uint32_t *refs,
                                      int prot) {
    void *start;

    pthread_mutex_lock(&fake_xen_lock);
    start = map_pages(xgt, count, domid, refs, prot);
    pthread_mutex_unlock(&fake_xen_lock);
    return start;
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count) {
    int r;

    pthread_mutex_lock(&fake_xen_lock);
    r = remove_area_at(xgt, false, start_address, count);
    pthread_mutex_unlock(&fake_xen_lock);
    return r;
}

void fake_xen_revoke(uint32_t ref) {
    pthread_mutex_lock(&fake_xen_lock);
    xen.grants[ref].revoked = true;
    pthread_mutex_unlock(&fake_xen_lock);
}

void fake_xen_kill_grants(uint32_t domid) {
    struct area **area = &xen.areas;
    struct xengntdev_handle **handle = &xen.handles;

    while (*area)
        if ((*area)->domid == domid)
            remove_area(area);
        else
            area = &(*area)->next;
    while (*handle) {
        struct xengntdev_handle *found = *handle;

        if (found->domid != domid) {
            handle = &found->next;
            continue;
        }
        *handle = found->next;
        free(found);
    }
}

void fake_xen_add_grant_usage(struct fake_xen_usage *usage) {
    for (const struct area *area = xen.areas; area; area = area->next)
        *(area->share ? &usage->shared_pages : &usage->mapped_pages) += area->count;
    for (const struct xengntdev_handle *handle = xen.handles; handle; handle = handle->next)
        usage->handles++;
}
