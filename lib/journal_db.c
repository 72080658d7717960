/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal_db -- the key-value part of a record (doc/journal.md §7)
 *
 * All changes of one database are one transaction of its file, without a sync where the file has marks:
 * after a power cut it is cut back to a mark that was durable, and everything since is done again.
 * Other files follow their own protocol, with its syncs; so does a file that had no mark because it is
 * just being converted: the next mark of it must not be ahead of what is on disk.
 */
#include <config.h>

#include "journal_db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cyrusdb.h"
#include "diskio.h"
#include "hash.h"
#include "journal_plan.h"
#include "journal_seal.h"
#include "mutant.h"
#include "xmalloc.h"
#include "xsyslog.h"

static int as_errno(int r)
{
    switch (r) {
    case CYRUSDB_OK:
        return 0;
    case CYRUSDB_NOTFOUND:
        return -ENOENT;
    case CYRUSDB_FULL:
        return -ENOSPC;
    case CYRUSDB_LOCKED:
        return -EDEADLK;
    case CYRUSDB_BADFORMAT:
        return -EBADMSG;
    default:
        return -EIO;
    }
}

/* ---- damage ---- */

int journal_db_set_aside(const char *path)
{
    char *kept = xasprintf("%s.damaged", path);
    int r = diskio_rename(path, kept);

    if (r)
        xsyslog_errno(LOG_ERR, r, "DBERROR: a damaged database can't be set aside", "fname=<%s>", path);
    else
        xsyslog(LOG_ERR, "DBERROR: a damaged database is set aside and begun anew", "fname=<%s> kept=<%s>", path, kept);
    free(kept);
    return r;
}

/* ---- after a crash ---- */

static void inode_key(const char *path, char out[64])
{
    struct stat st;
    out[0] = 0;
    if (!diskio_stat(path, &st))
        snprintf(out, 64, "%llx:%llx", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
}

static void note_rewound(struct journal_apply *apply, const char *path)
{
    char key[64];
    inode_key(path, key);
    if (key[0]) hash_insert(key, apply, apply->rewound);
}

/* Was it absent when the first change of the window was made? Then the window has all of it. */
static bool began_absent(const struct journal_plan_path *pp)
{
    return pp->nmarks && (pp->marks[0].flags & JOURNAL_DB_ABSENT);
}

static int cut_back(struct journal_apply *apply, const struct journal_op *op, const struct journal_plan_path *pp)
{
    const char *path = op->path;
    struct cyrusdb_mark *marks = xcalloc(pp->nmarks + 1, sizeof(*marks));
    unsigned n = 0;
    bool cut;

    for (unsigned i = 0; i < pp->nmarks; i++) {
        if (pp->marks[i].flags & (JOURNAL_DB_ABSENT | JOURNAL_DB_NOMARK)) continue;
        marks[n++] = (struct cyrusdb_mark){ .generation = pp->marks[i].generation, .end = pp->marks[i].end };
    }
    int r = cyrusdb_rewind(path, marks, n, &cut);
    if (cut) apply->databases++;
    free(marks);
    if (r == CYRUSDB_BADFORMAT && (op->flags & JOURNAL_DB_DERIVED)) return journal_db_set_aside(path);
    return r == CYRUSDB_NOTFOUND ? 0 : as_errno(r);
}

/* Once for each file: whatever the crash left behind the oldest mark goes. */
static int rewind_once(struct journal_apply *apply, const struct journal_op *db)
{
    const struct journal_plan_path *pp = journal_plan_path(apply->plan, db->path);
    char key[64];
    int r;

    inode_key(db->path, key);
    if (!key[0] || hash_lookup(key, apply->rewound)) return 0;
    if (began_absent(pp)) {
        r = as_errno(cyrusdb_unlink(db->path2, db->path));
        apply->databases++;
    }
    else {
        r = cut_back(apply, db, pp);
        note_rewound(apply, db->path);
    }
    return r;
}

/* ---- the changes ---- */

static int change_all(struct journal_db_change *change, struct db *db)
{
    struct journal_op op;
    int r = 0;

    for (uint32_t i = 0; !r && i < change->n; i++) {
        journal_op_iter_next(&change->changes, &op);
        if (op.kind == JOURNAL_OP_KVSET)
            r = cyrusdb_store(db, op.key, op.keylen, op.data, op.datalen);
        else
            r = cyrusdb_delete(db, op.key, op.keylen, true);
    }
    return r;
}

static int apply_changes(struct journal_db_change *change, bool anew)
{
    const struct journal_op *op = change->db;
    unsigned flags = CYRUSDB_NOCOMPACT | CYRUSDB_KEEP;
    struct cyrusdb_state before, after;
    struct db *db;

    if (op->flags & JOURNAL_DB_CREATE) flags |= CYRUSDB_CREATE;
    if (op->flags & JOURNAL_DB_CONVERT) flags |= CYRUSDB_CONVERT;
    int r = cyrusdb_open(op->path2, op->path, flags, &db);
    if (r) return r;

    /* A file with marks whose record has none is just being converted. */
    bool nosync = !anew && cyrusdb_needs_no_sync(db) && !(cyrusdb_has_marks(db) && (op->flags & JOURNAL_DB_NOMARK));
    r = cyrusdb_begin(db, nosync ? CYRUSDB_NOSYNC : 0);
    bool sealed = !r && (op->flags & JOURNAL_DB_SEALED) && change->apply->j && !cyrusdb_get_state(db, true, &before);
    if (!r) r = change_all(change, db);
    if (!r) r = cyrusdb_commit(db);
    if (!r && sealed && !cyrusdb_get_state(db, true, &after)) journal_seal_move(change->apply->j, &before, &after);
    cyrusdb_abort(db);
    cyrusdb_close(db);
    return r;
}

int journal_db_apply(struct journal_db_change *change)
{
    struct journal_apply *apply = change->apply;
    const struct journal_op *db = change->db;
    int r = 0;

    if (cyrusdb_check_backend(db->path2)) {
        syslog(LOG_CRIT, "journal: backend %s of %s is not supported", db->path2, db->path);
        return -EOPNOTSUPP;
    }
    if (apply->rewind && !mutant_is("no-cut-back")) r = rewind_once(apply, db);
    if (r || !change->n) return r;
    struct journal_op_iter first = change->changes;
    r = as_errno(apply_changes(change, false));
    if (r == -EBADMSG && (db->flags & JOURNAL_DB_DERIVED) && !journal_db_set_aside(db->path)) {
        change->changes = first;
        r = as_errno(cyrusdb_begin_anew(db->path));
        if (!r) r = as_errno(apply_changes(change, true));
    }
    if (apply->rewind && !r) note_rewound(apply, db->path);
    if (!r) return 0;
    syslog(LOG_ERR, "journal: can't change database %s: %s", db->path, strerror(-r));
    if (r != -ENOENT) return r;
    apply->gone++;
    return 0;
}
