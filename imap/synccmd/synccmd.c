/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synccmd -- the commands of the replica: table, parsing, status lines
 *
 * A new command is a file beside this one and a row here. Statuses are chosen from
 * the code a command returns, so no command words its own.
 */
#include <config.h>

#include "synccmd.h"

#include <stdlib.h>
#include <strings.h>

#include "imap_err.h"
#include "imparse.h"
#include "mboxname.h"
#include "prot.h"
#include "server_role.h"
#include "sync_spool.h"
#include "user_home.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* Bytes of one argument line without its file literals: a mailbox of a million messages fits. */
#define SYNCCMD_MAXBYTES ((size_t)4 << 30)

static const struct synccmd {
    enum synccmd_verb verb;
    const char *name;
    synccmd_fn *fn;
    enum synccmd_subject subject;
    unsigned flags;
} commands[] = {
    { SYNCCMD_GET, "ANNOTATION", synccmd_get_annotation, SYNCCMD_NAMES, 0 },
    { SYNCCMD_GET, "FETCH", synccmd_get_fetch, SYNCCMD_MAILBOXES, 0 },
    { SYNCCMD_GET, "FETCH_SIEVE", synccmd_get_fetch_sieve, SYNCCMD_USERS, 0 },
    { SYNCCMD_GET, "FULLMAILBOX", synccmd_get_fullmailbox, SYNCCMD_NAMES, 0 },
    { SYNCCMD_GET, "HOME", synccmd_get_home, SYNCCMD_USERS, SYNCCMD_UNLEASED },
    { SYNCCMD_GET, "HOMES", synccmd_get_homes, SYNCCMD_SERVER, 0 },
    { SYNCCMD_GET, "MAILBOXES", synccmd_get_mailboxes, SYNCCMD_NAMES, 0 },
    { SYNCCMD_GET, "META", synccmd_get_meta, SYNCCMD_USERS, 0 },
    { SYNCCMD_GET, "NAMES", synccmd_get_names, SYNCCMD_USERS, 0 },
    { SYNCCMD_GET, "QUOTA", synccmd_get_quota, SYNCCMD_NAMES, 0 },
    { SYNCCMD_GET, "RANGES", synccmd_get_ranges, SYNCCMD_MAILBOXES, 0 },
    { SYNCCMD_GET, "ROLE", synccmd_get_role, SYNCCMD_SERVER, 0 },
    { SYNCCMD_GET, "SHARED", synccmd_get_shared, SYNCCMD_SERVER, 0 },
    { SYNCCMD_GET, "SUBHISTORY", synccmd_get_subhistory, SYNCCMD_USERS, 0 },
    { SYNCCMD_GET, "UNIQUEIDS", synccmd_get_uniqueids, SYNCCMD_IDS, 0 },
    { SYNCCMD_GET, "USAGE", synccmd_get_usage, SYNCCMD_USERS, 0 },
    { SYNCCMD_GET, "USER", synccmd_get_user, SYNCCMD_USERS, 0 },
    { SYNCCMD_GET, "USERS", synccmd_get_users, SYNCCMD_SERVER, 0 },
    { SYNCCMD_GET, "USERSTATE", synccmd_get_userstate, SYNCCMD_USERS, 0 },

    { SYNCCMD_APPLY, "ACTIVATE_SIEVE", synccmd_apply_activate_sieve, SYNCCMD_USERS, 0 },
    { SYNCCMD_APPLY, "ANNOTATION", synccmd_apply_annotation, SYNCCMD_MAILBOXES, 0 },
    { SYNCCMD_APPLY, "CAPABILITIES", synccmd_apply_capabilities, SYNCCMD_NOBODY, SYNCCMD_ANYROLE },
    { SYNCCMD_APPLY, "EXPUNGE", synccmd_apply_expunge, SYNCCMD_MAILBOXES, 0 },
    { SYNCCMD_APPLY, "FORCE", synccmd_apply_force, SYNCCMD_NOBODY, SYNCCMD_ANYROLE },
    { SYNCCMD_APPLY, "HOME", synccmd_apply_home, SYNCCMD_USERS, SYNCCMD_ANYHOME | SYNCCMD_UNLEASED },
    { SYNCCMD_APPLY, "LEAVE", synccmd_apply_leave, SYNCCMD_USERS, 0 },
    { SYNCCMD_APPLY, "LOCAL_MAILBOX", synccmd_apply_mailbox, SYNCCMD_MAILBOXES, SYNCCMD_LOCAL },
    { SYNCCMD_APPLY, "LOCAL_RENAME", synccmd_apply_rename, SYNCCMD_MAILBOXES, SYNCCMD_LOCAL },
    { SYNCCMD_APPLY, "LOCAL_RENAMES", synccmd_apply_renames, SYNCCMD_MAILBOXES, SYNCCMD_LOCAL },
    { SYNCCMD_APPLY, "LOCAL_UNMAILBOX", synccmd_apply_unmailbox, SYNCCMD_NAMES, SYNCCMD_LOCAL },
    { SYNCCMD_APPLY, "LOCAL_UNMAILBOXES", synccmd_apply_unmailboxes, SYNCCMD_MAILBOXES, SYNCCMD_LOCAL },
    { SYNCCMD_APPLY, "LOCAL_UNUSER", synccmd_apply_unuser, SYNCCMD_USERS, SYNCCMD_LOCAL },
    { SYNCCMD_APPLY, "MAILBOX", synccmd_apply_mailbox, SYNCCMD_MAILBOXES, 0 },
    { SYNCCMD_APPLY, "MAILBOXES", synccmd_apply_mailboxes, SYNCCMD_MAILBOXES, 0 },
    { SYNCCMD_APPLY, "MESSAGE", synccmd_apply_message, SYNCCMD_NOBODY, 0 },
    { SYNCCMD_APPLY, "QUOTA", synccmd_apply_quota, SYNCCMD_MAILBOXES, 0 },
    { SYNCCMD_APPLY, "RECOUNT", synccmd_apply_recount, SYNCCMD_USERS, 0 },
    { SYNCCMD_APPLY, "RENAME", synccmd_apply_rename, SYNCCMD_MAILBOXES, 0 },
    { SYNCCMD_APPLY, "RENAMES", synccmd_apply_renames, SYNCCMD_MAILBOXES, 0 },
    { SYNCCMD_APPLY, "RESERVE", synccmd_apply_reserve, SYNCCMD_MAILBOXES, 0 },
    { SYNCCMD_APPLY, "ROLE", synccmd_apply_role, SYNCCMD_SERVER, SYNCCMD_ANYROLE },
    { SYNCCMD_APPLY, "SEEN", synccmd_apply_seen, SYNCCMD_USERS, 0 },
    { SYNCCMD_APPLY, "SIEVE", synccmd_apply_sieve, SYNCCMD_USERS, 0 },
    { SYNCCMD_APPLY, "STAY", synccmd_apply_stay, SYNCCMD_USERS, 0 },
    { SYNCCMD_APPLY, "SUB", synccmd_apply_sub, SYNCCMD_USERS, 0 },
    { SYNCCMD_APPLY, "SUBHISTORY", synccmd_apply_subhistory, SYNCCMD_USERS, 0 },
    { SYNCCMD_APPLY, "UNACTIVATE_SIEVE", synccmd_apply_unactivate_sieve, SYNCCMD_USERS, 0 },
    { SYNCCMD_APPLY, "UNANNOTATION", synccmd_apply_unannotation, SYNCCMD_MAILBOXES, 0 },
    { SYNCCMD_APPLY, "UNMAILBOX", synccmd_apply_unmailbox, SYNCCMD_NAMES, 0 },
    { SYNCCMD_APPLY, "UNMAILBOXES", synccmd_apply_unmailboxes, SYNCCMD_MAILBOXES, 0 },
    { SYNCCMD_APPLY, "UNQUOTA", synccmd_apply_unquota, SYNCCMD_NAMES, 0 },
    { SYNCCMD_APPLY, "UNSIEVE", synccmd_apply_unsieve, SYNCCMD_USERS, 0 },
    { SYNCCMD_APPLY, "UNSUB", synccmd_apply_unsub, SYNCCMD_USERS, 0 },
    { SYNCCMD_APPLY, "UNUSER", synccmd_apply_unuser, SYNCCMD_USERS, 0 },
    { SYNCCMD_APPLY, "USERSTATE", synccmd_apply_userstate, SYNCCMD_USERS, 0 },

    { SYNCCMD_RESTORE, "LOCAL_MAILBOX", synccmd_restore_mailbox, SYNCCMD_MAILBOXES, SYNCCMD_LOCAL },
    { SYNCCMD_RESTORE, "MAILBOX", synccmd_restore_mailbox, SYNCCMD_MAILBOXES, 0 },
};

