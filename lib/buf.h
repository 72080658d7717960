/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * buf -- bytes that grow
 *
 * A struct buf is either owned memory (alloc > 0), which grows as it is appended
 * to, or a view of bytes that belong to somebody else (alloc == 0), such as a
 * part of a mapped file. A view becomes owned, by copying, at the first change;
 * buf_setmap and the buf_init_ro family make views, everything else copies.
 * Bytes may be NUL; len counts them. No function fails: no memory is fatal().
 */
#ifndef CYL_BUF_H
#define CYL_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *s;      /* the bytes; NULL when there never were any. Don't write through a view. */
    size_t len;   /* bytes in use */
    size_t alloc; /* bytes owned at s; 0 for a view */
    unsigned flags;
};
#define BUF_MMAP 1u /* s is a mapping of a file, of len bytes, that buf_free ends */
#define BUF_INITIALIZER { NULL, 0, 0, 0 }

/* -- life -- */
struct buf *buf_new(void);
/* Frees the bytes and the struct; for buf_new. */
void buf_destroy(struct buf *buf);
void buf_init(struct buf *buf);
/* A view of len bytes (no copy); they must outlive it. */
void buf_init_ro(struct buf *buf, const char *base, size_t len);
void buf_init_ro_cstr(struct buf *buf, const char *s);
/* Takes over len malloc'ed bytes. */
void buf_initm(struct buf *buf, char *base, size_t len);
void buf_initmcstr(struct buf *buf, char *s);
/*
 * A view of bytes [off, off+len) of an open file, mapped read-only; they end with
 * buf_free. 0, or -errno; a range beyond the end of file is -ERANGE.
 */
int buf_init_mmap(struct buf *buf, int fd, uint64_t off, size_t len);
/* Frees or unmaps the bytes; the buf is empty and usable again. NULL is fine. */
void buf_free(struct buf *buf);
/* Empties; keeps owned memory for reuse. */
void buf_reset(struct buf *buf);
/* Room for n more bytes (and a NUL) without another allocation; a view becomes owned. */
void buf_ensure(struct buf *buf, size_t n);

/* -- reading -- */
#define buf_len(buf) ((buf)->len)
#define buf_base(buf) ((const char *)(buf)->s)
/*
 * The bytes with a NUL behind them, never NULL; a view is copied first. Valid until the next
 * change.
 */
const char *buf_cstring(struct buf *buf);
/* As buf_cstring, but NULL when there never were bytes (s == NULL). */
const char *buf_cstringnull(struct buf *buf);
/* As buf_cstring, but NULL when empty. */
const char *buf_cstringnull_ifempty(struct buf *buf);
/* A fresh copy of the bytes with a NUL; the caller frees. */
char *buf_newcstring(const struct buf *buf);
/* Hands the bytes (with a NUL) to the caller, who frees; the buf is empty afterwards. */
char *buf_release(struct buf *buf);
/* As buf_release, but NULL when there never were bytes. */
char *buf_releasenull(struct buf *buf);

/* -- setting -- */
void buf_setcstr(struct buf *buf, const char *s);
/* Copies len bytes; the source may lie inside the buf itself. */
void buf_setmap(struct buf *buf, const char *base, size_t len);
void buf_copy(struct buf *dst, const struct buf *src);
/* dst takes over what src has; src is empty afterwards. */
void buf_move(struct buf *dst, struct buf *src);
void buf_swap(struct buf *a, struct buf *b);

/* -- appending -- */
void buf_append(struct buf *dst, const struct buf *src);
void buf_appendcstr(struct buf *buf, const char *s);
void buf_appendmap(struct buf *buf, const void *base, size_t len);
void buf_putc(struct buf *buf, char c);
/* n times the byte c. */
void buf_appendfill(struct buf *buf, char c, size_t n);
/* Big-endian integers. */
void buf_appendbit16(struct buf *buf, uint16_t v);
void buf_appendbit32(struct buf *buf, uint32_t v);
void buf_appendbit64(struct buf *buf, uint64_t v);
/* Lower-case hex of the bytes. */
void buf_appendhex(struct buf *buf, const void *base, size_t len);
void buf_printf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *buf, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

/* -- changing -- */
/* Cuts to len bytes, or grows with NULs. */
void buf_truncate(struct buf *buf, size_t len);
/* Bytes [off, off+len) become the new ones; a range beyond the end is cut to it. */
void buf_replace(struct buf *buf, size_t off, size_t len, const char *base, size_t newlen);
void buf_insert(struct buf *buf, size_t off, const char *base, size_t len);
void buf_remove(struct buf *buf, size_t off, size_t len);
/* Every `match` becomes `replacement`; the number of replacements. */
size_t buf_replace_all(struct buf *buf, const char *match, const char *replacement);
size_t buf_replace_char(struct buf *buf, char match, char replacement);
/* ASCII letters only. */
void buf_lcase(struct buf *buf);
void buf_ucase(struct buf *buf);
/* Takes white space (SP HT CR LF VT FF) off both ends. */
void buf_trim(struct buf *buf);
/* Every bare LF gets a CR in front, every bare CR an LF behind. */
void buf_tocrlf(struct buf *buf);

/* -- comparing and finding -- */
/* Byte order, a prefix sorts first: <0, 0, >0. */
int buf_cmp(const struct buf *a, const struct buf *b);
int buf_cmpcstr(const struct buf *a, const char *s);
bool buf_equal(const struct buf *a, const struct buf *b);
/* Offset of the byte at or after off, or -1. */
ptrdiff_t buf_findchar(const struct buf *buf, size_t off, int c);
/* Offset of the first occurrence of the bytes at or after off, or -1. */
ptrdiff_t buf_findmap(const struct buf *buf, size_t off, const char *base, size_t len);

#endif
