/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RENAME (RFC 3501 §6.3.5, RFC 9051 §6.3.6; handbook 04 §3.8)
 *
 * A tree is renamed in one transaction; each mailbox of it is told. RENAME INBOX moves its messages.
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "mboxlist.h"
#include "mboxlist_follow.h"
#include "strarray.h"
#include "txn.h"

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

static int check_rename(struct imap_session *s, const char *from, const char *to,
                        const char *partition)
{
    mbentry_t *mbentry = NULL;

    if (!from || !to) return IMAP_MAILBOX_BADNAME;
    if (partition && !s->isadmin) return IMAP_PERMISSION_DENIED;
    int r = mboxlist_lookup(from, &mbentry, NULL);
    if (r) return r;
    uint32_t rights = imap_rights(s, mbentry);
    mbentry_free(&mbentry);
    bool same = !strcmp(from, to); /* another partition, then: for admins */
    if (s->isadmin || ((rights & ACL_DELETEMBOX) && !same)) return 0;
    return rights & ACL_LOOKUP ? IMAP_PERMISSION_DENIED : IMAP_MAILBOX_NONEXISTENT;
}

static void tell_renames(struct imap_session *s, const struct rename_told *told)
{
    for (int i = 0; i < strarray_size(&told->from); i++) {
        extname_t from = imap_extname_in_text(s, strarray_nth(&told->from, i));
        extname_t to = imap_extname_in_text(s, strarray_nth(&told->to, i));
        if (s->rev2)
            imap_print_list(s, "", to, from);
        else
            prot_printf(s->out, "* OK rename %s %s\r\n", extname_text(from), extname_text(to));
        extname_free(&from);
        extname_free(&to);
    }
}

void cmd_rename(struct imap_session *s)
{
    extname_t from = EXTNAME_NONE, to = EXTNAME_NONE;
    struct buf partition = BUF_INITIALIZER;
    struct rename_told told = { STRARRAY_INITIALIZER, STRARRAY_INITIALIZER };
    char *intfrom = NULL, *intto = NULL;

    if (!imap_arg_mailbox(s, &from) || !imap_arg_mailbox(s, &to)) goto done;
    if (s->c == ' ' && !imap_arg_astring(s, &partition)) goto done;
    if (!imap_arg_end(s)) goto done;
    intfrom = imap_intname(s, from);
    intto = imap_intname(s, to);
    int r = check_rename(s, intfrom, intto, partition.s);
    if (!r) r = rename_in_txn(s, intfrom, intto, partition.s, &told);
    if (!r) tell_renames(s, &told);
    imap_result(s, r);
    if (!r && strarray_size(&told.from) > 1) mboxlist_follow_start();
done:
    strarray_fini(&told.from);
    strarray_fini(&told.to);
    free(intfrom);
    free(intto);
    extname_free(&from);
    extname_free(&to);
    buf_free(&partition);
}
