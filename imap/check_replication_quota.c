/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_replication_quota -- limits and usage of two servers' quota roots
 *
 * A number that differs is traced to its kind: some servers count every copy of a message, some
 * only the first. A number that is that of neither kind is wrong, even if both ends agree on it.
 */
#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "check_replication_int.h"
#include "util.h"

static int by_guid(const void *a, const void *b)
{
    return message_guid_cmp(&((const struct check_copy *)a)->guid,
                            &((const struct check_copy *)b)->guid);
}

/* What the distinct messages that are not \Deleted add up to; sorts the copies. */
static void distinct(struct check_usage *usage, uint64_t *octets, uint64_t *messages)
{
    const struct check_copy *last = NULL;

    *octets = *messages = 0;
    if (usage->messages) qsort(usage->copies, usage->messages, sizeof(*usage->copies), by_guid);
    for (uint64_t i = 0; i < usage->messages; i++) {
        if (usage->copies[i].deleted) continue;
        if (last && message_guid_equal(&usage->copies[i].guid, &last->guid)) continue;
        last = &usage->copies[i];
        *octets += last->size;
        ++*messages;
    }
}

static const struct check_resource *find_resource(const struct check_quota *quota, const char *name)
{
    for (size_t i = 0; i < quota->n; i++)
        if (!strcmp(quota->resources[i].name, name)) return &quota->resources[i];
    return NULL;
}

#define RAW "X-RAW-"

static bool is_raw(const char *name)
{
    return strstarts(name, RAW);
}

static const struct check_resource *find_raw(const struct check_quota *quota, const char *name)
{
    char raw[64];

    snprintf(raw, sizeof(raw), RAW "%s", name);
    return find_resource(quota, raw);
}

/* ---- which mailboxes a wrong number leaves out, or counts twice ---- */

#define MAX_SET 3
#define MAX_TRIES 1000000u

struct search {
    const struct check_usage *usage;
    bool storage, twice;
    uint64_t used;
    const struct check_part *set[MAX_SET], *found[MAX_SET];
    unsigned hits, tries;
};

/* What the number would be without those mailboxes, or with them once more. */
static uint64_t changed(const struct search *s, uint64_t messages, uint64_t octets)
{
    uint64_t all = s->storage ? s->usage->octets : s->usage->messages, some = s->storage ? octets : messages;
    uint64_t n = s->twice ? all + some : all - some;

    return s->storage ? n / 1024 : n;
}

/* All sets of left more mailboxes behind the first ones; ends when two have been found. */
static void try_sets(struct search *s, size_t from, unsigned chosen, unsigned left, uint64_t messages, uint64_t octets)
{
    if (!left) {
        s->tries++;
        if (changed(s, messages, octets) != s->used) return;
        s->hits++;
        memcpy(s->found, s->set, sizeof(s->found));
        return;
    }
    for (size_t i = from; i < s->usage->nparts && s->hits < 2 && s->tries < MAX_TRIES; i++) {
        const struct check_part *part = &s->usage->parts[i];
        if (!part->messages) continue;
        s->set[chosen] = part;
        try_sets(s, i + 1, chosen + 1, left - 1, messages + part->messages, octets + part->octets);
    }
}

/* The smallest set of mailboxes that explains it, if there is just one of that size. */
static void name_mailboxes(const struct check_usage *usage, bool storage, uint64_t used, struct buf *out)
{
    struct search s = { .usage = usage, .storage = storage, .used = used };
    unsigned n = 0;

    s.twice = used > (storage ? usage->octets / 1024 : usage->messages);
    while (!s.hits && s.tries < MAX_TRIES && n < MAX_SET) try_sets(&s, 0, 0, ++n, 0, 0);
    if (s.hits != 1 || s.tries >= MAX_TRIES) return;
    buf_printf(out, ", that is %s ", s.twice ? "twice" : "without");
    for (unsigned i = 0; i < n; i++)
        buf_printf(out, "%s%s (uniqueid %s): %" PRIu64 " messages, %" PRIu64 " octets", i ? " and " : "", s.found[i]->name,
                   s.found[i]->uniqueid ? s.found[i]->uniqueid : "not told", s.found[i]->messages, s.found[i]->octets);
}

/* Say what kind of number one end shows, as far as its own messages tell. */
static void explain(const char *end, const char *name, uint64_t used, struct check_usage *usage,
                    struct buf *note)
{
    bool storage = !strcmp(name, "STORAGE");
    uint64_t octets, messages;

    if (!storage && strcmp(name, "MESSAGE")) return;
    if (note->len) buf_appendcstr(note, "; ");
    if (usage->incomplete) {
        buf_printf(note, "%s: not all messages could be counted", end);
        return;
    }
    distinct(usage, &octets, &messages);
    uint64_t raw = storage ? usage->octets / 1024 : usage->messages;
    uint64_t aware = storage ? octets / 1024 : messages;
    if (used == raw && used == aware)
        buf_printf(note, "%s agrees with its messages", end);
    else if (used == raw)
        buf_printf(note, "%s counts every copy (distinct messages: %" PRIu64 ")", end, aware);
    else if (used == aware)
        buf_printf(note, "%s counts distinct messages (every copy: %" PRIu64 ")", end, raw);
    else
        buf_printf(note,
                   "%s is wrong: its messages add up to %" PRIu64 ", distinct ones to %" PRIu64,
                   end, raw, aware);
    if (used != raw && used != aware) name_mailboxes(usage, storage, used, note);
}

