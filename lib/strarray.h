/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * strarray -- a growing array of strings it owns
 *
 * Indexes are 0-based; a negative index counts from the end (-1 is the last).
 * Functions that end in `m` take over a malloc'ed string, the others copy.
 * A string may be NULL only where strarray_set put it there.
 * data[count] is always NULL, so data serves as an argv.
 */
#ifndef CYL_STRARRAY_H
#define CYL_STRARRAY_H

#include <stdbool.h>
#include <stddef.h>

typedef struct strarray {
    int count;
    int alloc;
    char **data;
} strarray_t;
#define STRARRAY_INITIALIZER { 0, 0, NULL }

/* qsort-style: gets pointers to two `char *`. */
typedef int strarray_cmpfn_t(const void *a, const void *b);
int cmpstringp_raw(const void *a, const void *b);       /* byte order, NULL first */
int cmpstringp_case(const void *a, const void *b);      /* ASCII letters alike, then byte order */

/* -- life -- */
strarray_t *strarray_new(void);
/* Frees strings and struct; for strarray_new, _dup, _split. NULL is fine. */
void strarray_free(strarray_t *sa);
void strarray_init(strarray_t *sa);
/* Frees the strings; the array is empty and usable again. */
void strarray_fini(strarray_t *sa);
strarray_t *strarray_dup(const strarray_t *sa);

/* -- changing -- */
/* All return the index of the string. */
int strarray_append(strarray_t *sa, const char *s);
int strarray_appendm(strarray_t *sa, char *s);
/* Appends unless it is there already (byte for byte). */
int strarray_add(strarray_t *sa, const char *s);
/* As strarray_add, ASCII letters of either case alike. */
int strarray_add_case(strarray_t *sa, const char *s);
/* Replaces; grows with NULLs when idx is beyond the end. */
void strarray_set(strarray_t *sa, int idx, const char *s);
void strarray_setm(strarray_t *sa, int idx, char *s);
void strarray_insert(strarray_t *sa, int idx, const char *s);
void strarray_insertm(strarray_t *sa, int idx, char *s);
/* Takes the string out; the caller frees it. NULL when there is none. */
char *strarray_remove(strarray_t *sa, int idx);
/* Removes and frees every equal string; how many. */
int strarray_remove_all(strarray_t *sa, const char *s);
int strarray_remove_all_case(strarray_t *sa, const char *s);
/* Cuts to newlen strings, or grows with NULLs. */
void strarray_truncate(strarray_t *sa, int newlen);
/* Appends copies of all strings of src. */
void strarray_cat(strarray_t *dest, const strarray_t *src);
void strarray_swap(strarray_t *sa, int i, int j);

#define strarray_push(sa, s) strarray_append(sa, s)
#define strarray_pushm(sa, s) strarray_appendm(sa, s)
#define strarray_pop(sa) strarray_remove(sa, -1)
#define strarray_shift(sa) strarray_remove(sa, 0)
#define strarray_unshift(sa, s) strarray_insert(sa, 0, s)

/* -- reading -- */
static inline int strarray_size(const strarray_t *sa) { return sa->count; }
/* The string, borrowed; NULL when there is none at idx. */
const char *strarray_nth(const strarray_t *sa, int idx);
/* Index of the first equal string at or after `start`, or -1. */
int strarray_find(const strarray_t *sa, const char *s, int start);
int strarray_find_case(const strarray_t *sa, const char *s, int start);
static inline bool strarray_contains(const strarray_t *sa, const char *s)
{
    return strarray_find(sa, s, 0) >= 0;
}
static inline bool strarray_contains_case(const strarray_t *sa, const char *s)
{
    return strarray_find_case(sa, s, 0) >= 0;
}
/* Element by element in byte order, a shorter array first. */
int strarray_cmp(const strarray_t *a, const strarray_t *b);

/* -- order -- */
/* cmp NULL: byte order. Stable. */
void strarray_sort(strarray_t *sa, strarray_cmpfn_t *cmp);
/* Removes neighbours that are equal; sort first. */
void strarray_uniq(strarray_t *sa);
/* Index in an array sorted in byte order, or -1. */
int strarray_bsearch(const strarray_t *sa, const char *s);

/* -- text -- */
/*
 * The strings with `sep` between them; NULL when there are none; the caller frees. NULL
 * strings are skipped.
 */
char *strarray_join(const strarray_t *sa, const char *sep);
#define STRARRAY_TRIM 1u       /* white space off both ends of each part */
#define STRARRAY_KEEPEMPTY 2u  /* keep empty parts */
/* Parts of `line` between any of the bytes in `sep` (NULL: white space); line NULL: no parts. */
strarray_t *strarray_split(const char *line, const char *sep, unsigned flags);
strarray_t *strarray_nsplit(const char *base, size_t len, const char *sep, unsigned flags);
/* Hands the argv-like array (NULL at the end) to the caller, who frees strings and array. */
char **strarray_takevf(strarray_t *sa);

#endif
