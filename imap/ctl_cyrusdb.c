/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctl_cyrusdb -- puts the store in order at the start, and checkpoints it
 *
 * -r, which master runs before any service: redoes what the journal holds, brings the
 * global databases to the backends that are configured, and mailboxes.db to the present
 * format. -c, every half hour or so: empties the journal into the store and keeps two
 * generations of copies of the important global databases. Usage errors end with 255,
 * a store that can't be put in order with 75.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "annotate_upgrade.h"
#include "buf.h"
#include "conversations.h"
#include "cyrusdb.h"
#include "diskio.h"
#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "journal.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxlist_follow.h"
#include "mboxlist_racl.h"
#include "mboxlist_upgrade.h"
#include "mboxname.h"
#include "ptrarray.h"
#include "txn.h"
#include "user_ops.h"
#include "user_record.h"
#include "user_strays.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* The global databases; all but quotalegacy are one file. */
static const struct global_db {
    const char *name; /* below configdirectory */
    enum imapopt path, backend; /* IMAPOPT_ZERO: not configured */
    bool archive, mboxsort;
    bool made; /* by every server that has worked */
} global_dbs[] = {
    { "mailboxes.db", IMAPOPT_MBOXLIST_DB_PATH, IMAPOPT_MBOXLIST_DB, true, false, true },
    { "quotas.db", IMAPOPT_QUOTA_DB_PATH, IMAPOPT_QUOTA_DB, true, false, false },
    { "annotations.db", IMAPOPT_ANNOTATION_DB_PATH, IMAPOPT_ANNOTATION_DB, true, false, true },
    { "users.db", IMAPOPT_ZERO, IMAPOPT_ZERO, true, false, false },
    { "deliver.db", IMAPOPT_DUPLICATE_DB_PATH, IMAPOPT_DUPLICATE_DB, false, false, false },
    { "tls_sessions.db", IMAPOPT_TLS_SESSIONS_DB_PATH, IMAPOPT_TLS_SESSIONS_DB, false, false, false },
    { "ptclient/ptscache.db", IMAPOPT_PTSCACHE_DB_PATH, IMAPOPT_PTSCACHE_DB, false, false, false },
};

static const char usage[] =
    "Usage: ctl_cyrusdb [-C FILE] -c\n"
    "       ctl_cyrusdb [-C FILE] -r [-x]\n"
    "  -C FILE  imapd.conf\n"
    "  -c       checkpoint: empties the journal, copies the databases to db.backup1\n"
    "  -r       recovery, before anything else runs\n"
    "  -x       with -r: leaves the entries of mailboxes.db alone\n"
    "  --help, --version\n";

static void usage_error(void) __attribute__((noreturn));
static void usage_error(void)
{
    fputs(usage, stderr);
    exit(EX_USAGE_OLD);
}

static const char *backend_of(const struct global_db *g)
{
    return g->backend ? config_getstring(g->backend) : USERS_DB_BACKEND;
}

static char *db_file(const struct global_db *g)
{
    const char *set = g->path ? config_getstring(g->path) : NULL;

    return set ? xstrdup(set) : xasprintf("%s/%s", config_dir, g->name);
}

static bool is_file(const char *path)
{
    struct stat st;

    return !diskio_stat(path, &st) && S_ISREG(st.st_mode);
}

/* -- the stamp of skiplist files (handbook 05 §5.6) -- */

static void write_stamp(const char *path)
{
    char stamp[4];

    put_be32(stamp, (uint32_t)time(NULL));
    char *fresh = xasprintf("%s.NEW", path);
    diskio_mkparents(path, 0755);
    diskio_unlink_quiet(fresh);
    int fd = diskio_create(fresh, 0666), r = fd;
    if (fd >= 0) {
        r = diskio_pwrite(fd, stamp, sizeof(stamp), 0);
        if (!r) r = diskio_fdatasync(fd);
        diskio_close(fd);
        if (!r) r = diskio_rename(fresh, path);
    }
    if (r) xsyslog_errno(LOG_ERR, r, "DBERROR: write failed", "filename=<%s>", path);
    free(fresh);
}

static void renew_stamp(void)
{
    char *clean = xasprintf("%s/db/skipcleanshutdown", config_dir);
    char *stamp = xasprintf("%s/db/skipstamp", config_dir);

    if (is_file(clean) && is_file(stamp)) {
        syslog(LOG_NOTICE, "skiplist: clean shutdown detected, starting normally");
        diskio_unlink_quiet(clean);
    }
    else {
        syslog(LOG_NOTICE, "skiplist: clean shutdown file missing, updating recovery stamp");
        write_stamp(stamp);
    }
    free(clean);
    free(stamp);
}

/* -- recovery -- */

