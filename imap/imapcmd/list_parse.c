/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * list_parse -- the arguments of LIST, XLIST, LSUB and SCAN
 *
 * [(selection options)] reference pattern-or-(patterns) [RETURN (return options)]; LSUB reference pattern; SCAN reference
 * pattern text.
 * Errors: handbook 04 §3.5.
 */
#include <config.h>

#include "imapcmd.h"
#include "libconfig.h"
#include "list.h"

struct option {
    const char *name;
    unsigned bit;
};
static const struct option selections[] = {
    { "subscribed", LIST_SEL_SUBSCRIBED },
    { "remote", LIST_SEL_REMOTE },
    { "recursivematch", LIST_SEL_RECURSIVEMATCH },
    { "special-use", LIST_SEL_SPECIALUSE },
    { "metadata", LIST_SEL_METADATA },
    { "vendor.cmu-dav", LIST_SEL_DAV },
    { "vendor.cmu-include-deleted", LIST_SEL_DELETED },
    { NULL, 0 },
};
static const struct option unknown = { NULL, 0 };
static const struct option returns[] = {
    { "subscribed", LIST_RET_SUBSCRIBED },
    { "children", LIST_RET_CHILDREN },
    { "special-use", LIST_RET_SPECIALUSE },
    { "myrights", LIST_RET_MYRIGHTS },
    { "status", LIST_RET_STATUS },
    { "metadata", LIST_RET_METADATA },
    { NULL, 0 },
};

static bool bad_syntax(struct imap_session *s)
{
    imap_bad(s, "Invalid syntax in %s command", buf_cstring(&s->cmdname));
    return false;
}

/* "(entry ...)" behind a blank, into args->metadata. */
static bool metadata_entries(struct imap_session *s, struct list_args *args)
{
    struct buf entry = BUF_INITIALIZER;
    bool ok = s->c == ' ' && (s->c = prot_getc(s->in)) == '(';

    while (ok) {
        s->c = getastring(s->in, s->out, &entry);
        ok = s->c >= 0 && buf_len(&entry);
        if (ok) strarray_add(&args->metadata, buf_cstring(&entry));
        if (!ok || s->c != ' ') break;
    }
    ok = ok && s->c == ')';
    if (ok) s->c = prot_getc(s->in);
    buf_free(&entry);
    return ok || bad_syntax(s);
}

/* What belongs to an option, behind its word. */
static bool option_argument(struct imap_session *s, struct list_args *args, unsigned bit)
{
    if (bit == LIST_RET_STATUS) return imap_parse_status_items(s, &args->status_items);
    if (bit == LIST_RET_METADATA || bit == LIST_SEL_METADATA) return metadata_entries(s, args);
    return true;
}

/* Behind '('; s->c is behind ')' when it returns true. */
static bool options(struct imap_session *s, struct list_args *args, const struct option *table,
                    const char *what)
{
    struct buf word = BUF_INITIALIZER;
    bool ok = true;

    do {
        s->c = getword(s->in, &word);
        buf_lcase(&word);
        if (!buf_len(&word) && s->c == ')') break;
        const struct option *o = table;
        while (o->name && buf_cmpcstr(&word, o->name)) o++;
        if (o->bit == LIST_SEL_DELETED && !config_getswitch(IMAPOPT_ALLOWDELETED)) o = &unknown;
        if (s->c < 0 || !o->name) {
            if (s->c >= 0 && !buf_len(&word))
                ok = bad_syntax(s);
            else
                imap_bad(s, "Invalid %s %s option \"%s\"", buf_cstring(&s->cmdname), what,
                         buf_cstring(&word));
            ok = false;
        }
        else {
            args->options |= o->bit;
            ok = option_argument(s, args, o->bit);
        }
    } while (ok && s->c == ' ');
    if (ok && s->c != ')') ok = bad_syntax(s);
    if (ok) s->c = prot_getc(s->in);
    buf_free(&word);
    return ok;
}

static bool selection(struct imap_session *s, struct list_args *args)
{
    const unsigned base = LIST_SEL_SUBSCRIBED | LIST_SEL_SPECIALUSE | LIST_SEL_METADATA;

    if (imap_arg_peek(s) != '(') return true;
    prot_getc(s->in);
    args->kind = LIST_EXTENDED;
    if (!options(s, args, selections, "selection")) return false;
    if ((args->options & LIST_SEL_RECURSIVEMATCH) && !(args->options & base)) {
        imap_bad(s, "Invalid combination of selection options");
        return false;
    }
    return imap_arg_more(s);
}

/* A pattern may hold what no atom may. */
static int getpattern(struct imap_session *s, struct buf *buf)
{
    int ch = prot_peek(s->in);

    if (ch == '\r' || ch == '\n') return IMPARSE_BAD;
    return getastring(s->in, s->out, buf);
}

static bool patterns(struct imap_session *s, struct list_args *args, bool plain)
{
    struct buf pattern = BUF_INITIALIZER;
    bool many = !plain && s->c == ' ' && imap_arg_peek(s) == '(';
    bool ok = s->c == ' ';

    if (ok && many) prot_getc(s->in);
    while (ok) {
        s->c = getpattern(s, &pattern);
        ok = s->c >= 0;
        if (ok) extnames_add(&args->patterns, extname_of(buf_cstring(&pattern)));
        if (!ok || !many || s->c != ' ') break;
    }
    if (ok && many) {
        ok = s->c == ')';
        if (ok) s->c = prot_getc(s->in);
        args->kind = args->kind == LIST_BASIC ? LIST_EXTENDED : args->kind;
    }
    if (!ok)
        imap_bad(s, "Missing required argument to %s: mailbox pattern", buf_cstring(&s->cmdname));
    buf_free(&pattern);
    return ok;
}

static bool return_options(struct imap_session *s, struct list_args *args)
{
    struct buf word = BUF_INITIALIZER;
    bool ok = false;

    s->c = getword(s->in, &word);
    buf_lcase(&word);
    if (buf_cmpcstr(&word, "return"))
        imap_bad(s, "Unexpected extra argument to %s: \"%s\"", buf_cstring(&s->cmdname),
                 buf_cstring(&word));
    else if (s->c != ' ' || (s->c = prot_getc(s->in)) != '(')
        imap_bad(s, "Missing return argument list");
    else {
        args->kind = args->kind == LIST_BASIC ? LIST_EXTENDED : args->kind;
        ok = options(s, args, returns, "return");
    }
    buf_free(&word);
    return ok;
}

bool list_parse(struct imap_session *s, struct list_args *args)
{
    bool scan = args->kind == LIST_SCAN, plain = scan || args->kind == LIST_LSUB;

    if (!imap_arg_more(s)) return false;
    if (!plain && !selection(s, args)) return false;
    if (!imap_arg_mailbox(s, &args->ref)) return false;
    if (!patterns(s, args, plain)) return false;
    if (!plain && s->c == ' ' && !return_options(s, args)) return false;
    if (scan && !imap_arg_astring(s, &args->text)) return false;
    return imap_arg_end(s);
}

void list_args_fini(struct list_args *args)
{
    extname_free(&args->ref);
    extnames_fini(&args->patterns);
    strarray_fini(&args->metadata);
    buf_free(&args->text);
}
