/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_acked -- the table of acknowledgements: how far each replica is with each user
 *
 * In verified.db: "acked:CHANNEL:user:USERID" is "MODSEQ LSN LIFE INSTANCE IDENTITY TIME"; "pass:acked:CHANNEL", of the channel, is "BEGUN INSTANCE": rows
 * whose LSN is lower than BEGUN do not go on, rows of another instance are not believed. Numbers are decimal, instances hexadecimal. What can't
 * be read is not there.
 *
 * Why a raised row is never too high: whatever has changed since its LSN has an event with a higher one, or was brought here from elsewhere,
 * which ends the row (sync_acked_stop). The rolling client raises it only to a modseq that the user had when the journal was at a place which it
 * has read to, with all that it has read done by the same instance of the replica, and none of it on the list of what has failed.
 */
#include <config.h>

#include "sync_acked.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "hash.h"
#include "imap_err.h"
#include "journal.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "namelock.h"
#include "sync_log.h"
#include "txn.h"
#include "user.h"
#include "verified_pass.h"
#include "xmalloc.h"

struct channel {
    uint64_t begun, instance;
};

static const char *nameof(const char *channel)
{
    return channel ? channel : "";
}

static char *channel_key(const char *channel)
{
    return xasprintf("pass:acked:%s", nameof(channel));
}

static char *row_key(const char *channel, const char *userid)
{
    return xasprintf("acked:%s:user:%s", nameof(channel), userid);
}

/* ---- values ---- */

/* hex: bits of those that are hexadecimal */
static bool parse_numbers(const char *text, uint64_t *v, int n, unsigned hex)
{
    strarray_t *words = strarray_split(text, " ", 0);
    bool good = strarray_size(words) == n;

    for (int i = 0; good && i < n; i++) {
        const char *word = strarray_nth(words, i);
        good = !(hex >> i & 1 ? parse_hex64(word, strlen(word), &v[i]) : parse_u64(word, strlen(word), &v[i]));
    }
    strarray_free(words);
    return good;
}

static bool parse_row(const char *text, struct sync_acked *row)
{
    uint64_t v[6];

    if (!parse_numbers(text, v, 6, 7u << 2) || v[5] > INT64_MAX) return false;
    *row = (struct sync_acked){ v[0], v[1], v[2], v[3], v[4], (time_t)v[5] };
    return row->modseq != 0;
}

static char *row_text(const struct sync_acked *row)
{
    return xasprintf("%" PRIu64 " %" PRIu64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %" PRIu64, (uint64_t)row->modseq, row->lsn, row->life,
                     row->instance, row->identity, (uint64_t)row->when);
}

static bool read_channel(const char *channel, struct channel *c)
{
    char *key = channel_key(channel), *text = verified_text(key);
    uint64_t v[2] = { 0 };
    bool good = text && parse_numbers(text, v, 2, 1u << 1);

    *c = (struct channel){ 0 };
    if (good) *c = (struct channel){ v[0], v[1] };
    free(text);
    free(key);
    return good;
}

struct pair {
    char *key, *value;
};

static int store_pair(struct txn_db *db, void *rock)
{
    const struct pair *p = rock;

    return txn_db_store(db, p->key, strlen(p->key), p->value, strlen(p->value));
}

static int store(char *key, char *value)
{
    struct pair pair = { key, value };
    int r = verified_change(store_pair, &pair);

    free(key);
    free(value);
    return r;
}

static int write_channel(const char *channel, const struct channel *c)
{
    return store(channel_key(channel), xasprintf("%" PRIu64 " %016" PRIx64, c->begun, c->instance));
}

/* All 0: the journal can't be asked. */
static struct journal_status journal_now(void)
{
    struct journal_status status = { 0 };
    struct journal *j;

    if (!txn_journal(&j)) journal_status(j, &status);
    return status;
}

/* ---- rows ---- */

