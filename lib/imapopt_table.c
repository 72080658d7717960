/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imapopt_table -- the option of a name
 *
 * lib/imapoptions keeps its two parts, the options of Cyrus and our own, in byte
 * order (imapoptions.awk insists), so each is searched by halves.
 */
#include <config.h>

#include "imapopt_table.h"

#include "util.h"

/* Between lo (included) and hi (excluded). */
static enum imapopt search(const char *name, size_t len, unsigned lo, unsigned hi)
{
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        int c = memcmp_len(name, len, imapopts[mid].name, strlen(imapopts[mid].name));
        if (!c) return (enum imapopt)mid;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return IMAPOPT_ZERO;
}

enum imapopt imapopt_byname(const char *name, size_t len)
{
    static unsigned first_own;

    if (!first_own) {
        first_own = 1;
        while (first_own < IMAPOPT_LAST && !imapopts[first_own].own) first_own++;
    }
    enum imapopt opt = search(name, len, 1, first_own);
    return opt ? opt : search(name, len, first_own, IMAPOPT_LAST);
}