/* What the 3.6.1 client knows; a text must follow the word, or the client takes it for "denied". */
static const struct {
    int code;
    const char *status;
} statuses[] = {
    { 0, "OK success" },
    { IMAP_INVALID_USER, "NO IMAP_INVALID_USER No Such User" },
    { IMAP_MAILBOX_NONEXISTENT, "NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox" },
    { IMAP_MAILBOX_LOCKED, "NO IMAP_MAILBOX_LOCKED Mailbox locked" },
    { IMAP_MAILBOX_MOVED, "NO IMAP_MAILBOX_MOVED Mailbox exists with another name or uniqueid" },
    { IMAP_MAILBOX_NOTSUPPORTED,
      "NO IMAP_MAILBOX_NOTSUPPORTED Operation is not supported on mailbox" },
    { IMAP_SYNC_CHECKSUM, "NO IMAP_SYNC_CHECKSUM Checksum Failure" },
    { IMAP_SYNC_CHANGED, "NO IMAP_SYNC_CHANGED Changed since last sync" },
    { IMAP_SYNC_BADSIEVE, "NO IMAP_SYNC_BADSIEVE Sieve script compilation failure" },
    { IMAP_PROTOCOL_ERROR, "NO IMAP_PROTOCOL_ERROR Protocol error" },
    { IMAP_PROTOCOL_BAD_PARAMETERS, "NO IMAP_PROTOCOL_BAD_PARAMETERS" },
    { IMAP_INVALID_LOGIN, "NO Permission denied" }, /* the login is for some users only */
    { IMAP_REMOTE_DENIED, "NO This server is the primary" },
    { IMAP_USER_ATHOME, "NO IMAP_USER_ATHOME This user's home is this server" },
    { IMAP_NOSPACE, "NO Unknown error: the disk of this server is full" },
    { IMAP_IOERROR, "NO Unknown error: the disk of this server has failed" },
};

