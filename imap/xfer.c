/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * xfer -- a user or a shared mailbox moves to another server
 *
 * See the header. The replication lock of the owner is held all the time, so no other sync
 * client works on the same user towards this server.
 */
#include <config.h>

#include "xfer.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend.h"
#include "imap_err.h"
#include "libconfig.h"
#include "makeuuid.h"
#include "mboxlist.h"
#include "mboxlist_former.h"
#include "mboxname.h"
#include "namelock.h"
#include "partition_select.h"
#include "sync_reserve.h"
#include "times.h"
#include "txn.h"
#include "user_record.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* Seconds that the target may be silent while the owner is locked out here. */
#define LOCKED_SILENCE 20
/* Copies before each try to lock him out. */
#define MAX_ROUNDS 5
/* Tries; who is never still is copied a last time when he is locked out. */
#define MAX_TRIES 4
/* Who is locked out for longer than this is let in again, while there are tries left; so is who has written something meanwhile. */
#define BRIEF_MS 700
/* How long those who have waited for him come first then. */
#define PAUSE_MS 100

#define REMOVE_HOW (MBOXLIST_DELETE_LOCALONLY | MBOXLIST_DELETE_IMMEDIATE | MBOXLIST_DELETE_FORCE)

/* What is moved: a user (name is the user id), or a shared mailbox. */
struct move {
    const char *name;
    const char *owner; /* NULL: nobody's */
    int (*copy)(struct sync_client *sc, const char *name);
    int (*verify)(struct sync_client *sc, const char *name);
    int (*verify_rest)(struct sync_client *sc, const char *name); /* what only makes sense when nothing changes; NULL: nothing */
    const struct xfer_steps *steps;
    struct xfer_cost *cost;
};

/* Is the other end this very server, under whatever name? It is given a file that nobody else has; if it then
 * lies in a reserve area of ours, it is. The removal of the source would remove the copy. */
int xfer_refuse_self(struct sync_client *sc)
{
    char *partition = partition_select_local();
    char nonce[MAKEUUID_LEN];

    if (!partition) return IMAP_PARTITION_UNKNOWN;
    char *text = xasprintf("X-Transfer-To: %s\r\n\r\n", makeuuid(nonce));
    struct buf bytes = BUF_INITIALIZER;
    struct dlist *kl = dlist_newlist(NULL, "MESSAGE");
    struct message_guid guid;

    buf_init_ro(&bytes, text, strlen(text));
    message_guid_generate(&guid, text, strlen(text));
    dlist_newfilebuf(kl, "MESSAGE", partition, &guid, &bytes);
    int r = sync_client_command(sc, "APPLY", kl, NULL, NULL);
    if (sync_reserve_is_anywhere(&guid)) r = IMAP_BAD_SERVER;
    else if (!sc->broken) r = 0; /* it may not have that partition */
    free(partition);
    free(text);
    return r;
}

int xfer_connect(struct sync_client *sc, const char *server, const char *partition)
{
    sc->servername = server;
    sc->partition = partition;
    sc->proxy = sc->localonly = true;
    int r = sync_client_connect(sc);
    if (!r) r = xfer_refuse_self(sc);
    if (!r) r = sync_client_restart(sc);
    return r;
}

/* ---- steps ---- */

typedef int remove_fn(struct txn *txn, const char *name, const char *server);

static int remove_here(remove_fn *remove, const char *name, const char *server)
{
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r) mboxlist_moved_to(txn, server);
    if (!r) r = remove(txn, name, server);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

/* Nobody else waits for a silent target longer than this. */
static void limit_silence(struct sync_client *sc, int seconds)
{
    prot_settimeout(backend_in(sc->backend), seconds);
    prot_settimeout(backend_out(sc->backend), seconds);
}

/* *equal: as far as can be said of a user who works on. Nothing is told. */
static int compare(struct sync_client *sc, const struct move *move, bool *equal)
{
    strarray_t differences = STRARRAY_INITIALIZER;

    sc->held = &differences;
    int r = move->verify(sc, move->name);
    sc->held = NULL;
    *equal = !r && !strarray_size(&differences);
    strarray_fini(&differences);
    return r;
}

