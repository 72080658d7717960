/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * counters -- a user's modseqs and uidvalidity (handbook 01 §7.3)
 *
 * The file is read once in a transaction, changed in memory, and replaced as a whole
 * by a commit hook, so the numbers handed out and the changes that carry them become true
 * together. The caller's transaction holds the namespace lock of the owner.
 *
 * A file that can't be read or is damaged is an error, and is left alone: numbers that
 * start anew would make clients and replicas miss changes. A missing file is all zero.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "counters_codec.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct counters_state {
    char *path;
    struct counters c;
    bool exists, dirty;
};

static void state_free(void *data)
{
    struct counters_state *st = data;

    free(st->path);
    free(st);
}

/* ---- the file ---- */

static int read_file(const char *path, struct counters *c, bool *existsp)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;

    memset(c, 0, sizeof(*c));
    *existsp = false;
    int r = diskio_map_file(path, &map, NULL);
    if (r == -ENOENT || r == -ENOTDIR) return 0;
    if (r) {
        xsyslog_errno(LOG_ERR, r, "IOERROR: counters can't be read", "filename=<%s>", path);
        return IMAP_IOERROR;
    }
    *existsp = true;
    r = counters_decode(c, map.base, map.len);
    diskio_map_free(&map);
    if (r)
        xsyslog_errno(LOG_ERR, 0, "DBERROR: damaged counters file, left as it is",
                      "filename=<%s> error=<%s>", path, error_message(r));
    return r;
}

static int write_file(struct txn *txn, void *rock)
{
    struct counters_state *st = rock;
    char bytes[COUNTERS_SIZE];

    if (!st->dirty) return 0;
    st->c.generation++;
    counters_encode(&st->c, bytes);
    if (!st->exists) {
        char *dir = xstrndup(st->path, (size_t)(strrchr(st->path, '/') - st->path));
        txn_mkdir(txn, dir, 0755);
        free(dir);
    }
    txn_replace(txn, st->path, bytes, sizeof(bytes), 0644);
    return 0;
}

/* The state of the transaction; *stp NULL without an error: there is no file to be kept. */
static int get_state(struct txn *txn, struct user_meta *meta, struct counters_state **stp)
{
    *stp = NULL;
    if (!meta || !config_getswitch(IMAPOPT_CONVERSATIONS)) return 0;
    const char *path = user_meta_path(meta, "counters");
    if (!path) return IMAP_MAILBOX_BADNAME;
    char *key = xasprintf("counters/%s", path);
    *stp = txn_attached(txn, key);
    if (!*stp) {
        struct counters_state *st = xzmalloc(sizeof(*st));
        st->path = xstrdup(path);
        int r = read_file(path, &st->c, &st->exists);
        if (r) {
            state_free(st);
            free(key);
            return r;
        }
        txn_attach(txn, key, st, state_free);
        txn_on_commit(txn, TXN_ORDER_COUNTERS, write_file, st);
        *stp = st;
    }
    free(key);
    return 0;
}

/* ---- the numbers ---- */

int counters_read(struct user_meta *meta, struct txn *txn, struct counters *out)
{
    struct counters_state *st;
    bool exists;

    memset(out, 0, sizeof(*out));
    if (!meta || !config_getswitch(IMAPOPT_CONVERSATIONS)) return 0;
    if (txn) {
        int r = get_state(txn, meta, &st);
        if (!r) *out = st->c;
        return r;
    }
    const char *path = user_meta_path(meta, "counters");
    return path ? read_file(path, out, &exists) : IMAP_MAILBOX_BADNAME;
}

static modseq_t result(int r, int *errp, modseq_t value)
{
    if (errp) *errp = r;
    return r ? 0 : value;
}

modseq_t counters_next_modseq(struct txn *txn, struct user_meta *meta, modseq_t last,
                              const char *mboxname, uint32_t mbtype, unsigned flags, int *errp)
{
    struct counters_state *st;

    int r = get_state(txn, meta, &st);
    if (r || !st) return result(r, errp, last + 1);
    st->dirty = true;
    return result(0, errp,
                  counters_advance(&st->c, counters_kind_of(mboxname, mbtype), flags, last));
}

modseq_t counters_set_modseq(struct txn *txn, struct user_meta *meta, modseq_t atleast,
                             const char *mboxname, uint32_t mbtype, unsigned flags, int *errp)
{
    struct counters_state *st;

    int r = get_state(txn, meta, &st);
    if (r || !st) return result(r, errp, atleast);
    if (counters_raise(&st->c, counters_kind_of(mboxname, mbtype), flags, atleast))
        st->dirty = true;
    return result(0, errp, st->c.modseq[CTR_HIGHEST]);
}

uint32_t counters_next_uidvalidity(struct txn *txn, struct user_meta *meta, uint32_t last,
                                   int *errp)
{
    struct counters_state *st;

    int r = get_state(txn, meta, &st);
    if (r || !st) return (uint32_t)result(r, errp, last + 1);
    st->dirty = true;
    return (uint32_t)result(0, errp, counters_advance_uidvalidity(&st->c, last));
}

int counters_set_uidvalidity(struct txn *txn, struct user_meta *meta, uint32_t atleast)
{
    struct counters_state *st;

    int r = get_state(txn, meta, &st);
    if (!r && st && counters_raise_uidvalidity(&st->c, atleast)) st->dirty = true;
    return r;
}

int counters_merge(struct txn *txn, struct user_meta *meta, const struct counters *other)
{
    struct counters_state *st;

    int r = get_state(txn, meta, &st);
    if (r || !st) return r;
    for (int i = 0; i < CTR_NUMFIELDS; i++) {
        if (st->c.modseq[i] >= other->modseq[i]) continue;
        st->c.modseq[i] = other->modseq[i];
        st->dirty = true;
    }
    if (counters_raise_uidvalidity(&st->c, other->uidvalidity)) st->dirty = true;
    return 0;
}
