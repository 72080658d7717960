/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3.3-§6.3.7, RFC 6154, RFC 8474; handbook 04 §3.5-§3.8)
 *
 * Each is one transaction: a tree is renamed or deleted as a whole, or not at all.
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "index.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "txn.h"
#include "user.h"
#include "xmalloc.h"

/* ---- CREATE ---- */

struct create_args {
    struct buf name, partition, type, id, server, use;
};

static void create_args_fini(struct create_args *args)
{
    buf_free(&args->name);
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
    if (!imap_arg_astring(s, &args->name)) return false;
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

static int check_create(struct imap_session *s, const struct create_args *args,
                        struct mboxlist_createargs *create)
{
    bool special = args->partition.s || args->id.s || args->server.s;

    if (special && !s->isadmin && !config_getstring(IMAPOPT_PROXYSERVERS))
        return IMAP_PERMISSION_DENIED;
    if (args->partition.s &&
        !(partition_name_isvalid(args->partition.s) && partition_root(args->partition.s)))
        return IMAP_PARTITION_UNKNOWN;
    if (!create->name) return IMAP_MAILBOX_BADNAME;
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
    imap_no(s, "%s%s", useattr ? "[USEATTR] " : "", error_message(r));
}

void cmd_create(struct imap_session *s)
{
    struct create_args args = { 0 };
    char *intname = NULL, *uniqueid = NULL;

    if (parse_create(s, &args)) {
        intname = imap_intname(s, buf_cstring(&args.name));
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
            imap_ok(s, "[MAILBOXID (%s)] Completed", uniqueid);
        }
    }
    free(intname);
    free(uniqueid);
    create_args_fini(&args);
}

/* ---- DELETE ---- */

static int collect_cb(const mbentry_t *mbentry, void *rock)
{
    strarray_append(rock, mbentry->name);
    return 0;
}

/* A user as a whole: children first, then the INBOX, then what else is his. */
static int delete_user(struct imap_session *s, struct txn *txn, const char *inbox)
{
    strarray_t names = STRARRAY_INITIALIZER;
    char *userid = mboxname_to_userid(inbox);

    int r = txn_lock_user(txn, userid);
    if (!r)
        r = mboxlist_deletemailbox(txn, inbox, s->isadmin, s->userid, s->auth,
                                   MBOXLIST_DELETE_CHECKACL | MBOXLIST_DELETE_FORCE);
    if (!r)
        r = mboxlist_mboxtree(inbox, collect_cb, &names,
                              MBOXTREE_SKIP_ROOT | MBOXTREE_INTERMEDIATES);
    for (int i = strarray_size(&names) - 1; !r && i >= 0; i--)
        r = mboxlist_deletemailbox(txn, strarray_nth(&names, i), s->isadmin, s->userid, s->auth,
                                   MBOXLIST_DELETE_FORCE);
    if (!r) r = user_deletedata(txn, userid, false);
    free(userid);
    strarray_fini(&names);
    return r;
}

static int delete_in_txn(struct imap_session *s, const char *intname)
{
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r && s->isadmin && mboxname_isusermailbox(intname, true))
        r = delete_user(s, txn, intname);
    else if (!r)
        r = mboxlist_deletemailbox(txn, intname, s->isadmin, s->userid, s->auth,
                                   MBOXLIST_DELETE_CHECKACL);
    if (!r && s->userid && config_getswitch(IMAPOPT_DELETE_UNSUBSCRIBE))
        r = sub_change(txn, s->userid, intname, false);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

void cmd_delete(struct imap_session *s)
{
    struct buf name = BUF_INITIALIZER;
    mbentry_t *mbentry = NULL;
    char *intname = NULL;

    if (imap_arg_astring(s, &name) && imap_arg_end(s)) {
        int r = imap_lookup(s, buf_cstring(&name), ACL_LOOKUP, &intname, &mbentry);
        /* Without l but with x it may be deleted, too. */
        if (r == IMAP_MAILBOX_NONEXISTENT) {
            r = imap_lookup(s, buf_cstring(&name), ACL_DELETEMBOX, &intname, &mbentry);
            if (r == IMAP_PERMISSION_DENIED) r = IMAP_MAILBOX_NONEXISTENT;
        }
        if (!r) r = delete_in_txn(s, intname);
        imap_result(s, r);
    }
    mbentry_free(&mbentry);
    free(intname);
    buf_free(&name);
}

/* ---- RENAME ---- */

struct rename_told {
    strarray_t from, to; /* internal names */
};

static void renamed(const char *oldname, const char *newname, void *rock)
{
    struct rename_told *told = rock;

    strarray_append(&told->from, oldname);
    strarray_append(&told->to, newname);
}

static int rename_in_txn(struct imap_session *s, const char *from, const char *to,
                         const char *partition, struct rename_told *told)
{
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r)
        r = mboxlist_renametree(txn, from, to, partition, s->isadmin, s->userid, s->auth, 0,
                                renamed, told);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

