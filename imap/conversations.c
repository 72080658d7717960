/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations -- open a user's conversations, the life of its folders, and the commit
 *
 * A state is made from a user_meta, which came from the mailboxes.db entry of the user's INBOX: there is
 * no way from a bare name to a file. In a transaction it is made once and stored from the
 * commit hook; the file, with its directory, is made when the first record is stored.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "buf.h"
#include "conversations_int.h"
#include "imap_err.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "mbtype.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define CONV_BACKEND "twoskip" /* other backends are read, and converted at the first change */
#define CONV_ATTACH "conversations/"

/* ---- open and close ---- */

static void entry_free(void *data)
{
    struct conv_entry *entry = data;

    conversation_free(&entry->conv);
    free(entry);
}

static void copies_free(void *data)
{
    struct conv_copies *copies = data;

    free(copies->recs);
    free(copies);
}

void conv_forget(struct conversations_state *state)
{
    free_hash_table(&state->entries, entry_free);
    free_hash_table(&state->statuses, free);
    free_hash_table(&state->copies, copies_free);
    state->quota_loaded = state->quota_dirty = false;
    state->quota = (struct conv_quota){ 0, 0 };
}

void conv_state_free(struct conversations_state *state)
{
    if (!state) return;
    conv_forget(state);
    strarray_fini(&state->counted_flags);
    strarray_fini(&state->folders);
    free(state->trash);
    txn_db_close(&state->db);
    user_meta_free(&state->meta);
    free(state);
}

static void state_free(void *data)
{
    conv_state_free(data);
}

static int read_folders(struct conversations_state *state)
{
    const char *val;
    size_t len;
    int r = txn_db_fetch(state->db, CONV_KEY_FOLDER_IDS, strlen(CONV_KEY_FOLDER_IDS), &val, &len);

    if (r == IMAP_NOTFOUND) {
        r = txn_db_fetch(state->db, CONV_KEY_FOLDER_NAMES, strlen(CONV_KEY_FOLDER_NAMES), &val,
                         &len);
        state->byname = !r;
    }
    if (r == IMAP_NOTFOUND) return 0;
    return r ? r : conv_folders_parse(val, len, &state->folders);
}

static int read_counted_flags(struct conversations_state *state)
{
    const char *val;
    size_t len;
    int r = txn_db_fetch(state->db, CONV_KEY_COUNTED_FLAGS, strlen(CONV_KEY_COUNTED_FLAGS), &val,
                         &len);

    state->counted_stored = !r;
    if (r && r != IMAP_NOTFOUND) return r;
    if (r) {
        val = config_getstring(IMAPOPT_CONVERSATIONS_COUNTED_FLAGS);
        len = val ? strlen(val) : 0;
    }
    return conv_counted_flags_parse(val, len, &state->counted_flags);
}

static int store_counted_flags(struct conversations_state *state)
{
    struct buf out = BUF_INITIALIZER;

    if (state->counted_stored || !strarray_size(&state->counted_flags)) return 0;
    conv_counted_flags_print(&state->counted_flags, &out);
    int r = txn_db_store(state->db, CONV_KEY_COUNTED_FLAGS, strlen(CONV_KEY_COUNTED_FLAGS),
                         buf_base(&out), buf_len(&out));
    buf_free(&out);
    state->counted_stored = !r;
    return r;
}

/* The directory of the file, when the file is new. */
static void make_directory(struct conversations_state *state)
{
    const char *path = txn_db_path(state->db);
    const char *slash = strrchr(path, '/');

    if (!slash || !access(path, F_OK)) return;
    char *dir = xstrndup(path, (size_t)(slash - path));
    txn_mkdir(state->txn, dir, 0755);
    free(dir);
}

static int commit_hook(struct txn *txn, void *rock)
{
    struct conversations_state *state = rock;
    int r = conv_flush(state);

    if (!r && state->changed) {
        make_directory(state);
        r = store_counted_flags(state);
    }
    return r;
}

static void construct_tables(struct conversations_state *state)
{
    construct_hash_table(&state->entries, 64);
    construct_hash_table(&state->statuses, 16);
    construct_hash_table(&state->copies, 64);
}

/* Takes over meta. */
static int state_new(struct txn *txn, struct user_meta *meta, struct conversations_state **statep)
{
    struct conversations_state *state = xzmalloc(sizeof(*state));
    unsigned flags = TXN_DB_CONVERT | (txn ? TXN_DB_CREATE : 0);

    if (txn && txn_holds_user(txn, user_meta_userid(meta))) flags |= TXN_DB_COVERED;
    state->txn = txn;
    state->meta = meta;
    construct_tables(state);
    int r = txn_db_open(txn, CONV_BACKEND, user_meta_path(meta, "conversations"), flags,
                        &state->db);
    if (!r) r = read_folders(state);
    if (!r) r = read_counted_flags(state);
    if (r) {
        xsyslog(LOG_ERR, "DBERROR: can't read conversations", "user=<%s> error=<%s>",
                user_meta_userid(meta), error_message(r));
        state_free(state);
        return r;
    }
    *statep = state;
    return 0;
}

