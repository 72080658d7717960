/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_reset -- remove users from this machine, normally a replica that is to be filled anew
 *
 * Ends the users' sessions, then removes subscriptions, all mailboxes (deleted ones too) with
 * their entries, quota roots and metadata, one user a transaction. Without -f it does nothing.
 * Handbook 03 §14, 05 §3.20.
 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxlist_former.h"
#include "mboxname.h"
#include "proc.h"
#include "ptrarray.h"
#include "txn.h"
#include "xmalloc.h"

static const char usage_text[] = "Usage: sync_reset [-C FILE] [-v] [-L] -f user user user ...\n";

static int collect_cb(const mbentry_t *mbentry, void *rock)
{
    ptrarray_append(rock, mbentry_dup(mbentry));
    return 0;
}

/* The DELETED tree goes too, and the tombstones of it all. */
static int remove_left_over(struct txn *txn, const char *userid, unsigned how)
{
    ptrarray_t entries = PTRARRAY_INITIALIZER;
    int r = mboxlist_usermboxtree(userid, collect_cb, &entries,
                                  MBOXTREE_DELETED | MBOXTREE_TOMBSTONES | MBOXTREE_INTERMEDIATES);

    for (int i = ptrarray_size(&entries) - 1; i >= 0; i--) {
        mbentry_t *mbentry = ptrarray_nth(&entries, i);
        if (!r && !(mbentry->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE)))
            r = mboxlist_deletemailbox(txn, mbentry->name, true, NULL, NULL, how);
        if (!r) r = mboxlist_delete_entry(txn, mbentry->name);
        if (r == IMAP_MAILBOX_NONEXISTENT) r = 0;
        mbentry_free(&mbentry);
    }
    ptrarray_fini(&entries);
    return r;
}

struct reset {
    struct txn *txn;
    const char *userid;
};

/* Nothing may say afterwards that a mailbox of the user was deleted: the next sync brings it back. */
static int forget_former(const char *name, const char *uniqueid, void *rock)
{
    const struct reset *reset = rock;
    char *owner = mboxname_to_userid(name);
    int r = strcmpnull(owner, reset->userid) ? 0 : mboxlist_former_remove(reset->txn, uniqueid);

    free(owner);
    return r;
}

static int reset_user(const char *userid, bool localonly)
{
    unsigned how = MBOXLIST_DELETE_SILENT | MBOXLIST_DELETE_IMMEDIATE | MBOXLIST_DELETE_FORCE;
    struct txn *txn = NULL;
    mbentry_t *inbox = NULL;
    char *name = mboxname_user_mbox(userid, NULL);
    int r = txn_begin(&txn);

    if (localonly) how |= MBOXLIST_DELETE_LOCALONLY;
    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = mboxlist_lookup_allow_all(name, &inbox, txn);
    if (!r) {
        proc_killuser(userid);
        r = user_deletedata(txn, userid, true);
    }
    if (!r) r = remove_left_over(txn, userid, how);
    if (!r) {
        struct reset reset = { txn, userid };
        r = mboxlist_former_foreach(0, forget_former, &reset);
    }
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    mbentry_free(&inbox);
    free(name);
    return r;
}

int main(int argc, char **argv)
{
    const char *alt_config = NULL;
    bool force = false, verbose = false, localonly = false;
    int opt;

    cyrus_std_options(argc, argv, usage_text);
    while ((opt = getopt(argc, argv, "C:vLf")) != EOF) {
        switch (opt) {
        case 'C': alt_config = optarg; break;
        case 'v': verbose = true; break;
        case 'L': localonly = true; break;
        case 'f': force = true; break;
        default: fputs(usage_text, stderr); return EX_USAGE;
        }
    }
    if (!force) {
        fputs(usage_text, stderr);
        return EX_OK;
    }
    cyrus_set_fatal_prefix("sync_reset: ");
    cyrus_init(alt_config, "sync_reset", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    txn_need_store();
    for (int i = optind; i < argc; i++) {
        if (verbose) printf("Resetting user %s\n", argv[i]);
        int r = reset_user(argv[i], localonly);
        if (!r) continue;
        fprintf(stderr, "Failed to reset user %s: %s. Bailing out!\n", argv[i], error_message(r));
        break; /* as 3.6.1, which also exits with 0 */
    }
    txn_shutdown();
    cyrus_done();
    return EX_OK;
}
