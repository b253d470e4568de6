/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-player.h"

static uint64_t min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t usec_to_bytes(const struct sndif_player *player, uint64_t usec) {
    return usec * player->rate / 1000000u * player->frame_bytes;
}

static uint64_t bytes_to_usec(const struct sndif_player *player, uint64_t bytes) {
    return bytes / player->frame_bytes * 1000000u / player->rate;
}

static void fail(struct sndif_player *player, const char *failure, int status) {
    player->state = PLAYER_FAILED;
    player->failure = failure;
    player->failure_status = status;
}

void sndif_player_init(struct sndif_player *player, struct sndif_frontend *front,
                       const struct sndif_format *format, uint32_t rate, uint32_t channels) {
    memset(player, 0, sizeof(*player));
    player->front = front;
    player->format = format;
    player->rate = rate;
    player->channels = channels;
    player->frame_bytes = format->sample_bytes * channels;
    player->buffer_bytes = front->buffer_bytes - front->buffer_bytes % player->frame_bytes;
    player->period_bytes = player->buffer_bytes / player->frame_bytes / 8 * player->frame_bytes;
}

/* ---- requests ---- */

static void ask(struct sndif_player *player, struct xensnd_req *req, enum sndif_player_state next_state,
                const char *what, uint64_t now_usec) {
    if (!sndif_frontend_request(player->front, req)) {
        fail(player, "the request ring is full", 0);
        return;
    }
    player->asked_id = req->id;
    player->state = PLAYER_ASKING;
    player->next_state = next_state;
    player->failure = what;
    player->deadline_usec = now_usec + SNDIF_PLAYER_LIMIT_USEC;
}

void sndif_player_query(struct sndif_player *player, uint64_t now_usec) {
    struct xensnd_req req;

    memset(&req, 0, sizeof(req));
    req.operation = XENSND_OP_HW_PARAM_QUERY;
    req.op.hw_param.formats = UINT64_C(1) << player->format->id;
    req.op.hw_param.rates.min = req.op.hw_param.rates.max = player->rate;
    req.op.hw_param.channels.min = req.op.hw_param.channels.max = player->channels;
    req.op.hw_param.buffer.min = req.op.hw_param.buffer.max = player->buffer_bytes / player->frame_bytes;
    req.op.hw_param.period.max = req.op.hw_param.buffer.max;
    ask(player, &req, PLAYER_CLOSED, "HW_PARAM_QUERY", now_usec);
}

void sndif_player_open(struct sndif_player *player, uint64_t now_usec) {
    struct xensnd_req req;

    memset(&req, 0, sizeof(req));
    req.operation = XENSND_OP_OPEN;
    req.op.open.pcm_rate = player->rate;
    req.op.open.pcm_format = player->format->id;
    req.op.open.pcm_channels = (uint8_t) player->channels;
    req.op.open.buffer_sz = player->buffer_bytes;
    req.op.open.gref_directory = player->front->shbuf.gref_directory;
    req.op.open.period_sz = player->feature_wakeup ? 0 : player->period_bytes;
    player->write_bytes = player->position_bytes = player->latency_usec = player->wakeup_bytes = 0;
    sndif_evt_front_set_wakeup(&player->front->events, 0);
    ask(player, &req, PLAYER_OPEN, "OPEN", now_usec);
}

static void trigger(struct sndif_player *player, uint8_t type, enum sndif_player_state next_state,
                    const char *what, uint64_t now_usec) {
    struct xensnd_req req;

    memset(&req, 0, sizeof(req));
    req.operation = XENSND_OP_TRIGGER;
    req.op.trigger.type = type;
    ask(player, &req, next_state, what, now_usec);
}

void sndif_player_start(struct sndif_player *player, uint64_t now_usec) {
    player->position_usec = now_usec;
    trigger(player, XENSND_OP_TRIGGER_START, PLAYER_RUNNING, "TRIGGER START", now_usec);
}

void sndif_player_stop(struct sndif_player *player, uint64_t now_usec) {
    trigger(player, XENSND_OP_TRIGGER_STOP, PLAYER_OPEN, "TRIGGER STOP", now_usec);
}

void sndif_player_close(struct sndif_player *player, uint64_t now_usec) {
    struct xensnd_req req;

    memset(&req, 0, sizeof(req));
    req.operation = XENSND_OP_CLOSE;
    ask(player, &req, PLAYER_CLOSED, "CLOSE", now_usec);
}

/* ---- answers and events ---- */

/* While running an event is due before everything written has been played. */
static void update_deadline(struct sndif_player *player) {
    if (player->state == PLAYER_RUNNING)
        player->deadline_usec =
            player->position_usec + SNDIF_PLAYER_LIMIT_USEC +
            bytes_to_usec(player, player->write_bytes - min_u64(player->write_bytes, player->position_bytes));
}

static void take_events(struct sndif_player *player, uint64_t now_usec) {
    struct sndif_cur_pos pos;
    enum sndif_ring_result got;

    while ((got = sndif_frontend_event(player->front, &pos)) == SNDIF_RING_GOT) {
        if (pos.position_bytes < player->position_bytes || pos.position_bytes % player->frame_bytes != 0)
            continue; /* of an earlier OPEN, or nonsense */
        player->position_bytes = pos.position_bytes;
        player->position_usec = now_usec;
        player->latency_usec = player->feature_latency ? pos.latency_usec : 0;
        update_deadline(player);
    }
    if (got == SNDIF_RING_BROKEN)
        fail(player, "the backend's event page makes no sense", 0);
}

