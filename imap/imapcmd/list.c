/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * LIST, RLIST, XLIST, LSUB, RLSUB, SCAN (RFC 3501 §6.3.8, §6.3.9, RFC 2193, 5258, 5819, 6154, 8440; handbook 04 §3.5)
 *
 * mboxlist_findall() and mboxlist_findsub() give the names in order; each is
 * printed as it comes, with the lines that RETURN asks for behind it. No lock is held.
 */
#include <config.h>

#include <stdlib.h>
#include <time.h>

#include "acl.h"
#include "annotate.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "libconfig.h"
#include "list.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "search_run.h"
#include "times.h"
#include "txn.h"
#include "user.h"
#include "xmalloc.h"

struct lister {
    struct imap_session *s;
    const struct list_args *args;
    strarray_t subscribed; /* internal names, sorted; for RETURN (SUBSCRIBED) */
    bool all_subscribed;   /* names come from the subscriptions */
    unsigned calls;
    int damaged; /* why lines were left out */
    struct search_args scan;
};

/* ---- one answer ---- */

/* "" for a level that no mailbox can have: the one above the shared mailboxes. */
static const char *intname_of(const struct findall_data *data)
{
    return data->mbname ? mbname_intname(data->mbname) : "";
}

/* Special-use attributes of an own mailbox: only direct children of the INBOX have any. */
static int special_use(const struct lister *l, const struct findall_data *data, struct buf *out)
{
    const char *userid = l->s->userid;

    if (!data->mbentry || !userid || !mboxname_userownsmailbox(userid, data->mbentry->name)) return 0;
    if (strarray_size(mbname_boxes(data->mbname)) != 1) return 0;
    return annotatemore_lookup(data->mbentry, "/specialuse", userid, NULL, out);
}

struct child_search {
    const struct imap_session *s;
    extname_t extname; /* of the parent */
};

/* A child to the client: in the alternate namespace what lies in INBOX stands beside it. */
static int child_cb(const mbentry_t *mbentry, void *rock)
{
    const struct child_search *search = rock;
    const struct namespace *ns = &search->s->ns;
    const char *parent = extname_text(search->extname);
    size_t len = strlen(parent);

    if (!(imap_rights(search->s, mbentry) & ACL_LOOKUP)) return 0;
    extname_t ext = mboxname_to_external(mbentry->name, ns, search->s->userid);
    const char *name = extname_text(ext);
    bool below = name && !strncmp(name, parent, len) && name[len] == ns->hier_sep;
    extname_free(&ext);
    return below;
}

static bool has_children(struct lister *l, const struct findall_data *data)
{
    struct child_search search = { l->s, data->extname };

    if (!l->all_subscribed) return data->has_children;
    int r = mboxlist_mboxtree(intname_of(data), child_cb, &search, MBOXTREE_SKIP_ROOT);
    if (r && r != 1) l->damaged = r;
    return r == 1;
}

static void attribute(struct buf *out, const char *name)
{
    if (buf_len(out)) buf_putc(out, ' ');
    buf_appendcstr(out, name);
}

static void children_attribute(struct lister *l, const struct findall_data *data,
                               struct buf *out)
{
    if (l->args->kind == LIST_LSUB) {
        if (data->has_children || !data->is_exactmatch) attribute(out, "\\HasChildren");
    }
    else if (!data->is_exactmatch || has_children(l, data))
        attribute(out, "\\HasChildren");
    else
        attribute(out, "\\HasNoChildren");
}

static bool shows_special_use(const struct lister *l)
{
    return (l->args->options & (LIST_RET_SPECIALUSE | LIST_SEL_SPECIALUSE)) ||
           l->args->kind == LIST_XLIST || config_getswitch(IMAPOPT_SPECIALUSEALWAYS);
}

/* Of IMAP4rev2 extended LIST is a part (RFC 9051 §7.3.1). */
static bool says_nonexistent(const struct lister *l)
{
    return l->args->kind == LIST_EXTENDED || (l->s->rev2 && l->args->kind == LIST_BASIC);
}

