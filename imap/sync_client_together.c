/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_client_together -- mailboxes of many users in one round trip (X-TOGETHER, doc/sync-extensions.md)
 *
 * Messages go ahead in one command, then all mailboxes in another, which the replica does in one transaction, with one sync. Who is busy
 * here, has folders that an earlier comparison left different, or whose messages may be on the replica in another of his mailboxes
 * already, is left to those who ask first.
 */
#include <config.h>

#include "sync_client_together.h"

#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "namelock.h"
#include "sync_folderlist.h"
#include "txn.h"
#include "user_home.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MAX_KNOWN 100000       /* mailboxes; then all are forgotten */
#define MAX_USERS 100          /* in one command, with a lock of each */
#define MAX_TEXT (256u * 1024) /* bytes of the mailboxes, about */
#define MAX_OCTETS (1u << 20)  /* of messages, about */
#define MAX_FILES 1024
/* More than that which is new in several mailboxes of a user is worth a question whether it was only copied or moved. */
#define MAX_COPIED (64u * 1024)

struct state {
    char *uniqueid, *name;
    struct sync_known known;
};

/* ---- what is known ---- */

void sync_known_forget(struct sync_client *sc, const char *uniqueid)
{
    if (sc->remembers && uniqueid) free(hash_del(uniqueid, &sc->theirs));
}

void sync_known_clear(struct sync_client *sc)
{
    free_hash_table(&sc->theirs, free);
}

static void note(struct sync_client *sc, const char *uniqueid, const struct sync_known *known)
{
    if (!sc->remembers || !known->highestmodseq) return;
    if (hash_numrecords(&sc->theirs) >= MAX_KNOWN) sync_known_clear(sc);
    struct sync_known *slot = hash_lookup(uniqueid, &sc->theirs);
    if (!slot) hash_insert(uniqueid, slot = xzmalloc(sizeof(*slot)), &sc->theirs);
    *slot = *known;
}

void sync_known_note(struct sync_client *sc, const struct sync_folder *folder)
{
    struct sync_known known = { folder->last_uid, folder->crc_basic, folder->crc_annot, folder->highestmodseq };

    note(sc, folder->uniqueid, &known);
}

/* ---- who goes ---- */

bool sync_together_may(const struct sync_client *sc)
{
    return sc->remembers && sc->backend && !sc->broken && !sc->localonly && !sc->nocopyback && hash_numrecords(&sc->theirs) &&
           backend_has(sc->backend, BACKEND_CAPA_TOGETHER) && backend_has(sc->backend, BACKEND_CAPA_XPIPELINE);
}

static void snapshot_init(struct sync_snapshot *snap)
{
    *snap = (struct sync_snapshot){ .files = dlist_newlist(NULL, "MESSAGE"), .text = BUF_INITIALIZER };
}

static void free_state(void *p)
{
    struct state *state = p;

    free(state->uniqueid);
    free(state->name);
    free(state);
}

void sync_together_init(struct sync_together *t, struct sync_client *sc)
{
    *t = (struct sync_together){ .sc = sc };
    snapshot_init(&t->snap);
    sync_sent_init(&t->sent);
}

void sync_together_fini(struct sync_together *t)
{
    sync_unlock_owners(t->sc, &t->locks);
    ptrarray_fini_with(&t->states, free_state);
    dlist_free(&t->snap.files);
    buf_free(&t->snap.text);
    sync_sent_fini(&t->sent);
}

bool sync_together_is_full(const struct sync_together *t)
{
    return ptrarray_size(&t->locks) >= MAX_USERS || buf_len(&t->snap.text) >= MAX_TEXT || t->snap.octets >= MAX_OCTETS ||
           t->snap.nfiles >= MAX_FILES;
}

static const struct sync_known *known_of(const struct sync_client *sc, const mbentry_t *mbentry)
{
    uint32_t others = MBTYPE_DELETED | MBTYPE_RESERVE | MBTYPE_REMOTE | MBTYPE_INTERMEDIATE;

    return mbentry->mbtype & others ? NULL : hash_lookup(mbentry->uniqueid, &sc->theirs);
}

static bool is_his(const char *owner, const char *name)
{
    char *userid = mboxname_to_userid(name);
    bool his = !strcmp(userid ? userid : "", owner);

    free(userid);
    return his;
}

static bool add_mailbox(struct sync_together *t, const char *owner, const char *name)
{
    mbentry_t *mbentry = NULL;
    bool ok = false;

    if (is_his(owner, name) && !mboxlist_lookup(name, &mbentry, NULL)) {
        const struct sync_known *known = known_of(t->sc, mbentry);
        ok = known && !sync_mailbox_snapshot(t->sc, mbentry, known, &t->sent, &t->snap);
    }
    if (ok) {
        struct state *state = xmalloc(sizeof(*state));
        *state = (struct state){ xstrdup(mbentry->uniqueid), xstrdup(name), t->snap.state };
        ptrarray_append(&t->states, state);
    }
    mbentry_free(&mbentry);
    return ok;
}

