/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ESEARCH: one search over many mailboxes (RFC 7377)
 *
 * ESEARCH [IN (sources)] [RETURN (options)] keys. Every mailbox that the sources name
 * and the user may read is opened like EXAMINE does, one after the other; those with hits are
 * told, always by UID. Message numbers and "$" have no meaning in it, but for the selected mailbox alone.
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "imap_context.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "search_run.h"
#include "user.h"

struct sources {
    bool selected;
    strarray_t names; /* internal, each once, in the order in which they were named */
    struct imap_session *s;
};

/* ---- IN (...) ---- */

static int add_entry(const mbentry_t *mbentry, void *rock)
{
    struct sources *src = rock;
    const uint32_t need = ACL_LOOKUP | ACL_READ;

    if (mboxname_isnonimapmailbox(mbentry->name, mbentry->mbtype)) return 0;
    if ((imap_rights(src->s, mbentry) & need) == need) strarray_add(&src->names, mbentry->name);
    return 0;
}

static int add_name(struct sources *src, const char *name)
{
    mbentry_t *mbentry = NULL;

    int r = mboxlist_lookup(name, &mbentry, NULL);
    if (!r) add_entry(mbentry, src);
    mbentry_free(&mbentry);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

struct level {
    struct sources *src;
    size_t depth; /* levels of the parent's name */
};

static size_t depth_of(const char *name)
{
    size_t n = 0;

    for (; *name; name++) n += *name == '.';
    return n;
}

static int add_child(const mbentry_t *mbentry, void *rock)
{
    struct level *level = rock;

    return depth_of(mbentry->name) > level->depth + 1 ? 0 : add_entry(mbentry, level->src);
}

enum source_kind { NAMED, SUBTREE, SUBTREE_ONE };

static int add_mailbox(struct sources *src, enum source_kind kind, extname_t external)
{
    char *name = imap_intname(src->s, external);
    int r = 0;

    if (name && kind == NAMED)
        r = add_name(src, name);
    else if (name && kind == SUBTREE)
        r = mboxlist_mboxtree(name, add_entry, src, 0);
    else if (name) {
        struct level level = { src, depth_of(name) };
        r = mboxlist_mboxtree(name, add_child, &level, 0);
    }
    free(name);
    return r;
}

static int add_own(struct sources *src, bool only_inbox)
{
    char *inbox = mboxname_user_mbox(src->s->userid, NULL);

    int r = only_inbox ? add_name(src, inbox)
                       : mboxlist_usermboxtree(src->s->userid, add_entry, src, 0);
    free(inbox);
    return r;
}

static int add_subscribed(struct sources *src)
{
    strarray_t names = STRARRAY_INITIALIZER;

    int r = sub_list(src->s->userid, &names);
    for (int i = 0; !r && i < strarray_size(&names); i++) r = add_name(src, strarray_nth(&names, i));
    strarray_fini(&names);
    return r;
}

/* A mailbox or a list of them behind a blank. False: bad syntax. */
static bool mailboxes(struct imap_session *s, struct sources *src, enum source_kind kind, int *r)
{
    struct buf name = BUF_INITIALIZER;

    if (s->c != ' ') return false;
    bool many = prot_peek(s->in) == '(', ok = true;
    if (many) prot_getc(s->in);
    do {
        s->c = getastring(s->in, s->out, &name);
        ok = s->c >= 0;
        if (ok && !*r) *r = add_mailbox(src, kind, extname_of(buf_cstring(&name)));
    } while (ok && many && s->c == ' ');
    if (ok && many) {
        ok = s->c == ')';
        if (ok) s->c = prot_getc(s->in);
    }
    buf_free(&name);
    return ok;
}

static bool one_source(struct imap_session *s, struct sources *src, const char *word, int *r)
{
    if (!strcmp(word, "SELECTED") || !strcmp(word, "SELECTED-DELAYED")) {
        src->selected = true;
        return true;
    }
    if (!strcmp(word, "PERSONAL"))
        *r = add_own(src, false);
    else if (!strcmp(word, "INBOXES"))
        *r = add_own(src, true);
    else if (!strcmp(word, "SUBSCRIBED"))
        *r = add_subscribed(src);
    else if (!strcmp(word, "SUBTREE"))
        return mailboxes(s, src, SUBTREE, r);
    else if (!strcmp(word, "SUBTREE-ONE"))
        return mailboxes(s, src, SUBTREE_ONE, r);
    else if (!strcmp(word, "MAILBOXES"))
        return mailboxes(s, src, NAMED, r);
    else
        return false;
    return true;
}

/* Behind the word IN. False: answered. */
static bool parse_sources(struct imap_session *s, struct sources *src)
{
    struct buf word = BUF_INITIALIZER;
    int r = 0;
    bool ok = s->c == ' ' && (s->c = prot_getc(s->in)) == '(';

    while (ok && !r) {
        s->c = getword(s->in, &word);
        buf_ucase(&word);
        ok = s->c >= 0 && one_source(s, src, buf_cstring(&word), &r);
        if (s->c != ' ') break;
    }
    ok = ok && s->c == ')';
    buf_free(&word);
    if (r)
        imap_result(s, r);
    else if (!ok)
        imap_bad(s, "Invalid search source in %s", buf_cstring(&s->cmdname));
    else
        s->c = prot_getc(s->in);
    return ok && !r && imap_arg_more(s);
}

/* [IN (...)] [RETURN (...)] or the first word of the keys. False: answered. */
static bool parse_front(struct imap_session *s, struct search_args *args, struct sources *src)
{
    if (!imap_arg_more(s)) return false;
    int ch = prot_peek(s->in);
    if (ch != 'I' && ch != 'i') {
        src->selected = true;
        return search_parse_return(s, args);
    }
    s->c = getword(s->in, &args->keys.word);
    if (s->c >= 0 && !cyr_strcasecmp(buf_cstring(&args->keys.word), "IN")) {
        buf_free(&args->keys.word);
        return parse_sources(s, src) && search_parse_return(s, args);
    }
    src->selected = true;
    args->keys.syntax.word = buf_cstring(&args->keys.word);
    args->keys.syntax.after = s->c;
    return true;
}

static bool acceptable(struct imap_session *s, const struct search_args *args,
                       const struct sources *src)
{
    if ((args->returns & RETURN_SAVE) && (!src->selected || strarray_size(&src->names))) {
        imap_bad(s, "SAVE is for the selected mailbox alone");
        return false;
    }
    if (src->selected && !s->index) {
        imap_bad(s, "Please select a mailbox first");
        return false;
    }
    return true;
}

/* ---- running ---- */

/* Of all mailboxes. */
struct totals {
    size_t found, unread; /* messages */
    int r;                /* why a mailbox could not be searched; others are told */
};

static int search_index(struct imap_session *s, struct index_state *index, struct search_args *args,
                        struct totals *totals)
{
    struct hits hits = { .usinguid = true };

    int r = search_collect(s, index, args, &hits);
    if (!r && hits.n) {
        extname_t name = imap_extname(s, index_mboxname(index));
        search_print_esearch(s, args, &hits, name, index_uidvalidity(index));
        extname_free(&name);
        totals->found += hits.n;
    }
    if (!r && !hits_complete(&hits)) totals->unread += seqset_count(hits.unread);
    if (!r && (args->returns & RETURN_SAVE)) {
        if (hits_complete(&hits))
            search_save(s, args, &hits);
        else
            imap_session_save(s, NULL);
    }
    hits_fini(&hits);
    return r;
}

static void search_mailbox(struct imap_session *s, const char *name, struct search_args *args,
                           struct totals *totals)
{
    struct index_state *index = NULL;
    const struct index_args open = {
        .name = name, .userid = s->userid, .auth = s->auth, .isadmin = s->isadmin, .examine = true
    };

    int r = index_open(&open, &index);
    if (!r) r = search_index(s, index, args, totals);
    index_close(&index);
    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_PERMISSION_DENIED) return; /* it went meanwhile, or the rights did */
    if (!totals->r) totals->r = r;
}

