/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * append_catenate -- CATENATE (URL "..." TEXT {n} UTF8 (~{n}) ...) of APPEND (RFC 4469, RFC 5092, RFC 6855 §4)
 *
 * URLs are relative ones of this server: a message, or a section of it, of a mailbox
 * that the session may read, or of the selected one. Errors of a URL are
 * NO [BADURL "..."] with the texts of handbook 04 §3.10 no. 9.
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "append_parse.h"
#include "imap_err.h"
#include "index.h"
#include "mailbox.h"
#include "message_section.h"
#include "xmalloc.h"

struct url {
    extname_t mailbox;         /* none: the selected one */
    uint32_t uidvalidity, uid; /* uidvalidity 0: not given */
    char *section;             /* NULL: the whole message */
};

static void url_fini(struct url *url)
{
    extname_free(&url->mailbox);
    free(url->section);
}

/* "%41" to "A"; NULL for bad digits or a NUL. The caller frees. */
static char *unescape(const char *s, size_t len)
{
    struct buf out = BUF_INITIALIZER;

    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        if (c == '%') {
            if (i + 2 >= len || hexval(s[i + 1]) < 0 || hexval(s[i + 2]) < 0)
                c = '\0';
            else
                c = (char)(hexval(s[i + 1]) * 16 + hexval(s[i + 2]));
            i += 2;
        }
        if (!c) {
            buf_free(&out);
            return NULL;
        }
        buf_putc(&out, c);
    }
    return buf_release(&out);
}

/* ";NAME=value" up to '/', ';' or the end: the value, *p behind it; NULL: not there. */
static const char *param(const char **p, const char *name, size_t *len)
{
    size_t n = strlen(name);
    const char *v = *p;

    if (*v == '/') v++;
    if (*v != ';' || cyr_strncasecmp(v + 1, name, n) || v[1 + n] != '=') return NULL;
    v += n + 2;
    *len = strcspn(v, "/;");
    *p = v + *len;
    return v;
}

/* Text of the fault, or NULL. */
static const char *url_parse(const char *text, struct url *url)
{
    const char *p = text, *v;
    size_t len;

    if (*p != '/') return "Only relative URLs are supported";
    if (p[1] != ';') {
        len = strcspn(p + 1, ";");
        while (len && p[len] == '/') len--;
        url->mailbox = extname_of(unescape(p + 1, len));
        if (extname_isempty(url->mailbox)) return "Improperly specified URL";
        p += 1 + len;
    }
    if ((v = param(&p, "UIDVALIDITY", &len)) && parse_u32(v, len, &url->uidvalidity))
        return "Improperly specified URL";
    v = param(&p, "UID", &len);
    if (!v || parse_u32(v, len, &url->uid) || !url->uid) return "Improperly specified URL";
    if ((v = param(&p, "SECTION", &len))) {
        /* A section may hold no '/', but ends in nothing else. */
        url->section = unescape(v, len);
        if (!url->section) return "Improperly specified URL";
    }
    return *p ? "Improperly specified URL" : NULL;
}

/* Appends the section to the spool. */
static int add_section(struct mailbox *mailbox, const struct index_record *rec, const char *section,
                       const struct buf *file, struct spool *spool)
{
    struct section_spec spec;
    struct section_range range;
    struct cacherecord cache;
    struct buf view = BUF_INITIALIZER;
    size_t used;

    if (!section || !*section) return spool_add(spool, file->s, file->len);
    if (!section_spec_parse(section, strlen(section), &spec, &used) || section[used] ||
        spec.what == SECTION_FIELDS || spec.what == SECTION_FIELDS_NOT)
        return IMAP_BADURL;
    int r = mailbox_cacherecord(mailbox, rec, &view);
    if (!r) r = cacherecord_parse(view.s, view.len, &cache);
    if (!r) r = section_find(&cache, rec->cache_version, file->len, &spec, &range);
    if (!r) {
        struct msgtext t = section_view(&range, file->s, file->len, 0, UINT64_MAX);
        r = spool_add(spool, t.s, t.len);
    }
    buf_free(&view);
    return r == IMAP_NOTFOUND ? IMAP_BADURL : r;
}

