/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GETMETADATA, SETMETADATA (RFC 5464; handbook 04 §3.17)
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>

#include "acl.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "message.h"
#include "metadata.h"
#include "xmalloc.h"

struct metadata_who imap_metadata_who(const struct imap_session *s)
{
    return (struct metadata_who){
        s->userid, s->auth, s->isadmin, s->options->ignorequota, false
    };
}

/* ---- one METADATA line ---- */

struct printer {
    struct buf line; /* entries and values */
    bool limited;
    uint32_t maxsize, longest; /* longest: of the values that were left out */
};

static const char no_entry[] = "Missing metadata entry";
static const char no_close[] = "Missing close paren in metadata entry list "; /* with the blank of 3.6.1 */

static void add_entry(const char *entry, const struct buf *value, void *rock)
{
    struct printer *p = rock;

    if (p->limited && value && value->len > p->maxsize) {
        if (value->len > p->longest) p->longest = (uint32_t)value->len;
        return;
    }
    if (buf_len(&p->line)) buf_putc(&p->line, ' ');
    buf_printf(&p->line, "\"%s\" ", entry);
    if (value)
        message_write_nstring(value->s ? value->s : "", value->len, &p->line);
    else
        buf_appendcstr(&p->line, "NIL");
}

static int print_one(struct imap_session *s, extname_t extname, const mbentry_t *mbentry,
                     const strarray_t *patterns, struct printer *p)
{
    const struct metadata_who w = imap_metadata_who(s);

    buf_reset(&p->line);
    int r = metadata_get(&w, mbentry, patterns, add_entry, p);
    if (!r && buf_len(&p->line)) {
        prot_puts(s->out, "* METADATA ");
        imap_print_mailbox(s, extname);
        prot_puts(s->out, " (");
        prot_putbuf(s->out, &p->line);
        prot_puts(s->out, ")\r\n");
    }
    return r == IMAP_PERMISSION_DENIED ? 0 : r;
}

void imap_print_metadata(struct imap_session *s, extname_t extname, const mbentry_t *mbentry,
                         const strarray_t *entries)
{
    struct printer p = { 0 };

    print_one(s, extname, mbentry, entries, &p);
    buf_free(&p.line);
}

/* ---- GETMETADATA ---- */

enum depth { DEPTH_0, DEPTH_1, DEPTH_INFINITY };
struct get_args {
    extnames_t mailboxes;
    strarray_t entries;
    struct printer printer;
    enum depth depth;
};

/* s->c is behind '('. Options of the command, or false without an answer when the word is none. */
static bool options(struct imap_session *s, struct get_args *args, struct buf *word)
{
    for (;;) {
        buf_ucase(word);
        if (!buf_cmpcstr(word, "MAXSIZE") && s->c == ' ') {
            s->c = getuint32(s->in, &args->printer.maxsize);
            args->printer.limited = true;
            if (s->c < 0) return false;
        }
        else if (!buf_cmpcstr(word, "DEPTH") && s->c == ' ') {
            s->c = getword(s->in, word);
            if (!buf_cmpcstr(word, "0"))
                args->depth = DEPTH_0;
            else if (!buf_cmpcstr(word, "1"))
                args->depth = DEPTH_1;
            else if (!cyr_strcasecmp(buf_cstring(word), "infinity"))
                args->depth = DEPTH_INFINITY;
            else
                return false;
        }
        else
            return false;
        if (s->c != ' ') return s->c == ')';
        s->c = getword(s->in, word);
    }
}

static bool is_option(const struct buf *word)
{
    struct buf copy = BUF_INITIALIZER;

    buf_copy(&copy, word);
    buf_ucase(&copy);
    bool is = !buf_cmpcstr(&copy, "MAXSIZE") || !buf_cmpcstr(&copy, "DEPTH");
    buf_free(&copy);
    return is;
}

/* One of the two lists. */
static void take_mailbox(struct get_args *args, const char *word)
{
    extnames_add(&args->mailboxes, extname_of(word));
}

