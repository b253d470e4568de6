/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-mailbox.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum turn { TURN_FREE, TURN_POSTED, TURN_TAKEN, TURN_REPLIED };
enum broken { BROKEN_NOT, BROKEN_PROTOCOL, BROKEN_GONE };

static void signal_fd(int fd) {
    const uint64_t one = 1;
    ssize_t r;

    do
        r = write(fd, &one, sizeof(one));
    while (r < 0 && errno == EINTR);
}

static void clear_fd(int fd) {
    uint64_t count;
    ssize_t r;

    do
        r = read(fd, &count, sizeof(count));
    while (r < 0 && errno == EINTR);
}

int sndif_mailbox_init(struct sndif_mailbox *mailbox) {
    memset(mailbox, 0, sizeof(*mailbox));
    mailbox->owner_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mailbox->stream_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return mailbox->owner_fd < 0 || mailbox->stream_fd < 0 ? -errno : 0;
}

void sndif_mailbox_done(struct sndif_mailbox *mailbox) {
    if (mailbox->owner_fd >= 0)
        close(mailbox->owner_fd);
    if (mailbox->stream_fd >= 0)
        close(mailbox->stream_fd);
    mailbox->owner_fd = mailbox->stream_fd = -1;
}

/* ---- the stream thread ---- */

bool sndif_mailbox_is_free(const struct sndif_mailbox *mailbox) {
    return atomic_load(&mailbox->turn) == TURN_FREE;
}

bool sndif_mailbox_post(struct sndif_mailbox *mailbox, enum sndif_backend_command_type type,
                        uint64_t latency_usec) {
    if (!sndif_mailbox_is_free(mailbox))
        return false;

    mailbox->command.type = type;
    mailbox->command.latency_usec = latency_usec;
    /* the command before the turn that gives it away */
    atomic_store(&mailbox->turn, TURN_POSTED);
    signal_fd(mailbox->owner_fd);
    return true;
}

bool sndif_mailbox_take_reply(struct sndif_mailbox *mailbox, int *status) {
    if (atomic_load(&mailbox->turn) != TURN_REPLIED)
        return false;

    *status = mailbox->status;
    atomic_store(&mailbox->turn, TURN_FREE);
    return true;
}

void sndif_mailbox_tell_latency(struct sndif_mailbox *mailbox, uint64_t latency_usec) {
    atomic_store(&mailbox->latency_usec, latency_usec);
    signal_fd(mailbox->owner_fd);
}

void sndif_mailbox_tell_wiped(struct sndif_mailbox *mailbox) {
    atomic_store(&mailbox->wiped, true);
    signal_fd(mailbox->owner_fd);
}

void sndif_mailbox_tell_refused(struct sndif_mailbox *mailbox, const char *reason) {
    atomic_store(&mailbox->refusal, reason);
    signal_fd(mailbox->owner_fd);
}

void sndif_mailbox_tell_broken(struct sndif_mailbox *mailbox, const char *reason, bool frontend_gone) {
    mailbox->reason = reason;
    atomic_store(&mailbox->broken, frontend_gone ? BROKEN_GONE : BROKEN_PROTOCOL);
    signal_fd(mailbox->owner_fd);
}

void sndif_mailbox_wake_stream(struct sndif_mailbox *mailbox) {
    signal_fd(mailbox->stream_fd);
}

void sndif_mailbox_clear_stream(struct sndif_mailbox *mailbox) {
    clear_fd(mailbox->stream_fd);
}

/* ---- the owner ---- */

struct sndif_backend_command *sndif_mailbox_next(struct sndif_mailbox *mailbox) {
    struct sndif_backend_command *news = &mailbox->news;
    int posted = TURN_POSTED, broken;

    /* cleared before looking: what comes later makes it readable again */
    clear_fd(mailbox->owner_fd);
    if (atomic_compare_exchange_strong(&mailbox->turn, &posted, TURN_TAKEN))
        return &mailbox->command;

    memset(news, 0, sizeof(*news));
    if ((news->latency_usec = atomic_exchange(&mailbox->latency_usec, 0)) > 0) {
        news->type = SNDIF_BACKEND_LATENCY;
        return news;
    }
    if (atomic_exchange(&mailbox->wiped, false)) {
        news->type = SNDIF_BACKEND_WIPED;
        return news;
    }
    if ((news->reason = atomic_exchange(&mailbox->refusal, NULL))) {
        news->type = SNDIF_BACKEND_REFUSED;
        return news;
    }
    if ((broken = atomic_exchange(&mailbox->broken, BROKEN_NOT)) != BROKEN_NOT) {
        news->type = SNDIF_BACKEND_BROKEN;
        news->frontend_gone = broken == BROKEN_GONE;
        news->reason = mailbox->reason;
        return news;
    }
    return NULL;
}

void sndif_mailbox_reply(struct sndif_mailbox *mailbox, int status) {
    mailbox->status = status;
    atomic_store(&mailbox->turn, TURN_REPLIED);
    signal_fd(mailbox->stream_fd);
}
