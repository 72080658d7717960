/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mboxlist_relocate -- from directories by name to directories by uniqueid
 *
 * A mailbox is one transaction: its files, its header (which has the type), its entry, and with an INBOX
 * the files of the user. Mailboxes of both kinds live side by side, so whoever is stopped between two goes
 * on with the next. Nothing is put over what is there already.
 */
#include <config.h>

#include "mboxlist_relocate.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "mbtype.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define COUNTERS "counters"
struct relocation {
    struct txn *txn;
    const mbentry_t *old;
    mbentry_t *entry;             /* as it is to be */
    struct user_meta *from, *to;  /* of an INBOX, else NULL */
    bool dryrun;
    mboxlist_relocate_cb *cb;
    void *rock;
};

bool mboxlist_is_legacy(const mbentry_t *entry)
{
    return entry->uniqueid && (entry->mbtype & MBTYPE_LEGACY_DIRS) &&
           !(entry->mbtype & (MBTYPE_DELETED | MBTYPE_INTERMEDIATE | MBTYPE_RESERVE)) &&
           !mbentry_is_remote(entry, config_servername);
}

static bool is_there(const char *path)
{
    struct stat st;
    return !diskio_lstat(path, &st);
}

static void tell(const struct relocation *rl, const char *from, const char *to)
{
    if (rl->cb) rl->cb(from, to, rl->rock);
}

static int refuse(const struct relocation *rl, const char *path)
{
    xsyslog_errno(LOG_ERR, 0, "IOERROR: can't relocate, there is something already", "mailbox=<%s> filename=<%s>",
                  rl->old->name, path);
    return IMAP_MAILBOX_EXISTS;
}

/* ---- the mailbox ---- */

static int check_mailbox(const struct relocation *rl)
{
    struct mailbox_place to = mailbox_place_of(rl->entry);
    struct buf path = BUF_INITIALIZER;
    int r = mailbox_path_meta(&to, META_HEADER, &path);

    if (!r && is_there(buf_cstring(&path))) r = refuse(rl, buf_cstring(&path));
    if (!r) r = mailbox_path_meta(&to, META_INDEX, &path);
    if (!r && is_there(buf_cstring(&path))) r = refuse(rl, buf_cstring(&path));
    buf_free(&path);
    return r;
}

static int tell_dirs(const struct relocation *rl)
{
    struct mailbox_place from = mailbox_place_of(rl->old), to = mailbox_place_of(rl->entry);
    strarray_t a = STRARRAY_INITIALIZER, b = STRARRAY_INITIALIZER;

    int r = mailbox_path_alldirs(&from, &a);
    if (!r) r = mailbox_path_alldirs(&to, &b);
    for (int i = 0; !r && i < strarray_size(&a) && i < strarray_size(&b); i++) {
        if (is_there(strarray_nth(&a, i))) tell(rl, strarray_nth(&a, i), strarray_nth(&b, i));
    }
    strarray_fini(&a);
    strarray_fini(&b);
    return r;
}

static int move_mailbox(const struct relocation *rl)
{
    struct user_meta *meta = NULL;
    struct mailbox *mailbox;

    /* The transaction remembers where the user's files are, until they move. */
    int r = user_meta_for_mailbox(rl->old, rl->txn, &meta);
    user_meta_free(&meta);
    if (r == IMAP_MAILBOX_NONEXISTENT) r = 0;
    if (!r) r = mailbox_open_mbentry_iwl(rl->txn, rl->old, &mailbox);
    if (!r) r = mboxlist_update_entry(rl->txn, rl->entry->name, rl->entry);
    return r ? r : mailbox_set_name(mailbox, rl->entry, 0);
}

/* ---- the user ---- */

static int check_file(const struct relocation *rl, const char *suffix)
{
    const char *from = user_meta_path(rl->from, suffix), *to = user_meta_path(rl->to, suffix);

    if (!from || !to) return IMAP_MAILBOX_BADNAME;
    if (!is_there(from)) return 0;
    if (is_there(to)) return refuse(rl, to);
    tell(rl, from, to);
    return 0;
}

static int check_user(const struct relocation *rl)
{
    int r = 0;
    for (const struct user_file *f = user_files; !r && f->suffix; f++) r = check_file(rl, f->suffix);
    return r;
}

/* Before the entry changes: whoever writes an entry looks at the counters, and finds them in the new place then. */
static int move_counters(const struct relocation *rl)
{
    const char *path = user_meta_path(rl->from, COUNTERS);
    struct counters counters;

    if (!is_there(path)) return 0;
    int r = counters_read(rl->from, rl->txn, &counters);
    if (!r) r = counters_merge(rl->txn, rl->to, &counters);
    if (!r) txn_unlink(rl->txn, path);
    return r;
}

