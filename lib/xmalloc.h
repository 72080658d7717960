/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * xmalloc -- memory that is there, or the process ends
 *
 * None of these returns NULL. When the memory can't be had, or a size overflows,
 * fatal() is called with EX_TEMPFAIL (75), so that a mail server tries again later.
 * Free with free().
 */
#ifndef CYL_XMALLOC_H
#define CYL_XMALLOC_H

#include <stddef.h>

void *xmalloc(size_t size)
    __attribute__((malloc, alloc_size(1), returns_nonnull, warn_unused_result));
/* Zeroed. */
void *xzmalloc(size_t size)
    __attribute__((malloc, alloc_size(1), returns_nonnull, warn_unused_result));
/* Zeroed array; the product is checked. */
void *xcalloc(size_t n, size_t size)
    __attribute__((malloc, alloc_size(1, 2), returns_nonnull, warn_unused_result));
void *xrealloc(void *ptr, size_t size)
    __attribute__((alloc_size(2), returns_nonnull, warn_unused_result));
/* Array of n elements of that size; the product is checked. */
void *xreallocarray(void *ptr, size_t n, size_t size)
    __attribute__((alloc_size(2, 3), returns_nonnull, warn_unused_result));
/*
 * One more zeroed element of that size behind an array of n that grows with nothing else; its room is
 * the next power of two.
 */
void *xgrow(void *array, size_t n, size_t size) __attribute__((returns_nonnull, warn_unused_result));
/* Grows from oldsize to newsize bytes and zeroes the new part. */
void *xzrealloc(void *ptr, size_t oldsize, size_t newsize)
    __attribute__((alloc_size(3), returns_nonnull, warn_unused_result));
char *xstrdup(const char *s) __attribute__((malloc, nonnull, returns_nonnull, warn_unused_result));
/* NULL gives NULL. */
char *xstrdupnull(const char *s) __attribute__((malloc, warn_unused_result));
/* At most n bytes of s, NUL added. */
char *xstrndup(const char *s, size_t n)
    __attribute__((malloc, nonnull, returns_nonnull, warn_unused_result));
/* n bytes that may hold NULs, with one NUL more behind them. */
void *xmemdup(const void *p, size_t n) __attribute__((malloc, returns_nonnull, warn_unused_result));
/* A fresh string by printf rules. */
char *xasprintf(const char *fmt, ...)
    __attribute__((malloc, format(printf, 1, 2), returns_nonnull, warn_unused_result));

/* free(), and the pointer becomes NULL. */
#define xzfree(ptr)                           \
    do {                                      \
        __typeof__(ptr) *xzfree_at_ = &(ptr); \
        free(*xzfree_at_);                    \
        *xzfree_at_ = NULL;                   \
    } while (0)

/* Bytes an array of `alloc` elements should grow to so that `need` fit: doubles, never below 16. */
size_t grow_alloc(size_t alloc, size_t need);

/* Gives freed memory back to the system, before a process rests. Takes some 100 us. */
void xmalloc_trim(void);

/*
 * The end of a process that can't go on: calls the program's clean-up (once, even
 * when that fails again), logs the message at LOG_CRIT and exits with the
 * sysexits code.
 */
void fatal(const char *message, int code) __attribute__((noreturn, nonnull));
/* What fatal() calls first; NULL for nothing. It may return. */
void fatal_set_cleanup(void (*cleanup)(const char *message, int code));
/* Who logs the message; NULL: syslog(3). */
void fatal_set_logger(void (*logger)(const char *message));

#endif
