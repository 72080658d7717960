/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message_dates -- the times that a message tells of itself (handbook 02 §3.2, §6.2)
 *
 * A Date field is first read as 3.6.1 reads it, so that index records agree: numbers
 * may be too large for what they count, and carry over; a zone that is none is UTC. What it
 * can't read, the lenient reader of times.h may.
 */
#include <config.h>

#include <string.h>
#include <time.h>

#include "message.h"
#include "times.h"
#include "util.h"

struct reader {
    const char *p, *end;
};

static bool at_blank(const struct reader *r)
{
    return r->p < r->end && cyr_isspace(*r->p);
}

static void skip_blank(struct reader *r)
{
    while (at_blank(r)) r->p++;
}

static bool take(struct reader *r, char c)
{
    if (r->p == r->end || *r->p != c) return false;
    r->p++;
    return true;
}

/* A number of `least` to `most` digits. */
static bool take_number(struct reader *r, int least, int most, int *v)
{
    int n = 0;

    for (*v = 0; n < most && r->p < r->end && cyr_isdigit(*r->p); n++) *v = *v * 10 + *r->p++ - '0';
    return n >= least && (r->p == r->end || !cyr_isdigit(*r->p));
}

/* Letters in a row. */
static size_t letters(const struct reader *r)
{
    size_t n = 0;

    while (r->p + n < r->end && cyr_isalpha(r->p[n])) n++;
    return n;
}

static bool take_month(struct reader *r, int *month)
{
    if (letters(r) != 3) return false;
    for (*month = 0; *month < 12; (*month)++) {
        if (cyr_strncasecmp(r->p, month_names[*month], 3)) continue;
        r->p += 3;
        return true;
    }
    return false;
}

/* Two digits are of 1970 to 2069; more begin with 1900. */
static bool take_year(struct reader *r, int *year)
{
    const char *start = r->p;

    if (!take_number(r, 2, 4, year)) return false;
    if (r->p - start == 2) *year += *year < 70 ? 2000 : 1900;
    return *year >= 1900;
}

/* `Mon, 02 Jan 2023`. */
static bool take_date(struct reader *r, struct tm *tm)
{
    skip_blank(r);
    if (letters(r) == 3) {
        r->p += 3;
        if (!take(r, ',')) return false;
        skip_blank(r);
    }
    if (!take_number(r, 1, 2, &tm->tm_mday)) return false;
    if (!take(r, '-')) skip_blank(r);
    if (!take_month(r, &tm->tm_mon)) return false;
    if (!take(r, '-')) skip_blank(r);
    if (!take_year(r, &tm->tm_year)) return false;
    tm->tm_year -= 1900;
    return true;
}

static bool take_colon(struct reader *r)
{
    return take(r, ':') || take(r, '.');
}

/* `03:04:05`, `3.4`. */
static bool take_time(struct reader *r, struct tm *tm)
{
    if (!at_blank(r)) return false;
    skip_blank(r);
    if (!take_number(r, 1, 2, &tm->tm_hour) || !take_colon(r)) return false;
    if (!take_number(r, 1, 2, &tm->tm_min)) return false;
    return !take_colon(r) || take_number(r, 1, 2, &tm->tm_sec);
}

/* Hours west of Greenwich of `xST`. */
static const struct {
    char letter;
    int hours;
} zones[] = {
    { 'A', 4 },  { 'B', 11 }, { 'C', 6 }, { 'E', 5 },
    { 'H', 10 }, { 'M', 7 },  { 'P', 8 }, { 'Y', 9 },
};

/* Seconds east of Greenwich of a name; 0 for a name that is none. */
static int named_zone(const char *s, size_t len)
{
    char c = cyr_toupper(s[0]);

    if (len == 1 && c >= 'A' && c <= 'I') return (c - 'A' + 1) * 3600;
    if (len == 1 && c >= 'K' && c <= 'M') return (c - 'A') * 3600;
    if (len == 1 && c >= 'N' && c <= 'Y') return ('M' - c) * 3600;
    if (len != 3 || cyr_toupper(s[2]) != 'T') return 0;
    for (size_t i = 0; i < array_size(zones); i++) {
        if (c != zones[i].letter) continue;
        if (cyr_toupper(s[1]) == 'S') return -zones[i].hours * 3600;
        if (cyr_toupper(s[1]) == 'D') return -(zones[i].hours - 1) * 3600;
    }
    return 0;
}

static int take_zone(struct reader *r)
{
    int sign = 1, digits, seconds;

    skip_blank(r);
    if (letters(r)) return named_zone(r->p, letters(r));
    if (take(r, '-'))
        sign = -1;
    else if (!take(r, '+'))
        return 0;
    if (!take_number(r, 4, 4, &digits)) return 0;
    if (r->p < r->end && !at_blank(r)) return 0;
    seconds = (digits / 100 * 60 + digits % 100) * 60;
    return sign * seconds;
}

/* False: not even a date. *gmtime is 0 when there is no time of day. */
static bool read_date(const char *s, size_t len, time_t *gmtime, time_t *sentdate)
{
    struct reader r = { s, s + len };
    struct tm tm = { 0 };
    time_t day;

    if (!take_date(&r, &tm)) return false;
    day = timegm(&tm);
    if (take_time(&r, &tm)) *gmtime = timegm(&tm) - take_zone(&r);
    if (day < 0 || *gmtime < 0) return false;
    *sentdate = time_local_midnight(day, 0);
    return true;
}

void message_dates(const struct message_content *content, time_t *gmtime, time_t *sentdate)
{
    struct msgtext date = content->body->fields.date;
    time_t t;
    int gmtoff;

    *gmtime = *sentdate = 0;
    if (!date.s) return;
    if (!read_date(date.s, date.len, gmtime, sentdate)) *gmtime = *sentdate = 0;
    if (*gmtime || time_from_rfc5322(date.s, date.len, &t, &gmtoff) || t < 0) return;
    *gmtime = t;
    if (!*sentdate) *sentdate = time_local_midnight(t, gmtoff);
}

time_t message_received_time(const struct message_content *content)
{
    const struct message_fields *f = &content->body->fields;
    const char *stamp;
    time_t t;

    if (f->x_deliveredinternaldate.s &&
        !time_from_rfc5322(f->x_deliveredinternaldate.s, f->x_deliveredinternaldate.len, &t, NULL))
        return t;
    if (!f->received.s) return 0;
    stamp = memrchr(f->received.s, ';', f->received.len);
    if (!stamp) return 0;
    stamp++;
    if (time_from_rfc5322(stamp, f->received.len - (size_t)(stamp - f->received.s), &t, NULL))
        return 0;
    return t;
}