static int move_link(const struct relocation *rl, const char *from, const char *to)
{
    char target[PATH_MAX];
    ssize_t n = readlink(from, target, sizeof(target) - 1);

    if (n < 0) return -errno;
    target[n] = '\0';
    txn_symlink(rl->txn, target, to);
    txn_unlink(rl->txn, from);
    return 0;
}

/* A copy: a file of another owner can't always be linked. */
static int move_file(const struct relocation *rl, const char *from, const char *to, const struct stat *st)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    int r = diskio_map_file(from, &map, NULL);

    if (r) return r;
    txn_create(rl->txn, to, map.base ? map.base : "", map.len, st->st_mode & 07777, st->st_mtime);
    diskio_map_free(&map);
    txn_unlink(rl->txn, from);
    return 0;
}

static int move_script(const struct relocation *rl, const char *dir, const char *todir, const char *name)
{
    char *from = xasprintf("%s/%s", dir, name), *to = xasprintf("%s/%s", todir, name);
    struct stat st;

    int r = diskio_lstat(from, &st);
    if (!r && S_ISLNK(st.st_mode))
        r = move_link(rl, from, to);
    else if (!r && S_ISREG(st.st_mode))
        r = move_file(rl, from, to, &st);
    if (r)
        xsyslog_errno(LOG_ERR, r, "IOERROR: can't relocate script", "mailbox=<%s> filename=<%s>", rl->old->name, from);
    free(from);
    free(to);
    return r ? IMAP_IOERROR : 0;
}

static int move_scripts(const struct relocation *rl, DIR *d, const char *from, const char *to)
{
    struct dirent *e;
    int r = 0;

    txn_mkdir(rl->txn, to, 0755);
    while (!r && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) r = move_script(rl, from, to, e->d_name);
    }
    if (!r) txn_rmdir(rl->txn, from);
    return r;
}

static int move_sieve(const struct relocation *rl)
{
    struct buf from = BUF_INITIALIZER, to = BUF_INITIALIZER;

    if (!config_getstring(IMAPOPT_SIEVEDIR) || config_getswitch(IMAPOPT_SIEVEUSEHOMEDIR)) return 0;
    int r = user_meta_sievedir(rl->from, &from);
    if (!r) r = user_meta_sievedir(rl->to, &to);
    DIR *d = r ? NULL : opendir(buf_cstring(&from));
    if (d) {
        tell(rl, buf_cstring(&from), buf_cstring(&to));
        if (!rl->dryrun) r = move_scripts(rl, d, buf_cstring(&from), buf_cstring(&to));
        closedir(d);
    }
    buf_free(&from);
    buf_free(&to);
    return r;
}

static int begin_user(struct relocation *rl, const char *userid)
{
    int r = user_meta_legacy(userid, &rl->from);

    if (!r) r = user_meta_from_entry(rl->entry, &rl->to);
    return r;
}

/* ---- the whole ---- */

static int check(const struct relocation *rl)
{
    int r = check_mailbox(rl);
    if (!r) r = tell_dirs(rl);
    if (!r && rl->from) r = check_user(rl);
    if (!r && rl->from) r = move_sieve(rl);
    return r;
}

static int move(const struct relocation *rl)
{
    int r = rl->from ? move_counters(rl) : 0;
    if (!r) r = move_mailbox(rl);
    if (!r && rl->from) r = user_meta_move(rl->txn, rl->from, rl->to, USER_FILE_RELOCATE, false);
    return r;
}

static int relocate(struct relocation *rl, const char *userid)
{
    int r = 0;

    if (!mboxlist_is_legacy(rl->old)) return 0;
    rl->entry = mbentry_dup(rl->old);
    rl->entry->mbtype &= ~(uint32_t)MBTYPE_LEGACY_DIRS;
    if (mboxname_isusermailbox(rl->old->name, true)) r = begin_user(rl, userid);
    if (!r) r = check(rl);
    if (r || rl->dryrun) return r;
    r = move(rl);
    return r ? r : txn_commit(&rl->txn, NULL);
}

int mboxlist_relocate(const char *name, bool dryrun, mboxlist_relocate_cb *cb, void *rock)
{
    struct relocation rl = { .dryrun = dryrun, .cb = cb, .rock = rock };
    char *userid = mboxname_to_userid(name);
    mbentry_t *old = NULL;

    int r = txn_begin(&rl.txn);
    if (!r) r = txn_lock_user(rl.txn, userid);
    if (!r) r = mboxlist_lookup(name, &old, rl.txn);
    rl.old = old;
    if (!r) r = relocate(&rl, userid);
    txn_abort(&rl.txn);
    user_meta_free(&rl.from);
    user_meta_free(&rl.to);
    mbentry_free(&rl.entry);
    mbentry_free(&old);
    free(userid);
    return r;
}
