/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_times -- dates in and out, against the C library's calendar and the RFCs'
 * examples
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "testutil.h"
#include "times.h"

static void set_zone(const char *tz)
{
    setenv("TZ", tz, 1);
    tzset();
}

/* A zone that is set stays; otherwise the C library is kept from looking at its file again and again. */
START_TEST(test_keep_zone)
{
    time_t t = 1644224462;
    struct tm before, after;

    unsetenv("TZ");
    tzset();
    localtime_r(&t, &before);
    times_keep_zone();
    ck_assert_str_eq(getenv("TZ"), ":/etc/localtime");
    tzset();
    localtime_r(&t, &after);
    ck_assert_int_eq(before.tm_hour, after.tm_hour);
    setenv("TZ", "Asia/Kolkata", 1);
    times_keep_zone();
    ck_assert_str_eq(getenv("TZ"), "Asia/Kolkata");
}
END_TEST

START_TEST(test_calendar)
{
    static const time_t ends[] = { 0, -1, 951782400, 951868799, 4107542399, -62167219200, 253402300799 };
    struct tm mine, libc;
    time_t t, back;

    srandom(2);
    for (size_t i = 0; i < 4000; i++) {
        if (i < sizeof(ends) / sizeof(ends[0]))
            t = ends[i];
        else
            t = (time_t)(((uint64_t)random() << 31 | (uint64_t)random()) % 315569520000ULL) - 62167219200;
        ck_assert_ptr_nonnull(gmtime_r(&t, &libc));
        gmtime_safe(t, &mine);
        ck_assert_int_eq(mine.tm_year, libc.tm_year);
        ck_assert_int_eq(mine.tm_mon, libc.tm_mon);
        ck_assert_int_eq(mine.tm_mday, libc.tm_mday);
        ck_assert_int_eq(mine.tm_hour, libc.tm_hour);
        ck_assert_int_eq(mine.tm_min, libc.tm_min);
        ck_assert_int_eq(mine.tm_sec, libc.tm_sec);
        ck_assert_int_eq(mine.tm_wday, libc.tm_wday);
        ck_assert_int_eq(mine.tm_yday, libc.tm_yday);
        ck_assert_int_eq(timegm_safe(&mine, &back), 0);
        ck_assert_int_eq(back, t);
    }
    gmtime_safe(INT64_MAX, &mine);
    ck_assert_int_eq(mine.tm_year, 9999 - 1900);
    gmtime_safe(INT64_MIN, &mine);
    ck_assert_int_eq(mine.tm_year, -1900);
    ck_assert_int_eq(mine.tm_mday, 1);
}
END_TEST

START_TEST(test_bad_fields)
{
    static const struct tm bad[] = {
        { .tm_year = 100, .tm_mon = 12, .tm_mday = 1 },
        { .tm_year = 100, .tm_mon = -1, .tm_mday = 1 },
        { .tm_year = 100, .tm_mon = 1, .tm_mday = 30 },
        { .tm_year = 101, .tm_mon = 1, .tm_mday = 29 },
        { .tm_year = 0, .tm_mon = 1, .tm_mday = 29 },
        { .tm_year = 100, .tm_mday = 0 },
        { .tm_year = 100, .tm_mday = 1, .tm_hour = 24 },
        { .tm_year = 100, .tm_mday = 1, .tm_min = 60 },
        { .tm_year = 100, .tm_mday = 1, .tm_sec = 61 },
        { .tm_year = 100, .tm_mday = 1, .tm_sec = -1 },
        { .tm_year = 8100, .tm_mday = 1 },
        { .tm_year = INT32_MAX, .tm_mday = 1 },
        { .tm_year = INT32_MIN, .tm_mday = 1 },
    };
    struct tm good = { .tm_year = 100, .tm_mon = 1, .tm_mday = 29 };
    time_t t = 42;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(timegm_safe(&bad[i], &t) == -EINVAL, "row %zu", i);
    ck_assert_int_eq(t, 42);
    ck_assert_int_eq(timegm_safe(&good, &t), 0);
    ck_assert_int_eq(t, 951782400);
}
END_TEST