const char *synccmd_status(int r)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++)
        if (statuses[i].code == r) return statuses[i].status;
    return "NO Unknown error";
}

static bool has_status(int r)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++)
        if (statuses[i].code == r) return true;
    return false;
}

/* ---- sessions ---- */

void synccmd_session_init(struct synccmd_session *session, struct protstream *in,
                          struct protstream *out, const char *userid)
{
    *session = (struct synccmd_session){ .in = in, .out = out, .userid = userid };
    session->reserve = sync_reserve_new();
}

void synccmd_session_fini(struct synccmd_session *session)
{
    synccmd_lease_end(session);
    ptrarray_fini(&session->leases);
    sync_reserve_free(&session->reserve);
}

void synccmd_restart(struct synccmd_session *session)
{
    synccmd_lease_end(session);
    sync_reserve_clear(session->reserve);
}

int synccmd_parse(struct synccmd_session *session, struct dlist **dlp)
{
    struct dlist_filesink sink = sync_reserve_sink(session->reserve);
    struct dlist_parseopts opts = {
        .parsekeys = true,
        .sink = &sink,
        .maxliteral = prot_limits(session->in)->maxliteral,
        .maxbytes = SYNCCMD_MAXBYTES,
    };

    return dlist_parseline(session->in, &opts, dlp);
}