/* Also of one who was deleted. 0: there is no such user. */
static uint64_t identity_of(const char *userid)
{
    static const unsigned char key[16] = "identity of user";
    char *inbox = mboxname_user_mbox(userid, NULL);
    mbentry_t *mbentry = NULL;
    uint64_t identity = 0;

    if (inbox && !mboxlist_lookup_allow_all(inbox, &mbentry, NULL) && mbentry->uniqueid)
        identity = siphash24(key, mbentry->uniqueid, strlen(mbentry->uniqueid));
    mbentry_free(&mbentry);
    free(inbox);
    return identity;
}

/* Under the lock nobody has used a modseq for a change that is not in the files yet. */
void sync_acked_now(const char *userid, struct sync_acked *now)
{
    struct user_meta *meta = NULL;
    struct counters counters = { 0 };
    struct namelock *lock = NULL;

    *now = (struct sync_acked){ .when = time(NULL) };
    if (!config_getswitch(IMAPOPT_CONVERSATIONS) || namelock_user(userid, NAMELOCK_SHARED, 0, &lock)) return;
    struct journal_status journal = journal_now();
    now->lsn = journal.tail;
    now->life = journal.instance;
    now->identity = identity_of(userid);
    if (now->identity && !user_meta_lookup(userid, NULL, &meta) && !counters_read(meta, NULL, &counters)) now->modseq = counters.modseq[CTR_HIGHEST];
    user_meta_free(&meta);
    namelock_release(&lock);
}

static bool is_believed(const struct channel *c, const struct sync_acked *row)
{
    struct journal *j;

    return row->instance == c->instance && !txn_journal(&j) && journal_has_passed(j, row->life, row->lsn);
}

bool sync_acked_read(const char *channel, const char *userid, struct sync_acked *row)
{
    char *key = row_key(channel, userid), *text = verified_text(key);
    struct channel c;
    bool good = text && parse_row(text, row) && read_channel(channel, &c) && is_believed(&c, row) &&
                row->identity == identity_of(userid);

    if (!good) *row = (struct sync_acked){ 0 };
    free(text);
    free(key);
    return good;
}

int sync_acked_whole(const char *channel, const char *userid, const struct sync_acked *row)
{
    return row->modseq ? store(row_key(channel, userid), row_text(row)) : 0;
}

/* ---- channels ---- */

bool sync_acked_is_mute(const char *channel)
{
    struct channel c;

    return read_channel(channel, &c) && !c.instance;
}

int sync_acked_met(const char *channel, uint64_t instance)
{
    struct channel c;

    if (read_channel(channel, &c) && c.instance == instance) return 0;
    c.instance = instance;
    c.begun = journal_now().tail + 1; /* what goes on is of this one alone */
    return write_channel(channel, &c);
}

int sync_acked_begin(const char *channel, bool anew)
{
    uint64_t end = journal_now().tail;
    struct channel c;
    bool known = read_channel(channel, &c);

    if (known && !anew && c.begun <= end + 1) return 0;
    c.begun = end + 1;
    return write_channel(channel, &c);
}

int sync_acked_forget(const char *channel)
{
    char *kind = xasprintf("acked:%s", nameof(channel));
    int r = verified_forget(kind);

    free(kind);
    return r;
}

/* ---- the rolling client ---- */

struct change {
    const char *channel;
    struct channel c;
    const strarray_t *stop;
    const struct sync_acked_step *steps;
    size_t n;
};

static int read_row(struct txn_db *db, const char *key, struct sync_acked *row)
{
    const char *val;
    size_t len;
    int r = txn_db_fetch(db, key, strlen(key), &val, &len);

    if (r) return r;
    char *text = xstrndup(val, len);
    if (!parse_row(text, row)) r = IMAP_NOTFOUND;
    free(text);
    return r;
}

static int write_row(struct txn_db *db, const char *key, const struct sync_acked *row)
{
    char *text = row_text(row);
    int r = txn_db_store(db, key, strlen(key), text, strlen(text));

    free(text);
    return r;
}

