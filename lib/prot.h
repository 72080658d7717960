/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_PROT_H
#define INCLUDED_PROT_H
/*
 * prot -- buffered protocol streams over sockets, pipes and memory
 *
 * A connection has two streams, one for reading and one for writing. Layers
 * (TLS, a SASL security layer, deflate) are put under both; they always stack
 * in the order  application, deflate, SASL, TLS, descriptor.  All waiting goes
 * through poll with a time limit, so a slow or silent peer can delay a stream
 * only as long as its timeout.
 *
 * Sizes are bytes, times are seconds unless a name says otherwise. Functions
 * return 0 or a count on success and EOF (-1) on failure; after a failure
 * prot_error() has the text and every later call on the stream fails too.
 *
 * Not for two threads at once. SIGPIPE is never raised by a socket stream.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

struct buf;
struct protstream;
struct prot_layer; /* prot_layer.h */

#define PROT_BUFSIZE 16384

/* Texts of prot_error(). The first is what IMAP and LMTP say after BYE (handbook 04 §1.1, §7.2). */
#define PROT_TIMEOUT_STRING "idle for too long"
#define PROT_EOF_STRING "end of file reached"

/* ---- making and ending ---- */

/* A stream over fd; write selects the direction. fd stays the caller's to close. */
struct protstream *prot_new(int fd, bool write);
/* A reading stream over len bytes at base (borrowed until prot_free). */
struct protstream *prot_readmap(const char *base, size_t len);
/* A writing stream that appends to buf (borrowed until prot_free). */
struct protstream *prot_writebuf(struct buf *buf);
/* Free the stream and its layers; does not flush and does not close fd. NULL is allowed. */
void prot_free(struct protstream *s);

/* Between a command and the next: an empty buffer is given back until there is use for it. No prot_ungetc() next. */
void prot_rest(struct protstream *s);

int prot_fd(const struct protstream *s);           /* -1 for memory streams */
bool prot_is_writer(const struct protstream *s);

/* ---- settings ---- */

/* Longest time without a byte moved, for reads and for writes; 0 waits for ever (default). */
void prot_settimeout(struct protstream *s, int seconds);
int prot_timeout(const struct protstream *s);
/* Restart the clock of a reading stream without waiting for input (a command that was long at work). */
void prot_resettimeout(struct protstream *s);
/* Whenever `in` has to wait for input, flush `out` first. NULL switches it off. */
void prot_setflushonread(struct protstream *in, struct protstream *out);
/* This end is the client: literals are written {n+}, and are expected without "+ go ahead". */
void prot_setisclient(struct protstream *s, bool isclient);
bool prot_isclient(const struct protstream *s);
/* Copy all traffic to logfd (telemetry, handbook 05 §4.5); -1 stops. logfd stays the caller's. */
void prot_setlog(struct protstream *s, int logfd);
/* TCP keepalive on fd from the tcp_keepalive* values; 0 leaves the system's number. */
void prot_setkeepalive(int fd, bool on, int count, int idle, int interval);

/* Limits for the token readers of imparse.h, carried by the reading stream. 0 means no limit. */
struct prot_limits {
    size_t maxword;       /* bytes of an atom (option maxword) */
    size_t maxquoted;     /* bytes of a quoted string (maxquoted) */
    size_t maxliteral;    /* bytes of a literal argument (maxliteral) */
    size_t maxargssize;   /* bytes of all arguments of one command (maxargssize) */
    bool literalminus;    /* non-synchronising literals above 4096 bytes are refused (literalminus) */
    bool utf8;            /* quoted strings are UTF-8, and an atom has no byte above 127 (RFC 6855 §3) */
};
void prot_setlimits(struct protstream *s, const struct prot_limits *limits);
const struct prot_limits *prot_limits(const struct protstream *s);
/* A new command begins: maxargssize counts from here (call it behind the bytes of an APPEND literal, too). */
void prot_markcommand(struct protstream *s);
uint64_t prot_commandbytes(const struct protstream *s);

/* ---- layers ---- */

/* Put raw deflate (window 15, RFC 4978) on a stream: each flush ends in a sync flush.
 * EOF if the library refuses or the layer is there already. */
int prot_setcompress(struct protstream *s);
/* The same with zstd (window 17), each flush ends a block. EOF also where this build has none: prot_haszstd(). */
int prot_setzstd(struct protstream *s);
bool prot_haszstd(void);
/* By either. */
bool prot_iscompressed(const struct protstream *s);
/* Put a SASL security layer on a stream; conn is a sasl_conn_t that outlives the stream.
 * Does nothing (returns 0) if none was negotiated. EOF if unread input would skip the layer. */
int prot_setsasl(struct protstream *s, void *conn);
/* Whether a layer is active: "tls", "sasl", "deflate", "zstd". */
bool prot_haslayer(const struct protstream *s, const char *name);
/* Give the stream a layer (prot_layer.h); takes ownership. Used by tls.h and the two above. */
int prot_pushlayer(struct protstream *s, struct prot_layer *layer);
/* Forget input that was read ahead; returns how many bytes. Called before STARTTLS takes effect. */
size_t prot_discardinput(struct protstream *s);

/* ---- reading ---- */

