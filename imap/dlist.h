/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_DLIST_H
#define INCLUDED_DLIST_H
/*
 * dlist -- the tree of named values in databases and in the sync protocol
 *
 * Text forms: handbook 01 §1.9 (databases) and 03 §1.6, §1.7, §2 (wire). What is
 * printed is strict; what is read is liberal: any key order, unknown keys kept
 * but not looked at, white space between items. Types are not visible in the
 * text: a tree that was read holds strings, and the getters convert.
 *
 * Errors are imap_err codes: IMAP_PROTOCOL_ERROR for text that is no dlist,
 * IMAP_IOERROR for a stream that ended or a file that could not be kept.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "buf.h"
#include "message_guid.h"

struct protstream;

enum dlist_type {
    DL_NIL,
    DL_ATOM,  /* text; also what a quoted string or literal was */
    DL_FLAG,  /* text printed bare */
    DL_NUM,   /* also num32 and dates */
    DL_HEX,   /* 64 bit, 16 digits */
    DL_GUID,
    DL_BUF,   /* octets, may contain NUL */
    DL_FILE,  /* message file */
    DL_LIST,  /* ( ... )  values without names */
    DL_KVLIST /* %( ... ) named values */
};

/* Walk with dl->head and item->next; change only through the functions. */
struct dlist {
    struct dlist *head, *tail, *next; /* children of DL_LIST and DL_KVLIST */
    const char *name;                 /* key; NULL or "" for none */
    enum dlist_type type;
    uint32_t nchildren;
    uint64_t nval;                    /* DL_NUM, DL_HEX; DL_FILE: size in bytes */
    const char *sval;                 /* DL_ATOM, DL_FLAG, DL_BUF: NUL-terminated; DL_FILE: path, or NULL if the bytes are in data */
    size_t slen;
    struct dlist_extra *extra;        /* DL_GUID, DL_FILE */
};

/* ---- build: a new item at the end of parent (NULL: a root); val NULL makes NIL ---- */
struct dlist *dlist_newatom(struct dlist *parent, const char *name, const char *val);
struct dlist *dlist_newflag(struct dlist *parent, const char *name, const char *val);
struct dlist *dlist_newnum32(struct dlist *parent, const char *name, uint32_t val);
struct dlist *dlist_newnum64(struct dlist *parent, const char *name, uint64_t val);
struct dlist *dlist_newhex64(struct dlist *parent, const char *name, uint64_t val);
struct dlist *dlist_newdate(struct dlist *parent, const char *name, time_t val);
struct dlist *dlist_newguid(struct dlist *parent, const char *name, const struct message_guid *guid);
struct dlist *dlist_newmap(struct dlist *parent, const char *name, const char *base, size_t len);
struct dlist *dlist_newlist(struct dlist *parent, const char *name);
struct dlist *dlist_newkvlist(struct dlist *parent, const char *name);
/* A message in the file at path; read, and its size and SHA-1 checked, when it is printed. */
struct dlist *dlist_newfile(struct dlist *parent, const char *name, const char *partition, const struct message_guid *guid,
                            uint64_t size, const char *path);
/* The same from bytes; takes over the contents of data (which is left empty). */
struct dlist *dlist_newfilebuf(struct dlist *parent, const char *name, const char *partition,
                               const struct message_guid *guid, struct buf *data);
/* Same without the result, as most callers want it. */
#define dlist_setatom(p, n, v) ((void)dlist_newatom((p), (n), (v)))
#define dlist_setflag(p, n, v) ((void)dlist_newflag((p), (n), (v)))
#define dlist_setnum32(p, n, v) ((void)dlist_newnum32((p), (n), (v)))
#define dlist_setnum64(p, n, v) ((void)dlist_newnum64((p), (n), (v)))
#define dlist_sethex64(p, n, v) ((void)dlist_newhex64((p), (n), (v)))
#define dlist_setdate(p, n, v) ((void)dlist_newdate((p), (n), (v)))
#define dlist_setguid(p, n, v) ((void)dlist_newguid((p), (n), (v)))
#define dlist_setmap(p, n, b, l) ((void)dlist_newmap((p), (n), (b), (l)))
#define dlist_setfile(p, n, part, g, s, f) ((void)dlist_newfile((p), (n), (part), (g), (s), (f)))

/* Replace the value of child `name`, or add it. */
struct dlist *dlist_updateatom(struct dlist *parent, const char *name, const char *val);
struct dlist *dlist_updatenum64(struct dlist *parent, const char *name, uint64_t val);
struct dlist *dlist_updatehex64(struct dlist *parent, const char *name, uint64_t val);
struct dlist *dlist_updatemap(struct dlist *parent, const char *name, const char *base, size_t len);

void dlist_stitch(struct dlist *parent, struct dlist *child);   /* add a root as last child */
void dlist_unstitch(struct dlist *parent, struct dlist *child); /* take a child out: it becomes a root */
void dlist_rename(struct dlist *dl, const char *name);
struct dlist *dlist_dup(const struct dlist *dl);                /* without the bytes of file items */
void dlist_free(struct dlist **dlp);                            /* the whole tree; files on disk stay */

