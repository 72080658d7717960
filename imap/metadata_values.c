/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * metadata_values -- values of annotations that are not kept in the database
 *
 * Mailbox facts come from the index header and the mailboxes.db entry, server facts
 * from files, counters and the disks. Settable ones are option bits of the mailbox
 * or files of the server; they are staged in the caller's transaction.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "diskio.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mailbox_path.h"
#include "mboxname.h"
#include "metadata_values.h"
#include "quota.h"
#include "specialuse.h"
#include "sync_policy.h"
#include "times.h"
#include "user.h"
#include "xmalloc.h"

/* ---- the mailbox ---- */

bool metadata_open(struct metadata_source *src)
{
    if (!src->mailbox && !src->r) src->r = mailbox_open_mbentry(src->mbentry, &src->mailbox);
    return !src->r;
}

static const struct index_header *header(struct metadata_source *src)
{
    return metadata_open(src) ? mailbox_index_header(src->mailbox) : NULL;
}

static bool number(struct metadata_source *src, struct buf *out, uint64_t value)
{
    if (src->r) return false;
    buf_printf(out, "%" PRIu64, value);
    return true;
}

static bool option(struct metadata_source *src, struct buf *out, uint32_t bit)
{
    const struct index_header *hdr = header(src);

    if (!hdr) return false;
    buf_setcstr(out, hdr->options & bit ? "true" : "false");
    return true;
}

static bool date(struct buf *out, time_t t)
{
    char text[RFC3501_DATETIME_MAX];

    if (!t) return false;
    time_to_rfc3501(t, text, sizeof(text));
    buf_setcstr(out, text);
    return true;
}

bool metadata_get_annotsize(struct metadata_source *src, struct buf *out)
{
    const struct index_header *hdr = header(src);

    return hdr && number(src, out, hdr->quota_annot_used);
}

bool metadata_get_size(struct metadata_source *src, struct buf *out)
{
    const struct index_header *hdr = header(src);

    return hdr && number(src, out, hdr->quota_mailbox_used);
}

bool metadata_get_duplicatedeliver(struct metadata_source *src, struct buf *out)
{
    return option(src, out, OPT_IMAP_DUPDELIVER);
}

bool metadata_get_hasalarms(struct metadata_source *src, struct buf *out)
{
    return option(src, out, OPT_IMAP_HAS_ALARMS);
}

bool metadata_get_pop3newuidl(struct metadata_source *src, struct buf *out)
{
    return option(src, out, OPT_POP3_NEW_UIDL);
}

bool metadata_get_sharedseen(struct metadata_source *src, struct buf *out)
{
    return option(src, out, OPT_IMAP_SHAREDSEEN);
}

bool metadata_get_foldermodseq(struct metadata_source *src, struct buf *out)
{
    return number(src, out, src->mbentry->foldermodseq);
}

bool metadata_get_lastpop(struct metadata_source *src, struct buf *out)
{
    const struct index_header *hdr = header(src);

    return hdr && date(out, hdr->pop3_last_login);
}

bool metadata_get_pop3showafter(struct metadata_source *src, struct buf *out)
{
    const struct index_header *hdr = header(src);

    return hdr && date(out, hdr->pop3_show_after);
}

bool metadata_get_lastupdate(struct metadata_source *src, struct buf *out)
{
    struct mailbox_place place = mailbox_place_of(src->mbentry);
    struct buf path = BUF_INITIALIZER;
    struct stat sb;

    bool ok = !mailbox_path_meta(&place, META_INDEX, &path) && !stat(buf_cstring(&path), &sb) &&
              date(out, sb.st_mtime);
    buf_free(&path);
    return ok;
}

bool metadata_get_partition(struct metadata_source *src, struct buf *out)
{
    if (!src->mbentry->partition) return false;
    buf_setcstr(out, src->mbentry->partition);
    return true;
}

bool metadata_get_uniqueid(struct metadata_source *src, struct buf *out)
{
    if (!src->mbentry->uniqueid) return false;
    buf_setcstr(out, src->mbentry->uniqueid);
    return true;
}

bool metadata_get_synccrcs(struct metadata_source *src, struct buf *out)
{
    if (!metadata_open(src)) return false;
    buf_printf(out, "%" PRIu32 " %" PRIu32, mailbox_sync_crc_basic(src->mailbox),
               mailbox_sync_crc_annot(src->mailbox));
    return true;
}