static int copy_and_compare(struct sync_client *sc, const struct move *move)
{
    move->cost->copied = true;
    int r = move->copy(sc, move->name);
    return r ? r : move->verify(sc, move->name);
}

/* *again: it would take too long, or something has come; he is to be let in, and all tried anew. */
static int compare_locked(struct sync_client *sc, const struct move *move, bool last, bool *again)
{
    bool equal = false;
    int r = compare(sc, move, &equal);

    *again = !r && !last && (!equal || monotonic_ms() - move->cost->began > BRIEF_MS);
    if (r || *again) return r;
    if (!equal) r = copy_and_compare(sc, move);
    if (!r && !sc->differences && move->verify_rest) r = move->verify_rest(sc, move->name);
    if (!r && sc->differences) r = IMAP_SYNC_CHECKSUM;
    *again = !r && !last && monotonic_ms() - move->cost->began > BRIEF_MS;
    return r;
}

static void note_let_go(struct xfer_cost *cost)
{
    unsigned long long held = monotonic_ms() - cost->began;

    cost->let_go++;
    if (held > cost->held) cost->held = held;
    nanosleep(&(struct timespec){ 0, PAUSE_MS * 1000000L }, NULL);
}

/* With the owner's namespace locked: nothing changes from here on. */
static int finish(struct sync_client *sc, const struct move *move, bool last, bool *again)
{
    struct namelock *lock = NULL;
    int usual = prot_timeout(backend_in(sc->backend));
    unsigned before = sc->commands;

    int r = namelock_user(move->owner, NAMELOCK_EXCLUSIVE, 0, &lock);
    move->cost->began = monotonic_ms();
    namelock_allow_network(true);
    limit_silence(sc, LOCKED_SILENCE);
    sc->differences = 0;
    if (!r) r = compare_locked(sc, move, last, again);
    move->cost->commands = sc->commands - before;
    if (!r && !*again && move->steps->then) r = move->steps->then(sc, move->name, move->steps->rock);
    namelock_release(&lock);
    namelock_allow_network(false);
    limit_silence(sc, usual);
    if (*again) note_let_go(move->cost);
    return r;
}

/* One comparison, as it will be made with the lock held. *ready: both ends are equal, and it would not be held for long. */
static int rehearse(struct sync_client *sc, const struct move *move, bool *equal, bool *ready)
{
    unsigned long long began = monotonic_ms();
    int r = compare(sc, move, equal);

    *ready = *equal && monotonic_ms() - began <= BRIEF_MS;
    return r;
}

/*
 * Until there is nothing new, and the target says so without delay. What can't be compared because its owner has just deleted it, or copied
 * because he is at work there all the time, say, comes in the next round.
 */
static int catch_up(struct sync_client *sc, const struct move *move)
{
    bool equal = false, ready = false;
    int r = rehearse(sc, move, &equal, &ready);

    for (int round = 0; !sc->broken && !ready && round < MAX_ROUNDS; round++) {
        if (!equal) {
            move->cost->rounds++;
            r = move->copy(sc, move->name);
            if (r && r != IMAP_SYNC_CHANGED) return r;
        }
        r = rehearse(sc, move, &equal, &ready);
    }
    return sc->broken ? r : 0;
}

static int try_to_finish(struct sync_client *sc, const struct move *move)
{
    bool again = true;
    int r = 0;

    for (int n = 1; !r && again; n++) {
        again = false;
        r = catch_up(sc, move);
        if (!r && n == 1 && move->steps->still) r = move->steps->still(sc, move->name, move->steps->rock);
        if (!r) r = finish(sc, move, n == MAX_TRIES, &again);
    }
    return r;
}

