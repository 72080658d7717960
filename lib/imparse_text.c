/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imparse_text -- tests on tokens that have been read
 *
 * What may be an atom is what 3.6.1 accepts: "]" and "}" pass (handbook 03 §1.6).
 * Pure functions; NULL is not allowed.
 */
#include <config.h>

#include <string.h>

#include "imparse.h"
#include "util.h"

static bool is_atomchar(char ch)
{
    unsigned char c = (unsigned char)ch;

    return c > 0x1f && c < 0x7f && !strchr(" {()\"%*\\", c);
}

bool imparse_isnatom(const char *s, size_t len)
{
    if (!len) return false;
    for (size_t i = 0; i < len; i++)
        if (!is_atomchar(s[i])) return false;
    return true;
}

bool imparse_isatom(const char *s)
{
    return imparse_isnatom(s, strlen(s));
}

/* '+' is an atom byte already, '*' is not. */
bool imparse_istag(const char *s)
{
    return imparse_isatom(s);
}

bool imparse_isnumber(const char *s)
{
    if (!*s) return false;
    for (; *s; s++)
        if (!cyr_isdigit(*s)) return false;
    return true;
}

/* Past a number or '*', or NULL. */
static const char *seq_number(const char *s)
{
    if (*s == '*') return s + 1;
    if (!cyr_isdigit(*s)) return NULL;
    while (cyr_isdigit(*s)) s++;
    return s;
}

bool imparse_issequence(const char *s)
{
    for (;;) {
        if (!(s = seq_number(s))) return false;
        if (*s == ':' && !(s = seq_number(s + 1))) return false;
        if (!*s) return true;
        if (*s++ != ',') return false;
    }
}

void imparse_cmdcase(char *s)
{
    lcase(s);
    if (*s) *s = cyr_toupper(*s);
}
