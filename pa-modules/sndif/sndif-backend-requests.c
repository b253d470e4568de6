/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-backend-internal.h"

#include <errno.h>

/* ---- answers ---- */

static void respond(struct sndif_backend *b, int status, const struct xensnd_query_hw_param *query) {
    struct xensnd_resp resp;

    memset(&resp, 0, sizeof(resp));
    resp.id = b->request.id;
    resp.operation = b->request.operation;
    resp.status = status;
    if (query)
        resp.resp.hw_param = *query;

    if (sndif_ring_back_put(&b->ring, &resp))
        xen_io_evtchn_notify(&b->evtchn, (uint32_t) b->request_port);
}

/* ---- requests ---- */

static void await_owner(struct sndif_backend *b, enum sndif_backend_command_type type,
                        uint64_t latency_usec) {
    if (!sndif_mailbox_post(&b->mailbox, type, latency_usec)) {
        respond(b, -XEN_EBUSY, NULL);
        return;
    }
    b->waiting = true;
    b->abandoned = false;
    b->waiting_since_usec = sndif_backend_now_usec();
}

void sndif_backend_wipe(struct sndif_backend *b, uint64_t now) {
    if (b->stream.is_capture && sndif_capture_wipe(&b->stream.capture, now))
        sndif_mailbox_tell_wiped(&b->mailbox);
}

void sndif_backend_release_stream(struct sndif_backend *b) {
    sndif_backend_wipe(b, sndif_backend_now_usec());
    sndif_shbuf_back_unmap(&b->shbuf, &b->map);
    sndif_backend_stream_done(&b->stream);
    b->state = STREAM_CLOSED;
}

/* What is recorded must be put there; what is played need only be read, unless its volume is asked for. */
static int map_buffer(struct sndif_backend *b, const struct sndif_params *params, const char **reason) {
    int r =
        sndif_shbuf_back_map(&b->shbuf, &b->map, params->gref_directory, params->buffer_bytes, true, reason);

    if (!b->stream.is_capture && (r == -EACCES || r == -EPERM))
        r = sndif_shbuf_back_map(&b->shbuf, &b->map, params->gref_directory, params->buffer_bytes, false,
                                 reason);
    return r;
}

static void serve_open(struct sndif_backend *b) {
    struct sndif_params params;
    const char *reason = "no memory";
    int r;

    if (b->state != STREAM_CLOSED) {
        /* Linux opens anew without closing; finish_owner comes back here */
        await_owner(b, SNDIF_BACKEND_CLOSE, 0);
        return;
    }
    r = sndif_params_check_open(&b->config.caps, &b->request.op.open, &params, &reason);
    if (r == 0)
        r = map_buffer(b, &params, &reason);
    if (r == 0)
        r = sndif_backend_stream_init(&b->stream, &params, b->config.linux_quirks);
    if (r < 0) {
        sndif_shbuf_back_unmap(&b->shbuf, &b->map);
        sndif_mailbox_tell_refused(&b->mailbox, reason);
        respond(b, r, NULL);
        return;
    }
    b->state = STREAM_OPEN;
    await_owner(b, SNDIF_BACKEND_OPEN, 0);
    if (!b->waiting)
        sndif_backend_release_stream(b);
}

/* Where the samples of a READ or WRITE lie; NULL, and answered, when the request does not fit the stream. */
static uint8_t *samples_of(struct sndif_backend *b, bool capture) {
    const uint32_t offset = b->request.op.rw.offset, length = b->request.op.rw.length;
    const struct sndif_params *params = sndif_backend_stream_params(&b->stream);

    if (b->state == STREAM_CLOSED || b->stream.is_capture != capture ||
        !sndif_params_check_range(params->buffer_bytes, params->frame_bytes, offset, length)) {
        respond(b, -XEN_EINVAL, NULL);
        return NULL;
    }
    return (uint8_t *) b->shbuf.data + offset;
}

/* feature-rewind: the position in the stream that a request says. */
static uint64_t position_of_request(const struct sndif_backend *b) {
    uint64_t position;

    memcpy(&position, (const uint8_t *) &b->request + SNDIF_WRITE_POSITION_OFFSET, sizeof(position));
    return position;
}

