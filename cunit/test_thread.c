/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SORT and THREAD over cache records in memory. A message is a line of a small table;
 * the answers are those of RFC 5256, or were given by 3.6.1.
 */
#include <config.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "imparse.h"
#include "message_cache.h"
#include "prot.h"
#include "search_sort.h"
#include "thread.h"
#include "util.h"
#include "xmalloc.h"

struct mail {
    const char *header; /* lines with LF */
    int date;           /* days */
};

struct world {
    size_t n;
    struct index_record *rec;
    struct index_message *msg;
    struct buf *cache;
    strarray_t flags;
    struct search_source source;
};

static int get_cache(void *rock, const struct index_record *rec, struct buf *view)
{
    struct world *w = rock;

    buf_init_ro(view, w->cache[rec->uid - 101].s, w->cache[rec->uid - 101].len);
    return 0;
}

static int get_annotation(void *rock, const struct index_record *rec, const char *entry,
                          bool shared, struct buf *value)
{
    (void)rock;
    if (shared && !strcmp(entry, "/comment")) buf_setcstr(value, rec->uid == 101 ? "b" : "A");
    return 0;
}

static void add_mail(struct world *w, size_t i, const char *header, int date)
{
    struct buf text = BUF_INITIALIZER;
    struct message_content *m;
    uint32_t crc;

    buf_setcstr(&text, header);
    buf_appendcstr(&text, "\n");
    buf_tocrlf(&text);
    m = message_parse(text.s, text.len, NULL);
    message_write_cache(m, &w->cache[i], &crc);
    message_content_free(&m);
    buf_free(&text);
    w->rec[i].uid = w->msg[i].uid = (uint32_t)i + 101;
    w->msg[i].msgno = (uint32_t)i + 1;
    w->rec[i].gmtime = 1000000 + date * 86400;
    w->rec[i].internaldate = 2000000 + (time_t)i * 100;
    w->rec[i].size = (uint32_t)(1000 - i);
    w->rec[i].modseq = 50 - i;
    w->rec[i].cache_version = MAILBOX_CACHE_MINOR_VERSION;
}

static void world_init(struct world *w, size_t n)
{
    *w = (struct world){ .n = n, .flags = STRARRAY_INITIALIZER };
    w->rec = xcalloc(n, sizeof(*w->rec));
    w->msg = xcalloc(n, sizeof(*w->msg));
    w->cache = xcalloc(n, sizeof(*w->cache));
    strarray_append(&w->flags, "Junk");
    w->source = (struct search_source){
        .rock = w, .flagnames = &w->flags, .cache = get_cache, .annotation = get_annotation
    };
}

static void world_fini(struct world *w)
{
    for (size_t i = 0; i < w->n; i++) buf_free(&w->cache[i]);
    free(w->rec);
    free(w->msg);
    free(w->cache);
    strarray_fini(&w->flags);
}

static void thread(struct world *w, enum thread_algorithm algorithm, bool uid, struct buf *dst)
{
    struct threader *t = threader_new(algorithm, &w->source);

    buf_reset(dst);
    for (size_t i = 0; i < w->n; i++) threader_add(t, &w->rec[i], &w->msg[i]);
    threader_write(t, uid, dst);
    threader_free(&t);
}

#define CHECK_THREAD(mails, algorithm, want)                                                      \
    do {                                                                                          \
        struct world w_;                                                                          \
        struct buf got_ = BUF_INITIALIZER;                                                        \
        world_init(&w_, array_size(mails));                                                       \
        for (size_t i_ = 0; i_ < w_.n; i_++) add_mail(&w_, i_, mails[i_].header, mails[i_].date); \
        thread(&w_, algorithm, false, &got_);                                                     \
        ck_assert_str_eq(buf_cstring(&got_), want);                                               \
        buf_free(&got_);                                                                          \
        world_fini(&w_);                                                                          \
    } while (0)

START_TEST(test_chain)
{
    static const struct mail mails[] = {
        { "Message-ID: <1@x>\nSubject: a\n", 1 },
        { "Message-ID: <2@x>\nSubject: Re: a\nReferences: <1@x>\n", 2 },
        { "Message-ID: <3@x>\nSubject: Re: a\nReferences: <1@x>\n <2@x>\n", 3 },
        { "Message-ID: <4@x>\nSubject: Re: a\nIn-Reply-To: <1@x> <9@x>\n", 4 },
        { "Message-ID: <5@x>\nSubject: b\n", 0 },
    };

    CHECK_THREAD(mails, THREAD_REFERENCES, "(5)(1 (2 3)(4))");
    CHECK_THREAD(mails, THREAD_REFS, "(1 (2 3)(4))(5)");
    CHECK_THREAD(mails, THREAD_ORDEREDSUBJECT, "(5)(1 (2)(3)(4))");
}
END_TEST

