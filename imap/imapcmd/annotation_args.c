/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * annotation_args -- "(entry (attrib value ...) entry (...) ...)" of STORE and APPEND (RFC 5257 §4.3, §4.4)
 */
#include <config.h>

#include <string.h>

#include "annotate.h"
#include "imapcmd.h"

/* "value.priv" or "value.shared"; *userid "" is shared. */
static bool attribute(const struct imap_session *s, const char *name, const char **userid)
{
    if (!strcmp(name, "value.priv"))
        *userid = s->userid;
    else if (!strcmp(name, "value.shared"))
        *userid = "";
    else
        return false;
    return true;
}

/* "attrib value ..." up to ')'. */
static bool values(struct imap_session *s, const char *entry, struct entryattlist **list)
{
    struct buf attrib = BUF_INITIALIZER, value = BUF_INITIALIZER;
    const char *userid;
    bool ok;

    do {
        bool nil = false;
        s->c = getastring(s->in, s->out, &attrib);
        if (s->c >= 0) buf_lcase(&attrib);
        ok = s->c == ' ' && attribute(s, buf_cstring(&attrib), &userid);
        if (!ok) break;
        s->c = getbnstring(s->in, s->out, &value, &nil);
        ok = s->c >= 0;
        if (nil) buf_reset(&value);
        if (ok) entryattlist_add(list, entry, userid, &value, 0);
    } while (ok && s->c == ' ');
    buf_free(&attrib);
    buf_free(&value);
    return ok && s->c == ')';
}

bool imap_parse_annotations(struct imap_session *s, struct entryattlist **list)
{
    struct buf entry = BUF_INITIALIZER;
    bool ok = s->c == ' ' && (s->c = prot_getc(s->in)) == '(';

    while (ok) {
        s->c = getastring(s->in, s->out, &entry);
        ok = s->c == ' ' && *buf_cstring(&entry) == '/' && (s->c = prot_getc(s->in)) == '(' &&
             values(s, buf_cstring(&entry), list);
        if (!ok) break;
        s->c = prot_getc(s->in);
        if (s->c != ' ') break;
    }
    ok = ok && s->c == ')';
    if (ok)
        s->c = prot_getc(s->in);
    else
        imap_bad(s, "Invalid annotation in %s", buf_cstring(&s->cmdname));
    buf_free(&entry);
    return ok;
}
