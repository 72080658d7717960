/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * maildrop -- a mailbox as POP3 sees it
 *
 * The mailbox handle stays open without its lock; what the list needs of a record (UID, size)
 * never changes. Each read takes the shared lock again, finds the record by its UID and
 * maps the file, so a slow client holds up nobody. See maildrop.h for the contract.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "imap_err.h"
#include "libconfig.h"
#include "maildrop.h"
#include "mailbox.h"
#include "mboxlist.h"
#include "mbtype.h"
#include "seqset.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct drop_message {
    uint32_t uid, size;
    bool deleted, read;
};

struct maildrop {
    char *name, *userid, *uniqueid;
    struct mailbox *mailbox;
    uint32_t uidvalidity;
    bool uid_only;     /* UIDL without uidvalidity: made before pop3newuidl */
    bool may_delete;   /* right t */
    bool may_see;      /* \Seen is to be set */
    bool hide_deleted; /* useimapflags */
    time_t show_after, poll_time;
    struct drop_message *messages;
    size_t count;
};

/* ---- opening ---- */

bool maildrop_poll_allowed(time_t last, time_t now, int minpoll, int padding, time_t *next)
{
    time_t empty = now - (time_t)minpoll * cyr_max(padding, 1);

    *next = cyr_max(last, empty) + minpoll;
    return *next <= now;
}

static int check_rights(struct maildrop *drop, const struct maildrop_args *args,
                        const mbentry_t *mbentry)
{
    uint32_t rights = args->useacl ? cyrus_acl_myrights(args->auth, mbentry->acl) : ~0u;

    if (mbtype_isa(mbentry->mbtype) != MBTYPE_EMAIL) return IMAP_MAILBOX_NOTSUPPORTED;
    if (!(rights & ACL_READ)) return IMAP_PERMISSION_DENIED;
    drop->may_delete = (rights & ACL_DELETEMSG) != 0;
    drop->may_see = args->useimapflags && (rights & ACL_SETSEEN);
    return 0;
}

static int add_message(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct maildrop *drop = rock;

    (void)mailbox;
    if (drop->hide_deleted && (rec->system_flags & FLAG_DELETED)) return 0;
    if (drop->show_after && rec->internaldate <= drop->show_after) return 0;
    drop->messages = xgrow(drop->messages, drop->count, sizeof(*drop->messages));
    drop->messages[drop->count++] = (struct drop_message){ .uid = rec->uid, .size = rec->size };
    return 0;
}

static int cmp_uid(const void *a, const void *b)
{
    const struct drop_message *x = a, *y = b;

    return x->uid < y->uid ? -1 : x->uid > y->uid;
}

/* Messages whose records can't be read are listed, so that nobody takes them for deleted; RETR is an error. */
static int add_damaged(struct maildrop *drop)
{
    const struct seqset *damaged;
    uint32_t size;

    int r = mailbox_damaged_uids(drop->mailbox, &damaged);
    for (uint32_t uid = 0; !r && (uid = seqset_after(damaged, uid));) {
        r = mailbox_damaged_size(drop->mailbox, uid, &size);
        if (r) break;
        drop->messages = xgrow(drop->messages, drop->count, sizeof(*drop->messages));
        drop->messages[drop->count++] = (struct drop_message){ .uid = uid, .size = size };
    }
    if (!r) qsort(drop->messages, drop->count, sizeof(*drop->messages), cmp_uid);
    return r;
}

static int read_list(struct maildrop *drop, const struct maildrop_args *args)
{
    const struct index_header *hdr = mailbox_index_header(drop->mailbox);

    drop->uniqueid = xstrdupnull(mailbox_uniqueid(drop->mailbox));
    drop->uidvalidity = hdr->uidvalidity;
    drop->uid_only = !(hdr->options & OPT_POP3_NEW_UIDL);
    drop->show_after = hdr->pop3_show_after;
    if (!maildrop_poll_allowed(hdr->pop3_last_login, args->now, args->minpoll, args->pollpadding,
                               &drop->poll_time))
        return IMAP_AGAIN;
    int r = mailbox_foreach(drop->mailbox, 0, 0, MAILBOX_ITER_SKIP_EXPUNGED | MAILBOX_ITER_STRICT, add_message, drop);
    return r == IMAP_MAILBOX_CHECKSUM ? add_damaged(drop) : r;
}

int maildrop_open(const struct maildrop_args *args, struct maildrop **dropp)
{
    struct maildrop *drop = xzmalloc(sizeof(*drop));
    mbentry_t *mbentry = NULL;

    *dropp = NULL;
    drop->name = xstrdup(args->name);
    drop->userid = xstrdup(args->userid);
    drop->hide_deleted = args->useimapflags;
    int r = mboxlist_lookup(args->name, &mbentry, NULL);
    if (!r) r = check_rights(drop, args, mbentry);
    if (!r) r = mailbox_open_mbentry(mbentry, &drop->mailbox);
    if (!r) {
        r = read_list(drop, args);
        mailbox_unlock(drop->mailbox);
    }
    if (!r) r = txn_wait(cyr_max(mailbox_seen_lsn(drop->mailbox), mboxlist_name_lsn(args->name)));
    mbentry_free(&mbentry);
    if (r)
        maildrop_close(&drop);
    else
        *dropp = drop;
    return r;
}