START_TEST(test_writing)
{
    char out[64];

    set_zone("UTC");
    ck_assert_uint_eq(time_to_rfc3501(1644224462, out, sizeof(out)), 26);
    ck_assert_str_eq(out, " 7-Feb-2022 09:01:02 +0000");
    time_to_rfc5322(1644224462, out, sizeof(out));
    ck_assert_str_eq(out, "Mon, 07 Feb 2022 09:01:02 +0000");
    ck_assert_uint_eq(time_to_rfc3339(1644224462, out, sizeof(out)), 20);
    ck_assert_str_eq(out, "2022-02-07T09:01:02Z");

    set_zone("Asia/Kolkata");
    ck_assert_int_eq(gmtoff_of(1644224462), 19800);
    time_to_rfc3501(1644224462, out, sizeof(out));
    ck_assert_str_eq(out, " 7-Feb-2022 14:31:02 +0530");
    time_to_rfc5322(1644224462, out, sizeof(out));
    ck_assert_str_eq(out, "Mon, 07 Feb 2022 14:31:02 +0530");
    /* Summer and winter of one zone. */
    set_zone("America/New_York");
    time_to_rfc3501(1644224462, out, sizeof(out));
    ck_assert_str_eq(out, " 7-Feb-2022 04:01:02 -0500");
    time_to_rfc3501(1657872000, out, sizeof(out));
    ck_assert_str_eq(out, "15-Jul-2022 04:00:00 -0400");

    time_to_rfc3501_zone(1644224462, -34200, out, sizeof(out));
    ck_assert_str_eq(out, " 6-Feb-2022 23:31:02 -0930");
    time_to_rfc5322_zone(0, 0, out, sizeof(out));
    ck_assert_str_eq(out, "Thu, 01 Jan 1970 00:00:00 +0000");
    time_to_rfc3501_zone(-1, 0, out, RFC3501_DATETIME_MAX);
    ck_assert_str_eq(out, "31-Dec-1969 23:59:59 +0000");
    ck_assert_uint_eq(time_to_rfc3501_zone(0, 0, out, 5), 4);
    ck_assert_str_eq(out, " 1-J");
}
END_TEST

struct row {
    const char *text;
    time_t t;
    int zone;
};
#define BAD (-999999999)

START_TEST(test_rfc3501)
{
    static const struct row rows[] = {
        { " 7-Feb-2022 09:01:02 +0000", 1644224462, 0 },
        { "07-Feb-2022 09:01:02 +0000", 1644224462, 0 },
        { "7-Feb-2022 09:01:02 +0000", 1644224462, 0 },
        { "17-JUL-1996 02:44:25 -0700", 837596665, -25200 },
        { "01-jan-1970 00:00:00 +0130", -5400, 5400 },
        { "29-Feb-2000 23:59:60 +0000", 951868800, 0 },
        { "  7-Feb-2022 09:01:02 +0000", BAD, 0 },
        { " 17-Feb-2022 09:01:02 +0000", BAD, 0 },
        { "007-Feb-2022 09:01:02 +0000", BAD, 0 },
        { "31-Jun-2022 09:01:02 +0000", BAD, 0 },
        { "29-Feb-2022 09:01:02 +0000", BAD, 0 },
        { "0-Feb-2022 09:01:02 +0000", BAD, 0 },
        { "7-Feb-22 09:01:02 +0000", BAD, 0 },
        { "7-Feb-20222 09:01:02 +0000", BAD, 0 },
        { "7-Feb-2022 9:01:02 +0000", BAD, 0 },
        { "7-Feb-2022 24:01:02 +0000", BAD, 0 },
        { "7-Feb-2022 09:01:02 +2400", BAD, 0 },
        { "7-Feb-2022 09:01:02 +0060", BAD, 0 },
        { "7-Feb-2022 09:01:02 0000", BAD, 0 },
        { "7-Feb-2022 09:01:02 +0000 ", BAD, 0 },
        { "7-Feb-2022 09:01:02", BAD, 0 },
        { "7-Fbe-2022 09:01:02 +0000", BAD, 0 },
        { "7 Feb 2022 09:01:02 +0000", BAD, 0 },
        { " ", BAD, 0 },
        { "", BAD, 0 },
    };
    time_t t;
    int zone;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int r = time_from_rfc3501(rows[i].text, strlen(rows[i].text), &t, &zone);
        ck_assert_msg(r == (rows[i].t == BAD ? -EINVAL : 0), "%s", rows[i].text);
        if (r) continue;
        ck_assert_int_eq(t, rows[i].t);
        ck_assert_int_eq(zone, rows[i].zone);
    }
    ck_assert_int_eq(time_from_rfc3501_date("1-Feb-2022", 10, &t), 0);
    ck_assert_int_eq(t, 1643673600);
    ck_assert_int_eq(time_from_rfc3501_date("01-Feb-2022", 11, &t), 0);
    ck_assert_int_eq(time_from_rfc3501_date("1-Feb-2022 ", 11, &t), -EINVAL);
    /* Every prefix of a good text is bad, and none is read beyond. */
    for (size_t n = 0; n < 26; n++) {
        char *part = strndup(rows[0].text, n);
        ck_assert_int_eq(time_from_rfc3501(part, n, &t, NULL), -EINVAL);
        free(part);
    }
}
END_TEST

