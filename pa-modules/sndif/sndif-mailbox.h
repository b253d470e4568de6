/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_SNDIF_MAILBOX_H
#define XEN_AUDIO_SNDIF_MAILBOX_H

/*
 * Between the stream thread of a backend and its owner: one command at a time goes to the owner and its reply comes
 * back; news that ask for no reply pass beside it. Nobody blocks and nobody locks; each side polls its descriptor.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct sndif_capture;
struct sndif_playback;

enum sndif_backend_command_type {
    SNDIF_BACKEND_OPEN, /* playback: pull from it once started; capture: push to it, once started and admitted.
                                 Refusing it with -errno refuses OPEN */
    SNDIF_BACKEND_START,      /* begin to pull, to push */
    SNDIF_BACKEND_STOP,       /* do not any more; the source has been revoked */
    SNDIF_BACKEND_CLOSE,      /* the same, and forget playback and capture, which are freed after the reply */
    SNDIF_BACKEND_SET_VOLUME, /* millidecibel[channels] */
    SNDIF_BACKEND_GET_VOLUME, /* fill them */
    SNDIF_BACKEND_SET_MUTE,   /* affected[channels]: true where it changes, to mute */
    SNDIF_BACKEND_LATENCY,    /* ask latency_usec of the sound server. Not replied to */
    SNDIF_BACKEND_WIPED,      /* nothing is left of a source that was revoked. Not replied to */
    SNDIF_BACKEND_REFUSED,    /* an OPEN was refused, for `reason`. Not replied to */
    SNDIF_BACKEND_BROKEN,     /* the frontend broke the protocol or is gone; nothing is served any more. Not
                                 replied to */
};

#define SNDIF_BACKEND_CHANNELS_MAX 32u

struct sndif_backend_command {
    enum sndif_backend_command_type type;
    struct sndif_playback *playback; /* one of them, by the stream's direction */
    struct sndif_capture *capture;
    uint64_t latency_usec;
    int32_t millidecibel[SNDIF_BACKEND_CHANNELS_MAX]; /* 0 is unchanged, sndif.h XENSND_OP_SET_VOLUME */
    bool affected[SNDIF_BACKEND_CHANNELS_MAX];        /* SET_MUTE: channels that change */
    bool mute;                                        /* SET_MUTE: to what */
    bool frontend_gone;                               /* BROKEN: it died, rather than misbehaved */
    const char *reason;                               /* REFUSED, BROKEN: static text */
};

struct sndif_mailbox {
    int owner_fd, stream_fd; /* readable when there is something for the owner, for the stream thread */
    atomic_int turn;
    struct sndif_backend_command command; /* belongs to whose turn it is */
    int status;

    atomic_uint_fast64_t latency_usec;
    atomic_bool wiped;
    atomic_int broken;
    const char *reason;
    _Atomic(const char *) refusal;
    struct sndif_backend_command news; /* the owner's copy */
};

/* 0 or -errno; after a failure done is still due. */
int sndif_mailbox_init(struct sndif_mailbox *mailbox);
void sndif_mailbox_done(struct sndif_mailbox *mailbox);

/* ---- the stream thread ---- */

/* Whether a command could be posted now; if so, its fields may be filled. */
bool sndif_mailbox_is_free(const struct sndif_mailbox *mailbox);
/* False: the owner is still busy with the last one. */
bool sndif_mailbox_post(struct sndif_mailbox *mailbox, enum sndif_backend_command_type type,
                        uint64_t latency_usec);
/* True once the owner has replied: then the mailbox is free again, command is as the owner left it. */
bool sndif_mailbox_take_reply(struct sndif_mailbox *mailbox, int *status);
/* News. */
void sndif_mailbox_tell_latency(struct sndif_mailbox *mailbox, uint64_t latency_usec);
void sndif_mailbox_tell_wiped(struct sndif_mailbox *mailbox);
void sndif_mailbox_tell_refused(struct sndif_mailbox *mailbox, const char *reason);
void sndif_mailbox_tell_broken(struct sndif_mailbox *mailbox, const char *reason, bool frontend_gone);
/* Makes stream_fd readable, from any thread. */
void sndif_mailbox_wake_stream(struct sndif_mailbox *mailbox);
/* Makes it unreadable. */
void sndif_mailbox_clear_stream(struct sndif_mailbox *mailbox);

/* ---- the owner ---- */

/* The next command or news, or NULL. */
struct sndif_backend_command *sndif_mailbox_next(struct sndif_mailbox *mailbox);
void sndif_mailbox_reply(struct sndif_mailbox *mailbox, int status);

#endif
