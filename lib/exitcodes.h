/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exitcodes -- what a program says when it ends (handbook 05 §3.0)
 *
 * The values are those of sysexits: 0 EX_OK, 64 EX_USAGE, 65 EX_DATAERR, 66 EX_NOINPUT,
 * 67 EX_NOUSER, 69 EX_UNAVAILABLE, 70 EX_SOFTWARE, 71 EX_OSERR, 73 EX_CANTCREAT,
 * 74 EX_IOERR, 75 EX_TEMPFAIL, 76 EX_PROTOCOL, 77 EX_NOPERM, 78 EX_CONFIG.
 */
#ifndef INCLUDED_EXITCODES_H
#define INCLUDED_EXITCODES_H

#include <sysexits.h>

/* Usage errors of the tools that end with exit(-1). */
#define EX_USAGE_OLD 255

/* Name of a code ("EX_CONFIG"), or "?". */
const char *exitcode_name(int code);

#endif