struct prot_head { const unsigned char *ptr; size_t left; }; /* private to the inline below */
int prot_fillgetc(struct protstream *s);
/* Next byte (0..255) or EOF. */
static inline int prot_getc(struct protstream *s)
{
    struct prot_head *h = (struct prot_head *)(void *)s;
    if (!h->left) return prot_fillgetc(s);
    h->left--;
    return *h->ptr++;
}
/* Push back the byte just read. One byte is always possible after a prot_getc. EOF is ignored. */
int prot_ungetc(int c, struct protstream *s);
/* The next byte without taking it, or EOF. Waits. */
int prot_peek(struct protstream *s);
/* Up to len bytes, at least one unless at the end (0) or failed (0, see prot_error). */
size_t prot_read(struct protstream *s, char *dst, size_t len);
/* Take up to max bytes without copying: *base points into the buffer until the next call. 0 at the end. */
size_t prot_readview(struct protstream *s, const char **base, size_t max);
/* Append exactly len bytes to buf; EOF if the stream ends before. */
int prot_readbuf(struct protstream *s, struct buf *buf, size_t len);
/* Read and drop exactly len bytes; EOF if the stream ends before. */
int prot_skip(struct protstream *s, uint64_t len);
/* As fgets: at most size-1 bytes up to and with LF, NUL-terminated. NULL at the end. */
char *prot_fgets(char *dst, size_t size, struct protstream *s);
/* Append a line without its CRLF or LF to buf (which is reset first). Longer than max, or no LF before the end: EOF. */
int prot_getline(struct protstream *s, struct buf *line, size_t max);

/* Bytes, or the end, can be had without waiting. */
bool prot_ready(struct protstream *s);
/* Wait for input at most timeout_ms (-1: for ever). 1 ready (or at the end), 0 not (also: a signal came), EOF error. */
int prot_wait(struct protstream *s, int timeout_ms);

/* Wait for input on any of n streams or on extra_fd (-1: none). Sets ready flags; returns their number
 * (extra included), 0 on timeout or signal, EOF on error. timeout_ms -1 waits for ever. */
struct prot_selectitem { struct protstream *s; bool ready; };
int prot_select(struct prot_selectitem *items, size_t n, int extra_fd, bool *extra_ready, int timeout_ms);

/*
 * Called before each wait for a peer, on any stream of this process, NULL for nothing. Builds for tests have it look at what must
 * not be held then.
 */
void prot_setwaitcheck(void (*check)(void));

/* ---- while a read waits ---- */

/* Called when something happens while a read waits. 0: go on waiting; else the read fails (errno EINTR,
 * prot_error "interrupted"). It may write to the other stream and flush it. */
typedef int prot_waitproc(struct protstream *s, void *rock);
/* fd is readable. At most PROT_MAXWAITFDS; EOF if there are more. proc NULL removes fd. */
#define PROT_MAXWAITFDS 4
int prot_setwaitfd(struct protstream *s, int fd, prot_waitproc *proc, void *rock);
/* Every interval_ms, from the start of the wait, of a writing stream, too. proc NULL or interval 0 removes it. */
void prot_setwaittimer(struct protstream *s, int interval_ms, prot_waitproc *proc, void *rock);
/* A signal interrupted the wait (EINTR), and once before each wait. NULL removes it. */
void prot_setinterrupt(struct protstream *s, prot_waitproc *proc, void *rock);

/* ---- writing ---- */

/* All of these return 0, or EOF when the stream has failed. */
int prot_putc(int c, struct protstream *s);
int prot_write(struct protstream *s, const char *base, size_t len); /* large data goes out uncopied */
int prot_puts(struct protstream *s, const char *str);
int prot_putbuf(struct protstream *s, const struct buf *buf);
int prot_printf(struct protstream *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int prot_vprintf(struct protstream *s, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Send everything that is buffered, through all layers. */
int prot_flush(struct protstream *s);
/* Drop buffered output (before a fatal message on a stream in an unknown state). */
void prot_discardoutput(struct protstream *s);

/* Is it written as an atom / between quotes? Not both: NIL, 8-bit text and the like are neither. */
bool prot_isatom(const char *base, size_t len);
bool prot_isquotable(const char *base, size_t len);
/* Strings as IMAP writes them (RFC 3501 §4.3, handbook 04 §2). A literal carries "+" when prot_isclient(). */
int prot_printliteral(struct protstream *s, const char *base, size_t len);
int prot_printliteral8(struct protstream *s, const char *base, size_t len);  /* ~{n} */
int prot_printmap(struct protstream *s, const char *base, size_t len);       /* quoted, or literal where it must be */
int prot_printstring(struct protstream *s, const char *str);                 /* the same for text; NULL prints NIL */
int prot_printamap(struct protstream *s, const char *base, size_t len);      /* atom, quoted or literal */
int prot_printastring(struct protstream *s, const char *str);                /* the same for text; NULL prints NIL */

/* ---- state ---- */

/* Text of the failure, or NULL while all is well. The end of input is PROT_EOF_STRING. */
const char *prot_error(const struct protstream *s);
bool prot_is_eof(const struct protstream *s);
bool prot_is_timeout(const struct protstream *s);
int prot_errno(const struct protstream *s); /* errno of the failure, 0 if none */
/* Set the error from outside (a layer above found the data broken). text must be static. */
void prot_seterror(struct protstream *s, int err, const char *text);
/* Application bytes moved since the start (before compression and encryption). */
uint64_t prot_bytes(const struct protstream *s);

#endif