static int redo_journal(struct journal_recovery *done)
{
    int r = txn_recover(done);

    if (r) {
        syslog(LOG_ERR, "IOERROR: the store can't be put in order: %s", error_message(r));
        fprintf(stderr, "ctl_cyrusdb: the store can't be put in order: %s; see the log\n", error_message(r));
        return r;
    }
    if (done->live)
        syslog(LOG_NOTICE, "other processes use the store; finished what dead ones left");
    if (done->records)
        syslog(LOG_NOTICE, "journal: redid %u transactions (%u operations, %u skipped)",
               done->records, done->ops, done->skipped);
    return 0;
}

/* A file of another backend than the configured one is converted. */
static void convert_if_needed(const struct global_db *g)
{
    const char *backend = backend_of(g);
    char *file = db_file(g);
    const char *is = is_file(file) ? cyrusdb_detect(file) : NULL;

    if (is && strcmp(backend, "quotalegacy") && strcmp(is, backend)) {
        syslog(LOG_NOTICE, "converting %s from %s to %s", file, is, backend);
        if (cyrusdb_convert(file, is, backend, g->mboxsort ? CYRUSDB_MBOXSORT : 0))
            syslog(LOG_ERR, "DBERROR: conversion failed %s", file);
    }
    free(file);
}

/*
 * The status cache of a packaged 3.6.1 that had the store before. That server believes what stands in it without a
 * look at the mailbox; nobody keeps it true while this one works, so it must be gone when that one comes back.
 */
static int drop_statuscache(void)
{
    const char *set = config_getstring(IMAPOPT_STATUSCACHE_DB_PATH);
    char *file = set ? xstrdup(set) : xasprintf("%s/statuscache.db", config_dir);
    int r = is_file(file) ? diskio_unlink(file) : 0;

    if (r)
        xsyslog_errno(LOG_ERR, r, "DBERROR: can't remove the status cache", "filename=<%s>", file);
    free(file);
    return r ? IMAP_IOERROR : 0;
}

/* What a process that died has left. What can't follow now is no reason not to work: it is read as if it had. */
static void follow_names(void)
{
    int r = mboxlist_follow_all(NULL, NULL);

    if (r) syslog(LOG_ERR, "DBERROR: not all folders of renamed users can follow: %s", error_message(r));
}

static int care_for_mboxlist(bool live)
{
    bool upgraded = false;
    int r = live ? 0 : mboxlist_upgrade(&upgraded);

    if (!r && !live) follow_names();
    if (!r) r = mboxlist_tidy();
    if (!r) r = mboxlist_set_racls(config_getswitch(IMAPOPT_REVERSEACLS));
    if (r) syslog(LOG_ERR, "DBERROR: mailboxes.db is not in order: %s", error_message(r));
    return r;
}

static int collect_inbox(const mbentry_t *mbentry, void *rock)
{
    if (mboxname_isusermailbox(mbentry->name, true)) ptrarray_append(rock, mbentry_dup(mbentry));
    return 0;
}

/* An older server may have left users with two sets of files. */
static int mend_files(void)
{
    ptrarray_t inboxes = PTRARRAY_INITIALIZER;

    int r = mboxlist_allmbox("", collect_inbox, &inboxes, 0);
    for (int i = 0; i < ptrarray_size(&inboxes); i++) {
        mbentry_t *inbox = ptrarray_nth(&inboxes, i);
        if (!r) user_mend_files(inbox);
        mbentry_free(&inbox);
    }
    ptrarray_fini(&inboxes);
    return r;
}

/* What another server has done to users meanwhile. */
static int derive_users(bool live)
{
    unsigned count = 0;
    int r = live ? 0 : user_derive_salvage();

    if (!r) r = user_derive(&count);
    if (count) syslog(LOG_NOTICE, "users.db: records of %u users follow mailboxes.db", count);
    if (r) syslog(LOG_ERR, "DBERROR: users.db is not in order: %s", error_message(r));
    return r;
}

/* Is it there, with something in it? */
static bool has_bytes(char *file)
{
    struct stat st;
    int r = diskio_stat(file, &st);

    free(file);
    return r ? r != -ENOENT : st.st_size > 0;
}

/* What is lost begins empty: nobody could tell afterwards. */
static void tell_lost(void)
{
    if (!has_bytes(user_record_path())) return; /* a new store, or another server's */
    for (size_t i = 0; i < array_size(global_dbs); i++) {
        const struct global_db *g = &global_dbs[i];

        if (!g->made || has_bytes(db_file(g))) continue;
        xsyslog(LOG_ERR, "DBERROR: a database is gone or empty and begins anew: what it said is to be put back", "filename=<%s>", g->name);
    }
}

