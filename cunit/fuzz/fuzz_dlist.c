/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dlists: from a stream and from memory, with and without names; what was read must be
 * read again after it was printed, and be printed the same. Then the scanner of records.
 */
#include <config.h>

#include <stdlib.h>

#include "buf.h"
#include "dlist.h"
#include "dlist_scan.h"
#include "fuzz.h"
#include "prot.h"

static struct buf first, second;

static void round_trip(const struct dlist *dl, bool keys)
{
    struct dlist *again = NULL;

    buf_reset(&first);
    buf_reset(&second);
    dlist_printbuf(dl, keys, &first);
    if (dlist_parsemap(&again, keys, first.s, first.len)) abort();
    dlist_printbuf(again, keys, &second);
    if (!buf_equal(&first, &second)) abort();
    dlist_free(&again);
}

static void from_stream(const uint8_t *data, size_t size, bool keys)
{
    const struct dlist_parseopts opts = { .parsekeys = keys,
                                          .maxliteral = 4096,
                                          .maxbytes = 100000 };
    struct protstream *in = prot_readmap((const char *)data, size);
    struct dlist *dl = NULL;

    if (!dlist_parseline(in, &opts, &dl)) {
        dlist_free(&dl);
    }
    else if (dl) {
        abort();
    }
    prot_free(in);
}

void fuzz_dlist(const uint8_t *data, size_t size)
{
    struct dlist *dl = NULL;
    struct dlist_scan sc;
    enum dlist_token t;

    for (int keys = 0; keys < 2; keys++) {
        from_stream(data, size, keys);
        if (dlist_parsemap(&dl, keys, (const char *)data, size)) {
            if (dl) abort();
            continue;
        }
        round_trip(dl, keys);
        dlist_free(&dl);
    }
    dlist_scan_init(&sc, (const char *)data, size);
    while (!sc.failed && sc.p < sc.end) {
        const char *before = sc.p;
        t = dlist_scan_next(&sc);
        if (t != DLS_CLOSE && !dlist_scan_skip(&sc, t)) break;
        if (sc.p == before) break;
    }
    dlist_scan_fini(&sc);
}
