/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * txn_ops -- the file operations that a transaction stages
 *
 * Each becomes one redo operation of the record, in order. Nothing is looked at on
 * disk here. What would make the record impossible to redo is refused when it is
 * staged: the transaction then fails at its commit with IMAP_INTERNAL.
 */
#include <config.h>

#include <string.h>

#include "imap_err.h"
#include "txn_internal.h"
#include "xsyslog.h"

/* A path whose inode a link of this transaction needs must keep it until the checkpoint. */
static void stage(struct txn *txn, const struct journal_op *op, bool kills)
{
    const char *target = journal_op_target(op);

    if (target[0] != '/' || (op->path2 && op->path[0] != '/')) {
        txn_misuse(txn, "path is not absolute", target);
        return;
    }
    if (kills && hash_lookup(target, &txn->link_sources)) {
        txn_misuse(txn, "a link was made from a path that is then replaced or removed", target);
        return;
    }
    journal_record_op(&txn->rec, op);
}

void txn_pwrite(struct txn *txn, const char *path, uint64_t off, const void *base, size_t len)
{
    struct journal_op op = { .kind = JOURNAL_OP_PWRITE, .path = path, .off = off, .data = base, .datalen = len };
    if (len) stage(txn, &op, false);
}

void txn_truncate(struct txn *txn, const char *path, uint64_t len)
{
    struct journal_op op = { .kind = JOURNAL_OP_TRUNCATE, .path = path, .off = len };
    stage(txn, &op, false);
}

void txn_replace(struct txn *txn, const char *path, const void *base, size_t len, mode_t mode)
{
    struct journal_op op = {
        .kind = JOURNAL_OP_REPLACE, .path = path, .data = base, .datalen = len, .mode = mode
    };
    stage(txn, &op, true);
}

void txn_rewrite(struct txn *txn, const char *path, const void *base, size_t len, mode_t mode)
{
    struct journal_op op = {
        .kind = JOURNAL_OP_REPLACE, .flags = JOURNAL_REPLACE_INPLACE, .path = path, .data = base, .datalen = len,
        .mode = mode
    };
    stage(txn, &op, true);
}

void txn_create(struct txn *txn, const char *path, const void *base, size_t len, mode_t mode, time_t mtime)
{
    struct journal_op op = { .kind = JOURNAL_OP_CREATE, .path = path, .data = base, .datalen = len, .mode = mode,
                             .number = (uint64_t)mtime };
    stage(txn, &op, true);
}

void txn_link(struct txn *txn, const char *from, const char *to)
{
    struct journal_op op = { .kind = JOURNAL_OP_LINK, .path = from, .path2 = to };
    stage(txn, &op, true);
    hash_insert(from, txn, &txn->link_sources);
}

void txn_symlink(struct txn *txn, const char *target, const char *path)
{
    struct journal_op op = { .kind = JOURNAL_OP_SYMLINK, .path = path, .data = target, .datalen = strlen(target) };
    stage(txn, &op, true);
}

void txn_unlink(struct txn *txn, const char *path)
{
    struct journal_op op = { .kind = JOURNAL_OP_UNLINK, .path = path };
    stage(txn, &op, true);
}

void txn_unlink_lazy(struct txn *txn, const char *path)
{
    struct journal_op op = { .kind = JOURNAL_OP_UNLINK_LAZY, .path = path };
    stage(txn, &op, false);
}

void txn_mkdir(struct txn *txn, const char *path, mode_t mode)
{
    struct journal_op op = { .kind = JOURNAL_OP_MKDIR, .path = path, .mode = mode };
    stage(txn, &op, false);
}

void txn_rmdir(struct txn *txn, const char *path)
{
    struct journal_op op = { .kind = JOURNAL_OP_RMDIR, .path = path };
    stage(txn, &op, false);
}

void txn_utime(struct txn *txn, const char *path, time_t mtime)
{
    struct journal_op op = { .kind = JOURNAL_OP_UTIME, .path = path, .number = (uint64_t)mtime };
    stage(txn, &op, false);
}