static void serve_write(struct sndif_backend *b, uint64_t now) {
    const uint32_t offset = b->request.op.rw.offset, length = b->request.op.rw.length;
    const uint64_t position = position_of_request(b);
    struct sndif_playback *playback = &b->stream.playback;
    const uint8_t *samples = samples_of(b, false);

    if (!samples)
        return;
    if (!b->config.feature_rewind) {
        sndif_playback_write(playback, offset, samples, length, now);
    } else if (sndif_playback_may_write_at(playback, position, length, now)) {
        sndif_playback_write_at(playback, position, samples, length, now);
    } else {
        respond(b, -XEN_EINVAL, NULL);
        return;
    }
    respond(b, 0, NULL);
}

static void serve_read(struct sndif_backend *b, uint64_t now) {
    const uint32_t offset = b->request.op.rw.offset, length = b->request.op.rw.length;
    const uint64_t position = position_of_request(b);
    struct sndif_capture *capture = &b->stream.capture;
    uint8_t *samples = samples_of(b, true);

    if (!samples)
        return;
    /* who is told nothing means now */
    if (capture->params.period_bytes == 0 && !b->config.feature_wakeup)
        sndif_capture_tell(capture, sndif_capture_position(capture, now));
    if (!b->config.feature_rewind) {
        sndif_capture_read(capture, offset, samples, length, now);
    } else if (sndif_capture_may_read_at(capture, position, length)) {
        sndif_capture_read_at(capture, position, samples, length, now);
    } else {
        respond(b, -XEN_EINVAL, NULL);
        return;
    }
    respond(b, 0, NULL);
}

/* What was queued, or not yet read, is gone, and the frontend that restarts from offset 0 is told where that is. */
static void realign(struct sndif_backend *b, uint64_t now) {
    sndif_backend_stream_realign(&b->stream);
    b->state = STREAM_OPEN;
    sndif_backend_send_position(b, sndif_backend_stream_position(&b->stream, now), now);
}

/* Linux pauses when it suspends, never resumes, and starts anew at offset 0: its PAUSE is a STOP. */
static bool discards(const struct sndif_backend *b, uint8_t trigger) {
    return trigger == XENSND_OP_TRIGGER_STOP ||
           (trigger == XENSND_OP_TRIGGER_PAUSE && b->config.linux_quirks);
}

static void start(struct sndif_backend *b, uint64_t now) {
    const uint64_t latency_usec = sndif_backend_first_latency_usec(b, now);

    sndif_backend_stream_start(&b->stream, now);
    await_owner(b, SNDIF_BACKEND_START, latency_usec);
}

static void serve_trigger(struct sndif_backend *b, uint64_t now) {
    const uint8_t type = b->request.op.trigger.type;

    if (b->state == STREAM_CLOSED || type > XENSND_OP_TRIGGER_RESUME) {
        respond(b, -XEN_EINVAL, NULL);
    } else if (type == XENSND_OP_TRIGGER_START || type == XENSND_OP_TRIGGER_RESUME) {
        if (b->state == STREAM_RUNNING)
            respond(b, 0, NULL);
        else
            start(b, now);
    } else if (b->state == STREAM_RUNNING) {
        await_owner(b, SNDIF_BACKEND_STOP, 0);
    } else {
        if (discards(b, type))
            realign(b, now);
        respond(b, 0, NULL);
    }
}

/* Volume and mute lie in the shared buffer, one element a channel: copied once, then handed to the owner. */
static void serve_volume(struct sndif_backend *b) {
    const bool is_volume = b->request.operation <= XENSND_OP_GET_VOLUME;
    const uint32_t unit = is_volume ? sizeof(int32_t) : sizeof(uint8_t);
    const uint32_t offset = b->request.op.rw.offset, length = b->request.op.rw.length;
    const struct sndif_params *params = sndif_backend_stream_params(&b->stream);
    uint8_t muted[SNDIF_BACKEND_CHANNELS_MAX];

    if (b->stream.is_capture) {
        respond(b, -XEN_EOPNOTSUPP, NULL);
        return;
    }
    if (b->state == STREAM_CLOSED || params->channels > SNDIF_BACKEND_CHANNELS_MAX ||
        length != params->channels * unit ||
        !sndif_params_check_range(params->buffer_bytes, unit, offset, length)) {
        respond(b, -XEN_EINVAL, NULL);
        return;
    }
    if (!sndif_mailbox_is_free(&b->mailbox)) {
        respond(b, -XEN_EBUSY, NULL);
        return;
    }
    if (b->request.operation == XENSND_OP_GET_VOLUME) {
        await_owner(b, SNDIF_BACKEND_GET_VOLUME, 0);
    } else if (is_volume) {
        memcpy(b->mailbox.command.millidecibel, (const uint8_t *) b->shbuf.data + offset, length);
        await_owner(b, SNDIF_BACKEND_SET_VOLUME, 0);
    } else {
        memcpy(muted, (const uint8_t *) b->shbuf.data + offset, length);
        for (uint32_t c = 0; c < params->channels; c++)
            b->mailbox.command.affected[c] = muted[c] != 0;
        b->mailbox.command.mute = b->request.operation == XENSND_OP_MUTE;
        await_owner(b, SNDIF_BACKEND_SET_MUTE, 0);
    }
}

