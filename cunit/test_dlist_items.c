/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Items of a long list handed over one by one: whatever the text, what comes is what the tree would
 * hold, with the same errors and limits, and the stream stays usable.
 */
#include <config.h>

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "dlist.h"
#include "imap_err.h"
#include "prot.h"
#include "testutil.h"
#include "util.h"

Suite *dlist_items_suite(void);

/* ---- both readers ---- */

struct taken {
    struct dlist *list; /* what was handed over */
    size_t n;
};

static void take(void *rock, struct dlist **itemp)
{
    struct taken *taken = rock;

    ck_assert_ptr_null((*itemp)->next);
    dlist_stitch(taken->list, *itemp);
    *itemp = NULL;
    taken->n++;
}

/* The list where they would stand in the tree. */
static struct dlist *place_of(struct dlist *dl)
{
    struct dlist *at = NULL;

    return dl && dl->type == DL_KVLIST && dlist_getlist(dl, "RECORD", &at) ? at : NULL;
}

static void put_back(struct dlist *dl, struct taken *taken)
{
    struct dlist *at = place_of(dl);

    if (taken->n) ck_assert_ptr_nonnull(at);
    if (at) ck_assert_ptr_null(at->head);
    while (taken->list->head) {
        struct dlist *item = taken->list->head;
        dlist_unstitch(taken->list, item);
        dlist_stitch(at, item);
    }
}

/* Reads a line from either stream; they must agree. The tree's result. */
static int compare(struct protstream *one, struct protstream *two, struct dlist_parseopts opts,
                   size_t *takenp)
{
    struct taken taken = { dlist_newlist(NULL, NULL), 0 };
    struct dlist_itemsink items = { "RECORD", take, &taken };
    struct dlist *tree, *rest;
    struct buf a = BUF_INITIALIZER, b = BUF_INITIALIZER;
    int r = dlist_parseline(one, &opts, &tree);

    opts.items = &items;
    ck_assert_int_eq(dlist_parseline(two, &opts, &rest), r);
    if (!r) {
        put_back(rest, &taken);
        dlist_printbuf(tree, true, &a);
        dlist_printbuf(rest, true, &b);
        ck_assert_str_eq(buf_cstring(&a), buf_cstring(&b));
        dlist_free(&tree);
        dlist_free(&rest);
    }
    ck_assert_int_eq(prot_getc(one), prot_getc(two)); /* they stand at the same byte */
    dlist_free(&taken.list);
    buf_free(&a);
    buf_free(&b);
    if (takenp) *takenp = taken.n;
    return r;
}

static int compare_text(const char *base, size_t len, struct dlist_parseopts opts, size_t *takenp)
{
    struct protstream *one = prot_readmap(base, len), *two = prot_readmap(base, len);
    int r = compare(one, two, opts, takenp);

    prot_free(one);
    prot_free(two);
    return r;
}

/* A stream that gets the first `split` bytes by one read and the rest by another. */
static struct protstream *in_two_reads(const char *base, size_t len, size_t split, int *fd)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    if (split) ck_assert_int_eq(write(fds[1], base, split), (ssize_t)split);
    if (split < len) ck_assert_int_eq(write(fds[1], base + split, len - split), (ssize_t)(len - split));
    close(fds[1]);
    *fd = fds[0];
    return prot_new(fds[0], false);
}

/* ---- texts ---- */

#define REC(n) "%(UID " #n " FLAGS (\\Seen \"k w\") GUID {5}\r\n(" #n "\r\n) X NIL)"

static const struct row {
    const char *text;
    int r;
    size_t n; /* items handed over */
} rows[] = {
    { "MAILBOX %(A 1 B (x y) RECORD (" REC(1) " " REC(2) " " REC(3) "))\r\n", 0, 3 },
    { "MAILBOX %(RECORD (" REC(1) " " REC(2) ") A 1 B (x y))\r\n", 0, 2 },
    { "MAILBOX %(A 1 RECORD  (  " REC(1) "\t" REC(2) "  )  B (x))  \r\n", 0, 2 },
    { "MAILBOX %(A 1 RECORD () B 2)\r\n", 0, 0 },
    { "MAILBOX %(A 1 B 2)\r\n", 0, 0 },
    { "MAILBOX %(RECORD (a (b c) NIL %(d e) \"\" {0+}\r\n))\r\n", 0, 6 },
    { "MAILBOX %(RECORD %(a 1 b (2 3)))\r\n", 0, 2 },
    { "MAILBOX %(\"RECORD\" (a) )\r\n", 0, 1 },
    { "MAILBOX %({6}\r\nRECORD (a) )\r\n", 0, 1 },
    { "MAILBOX %(record (a))\r\n", 0, 0 },
    /* the first of that name counts, whatever it is */
    { "MAILBOX %(RECORD (a b) RECORD (c))\r\n", 0, 2 },
    { "MAILBOX %(RECORD NIL RECORD (c))\r\n", 0, 0 },
    { "MAILBOX %(RECORD x RECORD (c))\r\n", 0, 0 },
    /* of the outermost kvlist only */
    { "MAILBOX (RECORD (a b))\r\n", 0, 0 },
    { "MAILBOX (%(RECORD (a b)))\r\n", 0, 0 },
    { "MAILBOX %(A %(RECORD (a b)))\r\n", 0, 0 },
    { "MAILBOX %(A %(RECORD (a b)) RECORD (c))\r\n", 0, 1 },
    { "MAILBOX %(RECORD (%(RECORD (a b)) c))\r\n", 0, 2 },
    { "RECORD (a b)\r\n", 0, 0 },
    { "RECORD %(RECORD (a b))\r\n", 0, 2 },
    /* no dlist: what came before the fault was handed over */
    { "MAILBOX %(RECORD (a b) c)\r\n", IMAP_PROTOCOL_ERROR, 2 },
    { "MAILBOX %(RECORD (a %b c))\r\n", IMAP_PROTOCOL_ERROR, 1 },
    { "MAILBOX %(RECORD (a %(b) c))\r\n", IMAP_PROTOCOL_ERROR, 1 },
    { "MAILBOX %(RECORD (a \"b\r\n", IMAP_PROTOCOL_ERROR, 1 },
    { "MAILBOX %(RECORD (a {3}\r\nb)) c)) d\r\n", IMAP_PROTOCOL_ERROR, 3 },
    { "MAILBOX %(RECORD (a) (b))\r\n", IMAP_PROTOCOL_ERROR, 1 },
    { "MAILBOX %(RECORD (a)) b\r\n", IMAP_PROTOCOL_ERROR, 1 },
    { "MAILBOX %(RECORD (a\r\n", IMAP_PROTOCOL_ERROR, 1 },
    { "MAILBOX %(RECORD (a {99999999999}\r\n", IMAP_IOERROR, 1 },
    { "MAILBOX %(RECORD (a %{p 6b6b 3}\r\nxyz b))\r\n", IMAP_PROTOCOL_ERROR, 1 },
    { "MAILBOX %(RECORD (a (((((((b)))))))\r\n", IMAP_PROTOCOL_ERROR, 1 },
};