START_TEST(test_rfc5322)
{
    static const struct row rows[] = {
        /* RFC 5322, appendix A */
        { "Fri, 21 Nov 1997 09:55:06 -0600", 880127706, -21600 },
        { "Tue, 1 Jul 2003 10:52:37 +0200", 1057049557, 7200 },
        { "Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)",
          -27723480, -12600 },
        { "21 Nov 97 09:55:06 GMT", 880106106, 0 },
        { "Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880127706, -21600 },
        /* zones */
        { "Mon, 7 Feb 2022 09:01:02 EST", 1644242462, -18000 },
        { "Mon, 7 Feb 2022 09:01:02 pdt", 1644249662, -25200 },
        { "Mon, 7 Feb 2022 09:01:02 Z", 1644224462, 0 },
        { "Mon, 7 Feb 2022 09:01:02", 1644224462, 0 },
        { "Mon, 7 Feb 2022 09:01:02 +02:00", 1644217262, 7200 },
        { "Mon, 7 Feb 2022 09:01:02 CEST", 1644224462, 0 },
        { "Mon, 7 Feb 2022 09:01:02 +9999", 1644224462, 0 },
        { "Mon, 7 Feb 2022 09:01:02 -0000 (UTC)", 1644224462, 0 },
        { "Mon, 7 Feb 2022 09:01:02 +0100 garbage 12", 1644220862, 3600 },
        /* years, forms */
        { "7 Feb 22 09:01:02 +0000", 1644224462, 0 },
        { "7 Feb 122 09:01:02 +0000", 1644224462, 0 },
        { "Monday, 07-Feb-94 21:52:25 GMT", 760657945, 0 },
        { "Mon Feb  7 21:52:25 1994", 760657945, 0 },
        { "Mon Feb  7 21:52:25 EST 1994", 760675945, -18000 },
        { "(a (nested \\) one)) Mon, 7 Feb 2022 9:01 (x)", 1644224460, 0 },
        { "7 February 2022 09:01:02.5 +0000", 1644224462, 0 },
        { "7 Feb 2022", 1644192000, 0 },
        { "Monday 7 Feb 2022 00:00:00 GMT", 1644192000, 0 },
        { "Sat, 31 Dec 2016 23:59:60 +0000", 1483228800, 0 },
        /* what is no date */
        { "", BAD, 0 },
        { "yesterday", BAD, 0 },
        { "Mon, 7 Feb", BAD, 0 },
        { "Mon, 7 2022 09:01:02", BAD, 0 },
        { "Mon, 32 Jan 2022 09:01:02 +0000", BAD, 0 },
        { "Mon, 7 Feb 2022 25:01:02 +0000", BAD, 0 },
        { "Mon, 7 Feb 2022 0901 +0000", BAD, 0 },
        { "Mon, 7 Feb 20222 09:01:02 +0000", BAD, 0 },
        { "Mon, 7 Feb 2 09:01:02 +0000", BAD, 0 },
        { "(unclosed 7 Feb 2022 09:01:02", BAD, 0 },
        { "2022-02-07T09:01:02Z", BAD, 0 },
    };
    time_t t;
    int zone;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int r = time_from_rfc5322(rows[i].text, strlen(rows[i].text), &t, &zone);
        ck_assert_msg(r == (rows[i].t == BAD ? -EINVAL : 0), "%s", rows[i].text);
        if (r) continue;
        ck_assert_msg(t == rows[i].t, "%s: %lld", rows[i].text, (long long)t);
        ck_assert_int_eq(zone, rows[i].zone);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t n = 0; n < strlen(rows[i].text); n++) {
            char *part = strndup(rows[i].text, n);
            time_from_rfc5322(part, n, &t, NULL);
            free(part);
        }
    }
}
END_TEST