static void serve_query(struct sndif_backend *b) {
    struct xensnd_query_hw_param result;
    int r;

    memset(&result, 0, sizeof(result));
    r = sndif_params_query(&b->config.caps, &b->request.op.hw_param, &result);
    respond(b, r, r == 0 ? &result : NULL);
}

void sndif_backend_serve(struct sndif_backend *b, uint64_t now) {
    switch (b->request.operation) {
        case XENSND_OP_OPEN:
            serve_open(b);
            break;
        case XENSND_OP_CLOSE:
            if (b->state == STREAM_CLOSED)
                respond(b, 0, NULL);
            else
                await_owner(b, SNDIF_BACKEND_CLOSE, 0);
            break;
        case XENSND_OP_READ:
            serve_read(b, now);
            break;
        case XENSND_OP_WRITE:
            serve_write(b, now);
            break;
        case XENSND_OP_TRIGGER:
            serve_trigger(b, now);
            break;
        case XENSND_OP_SET_VOLUME:
        case XENSND_OP_GET_VOLUME:
        case XENSND_OP_MUTE:
        case XENSND_OP_UNMUTE:
            serve_volume(b);
            break;
        case XENSND_OP_HW_PARAM_QUERY:
            serve_query(b);
            break;
        default:
            respond(b, -XEN_EOPNOTSUPP, NULL);
    }
}

/* ---- the owner's reply ---- */

static void finish_trigger(struct sndif_backend *b, enum sndif_backend_command_type type, int status,
                           uint64_t now) {
    if (type == SNDIF_BACKEND_START && status == 0) {
        b->state = STREAM_RUNNING;
        sndif_backend_begin_events(b);
    } else if (type == SNDIF_BACKEND_START) {
        sndif_backend_stream_pause(&b->stream, now);
    } else {
        sndif_backend_stream_pause(&b->stream, now);
        b->state = STREAM_PAUSED;
        if (discards(b, b->request.op.trigger.type))
            realign(b, now);
    }
}

static int finish_get_volume(struct sndif_backend *b) {
    if (!b->shbuf.writable)
        return -XEN_EPERM;

    memcpy((uint8_t *) b->shbuf.data + b->request.op.rw.offset, b->mailbox.command.millidecibel,
           b->request.op.rw.length);
    return 0;
}

static void finish_owner(struct sndif_backend *b, int status, uint64_t now) {
    const enum sndif_backend_command_type type = b->mailbox.command.type;
    const bool abandoned = b->abandoned;

    b->waiting = false;
    b->abandoned = false;
    if (type == SNDIF_BACKEND_CLOSE) {
        sndif_backend_release_stream(b);
        status = 0;
        if (b->request.operation == XENSND_OP_OPEN && !abandoned) {
            serve_open(b);
            return;
        }
    } else if (type == SNDIF_BACKEND_OPEN && status < 0) {
        sndif_backend_release_stream(b);
    } else if (type == SNDIF_BACKEND_OPEN && abandoned) {
        sndif_mailbox_post(&b->mailbox, SNDIF_BACKEND_CLOSE,
                           0); /* its frontend has been told that it failed */
        return;
    } else if (type == SNDIF_BACKEND_START || type == SNDIF_BACKEND_STOP) {
        finish_trigger(b, type, status, now);
    } else if (type == SNDIF_BACKEND_GET_VOLUME && status == 0 && !abandoned) {
        status = finish_get_volume(b);
    }
    if (!abandoned)
        respond(b, status, NULL);
}

void sndif_backend_check_owner(struct sndif_backend *b, uint64_t now) {
    int status;

    if (sndif_mailbox_take_reply(&b->mailbox, &status))
        finish_owner(b, status, now);

    if (b->waiting && !b->abandoned && now > b->waiting_since_usec + SNDIF_BACKEND_OWNER_LIMIT_USEC) {
        respond(b, -XEN_ETIMEDOUT, NULL);
        b->abandoned = true;
    }
}