/* Messages that refer to what is not there are held together by it. */
START_TEST(test_missing_messages)
{
    static const struct mail mails[] = {
        { "Message-ID: <1@x>\nSubject: a\nReferences: <0@x>\n", 2 },
        { "Message-ID: <2@x>\nSubject: b\nReferences: <0@x> <m@x>\n", 1 },
        { "Message-ID: <3@x>\nSubject: c\nReferences: <9@x> <8@x>\n", 3 },
    };

    CHECK_THREAD(mails, THREAD_REFS, "((2)(1))(3)");
    CHECK_THREAD(mails, THREAD_REFERENCES, "((2)(1))(3)");
}
END_TEST

START_TEST(test_subjects_merge)
{
    static const struct mail mails[] = {
        { "Message-ID: <1@x>\nSubject: hello\n", 1 },
        { "Message-ID: <2@x>\nSubject: Re: Hello\n", 2 },
        { "Message-ID: <3@x>\nSubject: hello\n", 3 },
        { "Message-ID: <4@x>\nSubject:\n", 4 },
        { "Message-ID: <5@x>\nSubject:\n", 5 },
    };
    static const struct mail replies[] = {
        { "Message-ID: <1@x>\nSubject: Re: hello\n", 1 },
        { "Message-ID: <2@x>\nSubject: Fwd: hello\n", 2 },
    };
    static const struct mail dummies[] = {
        { "Message-ID: <1@x>\nSubject: Re: hello\nReferences: <0@x>\n", 1 },
        { "Message-ID: <2@x>\nSubject: Re: hello\nReferences: <0@x>\n", 2 },
        { "Message-ID: <3@x>\nSubject: hello\n", 3 },
        { "Message-ID: <4@x>\nSubject: Re: hello\nReferences: <00@x>\n", 4 },
        { "Message-ID: <5@x>\nSubject: Re: hello\nReferences: <00@x>\n", 0 },
    };

    CHECK_THREAD(mails, THREAD_REFERENCES, "((1 2)(3))(4)(5)");
    CHECK_THREAD(mails, THREAD_REFS, "(1)(2)(3)(4)(5)");
    CHECK_THREAD(replies, THREAD_REFERENCES, "((1)(2))");
    CHECK_THREAD(dummies, THREAD_REFERENCES, "((5)(1)(2)(3)(4))");
}
END_TEST

START_TEST(test_broken_references)
{
    static const struct mail circle[] = {
        { "Message-ID: <1@x>\nReferences: <2@x>\n", 1 },
        { "Message-ID: <2@x>\nReferences: <3@x>\n", 2 },
        { "Message-ID: <3@x>\nReferences: <1@x>\n", 3 },
    };
    static const struct mail self[] = {
        { "Message-ID: <1@x>\nReferences: <1@x> <1@x>\n", 1 },
        { "Message-ID: <1@x>\nReferences: <1@x>\n", 2 },
        { "References: junk < > <a@\n", 3 },
    };

    CHECK_THREAD(circle, THREAD_REFS, "(3 2 1)");
    CHECK_THREAD(self, THREAD_REFS, "(1 2)(3)");
}
END_TEST

/* Long chains cost neither stack nor time. */
START_TEST(test_long_chain)
{
    enum { COUNT = 20000 };
    struct buf header = BUF_INITIALIZER, got = BUF_INITIALIZER;
    struct world w;

    world_init(&w, COUNT);
    for (int i = 0; i < COUNT; i++) {
        buf_reset(&header);
        buf_printf(&header, "Message-ID: <%d@x>\nReferences: <%d@x>\n", i, i ? i - 1 : COUNT - 1);
        add_mail(&w, (size_t)i, buf_cstring(&header), COUNT - i);
    }
    thread(&w, THREAD_REFERENCES, true, &got);
    ck_assert_int_eq(buf_cstring(&got)[0], '(');
    ck_assert_uint_eq(buf_replace_char(&got, ' ', '_'), COUNT - 1);
    ck_assert_int_eq(got.s[got.len - 1], ')');
    ck_assert_ptr_null(memchr(got.s + 1, '(', got.len - 1));
    world_fini(&w);
    buf_free(&header);
    buf_free(&got);
}
END_TEST

START_TEST(test_nothing)
{
    struct buf got = BUF_INITIALIZER;
    struct world w;

    world_init(&w, 0);
    for (int a = THREAD_ORDEREDSUBJECT; a < THREAD_UNKNOWN; a++) {
        thread(&w, (enum thread_algorithm)a, false, &got);
        ck_assert_str_eq(buf_cstring(&got), "");
    }
    ck_assert_int_eq(thread_algorithm_lookup("references"), THREAD_REFERENCES);
    ck_assert_int_eq(thread_algorithm_lookup("FOO"), THREAD_UNKNOWN);
    world_fini(&w);
    buf_free(&got);
}
END_TEST

/* ---- SORT ---- */

