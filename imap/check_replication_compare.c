/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_replication_compare -- every difference between two servers' views of one user
 *
 * Sorted lists are merged; messages by sync_walk. What only one end has is one
 * difference, not one for each of its properties. Quotas are in check_replication_quota.c.
 */
#include <config.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "check_replication_int.h"
#include "imap_err.h"
#include "sync_walk.h"
#include "times.h"
#include "util.h"
#include "xmalloc.h"

const char *check_what_name(enum check_what what)
{
    static const char *const names[] = {
#define CHECK_WHAT_TEXT(code, text) text,
        CHECK_WHAT_TABLE(CHECK_WHAT_TEXT)
#undef CHECK_WHAT_TEXT
    };

    return names[what];
}

static const struct {
    const char *capability, *name;
} fact_table[] = {
#define CHECK_FACT_TEXT(code, capability, text) { capability, text },
    CHECK_FACT_TABLE(CHECK_FACT_TEXT)
#undef CHECK_FACT_TEXT
};

const char *check_fact_name(enum check_fact fact)
{
    return fact_table[fact].name;
}

const char *check_fact_capability(enum check_fact fact)
{
    return fact_table[fact].capability;
}

bool check_run_knows(const struct check_run *run, enum check_fact fact)
{
    return run->facts[0] & run->facts[1] & CHECK_FACT_BIT(fact);
}

void check_place_count(const struct check_place *p, enum check_what what, uint64_t a, uint64_t b)
{
    p->run->counts[what].a += a;
    p->run->counts[what].b += b;
}

void check_place_differ(const struct check_place *p, enum check_what what, const char *field,
                        const char *a, const char *b, const char *note)
{
    struct check_diff diff = { .what = what,
                               .user = p->user,
                               .mailbox = p->mailbox,
                               .uid = p->uid,
                               .field = field,
                               .a = a,
                               .b = b,
                               .note = note };

    p->run->counts[what].differ++;
    p->run->report(p->run->rock, &diff);
}

/* What may differ between two ends that agree. */
static void inform(const struct check_place *p, enum check_what what, const char *field, const char *a,
                   const char *b)
{
    struct check_diff diff = { .what = what,
                               .user = p->user,
                               .mailbox = p->mailbox,
                               .field = field,
                               .a = a ? a : "",
                               .b = b ? b : "",
                               .informational = true };

    if (strcmp(diff.a, diff.b)) p->run->report(p->run->rock, &diff);
}

static void compare_text(const struct check_place *p, enum check_what what, const char *field,
                         const char *a, const char *b)
{
    if (strcmp(a, b)) check_place_differ(p, what, field, a, b, NULL);
}

static void compare_number(const struct check_place *p, enum check_what what, const char *field,
                           uint64_t a, uint64_t b)
{
    char at[24], bt[24];

    if (a == b) return;
    snprintf(at, sizeof(at), "%" PRIu64, a);
    snprintf(bt, sizeof(bt), "%" PRIu64, b);
    check_place_differ(p, what, field, at, bt, NULL);
}

static void compare_hex(const struct check_place *p, enum check_what what, const char *field, uint64_t a,
                        uint64_t b)
{
    char at[24], bt[24];

    if (a == b) return;
    snprintf(at, sizeof(at), "%016" PRIx64, a);
    snprintf(bt, sizeof(bt), "%016" PRIx64, b);
    check_place_differ(p, what, field, at, bt, NULL);
}

static void compare_date(const struct check_place *p, const char *field, time_t a, time_t b)
{
    char at[RFC3501_DATETIME_MAX], bt[RFC3501_DATETIME_MAX];

    if (a == b) return;
    time_to_rfc3501_zone(a, 0, at, sizeof(at));
    time_to_rfc3501_zone(b, 0, bt, sizeof(bt));
    check_place_differ(p, CHECK_DATES, field, at, bt, NULL);
}

/* ---- sorted lists ---- */

