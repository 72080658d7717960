/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SELECT, EXAMINE, CLOSE, UNSELECT (RFC 3501 §6.3.1, RFC 9051 §6.3.2, RFC 7162 §3.2.5, RFC 3691; handbook 04 §2.3, §3.11)
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>

#include "acl.h"
#include "imap_context.h"
#include "imap_err.h"
#include "imap_notify.h"
#include "imapcmd.h"
#include "index.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "quota.h"
#include "times.h"
#include "txn.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct select_args {
    extname_t name;
    bool condstore, include_expunged;
    bool qresync;
    uint32_t uidvalidity;
    uint64_t modseq;
    struct buf known; /* sequence set; empty: all */
};

/* ---- arguments ---- */

/* "((1,3 1,3))" is read and not used (handbook 04 §3.11 no. 3). */
static bool seqmatch_data(struct imap_session *s)
{
    struct buf set = BUF_INITIALIZER;
    bool ok = false;

    s->c = prot_getc(s->in);
    if (s->c == '(') {
        s->c = getsequence(s->in, &set);
        if (s->c == ' ') s->c = getsequence(s->in, &set);
        ok = s->c == ')';
    }
    if (ok) s->c = prot_getc(s->in);
    buf_free(&set);
    return ok;
}

static bool qresync_list(struct imap_session *s, struct select_args *args)
{
    if (s->c != ' ' || (s->c = prot_getc(s->in)) != '(') return false;
    s->c = getuint32(s->in, &args->uidvalidity);
    if (s->c != ' ' || !args->uidvalidity) return false;
    s->c = getmodseq(s->in, &args->modseq);
    if (s->c < 0 || !args->modseq) return false;
    if (s->c == ' ' && prot_peek(s->in) != '(') {
        s->c = getsequence(s->in, &args->known);
        if (s->c < 0) return false;
    }
    if (s->c == ' ' && (s->uidonly || !seqmatch_data(s))) return false;
    if (s->c != ')') return false;
    s->c = prot_getc(s->in);
    args->qresync = true;
    return true;
}

static bool one_modifier(struct imap_session *s, struct select_args *args, const char *word)
{
    if (!strcmp(word, "CONDSTORE"))
        args->condstore = true;
    else if (!strcmp(word, "ANNOTATE"))
        return true;
    else if (!strcmp(word, "QRESYNC") && s->qresync) {
        if (!qresync_list(s, args)) {
            if (s->c == ' ' && s->uidonly)
                imap_uid_required(s);
            else
                imap_bad(s, "Invalid QRESYNC parameter list in %s", buf_cstring(&s->cmdname));
            return false;
        }
    }
    else if (!strcmp(word, "VENDOR.CMU-INCLUDE-EXPUNGED") && config_getswitch(IMAPOPT_ALLOWDELETED))
        args->include_expunged = true;
    else {
        imap_bad(s, "Invalid %s modifier %s", buf_cstring(&s->cmdname), word);
        return false;
    }
    return true;
}

static bool modifiers(struct imap_session *s, struct select_args *args)
{
    struct buf word = BUF_INITIALIZER;
    bool ok = false;

    s->c = prot_getc(s->in);
    if (s->c != '(' || prot_peek(s->in) == ')') {
        imap_bad(s, "Invalid modifier list in %s", buf_cstring(&s->cmdname));
        return false;
    }
    do {
        s->c = getword(s->in, &word);
        buf_ucase(&word);
        if (!one_modifier(s, args, buf_cstring(&word))) goto done;
    } while (s->c == ' ');
    ok = imap_arg_close(s, &s->cmdname);
done:
    buf_free(&word);
    return ok;
}

/* ---- the untagged set ---- */

#define ALERT_PAUSE 600 /* seconds between two alerts for the same root in one process */

/* Is it too early to tell again? */
static bool told_lately(const char *root)
{
    static char last_root[512];
    static double last_time;
    double now = monotonic_seconds();

    if (last_time > 0 && now - last_time < ALERT_PAUSE && !strcmp(last_root, root)) return true;
    snprintf(last_root, sizeof(last_root), "%s", root);
    last_time = now;
    return false;
}

