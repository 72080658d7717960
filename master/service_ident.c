/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service_ident -- which entry of cyrus.conf this process belongs to
 *
 * Below the services themselves, so that the conversations of floor 5 can name it in
 * logs and proc files, whichever program they run in.
 */
#include <config.h>

#include <stdlib.h>

#include "libconfig.h"
#include "service.h"
#include "util.h"

const char *service_name(void)
{
    const char *name = getenv("CYRUS_SERVICE");

    if (name && *name) return name;
    return config_ident ? config_ident : "";
}

unsigned service_id(void)
{
    const char *id = getenv("CYRUS_ID");
    uint32_t n;

    return id && !parse_u32_cstr(id, &n) ? n : 0;
}
