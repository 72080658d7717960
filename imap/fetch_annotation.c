/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fetch_annotation -- per-message annotations in FETCH (RFC 5257)
 *
 * Read under the shared lock and kept as text until the response is written. An
 * entry that is named and has no value is NIL; a pattern also brings the entries that
 * every message has (handbook 04 §3.17), as NIL.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "fetch.h"
#include "glob.h"
#include "imap_err.h"
#include "xmalloc.h"

#define V "/vendor/cmu/cyrus-imapd/"
static const char *const builtin[] = {
    "/altsubject", "/comment",        V "basethrid",     V "thrid",
    V "savedate",  V "createdmodseq", V "snoozed-until", V "snoozed",
};

/* The stored value of the user (userid "": shared), or NULL. */
static const struct buf *find_value(const struct entryattlist *stored, const char *entry,
                                    const char *userid)
{
    for (; stored; stored = stored->next)
        if (!strcmp(stored->entry, entry) && !strcmp(stored->userid, userid)) return &stored->value;
    return NULL;
}

/* Values of one attribute ("value.priv", "size.shared", ...) of one entry, appended. */
static void one_attribute(const struct entryattlist *stored, const char *entry, const char *userid,
                          const char *attrib, const char *suffix, struct buf *out)
{
    bool shared = suffix && !strcmp(suffix, ".shared");
    const struct buf *value = find_value(stored, entry, shared ? "" : userid);

    buf_printf(out, "%.*s%s ", (int)strcspn(attrib, "."), attrib, suffix ? suffix : "");
    if (strstarts(attrib, "size"))
        buf_printf(out, "\"%zu\"", value ? buf_len(value) : 0);
    else if (!value)
        buf_appendcstr(out, "NIL");
    else
        message_write_nstring(buf_base(value), buf_len(value), out);
}

static void one_entry(const struct imap_session *s, const strarray_t *attribs,
                      const struct entryattlist *stored, const char *entry, struct buf *out)
{
    const char *sep = "";

    buf_printf(out, "%s%s (", out->s[out->len - 1] == '(' ? "" : " ", entry);
    for (int i = 0; i < strarray_size(attribs); i++) {
        const char *attrib = strarray_nth(attribs, i), *suffix = strchr(attrib, '.');

        buf_appendcstr(out, sep);
        one_attribute(stored, entry, s->userid, attrib, suffix ? suffix : ".priv", out);
        if (!suffix) {
            buf_putc(out, ' ');
            one_attribute(stored, entry, s->userid, attrib, ".shared", out);
        }
        sep = " ";
    }
    buf_putc(out, ')');
}

static int collect(const char *mboxname, uint32_t uid, const struct annotation *annot, void *rock)
{
    (void)mboxname;
    (void)uid;
    entryattlist_add(rock, annot->entry, annot->userid, &annot->value, annot->modseq);
    return 0;
}

/* The entries that the patterns name, each once. */
static void matching_entries(const strarray_t *patterns, const struct entryattlist *stored,
                             strarray_t *entries)
{
    for (int i = 0; i < strarray_size(patterns); i++) {
        const char *pattern = strarray_nth(patterns, i);
        struct glob *g = glob_init(pattern, '/', 0);
        if (!glob_haswildcard(g)) strarray_add(entries, pattern);
        for (const struct entryattlist *l = stored; l; l = l->next)
            if (glob_test(g, l->entry, strlen(l->entry))) strarray_add(entries, l->entry);
        for (size_t j = 0; j < array_size(builtin); j++)
            if (glob_test(g, builtin[j], strlen(builtin[j]))) strarray_add(entries, builtin[j]);
        glob_free(&g);
    }
}

int fetch_annotations(struct imap_session *s, const struct fetch_request *req,
                      const struct index_record *rec, struct buf *out)
{
    struct entryattlist *stored = NULL;
    strarray_t entries = STRARRAY_INITIALIZER;

    int r = annotate_msg_foreach(index_mailbox(s->index), rec->uid, collect, &stored);
    matching_entries(&req->annot_entries, stored, &entries);
    buf_putc(out, '(');
    for (int i = 0; i < strarray_size(&entries); i++)
        one_entry(s, &req->annot_attribs, stored, strarray_nth(&entries, i), out);
    buf_putc(out, ')');
    entryattlist_free(&stored);
    strarray_fini(&entries);
    return r;
}
