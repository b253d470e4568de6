/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef XEN_AUDIO_XEN_PA_UTIL_H
#define XEN_AUDIO_XEN_PA_UTIL_H

/* What the PulseAudio modules share: formats of both worlds, and arguments with errors that teach. */

#include <pulse/sample.h>
#include <pulsecore/modargs.h>

#include "sndif-format.h"

/* PA_SAMPLE_INVALID for an id PulseAudio cannot carry. */
pa_sample_format_t xen_pa_format_from_sndif(unsigned id);
/* NULL for a format sndif has no name for. */
const struct sndif_format *xen_pa_format_to_sndif(pa_sample_format_t format);

/* Reads a number from min to max into *value, which keeps its default when the argument is absent. -1 after
 * logging what was wrong. */
int xen_pa_get_number(pa_modargs *ma, const char *name, uint32_t min, uint32_t max, uint32_t *value);
/* The same for an argument that must be there. */
int xen_pa_need_number(pa_modargs *ma, const char *name, uint32_t min, uint32_t max, uint32_t *value);

#endif