static const char *copy_message(struct mailbox *mailbox, const struct url *url, struct spool *spool)
{
    struct index_record rec;
    struct buf file = BUF_INITIALIZER;

    if (url->uidvalidity && url->uidvalidity != mailbox_index_header(mailbox)->uidvalidity)
        return "Uidvalidity of mailbox has changed";
    if (mailbox_find_uid(mailbox, url->uid, &rec) || (rec.internal_flags & FLAG_INTERNAL_EXPUNGED))
        return "No such message in mailbox";
    int r = mailbox_map_record(mailbox, &rec, &file);
    if (!r) r = add_section(mailbox, &rec, url->section, &file, spool);
    buf_free(&file);
    return r == IMAP_BADURL ? "No such message part" : r ? error_message(r) : NULL;
}

/* Opened anew, also the selected one: its lock must not be held by anybody else here. */
static const char *fetch_url(struct imap_session *s, const struct url *url, struct spool *spool)
{
    mbentry_t *mbentry = NULL;
    struct mailbox *mailbox = NULL;

    bool selected = extname_isnone(url->mailbox);
    if (selected && !s->index) return "No mailbox is selected or specified";
    extname_t ext = selected ? imap_extname(s, index_mboxname(s->index)) : extname_dup(url->mailbox);
    int r = imap_lookup(s, ext, ACL_READ, NULL, &mbentry);
    if (!r) r = mailbox_open_mbentry(mbentry, &mailbox);
    const char *fault = r ? error_message(r) : copy_message(mailbox, url, spool);
    mailbox_close(&mailbox);
    mbentry_free(&mbentry);
    extname_free(&ext);
    return fault;
}

static bool url_part(struct imap_session *s, struct spool *spool)
{
    struct buf text = BUF_INITIALIZER;
    struct url url = { 0 };
    const char *fault;

    if (s->c == ' ') s->c = getastring(s->in, s->out, &text);
    if (s->c < 0 || !buf_len(&text)) {
        imap_bad(s, "Missing URL in Append command");
        buf_free(&text);
        return false;
    }
    fault = url_parse(buf_cstring(&text), &url);
    if (!fault) fault = fetch_url(s, &url, spool);
    if (fault) imap_no(s, "[BADURL \"%s\"] %s", buf_cstring(&text), fault);
    url_fini(&url);
    buf_free(&text);
    return !fault;
}

static bool take_part(struct imap_session *s, const struct imparse_literal *lit, struct spool *spool)
{
    uint64_t total = spool->size + lit->size;

    if (total <= UINT32_MAX && (!s->options->maxmessagesize || total <= s->options->maxmessagesize))
        return append_read_literal(s, lit, spool);
    append_refuse_literal(s, lit);
    imap_no(s, "[TOOBIG] %s", error_message(IMAP_MESSAGE_TOO_LARGE));
    return false;
}

static bool text_part(struct imap_session *s, struct spool *spool)
{
    struct imparse_literal lit;

    int r = s->c == ' ' ? getliteralheader(s->in, &lit) : IMPARSE_BAD;
    if (r) {
        s->c = r;
        imap_bad(s, "Invalid literal in Append command");
        return false;
    }
    return take_part(s, &lit, spool);
}

static bool utf8_part(struct imap_session *s, struct append_message *msg)
{
    struct imparse_literal lit;

    msg->utf8 = msg->utf8_allowed = true;
    return append_utf8_header(s, &lit) && take_part(s, &lit, &msg->spool) && imap_arg_close(s, &s->cmdname);
}

bool append_catenate(struct imap_session *s, struct append_message *msg)
{
    struct spool *spool = &msg->spool;

    msg->utf8_allowed = s->rev2;
    struct buf word = BUF_INITIALIZER;
    bool ok = s->c == ' ' && (s->c = prot_getc(s->in)) == '(';

    if (!ok) {
        imap_bad(s, "Missing message part list in Append command");
        return false;
    }
    do {
        s->c = getword(s->in, &word);
        if (!cyr_strcasecmp(buf_cstring(&word), "TEXT"))
            ok = text_part(s, spool);
        else if (!cyr_strcasecmp(buf_cstring(&word), "URL"))
            ok = url_part(s, spool);
        else if (!cyr_strcasecmp(buf_cstring(&word), "UTF8"))
            ok = utf8_part(s, msg);
        else {
            imap_bad(s, "Invalid message part type in Append command");
            ok = false;
        }
    } while (ok && s->c == ' ');
    if (ok && s->c != ')') {
        imap_bad(s, "Missing space or ) after message list in Append command");
        ok = false;
    }
    if (ok && !spool->size) {
        imap_result(s, IMAP_ZERO_LENGTH_LITERAL);
        ok = false;
    }
    if (ok) s->c = prot_getc(s->in);
    buf_free(&word);
    return ok;
}
