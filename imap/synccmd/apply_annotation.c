/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apply_annotation -- APPLY ANNOTATION, UNANNOTATION: one annotation of a mailbox or the server
 *
 * A silent change without rights (handbook 03 §6.8). As 3.6.1 does, it goes the way of SETMETADATA, so an entry
 * must be known, and its value of the entry's type; some entries are files or options of the mailbox.
 */
#include <config.h>

#include "synccmd.h"

#include "imap_err.h"
#include "mboxlist.h"
#include "metadata.h"
#include "sync_name.h"

/* value NULL: remove */
static int change_annotation(const struct dlist *dl, const struct buf *value)
{
    const char *name, *entry, *userid;
    mbentry_t *mbentry = NULL;
    struct txn *txn = NULL;
    struct buf full = BUF_INITIALIZER;

    if (!sync_getname_or_server(dl, "MBOXNAME", &name) || !dlist_getatom(dl, "ENTRY", &entry) || !*entry ||
        !dlist_getatom(dl, "USERID", &userid))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = *name ? synccmd_begin_mailbox(name, &txn) : txn_begin(&txn);
    if (r) return r;
    if (*name) r = mboxlist_lookup(name, &mbentry, txn);
    struct metadata_who who = {
        .userid = userid, .isadmin = true, .ignorequota = true, .silent = true
    };
    buf_printf(&full, "%s%s", *userid ? "/private" : "/shared", entry);
    if (!r) r = metadata_set(&who, txn, mbentry, buf_cstring(&full), value);
    buf_free(&full);
    mbentry_free(&mbentry);
    return synccmd_end(&txn, r);
}

int synccmd_apply_annotation(struct synccmd_session *session, const struct dlist *dl,
                             unsigned flags)
{
    struct buf value = BUF_INITIALIZER;

    if (!dlist_getbuf(dl, "VALUE", &value)) return IMAP_PROTOCOL_BAD_PARAMETERS;
    return change_annotation(dl, &value);
}

int synccmd_apply_unannotation(struct synccmd_session *session, const struct dlist *dl,
                               unsigned flags)
{
    return change_annotation(dl, NULL);
}