static int copy_and_finish(struct sync_client *sc, const struct move *move)
{
    struct namelock *job = NULL;
    hash_table known;

    *move->cost = (struct xfer_cost){ 0 };
    int r = sync_client_lock(sc, move->owner, &job);
    if (r) return r;
    construct_hash_table(&known, 64);
    sc->known = &known;
    r = try_to_finish(sc, move);
    sc->known = NULL;
    free_hash_table(&known, free);
    sync_client_unlock(sc, &job);
    if (!r && sync_client_restart(sc)) sc->broken = true;
    return r;
}

static int run(struct sync_client *sc, const struct move *move)
{
    int r = copy_and_finish(sc, move);

    if (r)
        syslog(LOG_ERR, "XFER of %s to %s: %s", move->name, sc->servername, error_message(r));
    else
        syslog(LOG_NOTICE, "XFER of %s to %s: moved; locked for %llu ms, %u commands", move->name, sc->servername,
               monotonic_ms() - move->cost->began, move->cost->commands);
    return r;
}

/* ---- users ---- */

static int remove_user(struct txn *txn, const char *userid, const char *server)
{
    int r = txn_lock_user(txn, userid);

    if (!r) r = user_remove(txn, userid, true, REMOVE_HOW);
    return r ? r : user_record_set_moved(txn, userid, server);
}

/* Whether he is disabled, and what both ends have counted. */
static int verify_rest_of_user(struct sync_client *sc, const char *userid)
{
    int r = sync_do_userstate(sc, userid);

    return r ? r : sync_verify_usage(sc, userid);
}

int xfer_remove_user(const char *userid, const char *server)
{
    return remove_here(remove_user, userid, server);
}

static int then_remove_user(struct sync_client *sc, const char *userid, void *rock)
{
    (void)rock;
    return xfer_remove_user(userid, sc->servername);
}

int xfer_copy_user(struct sync_client *sc, const char *userid, const struct xfer_steps *steps, struct xfer_cost *cost)
{
    const struct move move = { userid, userid, sync_do_user, sync_verify_user, verify_rest_of_user, steps, cost };

    return copy_and_finish(sc, &move);
}

int xfer_user(struct sync_client *sc, const char *userid)
{
    static const struct xfer_steps steps = { .then = then_remove_user };
    struct xfer_cost cost;
    const struct move move = { userid, userid, sync_do_user, sync_verify_user, verify_rest_of_user, &steps, &cost };
    mbentry_t *inbox = NULL;
    char *name = mboxname_user_mbox(userid, NULL);

    int r = name ? mboxlist_lookup(name, &inbox, NULL) : IMAP_MAILBOX_BADNAME;
    mbentry_free(&inbox);
    free(name);
    return r ? r : run(sc, &move);
}

/* ---- shared mailboxes ---- */

static int copy_mailbox(struct sync_client *sc, const char *name)
{
    strarray_t names = STRARRAY_INITIALIZER;

    strarray_append(&names, name);
    int r = sync_do_mailboxes(sc, &names);
    strarray_fini(&names);
    return r;
}

static int verify_mailbox(struct sync_client *sc, const char *name)
{
    strarray_t names = STRARRAY_INITIALIZER;

    strarray_append(&names, name);
    int r = sync_verify_mailboxes(sc, &names);
    strarray_fini(&names);
    return r;
}

static int remove_mailbox(struct txn *txn, const char *name, const char *server)
{
    int r = txn_lock_user(txn, NULL);

    return r ? r : mboxlist_deletemailbox(txn, name, true, NULL, NULL, REMOVE_HOW);
}

static int then_remove_mailbox(struct sync_client *sc, const char *name, void *rock)
{
    (void)rock;
    return remove_here(remove_mailbox, name, sc->servername);
}

int xfer_mailbox(struct sync_client *sc, const char *name)
{
    static const struct xfer_steps steps = { .then = then_remove_mailbox };
    struct xfer_cost cost;
    const struct move move = { name, NULL, copy_mailbox, verify_mailbox, NULL, &steps, &cost };

    return run(sc, &move);
}