/* Takes over meta. */
static int state_open(struct txn *txn, struct user_meta *meta, struct conversations_state **statep)
{
    struct buf key = BUF_INITIALIZER;
    struct conversations_state *state = NULL;
    int r = 0;

    if (!txn) return state_new(NULL, meta, statep);
    buf_printf(&key, CONV_ATTACH "%s", user_meta_path(meta, "conversations"));
    state = txn_attached(txn, buf_cstring(&key));
    if (state) {
        user_meta_free(&meta);
    }
    else {
        r = state_new(txn, meta, &state);
        if (!r) {
            txn_attach(txn, buf_cstring(&key), state, state_free);
            txn_on_commit(txn, TXN_ORDER_CONVERSATIONS, commit_hook, state);
        }
    }
    buf_free(&key);
    if (!r) *statep = state;
    return r;
}

bool conv_takes_part(const struct mailbox *mailbox)
{
    if (mbtype_isa(mailbox_mbtype(mailbox)) == MBTYPE_JMAPSUBMIT) return false;
    mbname_t *mbname = mbname_from_intname(mailbox_name(mailbox));
    bool yes = mbname_localpart(mbname) && !mbname_isdeleted(mbname);
    mbname_free(&mbname);
    return yes;
}

/* A database that is new, or was lost, beside a mailbox that is not: nobody could tell afterwards. */
static void tell_lost(struct conversations_state *state, const struct mailbox *mailbox)
{
    if (state->told_lost || strarray_size(&state->folders) || !mailbox_index_header(mailbox)->num_records) return;
    state->told_lost = true;
    xsyslog(LOG_WARNING, "conversations database is new, and messages are older: ctl_conversationsdb -R counts them",
            "user=<%s> mailbox=<%s>", user_meta_userid(state->meta), mailbox_name(mailbox));
}

int conversations_open_mbox(struct mailbox *mailbox, struct conversations_state **statep)
{
    struct user_meta *meta = NULL;
    struct txn *txn = mailbox_txn(mailbox);

    *statep = NULL;
    if (!config_getswitch(IMAPOPT_CONVERSATIONS) || !conv_takes_part(mailbox)) return 0;
    int r = user_meta_for_mailbox(mailbox_mbentry(mailbox), txn, &meta);
    if (!r) r = state_open(txn, meta, statep);
    if (!r && txn) tell_lost(*statep, mailbox);
    return r;
}

/* A meta of our own: the caller's may end before the transaction. */
static int copy_meta(struct user_meta *meta, struct user_meta **copyp)
{
    mbname_t *mbname = mbname_from_userid(user_meta_userid(meta));
    mbentry_t *inbox = mbentry_new(mbname_intname(mbname));
    const char *uniqueid = user_meta_uniqueid(meta);

    if (uniqueid)
        inbox->uniqueid = xstrdup(uniqueid);
    else
        inbox->mbtype |= MBTYPE_LEGACY_DIRS;
    int r = user_meta_from_entry(inbox, copyp);
    mbentry_free(&inbox);
    mbname_free(&mbname);
    return r;
}

int conversations_open_user(struct txn *txn, struct user_meta *meta,
                            struct conversations_state **statep)
{
    struct user_meta *copy = NULL;

    *statep = NULL;
    if (!config_getswitch(IMAPOPT_CONVERSATIONS) || !user_meta_userid(meta)) return 0;
    int r = copy_meta(meta, &copy);
    return r ? r : state_open(txn, copy, statep);
}

struct conversations_state *conv_state_scratch(const struct conversations_state *state)
{
    struct conversations_state *scratch = xzmalloc(sizeof(*scratch));

    construct_tables(scratch);
    scratch->db = txn_db_scratch(CONV_BACKEND);
    scratch->recount = true;
    for (int i = 0; i < strarray_size(&state->counted_flags); i++)
        strarray_append(&scratch->counted_flags, strarray_nth(&state->counted_flags, i));
    if (copy_meta(state->meta, &scratch->meta)) scratch->meta = NULL; /* it can't fail: it was one */
    return scratch;
}

void conversations_close(struct conversations_state **statep)
{
    if (*statep && !(*statep)->txn) state_free(*statep);
    *statep = NULL;
}

/* ---- folders ---- */

const char *conv_folder_key(const struct conversations_state *state, const struct mailbox *mailbox)
{
    return state->byname ? mailbox_name(mailbox) : mailbox_uniqueid(mailbox);
}