static void take_entry(struct get_args *args, const char *word)
{
    strarray_append(&args->entries, word);
}

/* "(a b c)" or "a", or "(MAXSIZE n ...)": then *wasoptions. False: *fault is the text, NULL for that of missing arguments. */
static bool list_or_options(struct imap_session *s, struct get_args *args,
                            void (*take)(struct get_args *, const char *), bool *wasoptions, const char **fault)
{
    struct buf word = BUF_INITIALIZER;
    bool many = prot_peek(s->in) == '(', first = true, ok = true;

    *wasoptions = false;
    *fault = NULL;
    if (many) prot_getc(s->in);
    do {
        s->c = getastring(s->in, s->out, &word);
        ok = s->c >= 0;
        if (!ok && many && take == take_entry) *fault = no_entry;
        if (ok && many && first && is_option(&word)) {
            *wasoptions = true;
            ok = options(s, args, &word);
            break;
        }
        if (ok) take(args, buf_cstring(&word));
        first = false;
    } while (ok && many && s->c == ' ');
    if (ok && many) {
        ok = s->c == ')';
        if (ok) s->c = prot_getc(s->in);
        if (!ok && take == take_entry && !*wasoptions) *fault = no_close;
    }
    buf_free(&word);
    return ok;
}

/* "[options] list"; false: answered */
static bool part(struct imap_session *s, struct get_args *args, void (*take)(struct get_args *, const char *))
{
    const char *fault = NULL;
    bool options = false;

    bool ok = s->c == ' ' && list_or_options(s, args, take, &options, &fault);
    if (ok && options) ok = s->c == ' ' && list_or_options(s, args, take, &options, &fault) && !options;
    if (!ok && fault)
        imap_bad(s, "%s", fault);
    else if (!ok)
        imap_bad(s, "Missing arguments to %s", buf_cstring(&s->cmdname));
    return ok;
}

static bool parse_get(struct imap_session *s, struct get_args *args)
{
    if (!imap_arg_more(s) || !part(s, args, take_mailbox) || !part(s, args, take_entry)) return false;
    if (!imap_at_eol(s)) {
        imap_bad(s, "Missing arguments to %s", buf_cstring(&s->cmdname));
        return false;
    }
    for (int i = 0; i < strarray_size(&args->entries); i++) {
        lcase(args->entries.data[i]);
        const char *e = strarray_nth(&args->entries, i);
        bool ok = (strstarts(e, "/shared") && (!e[7] || e[7] == '/')) ||
                  (strstarts(e, "/private") && (!e[8] || e[8] == '/'));
        if (ok) continue;
        imap_bad(s, "entry must begin with /shared or /private");
        return false;
    }
    return true;
}

/* DEPTH makes further patterns of each entry. */
static void add_depth(struct get_args *args)
{
    int n = strarray_size(&args->entries);

    for (int i = 0; args->depth != DEPTH_0 && i < n; i++) {
        const char *entry = strarray_nth(&args->entries, i);
        strarray_appendm(&args->entries,
                         xasprintf("%s/%c", entry, args->depth == DEPTH_1 ? '%' : '*'));
    }
}

struct all {
    struct imap_session *s;
    struct get_args *args;
    bool any;
};

static int found(const struct findall_data *data, void *rock)
{
    struct all *all = rock;

    if (!data->mbentry) return 0;
    all->any = true;
    return print_one(all->s, data->extname, data->mbentry, &all->args->entries,
                     &all->args->printer);
}

static int get_mailbox(struct imap_session *s, struct get_args *args, extname_t name)
{
    struct all all = { s, args, false };
    mbentry_t *mbentry = NULL;
    int r;

    if (extname_isempty(name)) return print_one(s, name, NULL, &args->entries, &args->printer);
    if (extname_ispattern(name)) {
        r = mboxlist_findall(&s->ns, (extnames_t){ &name, 1 }, s->isadmin, s->userid, s->auth, found, &all);
        return !r && !all.any ? IMAP_MAILBOX_NONEXISTENT : r;
    }
    r = imap_lookup(s, name, ACL_LOOKUP, NULL, &mbentry);
    if (!r) r = print_one(s, name, mbentry, &args->entries, &args->printer);
    mbentry_free(&mbentry);
    return r;
}

