/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-session.h"

uint64_t sndif_session_usec_to_bytes(const struct sndif_session *session, uint64_t usec) {
    return usec * session->rate / 1000000u * session->frame_bytes;
}

uint64_t sndif_session_bytes_to_usec(const struct sndif_session *session, uint64_t bytes) {
    return bytes / session->frame_bytes * 1000000u / session->rate;
}

void sndif_session_fail(struct sndif_session *session, const char *failure, int status) {
    session->state = SESSION_FAILED;
    session->failure = failure;
    session->failure_status = status;
}

void sndif_session_init(struct sndif_session *session, struct sndif_frontend *front,
                        const struct sndif_format *format, uint32_t rate, uint32_t channels) {
    memset(session, 0, sizeof(*session));
    session->front = front;
    session->format = format;
    session->rate = rate;
    session->channels = channels;
    session->frame_bytes = format->sample_bytes * channels;
    session->buffer_bytes = front->buffer_bytes - front->buffer_bytes % session->frame_bytes;
    session->period_bytes = session->buffer_bytes / session->frame_bytes / 8 * session->frame_bytes;
}

/* ---- requests ---- */

static void ask(struct sndif_session *session, struct xensnd_req *req, enum sndif_session_state next_state,
                const char *what, uint64_t now_usec) {
    if (!sndif_frontend_request(session->front, req)) {
        sndif_session_fail(session, "the request ring is full", 0);
        return;
    }
    session->asked_id = req->id;
    session->state = SESSION_ASKING;
    session->next_state = next_state;
    session->failure = what;
    session->deadline_usec = now_usec + SNDIF_SESSION_LIMIT_USEC;
}

void sndif_session_query(struct sndif_session *session, uint64_t now_usec) {
    struct xensnd_req req;

    memset(&req, 0, sizeof(req));
    req.operation = XENSND_OP_HW_PARAM_QUERY;
    req.op.hw_param.formats = UINT64_C(1) << session->format->id;
    req.op.hw_param.rates.min = req.op.hw_param.rates.max = session->rate;
    req.op.hw_param.channels.min = req.op.hw_param.channels.max = session->channels;
    req.op.hw_param.buffer.min = req.op.hw_param.buffer.max = session->buffer_bytes / session->frame_bytes;
    req.op.hw_param.period.max = req.op.hw_param.buffer.max;
    ask(session, &req, SESSION_CLOSED, "HW_PARAM_QUERY", now_usec);
}

void sndif_session_open(struct sndif_session *session, uint64_t now_usec) {
    struct xensnd_req req;

    memset(&req, 0, sizeof(req));
    req.operation = XENSND_OP_OPEN;
    req.op.open.pcm_rate = session->rate;
    req.op.open.pcm_format = session->format->id;
    req.op.open.pcm_channels = (uint8_t) session->channels;
    req.op.open.buffer_sz = session->buffer_bytes;
    req.op.open.gref_directory = session->front->shbuf.gref_directory;
    req.op.open.period_sz = session->feature_wakeup ? 0 : session->period_bytes;
    session->next_bytes = session->due_bytes = session->wakeup_bytes = 0;
    session->position_bytes = session->latency_usec = 0;
    sndif_evt_front_set_wakeup(&session->front->events, 0);
    ask(session, &req, SESSION_OPEN, "OPEN", now_usec);
}

static void trigger(struct sndif_session *session, uint8_t type, enum sndif_session_state next_state,
                    const char *what, uint64_t now_usec) {
    struct xensnd_req req;

    memset(&req, 0, sizeof(req));
    req.operation = XENSND_OP_TRIGGER;
    req.op.trigger.type = type;
    ask(session, &req, next_state, what, now_usec);
}

void sndif_session_start(struct sndif_session *session, uint64_t now_usec) {
    session->position_usec = now_usec;
    trigger(session, XENSND_OP_TRIGGER_START, SESSION_RUNNING, "TRIGGER START", now_usec);
}

void sndif_session_stop(struct sndif_session *session, uint64_t now_usec) {
    trigger(session, XENSND_OP_TRIGGER_STOP, SESSION_OPEN, "TRIGGER STOP", now_usec);
}

void sndif_session_close(struct sndif_session *session, uint64_t now_usec) {
    struct xensnd_req req;

    memset(&req, 0, sizeof(req));
    req.operation = XENSND_OP_CLOSE;
    ask(session, &req, SESSION_CLOSED, "CLOSE", now_usec);
}

bool sndif_session_transfer(struct sndif_session *session, uint8_t operation, uint32_t length_bytes,
                            uint16_t *id) {
    struct xensnd_req req;

    memset(&req, 0, sizeof(req));
    req.operation = operation;
    req.op.rw.offset = (uint32_t) (session->next_bytes % session->buffer_bytes);
    req.op.rw.length = length_bytes;
    if (session->feature_rewind)
        memcpy((uint8_t *) &req + SNDIF_WRITE_POSITION_OFFSET, &session->next_bytes,
               sizeof(session->next_bytes));
    if (!sndif_frontend_request(session->front, &req))
        return false;

    *id = req.id;
    session->next_bytes += length_bytes;
    return true;
}

