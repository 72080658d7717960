/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * store_users -- does users.db say what mailboxes.db does (doc/users.md)?
 *
 * Each INBOX has the record of its id, under its name; each other record is of somebody who has none and may have none; each key
 * leads to a record that leads back. No recovery but that of the journal may be needed for that. The file of a move and the record go together.
 */
#include <config.h>

#include "store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "user_home.h"
#include "user_record.h"
#include "xmalloc.h"

static bool key_is(const struct buf *key, const char *want)
{
    struct txn_db *db = NULL;
    const char *val;
    size_t len;

    bool is = !user_record_db_open(NULL, &db) && !txn_db_fetch(db, key->s, key->len, &val, &len) && len == strlen(want) &&
              !memcmp(val, want, len);
    txn_db_close(&db);
    return is;
}

static int check_inbox(const mbentry_t *inbox, void *rock)
{
    struct user_record *rec = NULL;

    if (!mboxname_isusermailbox(inbox->name, true) || mboxname_isdeletedmailbox(inbox->name, NULL)) return 0;
    char *userid = mboxname_to_userid(inbox->name);
    if (user_record_by_id(NULL, inbox->uniqueid, &rec))
        buf_printf(rock, "%s has no record in users.db\n", userid);
    else if (rec->state == USER_DELETED || strcmp(rec->userid, userid) != 0)
        buf_printf(rock, "%s is %s in users.db, as %s\n", userid, user_state_name(rec->state), rec->userid);
    user_record_free(&rec);
    free(userid);
    return 0;
}

static void check_keys(const struct user_record *rec, struct buf *problems)
{
    struct buf name = BUF_INITIALIZER, hidden = BUF_INITIALIZER, deleted = BUF_INITIALIZER, home = BUF_INITIALIZER;

    user_key_name(rec->userid, &name);
    user_key_home(rec->userid, &home);
    user_key_hidden(rec->userid, &hidden);
    user_key_deleted(rec->userid, rec->id, &deleted);
    if (key_is(&name, rec->id) != (rec->state != USER_DELETED) || key_is(&hidden, rec->id) != user_state_is_hidden(rec->state) ||
        key_is(&deleted, "") != (rec->state == USER_DELETED) || key_is(&home, rec->id) != (rec->home && rec->state != USER_DELETED))
        buf_printf(problems, "users.db: keys of %s (%s) are wrong\n", rec->userid, user_state_name(rec->state));
    buf_free(&name);
    buf_free(&hidden);
    buf_free(&deleted);
    buf_free(&home);
}

static int check_record(const char *key, size_t keylen, const struct user_record *rec, void *rock)
{
    mbentry_t *inbox = NULL;

    if (!rec) {
        buf_printf(rock, "users.db: %.*s is no record\n", (int)keylen, key);
        return 0;
    }
    check_keys(rec, rock);
    char *name = mboxname_user_mbox(rec->userid, NULL);
    bool his = name && !mboxlist_lookup(name, &inbox, NULL) && !strcmpnull(inbox->uniqueid, rec->id);
    bool needs = rec->state == USER_ACTIVE || rec->state == USER_DISABLED, may = rec->state != USER_DELETED;
    if ((needs && !his) || (his && !may))
        buf_printf(rock, "users.db: %s is %s with%s INBOX\n", rec->userid, user_state_name(rec->state), his ? " an" : "out");
    mbentry_free(&inbox);
    free(name);
    return 0;
}

static int check_key(void *rock, const char *key, size_t keylen, const char *data, size_t len)
{
    const char *sep = *key == 'D' ? memchr(key, USER_KEY_SEP, keylen) : NULL;
    struct user_record *rec = NULL;
    char *id = sep ? xstrndup(sep + 1, (size_t)(key + keylen - sep - 1)) : xstrndup(data, len);

    if (*key == 'U') goto done;
    if (!strchr("NMDA", *key) || user_record_by_id(NULL, id, &rec))
        buf_printf(rock, "users.db: %.*s leads nowhere\n", (int)keylen, key);
done:
    user_record_free(&rec);
    free(id);
    return 0;
}

/* The file of his move, one dlist (move_user.h); false: there is none. For user ids that are their own file names. */
static bool read_move(const char *userid, struct buf *text)
{
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    char *path = xasprintf("%s/moves/%s", config_dir, userid);
    bool there = !diskio_map_file(path, &map, NULL);

    if (there) buf_setmap(text, map.base, map.len);
    diskio_map_free(&map);
    free(path);
    return there;
}

/*
 * Who is moving out has a file that says where to, unless another server keeps him still here, which has the file (all servers of tests have one
 * name); it says that he is switched only of who works here no more.
 */
static int check_move(const char *key, size_t keylen, const struct user_record *rec, void *rock)
{
    struct buf move = BUF_INITIALIZER;

    (void)key;
    (void)keylen;
    if (!rec || rec->state == USER_DELETED) return 0;
    bool there = read_move(rec->userid, &move), gone = rec->state == USER_MOVING_OUT || rec->state == USER_MOVED;
    bool held = !strcmpnull(rec->server, config_servername);
    if (rec->state == USER_MOVING_OUT && !there && !held)
        buf_printf(rock, "%s is moving out, and there is no file of it\n", rec->userid);
    else if (there && !strstr(buf_cstring(&move), rec->id))
        buf_printf(rock, "the file of the move of %s is not his\n", rec->userid);
    else if (there && strstr(buf_cstring(&move), "STEP switched") && !gone)
        buf_printf(rock, "%s is %s, and switched\n", rec->userid, user_state_name(rec->state));
    buf_free(&move);
    return 0;
}

void store_check_users(struct buf *problems)
{
    struct txn_db *db = NULL;

    mboxlist_allmbox(NULL, check_inbox, problems, 0);
    if (user_record_foreach(NULL, check_record, problems)) buf_appendcstr(problems, "users.db can't be read\n");
    user_record_foreach(NULL, check_move, problems);
    if (!user_record_db_open(NULL, &db) && txn_db_foreach(db, "", 0, check_key, problems))
        buf_appendcstr(problems, "keys of users.db can't be read\n");
    txn_db_close(&db);
}

void store_homes(const char *image, struct buf *out)
{
    strarray_t users = STRARRAY_INITIALIZER;
    struct user_home home;

    buf_appendcstr(out, image);
    (void)user_home_users(&users);
    for (int i = 0; i < strarray_size(&users); i++) {
        const char *userid = strarray_nth(&users, i);
        if (!user_home_get(userid, NULL, &home)) buf_printf(out, " %s=%s/%" PRIu64, userid, home.server, home.epoch);
    }
    buf_putc(out, '\n');
    strarray_fini(&users);
}