/* The kind of difference that an annotation of that name is. */
static enum check_what what_of(enum check_what what, const char *key)
{
    if (what == CHECK_METADATA && strstr(key, "/specialuse")) return CHECK_SPECIALUSE;
    return what;
}

static void compare_pair(const struct check_place *p, enum check_what what, const char *prefix,
                         const struct check_pair *a, const struct check_pair *b)
{
    const char *key = a ? a->key : b->key;
    struct buf field = BUF_INITIALIZER;

    what = what_of(what, key);
    check_place_count(p, what, a != NULL, b != NULL);
    if (!a || !b || strcmp(a->value, b->value)) {
        buf_printf(&field, "%s%s", prefix, key);
        check_place_differ(p, what, buf_cstring(&field), a ? a->value : NULL, b ? b->value : NULL, NULL);
        buf_free(&field);
    }
}

static void compare_pairs(const struct check_place *p, enum check_what what, const char *prefix,
                          const struct check_pairs *a, const struct check_pairs *b)
{
    size_t i = 0, j = 0;

    while (i < a->n || j < b->n) {
        int c = i == a->n ? 1 : j == b->n ? -1 : strcmp(a->v[i].key, b->v[j].key);
        compare_pair(p, what, prefix, c <= 0 ? &a->v[i] : NULL, c >= 0 ? &b->v[j] : NULL);
        i += c <= 0;
        j += c >= 0;
    }
}

static void compare_lists(const struct check_place *p, enum check_what what, const char *field,
                          const strarray_t *a, const strarray_t *b)
{
    int i = 0, j = 0, an = strarray_size(a), bn = strarray_size(b);

    while (i < an || j < bn) {
        int c = i == an ? 1 : j == bn ? -1 : strcmp(strarray_nth(a, i), strarray_nth(b, j));
        struct check_place here = *p;
        here.mailbox = c <= 0 ? strarray_nth(a, i) : strarray_nth(b, j);
        check_place_count(p, what, c <= 0, c >= 0);
        if (c) check_place_differ(&here, what, field, c < 0 ? "yes" : NULL, c > 0 ? "yes" : NULL, NULL);
        i += c <= 0;
        j += c >= 0;
    }
}

/* ---- the user ---- */

void check_compare_user(struct check_run *run, const struct check_user *a,
                        const struct check_user *b)
{
    struct check_place p = { .run = run, .user = a->userid };

    check_place_count(&p, CHECK_USERS, a->exists, b->exists);
    if (a->exists != b->exists)
        check_place_differ(&p, CHECK_USERS, "user", a->exists ? "INBOX" : NULL, b->exists ? "INBOX" : NULL,
               NULL);
    if (check_run_knows(run, CHECK_FACT_SUBSCRIBED))
        compare_lists(&p, CHECK_SUBSCRIPTIONS, "subscription", &a->subscriptions,
                      &b->subscriptions);
    if (!check_run_knows(run, CHECK_FACT_META)) return;
    compare_pairs(&p, CHECK_READS, "seen in mailbox ", &a->reads, &b->reads);
    compare_pairs(&p, CHECK_SCRIPTS, "Sieve script ", &a->scripts, &b->scripts);
}

/* ---- mailboxes ---- */

static struct check_mailbox *find_unpaired(struct check_twins *twins, size_t n,
                                           const char *uniqueid, size_t *at)
{
    for (size_t i = 0; *uniqueid && i < n; i++)
        if (!twins[i].a && twins[i].b && !strcmp(twins[i].b->uniqueid, uniqueid)) {
            *at = i;
            return twins[i].b;
        }
    return NULL;
}

/* A mailbox that is only there under another name was renamed on one end. */
static size_t pair_renamed(struct check_twins *twins, size_t n)
{
    size_t at = 0, left = 0;

    for (size_t i = 0; i < n; i++) {
        if (!twins[i].a || twins[i].b) continue;
        twins[i].b = find_unpaired(twins, n, twins[i].a->uniqueid, &at);
        if (twins[i].b) twins[at].b = NULL;
    }
    for (size_t i = 0; i < n; i++)
        if (twins[i].a || twins[i].b) twins[left++] = twins[i];
    return left;
}