/* What makes the replica refuse when a folder is at one end only (X-FOLDERS). */
static bool add_folders(struct sync_together *t, const char *owner)
{
    struct dlist *kl = dlist_newkvlist(NULL, NULL);
    char hex[SYNC_FOLDERLIST_HEX];
    mbentry_t *inbox = NULL;
    char *name = mboxname_user_mbox(owner, NULL);
    bool ok = !mboxlist_lookup(name, &inbox, NULL) && !hash_lookup(owner, &t->sc->unsettled) &&
              !sync_folderlist_digest(owner, t->sc->sieve_mailbox, hex);

    if (ok) {
        dlist_setatom(kl, "FOLDERS", owner);
        dlist_setatom(kl, "DIGEST", hex);
        buf_putc(&t->snap.text, ' ');
        dlist_printbuf(kl, false, &t->snap.text);
        uint64_t lsn = mboxlist_seen_lsn();
        if (lsn > t->snap.lsn) t->snap.lsn = lsn;
    }
    dlist_free(&kl);
    mbentry_free(&inbox);
    free(name);
    return ok;
}

/* Who has a home may be at home elsewhere, and the other end is asked first (sync_client_home.h). */
static bool has_home(const char *owner)
{
    struct user_home home;

    return *owner && user_home_get(owner, NULL, &home) != IMAP_NOTFOUND;
}

/* The sync lock, if nobody has it. */
static struct namelock *lock_owner(struct sync_client *sc, const char *owner)
{
    struct namelock *lock = NULL;
    bool nowait = sc->nowait;

    sc->nowait = true;
    (void)sync_client_lock(sc, owner, &lock);
    sc->nowait = nowait;
    return lock;
}

/* Messages that were listed stay, and do no harm. */
static void take_back(struct sync_together *t, size_t len, int nstates)
{
    buf_truncate(&t->snap.text, (ssize_t)len);
    while (ptrarray_size(&t->states) > nstates) free_state(ptrarray_pop(&t->states));
    sync_sent_fini(&t->sent); /* something is in it that will not be sent */
    sync_sent_init(&t->sent);
}

bool sync_together_add(struct sync_together *t, const char *owner, const strarray_t *names)
{
    size_t len = buf_len(&t->snap.text);
    uint64_t octets = t->snap.octets;
    int nstates = ptrarray_size(&t->states);
    struct namelock *lock = lock_owner(t->sc, owner);
    bool ok = lock && !has_home(owner) && (!*owner || add_folders(t, owner));

    for (int i = 0; i < strarray_size(names) && ok; i++) ok = add_mailbox(t, owner, strarray_nth(names, i));
    if (ok && strarray_size(names) > 1 && t->snap.octets - octets > MAX_COPIED) ok = false;
    if (ok) {
        ptrarray_append(&t->locks, lock);
        return true;
    }
    take_back(t, len, nstates);
    sync_client_unlock(t->sc, &lock);
    return false;
}

/* ---- sending it ---- */

static void note_error(struct sync_client *sc, int r, void *rock)
{
    int *first = rock;

    (void)sc;
    if (r && !*first) *first = r;
}

static int send_all(struct sync_together *t)
{
    struct sync_client *sc = t->sc;
    struct buf text = BUF_INITIALIZER;
    int r = txn_wait(t->snap.lsn);

    if (r) return r;
    if (t->snap.nfiles) {
        sc->more = true;
        sync_client_post(sc, "APPLY", t->snap.files, note_error, &r);
        sc->more = false;
        t->snap.files = NULL;
        sc->messages += t->snap.nfiles;
        sc->octets += t->snap.octets;
    }
    buf_printf(&text, "MAILBOXES (%s)", buf_cstring(&t->snap.text) + 1);
    sync_client_posttext(sc, "APPLY", "MAILBOXES", &text, note_error, &r);
    sync_client_settle(sc);
    buf_free(&text);
    return r;
}

int sync_together_send(struct sync_together *t)
{
    struct sync_client *sc = t->sc;

    if (!ptrarray_size(&t->states)) return 0;
    for (int i = 0; i < ptrarray_size(&t->states); i++)
        sync_client_say(sc, "MAILBOX %s", ((struct state *)ptrarray_nth(&t->states, i))->name);
    int r = send_all(t);
    for (int i = 0; i < ptrarray_size(&t->states); i++) {
        const struct state *state = ptrarray_nth(&t->states, i);
        if (r)
            sync_known_forget(sc, state->uniqueid);
        else
            note(sc, state->uniqueid, &state->known);
    }
    if (!r) sc->mailboxes += (uint64_t)ptrarray_size(&t->states);
    sync_together_fini(t);
    sync_together_init(t, sc);
    return r;
}