/* Only of a mailbox that is itself a quota root (handbook 04 §4.5). */
bool metadata_get_userrawquota(struct metadata_source *src, struct buf *out)
{
    struct quota q;
    const char *sep = "";

    int r = quota_read(src->mbentry->name, NULL, &q);
    if (!r) buf_putc(out, '(');
    for (int res = 0; !r && res < QUOTA_NUMRESOURCES; res++) {
        if (q.limits[res] < 0) continue;
        buf_printf(out, "%s%s %" PRId64 " %" PRId64, sep, quota_names[res],
                   q.useds[res] / quota_units[res], q.limits[res]);
        sep = " ";
    }
    if (!r) buf_putc(out, ')');
    quota_free(&q);
    return !r;
}

static int set_option(struct txn *txn, const mbentry_t *mbentry, uint32_t bit, bool on)
{
    struct mailbox_header_update update = { .set_options = true };
    struct mailbox *mailbox = NULL;

    int r = mailbox_open_mbentry_iwl(txn, mbentry, &mailbox);
    if (r) return r;
    update.options = mailbox_index_header(mailbox)->options & ~bit;
    if (on) update.options |= bit;
    return mailbox_update_header(mailbox, &update);
}

static bool is_true(const struct buf *value)
{
    return value && !strncmp(value->s, "true", value->len) && value->len == 4;
}

int metadata_set_duplicatedeliver(const struct metadata_who *who, struct txn *txn,
                                  const mbentry_t *mbentry, struct buf *value)
{
    (void)who;
    return set_option(txn, mbentry, OPT_IMAP_DUPDELIVER, is_true(value));
}

int metadata_set_pop3newuidl(const struct metadata_who *who, struct txn *txn,
                             const mbentry_t *mbentry, struct buf *value)
{
    (void)who;
    return set_option(txn, mbentry, OPT_POP3_NEW_UIDL, !value || is_true(value));
}

int metadata_set_sharedseen(const struct metadata_who *who, struct txn *txn,
                            const mbentry_t *mbentry, struct buf *value)
{
    (void)who;
    return set_option(txn, mbentry, OPT_IMAP_SHAREDSEEN, is_true(value));
}

int metadata_set_pop3showafter(const struct metadata_who *who, struct txn *txn,
                               const mbentry_t *mbentry, struct buf *value)
{
    struct mailbox_header_update update = { .set_pop3_after = true };
    struct mailbox *mailbox = NULL;

    (void)who;
    if (value && time_from_rfc3501(value->s, value->len, &update.pop3_show_after, NULL))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    int r = mailbox_open_mbentry_iwl(txn, mbentry, &mailbox);
    return r ? r : mailbox_update_header(mailbox, &update);
}

int metadata_set_durability(const struct metadata_who *who, struct txn *txn, const mbentry_t *mbentry, struct buf *value)
{
    struct sync_policy policy;

    (void)txn;
    if (!who->isadmin || !mboxname_isusermailbox(mbentry->name, true)) return IMAP_PERMISSION_DENIED;
    return value && !sync_policy_parse(buf_cstring(value), &policy) ? IMAP_ANNOTATION_BADVALUE : 0;
}

int metadata_set_searchfuzzy(const struct metadata_who *who, struct txn *txn,
                             const mbentry_t *mbentry, struct buf *value)
{
    (void)who;
    (void)txn;
    if (!mboxname_isusermailbox(mbentry->name, true)) return IMAP_PERMISSION_DENIED;
    return value && parse_switch(buf_cstring(value)) < 0 ? IMAP_ANNOTATION_BADENTRY : 0;
}

int metadata_set_specialuse(const struct metadata_who *who, struct txn *txn,
                            const mbentry_t *mbentry, struct buf *value)
{
    struct buf normal = BUF_INITIALIZER;

    if (!value) return 0;
    int r = specialuse_normalise(buf_cstring(value), &normal);
    if (!r && who->userid && mboxname_userownsmailbox(who->userid, mbentry->name))
        r = specialuse_check(txn, who->userid, mbentry->name, buf_cstring(&normal));
    if (!r) buf_copy(value, &normal);
    buf_free(&normal);
    return r;
}

/* ---- the server ---- */

bool metadata_get_motd(struct metadata_source *src, struct buf *out)
{
    char text[1024];

    (void)src;
    if (!motd_file(text, sizeof(text))) return false;
    buf_setcstr(out, text);
    return true;
}