static void attributes(struct lister *l, const struct findall_data *data,
                       const struct buf *use, struct buf *out)
{
    if (!data->mbentry)
        attribute(out, says_nonexistent(l) ? "\\NonExistent" : "\\Noselect");
    bool subscribed = l->all_subscribed ? data->is_exactmatch
                                        : strarray_bsearch(&l->subscribed, intname_of(data)) >= 0;
    if (subscribed && l->args->kind == LIST_EXTENDED) attribute(out, "\\Subscribed");
    children_attribute(l, data, out);
    if (l->args->kind == LIST_XLIST && data->mbname &&
        mbname_category(data->mbname, &l->s->ns, l->s->userid) == MBNAME_INBOX)
        attribute(out, "\\Inbox");
    if (buf_len(use) && shows_special_use(l)) {
        if (buf_len(out)) buf_putc(out, ' ');
        buf_append(out, use);
    }
}

/* What RETURN asks for, behind the line. */
static void more_lines(struct lister *l, const struct findall_data *data)
{
    unsigned opts = l->args->options;

    if (!data->mbentry) return;
    uint32_t rights = imap_rights(l->s, data->mbentry);
    if ((opts & LIST_RET_STATUS) && (rights & ACL_READ))
        imap_print_status(l->s, data->extname, data->mbentry, l->args->status_items);
    if (opts & LIST_RET_MYRIGHTS) imap_print_myrights(l->s, data->extname, rights);
    if (opts & LIST_RET_METADATA)
        imap_print_metadata(l->s, data->extname, data->mbentry, &l->args->metadata);
}

static void print_line(struct lister *l, const struct findall_data *data, const struct buf *use)
{
    static const char *const words[] = { "LIST", "LIST", "LSUB", "XLIST", "LIST" };
    struct protstream *out = l->s->out;
    struct buf attrs = BUF_INITIALIZER;

    attributes(l, data, use, &attrs);
    prot_printf(out, "* %s (%s) \"%c\" ", words[l->args->kind], buf_cstring(&attrs),
                l->s->ns.hier_sep);
    imap_print_mailbox(l->s, data->extname);
    if ((l->args->options & LIST_SEL_RECURSIVEMATCH) && data->has_children)
        prot_puts(out, " (CHILDINFO (\"SUBSCRIBED\"))");
    prot_puts(out, "\r\n");
    buf_free(&attrs);
    more_lines(l, data);
}

static bool wanted(const struct lister *l, const struct findall_data *data)
{
    unsigned opts = l->args->options;

    if (l->args->kind == LIST_LSUB) return data->mbentry || !data->is_exactmatch;
    if (!l->all_subscribed) return true;
    return data->is_exactmatch || (opts & LIST_SEL_RECURSIVEMATCH);
}

/* SCAN: is the text in a message of it? Who may not read it learns nothing. */
static int scan(struct lister *l, const struct findall_data *data, bool *shown)
{
    struct imap_session *s = l->s;
    const struct buf *text = &l->args->text;
    struct hits hits = { 0 };
    struct index_state *index = NULL;

    *shown = false;
    if (!data->mbentry) return 0;
    const struct index_args open = {
        .name = data->mbentry->name, .userid = s->userid, .auth = s->auth, .isadmin = s->isadmin, .examine = true
    };
    if (!l->scan.keys.expr) {
        search_keys_init(s, &l->scan.keys);
        l->scan.keys.expr = search_expr_of_text(text->s, text->len, &l->scan.keys.syntax);
    }
    int r = index_open(&open, &index);
    if (!r) r = search_collect(s, index, &l->scan, &hits);
    if (!r && !hits.n && !hits_complete(&hits)) r = IMAP_MAILBOX_CHECKSUM; /* it may be in what can't be read */
    *shown = !r && hits.n;
    hits_fini(&hits);
    index_close(&index);
    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_PERMISSION_DENIED) return 0;
    if (r == IMAP_SEARCH_SLOW) return r;
    if (r) l->damaged = r;
    return 0;
}

static int found(const struct findall_data *data, void *rock)
{
    struct lister *l = rock;
    struct findall_data real = *data;
    struct buf use = BUF_INITIALIZER;
    mbentry_t *mbentry = NULL;

    l->calls++;
    if (prot_error(l->s->out)) return IMAP_IOERROR;
    if (!wanted(l, data)) return 0;
    /* A parent that only stands for subscribed children may be a mailbox all the same. */
    if (l->all_subscribed && !data->is_exactmatch && l->args->kind == LIST_EXTENDED &&
        !mboxlist_lookup(intname_of(data), &mbentry, NULL))
        real.mbentry = mbentry;
    int r = special_use(l, &real, &use);
    if (r) {
        l->damaged = r; /* a line without them would be wrong; the other lines come */
        r = 0;
    }
    else if (!(l->args->options & LIST_SEL_SPECIALUSE) || buf_len(&use)) {
        bool shown = true;
        r = txn_wait(mboxlist_seen_lsn());
        if (!r && l->args->kind == LIST_SCAN) r = scan(l, data, &shown);
        if (!r && shown) print_line(l, &real, &use);
    }
    mbentry_free(&mbentry);
    buf_free(&use);
    return r;
}