struct check_twins *check_pair_mailboxes(struct check_user *a, struct check_user *b, size_t *n)
{
    struct check_twins *twins = xcalloc(a->nmailboxes + b->nmailboxes + 1, sizeof(*twins));
    size_t i = 0, j = 0, k = 0;

    while (i < a->nmailboxes || j < b->nmailboxes) {
        int c = i == a->nmailboxes   ? 1
                : j == b->nmailboxes ? -1
                                     : strcmp(a->mailboxes[i].name, b->mailboxes[j].name);
        if (c <= 0) twins[k].a = &a->mailboxes[i++];
        if (c >= 0) twins[k].b = &b->mailboxes[j++];
        k++;
    }
    *n = pair_renamed(twins, k);
    return twins;
}

static void describe_lonely(const struct check_mailbox *mbox, struct buf *text)
{
    buf_printf(text, "uniqueid %s", mbox->uniqueid);
    if (mbox->opened) buf_printf(text, ", %" PRIu32 " messages", mbox->exists);
    buf_cstring(text);
}

static void compare_conversations(const struct check_place *p, const struct check_mailbox *a,
                                  const struct check_mailbox *b)
{
    if (!check_run_knows(p->run, CHECK_FACT_CID) || a->sealed || b->sealed) return;
    check_place_count(p, CHECK_CONVERSATIONS, a->convexists, b->convexists);
    compare_number(p, CHECK_CONVERSATIONS, "conversations", a->convexists, b->convexists);
    compare_number(p, CHECK_CONVERSATIONS, "unseen conversations", a->convunseen, b->convunseen);
    compare_number(p, CHECK_CONVERSATIONS, "conversations' modseq", a->convmodseq, b->convmodseq);
}

static void compare_state(const struct check_place *p, const struct check_mailbox *a,
                          const struct check_mailbox *b)
{
    check_place_count(p, CHECK_STATE, 1, 1);
    compare_number(p, CHECK_STATE, "UIDVALIDITY", a->uidvalidity, b->uidvalidity);
    compare_number(p, CHECK_STATE, "UIDNEXT", a->uidnext, b->uidnext);
    if (check_run_knows(p->run, CHECK_FACT_MODSEQ))
        compare_number(p, CHECK_STATE, "HIGHESTMODSEQ", a->highestmodseq, b->highestmodseq);
    if (check_run_knows(p->run, CHECK_FACT_CREATED) && !a->whole && !b->whole)
        compare_number(p, CHECK_STATE, "CREATEDMODSEQ", a->createdmodseq, b->createdmodseq);
    compare_conversations(p, a, b);
}

static void compare_sync(const struct check_place *p, const struct check_mailbox *a,
                         const struct check_mailbox *b)
{
    if (check_run_knows(p->run, CHECK_FACT_META) && a->intname && b->intname) {
        compare_pairs(p, CHECK_STATE, "", &a->sync, &b->sync);
        inform(p, CHECK_MAILBOXES, "partition", a->partition, b->partition);
    }
    if (check_run_knows(p->run, CHECK_FACT_HISTORY))
        inform(p, CHECK_MAILBOXES, "former names", a->history, b->history);
}