static bool near_limit(const struct quota *q, enum quota_resource res, int64_t *percent)
{
    int64_t limit = q->limits[res], used = q->useds[res] / quota_units[res];
    int warnkb = config_getint(IMAPOPT_QUOTAWARNKB), warnmsg = config_getint(IMAPOPT_QUOTAWARNMSG);
    int64_t margin = res == QUOTA_STORAGE ? warnkb : res == QUOTA_MESSAGE ? warnmsg : 0;

    if (limit <= 0) return false;
    *percent = quota_percent(q, res);
    if (q->useds[res] > quota_bound(q, res)) return true;
    if (*percent <= config_getint(IMAPOPT_QUOTAWARN)) return false;
    return !margin || limit < margin || limit - used < margin;
}

static void quota_alert(struct imap_session *s)
{
    struct mailbox *mailbox = index_mailbox(s->index);
    const char *root = mailbox ? mailbox_quotaroot(mailbox) : NULL;
    struct quota q;
    int64_t percent;
    bool told = false;

    if (!root || !(index_rights(s->index) & ACL_EXPUNGE)) return;
    if (!quota_read_withconversations(root, QUOTA_REPORT, NULL, &q)) {
        for (enum quota_resource res = 0; res < QUOTA_NUMRESOURCES; res++) {
            if (!near_limit(&q, res, &percent)) continue;
            if (!told && told_lately(root)) break;
            told = true;
            if (q.useds[res] > quota_bound(&q, res))
                prot_printf(s->out, "* NO [ALERT] Mailbox is over %s quota\r\n", quota_names[res]);
            else
                prot_printf(s->out, "* NO [ALERT] Mailbox is at %" PRId64 "%% of %s quota\r\n", percent,
                            quota_names[res]);
        }
    }
    quota_free(&q);
}

static void print_facts(struct imap_session *s, uint32_t unseen)
{
    struct index_state *st = s->index;
    struct protstream *out = s->out;

    imap_print_exists(s);
    imap_print_flaglists(s);
    if (unseen && !s->uidonly && !s->rev2) prot_printf(out, "* OK [UNSEEN %" PRIu32 "] Ok\r\n", unseen);
    prot_printf(out, "* OK [UIDVALIDITY %" PRIu32 "] Ok\r\n", index_uidvalidity(st));
    prot_printf(out, "* OK [UIDNEXT %" PRIu32 "] Ok\r\n", index_uidnext(st));
    prot_printf(out, "* OK [HIGHESTMODSEQ %" PRIu64 "] Ok\r\n", index_highestmodseq(st));
    prot_printf(out, "* OK [MAILBOXID (%s)] Ok\r\n", index_uniqueid(st));
    prot_puts(out, "* OK [URLMECH INTERNAL] Ok\r\n");
    prot_puts(out, "* OK [ANNOTATIONS 65536] Ok\r\n");
}

/* ---- QRESYNC ---- */

struct resync {
    struct seqset *vanished;
    struct index_message *msgs;
    size_t n;
};

/* Under the lock: what changed since, of what the client knows. */
static int collect_resync(struct imap_session *s, const struct select_args *args, struct resync *rs)
{
    struct index_state *st = s->index;
    struct seqset *known = NULL;
    size_t alloc = 0;

    if (buf_len(&args->known))
        known = seqset_parse_map(args->known.s, args->known.len, NULL, index_uidnext(st) - 1);
    int r = index_vanished(st, args->modseq, known, &rs->vanished);
    for (uint32_t n = 1; !r && n <= index_exists(st); n++) {
        struct index_record rec;
        if (known && !seqset_ismember(known, index_uid(st, n))) continue;
        if (index_read_record(st, n, &rec) || rec.modseq <= args->modseq) continue;
        if (rs->n == alloc) {
            alloc = alloc * 2 + 16;
            rs->msgs = xreallocarray(rs->msgs, alloc, sizeof(*rs->msgs));
        }
        index_fill_message(st, n, &rec, &rs->msgs[rs->n++]);
    }
    seqset_free(known);
    return r;
}