/* ---- answers and events ---- */

static void update_deadline(struct sndif_session *session) {
    if (session->state == SESSION_RUNNING)
        session->deadline_usec =
            session->position_usec + SNDIF_SESSION_LIMIT_USEC +
            sndif_session_bytes_to_usec(session, session->due_bytes -
                                                     min_u64(session->due_bytes, session->position_bytes));
}

void sndif_session_expect(struct sndif_session *session, uint64_t due_bytes) {
    session->due_bytes = due_bytes;
    update_deadline(session);
}

static void take_events(struct sndif_session *session, uint64_t now_usec) {
    struct sndif_cur_pos pos;
    enum sndif_ring_result got;

    while ((got = sndif_frontend_event(session->front, &pos)) == SNDIF_RING_GOT) {
        if (pos.position_bytes < session->position_bytes || pos.position_bytes % session->frame_bytes != 0)
            continue; /* of an earlier OPEN, or nonsense */
        session->position_bytes = pos.position_bytes;
        session->position_usec = now_usec;
        session->latency_usec = session->feature_latency ? pos.latency_usec : 0;
        update_deadline(session);
    }
    if (got == SNDIF_RING_BROKEN)
        sndif_session_fail(session, "the backend's event page makes no sense", 0);
}

/* To the request that was asked last. */
static void take_answer(struct sndif_session *session, const struct xensnd_resp *resp, uint64_t now_usec) {
    const bool stopped = resp->operation == XENSND_OP_TRIGGER && session->next_state == SESSION_OPEN;

    /* all that came before the answer; after STOP the last says where offset 0 is now */
    take_events(session, now_usec);
    if (session->state == SESSION_FAILED)
        return;
    session->state = session->next_state;
    if (stopped)
        session->next_bytes = session->position_bytes;
    if (session->state == SESSION_RUNNING)
        session->position_usec = now_usec;
    update_deadline(session);
}

static bool is_transfer(const struct xensnd_resp *resp) {
    return resp->operation == XENSND_OP_READ || resp->operation == XENSND_OP_WRITE;
}

static const char *name_of(const struct sndif_session *session, const struct xensnd_resp *resp) {
    if (session->state == SESSION_ASKING && resp->id == session->asked_id)
        return session->failure;
    return resp->operation == XENSND_OP_READ ? "READ" : "WRITE";
}

bool sndif_session_take(struct sndif_session *session, struct xensnd_resp *resp, uint64_t now_usec) {
    enum sndif_ring_result got;

    take_events(session, now_usec);
    while ((got = sndif_frontend_response(session->front, resp)) == SNDIF_RING_GOT) {
        if (resp->status < 0)
            sndif_session_fail(session, name_of(session, resp), resp->status);
        else if (session->state == SESSION_ASKING && resp->id == session->asked_id)
            take_answer(session, resp, now_usec);
        else if (is_transfer(resp))
            return true;
    }
    if (got == SNDIF_RING_BROKEN)
        sndif_session_fail(session, "the backend's response index is impossible", 0);

    if (session->state == SESSION_ASKING && now_usec > session->deadline_usec)
        sndif_session_fail(session, session->failure, -XEN_ETIMEDOUT);
    else if (session->state == SESSION_RUNNING && now_usec > session->deadline_usec)
        sndif_session_fail(session, "waiting for a position event", -XEN_ETIMEDOUT);
    return false;
}

/* ---- memory ---- */

uint64_t sndif_session_piece(const struct sndif_session *session, uint64_t position_bytes,
                             uint64_t length_bytes) {
    return min_u64(length_bytes, session->buffer_bytes - position_bytes % session->buffer_bytes);
}

void *sndif_session_memory(const struct sndif_session *session, uint64_t position_bytes) {
    return (uint8_t *) session->front->shbuf.data + position_bytes % session->buffer_bytes;
}

/* ---- wake-ups and positions ---- */

void sndif_session_wake_at(struct sndif_session *session, uint64_t position_bytes) {
    session->wakeup_bytes = position_bytes;
    if (session->feature_wakeup)
        sndif_evt_front_set_wakeup(&session->front->events, position_bytes);
}

void sndif_session_wake_at_now(struct sndif_session *session, uint64_t position_bytes) {
    if (session->wakeup_bytes == position_bytes)
        return;

    sndif_session_wake_at(session, position_bytes);
    if (session->feature_wakeup)
        xen_io_evtchn_notify(&session->front->evtchn, session->front->request_port);
}

uint64_t sndif_session_position(const struct sndif_session *session, uint64_t now_usec) {
    if (session->state != SESSION_RUNNING)
        return session->position_bytes;
    return session->position_bytes +
           sndif_session_usec_to_bytes(session, now_usec - min_u64(now_usec, session->position_usec));
}