void check_compare_mailbox(struct check_run *run, const char *userid,
                           const struct check_twins *twins)
{
    const struct check_mailbox *a = twins->a, *b = twins->b;
    struct check_place p = { .run = run, .user = userid, .mailbox = a ? a->name : b->name };

    check_place_count(&p, CHECK_MAILBOXES, a != NULL, b != NULL);
    if (!a || !b) {
        struct buf text = BUF_INITIALIZER;
        describe_lonely(a ? a : b, &text);
        check_place_differ(&p, CHECK_MAILBOXES, "mailbox", a ? text.s : NULL, b ? text.s : NULL, NULL);
        buf_free(&text);
        return;
    }
    compare_text(&p, CHECK_MAILBOXES, "name", a->name, b->name);
    if (check_run_knows(run, CHECK_FACT_QUOTA))
        compare_text(&p, CHECK_QUOTAROOTS, "quota root", a->quotaroot, b->quotaroot);
    if (check_run_knows(run, CHECK_FACT_ACL))
        compare_pairs(&p, CHECK_ACL, "ACL of ", &a->acl, &b->acl);
    if (check_run_knows(run, CHECK_FACT_METADATA)) {
        compare_text(&p, CHECK_MAILBOXES, "uniqueid", a->uniqueid, b->uniqueid);
        compare_pairs(&p, CHECK_METADATA, "", &a->metadata, &b->metadata);
    }
    if (a->opened && b->opened) compare_state(&p, a, b);
    compare_sync(&p, a, b);
}

/* ---- messages ---- */

/* A fact of a message that only some servers can tell. */
static bool knows(const struct check_place *p, enum check_fact fact)
{
    bool less = fact == CHECK_FACT_CREATED || fact == CHECK_FACT_SAVEDATE || fact == CHECK_FACT_CID ||
                fact == CHECK_FACT_ANNOTATION;

    return check_run_knows(p->run, fact) && !(p->whole && less);
}

/* What a fetch brought, and the digest that the server tells where that is another one. */
static void describe_body(const struct check_message *m, bool digest, struct buf *text)
{
    char guid[MESSAGE_GUID_STRLEN];

    if (!m->has_body) {
        buf_setcstr(text, "nothing");
        return;
    }
    buf_setcstr(text, message_guid_encode(&m->body, guid));
    if (digest && !message_guid_equal(&m->body, &m->rec.guid))
        buf_printf(text, " but calls it %s", message_guid_encode(&m->rec.guid, guid));
}

/* Both ends may have the same wrong bytes: they differ from their digest. */
static void compare_body(const struct check_place *p, const struct check_message *a,
                         const struct check_message *b)
{
    struct buf at = BUF_INITIALIZER, bt = BUF_INITIALIZER;
    bool digest = knows(p, CHECK_FACT_DIGEST);

    if (!p->run->deep || p->whole) return;
    check_place_count(p, CHECK_BODIES, a->has_body, b->has_body);
    describe_body(a, digest, &at);
    describe_body(b, digest, &bt);
    bool good = a->has_body && b->has_body && message_guid_equal(&a->body, &b->body) &&
                (!digest || message_guid_equal(&a->body, &a->rec.guid));
    if (!good) check_place_differ(p, CHECK_BODIES, "content", buf_cstring(&at), buf_cstring(&bt), NULL);
    buf_free(&at);
    buf_free(&bt);
}

static void compare_message(const struct check_place *p, const struct check_message *a,
                            const struct check_message *b)
{
    char ag[MESSAGE_GUID_STRLEN], bg[MESSAGE_GUID_STRLEN];
    const struct index_record *ar = &a->rec, *br = &b->rec;

    if (knows(p, CHECK_FACT_DIGEST))
        compare_text(p, CHECK_CONTENTS, "digest", message_guid_encode(&ar->guid, ag),
                     message_guid_encode(&br->guid, bg));
    compare_number(p, CHECK_CONTENTS, "size", ar->size, br->size);
    compare_date(p, "internal date", ar->internaldate, br->internaldate);
    if (knows(p, CHECK_FACT_SAVEDATE)) compare_date(p, "save date", ar->savedate, br->savedate);
    compare_text(p, CHECK_FLAGS, "flags", a->flags, b->flags);
    compare_text(p, CHECK_SEEN, "seen", a->seen ? "yes" : "no", b->seen ? "yes" : "no");
    if (knows(p, CHECK_FACT_MODSEQ))
        compare_number(p, CHECK_MODSEQS, "modseq", ar->modseq, br->modseq);
    if (knows(p, CHECK_FACT_CREATED))
        compare_number(p, CHECK_MODSEQS, "created modseq", ar->createdmodseq, br->createdmodseq);
    if (knows(p, CHECK_FACT_CID)) compare_hex(p, CHECK_CIDS, "conversation id", ar->cid, br->cid);
    if (knows(p, CHECK_FACT_ANNOTATION))
        compare_text(p, CHECK_ANNOTATIONS, "annotations", a->annotations, b->annotations);
    compare_body(p, a, b);
}

