/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "xen-pa-util.h"

#include <pulsecore/core-util.h>
#include <pulsecore/log.h>
#include <pulsecore/macro.h>

#include "sndif-proto.h"

static const struct {
    uint8_t id;
    pa_sample_format_t format;
} formats[] = {
    {XENSND_PCM_FORMAT_U8, PA_SAMPLE_U8},
    {XENSND_PCM_FORMAT_S16_LE, PA_SAMPLE_S16LE},
    {XENSND_PCM_FORMAT_S16_BE, PA_SAMPLE_S16BE},
    {XENSND_PCM_FORMAT_S24_LE, PA_SAMPLE_S24_32LE},
    {XENSND_PCM_FORMAT_S24_BE, PA_SAMPLE_S24_32BE},
    {XENSND_PCM_FORMAT_S32_LE, PA_SAMPLE_S32LE},
    {XENSND_PCM_FORMAT_S32_BE, PA_SAMPLE_S32BE},
    {XENSND_PCM_FORMAT_F32_LE, PA_SAMPLE_FLOAT32LE},
    {XENSND_PCM_FORMAT_F32_BE, PA_SAMPLE_FLOAT32BE},
    {XENSND_PCM_FORMAT_MU_LAW, PA_SAMPLE_ULAW},
    {XENSND_PCM_FORMAT_A_LAW, PA_SAMPLE_ALAW},
};

pa_sample_format_t xen_pa_format_from_sndif(unsigned id) {
    for (unsigned i = 0; i < PA_ELEMENTSOF(formats); i++)
        if (formats[i].id == id)
            return formats[i].format;
    return PA_SAMPLE_INVALID;
}

const struct sndif_format *xen_pa_format_to_sndif(pa_sample_format_t format) {
    for (unsigned i = 0; i < PA_ELEMENTSOF(formats); i++)
        if (formats[i].format == format)
            return sndif_format_by_id(formats[i].id);
    return NULL;
}

int xen_pa_get_number(pa_modargs *ma, const char *name, uint32_t min, uint32_t max, uint32_t *value) {
    const char *text = pa_modargs_get_value(ma, name, NULL);
    uint32_t n;

    if (!text)
        return 0;
    if (text[0] < '0' || text[0] > '9' || pa_atou(text, &n) < 0 || n < min || n > max) {
        pa_log("%s=%s: expected a number from %u to %u.", name, text, min, max);
        return -1;
    }
    *value = n;
    return 0;
}

int xen_pa_need_number(pa_modargs *ma, const char *name, uint32_t min, uint32_t max, uint32_t *value) {
    if (!pa_modargs_get_value(ma, name, NULL)) {
        pa_log("%s= is missing: expected a number from %u to %u.", name, min, max);
        return -1;
    }
    return xen_pa_get_number(ma, name, min, max, value);
}
