/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_err -- texts of the error codes of the mail store
 */
#include <config.h>

#include "imap_err.h"

#include <stdio.h>
#include <string.h>

const char *error_message(int code)
{
    static const char *const texts[] = {
#define IMAP_ERR_TEXT(code, text) text,
        IMAP_ERR_TABLE(IMAP_ERR_TEXT)
#undef IMAP_ERR_TEXT
    };
    static _Thread_local char unknown[40];

    if (!code) return "Success";
    if (code > 0) return strerror(code);
    if (code > IMAP_ERR_BEFORE && code < IMAP_ERR_END) return texts[code - IMAP_ERR_BEFORE - 1];
    snprintf(unknown, sizeof(unknown), "Unknown code ____ %d", code);
    return unknown;
}
