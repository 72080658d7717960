/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_folderlist -- one digest over the names of a user's folders: X-FOLDERS (doc/sync-extensions.md)
 *
 * Bare parents, tombstones and what is deleted are each server's own, and not in it.
 */
#include <config.h>

#include "sync_folderlist.h"

#include <string.h>

#include "digest.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "util.h"

struct rock {
    struct digest *digest;
    bool sieve;
};

static int add_cb(const mbentry_t *mbentry, void *rock)
{
    const struct rock *d = rock;

    if ((mbentry->mbtype & (MBTYPE_DELETED | MBTYPE_RESERVE | MBTYPE_REMOTE | MBTYPE_INTERMEDIATE)) || !mbentry->uniqueid)
        return 0;
    if (mbtype_isa(mbentry->mbtype) == MBTYPE_SIEVE && !d->sieve) return 0;
    digest_update(d->digest, mbentry->uniqueid, strlen(mbentry->uniqueid) + 1);
    digest_update(d->digest, mbentry->name, strlen(mbentry->name));
    digest_update(d->digest, "\n", 1);
    return 0;
}

int sync_folderlist_digest(const char *userid, bool sieve, char hex[SYNC_FOLDERLIST_HEX])
{
    struct rock d = { digest_new(DIGEST_SHA256), sieve };
    unsigned char sum[32];
    int r = mboxlist_usermboxtree(userid, add_cb, &d, 0);

    digest_final(d.digest, sum);
    digest_free(d.digest);
    bin_to_hex(sum, SYNC_FOLDERLIST_HEX / 2, hex);
    return r;
}
