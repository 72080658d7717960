/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_ranges -- ranges of UIDs, and the digests of the messages in them
 *
 * What is digested is injective: every text has its length in front, every number has all its bytes, flags and
 * annotations have one order. Two lists with equal digests are equal lists, as far as SHA-256 cut to 16 bytes goes.
 */
#include <config.h>

#include "sync_ranges.h"

#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "util.h"
#include "xmalloc.h"

/* ---- sets ---- */

struct sync_range *sync_ranges_add(struct sync_ranges *ranges, uint32_t first, uint32_t last)
{
    if (ranges->n == ranges->alloc) {
        ranges->alloc = ranges->alloc ? 2 * ranges->alloc : 8;
        ranges->v = xreallocarray(ranges->v, ranges->alloc, sizeof(*ranges->v));
    }
    ranges->v[ranges->n] = (struct sync_range){ .first = first, .last = last };
    return &ranges->v[ranges->n++];
}

void sync_ranges_fini(struct sync_ranges *ranges)
{
    free(ranges->v);
    *ranges = (struct sync_ranges){ NULL, 0, 0 };
}

bool sync_ranges_have(const struct sync_ranges *ranges, uint32_t uid)
{
    size_t low = 0, high = ranges->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ranges->v[mid].last < uid)
            low = mid + 1;
        else
            high = mid;
    }
    return low < ranges->n && ranges->v[low].first <= uid;
}

bool sync_range_equal(const struct sync_range *a, const struct sync_range *b)
{
    return a->n == b->n && !memcmp(a->digest, b->digest, sizeof(a->digest));
}

/* ---- what is digested of a record ---- */

static void put_text(struct buf *out, const char *base, size_t len)
{
    buf_appendbit32(out, (uint32_t)len);
    buf_appendmap(out, base, len);
}

/* In lower case, in byte order, each once. */
static void put_userflags(struct buf *out, const strarray_t *names)
{
    strarray_t sorted = STRARRAY_INITIALIZER;

    for (int i = 0; i < strarray_size(names); i++) {
        char *name = xstrdup(strarray_nth(names, i));
        for (char *p = name; *p; p++) *p = cyr_tolower(*p);
        strarray_appendm(&sorted, name);
    }
    strarray_sort(&sorted, cmpstringp_raw);
    strarray_uniq(&sorted);
    buf_appendbit32(out, (uint32_t)strarray_size(&sorted));
    for (int i = 0; i < strarray_size(&sorted); i++) {
        const char *name = strarray_nth(&sorted, i);
        put_text(out, name, strlen(name));
    }
    strarray_fini(&sorted);
}

/* Their modseqs are each end's own. */
static void put_annots(struct buf *out, const struct sync_annots *annots)
{
    buf_appendbit32(out, (uint32_t)annots->n);
    for (size_t i = 0; i < annots->n; i++) {
        const struct sync_annot *a = &annots->v[i];
        put_text(out, a->entry, strlen(a->entry));
        put_text(out, a->userid, strlen(a->userid));
        put_text(out, buf_base(&a->value), buf_len(&a->value));
    }
}

/* The UID, the GUID, and what full_same_record compares. */
static void put_record(struct buf *out, const struct sync_record *rec)
{
    buf_appendbit32(out, rec->rec.uid);
    buf_appendmap(out, (const char *)rec->rec.guid.value, MESSAGE_GUID_SIZE);
    buf_appendbit64(out, rec->rec.modseq);
    buf_appendbit64(out, (uint64_t)rec->rec.last_updated);
    buf_appendbit64(out, (uint64_t)rec->rec.internaldate);
    buf_appendbit64(out, rec->rec.cid);
    buf_appendbit64(out, (uint64_t)rec->rec.savedate);
    buf_appendbit64(out, rec->rec.createdmodseq);
    buf_appendbit32(out, rec->rec.system_flags & FLAGS_SYSTEM);
    put_userflags(out, &rec->userflags);
    put_annots(out, &rec->annots);
}

/* ---- sums ---- */

struct sum {
    struct digest *digest;
    struct buf bytes; /* of a record */
    struct sync_range *range; /* at work */
    /* of a range that is divided */
    struct sync_ranges *parts;
    uint32_t per; /* messages of a part */
    unsigned more; /* parts that may still be made */
};

static void sum_init(struct sum *sum)
{
    *sum = (struct sum){ .digest = digest_new(DIGEST_SHA256), .bytes = BUF_INITIALIZER };
}

static void sum_fini(struct sum *sum)
{
    digest_free(sum->digest);
    buf_free(&sum->bytes);
}

static void sum_begin(struct sum *sum, struct sync_range *range)
{
    sum->range = range;
    range->n = 0;
}

static void sum_end(struct sum *sum)
{
    unsigned char whole[SHA256_SIZE];

    digest_final(sum->digest, whole);
    memcpy(sum->range->digest, whole, SYNC_RANGES_DIGEST);
}

static int sum_record(const struct sync_record *rec, void *rock)
{
    struct sum *sum = rock;

    buf_reset(&sum->bytes);
    put_record(&sum->bytes, rec);
    digest_update(sum->digest, buf_base(&sum->bytes), buf_len(&sum->bytes));
    sum->range->n++;
    return 0;
}

int sync_ranges_sum(const struct sync_ranges_source *source, struct sync_range *v, size_t n)
{
    struct sum sum;
    int r = 0;

    sum_init(&sum);
    for (size_t i = 0; i < n && !r; i++) {
        sum_begin(&sum, &v[i]);
        r = source->each(source->rock, v[i].first, v[i].last, sum_record, &sum);
        sum_end(&sum);
    }
    sum_fini(&sum);
    return r;
}

/* A part ends in front of the first message of the next. The last one takes what came since they were counted. */
static int split_record(const struct sync_record *rec, void *rock)
{
    struct sum *sum = rock;

    if (sum->range->n == sum->per && sum->more) {
        uint32_t last = sum->range->last;
        sum_end(sum);
        sum->range->last = rec->rec.uid - 1;
        sum_begin(sum, sync_ranges_add(sum->parts, rec->rec.uid, last));
        sum->more--;
    }
    return sum_record(rec, rock);
}

int sync_ranges_split(const struct sync_ranges_source *source, const struct sync_range *parent,
                      struct sync_ranges *parts)
{
    struct sum sum;

    sum_init(&sum);
    sum.parts = parts;
    sum.per = parent->n / SYNC_RANGES_FAN + (parent->n % SYNC_RANGES_FAN != 0);
    if (!sum.per) sum.per = 1;
    sum.more = SYNC_RANGES_FAN - 1;
    sum_begin(&sum, sync_ranges_add(parts, parent->first, parent->last));
    int r = source->each(source->rock, parent->first, parent->last, split_record, &sum);
    sum_end(&sum);
    sum_fini(&sum);
    return r;
}
