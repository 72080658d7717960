/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_meta -- quota limits, seen records, scripts, annotations
 *
 * Each compares two lists and sends the difference (handbook 03 §10.7, §10.8). What is
 * the same on both ends is not sent.
 */
#include <config.h>

#include "sync_client.h"

#include <stdlib.h>
#include <string.h>

#include "annotate.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "namelock.h"
#include "quota.h"
#include "sync_quota.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

static int apply_atom(struct sync_client *sc, const char *cmd, const char *arg)
{
    sync_client_say(sc, "%s %s", cmd, arg);
    return sync_client_command(sc, "APPLY", dlist_newatom(NULL, cmd, arg), NULL, NULL);
}

/* ---- quota ---- */

static const struct quota *find_quota(const ptrarray_t *quotas, const char *root)
{
    for (int i = 0; i < ptrarray_size(quotas); i++) {
        const struct quota *q = ptrarray_nth(quotas, i);
        if (!strcmp(q->root, root)) return q;
    }
    return NULL;
}

static int do_quota(struct sync_client *sc, const char *root, const struct quota *remote)
{
    struct quota q;

    int r = quota_read(root, NULL, &q);
    if (r == IMAP_QUOTAROOT_NONEXISTENT) {
        r = apply_atom(sc, "UNQUOTA", root);
    }
    else if (!r && !(remote && sync_quota_same_limits(&q, remote))) {
        sync_client_say(sc, "QUOTA %s", root);
        r = sync_client_command(sc, "APPLY", sync_quota_print(&q, "QUOTA"), NULL, NULL);
    }
    quota_free(&q);
    return r;
}

int sync_do_quotas(struct sync_client *sc, const strarray_t *roots, const ptrarray_t *remote)
{
    int r = 0;

    for (int i = 0; i < strarray_size(roots) && !r; i++)
        r = do_quota(sc, strarray_nth(roots, i), find_quota(remote, strarray_nth(roots, i)));
    for (int i = 0; i < ptrarray_size(remote) && !r; i++) {
        const struct quota *q = ptrarray_nth(remote, i);
        if (!strarray_contains(roots, q->root)) r = apply_atom(sc, "UNQUOTA", q->root);
    }
    return r;
}

/* ---- seen ---- */

static bool seen_is_there(const struct sync_remote_seen *seen, const ptrarray_t *remote)
{
    const struct sync_remote_seen *other = sync_seen_find(remote, seen->uniqueid);

    return other && sync_seen_equal(other, seen);
}

static int do_seen(struct sync_client *sc, const char *userid, const struct sync_remote_seen *seen)
{
    struct dlist *kl = dlist_newkvlist(NULL, "SEEN");

    sync_client_say(sc, "SEEN %s %s", userid, seen->uniqueid);
    dlist_setatom(kl, "USERID", userid);
    dlist_setatom(kl, "UNIQUEID", seen->uniqueid);
    dlist_setdate(kl, "LASTREAD", seen->sd.lastread);
    dlist_setnum32(kl, "LASTUID", seen->sd.lastuid);
    dlist_setdate(kl, "LASTCHANGE", seen->sd.lastchange);
    dlist_setatom(kl, "SEENUIDS", seen->sd.seenuids);
    return sync_client_command(sc, "APPLY", kl, NULL, NULL);
}

int sync_do_seen(struct sync_client *sc, const char *userid, const ptrarray_t *remote)
{
    ptrarray_t local = PTRARRAY_INITIALIZER;
    int r = sync_local_seen(userid, &local);

    for (int i = 0; i < ptrarray_size(&local) && !r; i++) {
        const struct sync_remote_seen *seen = ptrarray_nth(&local, i);
        if (seen_is_there(seen, remote)) continue;
        int er = do_seen(sc, userid, seen);
        if (sc->broken) r = er; /* a refusal does not matter, as in 3.6.1 */
    }
    sync_seen_fini(&local);
    return r;
}

int sync_do_seen_record(struct sync_client *sc, const char *userid, const char *uniqueid)
{
    ptrarray_t local = PTRARRAY_INITIALIZER;
    int r = sync_local_seen(userid, &local);
    const struct sync_remote_seen *seen = sync_seen_find(&local, uniqueid);

    if (!r && seen) r = do_seen(sc, userid, seen);
    sync_seen_fini(&local);
    return r;
}

/* ---- scripts, for a replica that does not take them as a mailbox ---- */

static const struct sync_sieve *find_script(const struct sync_sieve_list *list,
                                            const char *filename)
{
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->v[i].filename, filename)) return &list->v[i];
    return NULL;
}

static int sieve_command(struct sync_client *sc, const char *cmd, const char *userid,
                         const char *filename)
{
    struct dlist *kl = dlist_newkvlist(NULL, cmd);

    sync_client_say(sc, "%s %s%s%s", cmd, userid, filename ? " " : "", filename ? filename : "");
    dlist_setatom(kl, "USERID", userid);
    if (filename) dlist_setatom(kl, "FILENAME", filename);
    return sync_client_command(sc, "APPLY", kl, NULL, NULL);
}

static int upload_script(struct sync_client *sc, const char *userid,
                         const struct sync_sieve *script)
{
    struct buf content = BUF_INITIALIZER;
    int r = sync_sieve_fetch(userid, script->filename, &content);

    if (!r) {
        struct dlist *kl = dlist_newkvlist(NULL, "SIEVE");
        sync_client_say(sc, "SIEVE %s %s", userid, script->filename);
        dlist_setatom(kl, "USERID", userid);
        dlist_setatom(kl, "FILENAME", script->filename);
        dlist_setdate(kl, "LAST_UPDATE", script->last_update);
        dlist_setmap(kl, "CONTENT", buf_base(&content), buf_len(&content));
        r = sync_client_command(sc, "APPLY", kl, NULL, NULL);
    }
    buf_free(&content);
    return r == IMAP_MAILBOX_NONEXISTENT ? 0 : r;
}