static const char *const verb_names[] = { "GET", "APPLY", "RESTORE" };

static int run_leased(struct synccmd_session *session, const struct synccmd *cmd, const struct dlist *dl)
{
    /* who only reads has no part in it, unless he is about to write */
    bool leased = (session->knows_leases || cmd->verb != SYNCCMD_GET) && !(cmd->flags & SYNCCMD_UNLEASED);
    int r = leased ? synccmd_lease_begin(session, cmd->subject, dl) : 0;

    bool guards = cmd->verb != SYNCCMD_GET && !(cmd->flags & SYNCCMD_ANYHOME);
    enum user_home_guard was = user_home_set_guard(guards ? USER_HOME_PEER : USER_HOME_UNGUARDED);
    if (!r) r = cmd->fn(session, dl, cmd->flags);
    (void)user_home_set_guard(was);
    if (!session->knows_leases) synccmd_lease_end(session);
    return r;
}

int synccmd_run(struct synccmd_session *session, enum synccmd_verb verb, const struct dlist *dl)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        const struct synccmd *cmd = &commands[i];
        if (cmd->verb != verb || !dl->name || strcasecmp(cmd->name, dl->name)) continue;
        /* who was the primary once, and does not know that it is over, must not put its state here */
        bool denied = verb != SYNCCMD_GET && !(cmd->flags & SYNCCMD_ANYROLE) && server_role_is(SERVER_ROLE_PRIMARY);
        if (session->users && !synccmd_is_allowed(session->users, cmd->subject, dl)) {
            syslog(LOG_NOTICE, "%s %s: %s may not: it is about others than its users", verb_names[verb], cmd->name, session->userid);
            return IMAP_INVALID_LOGIN;
        }
        int r = denied ? IMAP_REMOTE_DENIED : run_leased(session, cmd, dl);
        if (!has_status(r)) /* the client is told no more than that it failed */
            syslog(LOG_ERR, "SYNCERROR: %s failed: %s", cmd->name, error_message(r));
        return r;
    }
    return IMAP_PROTOCOL_ERROR;
}

/* ---- what commands share ---- */

int synccmd_put(struct synccmd_session *session, struct dlist *dl)
{
    prot_puts(session->out, "* ");
    dlist_print(dl, true, session->out);
    int r = prot_puts(session->out, "\r\n") ? IMAP_IOERROR : 0;
    dlist_free(&dl);
    return r;
}

int synccmd_put_all(struct synccmd_session *session, ptrarray_t *lines, int r)
{
    for (int i = 0; i < ptrarray_size(lines); i++) {
        struct dlist *kl = ptrarray_nth(lines, i);
        if (r)
            dlist_free(&kl);
        else
            r = synccmd_put(session, kl);
    }
    ptrarray_fini(lines);
    return r;
}

int synccmd_putspill(struct synccmd_session *session, const struct spill *text)
{
    char chunk[8192];
    ssize_t n;

    prot_puts(session->out, "* ");
    for (uint64_t at = 0; (n = spill_read(text, chunk, sizeof(chunk), at)) > 0; at += (uint64_t)n)
        prot_write(session->out, chunk, (size_t)n);
    if (n < 0) {
        prot_seterror(session->out, (int)-n, "temporary file cannot be read");
        return sync_spill_error((int)n, "read");
    }
    return prot_puts(session->out, "\r\n") ? IMAP_IOERROR : 0;
}

int synccmd_begin_user(const char *userid, struct txn **txnp)
{
    int r = txn_begin(txnp);

    if (!r) r = txn_lock_user(*txnp, userid);
    if (r) txn_abort(txnp);
    return r;
}

int synccmd_begin_mailbox(const char *name, struct txn **txnp)
{
    char *userid = mboxname_to_userid(name);
    int r = synccmd_begin_user(userid, txnp);

    free(userid);
    return r;
}

int synccmd_end(struct txn **txnp, int r)
{
    if (!r) r = txn_commit(txnp, NULL);
    if (r) txn_abort(txnp);
    return r;
}
