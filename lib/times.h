/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * times -- dates as mail writes them
 *
 * A time is a time_t: UTC seconds. Writers fill a caller's buffer of the named
 * size and return the length of the text; a year outside 0..9999 gives the
 * nearest end of that range. Readers return 0 or -EINVAL, and take the whole text.
 */
#ifndef CYL_TIMES_H
#define CYL_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define RFC3501_DATETIME_MAX 27 /* " 7-Feb-1994 21:52:25 -0800" and the NUL */
#define RFC5322_DATETIME_MAX 32 /* "Mon, 07 Feb 1994 21:52:25 -0800" and the NUL */
#define RFC3339_DATETIME_MAX 26 /* "1994-02-07T21:52:25-08:00" and the NUL */

/* A month or day of the week as the RFCs write it ("Jan", "Mon"); 0-based. */
extern const char month_names[12][4];
extern const char wday_names[7][4];

/* -- INTERNALDATE (RFC 3501 date-time), in the zone of the server -- */
size_t time_to_rfc3501(time_t t, char *out, size_t size);
/* With a zone of that many seconds east of UTC. */
size_t time_to_rfc3501_zone(time_t t, int gmtoff, char *out, size_t size);
/* " 7-Feb-1994 21:52:25 -0800", also with one digit of the day and no blank. gmtoff may be NULL. */
int time_from_rfc3501(const char *s, size_t len, time_t *res, int *gmtoff);
/* RFC 3501 date "7-Feb-1994": midnight UTC at its start. */
int time_from_rfc3501_date(const char *s, size_t len, time_t *res);

/* -- Date: (RFC 5322), in the zone of the server -- */
size_t time_to_rfc5322(time_t t, char *out, size_t size);
size_t time_to_rfc5322_zone(time_t t, int gmtoff, char *out, size_t size);
/*
 * Lenient: comments, no day of the week, no time or no seconds, years of two and
 * three digits, "7-Feb-94", the C library's "Mon Feb  7 21:52:25 1994", obsolete zone
 * names, a missing or unknown zone (UTC), text behind the zone. gmtoff may be NULL.
 */
int time_from_rfc5322(const char *s, size_t len, time_t *res, int *gmtoff);

/* -- RFC 3339 -- */
/* "2026-01-31T12:00:00Z". */
size_t time_to_rfc3339(time_t t, char *out, size_t size);
int time_from_rfc3339(const char *s, size_t len, time_t *res);

/* -- calendars -- */
/* Broken-down UTC for any time_t (years outside 0..9999 are held at the ends). */
void gmtime_safe(time_t t, struct tm *tm);
/*
 * Days and seconds of the proleptic Gregorian calendar; fields out of range are -EINVAL.
 * tm_wday, tm_yday, tm_isdst are ignored.
 */
int timegm_safe(const struct tm *tm, time_t *res);
/* Seconds east of UTC of the server's zone at that time. */
int gmtoff_of(time_t t);
/*
 * Midnight in the server's zone of the day that t is in a zone gmtoff seconds east
 * of UTC: the sentdate of an index record (handbook 02 §3.2).
 */
time_t time_local_midnight(time_t t, int gmtoff);

/*
 * Once per process, before the first local time: without TZ in the environment the C library looks at
 * /etc/localtime for every conversion; with it, once. The zone stays the one of that file.
 */
void times_keep_zone(void);

/* -- clocks -- */
/* Seconds since an arbitrary point that never jumps. */
double monotonic_seconds(void);
/* Milliseconds of the same clock. */
unsigned long long monotonic_ms(void);

#endif
