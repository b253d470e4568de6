/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_TESTS_LINUX_MODEL_H
#define XEN_AUDIO_TESTS_LINUX_MODEL_H

/*
 * A guest's program on ALSA on snd_xen_front, playing or recording: the rules of the ALSA core that a backend can
 * get wrong, on top of linux-driver.h. Not modelled: checks by the clock (jiffies), resume, mmap, a drain of a
 * recording.
 *
 *     fake_xen_set_domain(5);
 *     linux_model_connect(&model, 0);     model.driver.transport is what the backend gets
 *     linux_model_open(&model);
 *     linux_model_hw_params(&model, &hw); linux_model_prepare(&model);
 *     linux_model_write(&model, data, frames) ...
 *     linux_model_drain(&model);          or, after linux_model_open_capture, linux_model_read(&model, data, frames) ...
 *     linux_model_close(&model); linux_model_disconnect(&model);
 *
 * The calls of one model are made by one thread, and give 0 or a negative errno as ALSA would.
 */

#include "linux-driver.h"

enum linux_state {
    LINUX_CLOSED,
    LINUX_OPEN,
    LINUX_SETUP,
    LINUX_PREPARED,
    LINUX_RUNNING,
    LINUX_XRUN,
    LINUX_DRAINING,
    LINUX_SUSPENDED,
};

struct linux_model {
    struct linux_driver driver;
    enum linux_state state;
    bool is_capture;

    /* software parameters; hw_params sets those of aplay and arecord, and a caller may change them after it.
     * `avail` is free frames to be written, or captured frames to be read. */
    uint64_t start_frames; /* as many queued frames start the stream; the buffer. A read starts it at once */
    uint64_t stop_frames;  /* so much avail is an underrun or overrun; the buffer. UINT64_MAX: none ever
                              (PulseAudio) */
    uint64_t avail_min_frames; /* so much avail wakes a waiting program; a period */

    /* since prepare; they do not wrap */
    uint64_t appl_ptr_frames, hw_ptr_frames;
    uint64_t hw_base_frames; /* hw_ptr at the start of the driver's lap of the buffer */

    unsigned xruns;
    unsigned wakeups; /* of a program that waits: enough avail, or a change of state */
};

/*
 * Opens handles and grants pages for the calling thread's domain; then the backend connects with
 * driver.transport.
 */
int linux_model_connect(struct linux_model *model, uint32_t backend_domid);
/* Closes too, if open; safe after a failed connect. */
void linux_model_disconnect(struct linux_model *model);

int linux_model_open(struct linux_model *model);
/* The same for a capture device. */
int linux_model_open_capture(struct linux_model *model);
/*
 * Asks HW_PARAM_QUERY as the driver's five rules do, then allocates. -EINVAL when hw is not in the answers.
 */
int linux_model_hw_params(struct linux_model *model, const struct linux_hw *hw);
int linux_model_prepare(struct linux_model *model);
int linux_model_start(struct linux_model *model);
/*
 * Writes all frames, waiting for room. The frames written, or if none -EPIPE after an underrun, -ESTRPIPE
 * while suspended, -EIO without a wake-up in time, or what the backend answered.
 */
int64_t linux_model_write(struct linux_model *model, const void *data, uint32_t frames);
/* Reads all frames, waiting for them; starts the stream. As linux_model_write; -EPIPE after an overrun. */
int64_t linux_model_read(struct linux_model *model, void *data, uint32_t frames);
/* The frames that can be written, or read, now without waiting; -EPIPE after an underrun or overrun. */
int64_t linux_model_avail(struct linux_model *model);
/* snd_pcm_drop. */
int linux_model_stop(struct linux_model *model);
/* Waits until all has been heard. -EIO without a wake-up for max(100 ms, 1.1 times the buffer). */
int linux_model_drain(struct linux_model *model);
/* A suspend of the guest: TRIGGER PAUSE. There is no resume: prepare, write, start. */
int linux_model_pause(struct linux_model *model);
int linux_model_hw_free(struct linux_model *model);
int linux_model_close(struct linux_model *model);

/*
 * Lets the driver handle what has fired, or waits for it. 1: something was handled, 0: nothing came in time.
 */
int linux_model_poll(struct linux_model *model, int timeout_ms);

#endif
