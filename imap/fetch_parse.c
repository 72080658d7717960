/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fetch_parse -- the items and modifiers of a FETCH command
 *
 * Items are looked up in a table; BODY and BINARY with their brackets are read by
 * fetch_parse_section.c. On an error the command has been answered (handbook 04
 * §3.12 no. 5), and the request holds what was read so far.
 */
#include <config.h>

#include <stdlib.h>

#include "fetch.h"
#include "util.h"

static const struct {
    const char *name;
    uint32_t items;
} simple_items[] = {
    { "FLAGS", FETCH_FLAGS },
    { "UID", FETCH_UID },
    { "INTERNALDATE", FETCH_INTERNALDATE },
    { "RFC822.SIZE", FETCH_SIZE },
    { "ENVELOPE", FETCH_ENVELOPE },
    { "BODY", FETCH_BODY },
    { "BODYSTRUCTURE", FETCH_BODYSTRUCTURE },
    { "MODSEQ", FETCH_MODSEQ },
    { "EMAILID", FETCH_EMAILID },
    { "THREADID", FETCH_THREADID },
    { "SAVEDATE", FETCH_SAVEDATE },
    { "RFC822", FETCH_RFC822 | FETCH_SETSEEN },
    { "RFC822.PEEK", FETCH_RFC822 },
    { "RFC822.HEADER", FETCH_HEADER },
    { "RFC822.TEXT", FETCH_TEXT | FETCH_SETSEEN },
    { "RFC822.TEXT.PEEK", FETCH_TEXT },
    { "DIGEST.SHA1", FETCH_DIGEST },
    { "RFC822.SHA1", FETCH_SHA1 },
    { "RFC822.FILESIZE", FETCH_FILESIZE },
    { "CREATEDMODSEQ", FETCH_CREATEDMODSEQ },
    { "LASTUPDATED", FETCH_LASTUPDATED },
    { "FOLDER", FETCH_FOLDER },
    { "UIDVALIDITY", FETCH_UIDVALIDITY },
    { "CID", FETCH_CID | FETCH_CONVERSATIONS },
    { "BASECID", FETCH_BASECID | FETCH_CONVERSATIONS },
    { "MAILBOXES", FETCH_MAILBOXES | FETCH_CONVERSATIONS },
    { "MAILBOXIDS", FETCH_MAILBOXIDS | FETCH_CONVERSATIONS },
};

static const struct {
    const char *name;
    uint32_t items;
} macros[] = {
    { "FAST", FETCH_FLAGS | FETCH_INTERNALDATE | FETCH_SIZE },
    { "ALL", FETCH_FLAGS | FETCH_INTERNALDATE | FETCH_SIZE | FETCH_ENVELOPE },
    { "FULL", FETCH_FLAGS | FETCH_INTERNALDATE | FETCH_SIZE | FETCH_ENVELOPE | FETCH_BODY },
};

static bool simple_item(struct imap_session *s, struct fetch_request *req, const char *word,
                        bool inlist)
{
    for (size_t i = 0; i < array_size(simple_items); i++) {
        if (strcmp(word, simple_items[i].name)) continue;
        uint32_t items = simple_items[i].items;
        if ((items & FETCH_CONVERSATIONS) && !s->options->conversations) return false;
        req->items |= items & ~(uint32_t)FETCH_CONVERSATIONS;
        return true;
    }
    for (size_t i = 0; !inlist && i < array_size(macros); i++) {
        if (strcmp(word, macros[i].name)) continue;
        req->items |= macros[i].items;
        return true;
    }
    return false;
}

/* "(a b c)" or one astring, behind a blank, into list. */
static bool astring_list(struct imap_session *s, strarray_t *list, bool upper)
{
    struct buf buf = BUF_INITIALIZER;
    bool ok = true;

    s->c = prot_getc(s->in);
    bool many = s->c == '(';
    if (!many && s->c >= 0) prot_ungetc(s->c, s->in);
    do {
        s->c = getastring(s->in, s->out, &buf);
        ok = s->c >= 0 && buf_len(&buf);
        if (ok && upper) buf_ucase(&buf);
        if (ok) strarray_append(list, buf_cstring(&buf));
    } while (ok && many && s->c == ' ');
    if (ok && many) {
        ok = s->c == ')';
        if (ok) s->c = prot_getc(s->in);
    }
    buf_free(&buf);
    return ok;
}

/* ANNOTATION (entries attribs) behind the word. */
static bool annotation_item(struct imap_session *s, struct fetch_request *req)
{
    bool ok = s->c == ' ' && prot_getc(s->in) == '(' &&
              astring_list(s, &req->annot_entries, false) && s->c == ' ' &&
              astring_list(s, &req->annot_attribs, false) && s->c == ')';

    if (!ok) {
        imap_bad(s, "Invalid annotation in %s", buf_cstring(&s->cmdname));
        return false;
    }
    s->c = prot_getc(s->in);
    for (int i = 0; i < strarray_size(&req->annot_entries); i++) {
        if (*strarray_nth(&req->annot_entries, i) == '/' ||
            *strarray_nth(&req->annot_entries, i) == '*')
            continue;
        imap_bad(s, "Invalid annotation in %s", buf_cstring(&s->cmdname));
        return false;
    }
    req->items |= FETCH_ANNOTATION;
    return true;
}