static int stop_rows(struct txn_db *db, void *rock)
{
    const struct change *ch = rock;
    struct sync_acked row;
    int r = 0;

    for (int i = 0; !r && i < strarray_size(ch->stop); i++) {
        char *key = row_key(ch->channel, strarray_nth(ch->stop, i));
        r = read_row(db, key, &row);
        row.lsn = 0;
        r = r == IMAP_NOTFOUND ? 0 : r ? r : write_row(db, key, &row);
        free(key);
    }
    return r;
}

int sync_acked_stop(const char *channel, const strarray_t *userids)
{
    struct change ch = { .channel = channel, .stop = userids };

    return strarray_size(userids) ? verified_change(stop_rows, &ch) : 0;
}

static int raise_rows(struct txn_db *db, void *rock)
{
    const struct change *ch = rock;
    struct sync_acked row;
    int r = 0;

    for (size_t i = 0; !r && i < ch->n; i++) {
        const struct sync_acked *now = &ch->steps[i].now;
        char *key = row_key(ch->channel, ch->steps[i].userid);
        r = read_row(db, key, &row);
        bool goes_on = !r && is_believed(&ch->c, &row) && row.lsn >= ch->c.begun && now->instance == row.instance &&
                       now->identity == row.identity && now->modseq > row.modseq && now->lsn >= row.lsn;
        if (goes_on) r = write_row(db, key, now);
        if (r == IMAP_NOTFOUND) r = 0;
        free(key);
    }
    return r;
}

int sync_acked_raise(const char *channel, const struct sync_acked_step *steps, size_t n)
{
    struct change ch = { .channel = channel, .steps = steps, .n = n };

    if (!n || !read_channel(channel, &ch.c) || !ch.c.instance) return 0;
    return verified_change(raise_rows, &ch);
}

/* ---- replicas ---- */

static bool is_channel_dir(const char *name)
{
    struct buf path = BUF_INITIALIZER;
    struct stat st;

    buf_printf(&path, "%s/sync/%s", config_dir, name);
    bool is = *name != '.' && !stat(buf_cstring(&path), &st) && S_ISDIR(st.st_mode);
    buf_free(&path);
    return is;
}

void sync_all_channels(strarray_t *channels)
{
    const char *configured = config_getstring(IMAPOPT_SYNC_LOG_CHANNELS);
    strarray_t *words = strarray_split(configured ? configured : "\"\"", NULL, 0);
    char *sync = xasprintf("%s/sync", config_dir);
    DIR *d = opendir(sync);

    for (int i = 0; i < strarray_size(words); i++) {
        const char *word = strarray_nth(words, i);
        strarray_add(channels, strcmp(word, "\"\"") ? word : "");
    }
    for (const struct dirent *e; d && (e = readdir(d));) {
        if (is_channel_dir(e->d_name)) strarray_add(channels, e->d_name);
        if (!strcmp(e->d_name, "log-status")) strarray_add(channels, "");
    }
    if (d) closedir(d);
    strarray_sort(channels, cmpstringp_raw);
    strarray_free(words);
    free(sync);
}

void sync_acked_channels(strarray_t *channels)
{
    strarray_t all = STRARRAY_INITIALIZER;
    struct buf name = BUF_INITIALIZER;
    struct journal *j;

    sync_all_channels(&all);
    for (int i = 0; i < strarray_size(&all) && !txn_journal(&j); i++)
        if (sync_log_reader(strarray_nth(&all, i), &name) && journal_reader_exists(j, buf_cstring(&name)))
            strarray_append(channels, strarray_nth(&all, i));
    strarray_fini(&all);
    buf_free(&name);
}

char *sync_acked_best(const char *userid, struct sync_acked *row)
{
    strarray_t channels = STRARRAY_INITIALIZER;
    struct sync_acked one;
    char *best = NULL;

    *row = (struct sync_acked){ 0 };
    sync_acked_channels(&channels);
    for (int i = 0; i < strarray_size(&channels); i++) {
        if (!sync_acked_read(strarray_nth(&channels, i), userid, &one) || one.modseq <= row->modseq) continue;
        free(best);
        best = xstrdup(strarray_nth(&channels, i));
        *row = one;
    }
    strarray_fini(&channels);
    return best;
}