START_TEST(test_round_trip)
{
    char out[64];
    time_t t, back;
    int zone;

    srandom(3);
    for (int i = 0; i < 1000; i++) {
        t = (time_t)(random() * 20 - 10000000000);
        int gmtoff = (int)(random() % 1440 - 720) * 60;
        size_t len = time_to_rfc3501_zone(t, gmtoff, out, sizeof(out));
        ck_assert_int_eq(time_from_rfc3501(out, len, &back, &zone), 0);
        ck_assert_int_eq(back, t);
        ck_assert_int_eq(zone, gmtoff);
        len = time_to_rfc5322_zone(t, gmtoff, out, sizeof(out));
        ck_assert_int_eq(time_from_rfc5322(out, len, &back, &zone), 0);
        ck_assert_int_eq(back, t);
        ck_assert_int_eq(zone, gmtoff);
        len = time_to_rfc3339(t, out, sizeof(out));
        ck_assert_int_eq(time_from_rfc3339(out, len, &back), 0);
        ck_assert_int_eq(back, t);
    }
}
END_TEST

START_TEST(test_rfc3339)
{
    static const struct row rows[] = {
        /* RFC 3339 §5.8 */
        { "1985-04-12T23:20:50.52Z", 482196050, 0 },
        { "1996-12-19T16:39:57-08:00", 851042397, 0 },
        { "1990-12-31T23:59:60Z", 662688000, 0 },
        { "1937-01-01T12:00:27.87+00:20", -1041337173, 0 },
        { "1985-04-12t23:20:50z", 482196050, 0 },
        { "1985-04-12T23:20:50", BAD, 0 },
        { "1985-04-12T23:20:50.Z", BAD, 0 },
        { "1985-13-12T23:20:50Z", BAD, 0 },
        { "1985-00-12T23:20:50Z", BAD, 0 },
        { "1985-04-12T23:20:50+0020", BAD, 0 },
        { "1985-04-12T23:20:50Zx", BAD, 0 },
        { "1985-4-12T23:20:50Z", BAD, 0 },
    };
    time_t t;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int r = time_from_rfc3339(rows[i].text, strlen(rows[i].text), &t);
        ck_assert_msg(r == (rows[i].t == BAD ? -EINVAL : 0), "%s", rows[i].text);
        if (!r) ck_assert_int_eq(t, rows[i].t);
    }
}
END_TEST

START_TEST(test_midnight)
{
    set_zone("UTC");
    ck_assert_int_eq(time_local_midnight(1644224462, 0), 1644192000);
    /* The day as written, 8 February east of Berlin, not the day in UTC. */
    ck_assert_int_eq(time_local_midnight(1644224462, 50400 + 3600), 1644278400);
    set_zone("Europe/Berlin");
    ck_assert_int_eq(time_local_midnight(1644224462, 0), 1644188400);
    ck_assert_int_eq(time_local_midnight(1657872000, 0), 1657836000);
}
END_TEST

START_TEST(test_clock)
{
    unsigned long long a = monotonic_ms();
    double b = monotonic_seconds();

    ck_assert(monotonic_ms() >= a);
    ck_assert(monotonic_seconds() >= b);
    ck_assert(b * 1000 + 1 >= (double)a);
}
END_TEST

Suite *times_suite(void)
{
    Suite *s = suite_create("times");
    TCase *tc = tcase_create("times");

    tcase_add_test(tc, test_keep_zone);
    tcase_add_test(tc, test_calendar);
    tcase_add_test(tc, test_bad_fields);
    tcase_add_test(tc, test_writing);
    tcase_add_test(tc, test_rfc3501);
    tcase_add_test(tc, test_rfc5322);
    tcase_add_test(tc, test_round_trip);
    tcase_add_test(tc, test_rfc3339);
    tcase_add_test(tc, test_midnight);
    tcase_add_test(tc, test_clock);
    suite_add_tcase(s, tc);
    return s;
}
