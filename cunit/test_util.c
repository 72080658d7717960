/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_util -- numbers at their limits, hex, letters, checksums, digests, uniqueids,
 * and memory that can't be had
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "crc32.h"
#include "digest.h"
#include "makeuuid.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"

START_TEST(test_numbers)
{
    uint32_t u32 = 7;
    uint64_t u64 = 7;
    int64_t i64 = 7;

    static const char *const bad[] = { "", " 1", "1 ", "+1", "-", "--1", "0x1", "1.0", "a", "-1a", "99999999999999999999x" };
    for (size_t i = 0; i < array_size(bad); i++) {
        ck_assert_int_eq(parse_u32_cstr(bad[i], &u32), -EINVAL);
        ck_assert_int_eq(parse_u64_cstr(bad[i], &u64), -EINVAL);
        ck_assert_int_eq(parse_i64_cstr(bad[i], &i64), -EINVAL);
    }
    ck_assert_int_eq(parse_u32_cstr("-1", &u32), -EINVAL);
    ck_assert_int_eq(parse_u32_cstr("4294967296", &u32), -ERANGE);
    ck_assert_int_eq(parse_u64_cstr("18446744073709551616", &u64), -ERANGE);
    ck_assert_int_eq(parse_u64_cstr("99999999999999999999", &u64), -ERANGE);
    ck_assert_int_eq(parse_i64_cstr("9223372036854775808", &i64), -ERANGE);
    ck_assert_int_eq(parse_i64_cstr("-9223372036854775809", &i64), -ERANGE);
    ck_assert(u32 == 7 && u64 == 7 && i64 == 7);

    ck_assert_int_eq(parse_u32_cstr("4294967295", &u32), 0);
    ck_assert_uint_eq(u32, UINT32_MAX);
    ck_assert_int_eq(parse_u32_cstr("0000000000000000000000", &u32), 0);
    ck_assert_uint_eq(u32, 0);
    ck_assert_int_eq(parse_u64_cstr("18446744073709551615", &u64), 0);
    ck_assert_uint_eq(u64, UINT64_MAX);
    ck_assert_int_eq(parse_i64_cstr("-9223372036854775808", &i64), 0);
    ck_assert_int_eq(i64, INT64_MIN);
    ck_assert_int_eq(parse_i64_cstr("9223372036854775807", &i64), 0);
    ck_assert_int_eq(i64, INT64_MAX);
    ck_assert_int_eq(parse_u32("123456", 3, &u32), 0);
    ck_assert_uint_eq(u32, 123);

    const char text[] = "42,9999999999", *p = text, *end = text + strlen(text);
    ck_assert_int_eq(scan_u32(&p, end, &u32), 0);
    ck_assert_uint_eq(u32, 42);
    ck_assert_ptr_eq(p, text + 2);
    ck_assert_int_eq(scan_u32(&p, end, &u32), -EINVAL);
    p++;
    ck_assert_int_eq(scan_u32(&p, end, &u32), -ERANGE);
    ck_assert_ptr_eq(p, text + 3);
    ck_assert_int_eq(scan_u64(&p, end, &u64), 0);
    ck_assert_uint_eq(u64, 9999999999);
    ck_assert_ptr_eq(p, end);
    ck_assert_int_eq(scan_u64(&p, end, &u64), -EINVAL);

    ck_assert_int_eq(parse_hex64("00ffFFffffffffff", 16, &u64), 0);
    ck_assert_uint_eq(u64, 0x00ffffffffffffffULL);
    ck_assert_int_eq(parse_hex64("00000000000000001", 17, &u64), -ERANGE);
    ck_assert_int_eq(parse_hex64("0g", 2, &u64), -EINVAL);
    ck_assert_int_eq(parse_hex64("", 0, &u64), -EINVAL);
}
END_TEST

