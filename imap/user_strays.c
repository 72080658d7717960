/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user_strays -- files of a user that stand where nobody looks for them (user_strays.h)
 *
 * The files are read as their bytes are (cyrusdb_salvage): what of them can't be read is logged, and left
 * out of the merge. A name that the history of subscriptions knows as unsubscribed stays so.
 */
#include <config.h>

#include "user_strays.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "conversations.h"
#include "cyrusdb.h"
#include "diskio.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxname.h"
#include "seqset.h"
#include "sub_file.h"
#include "sub_history.h"
#include "user_aside.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* Merged first, kept all. */
static const char *const suffixes[] = { "seen", "sub", "subhistory", "dav", "mboxkey", "xapianactive" };

/* ---- finding them ---- */

static bool is_kind(const char *path, mode_t kind)
{
    struct stat st;

    return !diskio_lstat(path, &st) && (st.st_mode & S_IFMT) == kind;
}

/* Without a slash; false: there is none that is his. */
static bool find_scripts(struct user_meta *meta, struct user_meta *legacy, struct buf *dir)
{
    struct buf own = BUF_INITIALIZER;

    if (!config_getstring(IMAPOPT_SIEVEDIR) || config_getswitch(IMAPOPT_SIEVEUSEHOMEDIR)) return false;
    bool found = !user_meta_sievedir(legacy, dir) && !user_meta_sievedir(meta, &own) && !buf_equal(dir, &own) &&
                 is_kind(buf_cstring(dir), S_IFDIR);
    buf_free(&own);
    return found;
}

int user_strays_find(struct user_meta *meta, strarray_t *paths)
{
    struct user_meta *legacy = NULL;
    struct buf dir = BUF_INITIALIZER;

    if (!user_meta_userid(meta) || !user_meta_uniqueid(meta)) return 0;
    int r = user_meta_legacy(user_meta_userid(meta), &legacy);
    for (size_t i = 0; !r && i < array_size(suffixes); i++) {
        const char *path = user_meta_path(legacy, suffixes[i]);
        if (path && is_kind(path, S_IFREG)) strarray_append(paths, path);
    }
    if (!r && find_scripts(meta, legacy, &dir)) {
        buf_putc(&dir, '/');
        strarray_append(paths, buf_cstring(&dir));
    }
    buf_free(&dir);
    user_meta_free(&legacy);
    return r;
}

/* ---- merging ---- */

struct merge {
    struct txn *txn;
    const char *userid, *path;
    struct user_strays_done *done;
    bool version2;           /* of a file of subscriptions */
    struct sub_list history; /* of subscriptions in use */
};

static void note_bad(void *rock, uint64_t off, uint64_t len, const char *what)
{
    struct merge *merge = rock;

    xsyslog(LOG_ERR, "DBERROR: a part of a user's second file can't be read",
            "filename=<%s> offset=<%" PRIu64 "> length=<%" PRIu64 "> error=<%s>", merge->path, off, len, what);
    merge->done->damaged = true;
}

/* Sets *to to what both know; true: that is more than it had. */
static bool join_seen(struct seendata *to, const struct seendata *from)
{
    struct seqset *set = *to->seenuids ? seqset_parse(to->seenuids, NULL, 0) : NULL;
    struct seqset *more = *from->seenuids ? seqset_parse(from->seenuids, NULL, 0) : NULL;

    if (!set) set = seqset_init(0, SEQ_SPARSE);
    if (more) seqset_join(set, more);
    char *text = seqset_cstring(set);
    if (!text) text = xstrdup("");
    bool grown = strcmp(text, to->seenuids) || from->lastuid > to->lastuid;
    free(to->seenuids);
    to->seenuids = text;
    to->lastuid = cyr_max(to->lastuid, from->lastuid);
    to->lastread = cyr_max(to->lastread, from->lastread);
    to->lastchange = cyr_max(to->lastchange, from->lastchange);
    seqset_free(set);
    seqset_free(more);
    return grown;
}

static int merge_seen(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct merge *merge = rock;
    struct seendata from = SEENDATA_INITIALIZER, to = SEENDATA_INITIALIZER;
    bool badset = false;

    if (seen_decode(&from, val, vallen, &badset) || badset || memchr(key, 0, keylen)) {
        note_bad(merge, 0, 0, "a seen record makes no sense");
        seen_freedata(&from);
        return 0;
    }
    char *uniqueid = xstrndup(key, keylen);
    int r = seen_read(merge->userid, uniqueid, &to, merge->txn);
    if (!r && join_seen(&to, &from)) {
        r = seen_write(merge->txn, merge->userid, uniqueid, &to);
        merge->done->seen++;
    }
    seen_freedata(&from);
    seen_freedata(&to);
    free(uniqueid);
    return r;
}

