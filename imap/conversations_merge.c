/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_merge -- the second set of files of a user whom 3.6.1 split (handbook 01 §5.3)
 *
 * A user whose files belong on the path of his INBOX's uniqueid may have others on the legacy path, with a part of
 * his messages in each. Of those, only the message-ids and the modseqs can't be had from the mailboxes: they
 * join what is in use, everything else is counted anew, and the files go to lost+found in the configuration directory,
 * all in one transaction. A record that makes no sense, or bytes that are none, are logged and left out.
 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "conversations_int.h"
#include "cyrusdb.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "user_aside.h"
#include "xmalloc.h"
#include "xsyslog.h"

static const char *const suffixes[] = { "conversations", "counters" };

/* The user's other meta; NULL: his files belong on the legacy path. */
static struct user_meta *legacy_meta(struct user_meta *meta)
{
    struct user_meta *legacy = NULL;

    if (user_meta_userid(meta) && user_meta_uniqueid(meta))
        user_meta_legacy(user_meta_userid(meta), &legacy);
    return legacy;
}

int conversations_find_second(struct user_meta *meta, strarray_t *paths)
{
    struct user_meta *legacy = legacy_meta(meta);
    struct stat st;
    int r = 0;

    for (size_t i = 0; legacy && !r && i < array_size(suffixes); i++) {
        const char *path = user_meta_path(legacy, suffixes[i]);
        r = path ? diskio_stat(path, &st) : -ENOENT;
        if (!r && S_ISREG(st.st_mode)) strarray_append(paths, path);
        if (r == -ENOENT || r == -ENOTDIR) r = 0;
        if (r) xsyslog_errno(LOG_ERR, r, "IOERROR: can't look at file", "filename=<%s>", path);
    }
    user_meta_free(&legacy);
    return r ? IMAP_IOERROR : 0;
}

struct merge {
    struct conversations_state *state; /* in use */
    const char *path;                  /* of the second database */
    struct conv_merged *done;
    bool byname; /* the second one knows folders by name, and has nothing to tell of their ids */
};

/* What both know of a message-id. */
static int merge_msgid(struct merge *merge, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct conv_msgid m;
    bool added;

    if (conv_msgid_parse(val, vallen, &m)) {
        xsyslog(LOG_ERR, "DBERROR: message-id record makes no sense, left out",
                "userid=<%s> key=<%.*s>", user_meta_userid(merge->state->meta), (int)keylen, key);
        return 0;
    }
    int r = conv_merge_msgid(merge->state, key, keylen, &m, &added);
    merge->done->msgids += added;
    conv_msgid_fini(&m);
    return r;
}

static int merge_modseq(struct merge *merge, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct conv_status status;
    struct conv_folderstatus *fs;

    if (keylen < 2 || conv_status_parse(val, vallen, &status)) return 0; /* counted anew */
    char *folder = xstrndup(key + 1, keylen - 1);
    int r = conv_status_get(merge->state, folder, &fs);
    if (!r && fs->status.threadmodseq < status.threadmodseq) {
        fs->status.threadmodseq = status.threadmodseq;
        fs->dirty = true;
    }
    free(folder);
    return r;
}

/* Keys come in order: that of the list of folders before those of message-ids and folders. */
static int merge_record(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct merge *merge = rock;

    if (keylen == strlen(CONV_KEY_FOLDER_NAMES) && !memcmp(key, CONV_KEY_FOLDER_NAMES, keylen))
        merge->byname = true;
    if (keylen && *key == '<') return merge_msgid(merge, key, keylen, val, vallen);
    if (keylen && *key == 'F' && !merge->byname) return merge_modseq(merge, key, keylen, val, vallen);
    return 0;
}

static void merge_bad(void *rock, uint64_t off, uint64_t len, const char *what)
{
    struct merge *merge = rock;

    xsyslog(LOG_ERR, "DBERROR: a part of the second conversations database can't be read",
            "filename=<%s> offset=<%" PRIu64 "> length=<%" PRIu64 "> error=<%s>", merge->path, off, len, what);
    merge->done->damaged = true;
}