static void run(struct imap_session *s, struct search_args *args, struct sources *src)
{
    struct totals totals = { 0 };

    if (args->update) imap_context_refuse(s, buf_cstring(&s->tag), "ESEARCH is not followed");
    if (src->selected) {
        imap_report(s, true, NULL);
        if (s->closing) return;
        s->reported = false;
        if (!index_gone(s->index)) totals.r = search_index(s, s->index, args, &totals);
        strarray_remove_all(&src->names, index_mboxname(s->index));
    }
    for (int i = 0; totals.r != IMAP_SEARCH_SLOW && i < strarray_size(&src->names) && !prot_error(s->out); i++)
        search_mailbox(s, strarray_nth(&src->names, i), args, &totals);
    if (!totals.r && totals.unread)
        imap_no(s, "[CORRUPTION] Search is not complete: %zu messages can't be read", totals.unread);
    else
        search_answer(s, totals.r, totals.found, NULL);
}

void cmd_esearch(struct imap_session *s)
{
    struct search_args args = { .returns = RETURN_ALL, .esearch = true };
    struct sources src = { .s = s };

    search_keys_init(s, &args.keys);
    args.keys.syntax.no_numbers = "Message numbers are not allowed in Esearch";
    if (parse_front(s, &args, &src) && acceptable(s, &args, &src) &&
        search_keys_parse(s, &args.keys, NULL))
        run(s, &args, &src);
    strarray_fini(&src.names);
    search_args_fini(&args);
}