void maildrop_close(struct maildrop **dropp)
{
    struct maildrop *drop = *dropp;

    if (!drop) return;
    *dropp = NULL;
    mailbox_close(&drop->mailbox);
    free(drop->messages);
    free(drop->name);
    free(drop->userid);
    free(drop->uniqueid);
    free(drop);
}

/* ---- the list ---- */

uint32_t maildrop_last(const struct maildrop *drop)
{
    return (uint32_t)drop->count;
}

bool maildrop_exists(const struct maildrop *drop, uint32_t n)
{
    return n >= 1 && n <= drop->count && !drop->messages[n - 1].deleted;
}

void maildrop_stat(const struct maildrop *drop, uint32_t *countp, uint64_t *octetsp)
{
    *countp = 0;
    *octetsp = 0;
    for (size_t i = 0; i < drop->count; i++) {
        if (drop->messages[i].deleted) continue;
        *countp += 1;
        *octetsp += drop->messages[i].size;
    }
}

uint32_t maildrop_size(const struct maildrop *drop, uint32_t n)
{
    return drop->messages[n - 1].size;
}

void maildrop_uidl(const struct maildrop *drop, uint32_t n, struct buf *out)
{
    uint32_t uid = drop->messages[n - 1].uid;
    int format = drop->uid_only ? IMAP_ENUM_UIDL_FORMAT_UIDONLY
                                : config_getenum(IMAPOPT_UIDL_FORMAT);

    if (format == IMAP_ENUM_UIDL_FORMAT_UIDONLY)
        buf_printf(out, "%" PRIu32, uid);
    else if (format == IMAP_ENUM_UIDL_FORMAT_DOVECOT)
        buf_printf(out, "%08" PRIx32 "%08" PRIx32, uid, drop->uidvalidity);
    else if (format == IMAP_ENUM_UIDL_FORMAT_COURIER)
        buf_printf(out, "%" PRIu32 "-%" PRIu32, drop->uidvalidity, uid);
    else
        buf_printf(out, "%" PRIu32 ".%" PRIu32, drop->uidvalidity, uid);
}

int maildrop_read(struct maildrop *drop, uint32_t n, struct buf *message)
{
    struct index_record rec;

    int r = mailbox_relock_read(drop->mailbox, NULL);
    if (r) return r;
    r = mailbox_find_uid(drop->mailbox, drop->messages[n - 1].uid, &rec);
    if (!r && (rec.internal_flags & FLAG_INTERNAL_UNLINKED)) r = IMAP_NOTFOUND;
    if (!r) r = mailbox_map_record(drop->mailbox, &rec, message);
    mailbox_unlock(drop->mailbox);
    return r;
}

void maildrop_mark_read(struct maildrop *drop, uint32_t n)
{
    drop->messages[n - 1].read = true;
}

int maildrop_delete(struct maildrop *drop, uint32_t n)
{
    if (!drop->may_delete) return IMAP_PERMISSION_DENIED;
    drop->messages[n - 1].deleted = true;
    return 0;
}

void maildrop_reset(struct maildrop *drop)
{
    for (size_t i = 0; i < drop->count; i++) drop->messages[i].deleted = false;
}

/* ---- QUIT ---- */

/* The mailbox of the list, not another one that has its name by now. */
static bool is_same(const struct maildrop *drop, struct mailbox *mailbox)
{
    const char *uniqueid = mailbox_uniqueid(mailbox);

    if (mailbox_index_header(mailbox)->uidvalidity != drop->uidvalidity) return false;
    return !strcmp(uniqueid ? uniqueid : "", drop->uniqueid ? drop->uniqueid : "");
}

static int store_message(struct maildrop *drop, struct mailbox *mailbox,
                         const struct drop_message *message, uint32_t *expunged)
{
    struct index_record rec;

    if (!message->deleted && !(message->read && drop->may_see)) return 0;
    int r = mailbox_find_uid(mailbox, message->uid, &rec);
    if (r) return r == IMAP_NOTFOUND ? 0 : r;
    if (rec.internal_flags & FLAG_INTERNAL_EXPUNGED) return 0;
    if (!message->deleted) return mailbox_set_seen(mailbox, drop->userid, message->uid);
    rec.system_flags |= FLAG_DELETED;
    *expunged += 1;
    return mailbox_expunge_record(mailbox, &rec, 0);
}

static int store_all(struct maildrop *drop, struct mailbox *mailbox, uint32_t *expunged)
{
    const struct mailbox_header_update update = {
        .set_pop3 = true,
        .pop3_last_login = drop->poll_time,
    };
    int r = is_same(drop, mailbox) ? 0 : IMAP_MAILBOX_NONEXISTENT;

    for (size_t i = 0; !r && i < drop->count; i++)
        r = store_message(drop, mailbox, &drop->messages[i], expunged);
    if (!r) r = mailbox_update_header(mailbox, &update);
    return r;
}

int maildrop_commit(struct maildrop *drop)
{
    struct txn *txn = NULL;
    struct mailbox *mailbox = NULL;
    uint32_t expunged = 0;

    if (!drop->count) return 0;
    int r = txn_begin(&txn);
    if (!r) r = mailbox_open_iwl(txn, drop->name, &mailbox);
    if (!r) r = store_all(drop, mailbox, &expunged);
    if (!r) r = txn_commit(&txn, NULL);
    if (r) txn_abort(&txn);
    if (!r && expunged)
        syslog(LOG_NOTICE, "Expunged %" PRIu32 " messages from %s", expunged, drop->name);
    return r;
}