/* ---- print ---- */
/* Text of the item, with its name and a space before it if printkeys. To memory the literals are {n+}
 * (database form); to a stream they are {n+} for a client and {n} for a server (handbook 03 §1.6). */
void dlist_printbuf(const struct dlist *dl, bool printkeys, struct buf *out);
/* Returns 0, or EOF when the stream has failed. A file that cannot be read or is not what it should be
 * is logged and printed as NIL. */
int dlist_print(const struct dlist *dl, bool printkeys, struct protstream *out);
/* One string by the rules of handbook 01 §1.9: NIL, atom, quoted or literal. */
void dlist_printstring(struct buf *out, const char *base, size_t len, bool plus);

/* ---- read ---- */

/* Where the bytes of file literals go. A step that fails makes the parse fail after the bytes were read past. */
struct dlist_filesink {
    int (*begin)(void *rock, const char *partition, const struct message_guid *guid, uint64_t size);
    int (*data)(void *rock, const char *base, size_t len);
    /* ok false: the stream broke or an earlier step failed, clean up. path gets where the file is. */
    int (*end)(void *rock, bool ok, struct buf *path);
    void *rock;
};
/*
 * Where the items of one long list go, one by one, so that the memory is that of one item. The list is the value of the
 * first `key` of the outermost kvlist, wherever among its keys; if that value is no list, nothing is handed over. In the tree
 * that list is empty. What is read, counted and refused is the same as without.
 */
struct dlist_itemsink {
    const char *key;
    /* *itemp is a root, freed afterwards unless it was set to NULL. The line may still turn out to be broken behind it. */
    void (*item)(void *rock, struct dlist **itemp);
    void *rock;
};
struct dlist_parseopts {
    bool parsekeys;                     /* a name comes before the value */
    const struct dlist_filesink *sink;  /* NULL: a file literal is an error */
    const struct dlist_itemsink *items; /* NULL: all is kept */
    size_t maxliteral;                 /* bytes of one string, 0: no limit */
    size_t maxbytes;                   /* bytes of all strings and items together, 0: no limit */
    unsigned maxdepth;                 /* nesting; 0: DLIST_MAXDEPTH */
};
#define DLIST_MAXDEPTH 64
/* Read one item. *c is the byte after it (already taken). On failure nothing is skipped: see dlist_parseline. */
int dlist_parse(struct protstream *in, const struct dlist_parseopts *opts, struct dlist **dlp, int *c);
/* Read one item and the end of its line. On IMAP_PROTOCOL_ERROR the rest of the line is skipped, with the literals
 * and file literals in it, so that the connection stays usable. opts NULL: parsekeys, no sink. */
int dlist_parseline(struct protstream *in, const struct dlist_parseopts *opts, struct dlist **dlp);
/* Read an item that fills base..base+len (trailing white space allowed). */
int dlist_parsemap(struct dlist **dlp, bool parsekeys, const char *base, size_t len);

/* ---- look ---- */
struct dlist *dlist_getchild(const struct dlist *dl, const char *name); /* first with that name (case counts), or NULL */
struct dlist *dlist_getchildn(const struct dlist *dl, uint32_t n);      /* n-th from 0, or NULL */

/* Value of an item: true and *val, or false when it is NIL, missing (dl NULL), or cannot be converted. Pointers live as
 * long as the item and its value. */
bool dlist_toatom(const struct dlist *dl, const char **val);   /* false if it holds a NUL byte */
bool dlist_tomap(const struct dlist *dl, const char **base, size_t *len);
bool dlist_tonum32(const struct dlist *dl, uint32_t *val);     /* cut to 32 bits, as 3.6.1 does */
bool dlist_tonum64(const struct dlist *dl, uint64_t *val);
bool dlist_tohex64(const struct dlist *dl, uint64_t *val);
bool dlist_todate(const struct dlist *dl, time_t *val);
bool dlist_toguid(const struct dlist *dl, struct message_guid *val);      
bool dlist_tofile(const struct dlist *dl, const char **partition, const struct message_guid **guid, uint64_t *size,
                  const char **path);
bool dlist_isnil(const struct dlist *dl);                      /* NIL or NULL */

/* The same for the child `name` of a kvlist. */
bool dlist_getatom(const struct dlist *parent, const char *name, const char **val);
bool dlist_getmap(const struct dlist *parent, const char *name, const char **base, size_t *len);
bool dlist_getnum32(const struct dlist *parent, const char *name, uint32_t *val);
bool dlist_getnum64(const struct dlist *parent, const char *name, uint64_t *val);
bool dlist_gethex64(const struct dlist *parent, const char *name, uint64_t *val);
bool dlist_getdate(const struct dlist *parent, const char *name, time_t *val);
bool dlist_getguid(const struct dlist *parent, const char *name, struct message_guid *val);
bool dlist_getbuf(const struct dlist *parent, const char *name, struct buf *view); /* borrowed view */
/* Child `name` if it is a list or kvlist. */
bool dlist_getlist(const struct dlist *parent, const char *name, struct dlist **val);
bool dlist_getfile(const struct dlist *parent, const char *name, const char **partition, const struct message_guid **guid,
                   uint64_t *size, const char **path);

#endif
