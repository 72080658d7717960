/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_IMPARSE_H
#define INCLUDED_IMPARSE_H
/*
 * imparse -- reading the tokens of IMAP-like protocols from a stream
 *
 * Every get function returns the byte that follows the token (0..255), which has
 * been taken from the stream, or one of the negative results below. The caller
 * goes on with that byte: ' ' for another argument, ')' for the end of a list,
 * CR or LF for the end of the line.
 *
 * After IMPARSE_BAD the offending byte is back on the stream, so that eatline()
 * can skip the rest of the command. The limits are those of the stream
 * (prot_setlimits); with their `utf8` a quoted string that is no UTF-8 is IMPARSE_BAD, too. RFC 9051 §9, handbook 04 §2.1 and §2.6.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct protstream;

enum imparse_result {
    IMPARSE_EOF = -1,        /* the stream ended or failed: prot_error() */
    IMPARSE_BAD = -2,        /* no such token here */
    IMPARSE_TOOBIG = -3,     /* synchronising literal too large; was not asked for: NO [TOOBIG] */
    IMPARSE_BYE_LITERAL = -4,   /* non-synchronising literal too large: the connection cannot go on */
    IMPARSE_BYE_LITERALMINUS = -5, /* the same, above 4096 bytes with literalminus */
    IMPARSE_BYE_WORD = -6,      /* atom too long */
    IMPARSE_BYE_QUOTED = -7,    /* quoted string too long */
    IMPARSE_BYE_NUMBER = -8,    /* number out of range */
    IMPARSE_BYE_ARGS = -9,      /* arguments of the command too long together (maxargssize) */
};
/* Results after which the connection has to be closed with BYE (handbook 04 §2.6). */
static inline bool imparse_is_fatal(int r) { return r <= IMPARSE_BYE_LITERAL; }
/* Text for the result as 3.6.1 gives it, "[TOOBIG] ..." included; "" for IMPARSE_EOF and IMPARSE_BAD. */
const char *imparse_text(int r);

/* Set the limits of the stream from maxword, maxquoted, maxliteral, maxargssize, literalminus. */
void imparse_configlimits(struct protstream *in);

/* ---- tokens; the text is put into buf (reset first, NUL-terminated) ---- */

/* Everything up to SP, CR, LF, '(' , ')' or '"'. May be empty: then the next byte is the delimiter. */
int getword(struct protstream *in, struct buf *buf);
/* Everything up to SP, CR or LF (MUPDATE, LMTP and sync command words). May be empty. */
int getblankword(struct protstream *in, struct buf *buf);
/* atom, quoted or literal. out gets "+ go ahead" for a synchronising literal; NULL: none is sent. NUL is IMPARSE_BAD. */
int getastring(struct protstream *in, struct protstream *out, struct buf *buf);
/* The same or NIL; *isnil tells (may be NULL: NIL is then the empty string). */
int getnastring(struct protstream *in, struct protstream *out, struct buf *buf, bool *isnil);
/* quoted or literal only. */
int getstring(struct protstream *in, struct protstream *out, struct buf *buf);
/* quoted, literal, or NIL. */
int getnstring(struct protstream *in, struct protstream *out, struct buf *buf, bool *isnil);
/* quoted only. */
int getqstring(struct protstream *in, struct buf *buf);
/* astring whose literal may also be ~{n}; NULs allowed. *isbinary tells whether it was literal8 (may be NULL). */
int getbastring(struct protstream *in, struct protstream *out, struct buf *buf, bool *isbinary);
/* nstring with NULs and literal8 allowed (annotation values). */
int getbnstring(struct protstream *in, struct protstream *out, struct buf *buf, bool *isnil);

/* ---- literals whose bytes the caller takes itself (APPEND) ---- */
struct imparse_literal {
    uint64_t size;
    bool nonsync; /* {n+}: the bytes come without being asked for */
    bool binary;  /* ~{n} */
};
/* Read "{n}", "{n+}", "~{n}" or "~{n+}" with its line end. The next byte of the stream is the first of the
 * literal (after imparse_goahead for a synchronising one). Returns 0 or IMPARSE_EOF, _BAD, _BYE_NUMBER. */
int getliteralheader(struct protstream *in, struct imparse_literal *lit);
/* Ask for a synchronising literal: "+ go ahead" and flush. Does nothing if it is not one. EOF on failure. */
int imparse_goahead(struct protstream *out, const struct imparse_literal *lit);

/* ---- numbers: the token must be digits; none is IMPARSE_BAD, overflow IMPARSE_BYE_NUMBER ---- */
int getuint32(struct protstream *in, uint32_t *num);
int getint32(struct protstream *in, int32_t *num);   /* 0..2147483647, with an optional '-' */
int getuint64(struct protstream *in, uint64_t *num);
int getint64(struct protstream *in, int64_t *num);
int getmodseq(struct protstream *in, uint64_t *num); /* 63 bits (RFC 7162) */

/* A sequence set as text, checked with imparse_issequence; anything else is IMPARSE_BAD. */
int getsequence(struct protstream *in, struct buf *buf);

/* Skip to the end of the line, c being the last byte taken (or a negative result). A non-synchronising literal
 * announced at the end of the line is skipped with its bytes, and so on to the real end of the command. After
 * IMPARSE_TOOBIG the line is at its end already: nothing is skipped. */
#define EATLINE_DLIST 1 /* also file literals %{partition guid size}, and literals without '+' */
void eatline(struct protstream *in, int c, unsigned flags);
/* If c is CR take the LF after it: returns '\n' at an end of line, IMPARSE_BAD (byte pushed back) if something else follows CR,
 * and c itself otherwise. */
int imparse_eol(struct protstream *in, int c);

/* ---- tests on text ---- */
bool imparse_isatom(const char *s);                    /* RFC 9051 atom, not empty */
bool imparse_isnatom(const char *s, size_t len);
bool imparse_istag(const char *s);                     /* as isatom but '+' is accepted too (handbook 04 §2.1) */
bool imparse_isnumber(const char *s);                  /* digits only, not empty */
bool imparse_issequence(const char *s);                /* handbook 04 §2.6: '*', numbers, ranges, commas */
/* In place: "fETCH" becomes "Fetch" (command words, handbook 04 §2.1). */
void imparse_cmdcase(char *s);

#endif
