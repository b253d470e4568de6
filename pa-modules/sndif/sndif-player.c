/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-player.h"

void sndif_player_process(struct sndif_player *player, uint64_t now_usec) {
    struct xensnd_resp written;

    while (sndif_session_take(&player->session, &written, now_usec))
        ; /* a WRITE that was taken needs nothing more */
}

/* ---- positions ---- */

uint64_t sndif_player_left_bytes(const struct sndif_player *player, uint64_t now_usec) {
    const struct sndif_session *s = &player->session;

    return s->next_bytes - min_u64(s->next_bytes, sndif_session_position(s, now_usec));
}

uint64_t sndif_player_heard_in_usec(const struct sndif_player *player, uint64_t now_usec) {
    const struct sndif_session *s = &player->session;
    uint64_t heard_usec = s->position_usec + s->latency_usec;

    if (s->next_bytes >= s->position_bytes)
        heard_usec += sndif_session_bytes_to_usec(s, s->next_bytes - s->position_bytes);
    else
        heard_usec -= min_u64(heard_usec, sndif_session_bytes_to_usec(s, s->position_bytes - s->next_bytes));
    return heard_usec - min_u64(heard_usec, now_usec);
}

void sndif_player_skip(struct sndif_player *player, uint64_t now_usec, uint64_t ahead_usec) {
    struct sndif_session *s = &player->session;
    uint64_t start = sndif_session_position(s, now_usec) + sndif_session_usec_to_bytes(s, ahead_usec);

    /* the offset at which the last WRITE ended would mean that it is continued, too late */
    if (start % s->buffer_bytes == s->next_bytes % s->buffer_bytes)
        start += s->frame_bytes;
    s->next_bytes = start;
}

/* ---- samples ---- */

void *sndif_player_place(const struct sndif_player *player, uint64_t *length_bytes) {
    const struct sndif_session *s = &player->session;

    *length_bytes = sndif_session_piece(s, s->next_bytes, *length_bytes);
    return sndif_session_memory(s, s->next_bytes);
}

bool sndif_player_wrote(struct sndif_player *player, uint32_t length_bytes) {
    struct sndif_session *s = &player->session;
    uint16_t id;

    if (!sndif_session_transfer(s, XENSND_OP_WRITE, length_bytes, &id))
        return false;

    sndif_session_expect(s, s->next_bytes); /* an event is due before everything written has been played */
    return true;
}

void sndif_player_rewind(struct sndif_player *player, uint64_t length_bytes) {
    player->session.next_bytes -= min_u64(length_bytes, player->session.next_bytes);
}

void sndif_player_wake_when_heard(struct sndif_player *player) {
    sndif_session_wake_at_now(&player->session, player->session.next_bytes);
}

bool sndif_player_all_heard(const struct sndif_player *player) {
    return player->session.position_bytes >= player->session.next_bytes;
}