static void take_answer(struct sndif_player *player, const struct xensnd_resp *resp, uint64_t now_usec) {
    const bool asked = player->state == PLAYER_ASKING && resp->id == player->asked_id;

    if (resp->status < 0) {
        fail(player, asked ? player->failure : "WRITE", resp->status);
    } else if (asked) {
        const bool stopped = resp->operation == XENSND_OP_TRIGGER && player->next_state == PLAYER_OPEN;

        take_events(
            player,
            now_usec); /* all that came before the answer; after STOP the last says where offset 0 is now */
        player->state = player->next_state;
        if (stopped)
            player->write_bytes = player->position_bytes;
        if (player->state == PLAYER_RUNNING)
            player->position_usec = now_usec;
        update_deadline(player);
    }
}

void sndif_player_process(struct sndif_player *player, uint64_t now_usec) {
    struct xensnd_resp resp;
    enum sndif_ring_result got;

    take_events(player, now_usec);
    while ((got = sndif_frontend_response(player->front, &resp)) == SNDIF_RING_GOT)
        take_answer(player, &resp, now_usec);
    if (got == SNDIF_RING_BROKEN)
        fail(player, "the backend's response index is impossible", 0);

    if (player->state == PLAYER_ASKING && now_usec > player->deadline_usec)
        fail(player, player->failure, -XEN_ETIMEDOUT);
    else if (player->state == PLAYER_RUNNING && now_usec > player->deadline_usec)
        fail(player, "waiting for a position event", -XEN_ETIMEDOUT);
}

/* ---- positions ---- */

static uint64_t position_now(const struct sndif_player *player, uint64_t now_usec) {
    if (player->state != PLAYER_RUNNING)
        return player->position_bytes;
    return player->position_bytes +
           usec_to_bytes(player, now_usec - min_u64(now_usec, player->position_usec));
}

uint64_t sndif_player_left_bytes(const struct sndif_player *player, uint64_t now_usec) {
    return player->write_bytes - min_u64(player->write_bytes, position_now(player, now_usec));
}

uint64_t sndif_player_heard_in_usec(const struct sndif_player *player, uint64_t now_usec) {
    uint64_t heard_usec = player->position_usec + player->latency_usec;

    if (player->write_bytes >= player->position_bytes) {
        heard_usec += bytes_to_usec(player, player->write_bytes - player->position_bytes);
    } else {
        const uint64_t behind_usec = bytes_to_usec(player, player->position_bytes - player->write_bytes);

        heard_usec -= min_u64(heard_usec, behind_usec);
    }
    return heard_usec - min_u64(heard_usec, now_usec);
}

void sndif_player_skip(struct sndif_player *player, uint64_t now_usec, uint64_t ahead_usec) {
    uint64_t start = position_now(player, now_usec) + usec_to_bytes(player, ahead_usec);

    /* the offset at which the last WRITE ended would mean that it is continued, too late */
    if (start % player->buffer_bytes == player->write_bytes % player->buffer_bytes)
        start += player->frame_bytes;
    player->write_bytes = start;
}

/* ---- samples ---- */

void *sndif_player_place(const struct sndif_player *player, uint64_t *length_bytes) {
    const uint64_t offset = player->write_bytes % player->buffer_bytes;

    *length_bytes = min_u64(*length_bytes, player->buffer_bytes - offset);
    return (uint8_t *) player->front->shbuf.data + offset;
}

bool sndif_player_wrote(struct sndif_player *player, uint32_t length_bytes) {
    struct xensnd_req req;

    memset(&req, 0, sizeof(req));
    req.operation = XENSND_OP_WRITE;
    req.op.rw.offset = (uint32_t) (player->write_bytes % player->buffer_bytes);
    req.op.rw.length = length_bytes;
    if (player->feature_rewind)
        memcpy((uint8_t *) &req + SNDIF_WRITE_POSITION_OFFSET, &player->write_bytes,
               sizeof(player->write_bytes));
    if (!sndif_frontend_request(player->front, &req))
        return false;

    player->write_bytes += length_bytes;
    update_deadline(player);
    return true;
}

void sndif_player_rewind(struct sndif_player *player, uint64_t length_bytes) {
    player->write_bytes -= min_u64(length_bytes, player->write_bytes);
}

void sndif_player_wake_at(struct sndif_player *player, uint64_t position_bytes) {
    player->wakeup_bytes = position_bytes;
    if (player->feature_wakeup)
        sndif_evt_front_set_wakeup(&player->front->events, position_bytes);
}

void sndif_player_wake_at_now(struct sndif_player *player, uint64_t position_bytes) {
    if (player->wakeup_bytes == position_bytes)
        return;

    sndif_player_wake_at(player, position_bytes);
    if (player->feature_wakeup)
        xen_io_evtchn_notify(&player->front->evtchn, player->front->request_port);
}

void sndif_player_wake_when_heard(struct sndif_player *player) {
    sndif_player_wake_at_now(player, player->write_bytes);
}

bool sndif_player_all_heard(const struct sndif_player *player) {
    return player->position_bytes >= player->write_bytes;
}
