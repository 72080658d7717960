/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * times -- dates as mail writes them
 *
 * The calendar is the proleptic Gregorian one, computed here, so that no time_t and
 * no library can make a date fail; only the server's own zone is asked of the C
 * library. Readers bound every field before they use it: a day that its month does
 * not have is -EINVAL. A leap second (60) reads as the next second.
 */
#include <config.h>

#include "times.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
const char wday_names[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };

#define DAY 86400
#define TIME_MIN (-INT64_C(62167219200)) /* 0000-01-01 00:00:00 */
#define TIME_MAX INT64_C(253402300799)   /* 9999-12-31 23:59:59 */

/* -- calendars -- */

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int month_days(int year, int mon)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return days[mon] + (mon == 1 && is_leap(year));
}

/* Days from 1970-01-01 to January 1 of a year 0..10000. */
static int64_t days_to_year(int year)
{
    int64_t y = year, past = y - 1;

    if (y == 0) return -719528;
    return y * 365 + past / 4 - past / 100 + past / 400 - 719527;
}

void gmtime_safe(time_t t, struct tm *tm)
{
    int64_t secs = t < TIME_MIN ? TIME_MIN : t > TIME_MAX ? TIME_MAX : (int64_t)t;
    int64_t days = secs / DAY, rest = secs % DAY;

    if (rest < 0) {
        rest += DAY;
        days--;
    }
    memset(tm, 0, sizeof(*tm));
    tm->tm_hour = (int)(rest / 3600);
    tm->tm_min = (int)(rest / 60 % 60);
    tm->tm_sec = (int)(rest % 60);
    tm->tm_wday = (int)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */

    /* An estimate that is never too late and at most a year early. */
    int year = (int)((days + 719528) / 366);
    while (days_to_year(year + 1) <= days) year++;
    int yday = (int)(days - days_to_year(year)), mon = 0;
    tm->tm_year = year - 1900;
    tm->tm_yday = yday;
    while (yday >= month_days(year, mon)) yday -= month_days(year, mon++);
    tm->tm_mon = mon;
    tm->tm_mday = yday + 1;
    tm->tm_zone = "GMT";
}

int timegm_safe(const struct tm *tm, time_t *res)
{
    if (tm->tm_year < -1900 || tm->tm_year > 9999 - 1900) return -EINVAL;

    int year = tm->tm_year + 1900;
    if (tm->tm_mon < 0 || tm->tm_mon > 11) return -EINVAL;
    if (tm->tm_mday < 1 || tm->tm_mday > month_days(year, tm->tm_mon)) return -EINVAL;
    if (tm->tm_hour < 0 || tm->tm_hour > 23 || tm->tm_min < 0 || tm->tm_min > 59) return -EINVAL;
    if (tm->tm_sec < 0 || tm->tm_sec > 60) return -EINVAL;

    int64_t days = days_to_year(year) + tm->tm_mday - 1;
    for (int mon = 0; mon < tm->tm_mon; mon++) days += month_days(year, mon);
    *res = (time_t)(days * DAY + tm->tm_hour * 3600 + tm->tm_min * 60 + tm->tm_sec);
    return 0;
}

int gmtoff_of(time_t t)
{
    struct tm tm;

    return localtime_r(&t, &tm) ? (int)tm.tm_gmtoff : 0;
}

time_t time_local_midnight(time_t t, int gmtoff)
{
    struct tm day, local = { .tm_isdst = -1 };

    gmtime_safe(t + gmtoff, &day);
    local.tm_year = day.tm_year;
    local.tm_mon = day.tm_mon;
    local.tm_mday = day.tm_mday;
    return mktime(&local);
}

/* -- writing -- */

/* "+0130" or "+01:30" for minutes east of UTC. */
struct zone {
    char sign;
    int hours, minutes;
};

static struct zone zone_of(int gmtoff)
{
    int minutes = abs(gmtoff / 60);
    return (struct zone){ gmtoff < 0 ? '-' : '+', minutes / 60 % 100, minutes % 60 };
}