START_TEST(test_bytes)
{
    unsigned char b[9] = { 0 };
    char hex[19];

    put_be64(b + 1, 0x0102030405060708ULL); /* unaligned */
    test_assert_hex_eq(b, 9, "00 0102030405060708");
    ck_assert_uint_eq(get_be64(b + 1), 0x0102030405060708ULL);
    ck_assert_uint_eq(get_be32(b + 5), 0x05060708);
    put_be32(b, 0xfffefdfc);
    ck_assert_uint_eq(get_be32(b), 0xfffefdfc);
    put_be16(b + 3, 0x8001);
    ck_assert_uint_eq(get_be16(b + 3), 0x8001);
    bin_to_hex(b, 5, hex);
    ck_assert_str_eq(hex, "fffefd8001");
    memset(b, 0, sizeof(b));
    ck_assert_int_eq(hex_to_bin("FFfe00", 6, b), 0);
    test_assert_hex_eq(b, 4, "fffe0000");
    ck_assert_int_eq(hex_to_bin("fff", 3, b), -EINVAL);
    ck_assert_int_eq(hex_to_bin("f ", 2, b), -EINVAL);

    ck_assert(ct_equal("abc", "abc", 3));
    ck_assert(!ct_equal("abc", "abd", 3));
    ck_assert(!ct_equal("\x80", "\x00", 1));
    ck_assert(ct_equal("a", "b", 0));
    secure_zero(b, 3);
    test_assert_hex_eq(b, 3, "000000");
    ck_assert_int_lt(memcmp_len("ab", 2, "abc", 3), 0);
    ck_assert_int_gt(memcmp_len("b", 1, "abc", 3), 0);
    ck_assert_int_gt(memcmp_len("\xff", 1, "a", 1), 0);
    ck_assert_int_eq(memcmp_len(NULL, 0, NULL, 0), 0);
}
END_TEST

START_TEST(test_letters)
{
    char s[] = "AbZ[`{\xc4 09";

    ck_assert_str_eq(lcase(s), "abz[`{\xc4 09");
    ck_assert_str_eq(ucase(s), "ABZ[`{\xc4 09");
    ck_assert_int_eq(cyr_strcasecmp("INBOX", "inbox"), 0);
    ck_assert_int_lt(cyr_strcasecmp("a", "B"), 0);
    ck_assert_int_gt(cyr_strcasecmp("ab", "A"), 0);
    ck_assert_int_eq(cyr_strncasecmp("inboxes", "INBOX", 5), 0);
    ck_assert_int_ne(cyr_strcasecmp("\xe4", "\xc4"), 0);
    ck_assert(memcaseeq("aB", 2, "Ab", 2));
    ck_assert(!memcaseeq("aB", 2, "Ab ", 3));
    ck_assert_int_eq(strcmpnull(NULL, NULL), 0);
    ck_assert_int_lt(strcmpnull(NULL, ""), 0);
    ck_assert_int_gt(strcmpnull("", NULL), 0);
    ck_assert(strstarts("user.x", "user."));
    ck_assert(!strstarts("use", "user."));
    for (int c = 0; c < 256; c++) {
        ck_assert_int_eq(cyr_isspace((char)c), c == ' ' || (c >= 9 && c <= 13));
        ck_assert_int_eq(hexval((char)c) >= 0, c && strchr("0123456789abcdefABCDEF", c) != NULL);
    }
    static const char *const on[] = { "1", "t", "yes", "ON", "True", "y" };
    static const char *const off[] = { "0", "f", "no", "Off", "FALSE", "n" };
    for (size_t i = 0; i < 6; i++) {
        ck_assert_int_eq(parse_switch(on[i]), 1);
        ck_assert_int_eq(parse_switch(off[i]), 0);
    }
    ck_assert_int_eq(parse_switch(""), -1);
    ck_assert_int_eq(parse_switch("maybe"), -1);
    ck_assert_int_eq(parse_switch("yes "), -1);
}
END_TEST

START_TEST(test_crc32)
{
    struct iovec iov[3] = { { (void *)(uintptr_t)"1234", 4 }, { NULL, 0 }, { (void *)(uintptr_t)"56789", 5 } };
    struct buf b;

    ck_assert_uint_eq(crc32_cstring("123456789"), 0xcbf43926);
    ck_assert_uint_eq(crc32_map(NULL, 0), 0);
    ck_assert_uint_eq(crc32_iovec(iov, 3), 0xcbf43926);
    ck_assert_uint_eq(crc32_update(crc32_cstring("123"), "456789", 6), 0xcbf43926);
    ck_assert_uint_eq(crc32_update(0x1234, NULL, 0), 0x1234);
    buf_init_ro(&b, "\0", 1);
    ck_assert_uint_eq(crc32_buf(&b), 0xd202ef8d);
}
END_TEST

