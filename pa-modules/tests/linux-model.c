/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "linux-model.h"

#include <errno.h>

static bool is_running(const struct linux_model *model) {
    return model->state == LINUX_RUNNING || model->state == LINUX_DRAINING;
}

static uint64_t avail_frames(const struct linux_model *model) {
    if (model->is_capture)
        return model->hw_ptr_frames - model->appl_ptr_frames;
    return model->hw_ptr_frames + model->driver.hw.buffer_frames - model->appl_ptr_frames;
}

/* Who waits looks again. */
static void set_state(struct linux_model *model, enum linux_state state) {
    model->state = state;
    model->wakeups++;
}

/* ---- the pointer ---- */

static void stop_running(struct linux_model *model, enum linux_state state) {
    linux_driver_trigger(&model->driver, XENSND_OP_TRIGGER_STOP);
    set_state(model, state);
}

/* The end of a drain, an underrun or overrun, or enough for who waits. */
static void update_state(struct linux_model *model) {
    uint64_t avail = avail_frames(model);

    if (model->state == LINUX_DRAINING && avail >= model->driver.hw.buffer_frames) {
        stop_running(model, LINUX_SETUP);
    } else if (model->state != LINUX_DRAINING && avail >= model->stop_frames) {
        model->xruns++;
        stop_running(model, LINUX_XRUN);
    } else if (avail >= model->avail_min_frames) {
        model->wakeups++;
    }
}

/*
 * A pointer behind the last one has begun another lap. One that has not moved changes nothing, not even the
 * state.
 */
static void update_hw_ptr(struct linux_model *model) {
    uint64_t new_frames = model->hw_base_frames + model->driver.hw_ptr_frames;

    if (new_frames < model->hw_ptr_frames) {
        model->hw_base_frames += model->driver.hw.buffer_frames;
        new_frames = model->hw_base_frames + model->driver.hw_ptr_frames;
    }
    if (new_frames == model->hw_ptr_frames)
        return;
    model->hw_ptr_frames = new_frames;
    update_state(model);
}

static void period_elapsed(void *userdata) {
    struct linux_model *model = userdata;

    if (is_running(model))
        update_hw_ptr(model);
}

/* ---- waiting ---- */

int linux_model_poll(struct linux_model *model, int timeout_ms) {
    return linux_driver_poll(&model->driver, timeout_ms);
}

/* Lets the driver handle what came while a call was under way. */
static void settle(struct linux_model *model) {
    while (linux_model_poll(model, 0) > 0)
        continue;
}

static int64_t wait_limit_ms(const struct linux_model *model) {
    int64_t buffer_ms = (int64_t) model->driver.hw.buffer_frames * 1100 / model->driver.hw.rate;

    return buffer_ms > 100 ? buffer_ms : 100;
}

