/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * home -- GET and APPLY HOME, GET HOMES: which server of a pair is primary for a user (doc/failover.md, doc/sync-extensions.md)
 *
 * Announced as X-HOME. A server becomes the home of a user by APPLY HOME alone, which comes when the one that was it has sent all;
 * what it reads in answers to GET only takes users from it.
 */
#include <config.h>

#include "synccmd.h"

#include <stdio.h>
#include <stdlib.h>

#include "imap_err.h"
#include "libconfig.h"
#include "sync_home.h"
#include "user_record.h"
#include "xmalloc.h"

/* Who has another name here has the id: the caller frees. */
static char *name_here(const struct sync_home *said)
{
    struct user_record *rec = NULL;
    char *userid = NULL;

    if (said->id && user_record_lookup(said->userid, NULL, &rec) == IMAP_NOTFOUND && !user_record_by_id(NULL, said->id, &rec) &&
        rec->state != USER_DELETED)
        userid = xstrdup(rec->userid);
    user_record_free(&rec);
    return userid ? userid : xstrdup(said->userid);
}

static int put(struct synccmd_session *session, const char *userid, const char *as)
{
    struct sync_home said = { .userid = as ? as : userid };

    snprintf(said.here, sizeof(said.here), "%s", config_servername);
    int r = user_home_get(userid, NULL, &said.home);
    if (r && r != IMAP_NOTFOUND) return r;
    return r && !as ? 0 : synccmd_put(session, sync_home_print(&said));
}

int synccmd_get_home(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct sync_home asked;
    int r = sync_home_parse(dl, &asked);

    (void)flags;
    if (r) return r;
    char *userid = name_here(&asked);
    r = put(session, userid, asked.userid);
    free(userid);
    return r;
}

int synccmd_get_homes(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    strarray_t users = STRARRAY_INITIALIZER;
    int r = user_home_users(&users);

    (void)dl;
    (void)flags;
    for (int i = 0; !r && i < strarray_size(&users); i++) r = put(session, strarray_nth(&users, i), NULL);
    strarray_fini(&users);
    return r;
}

int synccmd_apply_home(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    struct sync_home said;
    struct txn *txn = NULL;
    int r = sync_home_parse(dl, &said);

    (void)session;
    (void)flags;
    if (r || !said.home.epoch) return IMAP_PROTOCOL_BAD_PARAMETERS;
    char *userid = name_here(&said);
    r = synccmd_begin_user(userid, &txn);
    if (!r) r = synccmd_end(&txn, user_home_take(txn, userid, said.id, &said.home));
    free(userid);
    return r;
}