static void report_quota(const struct check_place *p, const char *name, const struct check_resource *a,
                         const struct check_resource *b, struct buf *note)
{
    char at[64] = "", bt[64] = "";

    if (a) snprintf(at, sizeof(at), "%" PRIu64 "/%" PRIu64, a->used, a->limit);
    if (b) snprintf(bt, sizeof(bt), "%" PRIu64 "/%" PRIu64, b->used, b->limit);
    check_place_differ(p, CHECK_QUOTAS, name, a ? at : NULL, b ? bt : NULL,
           note->len ? buf_cstring(note) : NULL);
}

/* If only one end shows raw numbers as well, the other's may be either kind. */
static bool same_use(const struct check_quota *qa, const struct check_quota *qb,
                     const struct check_resource *a, const struct check_resource *b)
{
    const struct check_resource *ra = find_raw(qa, a->name), *rb = find_raw(qb, a->name);

    if (a->used == b->used) return true;
    if (ra && !rb) return ra->used == b->used;
    if (rb && !ra) return rb->used == a->used;
    return false;
}

static void compare_resource(const struct check_place *p, struct check_quota *qa, struct check_quota *qb,
                             const char *name)
{
    const struct check_resource *a = find_resource(qa, name), *b = find_resource(qb, name);
    struct buf note = BUF_INITIALIZER;

    if (is_raw(name) && !check_run_knows(p->run, CHECK_FACT_RAWQUOTA)) return;
    check_place_count(p, CHECK_QUOTAS, a != NULL, b != NULL);
    if (a && b && a->limit == b->limit && same_use(qa, qb, a, b)) return;
    if (a && b && a->used != b->used) {
        explain(p->run->labels[0], name, a->used, &qa->usage, &note);
        explain(p->run->labels[1], name, b->used, &qb->usage, &note);
    }
    report_quota(p, name, a, b, &note);
    buf_free(&note);
}

/* ---- counted anew ---- */

/* Is the number what the messages of that end add up to? Else says so. */
static bool recount(const struct check_quota *quota, struct check_usage *usage, const char *name,
                    struct buf *text)
{
    const struct check_resource *res = find_resource(quota, name);
    bool storage = strstr(name, "STORAGE") != NULL;
    uint64_t octets, messages;

    buf_setcstr(text, "right");
    if (!res || usage->incomplete) return true;
    distinct(usage, &octets, &messages);
    uint64_t raw = storage ? usage->octets / 1024 : usage->messages;
    uint64_t aware = is_raw(name) ? raw : storage ? octets / 1024 : messages;
    if (res->used == raw || res->used == aware) return true;
    buf_reset(text);
    buf_printf(text, "%" PRIu64 ", its messages add up to %" PRIu64, res->used, raw);
    if (aware != raw) buf_printf(text, " (distinct ones: %" PRIu64 ")", aware);
    name_mailboxes(usage, storage, res->used, text);
    return false;
}

/* Only roots of the user: what lies below another root is not all known. */
static void compare_recounts(const struct check_place *p, struct check_quota *a, struct check_quota *b)
{
    static const char *const names[] = { "STORAGE", "MESSAGE", RAW "STORAGE", RAW "MESSAGE" };
    struct buf at = BUF_INITIALIZER, bt = BUF_INITIALIZER;
    char field[64];

    if (!strstarts(p->mailbox, "user/")) return;
    for (size_t i = 0; i < array_size(names); i++) {
        bool good = recount(a, &a->usage, names[i], &at);
        good = recount(b, &b->usage, names[i], &bt) && good;
        snprintf(field, sizeof(field), "usage of %s", names[i]);
        check_place_count(p, CHECK_RECOUNTS, find_resource(a, names[i]) != NULL,
                          find_resource(b, names[i]) != NULL);
        if (!good)
            check_place_differ(p, CHECK_RECOUNTS, field, buf_cstring(&at), buf_cstring(&bt), NULL);
    }
    buf_free(&at);
    buf_free(&bt);
}

static void compare_quota(const struct check_place *p, struct check_quota *a, struct check_quota *b)
{
    for (size_t i = 0; i < a->n; i++) compare_resource(p, a, b, a->resources[i].name);
    for (size_t i = 0; i < b->n; i++)
        if (!find_resource(a, b->resources[i].name))
            compare_resource(p, a, b, b->resources[i].name);
    compare_recounts(p, a, b);
}

void check_compare_quotas(struct check_run *run, struct check_user *a, struct check_user *b)
{
    size_t i = 0, j = 0;

    if (!check_run_knows(run, CHECK_FACT_QUOTA)) return;
    while (i < a->nquotas || j < b->nquotas) {
        int c = i == a->nquotas   ? 1
                : j == b->nquotas ? -1
                                  : strcmp(a->quotas[i].root, b->quotas[j].root);
        struct check_place p = { .run = run,
                           .user = a->userid,
                           .mailbox = c <= 0 ? a->quotas[i].root : b->quotas[j].root };
        check_place_count(&p, CHECK_QUOTAROOTS, c <= 0, c >= 0);
        if (c)
            check_place_differ(&p, CHECK_QUOTAROOTS, "quota root itself", c < 0 ? "yes" : NULL,
                   c > 0 ? "yes" : NULL, NULL);
        else
            compare_quota(&p, &a->quotas[i], &b->quotas[j]);
        i += c <= 0;
        j += c >= 0;
    }
}
