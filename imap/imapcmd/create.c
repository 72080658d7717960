/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CREATE (RFC 3501 §6.3.3, RFC 6154, RFC 8474; handbook 04 §3.6)
 *
 * Missing ancestors are made in the same transaction.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "imapcmd.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "txn.h"
#include "xmalloc.h"

struct create_args {
    extname_t name;
    struct buf partition, type, id, server, use;
};

static void create_args_fini(struct create_args *args)
{
    extname_free(&args->name);
    buf_free(&args->partition);
    buf_free(&args->type);
    buf_free(&args->id);
    buf_free(&args->server);
    buf_free(&args->use);
}

static bool bad_list(struct imap_session *s)
{
    imap_bad(s, "Invalid argument list in %s", buf_cstring(&s->cmdname));
    return false;
}

/* "(\Sent \Junk)" behind a blank. */
static bool use_list(struct imap_session *s, struct buf *use)
{
    struct buf word = BUF_INITIALIZER;
    bool ok = s->c == ' ' && (s->c = prot_getc(s->in)) == '(';

    while (ok) {
        s->c = getword(s->in, &word);
        ok = s->c >= 0 && buf_len(&word);
        if (!ok) break;
        if (buf_len(use)) buf_putc(use, ' ');
        buf_append(use, &word);
        if (s->c != ' ') break;
    }
    ok = ok && s->c == ')';
    if (ok) s->c = prot_getc(s->in);
    buf_free(&word);
    return ok || bad_list(s);
}

static bool create_list(struct imap_session *s, struct create_args *args)
{
    struct buf word = BUF_INITIALIZER;
    bool ok = true;

    do {
        struct buf *value = NULL;
        s->c = getword(s->in, &word);
        buf_ucase(&word);
        if (!buf_cmpcstr(&word, "USE")) {
            ok = use_list(s, &args->use);
            continue;
        }
        if (!buf_cmpcstr(&word, "PARTITION"))
            value = &args->partition;
        else if (!buf_cmpcstr(&word, "TYPE"))
            value = &args->type;
        else if (!buf_cmpcstr(&word, "MAILBOXID"))
            value = &args->id;
        else if (!buf_cmpcstr(&word, "SERVER"))
            value = &args->server;
        ok = value && s->c == ' ';
        if (ok) s->c = getastring(s->in, s->out, value);
        ok = (ok && s->c >= 0 && buf_len(value)) || bad_list(s);
    } while (ok && s->c == ' ');
    if (ok && s->c != ')') ok = bad_list(s);
    if (ok) s->c = prot_getc(s->in);
    buf_free(&word);
    return ok;
}

static bool parse_create(struct imap_session *s, struct create_args *args)
{
    if (!imap_arg_mailbox(s, &args->name)) return false;
    if (s->c == ' ' && imap_arg_peek(s) == '(') {
        prot_getc(s->in);
        if (!create_list(s, args)) return false;
    }
    else if (s->c == ' ' && !imap_arg_astring(s, &args->partition))
        return false;
    return imap_arg_end(s);
}

static int mailbox_type(const struct buf *type, uint32_t *mbtype)
{
    static const struct {
        const char *name;
        uint32_t mbtype;
    } types[] = {
        { "calendar", MBTYPE_CALENDAR },
        { "collection", MBTYPE_COLLECTION },
        { "addressbook", MBTYPE_ADDRESSBOOK },
    };

    *mbtype = MBTYPE_EMAIL;
    if (!type->s) return 0;
    for (size_t i = 0; i < array_size(types); i++) {
        if (cyr_strcasecmp(type->s, types[i].name)) continue;
        *mbtype = types[i].mbtype;
        return 0;
    }
    return IMAP_MAILBOX_BADTYPE;
}

/* Boxes INBOX.INBOX, which no client could tell from the INBOX's own (handbook 02 §1.4). */
static bool is_inbox_twice(const char *name)
{
    mbname_t *mbname = mbname_from_intname(name);
    const strarray_t *boxes = mbname_boxes(mbname);
    bool twice = strarray_size(boxes) > 1 && !strcasecmp(strarray_nth(boxes, 0), "INBOX") &&
                 !strcasecmp(strarray_nth(boxes, 1), "INBOX");

    mbname_free(&mbname);
    return twice;
}

static int check_create(struct imap_session *s, const struct create_args *args,
                        struct mboxlist_createargs *create)
{
    bool special = args->partition.s || args->id.s || args->server.s;

    if (special && !s->isadmin && !config_getstring(IMAPOPT_PROXYSERVERS))
        return IMAP_PERMISSION_DENIED;
    if (args->partition.s &&
        !(partition_name_isvalid(args->partition.s) && partition_root(args->partition.s)))
        return IMAP_PARTITION_UNKNOWN;
    if (!create->name || is_inbox_twice(create->name)) return IMAP_MAILBOX_BADNAME;
    return mailbox_type(&args->type, &create->mbtype);
}

static int create_in_txn(const struct mboxlist_createargs *create, char **uniqueid)
{
    struct txn *txn = NULL;
    struct mailbox *mailbox = NULL;

    int r = txn_begin(&txn);
    if (!r) r = mboxlist_createmailbox(txn, create, &mailbox);
    if (!r) *uniqueid = xstrdup(mailbox_uniqueid(mailbox));
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

/* A conflict of a mailbox that may have the attribute at all is USEATTR. */
static void create_failed(struct imap_session *s, const struct mboxlist_createargs *create, int r)
{
    bool useattr = create->specialuse && r == IMAP_ANNOTATION_BADENTRY;

    if (create->specialuse && r == IMAP_MAILBOX_SPECIALUSE) {
        mbname_t *mbname = mbname_from_intname(create->name);
        useattr = strarray_size(mbname_boxes(mbname)) == 1;
        mbname_free(&mbname);
    }
    if (useattr)
        imap_no(s, "[USEATTR] %s", error_message(r));
    else
        imap_result(s, r);
}

/* A client has to know when the name is not quite the one that it asked for (RFC 9051 §6.3.4). */
static void tell_name(struct imap_session *s, const char *intname, extname_t typed)
{
    char sep[] = { s->ns.hier_sep, '\0' };
    char *want = xstrdup(extname_text(typed));
    size_t len = strlen(want);
    extname_t name = imap_extname(s, intname);

    if (len > 1 && want[len - 1] == *sep) want[len - 1] = '\0'; /* "children will come", no part of it */
    if (strcmp(extname_text(name), want)) imap_print_list(s, "", name, typed);
    extname_free(&name);
    free(want);
}

void cmd_create(struct imap_session *s)
{
    struct create_args args = { 0 };
    char *intname = NULL, *uniqueid = NULL;

    if (parse_create(s, &args)) {
        intname = imap_intname(s, args.name);
        struct mboxlist_createargs create = {
            .name = intname,
            .partition = args.partition.s,
            .uniqueid = args.id.s,
            .specialuse = args.use.s ? buf_cstring(&args.use) : NULL,
            .isadmin = s->isadmin,
            .userid = s->userid,
            .auth = s->auth,
        };
        int r = check_create(s, &args, &create);
        if (!r) r = create_in_txn(&create, &uniqueid);
        if (r)
            create_failed(s, &create, r);
        else {
            imap_session_check_inbox(s);
            if (s->rev2) tell_name(s, intname, args.name);
            imap_ok(s, "[MAILBOXID (%s)] Completed", uniqueid);
        }
    }
    free(intname);
    free(uniqueid);
    create_args_fini(&args);
}
