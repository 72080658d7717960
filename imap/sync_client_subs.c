/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_subs -- subscriptions: the set of the master, or with X-SUBHISTORY who said last (doc/sync-extensions.md)
 *
 * A replica that keeps no history gets SUB and UNSUB until it has our set, as from 3.6.1; so does one that must
 * not change anything here (-O). Else both ends tell each other what the other does not know yet.
 */
#include <config.h>

#include "sync_client.h"

#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "mboxlist.h"
#include "sub_history.h"
#include "sync_name.h"
#include "sync_subs.h"
#include "user.h"
#include "xmalloc.h"

/* ---- sets ---- */

static int do_sub(struct sync_client *sc, const char *cmd, const char *userid, const char *name)
{
    struct dlist *kl = dlist_newkvlist(NULL, cmd);

    sync_client_say(sc, "%s %s %s", cmd, userid, name);
    dlist_setatom(kl, "USERID", userid);
    dlist_setatom(kl, "MBOXNAME", name);
    return sync_client_command(sc, "APPLY", kl, NULL, NULL);
}

static int do_set(struct sync_client *sc, const char *userid, const strarray_t *remote)
{
    strarray_t local = STRARRAY_INITIALIZER;
    int r = sub_list(userid, &local);

    for (int i = 0; i < strarray_size(&local) && !r; i++)
        if (!strarray_contains(remote, strarray_nth(&local, i)))
            r = do_sub(sc, "SUB", userid, strarray_nth(&local, i));
    for (int i = 0; i < strarray_size(remote) && !r; i++)
        if (!strarray_contains(&local, strarray_nth(remote, i)))
            r = do_sub(sc, "UNSUB", userid, strarray_nth(remote, i));
    strarray_fini(&local);
    return r;
}

/* ---- histories ---- */

struct exchange {
    struct sync_client *sc;
    const char *userid;
    struct sub_list ours, theirs;
    char *digest; /* theirs */
};

static int history_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    struct exchange *ex = rock;
    const char *digest, *userid;

    if (strcmp((*dlp)->name, "SUBHISTORY") != 0) return IMAP_PROTOCOL_ERROR;
    if (!sync_getuserid(*dlp, "USERID", &userid) || strcmp(userid, ex->userid) != 0) return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (dlist_getatom(*dlp, "DIGEST", &digest)) {
        free(ex->digest);
        ex->digest = xstrdup(digest);
    }
    return sync_subs_parse(*dlp, &ex->theirs);
}

static char *name_now(const char *uniqueid, void *rock)
{
    mbentry_t *mbentry = NULL;
    char *name = NULL;

    if (!mboxlist_lookup_by_uniqueid(uniqueid, &mbentry, false, NULL)) name = xstrdup(mbentry->name);
    mbentry_free(&mbentry);
    return name;
}

static void copy(struct sub_list *to, const struct sub_list *from)
{
    for (size_t i = 0; i < from->n; i++) sub_list_merge(to, &from->v[i]);
}

static int take_theirs(struct exchange *ex, const struct sub_list *take)
{
    for (size_t i = 0; i < take->n; i++) {
        const struct sub_entry *e = &take->v[i], *was = sub_list_find(&ex->ours, e->name);
        if (e->on != (was && was->on))
            sync_client_say(ex->sc, "%s %s %s, as the replica says", e->on ? "SUB" : "UNSUB", ex->userid, e->name);
    }
    return take->n ? sub_history_apply(ex->userid, take, NULL) : 0;
}

static int give_ours(struct exchange *ex, const struct sub_list *give)
{
    int r = 0;

    for (size_t i = 0; i < give->n; i++) {
        const struct sub_entry *e = &give->v[i], *was = sub_list_find(&ex->theirs, e->name);
        if (e->on != (was && was->on))
            sync_client_say(ex->sc, "%s %s %s", e->on ? "SUB" : "UNSUB", ex->userid, e->name);
    }
    for (size_t next = 0; !r && next < give->n;)
        r = sync_client_command(ex->sc, "APPLY", sync_subs_print(ex->userid, give, &next), NULL, NULL);
    return r;
}