/* PREVIEW, PREVIEW (LAZY); behind the word. */
static bool preview_item(struct imap_session *s, struct fetch_request *req)
{
    struct buf word = BUF_INITIALIZER;
    bool ok = true;

    req->items |= FETCH_PREVIEW;
    if (s->c == '(' || (s->c == ' ' && prot_peek(s->in) == '(')) {
        if (s->c == ' ') prot_getc(s->in);
        do {
            s->c = getword(s->in, &word);
            buf_ucase(&word);
            ok = s->c >= 0 && !buf_cmpcstr(&word, "LAZY");
        } while (ok && s->c == ' ');
        if (!ok)
            imap_bad(s, "FETCH contains invalid preview modifier (%s)", buf_cstring(&word));
        else
            ok = imap_arg_close(s, &s->cmdname);
    }
    buf_free(&word);
    return ok;
}

/* RFC822.HEADER.LINES[.NOT] (names), behind the word. */
static bool header_lines_item(struct imap_session *s, struct fetch_request *req, const char *word)
{
    if (s->c != ' ' || prot_peek(s->in) != '(' || !astring_list(s, &req->header_lines, false)) {
        imap_bad(s, "Missing required argument to %s %s", buf_cstring(&s->cmdname), word);
        return false;
    }
    req->have_header_lines = true;
    req->header_lines_not = !strcmp(word, "RFC822.HEADER.LINES.NOT");
    return true;
}

static bool one_item(struct imap_session *s, struct fetch_request *req, bool inlist)
{
    struct buf word = BUF_INITIALIZER;
    bool ok;

    s->c = getword(s->in, &word);
    buf_ucase(&word);
    const char *w = buf_cstring(&word);
    if (s->c < 0) {
        imap_bad(s, "Invalid %s attribute %s", buf_cstring(&s->cmdname), w);
        ok = false;
    }
    else if (!strcmp(w, "ANNOTATION"))
        ok = annotation_item(s, req);
    else if (!strcmp(w, "PREVIEW"))
        ok = preview_item(s, req);
    else if (strstarts(w, "RFC822.HEADER.LINES"))
        ok = header_lines_item(s, req, w);
    else if (strstarts(w, "BODY[") || strstarts(w, "BODY.PEEK[") || strstarts(w, "BINARY[") ||
             strstarts(w, "BINARY.PEEK[") || strstarts(w, "BINARY.SIZE["))
        ok = fetch_parse_section(s, req, w);
    else {
        ok = simple_item(s, req, w, inlist);
        if (!ok) imap_bad(s, "Invalid Fetch attribute %s", w);
    }
    buf_free(&word);
    return ok;
}

bool fetch_parse_items(struct imap_session *s, struct fetch_request *req)
{
    if (!imap_arg_more(s)) return false;
    s->c = prot_getc(s->in);
    if (s->c != '(') {
        if (s->c >= 0) prot_ungetc(s->c, s->in);
        if (s->c == '\r' || s->c == '\n') {
            s->c = prot_getc(s->in);
            imap_bad(s, "Missing required argument to %s", buf_cstring(&s->cmdname));
            return false;
        }
        return one_item(s, req, false);
    }
    do {
        if (!one_item(s, req, true)) return false;
    } while (s->c == ' ');
    return imap_arg_close(s, &s->cmdname);
}

static bool one_modifier(struct imap_session *s, struct fetch_request *req)
{
    struct buf word = BUF_INITIALIZER;
    bool ok = true;

    s->c = getword(s->in, &word);
    buf_ucase(&word);
    if (!buf_cmpcstr(&word, "CHANGEDSINCE") && s->c == ' ') {
        s->c = getmodseq(s->in, &req->changedsince);
        req->has_changedsince = s->c >= 0;
        if (s->c < 0) {
            imap_bad(s, "Invalid argument to %s CHANGEDSINCE", buf_cstring(&s->modname));
            ok = false;
        }
    }
    else if (!buf_cmpcstr(&word, "VANISHED") && s->usinguid && s->qresync) {
        req->vanished = true;
    }
    else if (!buf_cmpcstr(&word, "PARTIAL") && s->usinguid) {
        ok = req->has_partial = imap_get_range(s, &req->partial);
        if (!ok) imap_bad(s, "Invalid argument to %s PARTIAL", buf_cstring(&s->modname));
    }
    else {
        imap_bad(s, "Invalid %s modifier %s", buf_cstring(&s->modname), buf_cstring(&word));
        ok = false;
    }
    buf_free(&word);
    return ok;
}

static bool parse_modifiers(struct imap_session *s, struct fetch_request *req)
{
    if (s->c != ' ') return true;
    s->c = prot_getc(s->in);
    if (s->c != '(') {
        imap_bad(s, "Missing required open parenthesis in %s modifiers", buf_cstring(&s->modname));
        return false;
    }
    do {
        if (!one_modifier(s, req)) return false;
    } while (s->c == ' ');
    if (!imap_arg_close(s, &s->modname)) return false;
    if (req->vanished && !req->has_changedsince) {
        imap_bad(s, "Missing required argument to %s", buf_cstring(&s->modname));
        return false;
    }
    return true;
}

bool fetch_parse(struct imap_session *s, struct fetch_request *req)
{
    if (!fetch_parse_items(s, req) || !parse_modifiers(s, req) || !imap_arg_end(s)) return false;
    if (s->usinguid && !s->uidonly) req->items |= FETCH_UID;
    if (req->has_changedsince) req->items |= FETCH_MODSEQ;
    return true;
}

static void free_sections(struct fetch_section *sec)
{
    while (sec) {
        struct fetch_section *next = sec->next;
        buf_free(&sec->text);
        strarray_fini(&sec->fields);
        free(sec);
        sec = next;
    }
}

void fetch_request_fini(struct fetch_request *req)
{
    for (size_t i = 0; i < array_size(req->sections); i++) free_sections(req->sections[i]);
    strarray_fini(&req->header_lines);
    strarray_fini(&req->annot_entries);
    strarray_fini(&req->annot_attribs);
}
