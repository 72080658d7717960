/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_sync_full -- the decision table of the full update, row by row (handbook 03 §11.1)
 */
#include <config.h>

#include <string.h>

#include "sync_client_full.h"
#include "testutil.h"
#include "util.h"

Suite *sync_full_suite(void);

/* ours: LAST_UID 20, DELETEDMODSEQ 50; theirs: LAST_UID 10, HIGHESTMODSEQ 100 */
static const struct full_numbers numbers = { 20, 50, 10, 100, false };

struct side {
    uint32_t uid; /* 0: not there */
    char guid;
    modseq_t modseq;
    time_t last_updated;
    uint32_t flags;
    bool expunged;
};
#define NONE { 0, 0, 0, 0, 0, false }

static const struct row {
    const char *what;
    struct side ours, theirs;
    enum full_ours do_ours;
    enum full_theirs do_theirs;
    bool theirs_first;
} rows[] = {
    { "both expunged, all else differs", { 5, 'a', 7, 1, 0, true }, { 5, 'b', 9, 2, 1, true },
      FULL_OURS_KEEP, FULL_THEIRS_KEEP, false },
    { "equal", { 5, 'a', 7, 1, 1, false }, { 5, 'a', 7, 1, 1, false },
      FULL_OURS_KEEP, FULL_THEIRS_KEEP, false },
    { "expunged here", { 5, 'a', 7, 1, 0, true }, { 5, 'a', 99, 9, 0, false },
      FULL_OURS_BUMP, FULL_THEIRS_KEEP, false },
    { "expunged there", { 5, 'a', 70, 8, 0, false }, { 5, 'a', 7, 1, 0, true },
      FULL_OURS_EXPUNGE, FULL_THEIRS_KEEP, false },
    { "flags differ, theirs newer", { 5, 'a', 7, 1, 0, false }, { 5, 'a', 8, 1, 1, false },
      FULL_OURS_TAKE, FULL_THEIRS_KEEP, false },
    { "higher modseq there, but later change here", { 5, 'a', 7, 2, 0, false }, { 5, 'a', 8, 1, 1, false },
      FULL_OURS_BUMP, FULL_THEIRS_KEEP, false },
    { "same modseq, flags differ", { 5, 'a', 7, 1, 0, false }, { 5, 'a', 7, 2, 1, false },
      FULL_OURS_BUMP, FULL_THEIRS_KEEP, false },
    { "only the modseq differs", { 5, 'a', 9, 1, 0, false }, { 5, 'a', 7, 1, 0, false },
      FULL_OURS_BUMP, FULL_THEIRS_KEEP, false },
    { "two messages, ours has the lower GUID", { 5, 'a', 7, 1, 0, false }, { 5, 'b', 60, 1, 0, false },
      FULL_OURS_RENUMBER, FULL_THEIRS_COPYBACK, false },
    { "two messages, theirs has the lower GUID", { 5, 'b', 7, 1, 0, false }, { 5, 'a', 60, 1, 0, false },
      FULL_OURS_RENUMBER, FULL_THEIRS_COPYBACK, true },
    { "two messages, ours expunged", { 5, 'b', 7, 1, 0, true }, { 5, 'c', 60, 1, 0, false },
      FULL_OURS_KEEP, FULL_THEIRS_COPYBACK, false },
    { "two messages, theirs expunged", { 5, 'a', 7, 1, 0, false }, { 5, 'b', 60, 1, 0, true },
      FULL_OURS_RENUMBER, FULL_THEIRS_KEEP, false },
    { "two messages, theirs older than what was forgotten here: still no loss",
      { 5, 'a', 7, 1, 0, false }, { 5, 'b', 10, 1, 0, false },
      FULL_OURS_RENUMBER, FULL_THEIRS_COPYBACK, false },
    { "only here, they have passed the UID", { 10, 'a', 7, 1, 0, false }, NONE,
      FULL_OURS_RENUMBER, FULL_THEIRS_KEEP, false },
    { "the same, expunged", { 10, 'a', 7, 1, 0, true }, NONE,
      FULL_OURS_KEEP, FULL_THEIRS_KEEP, false },
    { "only here, behind their last, a delta would leave it out", { 11, 'a', 100, 1, 0, false }, NONE,
      FULL_OURS_BUMP, FULL_THEIRS_KEEP, false },
    { "only here, behind their last, a delta brings it", { 11, 'a', 101, 1, 0, false }, NONE,
      FULL_OURS_KEEP, FULL_THEIRS_KEEP, false },
    { "only there, expunged", NONE, { 5, 'a', 7, 1, 0, true },
      FULL_OURS_KEEP, FULL_THEIRS_KEEP, false },
    { "only there, we had it and forgot it", NONE, { 5, 'a', 49, 1, 0, false },
      FULL_OURS_KEEP, FULL_THEIRS_EXPUNGE, false },
    { "only there, we never had it", NONE, { 5, 'a', 50, 1, 0, false },
      FULL_OURS_KEEP, FULL_THEIRS_COPYBACK, false },
    { "only there, our last UID", NONE, { 20, 'a', 50, 1, 0, false },
      FULL_OURS_KEEP, FULL_THEIRS_COPYBACK, false },
    { "only there, behind our last", NONE, { 21, 'a', 7, 1, 0, false },
      FULL_OURS_KEEP, FULL_THEIRS_APPEND, false },
};

