/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dlists: from a stream and from memory, with and without names; what was read must be
 * read again after it was printed, and be printed the same. Items that are handed over one by one
 * must be those that the tree has. Then the scanner of records.
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

static void take(void *rock, struct dlist **itemp)
{
    dlist_stitch(rock, *itemp);
    *itemp = NULL;
}

/* The line with its RECORD handed over item by item, and put together again. */
static int read_items(struct protstream *in, struct dlist_parseopts opts, struct dlist **dlp)
{
    struct dlist *taken = dlist_newlist(NULL, NULL), *at = NULL;
    struct dlist_itemsink items = { "RECORD", take, taken };

    opts.items = &items;
    int r = dlist_parseline(in, &opts, dlp);
    if (!r && (*dlp)->type == DL_KVLIST) dlist_getlist(*dlp, "RECORD", &at);
    if (!r && taken->head && (!at || at->head)) abort();
    while (!r && taken->head) {
        struct dlist *item = taken->head;
        dlist_unstitch(taken, item);
        dlist_stitch(at, item);
    }
    dlist_free(&taken);
    return r;
}

static void from_stream(const uint8_t *data, size_t size, bool keys)
{
    const struct dlist_parseopts opts = { .parsekeys = keys,
                                          .maxliteral = 4096,
                                          .maxbytes = 100000 };
    struct protstream *in = prot_readmap((const char *)data, size);
    struct protstream *items = prot_readmap((const char *)data, size);
    struct dlist *dl = NULL, *same = NULL;
    int r = dlist_parseline(in, &opts, &dl);

    if (read_items(items, opts, &same) != r || prot_bytes(in) != prot_bytes(items)) abort();
    if (r && (dl || same)) abort();
    if (!r) {
        buf_reset(&first);
        buf_reset(&second);
        dlist_printbuf(dl, keys, &first);
        dlist_printbuf(same, keys, &second);
        if (!buf_equal(&first, &second)) abort();
    }
    dlist_free(&dl);
    dlist_free(&same);
    prot_free(in);
    prot_free(items);
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