START_TEST(test_digest)
{
    static const struct { enum digest_kind kind; const char *empty, *abc; } rows[] = {
        { DIGEST_MD5, "d41d8cd98f00b204e9800998ecf8427e", "900150983cd24fb0d6963f7d28e17f72" },
        { DIGEST_SHA1, "da39a3ee5e6b4b0d3255bfef95601890afd80709", "a9993e364706816aba3e25717850c26c9cd0d89d" },
        { DIGEST_SHA256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    };
    static void (*const whole[])(const void *, size_t, unsigned char *) = { digest_md5, digest_sha1, digest_sha256 };
    unsigned char out[32];

    for (size_t i = 0; i < array_size(rows); i++) {
        size_t size = digest_size(rows[i].kind);
        whole[i](NULL, 0, out);
        test_assert_hex_eq(out, size, rows[i].empty);
        whole[i]("abc", 3, out);
        test_assert_hex_eq(out, size, rows[i].abc);
        struct digest *d = digest_new(rows[i].kind);
        for (int again = 0; again < 2; again++) {
            digest_update(d, "a", 1);
            digest_update(d, NULL, 0);
            digest_update(d, "bc", 2);
            digest_final(d, out);
            test_assert_hex_eq(out, size, rows[i].abc);
        }
        digest_final(d, out);
        test_assert_hex_eq(out, size, rows[i].empty);
        digest_free(d);
    }
    digest_free(NULL);
}
END_TEST

START_TEST(test_uuid)
{
    char id[MAKEUUID_LEN], other[MAKEUUID_LEN], s[UNIQUEID_SHORT_LEN], letter[2] = "";
    bool seen[256] = { false };

    for (int i = 0; i < 200; i++) {
        makeuuid(id);
        ck_assert_uint_eq(strlen(id), 36);
        ck_assert(uuid_isvalid(id));
        ck_assert(uniqueid_isvalid(id));
        ck_assert_int_eq(id[14], '4');
        ck_assert_ptr_nonnull(strchr("89ab", id[19]));
        ck_assert_str_ne(id, makeuuid(other));
        ck_assert_str_eq(lcase(makeuuid(other)), other);
        makeuniqueid_short(s);
        ck_assert_uint_eq(strlen(s), 24);
        ck_assert_uint_eq(strspn(s, "0123456789abcdefghijklmnopqrstuvwxyz"), 24);
        for (char *p = s; *p; p++) seen[(unsigned char)*p] = true;
    }
    for (char c = 'a'; c <= 'z'; c++) {
        letter[0] = c;
        ck_assert_msg(seen[(unsigned char)c], "no %s in 4800 letters", letter);
    }
    char *dup = makeuuid_dup();
    ck_assert(uuid_isvalid(dup));
    free(dup);
    ck_assert(uniqueid_isvalid("j9ccchv36p2b70ujdctclhak"));
    ck_assert(uniqueid_isvalid("0123456789abcdef"));
    static const char *const bad[] = { "", "a", "../../etc", ".ab", "a/b", "a b", "a\n", "{3}", "a\xc3\xa4" };
    for (size_t i = 0; i < array_size(bad); i++) ck_assert(!uniqueid_isvalid(bad[i]));
    ck_assert(!uuid_isvalid("j9ccchv36p2b70ujdctclhak"));
    ck_assert(!uuid_isvalid("6ba7b810-9dad-11d1-80b4-00c04fd430cg"));
    ck_assert(uuid_isvalid("6BA7B810-9dad-11d1-80b4-00c04fd430c8"));
}
END_TEST

/* Forked copies of one process don't repeat each other. */
START_TEST(test_uuid_fork)
{
    char id[2][MAKEUUID_LEN];
    int fds[2];

    makeuuid(id[0]);
    ck_assert_int_eq(pipe(fds), 0);
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (!pid) {
            makeuuid(id[0]);
            _exit(write(fds[1], id[0], MAKEUUID_LEN) != MAKEUUID_LEN);
        }
        waitpid(pid, NULL, 0);
    }
    ck_assert_int_eq(read(fds[0], id, sizeof(id)), sizeof(id));
    ck_assert_str_ne(id[0], id[1]);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

#define MANY_PROCESSES 1000u
#define IDS_EACH 1000u

static int cmp_ids(const void *a, const void *b)
{
    return memcmp(a, b, MAKEUUID_LEN);
}

/*
 * A million ids by a thousand processes that are copies of this one, which has made ids before: a generator with a state
 * would repeat itself. Clock and pid play no part, so faking them would change nothing.
 */
START_TEST(test_uuid_million)
{
    const size_t total = (size_t)MANY_PROCESSES * IDS_EACH;
    char(*ids)[MAKEUUID_LEN] = mmap(NULL, total * MAKEUUID_LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(ids, MAP_FAILED);
    makeuuid(ids[0]);

    for (unsigned started = 0, running = 0; started < MANY_PROCESSES || running;) {
        int status;
        if (started < MANY_PROCESSES && running < 50) {
            pid_t pid = fork();
            ck_assert_int_ge(pid, 0);
            if (!pid) {
                for (unsigned i = 0; i < IDS_EACH; i++) makeuuid(ids[started * IDS_EACH + i]);
                _exit(0);
            }
            started++, running++;
            continue;
        }
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_int_eq(status, 0);
        running--;
    }
    qsort(ids, total, MAKEUUID_LEN, cmp_ids);
    ck_assert(uuid_isvalid(ids[0]));
    for (size_t i = 1; i < total; i++) ck_assert_msg(cmp_ids(ids[i - 1], ids[i]) != 0, "%s was made twice", ids[i]);
    munmap(ids, total * MAKEUUID_LEN);
}
END_TEST

/* Runs fn in a child; its exit code. */
static int exit_code(void (*fn)(void))
{
    int status;
    pid_t pid = fork();

    if (!pid) {
        fn();
        _exit(0);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void cleanup(const char *message, int code)
{
    if (code == EX_CONFIG) fatal("again", EX_IOERR);
    if (!strcmp(message, "out of memory")) _exit(code == EX_TEMPFAIL ? 42 : 43);
}

/* A sanitizer turns the refusal itself into an error. */
#if defined(__SANITIZE_ADDRESS__)
static const bool sanitized = true;
#elif defined(__has_feature)
static const bool sanitized = __has_feature(address_sanitizer);
#else
static const bool sanitized = false;
#endif

/* Sizes the compiler must not see through. */
static volatile size_t too_large = PTRDIFF_MAX;

static void too_much(void)
{
    fatal_set_cleanup(cleanup);
    free(xmalloc(too_large));
}
static void product(void)
{
    free(xcalloc(too_large, 3));
}
static void product2(void)
{
    free(xreallocarray(NULL, too_large, 3));
}
static void growth(void)
{
    grow_alloc(16, SIZE_MAX - 1);
}
static void huge_buf(void)
{
    struct buf b = BUF_INITIALIZER;
    buf_setcstr(&b, "x");
    buf_ensure(&b, SIZE_MAX - 1);
}
static void plain_fatal(void)
{
    fatal("done", EX_DATAERR);
}
static void fatal_in_cleanup(void)
{
    fatal_set_cleanup(cleanup);
    fatal("x", EX_CONFIG);
}

START_TEST(test_fatal)
{
    if (!sanitized) {
        ck_assert_int_eq(exit_code(too_much), 42);
        ck_assert_int_eq(exit_code(product), EX_TEMPFAIL);
        ck_assert_int_eq(exit_code(product2), EX_TEMPFAIL);
    }
    ck_assert_int_eq(exit_code(growth), EX_TEMPFAIL);
    ck_assert_int_eq(exit_code(huge_buf), EX_TEMPFAIL);
    ck_assert_int_eq(exit_code(plain_fatal), EX_DATAERR);
    ck_assert_int_eq(exit_code(fatal_in_cleanup), EX_IOERR);
}
END_TEST

START_TEST(test_memory)
{
    char *s = xzrealloc(NULL, 0, 4);

    test_assert_hex_eq(s, 4, "00000000");
    memset(s, 'a', 4);
    s = xzrealloc(s, 4, 8);
    test_assert_hex_eq(s, 8, "6161616100000000");
    xzfree(s);
    ck_assert_ptr_null(s);
    ck_assert_ptr_null(xstrdupnull(NULL));
    s = xmemdup("a\0b", 3);
    test_assert_hex_eq(s, 4, "61006200");
    free(s);
    s = xstrndup("abc", 2);
    ck_assert_str_eq(s, "ab");
    free(s);
    free(xmalloc(0));
    free(xcalloc(0, 5));
    free(xrealloc(NULL, 0));
    ck_assert_uint_eq(grow_alloc(0, 0), 16);
    ck_assert_uint_eq(grow_alloc(16, 17), 32);
    ck_assert_uint_eq(grow_alloc(16, 1000), 1024);
    ck_assert_uint_eq(grow_alloc(100, 50), 100);
}
END_TEST

Suite *util_suite(void)
{
    Suite *s = suite_create("util");
    TCase *tc = tcase_create("util");

    tcase_add_test(tc, test_numbers);
    tcase_add_test(tc, test_bytes);
    tcase_add_test(tc, test_letters);
    tcase_add_test(tc, test_crc32);
    tcase_add_test(tc, test_digest);
    tcase_add_test(tc, test_uuid);
    tcase_add_test(tc, test_uuid_fork);
    tcase_add_test(tc, test_uuid_million);
    tcase_add_test(tc, test_fatal);
    tcase_add_test(tc, test_memory);
    suite_add_tcase(s, tc);
    return s;
}