static size_t count_words(const char *s, char sep)
{
    size_t n = *s != '\0';

    for (; *s; s++) n += *s == sep;
    return n;
}

/* Every message has one of each; flags and annotations are counted one by one. */
static void count_message(const struct check_place *p, const struct check_message *m, bool is_a)
{
    static const enum check_what ones[] = { CHECK_MESSAGES, CHECK_CONTENTS, CHECK_DATES,
                                            CHECK_MODSEQS };
    size_t flags = count_words(m->flags, ' '), annots = count_words(m->annotations, '\n');

    for (size_t i = 0; i < array_size(ones); i++) check_place_count(p, ones[i], is_a, !is_a);
    check_place_count(p, CHECK_SEEN, is_a && m->seen, !is_a && m->seen);
    check_place_count(p, CHECK_FLAGS, is_a ? flags : 0, is_a ? 0 : flags);
    check_place_count(p, CHECK_ANNOTATIONS, is_a ? annots : 0, is_a ? 0 : annots);
    if (knows(p, CHECK_FACT_CID)) check_place_count(p, CHECK_CIDS, is_a, !is_a);
}

static void report_lonely(const struct check_place *p, const struct check_message *a,
                          const struct check_message *b)
{
    const struct check_message *m = a ? a : b;
    char guid[MESSAGE_GUID_STRLEN];
    struct buf text = BUF_INITIALIZER;

    buf_printf(&text, "digest %s, %" PRIu32 " octets", message_guid_encode(&m->rec.guid, guid),
               m->rec.size);
    buf_cstring(&text);
    check_place_differ(p, CHECK_MESSAGES, "message", a ? text.s : NULL, b ? text.s : NULL, NULL);
    buf_free(&text);
}

/* Read both streams side by side. compare false: only count the messages. */
static int walk_messages(struct check_place *p, struct sync_stream a, struct sync_stream b, bool compare,
                         int *failed)
{
    struct sync_walk walk;
    const struct index_record *ours, *theirs;

    sync_walk_init(&walk, a, b);
    while (sync_walk_next(&walk, &ours, &theirs) != SYNC_WALK_END) {
        const struct check_message *am = (const struct check_message *)ours;
        const struct check_message *bm = (const struct check_message *)theirs;
        p->uid = ours ? ours->uid : theirs->uid;
        if (!compare) {
            check_place_count(p, CHECK_MESSAGES, am != NULL, bm != NULL);
            continue;
        }
        if (am) count_message(p, am, true);
        if (bm) count_message(p, bm, false);
        if (am && bm)
            compare_message(p, am, bm);
        else
            report_lonely(p, am, bm);
    }
    *failed = walk.error_side == SYNC_WALK_REMOTE;
    return walk.error;
}

int check_compare_messages(struct check_run *run, const char *userid,
                           const struct check_twins *twins, struct sync_stream a,
                           struct sync_stream b, int *failed)
{
    struct check_place p = { .run = run,
                       .user = userid,
                       .mailbox = twins->a ? twins->a->name : twins->b->name };
    bool both = twins->a && twins->b && twins->a->opened && twins->b->opened;

    p.whole = both && (twins->a->whole || twins->b->whole);

    /* of a mailbox that is on one end only, the whole mailbox is the difference */
    return walk_messages(&p, a, b, both, failed);
}