static size_t written(int n, size_t size)
{
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

size_t time_to_rfc3501_zone(time_t t, int gmtoff, char *out, size_t size)
{
    struct zone zone = zone_of(gmtoff);
    struct tm tm;

    gmtime_safe(t + gmtoff, &tm);
    return written(snprintf(out, size, "%2d-%s-%04d %02d:%02d:%02d %c%02d%02d", tm.tm_mday,
                            month_names[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                            tm.tm_sec, zone.sign, zone.hours, zone.minutes),
                   size);
}

size_t time_to_rfc3501(time_t t, char *out, size_t size)
{
    return time_to_rfc3501_zone(t, gmtoff_of(t), out, size);
}

size_t time_to_rfc5322_zone(time_t t, int gmtoff, char *out, size_t size)
{
    struct zone zone = zone_of(gmtoff);
    struct tm tm;

    gmtime_safe(t + gmtoff, &tm);
    return written(snprintf(out, size, "%s, %02d %s %04d %02d:%02d:%02d %c%02d%02d",
                            wday_names[tm.tm_wday], tm.tm_mday, month_names[tm.tm_mon],
                            tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec, zone.sign,
                            zone.hours, zone.minutes),
                   size);
}

size_t time_to_rfc5322(time_t t, char *out, size_t size)
{
    return time_to_rfc5322_zone(t, gmtoff_of(t), out, size);
}

size_t time_to_rfc3339(time_t t, char *out, size_t size)
{
    struct tm tm;

    gmtime_safe(t, &tm);
    return written(snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                            tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec),
                   size);
}

/* -- reading: the pieces -- */

struct scan {
    const char *p, *end;
};

static bool take_char(struct scan *s, char c)
{
    if (s->p == s->end || *s->p != c) return false;
    s->p++;
    return true;
}

/* At least min and at most max digits. */
static bool take_digits(struct scan *s, int min, int max, int *res)
{
    int n = 0, v = 0;

    for (; n < max && s->p < s->end && cyr_isdigit(*s->p); n++) v = v * 10 + (*s->p++ - '0');
    *res = v;
    return n >= min && (s->p == s->end || !cyr_isdigit(*s->p));
}

static bool take_month(struct scan *s, int *mon)
{
    if (s->end - s->p < 3) return false;
    for (int i = 0; i < 12; i++) {
        if (!memcaseeq(s->p, 3, month_names[i], 3)) continue;
        s->p += 3;
        *mon = i;
        return true;
    }
    return false;
}

/* "21:52:25". */
static bool take_time(struct scan *s, struct tm *tm)
{
    return take_digits(s, 2, 2, &tm->tm_hour) && take_char(s, ':') &&
           take_digits(s, 2, 2, &tm->tm_min) && take_char(s, ':') &&
           take_digits(s, 2, 2, &tm->tm_sec);
}

/* "-0800", or "-08:00" with a colon, as seconds east of UTC. */
static bool take_zone(struct scan *s, bool colon, int *gmtoff)
{
    int hours, minutes;
    int sign = take_char(s, '-') ? -1 : take_char(s, '+') ? 1 : 0;

    if (!sign) return false;
    if (colon) {
        if (!take_digits(s, 2, 2, &hours) || !take_char(s, ':') || !take_digits(s, 2, 2, &minutes))
            return false;
    }
    else {
        int both;
        if (!take_digits(s, 4, 4, &both)) return false;
        hours = both / 100;
        minutes = both % 100;
    }
    if (hours > 23 || minutes > 59) return false;
    *gmtoff = sign * (hours * 3600 + minutes * 60);
    return true;
}

/* What the fields say, less the zone. */
static int finish(const struct tm *tm, int zone, time_t *res, int *gmtoff)
{
    time_t t;
    int r = timegm_safe(tm, &t);

    if (r) return r;
    *res = t - zone;
    if (gmtoff) *gmtoff = zone;
    return 0;
}

/* -- reading: RFC 3501 and RFC 3339 -- */

/* "7-Feb-1994", the day with at most that many digits. */
static bool take_imap_date(struct scan *s, int daydigits, struct tm *tm)
{
    int year;

    if (!take_digits(s, 1, daydigits, &tm->tm_mday) || !take_char(s, '-')) return false;
    if (!take_month(s, &tm->tm_mon) || !take_char(s, '-')) return false;
    if (!take_digits(s, 4, 4, &year)) return false;
    tm->tm_year = year - 1900;
    return true;
}

int time_from_rfc3501(const char *str, size_t len, time_t *res, int *gmtoff)
{
    struct scan s = { str, str + len };
    struct tm tm = { 0 };
    int zone;

    int daydigits = take_char(&s, ' ') ? 1 : 2;
    if (!take_imap_date(&s, daydigits, &tm) || !take_char(&s, ' ') || !take_time(&s, &tm))
        return -EINVAL;
    if (!take_char(&s, ' ') || !take_zone(&s, false, &zone) || s.p != s.end) return -EINVAL;
    return finish(&tm, zone, res, gmtoff);
}

int time_from_rfc3501_date(const char *str, size_t len, time_t *res)
{
    struct scan s = { str, str + len };
    struct tm tm = { 0 };

    if (!take_imap_date(&s, 2, &tm) || s.p != s.end) return -EINVAL;
    return finish(&tm, 0, res, NULL);
}

int time_from_rfc3339(const char *str, size_t len, time_t *res)
{
    struct scan s = { str, str + len };
    struct tm tm = { 0 };
    int year, mon, zone = 0;

    if (!take_digits(&s, 4, 4, &year) || !take_char(&s, '-') || !take_digits(&s, 2, 2, &mon) ||
        !take_char(&s, '-') || !take_digits(&s, 2, 2, &tm.tm_mday))
        return -EINVAL;
    if (!take_char(&s, 'T') && !take_char(&s, 't') && !take_char(&s, ' ')) return -EINVAL;
    if (!take_time(&s, &tm)) return -EINVAL;
    if (take_char(&s, '.')) {
        if (s.p == s.end || !cyr_isdigit(*s.p)) return -EINVAL;
        while (s.p < s.end && cyr_isdigit(*s.p)) s.p++;
    }
    if (!take_char(&s, 'Z') && !take_char(&s, 'z') && !take_zone(&s, true, &zone)) return -EINVAL;
    if (s.p != s.end) return -EINVAL;
    tm.tm_year = year - 1900;
    tm.tm_mon = mon - 1;
    return finish(&tm, zone, res, NULL);
}

/* -- clocks -- */

void times_keep_zone(void)
{
    setenv("TZ", ":/etc/localtime", 0);
}

double monotonic_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

unsigned long long monotonic_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (unsigned long long)ts.tv_sec * 1000 + (unsigned long long)ts.tv_nsec / 1000000;
}
