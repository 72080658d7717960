/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * XFER: users and shared mailboxes move to another server (handbook 06 §3.1)
 *
 * XFER name server [partition]. The name is a user's INBOX (the whole user moves), a shared mailbox or
 * a pattern for such, or a partition of this server. Each one is told as it is done; the tagged answer is OK only
 * if every one has moved. With mupdate_server the directory would have to be told: refused.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "imapcmd.h"
#include "index.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "xfer.h"
#include "xmalloc.h"

struct job {
    struct imap_session *s;
    const char *partition; /* all that lies there; NULL: by name */
    strarray_t users, mailboxes; /* user ids, internal names */
};

/* ---- what is to be moved ---- */

static void add(struct job *job, const mbentry_t *mbentry)
{
    if (mboxname_isusermailbox(mbentry->name, true)) {
        char *userid = mboxname_to_userid(mbentry->name);
        strarray_append(&job->users, userid);
        free(userid);
    }
    else if (!mboxname_isusermailbox(mbentry->name, false) &&
             !mboxname_isdeletedmailbox(mbentry->name, NULL)) {
        strarray_append(&job->mailboxes, mbentry->name);
    }
}

static int collect_partition(const mbentry_t *mbentry, void *rock)
{
    struct job *job = rock;

    if (!strcmpnull(mbentry->partition, job->partition)) add(job, mbentry);
    return 0;
}

static int collect_pattern(const struct findall_data *data, void *rock)
{
    if (data->mbentry && !(data->mbentry->mbtype & MBTYPE_INTERMEDIATE)) add(rock, data->mbentry);
    return 0;
}

static int collect_name(struct job *job, extname_t extname)
{
    char *intname = imap_intname(job->s, extname);
    mbentry_t *mbentry = NULL;
    int r = IMAP_MAILBOX_BADNAME;

    if (intname && mboxname_isdeletedmailbox(intname, NULL))
        r = IMAP_MAILBOX_NOTSUPPORTED;
    else if (intname && mboxname_isusermailbox(intname, false) && !mboxname_isusermailbox(intname, true))
        r = IMAP_MAILBOX_NOTSUPPORTED; /* a folder without its user */
    else if (intname)
        r = mboxlist_lookup(intname, &mbentry, NULL);
    if (!r) add(job, mbentry);
    mbentry_free(&mbentry);
    free(intname);
    return r;
}

static int collect(struct job *job, extname_t name)
{
    const char *partition = extname_text(name);
    int r;

    if (config_partitiondir(partition)) {
        job->partition = partition;
        r = mboxlist_allmbox("", collect_partition, job, 0);
    }
    else if (extname_ispattern(name)) {
        r = mboxlist_findall(&job->s->ns, (extnames_t){ &name, 1 }, true, job->s->userid, job->s->auth,
                             collect_pattern, job);
    }
    else {
        r = collect_name(job, name);
    }
    if (!r && !strarray_size(&job->users) && !strarray_size(&job->mailboxes)) r = IMAP_MAILBOX_NONEXISTENT;
    return r;
}

/* ---- moving ---- */

static bool is_selected(const struct imap_session *s, const char *userid, const char *name)
{
    if (!s->index) return false;
    if (name) return !strcmp(index_mboxname(s->index), name);
    char *owner = mboxname_to_userid(index_mboxname(s->index));
    bool same = !strcmpnull(owner, userid);
    free(owner);
    return same;
}

static int check_user(const struct imap_session *s, const char *userid)
{
    if (!strcmp(userid, s->userid) || !config_getswitch(IMAPOPT_ALLOWUSERMOVES)) return IMAP_MAILBOX_NOTSUPPORTED;
    return is_selected(s, userid, NULL) ? IMAP_MAILBOX_LOCKED : 0;
}

/* A connection that broke is made anew for the next one. */
static int reconnect(struct sync_client *sc)
{
    return sc->broken ? sync_client_connect(sc) : 0;
}