bool metadata_get_shutdown(struct metadata_source *src, struct buf *out)
{
    char text[1024];

    (void)src;
    if (!shutdown_file(text, sizeof(text))) return false;
    buf_setcstr(out, text);
    return true;
}

/* One of the administrator's messages, a line in a file. */
static int set_message(struct txn *txn, const char *name, struct buf *value)
{
    char *dir = xasprintf("%s/msg", config_dir), *path = xasprintf("%s/%s", dir, name);

    int r = txn_lock_user(txn, NULL);
    if (!r && value) {
        buf_putc(value, '\n');
        txn_mkdir(txn, dir, 0700);
        txn_replace(txn, path, value->s, value->len, 0600);
    }
    else if (!r)
        txn_unlink(txn, path);
    free(path);
    free(dir);
    return r;
}

int metadata_set_motd(const struct metadata_who *who, struct txn *txn, const mbentry_t *mbentry,
                      struct buf *value)
{
    (void)mbentry;
    return who->isadmin ? set_message(txn, "motd", value) : IMAP_PERMISSION_DENIED;
}

int metadata_set_shutdown(const struct metadata_who *who, struct txn *txn, const mbentry_t *mbentry,
                          struct buf *value)
{
    (void)mbentry;
    return who->isadmin ? set_message(txn, "shutdown", value) : IMAP_PERMISSION_DENIED;
}

struct space {
    uint64_t free_sum, total_sum;   /* KB */
    uint64_t most_free, most_total; /* of the partition with the largest part free */
    uint64_t largest_free;
};

static void add_partition(const char *partition, const char *dir, void *rock)
{
    struct space *space = rock;
    struct diskio_space fs;

    (void)partition;
    if (diskio_space(dir, &fs)) return;
    uint64_t left = fs.avail / 1024, total = fs.total / 1024;
    space->free_sum += left;
    space->total_sum += total;
    if (left > space->largest_free) space->largest_free = left;
    if (!space->most_total ||
        (double)left * (double)space->most_total > (double)space->most_free * (double)total) {
        space->most_free = left;
        space->most_total = total;
    }
}

bool metadata_get_freespace(struct metadata_source *src, struct buf *out)
{
    struct space space = { 0 };

    config_foreachpartition(add_partition, &space);
    return number(src, out, space.largest_free);
}

bool metadata_get_freespace_total(struct metadata_source *src, struct buf *out)
{
    struct space space = { 0 };

    (void)src;
    config_foreachpartition(add_partition, &space);
    buf_printf(out, "%" PRIu64 ";%" PRIu64, space.free_sum, space.total_sum);
    return true;
}

bool metadata_get_freespace_most(struct metadata_source *src, struct buf *out)
{
    struct space space = { 0 };

    (void)src;
    config_foreachpartition(add_partition, &space);
    buf_printf(out, "%" PRIu64 ";%" PRIu64, space.most_free, space.most_total);
    return true;
}

static void read_counters(const struct metadata_who *who, struct counters *c)
{
    struct user_meta *meta = NULL;

    memset(c, 0, sizeof(*c));
    if (!config_getswitch(IMAPOPT_CONVERSATIONS) || !who->userid) return;
    if (!user_meta_lookup(who->userid, NULL, &meta)) counters_read(meta, NULL, c);
    user_meta_free(&meta);
}

bool metadata_get_usermodseq(struct metadata_source *src, struct buf *out)
{
    struct counters c;

    read_counters(src->who, &c);
    return number(src, out, c.modseq[CTR_HIGHEST]);
}

bool metadata_get_usercounters(struct metadata_source *src, struct buf *out)
{
    static const enum counters_field fields[] = {
        CTR_HIGHEST,      CTR_MAIL,        CTR_CALDAV,        CTR_CARDDAV,
        CTR_NOTES,        CTR_MAILFOLDERS, CTR_CALDAVFOLDERS, CTR_CARDDAVFOLDERS,
        CTR_NOTESFOLDERS, CTR_QUOTA,       CTR_RACL,
    };
    struct counters c;

    read_counters(src->who, &c);
    buf_printf(out, "%d", c.modseq[CTR_HIGHEST] ? COUNTERS_VERSION : 0);
    for (size_t i = 0; i < array_size(fields); i++)
        buf_printf(out, " %" PRIu64, c.modseq[fields[i]]);
    buf_printf(out, " %" PRIu32, c.uidvalidity);
    return true;
}