static int meet(struct exchange *ex, unsigned classes)
{
    struct sub_list take = SUB_LIST_INITIALIZER, give = SUB_LIST_INITIALIZER, merged = SUB_LIST_INITIALIZER;

    sub_list_compare(&ex->ours, &ex->theirs, classes, &take, &give);
    copy(&merged, &ex->ours);
    copy(&merged, &ex->theirs);
    sub_list_follow(&merged, &take, &give, sub_history_stamp(&merged), name_now, NULL);
    int r = take_theirs(ex, &take);
    if (!r) r = give_ours(ex, &give);
    sub_list_fini(&merged);
    sub_list_fini(&take);
    sub_list_fini(&give);
    return r;
}

/* What the ends do not know of each other; *classes 0: they know all. */
static int ask_history(struct exchange *ex, unsigned *classes)
{
    struct buf digest = BUF_INITIALIZER;
    int r = sub_history_read(ex->userid, &ex->ours);

    if (!r) r = sync_client_command(ex->sc, "GET", sync_subs_digest(ex->userid, &ex->ours), history_line, ex);
    if (!r) {
        sub_list_digest(&ex->ours, &digest);
        if (!ex->digest || !sub_digest_differ(buf_cstring(&digest), ex->digest, classes)) r = IMAP_PROTOCOL_BAD_PARAMETERS;
    }
    buf_free(&digest);
    return r;
}

static void exchange_fini(struct exchange *ex)
{
    sub_list_fini(&ex->ours);
    sub_list_fini(&ex->theirs);
    free(ex->digest);
}

static int do_history(struct sync_client *sc, const char *userid)
{
    struct exchange ex = { .sc = sc, .userid = userid };
    unsigned classes = 0;
    int r = ask_history(&ex, &classes);

    if (!r && classes) r = meet(&ex, classes);
    exchange_fini(&ex);
    return r;
}

/* Subscriptions of which the replica has not heard; it may have ended others itself. */
static int lost_of_history(struct sync_client *sc, const char *userid, strarray_t *lost)
{
    struct exchange ex = { .sc = sc, .userid = userid };
    struct sub_list take = SUB_LIST_INITIALIZER, give = SUB_LIST_INITIALIZER;
    unsigned classes = 0;
    int r = ask_history(&ex, &classes);

    if (!r && classes) sub_list_compare(&ex.ours, &ex.theirs, classes, &take, &give);
    for (size_t i = 0; i < give.n; i++)
        if (give.v[i].on) strarray_append(lost, give.v[i].name);
    sub_list_fini(&take);
    sub_list_fini(&give);
    exchange_fini(&ex);
    return r;
}

int sync_lost_subs(struct sync_client *sc, const char *userid, const strarray_t *remote, strarray_t *lost)
{
    strarray_t local = STRARRAY_INITIALIZER;

    if (backend_has(sc->backend, BACKEND_CAPA_SUBHISTORY)) return lost_of_history(sc, userid, lost);
    int r = sub_list(userid, &local);
    for (int i = 0; i < strarray_size(&local); i++)
        if (!strarray_contains(remote, strarray_nth(&local, i))) strarray_append(lost, strarray_nth(&local, i));
    strarray_fini(&local);
    return r;
}

int sync_do_subs(struct sync_client *sc, const char *userid, const strarray_t *remote)
{
    if (!sc->nocopyback && backend_has(sc->backend, BACKEND_CAPA_SUBHISTORY)) return do_history(sc, userid);
    return do_set(sc, userid, remote);
}

int sync_do_sub(struct sync_client *sc, const char *userid, const char *name)
{
    strarray_t local = STRARRAY_INITIALIZER;

    if (!sc->nocopyback && backend_has(sc->backend, BACKEND_CAPA_SUBHISTORY)) return do_history(sc, userid);
    int r = sub_list(userid, &local);
    if (!r) r = do_sub(sc, strarray_contains(&local, name) ? "SUB" : "UNSUB", userid, name);
    strarray_fini(&local);
    return r;
}
