/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sync protocol: lines of "GET ", "APPLY " or "RESTORE " and a dlist, as an admin
 * sends them to a replica, on a store of this process.
 */
#include <config.h>

#include <stdlib.h>

#include "fuzz.h"
#include "imparse.h"
#include "synccmd/synccmd.h"
#include "prot.h"

static bool verb_of(const char *word, enum synccmd_verb *verb)
{
    switch (*word) {
    case 'G': *verb = SYNCCMD_GET; return true;
    case 'A': *verb = SYNCCMD_APPLY; return true;
    case 'R': *verb = SYNCCMD_RESTORE; return true;
    }
    return false;
}

static void one_line(struct synccmd_session *session, enum synccmd_verb verb)
{
    struct dlist *dl = NULL;

    if (synccmd_parse(session, &dl)) {
        if (dl) abort();
        return;
    }
    if (!synccmd_status(synccmd_run(session, verb, dl))) abort();
    dlist_free(&dl);
}

void fuzz_sync(const uint8_t *data, size_t size)
{
    struct buf answers = BUF_INITIALIZER, word = BUF_INITIALIZER;
    struct synccmd_session session;
    enum synccmd_verb verb;

    fuzz_store();
    struct protstream *in = prot_readmap((const char *)data, size);
    struct protstream *out = prot_writebuf(&answers);
    synccmd_session_init(&session, in, out, "admin");
    for (int c = 0; c != EOF;) {
        c = getword(in, &word);
        if (c == ' ' && verb_of(buf_cstring(&word), &verb))
            one_line(&session, verb);
        else if (c != EOF)
            eatline(in, c < 0 ? ' ' : c, EATLINE_DLIST);
        c = prot_peek(in);
    }
    synccmd_restart(&session);
    synccmd_session_fini(&session);
    prot_free(in);
    prot_free(out);
    buf_free(&answers);
    buf_free(&word);
}