void cmd_getmetadata(struct imap_session *s)
{
    struct get_args args = { 0 };
    int r = 0;

    if (parse_get(s, &args)) {
        add_depth(&args);
        for (size_t i = 0; !r && i < args.mailboxes.count; i++)
            r = get_mailbox(s, &args, args.mailboxes.list[i]);
        if (!r && args.printer.longest)
            imap_ok(s, "[METADATA LONGENTRIES %" PRIu32 "] Completed", args.printer.longest);
        else
            imap_result(s, r);
    }
    extnames_fini(&args.mailboxes);
    strarray_fini(&args.entries);
    buf_free(&args.printer.line);
}

/* ---- SETMETADATA ---- */

void metadata_settings_free(struct metadata_setting *list)
{
    while (list) {
        struct metadata_setting *next = list->next;
        free(list->entry);
        buf_free(&list->value);
        free(list);
        list = next;
    }
}

static bool parse_pair(struct imap_session *s, struct metadata_setting ***tail)
{
    struct buf entry = BUF_INITIALIZER;
    struct metadata_setting *set = xzmalloc(sizeof(*set));
    bool ok = false;

    **tail = set;
    *tail = &set->next;
    s->c = getastring(s->in, s->out, &entry);
    buf_lcase(&entry);
    set->entry = xstrdup(buf_cstring(&entry));
    if (s->c != ' ')
        imap_bad(s, "%s", no_entry);
    else if (!strstarts(set->entry, "/shared/") && !strstarts(set->entry, "/private/"))
        imap_bad(s, "entry must begin with /shared or /private");
    else {
        s->c = getbnstring(s->in, s->out, &set->value, &set->nil);
        ok = s->c >= 0;
        if (!ok) imap_bad(s, "Missing metadata value");
    }
    buf_free(&entry);
    return ok;
}

static bool parse_set(struct imap_session *s, extname_t *name, struct metadata_setting **list)
{
    struct metadata_setting **tail = list;

    if (!imap_arg_mailbox(s, name) || !imap_arg_more(s)) return false;
    if (s->c != ' ' || (s->c = prot_getc(s->in)) != '(') {
        imap_bad(s, "Missing metadata entry list");
        return false;
    }
    do {
        if (!parse_pair(s, &tail)) return false;
    } while (s->c == ' ');
    if (s->c != ')') {
        imap_bad(s, "%s", no_close);
        return false;
    }
    s->c = prot_getc(s->in);
    return imap_arg_end(s);
}

int imap_set_metadata(struct imap_session *s, const mbentry_t *mbentry,
                      const struct metadata_setting *list)
{
    const struct metadata_who w = imap_metadata_who(s);
    struct txn *txn = NULL;
    char *owner = mbentry ? mboxname_to_userid(mbentry->name) : NULL;

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, owner);
    for (; !r && list; list = list->next)
        r = metadata_set(&w, txn, mbentry, list->entry, list->nil ? NULL : &list->value);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    free(owner);
    return r;
}

void cmd_setmetadata(struct imap_session *s)
{
    extname_t name = EXTNAME_NONE;
    struct metadata_setting *list = NULL;
    mbentry_t *mbentry = NULL;

    if (parse_set(s, &name, &list)) {
        int r = 0;
        if (!extname_isempty(name)) r = imap_lookup(s, name, ACL_LOOKUP, NULL, &mbentry);
        if (!r) r = imap_set_metadata(s, mbentry, list);
        imap_result(s, r);
    }
    metadata_settings_free(list);
    mbentry_free(&mbentry);
    extname_free(&name);
}
