/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * append_catenate -- CATENATE (URL "..." TEXT {n} UTF8 (~{n}) ...) of APPEND (RFC 4469, RFC 5092, RFC 6855 §4)
 *
 * URLs are relative ones of this server: a message, or a section of it, of a mailbox
 * that the session may read, or of the selected one. Errors of a URL are
 * NO [BADURL "..."] with the texts of handbook 04 §3.10 no. 9.
 */
#include <config.h>

#include "acl.h"
#include "append_parse.h"
#include "imap_err.h"
#include "imap_url.h"
#include "index.h"
#include "mailbox.h"

static const char *copy_message(struct mailbox *mailbox, const struct imapurl *url, struct spool *spool)
{
    struct url_message m;

    const char *fault = url_message_find(mailbox, url, &m);
    if (!fault) {
        struct msgtext t = section_view(&m.range, m.file.s, m.file.len, 0, UINT64_MAX);
        int r = spool_add(spool, t.s, t.len);
        if (r) fault = error_message(r);
    }
    url_message_fini(&m);
    return fault;
}

/* Opened anew, also the selected one: its lock must not be held by anybody else here. */
static const char *fetch_url(struct imap_session *s, const struct imapurl *url, struct spool *spool)
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
    struct imapurl url = { 0 };
    const char *fault = NULL;

    if (s->c == ' ') s->c = getastring(s->in, s->out, &text);
    if (s->c < 0 || !buf_len(&text)) {
        imap_bad(s, "Missing URL in Append command");
        buf_free(&text);
        return false;
    }
    if (*buf_cstring(&text) != '/')
        fault = "Only relative URLs are supported";
    else if (!imapurl_parse(buf_cstring(&text), &url) || url.partial || url.access)
        fault = "Improperly specified URL";
    if (!fault) fault = fetch_url(s, &url, spool);
    if (fault) imap_no(s, "[BADURL \"%s\"] %s", buf_cstring(&text), fault);
    imapurl_fini(&url);
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