static const struct mail sort_mails[] = {
    { "From: Zoe <bob@x>\nTo: b@x\nSubject: Re: beta\nX-Spam-score: 2.5\n", 3 },
    { "From: anna@y\nTo: Anna <a@x>\nSubject: [list] =?utf-8?q?=C3=84pfel?=\nX-Spam-score: 10\n",
      1 },
    { "From: =?utf-8?q?=C3=A4nne?= <Carl@x>\nCc: c@x\nSubject: Beta\n", 2 },
};

static const struct search_syntax syntax = { .conversations = false };

static void sort(struct world *w, const char *criteria, struct buf *dst)
{
    struct buf error = BUF_INITIALIZER, text = BUF_INITIALIZER;
    struct sort_criteria *crit = NULL;
    struct sorted_message *sorted;
    struct search_sorter *sorter;
    struct protstream *in;
    size_t n;

    buf_printf(&text, "%s UTF-8", criteria);
    in = prot_readmap(text.s, text.len);
    buf_reset(dst);
    if (sort_criteria_parse(in, NULL, &syntax, &crit, &error) != ' ') {
        ck_assert_ptr_null(crit);
        buf_append(dst, &error);
    }
    else {
        sorter = search_sorter_new(crit, &w->source);
        for (size_t i = 0; i < w->n; i++) search_sorter_add(sorter, &w->rec[i], &w->msg[i]);
        sorted = search_sorter_finish(sorter, &n);
        ck_assert_uint_eq(n, w->n);
        for (size_t i = 0; i < n; i++) {
            ck_assert_uint_eq(sorted[i].uid, sorted[i].msgno + 100);
            buf_printf(dst, "%s%u", i ? " " : "", sorted[i].msgno);
        }
        free(sorted);
        search_sorter_free(&sorter);
    }
    sort_criteria_free(&crit);
    prot_free(in);
    buf_free(&text);
    buf_free(&error);
}

START_TEST(test_sort)
{
    static const struct {
        const char *criteria, *want;
    } cases[] = {
        { "(DATE)", "2 3 1" },
        { "(REVERSE DATE)", "1 3 2" },
        { "(arrival)", "1 2 3" },
        { "(SIZE)", "3 2 1" },
        { "(SUBJECT)", "2 1 3" },
        { "(SUBJECT REVERSE DATE)", "2 1 3" },
        { "(SUBJECT DATE)", "2 3 1" },
        { "(FROM)", "2 1 3" },
        { "(DISPLAYFROM)", "2 3 1" },
        { "(TO)", "3 2 1" },
        { "(DISPLAYTO)", "3 2 1" },
        { "(CC)", "1 2 3" },
        { "(REVERSE CC)", "3 1 2" },
        { "(MODSEQ)", "3 2 1" },
        { "(REVERSE UID)", "3 2 1" },
        { "(HASFLAG \\Flagged)", "1 3 2" },
        { "(HASFLAG junk)", "2 3 1" },
        { "(HASFLAG nosuch REVERSE UID)", "3 2 1" },
        { "(ANNOTATION /comment value.shared)", "2 3 1" },
        { "(ANNOTATION /comment value.priv)", "1 2 3" },
        { "(SPAMSCORE)", "3 1 2" },
        { "(RELEVANCY FOLDER)", "1 2 3" },
        { "(FOO)", "Invalid Sort criterion foo" },
        { "(CONVSIZE)", "Invalid Sort criterion convsize" },
        { "()", "Missing Sort criteria" },
        { "DATE", "Missing Sort criteria" },
        { "(REVERSE)", "Missing Sort criterion to reverse" },
        { "(DATE\r\n", "Missing close parenthesis in Sort" },
        { "(HASFLAG)", "Invalid Sort criterion hasflag" },
        { "(ANNOTATION /comment foo)", "Invalid Sort criterion annotation" },
    };
    struct buf got = BUF_INITIALIZER;
    struct world w;

    world_init(&w, array_size(sort_mails));
    for (size_t i = 0; i < w.n; i++) add_mail(&w, i, sort_mails[i].header, sort_mails[i].date);
    w.msg[1].system_flags = FLAG_FLAGGED;
    w.msg[0].user_flags[0] = 1;
    for (size_t i = 0; i < array_size(cases); i++) {
        sort(&w, cases[i].criteria, &got);
        ck_assert_msg(!strcmp(buf_cstring(&got), cases[i].want), "%s gives %s, not %s",
                      cases[i].criteria, buf_cstring(&got), cases[i].want);
    }
    world_fini(&w);
    buf_free(&got);
}
END_TEST

Suite *thread_suite(void)
{
    Suite *s = suite_create("thread");
    TCase *tc = tcase_create("thread");

    tcase_set_timeout(tc, 20);
    tcase_add_test(tc, test_chain);
    tcase_add_test(tc, test_missing_messages);
    tcase_add_test(tc, test_subjects_merge);
    tcase_add_test(tc, test_broken_references);
    tcase_add_test(tc, test_long_chain);
    tcase_add_test(tc, test_nothing);
    tcase_add_test(tc, test_sort);
    suite_add_tcase(s, tc);
    return s;
}