/* ---- patterns ---- */

/* Reference and pattern in one, with one separator where both have it; the caller frees. */
static extname_t join(const struct imap_session *s, extname_t ref, extname_t pattern)
{
    char sep = s->ns.hier_sep;
    const char *front = extname_text(ref), *back = extname_text(pattern);

    if (config_getswitch(IMAPOPT_IGNOREREFERENCE) || extname_isempty(ref)) return extname_dup(pattern);
    if (front[strlen(front) - 1] == sep && *back == sep) back++;
    return extname_of(xasprintf("%s%s", front, back));
}

static void full_patterns(const struct imap_session *s, const struct list_args *args, extnames_t *out)
{
    for (size_t i = 0; i < args->patterns.count; i++) {
        extname_t pattern = args->patterns.list[i];
        if (extname_isempty(pattern)) continue;
        extname_t full = join(s, args->ref, pattern);
        bool all = !strcmp(extname_text(full), "*");
        if (all && config_getswitch(IMAPOPT_FOOLSTUPIDCLIENTS))
            extnames_add(out, extname_of("INBOX*"));
        else
            extnames_add(out, full);
        extname_free(&full);
    }
}

static int run(struct lister *l, struct list_args *args)
{
    struct imap_session *s = l->s;
    extnames_t patterns = { 0 };
    struct namespace ns = s->ns;

    if (args->options & LIST_SEL_DAV) ns.dav = true;
    if (args->options & LIST_SEL_DELETED) ns.deleted = true;
    full_patterns(s, args, &patterns);
    l->all_subscribed = (args->options & LIST_SEL_SUBSCRIBED) || s->list_subscribed;
    int r = 0;
    if (!patterns.count)
        r = 0;
    else if (args->kind == LIST_LSUB || l->all_subscribed)
        r = mboxlist_findsub(&ns, patterns, s->isadmin, s->userid, s->auth, found, l);
    else {
        if ((args->options & LIST_RET_SUBSCRIBED) && s->userid) l->damaged = sub_list(s->userid, &l->subscribed);
        strarray_sort(&l->subscribed, NULL);
        r = mboxlist_findall(&ns, patterns, s->isadmin, s->userid, s->auth, found, l);
    }
    extnames_fini(&patterns);
    return r;
}

/* LIST "" "": only the separator is asked for. */
static bool only_separator(const struct list_args *args)
{
    return args->kind != LIST_EXTENDED && args->kind != LIST_LSUB &&
           args->patterns.count == 1 && extname_isempty(args->patterns.list[0]);
}

static void list(struct imap_session *s, enum list_kind kind)
{
    struct list_args args = { .kind = kind };
    struct lister l = { .s = s, .args = &args };
    int r = 0;

    if (list_parse(s, &args)) {
        imap_session_check_inbox(s);
        if (only_separator(&args))
            prot_printf(s->out, "* %s (\\Noselect) \"%c\" \"\"\r\n",
                        kind == LIST_XLIST ? "XLIST" : "LIST", s->ns.hier_sep);
        else
            r = run(&l, &args);
        if (!r) r = l.damaged;
        double secs = monotonic_seconds() - s->start;
        if (r)
            imap_result(s, r);
        else if (l.calls)
            imap_ok(s, "Completed (%.3f secs %u calls)", secs, l.calls);
        else
            imap_ok(s, "Completed (%.3f secs)", secs);
    }
    strarray_fini(&l.subscribed);
    search_args_fini(&l.scan);
    list_args_fini(&args);
}

void cmd_list(struct imap_session *s)
{
    list(s, LIST_BASIC);
}

void cmd_xlist(struct imap_session *s)
{
    list(s, LIST_XLIST);
}

void cmd_lsub(struct imap_session *s)
{
    list(s, LIST_LSUB);
}

void cmd_scan(struct imap_session *s)
{
    list(s, LIST_SCAN);
}
