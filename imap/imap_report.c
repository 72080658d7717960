/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_report -- untagged data: what is new in the selected mailbox
 *
 * Order: EXPUNGE or VANISHED, EXISTS and RECENT, FLAGS and PERMANENTFLAGS, FETCH
 * (handbook 04 §2.3, §2.4); contexts before and behind that. No lock is held while it is written. With IMAP4rev2 nothing is recent, and FETCH
 * has the UID (RFC 9051, appendix E).
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>

#include "acl.h"
#include "imap_err.h"
#include "imap_context.h"
#include "imap_notify.h"
#include "imap_session.h"
#include "index.h"
#include "libconfig.h"
#include "times.h"

static const struct {
    uint32_t bit, right;
    const char *name;
} system_flags[] = {
    { FLAG_ANSWERED, ACL_WRITE, "\\Answered" }, { FLAG_FLAGGED, ACL_WRITE, "\\Flagged" },
    { FLAG_DRAFT, ACL_WRITE, "\\Draft" },       { FLAG_DELETED, ACL_DELETEMSG, "\\Deleted" },
    { FLAG_SEEN, ACL_SETSEEN, "\\Seen" },
};

static void item(struct protstream *out, const char **sep, const char *text)
{
    prot_puts(out, *sep);
    prot_puts(out, text);
    *sep = " ";
}

void imap_begin_fetch(struct imap_session *s, uint32_t msgno, uint32_t uid)
{
    if (s->uidonly)
        prot_printf(s->out, "* %" PRIu32 " UIDFETCH (", uid);
    else
        prot_printf(s->out, "* %" PRIu32 " FETCH (", msgno);
}

void imap_print_flags(struct imap_session *s, const struct index_message *msg)
{
    const strarray_t *names = index_flagnames(s->index);
    const char *sep = "";

    prot_putc('(', s->out);
    if (msg->recent && !s->rev2) item(s->out, &sep, "\\Recent");
    for (size_t i = 0; i < array_size(system_flags); i++) {
        if (system_flags[i].bit == FLAG_SEEN && msg->expunged) item(s->out, &sep, "\\Expunged");
        if (msg->system_flags & system_flags[i].bit) item(s->out, &sep, system_flags[i].name);
    }
    for (int i = 0; i < strarray_size(names); i++) {
        const char *name = strarray_nth(names, i);
        if (name && ((msg->user_flags[i / 32] >> (i % 32)) & 1)) item(s->out, &sep, name);
    }
    prot_putc(')', s->out);
}

void imap_print_exists(struct imap_session *s)
{
    prot_printf(s->out, "* %" PRIu32 " EXISTS\r\n", index_exists(s->index));
    if (!s->rev2) prot_printf(s->out, "* %" PRIu32 " RECENT\r\n", index_recent(s->index));
}

static void print_user_flags(struct imap_session *s, const char **sep)
{
    const strarray_t *names = index_flagnames(s->index);

    for (int i = 0; i < strarray_size(names); i++)
        if (strarray_nth(names, i)) item(s->out, sep, strarray_nth(names, i));
}

void imap_print_flaglists(struct imap_session *s)
{
    uint32_t rights = index_rights(s->index);
    const char *sep = " ";

    prot_puts(s->out, "* FLAGS (\\Answered \\Flagged \\Draft \\Deleted \\Seen");
    print_user_flags(s, &sep);
    prot_puts(s->out, ")\r\n* OK [PERMANENTFLAGS (");
    sep = "";
    if (!index_examined(s->index)) {
        for (size_t i = 0; i < array_size(system_flags); i++)
            if (rights & system_flags[i].right) item(s->out, &sep, system_flags[i].name);
        if (rights & ACL_WRITE) {
            print_user_flags(s, &sep);
            if (!index_flags_full(s->index)) item(s->out, &sep, "\\*");
        }
    }
    prot_puts(s->out, ")] Ok\r\n");
}

static void print_expunges(struct imap_session *s, const struct index_update *update)
{
    if (!update->nexpunged) return;
    if (s->qresync || s->uidonly) {
        char *uids = seqset_cstring(update->expunged_uids);
        prot_printf(s->out, "* VANISHED %s\r\n", uids);
        free(uids);
        return;
    }
    for (size_t i = 0; i < update->nexpunged; i++)
        prot_printf(s->out, "* %" PRIu32 " EXPUNGE\r\n", update->expunged_msgnos[i]);
}

static void print_changed(struct imap_session *s, const struct index_message *msg, bool quiet)
{
    const char *sep = "";

    if (quiet && !s->condstore) return;
    imap_begin_fetch(s, msg->msgno, msg->uid);
    if (!quiet) {
        item(s->out, &sep, "FLAGS ");
        imap_print_flags(s, msg);
    }
    if ((s->qresync || s->rev2 || s->usinguid) && !s->uidonly) {
        item(s->out, &sep, "UID ");
        prot_printf(s->out, "%" PRIu32, msg->uid);
    }
    if (s->condstore) {
        item(s->out, &sep, "MODSEQ ");
        prot_printf(s->out, "(%" PRIu64 ")", msg->modseq);
    }
    prot_puts(s->out, ")\r\n");
}

static bool is_known(const struct imap_known *known, const struct index_message *msg)
{
    return known && msg->modseq <= known->modseq && seqset_ismember(known->uids, msg->uid);
}

void imap_report(struct imap_session *s, bool expunges, const struct imap_known *known)
{
    struct index_update update;
    uint32_t before = index_exists(s->index);

    int r = index_refresh(s->index, expunges, &update);
    s->reported = true;
    if (r) {
        index_update_fini(&update);
        imap_bye(s, "Fatal error: %s", error_message(r));
        return;
    }
    if (update.gone && config_getswitch(IMAPOPT_DISCONNECT_ON_VANISHED_MAILBOX)) {
        index_update_fini(&update);
        imap_bye(s, "Fatal error: Mailbox has been (re)moved");
        return;
    }
    imap_contexts_expunge(s, &update);
    print_expunges(s, &update);
    if (update.exists_changed) imap_print_exists(s);
    if (update.flagnames_changed) imap_print_flaglists(s);
    bool flags = !s->between_commands || imap_notify_tells_flags(s);
    for (size_t i = 0; flags && i < update.nchanged; i++) {
        const struct index_message *msg = &update.changed[i];
        bool quiet = is_known(known, msg);
        if (!quiet || !known->modseq_told) print_changed(s, msg, quiet);
    }
    before -= (uint32_t)update.nexpunged;
    imap_contexts_update(s, &update, before);
    if (update.exists_changed) imap_notify_new_messages(s, before + 1);
    index_update_fini(&update);
}

void imap_progress(void *rock, uint32_t done, uint32_t total)
{
    struct imap_session *s = rock;
    double interval = strtod(config_getstring(IMAPOPT_IMAP_PROGRESS_INTERVAL), NULL);
    double now = monotonic_seconds();

    if (interval <= 0 || now - s->progress_told < interval) return;
    s->progress_told = now;
    prot_printf(s->out, "* OK [INPROGRESS (\"%s\" %" PRIu32 " %" PRIu32 ")] Still working\r\n",
                buf_cstring(&s->tag), done, total);
    prot_flush(s->out);
}

void imap_enable_condstore(struct imap_session *s, const char *what)
{
    if (s->condstore) return;
    s->condstore = true;
    prot_printf(s->out, "* OK [HIGHESTMODSEQ %" PRIu64 "] CONDSTORE enabled by %s\r\n",
                index_highestmodseq(s->index), what);
}