static void print_resync(struct imap_session *s, const struct resync *rs)
{
    if (!seqset_isempty(rs->vanished)) {
        char *uids = seqset_cstring(rs->vanished);
        prot_printf(s->out, "* VANISHED (EARLIER) %s\r\n", uids);
        free(uids);
    }
    for (size_t i = 0; i < rs->n; i++) {
        const struct index_message *msg = &rs->msgs[i];
        imap_begin_fetch(s, msg->msgno, msg->uid);
        prot_puts(s->out, "FLAGS ");
        imap_print_flags(s, msg);
        if (!s->uidonly) prot_printf(s->out, " UID %" PRIu32, msg->uid);
        prot_printf(s->out, " MODSEQ (%" PRIu64 "))\r\n", msg->modseq);
    }
}

static int tell(struct imap_session *s, const struct select_args *args)
{
    struct index_state *st = s->index;
    struct resync rs = { 0 };
    bool resync = args->qresync && args->uidvalidity == index_uidvalidity(st) &&
                  args->modseq < index_highestmodseq(st);

    int r = index_lock(st);
    if (r) return r;
    uint32_t unseen = index_first_unseen(st);
    char *damaged = index_damaged(st);
    if (resync) r = collect_resync(s, args, &rs);
    uint64_t lsn = index_seen_lsn(st);
    index_unlock(st);
    if (!r) r = txn_wait(lsn);
    if (!r) {
        quota_alert(s);
        print_facts(s, unseen);
        if (s->rev2) imap_print_named(s, index_mboxname(st), args->name);
        if (damaged) prot_printf(s->out, "* NO [CORRUPTION] UID %s can't be read\r\n", damaged);
        if (resync) print_resync(s, &rs);
    }
    if (resync && args->modseq < index_deletedmodseq(st))
        syslog(LOG_NOTICE, "inefficient qresync (DELETEDMODSEQ > CLIENTMODSEQ) %s",
               index_mboxname(st));
    free(damaged);
    seqset_free(rs.vanished);
    free(rs.msgs);
    return r;
}

/* ---- the commands ---- */

static int open_mailbox(struct imap_session *s, struct select_args *args, bool examine)
{
    char *name = imap_intname(s, args->name);
    const struct index_args open = {
        .name = name,
        .userid = s->userid,
        .auth = s->auth,
        .isadmin = s->isadmin,
        .examine = examine || s->options->readonly,
        .include_expunged = args->include_expunged,
    };

    int r = name ? index_open(&open, &s->index) : IMAP_MAILBOX_NONEXISTENT;
    if (!r) syslog(LOG_DEBUG, "open: user %s opened %s", s->userid, name);
    free(name);
    return r;
}

static void select_mailbox(struct imap_session *s, bool examine)
{
    struct select_args args = { 0 };

    if (!imap_arg_mailbox(s, &args.name)) goto done;
    if (s->c == ' ' && !modifiers(s, &args)) goto done;
    if (!imap_arg_end(s)) goto done;

    if (s->index) {
        imap_session_unselect(s);
        prot_puts(s->out, "* OK [CLOSED] Ok\r\n");
    }
    imap_session_save(s, NULL);
    if (args.condstore) s->condstore = true;
    int r = open_mailbox(s, &args, examine);
    if (!r) r = tell(s, &args);
    if (!r) imap_notify_selected(s);
    if (r) {
        index_close(&s->index);
        imap_result(s, r);
    }
    else {
        imap_session_register(s, buf_cstring(&s->cmdname));
        imap_ok(s, "[READ-%s] Completed", index_readwrite(s->index) ? "WRITE" : "ONLY");
    }
done:
    extname_free(&args.name);
    buf_free(&args.known);
}

void cmd_select(struct imap_session *s)
{
    select_mailbox(s, false);
}

void cmd_examine(struct imap_session *s)
{
    select_mailbox(s, true);
}

void cmd_close(struct imap_session *s)
{
    uint32_t count;
    int r = 0;

    if (!imap_arg_end(s)) return;
    if (!index_gone(s->index) && (index_rights(s->index) & ACL_EXPUNGE))
        r = index_expunge(s->index, NULL, &count);
    /* An OK would say that what is marked \Deleted is gone: the mailbox stays selected. */
    if (r) {
        imap_result(s, r);
        return;
    }
    imap_contexts_end(s);
    index_close(&s->index);
    imap_notify_touch(s);
    imap_ok(s, "Completed");
}

void cmd_unselect(struct imap_session *s)
{
    if (!imap_arg_end(s)) return;
    imap_session_unselect(s);
    imap_ok(s, "Completed");
}