/* RENAME INBOX: the messages move to a new mailbox, the INBOX stays. */
static int rename_inbox(struct imap_session *s, const char *inbox, const char *to)
{
    const struct index_args open = {
        .name = inbox,
        .userid = s->userid,
        .auth = s->auth,
        .isadmin = s->isadmin,
    };
    struct mboxlist_createargs create = {
        .name = to,
        .isadmin = s->isadmin,
        .userid = s->userid,
        .auth = s->auth,
    };
    struct index_state *index = NULL;
    struct index_copied copied = { 0 };
    char *uniqueid = NULL;

    int r = create_in_txn(&create, &uniqueid);
    if (!r) r = index_open(&open, &index);
    if (!r) {
        struct seqset *all = index_parse_sequence(index, "1:*", false);
        r = index_copy(index, all, to, true, true, &copied);
        if (r == IMAP_NO_NOSUCHMSG) r = 0;
        seqset_free(all);
        index_copied_fini(&copied);
    }
    index_close(&index);
    free(uniqueid);
    return r;
}

static int check_rename(struct imap_session *s, const char *from, const char *to,
                        const char *partition)
{
    mbentry_t *mbentry = NULL;

    if (!from || !to) return IMAP_MAILBOX_BADNAME;
    if (partition && !s->isadmin) return IMAP_PERMISSION_DENIED;
    if (!strcmp(from, to) && !s->isadmin) return IMAP_PERMISSION_DENIED;
    int r = mboxlist_lookup(from, &mbentry, NULL);
    if (r) return r;
    uint32_t rights = imap_rights(s, mbentry);
    mbentry_free(&mbentry);
    if (s->isadmin || (rights & ACL_DELETEMBOX)) return 0;
    return rights & ACL_LOOKUP ? IMAP_PERMISSION_DENIED : IMAP_MAILBOX_NONEXISTENT;
}

static void tell_renames(struct imap_session *s, const struct rename_told *told)
{
    for (int i = 0; i < strarray_size(&told->from); i++) {
        char *from = imap_extname(s, strarray_nth(&told->from, i));
        char *to = imap_extname(s, strarray_nth(&told->to, i));
        prot_printf(s->out, "* OK rename %s %s\r\n", from, to);
        free(from);
        free(to);
    }
}

void cmd_rename(struct imap_session *s)
{
    struct buf from = BUF_INITIALIZER, to = BUF_INITIALIZER, partition = BUF_INITIALIZER;
    struct rename_told told = { STRARRAY_INITIALIZER, STRARRAY_INITIALIZER };
    char *intfrom = NULL, *intto = NULL;

    if (!imap_arg_astring(s, &from) || !imap_arg_astring(s, &to)) goto done;
    if (s->c == ' ' && !imap_arg_astring(s, &partition)) goto done;
    if (!imap_arg_end(s)) goto done;
    intfrom = imap_intname(s, buf_cstring(&from));
    intto = imap_intname(s, buf_cstring(&to));
    int r = check_rename(s, intfrom, intto, partition.s);
    if (!r && !partition.s && !s->isadmin && mboxname_isusermailbox(intfrom, true) &&
        imap_is_owner(s, intfrom))
        r = rename_inbox(s, intfrom, intto);
    else if (!r)
        r = rename_in_txn(s, intfrom, intto, partition.s, &told);
    if (!r) tell_renames(s, &told);
    imap_result(s, r);
done:
    strarray_fini(&told.from);
    strarray_fini(&told.to);
    free(intfrom);
    free(intto);
    buf_free(&from);
    buf_free(&to);
    buf_free(&partition);
}

/* ---- SUBSCRIBE, UNSUBSCRIBE ---- */

/* "name", or the old "mailbox name". */
static bool parse_subscription(struct imap_session *s, struct buf *name)
{
    struct buf second = BUF_INITIALIZER;
    bool ok = imap_arg_astring(s, name);

    if (ok && s->c == ' ') {
        ok = imap_arg_astring(s, &second);
        if (ok && cyr_strcasecmp(buf_cstring(name), "mailbox") &&
            cyr_strcasecmp(buf_cstring(name), "bboard")) {
            imap_bad(s, "Invalid %s subcommand", buf_cstring(&s->cmdname));
            ok = false;
        }
        if (ok) buf_move(name, &second);
    }
    buf_free(&second);
    return ok && imap_arg_end(s);
}

static int change_subscription(struct imap_session *s, const char *intname, bool subscribe)
{
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, s->userid);
    if (!r) r = sub_change(txn, s->userid, intname, subscribe);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

static void subscription(struct imap_session *s, bool subscribe)
{
    struct buf name = BUF_INITIALIZER;
    mbentry_t *mbentry = NULL;
    char *intname = NULL;

    if (parse_subscription(s, &name)) {
        intname = imap_intname(s, buf_cstring(&name));
        int r = intname ? 0 : IMAP_MAILBOX_NONEXISTENT;
        if (!r && subscribe && !config_getswitch(IMAPOPT_ALLOWALLSUBSCRIBE))
            r = imap_lookup(s, buf_cstring(&name), ACL_LOOKUP, NULL, &mbentry);
        if (!r) r = change_subscription(s, intname, subscribe);
        if (!subscribe && !intname) r = 0;
        if (r)
            imap_no(s, "%s: %s", buf_cstring(&s->cmdname), error_message(r));
        else
            imap_ok(s, "Completed");
    }
    mbentry_free(&mbentry);
    free(intname);
    buf_free(&name);
}

void cmd_subscribe(struct imap_session *s)
{
    subscription(s, true);
}

void cmd_unsubscribe(struct imap_session *s)
{
    subscription(s, false);
}