static void tell(struct imap_session *s, const char *kind, const char *name, int r)
{
    prot_printf(s->out, "* %s %s %s", r ? "NO" : "OK", kind, name);
    if (r) prot_printf(s->out, " (%s)", error_message(r));
    prot_puts(s->out, "\r\n");
    prot_flush(s->out); /* it may take long: the client sees where it is */
}

static int move_users(struct job *job, struct sync_client *sc)
{
    int failed = 0;

    for (int i = 0; i < strarray_size(&job->users); i++) {
        const char *userid = strarray_nth(&job->users, i);
        int r = check_user(job->s, userid);
        if (!r) r = reconnect(sc);
        if (!r) r = xfer_user(sc, userid);
        tell(job->s, "USER", userid, r);
        failed += r != 0;
    }
    return failed;
}

/* Children before their parents: nothing has to stand in for a parent that is gone. */
static int move_mailboxes(struct job *job, struct sync_client *sc)
{
    int failed = 0;

    for (int i = strarray_size(&job->mailboxes) - 1; i >= 0; i--) {
        const char *name = strarray_nth(&job->mailboxes, i);
        extname_t extname = imap_extname_in_text(job->s, name);
        char *quoted = xasprintf("\"%s\"", extname_text(extname));
        int r = is_selected(job->s, NULL, name) ? IMAP_MAILBOX_LOCKED : 0;
        if (!r) r = reconnect(sc);
        if (!r) r = xfer_mailbox(sc, name);
        tell(job->s, "MAILBOX", quoted, r);
        failed += r != 0;
        free(quoted);
        extname_free(&extname);
    }
    return failed;
}

static void move_all(struct job *job, const char *server, const char *partition)
{
    struct imap_session *s = job->s;
    struct sync_client sc = { 0 };
    int n = strarray_size(&job->users) + strarray_size(&job->mailboxes);

    imap_session_end_sync(s); /* files are reserved by process */
    int r = xfer_connect(&sc, server, partition);
    if (r) {
        imap_no(s, "%s", error_message(r == IMAP_BAD_SERVER ? r : IMAP_SERVER_UNAVAILABLE));
    }
    else {
        int failed = move_users(job, &sc) + move_mailboxes(job, &sc);
        if (failed)
            imap_no(s, "%d of %d not moved", failed, n);
        else
            imap_ok(s, "Completed");
    }
    sync_client_fini(&sc);
}

/* ---- the command ---- */

static bool parse(struct imap_session *s, extname_t *name, struct buf *server, struct buf *partition)
{
    if (!imap_arg_mailbox(s, name) || !imap_arg_astring(s, server)) return false;
    if (s->c == ' ') {
        if (!imap_arg_word(s, partition)) return false;
        if (!imparse_isatom(buf_cstring(partition))) {
            imap_bad(s, "Bad partition name in %s", buf_cstring(&s->cmdname));
            return false;
        }
    }
    return imap_arg_end(s);
}

void cmd_xfer(struct imap_session *s)
{
    extname_t name = EXTNAME_NONE;
    struct buf server = BUF_INITIALIZER, partition = BUF_INITIALIZER;
    struct job job = { .s = s, .users = STRARRAY_INITIALIZER, .mailboxes = STRARRAY_INITIALIZER };

    if (parse(s, &name, &server, &partition)) {
        int r = 0;
        if (!s->isadmin)
            r = IMAP_PERMISSION_DENIED;
        else if (!strcmp(buf_cstring(&server), config_servername))
            r = IMAP_BAD_SERVER;
        else if (config_getstring(IMAPOPT_MUPDATE_SERVER))
            r = IMAP_SERVER_UNAVAILABLE;
        if (!r) r = collect(&job, name);
        if (r)
            imap_no(s, "%s", error_message(r));
        else
            move_all(&job, buf_cstring(&server), buf_len(&partition) ? buf_cstring(&partition) : NULL);
    }
    strarray_fini(&job.users);
    strarray_fini(&job.mailboxes);
    extname_free(&name);
    buf_free(&server);
    buf_free(&partition);
}
