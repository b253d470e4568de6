/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sndif-margin.h"

#include "sndif-minmax.h"

/* A pull that leaves less than this was nearly an underrun. */
#define SLACK_LOW_USEC 1000u
/* One that leaves more than this leaves more than it must. */
#define SLACK_ENOUGH_USEC 1500u
#define STEP_USEC 1000u
#define FIRST_USEC 500u
#define MOST_USEC 40000u
#define PATIENCE_LEAST_USEC 4000000u
#define PATIENCE_MOST_USEC 64000000u
/* A frontend that writes so late has stopped by itself; no margin would help. */
#define LATE_BY_CHOICE_USEC 200000u

static void look_again_later(struct sndif_margin *margin, uint64_t now_usec) {
    margin->least_slack_usec = UINT64_MAX;
    margin->look_at_usec = now_usec + margin->patience_usec;
}

void sndif_margin_start(struct sndif_margin *margin, uint64_t now_usec) {
    if (margin->patience_usec == 0) {
        margin->patience_usec = PATIENCE_LEAST_USEC;
        margin->goal_usec = FIRST_USEC;
    }
    margin->grown_at_usec = now_usec;
    margin->judged_at_usec = now_usec;
    look_again_later(margin, now_usec);
}

static void raise_goal(struct sndif_margin *margin) {
    if (margin->usec < margin->goal_usec)
        return; /* while it grows, what is missing is known already */

    if (margin->lowered)
        margin->patience_usec = min_u64(2 * margin->patience_usec, PATIENCE_MOST_USEC);
    margin->lowered = false;
    margin->goal_usec = min_u64(margin->usec + max_u64(STEP_USEC, margin->usec / 2), MOST_USEC);
}

static void lower(struct sndif_margin *margin) {
    const uint64_t least_usec = margin->least_slack_usec == UINT64_MAX ? 0 : margin->least_slack_usec;
    const uint64_t spare_usec = least_usec - min_u64(least_usec, SLACK_ENOUGH_USEC);
    const uint64_t lower_usec = margin->usec - min_u64(margin->usec, spare_usec);

    margin->lowered = margin->lowered || lower_usec < margin->usec;
    margin->usec = margin->goal_usec = lower_usec;
}

void sndif_margin_judge(struct sndif_margin *margin, uint64_t slack_usec, uint64_t now_usec) {
    const bool by_choice = now_usec >= margin->judged_at_usec + LATE_BY_CHOICE_USEC;

    margin->judged_at_usec = now_usec;
    if (by_choice)
        return;
    if (slack_usec < SLACK_LOW_USEC) {
        raise_goal(margin);
        look_again_later(margin, now_usec);
        return;
    }
    margin->least_slack_usec = min_u64(margin->least_slack_usec, slack_usec);
    if (now_usec >= margin->look_at_usec) {
        lower(margin);
        look_again_later(margin, now_usec);
    }
}

/* The position gets a quarter faster than time passes. */
void sndif_margin_grow(struct sndif_margin *margin, uint64_t now_usec) {
    const uint64_t growth_usec = (now_usec - min_u64(now_usec, margin->grown_at_usec)) / 4;

    if (growth_usec > 0 || margin->usec == margin->goal_usec)
        margin->grown_at_usec = now_usec;
    margin->usec = min_u64(margin->usec + growth_usec, margin->goal_usec);
}