static int subscribe(struct merge *merge, const char *name)
{
    const struct sub_entry *said = sub_list_find(&merge->history, name);

    if (said) return 0; /* on: it is so already; off: on purpose */
    merge->done->subs++;
    return sub_change(merge->txn, merge->userid, name, true);
}

/* Keys come in order: the version before all names. */
static int merge_sub(void *rock, const char *key, size_t keylen, const char *val, size_t vallen)
{
    struct merge *merge = rock;
    bool control;

    (void)val, (void)vallen;
    char *name = sub_record_name(merge->version2, key, keylen, merge->userid, &control);
    if (control)
        merge->version2 = true;
    else if (!name)
        note_bad(merge, 0, 0, "a subscription is no name");
    int r = name ? subscribe(merge, name) : 0;
    free(name);
    return r;
}

static int merge_file(struct merge *merge, const char *path, enum imapopt backend_option, cyrusdb_cb *record)
{
    const struct cyrusdb_salvage to = { record, note_bad, merge };
    const char *backend = cyrusdb_detect(path);

    merge->path = path;
    int r = cyrusdb_salvage(backend ? backend : config_getstring(backend_option), path, 0, &to);
    if (r == CYRUSDB_IOERROR || r == CYRUSDB_NOTIMPLEMENTED) return IMAP_IOERROR;
    return r == CYRUSDB_NOTFOUND ? 0 : r;
}

static bool ends_with(const char *path, const char *suffix)
{
    size_t len = strlen(path), n = strlen(suffix);

    return len > n && path[len - n - 1] == '.' && !strcmp(path + len - n, suffix);
}

static int mend_path(struct merge *merge, const char *path)
{
    int r = 0;

    if (path[strlen(path) - 1] == '/')
        return user_dir_aside(merge->txn, path, merge->userid, ".sieve", &merge->done->kept);
    if (ends_with(path, "seen")) r = merge_file(merge, path, IMAPOPT_SEENSTATE_DB, merge_seen);
    if (ends_with(path, "sub")) r = merge_file(merge, path, IMAPOPT_SUBSCRIPTION_DB, merge_sub);
    return r ? r : user_file_aside(merge->txn, path, &merge->done->kept);
}

void user_strays_done_fini(struct user_strays_done *done)
{
    strarray_fini(&done->kept);
}

static int mend(struct merge *merge, bool dryrun)
{
    strarray_t paths = STRARRAY_INITIALIZER;
    struct user_meta *meta = NULL;

    int r = txn_begin(&merge->txn);
    if (!r) r = txn_lock_user(merge->txn, merge->userid);
    if (!r) r = user_meta_lookup(merge->userid, merge->txn, &meta);
    if (!r) r = user_strays_find(meta, &paths);
    for (int i = 0; !r && i < strarray_size(&paths); i++) r = mend_path(merge, strarray_nth(&paths, i));
    if (!r && !dryrun) r = txn_commit(&merge->txn, NULL);
    txn_abort(&merge->txn);
    user_meta_free(&meta);
    strarray_fini(&paths);
    return r;
}

int user_strays_mend(const char *userid, bool dryrun, struct user_strays_done *done)
{
    struct merge merge = { .userid = userid, .done = done, .history = SUB_LIST_INITIALIZER };

    *done = (struct user_strays_done){ .kept = STRARRAY_INITIALIZER };
    int r = sub_history_read(userid, &merge.history);
    if (!r) r = mend(&merge, dryrun);
    sub_list_fini(&merge.history);
    return r;
}

/* ---- at the first use of the user ---- */

static bool has_strays(const mbentry_t *inbox)
{
    struct user_meta *meta = NULL;
    strarray_t paths = STRARRAY_INITIALIZER;

    bool has = !user_meta_from_entry(inbox, &meta) && !user_strays_find(meta, &paths) && strarray_size(&paths) > 0;
    strarray_fini(&paths);
    user_meta_free(&meta);
    return has;
}

void user_mend_files(const mbentry_t *inbox)
{
    struct user_strays_done done;

    conversations_mend_split(inbox);
    if (!has_strays(inbox)) return;
    char *userid = mboxname_to_userid(inbox->name);
    int r = user_strays_mend(userid, false, &done);
    if (r && r != IMAP_MAILBOX_MOVED) /* as in conversations_mend_split */
        xsyslog(LOG_ERR, "DBERROR: files of a user on the legacy path can't be merged", "userid=<%s> error=<%s>", userid,
                error_message(r));
    for (int i = 0; !r && i < strarray_size(&done.kept); i++)
        xsyslog(LOG_NOTICE, "merged files of a user that stood on the legacy path",
                "userid=<%s> seen=<%zu> subscriptions=<%zu> damaged=<%s> kept=<%s>", userid, done.seen, done.subs,
                done.damaged ? "yes" : "no", strarray_nth(&done.kept, i));
    user_strays_done_fini(&done);
    free(userid);
}
