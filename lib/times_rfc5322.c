/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * times_rfc5322 -- reads the dates that people's mail programs write
 *
 * The text is cut into words at white space, commas and comments; each word is
 * understood by itself: day, month, year, time, zone, in the orders that occur.
 * Nothing is guessed beyond that: without a day, a month and a year it is -EINVAL.
 * RFC 5322 §3.3 and §4.3, RFC 850, and asctime(3).
 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "times.h"
#include "util.h"

struct word {
    const char *s;
    size_t len;
};

struct reader {
    const char *p, *end;
};

/* White space, commas, and comments, which nest and in which a backslash quotes. */
static void skip_blank(struct reader *r)
{
    int depth = 0;

    for (; r->p < r->end; r->p++) {
        if (*r->p == '(')
            depth++;
        else if (depth && *r->p == ')')
            depth--;
        else if (depth && *r->p == '\\' && r->p + 1 < r->end)
            r->p++;
        else if (!depth && !cyr_isspace(*r->p) && *r->p != ',')
            return;
    }
}

/* The next word; len 0 at the end. A '-' ends a word that is no zone: "7-Feb-94". */
static struct word next_word(struct reader *r)
{
    skip_blank(r);

    struct word w = { r->p, 0 };
    bool signed_word = r->p < r->end && (*r->p == '-' || *r->p == '+');
    while (r->p < r->end && !cyr_isspace(*r->p) && *r->p != ',' && *r->p != '(') {
        if (*r->p == '-' && r->p > w.s && !signed_word) break;
        r->p++;
    }
    w.len = (size_t)(r->p - w.s);
    return w;
}

/* A '-' between the parts of a date. */
static void skip_hyphen(struct reader *r)
{
    if (r->p < r->end && *r->p == '-') r->p++;
}

static bool word_number(struct word w, size_t maxdigits, int *res)
{
    uint32_t n;

    if (w.len > maxdigits || parse_u32(w.s, w.len, &n)) return false;
    *res = (int)n;
    return true;
}

static bool word_month(struct word w, int *mon)
{
    for (int i = 0; i < 12; i++) {
        if (w.len < 3 || !memcaseeq(w.s, 3, month_names[i], 3)) continue;
        *mon = i;
        return true;
    }
    return false;
}

/* RFC 5322 §4.3 for years of two and three digits. */
static bool word_year(struct word w, struct tm *tm)
{
    int year;

    if (w.len < 2 || !word_number(w, 4, &year)) return false;
    if (w.len == 2 && year < 50)
        year += 2000;
    else if (w.len < 4)
        year += 1900;
    tm->tm_year = year - 1900;
    return true;
}

/* One or two digits, and what is blank before them. */
static bool read_two(struct reader *r, int *res)
{
    skip_blank(r);

    const char *start = r->p;
    while (r->p < r->end && cyr_isdigit(*r->p)) r->p++;
    return word_number((struct word){ start, (size_t)(r->p - start) }, 2, res);
}

/* A colon, and what is blank before it; without one nothing is taken. */
static bool read_colon(struct reader *r)
{
    const char *start = r->p;

    skip_blank(r);
    if (r->p < r->end && *r->p == ':') {
        r->p++;
        return true;
    }
    r->p = start;
    return false;
}

/* "21:52", "21:52:25", "9:05:00", "21:52:25.123", "09(comment):   55  :  06". */
static bool read_time(struct reader *r, struct tm *tm)
{
    if (!read_two(r, &tm->tm_hour) || !read_colon(r) || !read_two(r, &tm->tm_min)) return false;
    if (!read_colon(r)) return true;
    if (!read_two(r, &tm->tm_sec)) return false;
    if (r->p < r->end && *r->p == '.') {
        for (r->p++; r->p < r->end && cyr_isdigit(*r->p);) r->p++;
    }
    return true;
}

static int named_zone(struct word w)
{
    static const struct {
        const char *name;
        int hours;
    } zones[] = {
        { "EST", -5 }, { "EDT", -4 }, { "CST", -6 }, { "CDT", -5 },
        { "MST", -7 }, { "MDT", -6 }, { "PST", -8 }, { "PDT", -7 },
    };

    for (size_t i = 0; i < array_size(zones); i++) {
        if (memcaseeq(w.s, w.len, zones[i].name, 3)) return zones[i].hours * 3600;
    }
    return 0; /* UT, GMT, Z, and what nobody knows (§4.3) */
}

/* "-0800" and "-08:00"; a zone that can't be is UTC. */
static int word_zone(struct word w)
{
    int hours, minutes;

    if (!w.len || (*w.s != '+' && *w.s != '-')) return named_zone(w);

    size_t colon = w.len == 6 && w.s[3] == ':';
    if (w.len < 5 + colon) return 0;
    if (!word_number((struct word){ w.s + 1, 2 }, 2, &hours) ||
        !word_number((struct word){ w.s + 3 + colon, 2 }, 2, &minutes))
        return 0;
    if (hours > 23 || minutes > 59) return 0;
    return (*w.s == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

/* "7 Feb 1994 21:52:25 -0800" from its first word on. */
static bool read_ordinary(struct reader *r, struct word w, struct tm *tm, int *zone)
{
    if (!word_number(w, 2, &tm->tm_mday)) return false;
    skip_hyphen(r);
    if (!word_month(next_word(r), &tm->tm_mon)) return false;
    skip_hyphen(r);
    if (!word_year(next_word(r), tm)) return false;

    skip_blank(r);
    if (r->p == r->end) return true; /* a date without a time */
    if (!read_time(r, tm)) return false;
    *zone = word_zone(next_word(r));
    return true;
}

/* "Feb  7 21:52:25 1994", also with a zone before the year. */
static bool read_asctime(struct reader *r, struct tm *tm, int *zone)
{
    if (!word_number(next_word(r), 2, &tm->tm_mday)) return false;
    if (!read_time(r, tm)) return false;

    struct word w = next_word(r);
    if (word_year(w, tm)) return true;
    *zone = word_zone(w);
    return word_year(next_word(r), tm);
}

int time_from_rfc5322(const char *str, size_t len, time_t *res, int *gmtoff)
{
    struct reader r = { str, str + len };
    struct tm tm = { 0 };
    int zone = 0;
    time_t t;

    struct word w = next_word(&r);
    if (w.len && cyr_isalpha(*w.s) && !word_month(w, &tm.tm_mon)) w = next_word(&r);

    bool ok = word_month(w, &tm.tm_mon) ? read_asctime(&r, &tm, &zone)
                                        : read_ordinary(&r, w, &tm, &zone);
    if (!ok || timegm_safe(&tm, &t)) return -EINVAL;
    *res = t - zone;
    if (gmtoff) *gmtoff = zone;
    return 0;
}