static int recover(bool leave_entries)
{
    struct journal_recovery done = { .force = false };

    syslog(LOG_NOTICE, "recovering cyrus databases");
    renew_stamp();
    int r = redo_journal(&done);
    if (r) return EX_TEMPFAIL;

    if (!done.live) tell_lost();
    for (size_t i = 0; !done.live && i < array_size(global_dbs); i++)
        convert_if_needed(&global_dbs[i]);
    if (!leave_entries) r = care_for_mboxlist(done.live);
    if (!r && !done.live) r = annotate_upgrade(); /* makes it, too */
    if (!r && !done.live) r = mend_files();
    if (!r && !leave_entries) r = derive_users(done.live);
    if (!r) r = drop_statuscache();
    syslog(LOG_NOTICE, "done recovering cyrus databases");
    return r ? EX_TEMPFAIL : EX_OK;
}

/* -- checkpoint -- */

/* Removes the files of a directory and the directory; 0 or -errno. */
static int remove_directory(const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *de;

    if (!d) return errno == ENOENT ? 0 : -errno;
    while ((de = readdir(d))) {
        if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, "..")) continue;
        char *file = xasprintf("%s/%s", path, de->d_name);
        diskio_unlink_quiet(file);
        free(file);
    }
    closedir(d);
    return diskio_rmdir(path);
}

static int rotate_backups(const char *newest)
{
    char *older = xasprintf("%s/db.backup2", config_dir);
    struct stat st;

    int r = remove_directory(older);
    if (!r && !diskio_stat(newest, &st)) r = diskio_rename(newest, older);
    if (!r) r = diskio_mkdir(newest, 0755);
    if (r) xsyslog_errno(LOG_ERR, r, "IOERROR: can't rotate backups", "directory=<%s>", newest);
    free(older);
    return r;
}

/* Copies a database as it is between two changes of it, and looks at the copy. */
static int archive(const struct global_db *g, const char *dir)
{
    const char *backend = backend_of(g);
    char *file = db_file(g), *slash = strrchr(file, '/');
    char *copy = xasprintf("%s/%s", dir, slash ? slash + 1 : file);
    struct db *db = NULL, *check = NULL;
    int r = 0;

    if (is_file(file) && strcmp(backend, "quotalegacy")) {
        r = cyrusdb_open(backend, file, CYRUSDB_NOCOMPACT, &db);
        if (!r) r = cyrusdb_begin(db, CYRUSDB_SHARED);
        if (!r) r = diskio_copyfile(file, copy, DISKIO_COPY_SYNC);
        if (db) cyrusdb_abort(db);
        cyrusdb_close(db);
        if (!r) r = cyrusdb_open(backend, copy, CYRUSDB_NOCOMPACT, &check);
        if (!r) r = cyrusdb_consistent(check);
        if (r == CYRUSDB_NOTIMPLEMENTED) r = 0;
        cyrusdb_close(check);
        if (r)
            syslog(LOG_ERR, "DBERROR: not archiving database file: %s", file);
        else
            syslog(LOG_DEBUG, "archiving database file: %s", file);
    }
    free(copy);
    free(file);
    return r;
}

static int checkpoint(void)
{
    char *dir = xasprintf("%s/db.backup1", config_dir);

    syslog(LOG_NOTICE, "checkpointing cyrus databases");
    follow_names();
    int r = txn_checkpoint();
    if (r) syslog(LOG_ERR, "IOERROR: checkpoint failed: %s", error_message(r));
    int racls = mboxlist_racl_renew();
    if (racls) syslog(LOG_ERR, "DBERROR: reverse ACLs can't be looked at: %s", error_message(racls));
    int bad = rotate_backups(dir);
    for (size_t i = 0; !bad && i < array_size(global_dbs); i++)
        if (global_dbs[i].archive && archive(&global_dbs[i], dir)) r = IMAP_IOERROR;
    if (bad || r) fprintf(stderr, "ctl_cyrusdb: unable to archive environment\n");
    syslog(LOG_NOTICE, "done checkpointing cyrus databases");
    free(dir);
    return bad || r ? 1 : EX_OK;
}

int main(int argc, char **argv)
{
    const char *config = NULL;
    bool do_recover = false, do_checkpoint = false, leave_entries = false;
    int c;

    cyrus_std_options(argc, argv, usage);
    while ((c = getopt(argc, argv, "C:rcx")) != -1) {
        switch (c) {
        case 'C': config = optarg; break;
        case 'r': do_recover = true; break;
        case 'c': do_checkpoint = true; break;
        case 'x': leave_entries = true; break;
        default: usage_error();
        }
    }
    if (do_recover == do_checkpoint || (leave_entries && !do_recover)) usage_error();

    cyrus_init(config, "ctl_cyrusdb", CYRUSINIT_TOOL, CONFIG_NEED_PARTITION_DATA);
    if (do_recover)
        txn_need_config_dir();
    else
        txn_need_store();
    int code = do_recover ? recover(leave_entries) : checkpoint();
    txn_shutdown();
    cyrusdb_done();
    cyrus_done();
    return code;
}