static const struct sync_record *fill(const struct side *side, struct sync_record *rec)
{
    memset(rec, 0, sizeof(*rec));
    strarray_init(&rec->userflags);
    rec->rec.uid = side->uid;
    memset(rec->rec.guid.value, side->guid, MESSAGE_GUID_SIZE);
    rec->rec.modseq = side->modseq;
    rec->rec.last_updated = side->last_updated;
    rec->rec.system_flags = side->flags;
    rec->rec.internal_flags = side->expunged ? FLAG_INTERNAL_EXPUNGED : 0;
    return side->uid ? rec : NULL;
}

START_TEST(test_full_table)
{
    for (size_t i = 0; i < array_size(rows); i++) {
        struct sync_record ours, theirs;
        struct full_decision d = full_decide(&numbers, fill(&rows[i].ours, &ours),
                                             fill(&rows[i].theirs, &theirs));
        ck_assert_msg(d.ours == rows[i].do_ours, "%s: ours %d", rows[i].what, d.ours);
        ck_assert_msg(d.theirs == rows[i].do_theirs, "%s: theirs %d", rows[i].what, d.theirs);
        ck_assert_msg(d.theirs_first == rows[i].theirs_first, "%s: order", rows[i].what);
        sync_record_fini(&ours);
        sync_record_fini(&theirs);
    }
}
END_TEST

/* Of another mailbox all that lives comes, whatever the numbers say; ours stay where they are. */
START_TEST(test_full_absorb)
{
    static const struct row absorb[] = {
        { "two messages", { 5, 'b', 7, 1, 0, false }, { 5, 'a', 60, 1, 0, false },
          FULL_OURS_KEEP, FULL_THEIRS_COPYBACK, true },
        { "two messages, theirs expunged", { 5, 'a', 7, 1, 0, false }, { 5, 'b', 60, 1, 0, true },
          FULL_OURS_KEEP, FULL_THEIRS_KEEP, false },
        { "one, expunged there", { 5, 'a', 70, 8, 0, false }, { 5, 'a', 7, 1, 0, true },
          FULL_OURS_EXPUNGE, FULL_THEIRS_KEEP, false },
        { "only here", { 10, 'a', 7, 1, 0, false }, NONE, FULL_OURS_KEEP, FULL_THEIRS_KEEP, false },
        { "only there, below what was forgotten here", NONE, { 5, 'a', 49, 1, 0, false },
          FULL_OURS_KEEP, FULL_THEIRS_COPYBACK, false },
        { "only there, expunged", NONE, { 5, 'a', 49, 1, 0, true },
          FULL_OURS_KEEP, FULL_THEIRS_KEEP, false },
        { "only there, behind our last", NONE, { 21, 'a', 7, 1, 0, false },
          FULL_OURS_KEEP, FULL_THEIRS_APPEND, false },
    };
    const struct full_numbers other = { 20, 50, 10, 100, true };

    for (size_t i = 0; i < array_size(absorb); i++) {
        struct sync_record ours, theirs;
        struct full_decision d = full_decide(&other, fill(&absorb[i].ours, &ours),
                                             fill(&absorb[i].theirs, &theirs));
        ck_assert_msg(d.ours == absorb[i].do_ours, "%s: ours %d", absorb[i].what, d.ours);
        ck_assert_msg(d.theirs == absorb[i].do_theirs, "%s: theirs %d", absorb[i].what, d.theirs);
        sync_record_fini(&ours);
        sync_record_fini(&theirs);
    }
}
END_TEST

/* Every field that two ends can disagree about makes a pair unequal. */
START_TEST(test_full_every_field)
{
    struct side side = { 5, 'a', 7, 1, 0, false };

    for (int field = 0; field < 8; field++) {
        struct sync_record ours, theirs;
        fill(&side, &ours);
        fill(&side, &theirs);
        switch (field) {
        case 0: theirs.rec.internaldate++; break;
        case 1: theirs.rec.cid++; break;
        case 2: theirs.rec.savedate++; break;
        case 3: theirs.rec.createdmodseq++; break;
        case 4: strarray_append(&theirs.userflags, "Kw"); break;
        case 5: sync_annots_add(&theirs.annots, "/comment", "", "x", 1, 1); break;
        case 6: theirs.rec.system_flags |= FLAG_DRAFT; break;
        case 7:
            strarray_append(&ours.userflags, "KW");
            strarray_append(&theirs.userflags, "kw");
            break;
        }
        enum full_ours want = field == 7 ? FULL_OURS_KEEP : FULL_OURS_BUMP;
        ck_assert_msg(full_decide(&numbers, &ours, &theirs).ours == want, "field %d", field);
        sync_record_fini(&ours);
        sync_record_fini(&theirs);
    }
}
END_TEST

Suite *sync_full_suite(void)
{
    Suite *s = suite_create("sync_full");
    TCase *tc = tcase_create("decide");

    tcase_add_test(tc, test_full_table);
    tcase_add_test(tc, test_full_every_field);
    tcase_add_test(tc, test_full_absorb);
    suite_add_tcase(s, tc);
    return s;
}
