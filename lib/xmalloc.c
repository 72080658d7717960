/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * xmalloc -- memory that is there, or the process ends
 *
 * Callers never see NULL. A size of 0 gives a pointer that can be freed. A product
 * or sum that overflows counts as memory that can't be had. Failure is fatal()
 * with EX_TEMPFAIL (75).
 */
#include <config.h>

#include "xmalloc.h"

#ifdef HAVE_MALLOC_TRIM
#include <malloc.h>
#endif
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

static void (*fatal_cleanup)(const char *message, int code);
static void (*fatal_logger)(const char *message);

void fatal_set_cleanup(void (*cleanup)(const char *message, int code))
{
    fatal_cleanup = cleanup;
}

void fatal_set_logger(void (*logger)(const char *message))
{
    fatal_logger = logger;
}

void fatal(const char *message, int code)
{
    static int dying;

    /* The clean-up itself, or an exit handler, has failed: no second try. */
    if (dying++) _exit(code);

    if (fatal_logger)
        fatal_logger(message);
    else
        syslog(LOG_CRIT, "fatal error: %s", message);
    if (fatal_cleanup) fatal_cleanup(message, code);
    exit(code);
}

static void *checked(void *p)
{
    if (!p) fatal("out of memory", EX_TEMPFAIL);
    return p;
}

void *xmalloc(size_t size)
{
    return checked(malloc(size ? size : 1));
}

void *xzmalloc(size_t size)
{
    return checked(calloc(1, size ? size : 1));
}

void *xcalloc(size_t n, size_t size)
{
    return checked(n && size ? calloc(n, size) : calloc(1, 1));
}

void *xrealloc(void *ptr, size_t size)
{
    return checked(realloc(ptr, size ? size : 1));
}

void *xreallocarray(void *ptr, size_t n, size_t size)
{
    return checked(n && size ? reallocarray(ptr, n, size) : realloc(ptr, 1));
}

void *xzrealloc(void *ptr, size_t oldsize, size_t newsize)
{
    char *p = xrealloc(ptr, newsize);

    if (newsize > oldsize) memset(p + oldsize, 0, newsize - oldsize);
    return p;
}

void *xgrow(void *array, size_t n, size_t size)
{
    if (!(n & (n - 1))) array = xreallocarray(array, n ? 2 * n : 1, size);
    memset((char *)array + n * size, 0, size);
    return array;
}

char *xstrdup(const char *s)
{
    return checked(strdup(s));
}

char *xstrdupnull(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

char *xstrndup(const char *s, size_t n)
{
    return checked(strndup(s, n));
}

void *xmemdup(const void *p, size_t n)
{
    if (n == SIZE_MAX) fatal("out of memory", EX_TEMPFAIL);

    char *copy = xmalloc(n + 1);
    if (n) memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

char *xasprintf(const char *fmt, ...)
{
    va_list args;
    char *s = NULL;

    va_start(args, fmt);
    int n = vasprintf(&s, fmt, args);
    va_end(args);
    return checked(n < 0 ? NULL : s);
}

size_t grow_alloc(size_t alloc, size_t need)
{
    size_t n = alloc < 16 ? 16 : alloc;

    if (need > SIZE_MAX / 2) fatal("out of memory", EX_TEMPFAIL);
    while (n < need) n *= 2;
    return n;
}

void xmalloc_trim(void)
{
#ifdef HAVE_MALLOC_TRIM
    malloc_trim(0);
#endif
}
