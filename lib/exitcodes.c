/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exitcodes -- names of the sysexits
 */
#include <config.h>

#include "exitcodes.h"

#include <stddef.h>

#include "util.h"

static const struct {
    int code;
    const char *name;
} names[] = {
    { EX_OK, "EX_OK" },
    { EX_USAGE, "EX_USAGE" },
    { EX_DATAERR, "EX_DATAERR" },
    { EX_NOINPUT, "EX_NOINPUT" },
    { EX_NOUSER, "EX_NOUSER" },
    { EX_NOHOST, "EX_NOHOST" },
    { EX_UNAVAILABLE, "EX_UNAVAILABLE" },
    { EX_SOFTWARE, "EX_SOFTWARE" },
    { EX_OSERR, "EX_OSERR" },
    { EX_OSFILE, "EX_OSFILE" },
    { EX_CANTCREAT, "EX_CANTCREAT" },
    { EX_IOERR, "EX_IOERR" },
    { EX_TEMPFAIL, "EX_TEMPFAIL" },
    { EX_PROTOCOL, "EX_PROTOCOL" },
    { EX_NOPERM, "EX_NOPERM" },
    { EX_CONFIG, "EX_CONFIG" },
};

const char *exitcode_name(int code)
{
    for (size_t i = 0; i < array_size(names); i++)
        if (names[i].code == code) return names[i].name;
    return "?";
}
