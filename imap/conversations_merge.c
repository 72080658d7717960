/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations_merge -- the second set of files of a user whom 3.6.1 split (handbook 01 §5.3)
 *
 * A user whose files belong on the path of his INBOX's uniqueid may have others on the legacy path, with a part of
 * his messages in each. Of those, only the message-ids and the modseqs can't be had from the mailboxes: they
 * join what is in use, everything else is counted anew, and the files go, all in one transaction. A record that
 * makes no sense is logged and left out; a file that can't be read ends the merge and stays.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "conversations_int.h"
#include "diskio.h"
#include "imap_err.h"
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
    size_t *msgids;
};

static void add_cid(struct conv_msgid *m, conversation_id_t cid)
{
    for (size_t i = 0; i < m->ncids; i++)
        if (m->cids[i] == cid) return;
    m->cids = xreallocarray(m->cids, m->ncids + 1, sizeof(*m->cids));
    m->cids[m->ncids++] = cid;
}

/* What both know of a message-id. */
static int merge_msgid(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct merge *merge = rock;
    struct conv_msgid from, to = { NULL, 0, 0 };
    struct buf k = BUF_INITIALIZER, v = BUF_INITIALIZER;
    const char *have;
    size_t len;

    if (conv_msgid_parse(val, vallen, &from)) {
        xsyslog(LOG_ERR, "DBERROR: message-id record makes no sense, left out",
                "userid=<%s> key=<%.*s>", user_meta_userid(merge->state->meta), (int)keylen, key);
        return 0;
    }
    int r = txn_db_fetch(merge->state->db, key, keylen, &have, &len);
    if (!r && conv_msgid_parse(have, len, &to)) memset(&to, 0, sizeof(to));
    if (r == IMAP_NOTFOUND) r = 0;
    size_t before = to.ncids;
    for (size_t i = 0; i < from.ncids; i++) add_cid(&to, from.cids[i]);
    if (!r && to.ncids > before) {
        to.stamp = cyr_max(to.stamp, from.stamp);
        buf_setmap(&k, key, keylen);
        conv_msgid_print(&to, &v);
        r = conv_store(merge->state, &k, &v);
        (*merge->msgids)++;
    }
    conv_msgid_fini(&from);
    conv_msgid_fini(&to);
    buf_free(&k);
    buf_free(&v);
    return r;
}

static int merge_modseq(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct merge *merge = rock;
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

static int merge_conversations(struct txn *txn, struct user_meta *meta, struct user_meta *legacy,
                               size_t *msgids)
{
    struct merge merge = { NULL, msgids };
    struct conversations_state *second = NULL;
    int r = conversations_open_user(txn, meta, &merge.state);

    if (!r) r = conversations_open_user(NULL, legacy, &second);
    if (!r && second) r = txn_db_foreach(second->db, "<", 1, merge_msgid, &merge);
    /* a database that knew folders by name has nothing to tell of their ids */
    if (!r && second && !second->byname)
        r = txn_db_foreach(second->db, "F", 1, merge_modseq, &merge);
    if (!r && second) r = conv_flush(merge.state);
    conversations_close(&second);
    return r;
}

int conversations_merge_second(struct txn *txn, struct user_meta *meta, size_t *msgids)
{
    struct user_meta *legacy = legacy_meta(meta);
    strarray_t paths = STRARRAY_INITIALIZER;
    struct counters counters;
    int r = legacy ? conversations_find_second(meta, &paths) : 0;

    *msgids = 0;
    if (!r && strarray_size(&paths)) {
        r = merge_conversations(txn, meta, legacy, msgids);
        if (!r) r = counters_read(legacy, NULL, &counters);
        if (!r) r = counters_merge(txn, meta, &counters);
        if (!r) r = conversations_rebuild_user(txn, meta, NULL, NULL);
        for (int i = 0; !r && i < strarray_size(&paths); i++)
            txn_unlink(txn, strarray_nth(&paths, i));
    }
    strarray_fini(&paths);
    user_meta_free(&legacy);
    return r;
}