/* Waits for one wake-up. -EIO when none comes in time. */
static int wait_for_wakeup(struct linux_model *model) {
    int64_t end_ms = linux_now_ms() + wait_limit_ms(model);
    unsigned before = model->wakeups;

    while (model->wakeups == before) {
        int64_t left_ms = end_ms - linux_now_ms();
        int r = left_ms > 0 ? linux_model_poll(model, (int) left_ms) : -EIO;

        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the life of a stream ---- */

int linux_model_connect(struct linux_model *model, uint32_t backend_domid) {
    *model = (struct linux_model) {.state = LINUX_CLOSED};
    return linux_driver_connect(&model->driver, backend_domid);
}

void linux_model_disconnect(struct linux_model *model) {
    linux_model_close(model);
    linux_driver_disconnect(&model->driver);
}

int linux_model_open(struct linux_model *model) {
    if (model->state != LINUX_CLOSED)
        return -EBUSY;
    model->driver.period_elapsed = period_elapsed;
    model->driver.userdata = model;
    linux_driver_open(&model->driver);
    set_state(model, LINUX_OPEN);
    model->is_capture = false;
    settle(model); /* what a closed device left in the page */
    return 0;
}

int linux_model_open_capture(struct linux_model *model) {
    int r = linux_model_open(model);

    model->is_capture = r == 0;
    return r;
}

/* Five rules: formats, rates, channels, buffer and period, each with what the ones before have left. */
static int query_rules(struct linux_model *model, const struct linux_hw *hw) {
    struct xensnd_query_hw_param param = {
        .formats = UINT64_C(1) << hw->format,
        .rates = {hw->rate, hw->rate},
        .channels = {hw->channels, hw->channels},
        .buffer = {hw->buffer_frames, hw->buffer_frames},
        .period = {hw->period_frames, hw->period_frames},
    };
    const struct xensnd_query_hw_param wanted = param;

    for (int rule = 0; rule < 5; rule++) {
        int r = linux_driver_query(&model->driver, &param);

        if (r != 0)
            return r < 0 ? r : -EPROTO;
    }
    return memcmp(&param, &wanted, sizeof(param)) == 0 ? 0 : -EINVAL;
}

int linux_model_hw_params(struct linux_model *model, const struct linux_hw *hw) {
    int r;

    if (model->state != LINUX_OPEN && model->state != LINUX_SETUP && model->state != LINUX_PREPARED)
        return -EBADFD;
    r = query_rules(model, hw);
    if (r == 0)
        r = linux_driver_hw_params(&model->driver, hw);
    settle(model);
    if (r < 0)
        return r;
    model->start_frames = hw->buffer_frames;
    model->stop_frames = hw->buffer_frames;
    model->avail_min_frames = hw->period_frames;
    set_state(model, LINUX_SETUP);
    return 0;
}

/* ALSA counts from 0 again; the driver's pointer stays where it was. */
int linux_model_prepare(struct linux_model *model) {
    int r;

    if (model->state == LINUX_CLOSED || model->state == LINUX_OPEN)
        return -EBADFD;
    if (is_running(model))
        return -EBUSY;
    r = linux_driver_prepare(&model->driver);
    if (r < 0)
        return r;
    model->hw_base_frames = model->hw_ptr_frames = model->appl_ptr_frames = 0;
    set_state(model, LINUX_PREPARED);
    settle(model);
    return 0;
}

static int start_as(struct linux_model *model, enum linux_state state) {
    int r;

    if (model->state != LINUX_PREPARED)
        return -EBADFD;
    if (!model->is_capture && model->appl_ptr_frames == model->hw_ptr_frames)
        return -EPIPE;
    r = linux_driver_trigger(&model->driver, XENSND_OP_TRIGGER_START);
    if (r < 0)
        return r;
    set_state(model, state);
    settle(model);
    return 0;
}

int linux_model_start(struct linux_model *model) {
    return start_as(model, LINUX_RUNNING);
}

int linux_model_stop(struct linux_model *model) {
    if (model->state == LINUX_CLOSED || model->state == LINUX_OPEN)
        return -EBADFD;
    if (is_running(model))
        stop_running(model, LINUX_SETUP);
    else
        set_state(model, LINUX_SETUP);
    settle(model);
    return 0;
}

int linux_model_pause(struct linux_model *model) {
    int r;

    if (!is_running(model))
        return -EBADFD;
    r = linux_driver_trigger(&model->driver, XENSND_OP_TRIGGER_PAUSE);
    if (r < 0)
        return r;
    set_state(model, LINUX_SUSPENDED);
    settle(model);
    return 0;
}

int linux_model_hw_free(struct linux_model *model) {
    int r;

    if (model->state != LINUX_SETUP && model->state != LINUX_PREPARED)
        return -EBADFD;
    r = linux_driver_hw_free(&model->driver);
    set_state(model, LINUX_OPEN);
    settle(model);
    return r;
}

int linux_model_close(struct linux_model *model) {
    int r = 0;

    if (model->state == LINUX_CLOSED)
        return -EBADFD;
    if (model->state != LINUX_OPEN) {
        linux_model_stop(model);
        r = linux_model_hw_free(model);
    }
    linux_driver_close(&model->driver);
    set_state(model, LINUX_CLOSED);
    return r;
}

/* ---- data ---- */

static int check_running(const struct linux_model *model) {
    switch (model->state) {
        case LINUX_PREPARED:
        case LINUX_RUNNING:
            return 0;
        case LINUX_XRUN:
            return -EPIPE;
        case LINUX_SUSPENDED:
            return -ESTRPIPE;
        default:
            return -EBADFD;
    }
}

int64_t linux_model_avail(struct linux_model *model) {
    int r;

    settle(model);
    if (model->state == LINUX_RUNNING)
        update_hw_ptr(model);
    r = check_running(model);
    return r < 0 ? r : (int64_t) avail_frames(model);
}

/* Waits until there is as much as is left to do, or as much as wakes a program. */
static int wait_for_avail(struct linux_model *model, uint32_t left_frames) {
    uint64_t enough = left_frames < model->avail_min_frames ? left_frames : model->avail_min_frames;

    while (avail_frames(model) < enough) {
        int r = wait_for_wakeup(model);

        if (r == 0)
            r = check_running(model);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Writes `from`, or reads `to`, as far as there is room or data, without passing the end of the buffer. The
 * frames done, or a negative errno. */
static int64_t transfer_chunk(struct linux_model *model, const void *from, void *to, uint32_t left_frames) {
    int64_t frames = linux_model_avail(model);
    uint32_t offset_frames, end_frames;
    int r = 0;

    if (frames == 0) {
        r = wait_for_avail(model, left_frames);
        frames = r < 0 ? r : (int64_t) avail_frames(model);
    }
    if (frames < 0)
        return frames;
    offset_frames = (uint32_t) (model->appl_ptr_frames % model->driver.hw.buffer_frames);
    end_frames = model->driver.hw.buffer_frames - offset_frames;
    frames = frames < left_frames ? frames : left_frames;
    frames = frames < end_frames ? frames : end_frames;
    r = to ? linux_driver_read(&model->driver, offset_frames, to, (uint32_t) frames)
           : linux_driver_write(&model->driver, offset_frames, from, (uint32_t) frames);
    if (r < 0)
        return r;
    model->appl_ptr_frames += (uint64_t) frames;
    return frames;
}

int64_t linux_model_write(struct linux_model *model, const void *data, uint32_t frames) {
    uint32_t done = 0;
    int64_t r = 0;

    while (done < frames) {
        r = transfer_chunk(model, (const char *) data + (size_t) done * model->driver.frame_bytes, NULL,
                           frames - done);
        if (r < 0)
            break;
        done += (uint32_t) r;
        /* The data go before the START they cause. */
        if (model->state == LINUX_PREPARED &&
            model->appl_ptr_frames - model->hw_ptr_frames >= model->start_frames &&
            (r = linux_model_start(model)) < 0)
            break;
    }
    settle(model);
    return done > 0 ? (int64_t) done : r;
}

int64_t linux_model_read(struct linux_model *model, void *data, uint32_t frames) {
    int64_t r = model->state == LINUX_PREPARED ? linux_model_start(model) : 0;
    uint32_t done = 0;

    while (r >= 0 && done < frames) {
        r = transfer_chunk(model, NULL, (char *) data + (size_t) done * model->driver.frame_bytes,
                           frames - done);
        if (r >= 0)
            done += (uint32_t) r;
    }
    settle(model);
    return done > 0 ? (int64_t) done : r;
}

int linux_model_drain(struct linux_model *model) {
    int r = 0;

    if (model->state == LINUX_PREPARED && model->appl_ptr_frames > model->hw_ptr_frames)
        r = start_as(model, LINUX_DRAINING);
    else if (model->state == LINUX_RUNNING)
        set_state(model, LINUX_DRAINING);
    else if (model->state == LINUX_PREPARED || model->state == LINUX_XRUN)
        set_state(model, LINUX_SETUP);
    else if (model->state != LINUX_SETUP)
        return model->state == LINUX_SUSPENDED ? -ESTRPIPE : -EBADFD;
    while (r == 0 && model->state == LINUX_DRAINING)
        r = wait_for_wakeup(model);
    if (r < 0 && is_running(model))
        stop_running(model, LINUX_SETUP);
    settle(model);
    return r;
}