START_TEST(same_as_the_tree)
{
    const struct row *row = &rows[_i];
    struct dlist_parseopts opts = { .parsekeys = true, .maxdepth = 6 };
    size_t n;

    ck_assert_msg(compare_text(row->text, strlen(row->text), opts, &n) == row->r, "%s", row->text);
    ck_assert_msg(n == row->n, "%s: %zu", row->text, n);
}
END_TEST

/* A second line follows, so that both must be behind the first in the end. */
START_TEST(split_and_truncated_at_every_byte)
{
    struct dlist_parseopts opts = { .parsekeys = true, .maxdepth = 6 };
    struct buf text = BUF_INITIALIZER;

    buf_setcstr(&text, rows[_i].text);
    buf_appendcstr(&text, "NEXT 1\r\n");
    for (size_t at = 0; at <= text.len; at++) {
        int fd;
        struct protstream *one = prot_readmap(text.s, text.len);
        struct protstream *two = in_two_reads(text.s, text.len, at, &fd);
        ck_assert_int_eq(compare(one, two, opts, NULL), rows[_i].r);
        prot_free(one);
        prot_free(two);
        close(fd);
        compare_text(text.s, at, opts, NULL);
    }
    buf_free(&text);
}
END_TEST

/* Each limit strikes at the same place for both; memory is not what counts. */
START_TEST(limits)
{
    struct buf text = BUF_INITIALIZER;
    size_t passed = 0;

    buf_setcstr(&text, "MAILBOX %(A b RECORD (");
    for (int i = 0; i < 50; i++) buf_appendcstr(&text, REC(1) " (a (b (c))) ");
    buf_appendcstr(&text, "))\r\n");
    for (size_t max = 1; max < 80000; max += 97) {
        struct dlist_parseopts opts = { .parsekeys = true, .maxbytes = max };
        if (!compare_text(text.s, text.len, opts, NULL)) passed++;
    }
    ck_assert_uint_gt(passed, 1);
    for (size_t max = 1; max < 12; max++) {
        struct dlist_parseopts opts = { .parsekeys = true, .maxliteral = max };
        ck_assert_int_eq(compare_text(text.s, text.len, opts, NULL),
                         max < 7 ? IMAP_PROTOCOL_ERROR : 0);
    }
    for (unsigned max = 1; max < 8; max++) {
        struct dlist_parseopts opts = { .parsekeys = true, .maxdepth = max };
        ck_assert_int_eq(compare_text(text.s, text.len, opts, NULL),
                         max < 5 ? IMAP_PROTOCOL_ERROR : 0);
    }
    buf_free(&text);
}
END_TEST

/* What the taker leaves is freed, what it keeps is whole and its own. */
static void keep_second(void *rock, struct dlist **itemp)
{
    struct taken *taken = rock;

    if (taken->n++ != 1) return;
    taken->list = *itemp;
    *itemp = NULL;
}

START_TEST(keeping)
{
    struct taken taken = { NULL, 0 };
    struct dlist_itemsink items = { "RECORD", keep_second, &taken };
    struct dlist_parseopts opts = { .parsekeys = true, .items = &items };
    struct protstream *in = prot_readmap(rows[0].text, strlen(rows[0].text));
    struct dlist *dl;
    uint32_t uid;

    ck_assert_int_eq(dlist_parseline(in, &opts, &dl), 0);
    dlist_free(&dl);
    prot_free(in);
    ck_assert_uint_eq(taken.n, 3);
    ck_assert(dlist_getnum32(taken.list, "UID", &uid));
    ck_assert_uint_eq(uid, 2);
    dlist_free(&taken.list);
}
END_TEST

Suite *dlist_items_suite(void)
{
    Suite *s = suite_create("dlist_items");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, same_as_the_tree, 0, array_size(rows));
    tcase_add_loop_test(tc, split_and_truncated_at_every_byte, 0, array_size(rows));
    tcase_add_test(tc, limits);
    tcase_add_test(tc, keeping);
    suite_add_tcase(s, tc);
    return s;
}