uint32_t conv_folder_number(struct conversations_state *state, const char *key, bool create)
{
    int n = strarray_find(&state->folders, key, 0);

    if (n >= 0) return (uint32_t)n;
    if (!create) return CONV_NOFOLDER;
    for (n = 0; n < strarray_size(&state->folders); n++)
        if (!strarray_nth(&state->folders, n)) break;
    strarray_set(&state->folders, n, key);
    state->folders_dirty = true;
    return (uint32_t)n;
}

/* The mailbox named Trash below the user's INBOX, whatever its special use (handbook 01 §5.7). */
static void find_trash(struct conversations_state *state)
{
    mbname_t *mbname = mbname_from_userid(user_meta_userid(state->meta));
    mbentry_t *entry = NULL;

    mbname_push_boxes(mbname, "Trash");
    if (!mboxlist_lookup(mbname_intname(mbname), &entry, state->txn)) {
        const char *key = state->byname ? entry->name : entry->uniqueid;
        state->trash = xstrdupnull(key);
    }
    mbentry_free(&entry);
    mbname_free(&mbname);
    state->trash_known = true;
}

const char *conv_trash_key(struct conversations_state *state)
{
    if (!state->trash_known) find_trash(state);
    return state->trash;
}

uint32_t conv_trash_number(struct conversations_state *state)
{
    const char *key = conv_trash_key(state);

    return key ? conv_folder_number(state, key, false) : CONV_NOFOLDER;
}

static int raise_modseq(struct conversations_state *state, const char *key, modseq_t modseq,
                        bool force)
{
    struct conv_folderstatus *fs;
    int r = conv_status_get(state, key, &fs);

    if (r) return r;
    if (force ? fs->status.threadmodseq == modseq : fs->status.threadmodseq >= modseq) return 0;
    fs->status.threadmodseq = modseq;
    fs->dirty = true;
    return 0;
}

int conversations_add_mailbox(struct conversations_state *state, struct mailbox *mailbox,
                              modseq_t modseq)
{
    return state ? raise_modseq(state, conv_folder_key(state, mailbox), modseq, false) : 0;
}

struct removal {
    struct conversations_state *state;
};

static int remove_record(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct removal *removal = rock;

    return conversations_update_record(removal->state, mailbox, rec, NULL, false);
}

int conversations_remove_mailbox(struct conversations_state *state, struct mailbox *mailbox,
                                 modseq_t modseq)
{
    struct removal removal = { state };

    if (!state) return 0;
    int r = mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_UNLINKED, remove_record, &removal);
    if (r) return r;
    const char *key = conv_folder_key(state, mailbox);
    uint32_t number = conv_folder_number(state, key, false);
    if (number != CONV_NOFOLDER) {
        strarray_set(&state->folders, (int)number, NULL);
        state->folders_dirty = true;
    }
    return raise_modseq(state, key, modseq, false);
}

/* An old database knows the folder by its name: the list and the F record change theirs. */
static int rename_key(struct conversations_state *state, const char *oldkey, const char *newkey)
{
    struct conv_folderstatus *from, *to;
    uint32_t number = conv_folder_number(state, oldkey, false);
    int r = conv_status_get(state, oldkey, &from);

    if (!r) r = conv_status_get(state, newkey, &to);
    if (r) return r;
    to->status = from->status;
    memset(&from->status, 0, sizeof(from->status));
    to->dirty = from->dirty = true;
    if (number == CONV_NOFOLDER) return 0;
    strarray_set(&state->folders, (int)number, newkey);
    state->folders_dirty = true;
    return 0;
}

bool conversations_isbyname(const struct conversations_state *state)
{
    return state && state->byname;
}

int conversations_rename_mailbox(struct conversations_state *state, struct mailbox *mailbox,
                                 const char *newname, modseq_t modseq)
{
    if (!state) return 0;
    state->trash_known = false; /* either name may be that of the Trash */
    xzfree(state->trash);
    if (!state->byname) return raise_modseq(state, mailbox_uniqueid(mailbox), modseq, false);
    int r = rename_key(state, mailbox_name(mailbox), newname);
    return r ? r : raise_modseq(state, newname, modseq, false);
}

/* ---- F and Q records ---- */

int conversation_getstatus(struct conversations_state *state, struct mailbox *mailbox,
                           struct conv_status *status)
{
    struct conv_folderstatus *fs;

    memset(status, 0, sizeof(*status));
    if (!state) return 0;
    int r = conv_status_get(state, conv_folder_key(state, mailbox), &fs);
    if (!r) *status = fs->status;
    return r;
}

int conversation_setstatus_modseq(struct conversations_state *state, struct mailbox *mailbox,
                                  modseq_t modseq, bool force)
{
    return state ? raise_modseq(state, conv_folder_key(state, mailbox), modseq, force) : 0;
}

int conversations_read_quota(struct conversations_state *state, struct conv_quota *quota)
{
    *quota = (struct conv_quota){ 0, 0 };
    if (!state) return 0;
    int r = conv_quota_get(state);
    if (!r) *quota = state->quota;
    return r;
}