static const struct sync_sieve *active_script(const struct sync_sieve_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->v[i].active) return &list->v[i];
    return NULL;
}

int sync_do_sieve(struct sync_client *sc, const char *userid, const struct sync_sieve_list *remote)
{
    struct sync_sieve_list local = SYNC_SIEVE_LIST_INITIALIZER;
    int r = sync_sieve_read(userid, &local);

    for (size_t i = 0; i < local.n && !r; i++) {
        const struct sync_sieve *other = find_script(remote, local.v[i].filename);
        if (local.v[i].active) continue;
        if (!other || !message_guid_equal(&other->guid, &local.v[i].guid))
            r = upload_script(sc, userid, &local.v[i]);
    }
    const struct sync_sieve *ours = active_script(&local), *theirs = active_script(remote);
    if (!r && ours && !(theirs && !strcmp(theirs->filename, ours->filename)))
        r = sieve_command(sc, "ACTIVATE_SIEVE", userid, ours->filename);
    if (local.nodir) goto done; /* that a script was removed is known only where there is a directory */
    if (!r && !ours && theirs) r = sieve_command(sc, "UNACTIVATE_SIEVE", userid, NULL);
    for (size_t i = 0; i < remote->n && !r; i++)
        if (!remote->v[i].active && !find_script(&local, remote->v[i].filename))
            r = sieve_command(sc, "UNSIEVE", userid, remote->v[i].filename);
done:
    sync_sieve_list_fini(&local);
    return r;
}

/* ---- all of it ---- */

int sync_do_meta(struct sync_client *sc, const char *userid)
{
    struct sync_state state = SYNC_STATE_INITIALIZER;

    sync_client_say(sc, "META %s", userid);
    int r = sync_state_get(sc, "META", userid, &state);
    if (!r) r = sync_do_seen(sc, userid, &state.seen);
    if (!r) r = sync_do_subs(sc, userid, &state.subs);
    if (!r && (!sc->sieve_mailbox || sc->sieve_files)) r = sync_do_sieve(sc, userid, &state.scripts);
    sync_client_let_go(sc);
    sync_state_fini(&state);
    return r;
}

/* ---- annotations of the server or one mailbox ---- */

static int collect_annot(const char *mboxname, uint32_t uid, const struct annotation *annot,
                         void *rock)
{
    if (buf_len(&annot->value))
        sync_annots_add(rock, annot->entry, annot->userid, buf_base(&annot->value),
                        buf_len(&annot->value), annot->modseq);
    return 0;
}

static int annotation_line(struct sync_client *sc, struct dlist **dlp, void *rock)
{
    const char *entry, *userid;
    struct buf value = BUF_INITIALIZER;

    if (strcmp((*dlp)->name, "ANNOTATION") != 0) return IMAP_PROTOCOL_ERROR;
    if (!dlist_getatom(*dlp, "ENTRY", &entry) || !dlist_getatom(*dlp, "USERID", &userid) ||
        !dlist_getbuf(*dlp, "VALUE", &value))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    sync_annots_add(rock, entry, userid, buf_base(&value), buf_len(&value), 0);
    return 0;
}

static int send_annot(struct sync_client *sc, const char *cmd, const char *name,
                      const struct sync_annot *a)
{
    struct dlist *kl = dlist_newkvlist(NULL, cmd);

    sync_client_say(sc, "%s %s %s %s", cmd, name, a->entry, a->userid);
    dlist_setatom(kl, "MBOXNAME", name);
    dlist_setatom(kl, "ENTRY", a->entry);
    dlist_setatom(kl, "USERID", a->userid);
    if (*cmd == 'A') dlist_setmap(kl, "VALUE", buf_base(&a->value), buf_len(&a->value));
    return sync_client_command(sc, "APPLY", kl, NULL, NULL);
}

int sync_do_annotation(struct sync_client *sc, const char *name)
{
    struct sync_annots ours = SYNC_ANNOTS_INITIALIZER, theirs = SYNC_ANNOTS_INITIALIZER;
    mbentry_t *mbentry = NULL;
    int r = *name ? mboxlist_lookup(name, &mbentry, NULL) : 0;

    if (!r) r = annotatemore_foreach(mbentry, NULL, NULL, NULL, collect_annot, &ours);
    if (!r)
        r = sync_client_command(sc, "GET", dlist_newatom(NULL, "ANNOTATION", name), annotation_line,
                                &theirs);
    for (size_t i = 0; i < theirs.n && !r; i++)
        if (!sync_annots_find(&ours, theirs.v[i].entry, theirs.v[i].userid))
            r = send_annot(sc, "UNANNOTATION", name, &theirs.v[i]);
    for (size_t i = 0; i < ours.n && !r; i++) {
        const struct sync_annot *a = &ours.v[i];
        const struct sync_annot *old = sync_annots_find(&theirs, a->entry, a->userid);
        if (!old || !buf_equal(&old->value, &a->value)) r = send_annot(sc, "ANNOTATION", name, a);
    }
    mbentry_free(&mbentry);
    sync_annots_fini(&ours);
    sync_annots_fini(&theirs);
    return r;
}