static int merge_conversations(struct txn *txn, struct user_meta *meta, const char *path, struct conv_merged *done)
{
    struct merge merge = { .path = path, .done = done };
    const struct cyrusdb_salvage to = { merge_record, merge_bad, &merge };
    const char *backend = cyrusdb_detect(path);

    if (!backend) backend = config_getstring(IMAPOPT_CONVERSATIONS_DB);
    int r = conversations_open_user(txn, meta, &merge.state);
    if (!r && merge.state) r = cyrusdb_salvage(backend, path, 0, &to);
    if (r == CYRUSDB_NOTFOUND) r = 0;
    if (!r && merge.state) r = conv_flush(merge.state);
    return r;
}

static int merge_counters(struct txn *txn, struct user_meta *meta, struct user_meta *legacy, struct conv_merged *done)
{
    struct counters counters;
    int r = counters_read(legacy, NULL, &counters);

    if (r == IMAP_MAILBOX_BADFORMAT || r == IMAP_MAILBOX_CHECKSUM) {
        done->damaged = true; /* logged; the mailboxes know their numbers */
        return 0;
    }
    return r ? r : counters_merge(txn, meta, &counters);
}

void conv_merged_fini(struct conv_merged *done)
{
    strarray_fini(&done->kept);
}

int conversations_merge_second(struct txn *txn, struct user_meta *meta, struct conv_merged *done)
{
    struct user_meta *legacy = legacy_meta(meta);
    strarray_t paths = STRARRAY_INITIALIZER;
    int r = legacy ? conversations_find_second(meta, &paths) : 0;

    *done = (struct conv_merged){ .kept = STRARRAY_INITIALIZER };
    if (!r && strarray_size(&paths)) {
        const char *path = user_meta_path(legacy, "conversations");
        if (strarray_contains(&paths, path)) r = merge_conversations(txn, meta, path, done);
        if (!r) r = merge_counters(txn, meta, legacy, done);
        if (!r) r = conversations_rebuild_user(txn, meta, NULL, NULL);
        for (int i = 0; !r && i < strarray_size(&paths); i++) r = user_file_aside(txn, strarray_nth(&paths, i), &done->kept);
    }
    strarray_fini(&paths);
    user_meta_free(&legacy);
    return r;
}

/* ---- at the first use of the user ---- */

static bool is_split(const mbentry_t *inbox)
{
    struct user_meta *meta = NULL;
    strarray_t paths = STRARRAY_INITIALIZER;

    bool split = !user_meta_from_entry(inbox, &meta) && !conversations_find_second(meta, &paths) &&
                 strarray_size(&paths) > 0;
    strarray_fini(&paths);
    user_meta_free(&meta);
    return split;
}

static int mend(const char *userid, struct conv_merged *done)
{
    struct user_meta *meta = NULL;
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r) r = txn_lock_user(txn, userid);
    if (!r) r = user_meta_lookup(userid, txn, &meta);
    if (!r) r = conversations_merge_second(txn, meta, done);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    user_meta_free(&meta);
    return r;
}

void conversations_mend_split(const mbentry_t *inbox)
{
    struct conv_merged done = { .kept = STRARRAY_INITIALIZER };

    if (!config_getswitch(IMAPOPT_CONVERSATIONS) || !is_split(inbox)) return;
    char *userid = mboxname_to_userid(inbox->name);
    int r = mend(userid, &done);
    if (r && r != IMAP_MAILBOX_MOVED) /* two users with one uniqueid: told, and for an administrator to separate */
        xsyslog(LOG_ERR, "DBERROR: a second set of conversations can't be merged", "userid=<%s> error=<%s>", userid,
                error_message(r));
    for (int i = 0; !r && i < strarray_size(&done.kept); i++)
        xsyslog(LOG_NOTICE, "merged a second set of conversations that an older server left",
                "userid=<%s> msgids=<%zu> damaged=<%s> kept=<%s>", userid, done.msgids, done.damaged ? "yes" : "no",
                strarray_nth(&done.kept, i));
    conv_merged_fini(&done);
    free(userid);
}
