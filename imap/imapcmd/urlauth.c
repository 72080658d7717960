/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GENURLAUTH, URLFETCH, RESETKEY (RFC 4467, RFC 5524; handbook 04 §3.19)
 *
 * GENURLAUTH signs a URL with the key that the user has for the mailbox: its bytes up to the access, as they were given, HMAC-SHA1, in
 * hexadecimal behind "00", the number of the algorithm. URLFETCH gives what a signed URL names to whom its access
 * names, with the rights that the one who signed it has now. A URL that is not right, not valid any more, or not for this
 * user is NIL, and nobody learns which.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "digest.h"
#include "imap_err.h"
#include "imap_policy.h"
#include "imap_url.h"
#include "imapcmd.h"
#include "index.h"
#include "libconfig.h"
#include "mboxkey.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "message.h"
#include "message_header.h"
#include "user_record.h"
#include "utf7.h"
#include "xmalloc.h"

#define ALGORITHM 0 /* HMAC-SHA1 */
#define TOKEN_SIZE (1 + SHA1_SIZE)

/* ---- whose URL, and of which mailbox ---- */

static bool is_here(const struct imapurl *url)
{
    return !url->relative && url->user && !cyr_strcasecmp(url->server, config_servername);
}

static bool is_userid(const char *name)
{
    struct buf canonical = BUF_INITIALIZER;

    bool same = !saslserver_canonify(name, strlen(name), &canonical) && !buf_cmpcstr(&canonical, name);
    buf_free(&canonical);
    return same;
}

static bool is_member(const char *userid, const char *identifiers)
{
    return identifiers && imap_policy.memberof(NULL, userid, identifiers);
}

/* As the user spells it: a name with other bytes than ASCII is UTF-8 (RFC 5092 §5). */
static int internal_name(const struct imapurl *url, bool isadmin, char **name)
{
    const char *text = extname_text(url->mailbox);
    struct namespace ns;

    int r = mboxname_init_namespace(&ns, isadmin);
    if (r) return r;
    for (const char *p = text; *p && !ns.utf8; p++) ns.utf8 = *p & 0x80;
    if (ns.utf8 && !utf8_isvalid(text, strlen(text))) return IMAP_MAILBOX_BADNAME;
    *name = mboxname_from_external(url->mailbox, &ns, url->user);
    return *name ? 0 : IMAP_MAILBOX_BADNAME;
}

/* The mailbox, when the user of the URL may read it. */
static int lookup(const struct imapurl *url, mbentry_t **mbentry)
{
    char *name = NULL, *owner = NULL;

    if (!is_userid(url->user)) return IMAP_INVALID_USER;
    bool isadmin = is_member(url->user, config_getstring(IMAPOPT_ADMINS));
    struct auth_state *auth = auth_newstate(url->user);
    int r = internal_name(url, isadmin, &name);
    if (!r) r = mboxlist_lookup(name, mbentry, NULL);
    if (!r) {
        uint32_t rights = index_effective_rights(auth, isadmin, (*mbentry)->acl);
        owner = mboxname_to_userid(name);
        if (!isadmin && owner && strcmp(owner, url->user) && user_record_is_hidden(owner))
            r = IMAP_MAILBOX_NONEXISTENT;
        else if (!(rights & ACL_READ))
            r = (rights & ACL_LOOKUP) ? IMAP_PERMISSION_DENIED : IMAP_MAILBOX_NONEXISTENT;
        if (!r) r = txn_wait(mboxlist_name_lsn(name));
        if (r) mbentry_free(mbentry);
    }
    auth_freestate(&auth);
    free(owner);
    free(name);
    return r;
}

/* ---- accesses (RFC 4467 §3) ---- */

static const char *behind(const char *access, const char *prefix)
{
    size_t len = strlen(prefix);

    return !cyr_strncasecmp(access, prefix, len) && access[len] ? access + len : NULL;
}

static bool access_known(const char *access)
{
    return !cyr_strcasecmp(access, "anonymous") || !cyr_strcasecmp(access, "authuser") || behind(access, "user+") ||
           behind(access, "submit+");
}

static bool access_granted(const struct imap_session *s, const char *access)
{
    const char *who;

    if (!cyr_strcasecmp(access, "anonymous")) return true;
    if (!cyr_strcasecmp(access, "authuser")) return strcmp(s->userid, "anonymous") != 0;
    if ((who = behind(access, "user+"))) return !strcmp(s->userid, who);
    return behind(access, "submit+") && is_member(s->userid, config_getstring(IMAPOPT_SUBMITSERVERS));
}

/* ---- signatures ---- */

static void sign(const unsigned char key[MBOXKEY_SIZE], const char *text, size_t len, unsigned char token[TOKEN_SIZE])
{
    token[0] = ALGORITHM;
    digest_hmac(DIGEST_SHA1, key, MBOXKEY_SIZE, text, len, token + 1);
}

static bool signature_valid(const struct imapurl *url, const char *text, const char *mboxname)
{
    unsigned char key[MBOXKEY_SIZE], want[TOKEN_SIZE], token[TOKEN_SIZE];

    if (!url->mechanism || cyr_strcasecmp(url->mechanism, "INTERNAL")) return false;
    size_t len = strlen(url->token);
    if (len != TOKEN_SIZE * 2 || hex_to_bin(url->token, len, token) < 0) return false;
    if (mboxkey_read(url->user, mboxname, key)) return false;
    sign(key, text, url->signed_len, want);
    return digest_equal(want, token, sizeof(token));
}

/* ---- GENURLAUTH ---- */

static int make_key(const char *userid, const char *mboxname, unsigned char key[MBOXKEY_SIZE])
{
    struct txn *txn;

    int r = mboxkey_read(userid, mboxname, key);
    if (r != IMAP_NOTFOUND) return r;
    r = txn_begin(&txn);
    if (r) return r;
    r = mboxkey_make(txn, userid, mboxname, key);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

/* One URL, signed, behind a blank in out. False: answered. */
static bool gen_one(struct imap_session *s, const char *text, struct buf *out)
{
    unsigned char key[MBOXKEY_SIZE], token[TOKEN_SIZE];
    char hex[TOKEN_SIZE * 2 + 1];
    struct imapurl url;
    mbentry_t *mbentry = NULL;
    int r = 0;

    bool ok = imapurl_parse(text, &url) && url.access && !url.mechanism && access_known(url.access) && is_here(&url);
    if (!ok || strcmp(url.user, s->userid) || (url.expire && url.expire <= time(NULL)))
        r = IMAP_BADURL;
    else
        r = lookup(&url, &mbentry);
    if (!r) r = make_key(s->userid, mbentry->name, key);
    if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_BADNAME)
        imap_bad(s, "Poorly specified URL to Genurlauth %s", text);
    else if (r)
        imap_no(s, "Error authorizing %s: %s", text, error_message(r));
    else {
        sign(key, text, strlen(text), token);
        bin_to_hex(token, sizeof(token), hex);
        hex[TOKEN_SIZE * 2] = '\0';
        buf_printf(out, " \"%s:internal:%s\"", text, hex);
    }
    mbentry_free(&mbentry);
    imapurl_fini(&url);
    return !r;
}

/* May it stand in quotes? No URL has other bytes. */
static bool is_plain(struct buf *text)
{
    return buf_len(text) && prot_isquotable(text->s, text->len) && !strpbrk(buf_cstring(text), "\"\\");
}

void cmd_genurlauth(struct imap_session *s)
{
    struct buf text = BUF_INITIALIZER, mechanism = BUF_INITIALIZER, out = BUF_INITIALIZER;
    bool ok = imap_arg_more(s);

    while (ok) {
        ok = imap_arg_astring(s, &text) && imap_arg_more(s) && imap_arg_word(s, &mechanism);
        if (ok && cyr_strcasecmp(buf_cstring(&mechanism), "INTERNAL")) {
            imap_bad(s, "Unknown auth mechanism to Genurlauth %s", buf_cstring(&mechanism));
            ok = false;
        }
        if (ok && !is_plain(&text)) {
            imap_no(s, "Error authorizing URL: %s", error_message(IMAP_BADURL));
            ok = false;
        }
        ok = ok && gen_one(s, buf_cstring(&text), &out);
        if (!ok || s->c != ' ') break;
    }
    if (ok && imap_arg_end(s)) {
        prot_printf(s->out, "* GENURLAUTH%s\r\n", buf_cstring(&out));
        imap_ok(s, "Completed");
    }
    buf_free(&text);
    buf_free(&mechanism);
    buf_free(&out);
}

/* ---- URLFETCH ---- */

enum {
    WANT_BODY = 1 << 0,
    WANT_BINARY = 1 << 1,
    WANT_STRUCTURE = 1 << 2,
};
struct wanted_url {
    struct wanted_url *next;
    char *text;
    unsigned want; /* 0: only the bytes, without a name */
};

static struct msgtext content_of(const struct imapurl *url, const struct url_message *m)
{
    return section_view(&m->range, m->file.s, m->file.len, url->partial ? url->start : 0,
                        url->partial ? url->count : UINT64_MAX);
}

static bool is_whole(const struct url_message *m)
{
    return m->spec.what == SECTION_BODY && !m->spec.path.len;
}

/* The decoded part; the whole message is as it is. False: it can't be had. */
static bool decoded(const struct url_message *m, struct buf *out)
{
    if (is_whole(m)) {
        buf_setmap(out, m->file.s, m->file.len);
        return true;
    }
    return m->spec.what == SECTION_BODY && !section_binary(&m->range, m->file.s, m->file.len, out);
}

/* Header and content of what the URL names, as a message of its own. False: it has no structure. */
static bool as_message(const struct url_message *m, const struct buf *binary, struct buf *out)
{
    const struct section_part *part = &m->range.part;
    struct msgtext all = { m->file.s, m->file.len }, content = section_view(&m->range, all.s, all.len, 0, UINT64_MAX);
    strarray_t encoding = STRARRAY_INITIALIZER;

    if (m->spec.what == SECTION_TEXT && !m->spec.path.len) {
        buf_setmap(out, all.s, all.len);
        return true;
    }
    if (m->spec.what != SECTION_BODY) return false;
    if (is_whole(m))
        buf_setcstr(out, "Content-Type: message/rfc822\r\n");
    else if (part->header_size != UINT32_MAX && part->header_offset <= all.len) {
        if (binary) strarray_append(&encoding, "content-transfer-encoding");
        message_header_filter(all.s + part->header_offset, cyr_min((size_t)part->header_size, all.len - part->header_offset),
                              &encoding, true, out);
    }
    buf_appendcstr(out, "\r\n");
    if (binary)
        buf_append(out, binary);
    else
        buf_appendmap(out, content.s, content.len);
    strarray_fini(&encoding);
    return true;
}

static void print_structure(struct imap_session *s, const struct buf *message)
{
    struct buf text = BUF_INITIALIZER;
    struct message_content *content = message_parse(buf_base(message), buf_len(message), NULL);

    message_write_body(content->body, BODY_FORM_BODYSTRUCTURE, &text);
    prot_puts(s->out, " (BODYPARTSTRUCTURE ");
    prot_putbuf(s->out, &text);
    prot_putc(')', s->out);
    message_content_free(&content);
    buf_free(&text);
}

static void print_bytes(struct imap_session *s, struct msgtext t, bool binary)
{
    if (binary && memchr(t.s, '\0', t.len))
        prot_printliteral8(s->out, t.s, t.len);
    else
        prot_printliteral(s->out, t.s, t.len);
}

/* What is wanted of it, behind a blank; or NIL. */
static void print_wanted(struct imap_session *s, unsigned want, const struct imapurl *url, const struct url_message *m)
{
    struct buf binary = BUF_INITIALIZER, message = BUF_INITIALIZER;
    bool isbinary = want & WANT_BINARY;
    struct msgtext t = content_of(url, m);

    bool ok = !isbinary || decoded(m, &binary);
    if (ok && (want & WANT_STRUCTURE)) ok = as_message(m, isbinary ? &binary : NULL, &message);
    if (!ok)
        prot_puts(s->out, " NIL");
    else if (!want) {
        prot_putc(' ', s->out);
        print_bytes(s, t, false);
    }
    if (ok && (want & WANT_STRUCTURE)) print_structure(s, &message);
    if (ok && (want & (WANT_BODY | WANT_BINARY))) {
        if (isbinary) {
            struct section_range range = { .size = (uint32_t)binary.len };
            t = section_view(&range, buf_base(&binary), binary.len, url->partial ? url->start : 0,
                             url->partial ? url->count : UINT64_MAX);
        }
        prot_puts(s->out, isbinary ? " (BINARY " : " (BODY ");
        print_bytes(s, t, isbinary);
        prot_putc(')', s->out);
    }
    buf_free(&binary);
    buf_free(&message);
}

static bool allowed(const struct imap_session *s, const struct imapurl *url)
{
    return url->access && is_here(url) && access_granted(s, url->access) && (!url->expire || url->expire > time(NULL));
}

/* False: NIL. m is to be given back in any case. */
static bool find(const struct imap_session *s, const struct imapurl *url, const char *text, struct url_message *m)
{
    struct mailbox *mailbox = NULL;
    mbentry_t *mbentry = NULL;

    bool ok = allowed(s, url) && !lookup(url, &mbentry) && signature_valid(url, text, mbentry->name) &&
              !mailbox_open_mbentry(mbentry, &mailbox) && !url_message_find(mailbox, url, m) &&
              !txn_wait(mailbox_seen_lsn(mailbox));
    mailbox_close(&mailbox);
    mbentry_free(&mbentry);
    return ok;
}

static void fetch_one(struct imap_session *s, const struct wanted_url *wanted)
{
    struct url_message m = { .file = BUF_INITIALIZER };
    struct imapurl url;

    prot_putc(' ', s->out);
    prot_printstring(s->out, wanted->text);
    if (imapurl_parse(wanted->text, &url) && find(s, &url, wanted->text, &m))
        print_wanted(s, wanted->want, &url, &m);
    else
        prot_puts(s->out, " NIL");
    url_message_fini(&m);
    imapurl_fini(&url);
}

/* "url [BODYPARTSTRUCTURE] [BODY | BINARY])"; false: answered */
static bool parse_extended(struct imap_session *s, struct buf *text, unsigned *want)
{
    static const char *const names[] = { "BODY", "BINARY", "BODYPARTSTRUCTURE" };
    const unsigned bytes = WANT_BODY | WANT_BINARY;
    struct buf word = BUF_INITIALIZER;

    s->c = getastring(s->in, s->out, text);
    bool ok = s->c >= 0;
    while (ok && s->c == ' ') {
        size_t i = 0;
        s->c = getword(s->in, &word);
        while (i < array_size(names) && cyr_strcasecmp(buf_cstring(&word), names[i])) i++;
        ok = s->c >= 0 && i < array_size(names) && !(*want & (1u << i)) && !((1u << i) & bytes && (*want & bytes));
        *want |= 1u << i;
    }
    buf_free(&word);
    if (ok && s->c == ')') {
        s->c = prot_getc(s->in);
        return true;
    }
    imap_bad(s, "Invalid extended URLFETCH parameters");
    return false;
}

void cmd_urlfetch(struct imap_session *s)
{
    struct wanted_url *urls = NULL, **tail = &urls;
    struct buf text = BUF_INITIALIZER;
    bool ok = imap_arg_more(s);

    while (ok) {
        unsigned want = 0;
        if (imap_arg_peek(s) == '(') {
            prot_getc(s->in);
            ok = parse_extended(s, &text, &want);
        }
        else
            ok = imap_arg_astring(s, &text);
        if (!ok) break;
        struct wanted_url *url = *tail = xzmalloc(sizeof(*url));
        url->text = buf_newcstring(&text);
        url->want = want;
        tail = &url->next;
        if (s->c != ' ') break;
    }
    ok = ok && imap_arg_end(s);
    if (ok) prot_puts(s->out, "* URLFETCH");
    while (urls) {
        struct wanted_url *url = urls;
        urls = url->next;
        if (ok) fetch_one(s, url);
        free(url->text);
        free(url);
    }
    if (ok) {
        prot_puts(s->out, "\r\n");
        imap_ok(s, "Completed");
    }
    buf_free(&text);
}

/* ---- RESETKEY ---- */

/* mbentry NULL: of all mailboxes. */
static int reset(struct imap_session *s, const mbentry_t *mbentry)
{
    struct txn *txn;

    int r = txn_begin(&txn);
    if (r) return r;
    r = mboxkey_remove(txn, s->userid, mbentry ? mbentry->name : NULL);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

void cmd_resetkey(struct imap_session *s)
{
    struct buf mechanism = BUF_INITIALIZER;
    extname_t name = EXTNAME_NONE;
    mbentry_t *mbentry = NULL;

    bool one = s->c == ' ';
    bool ok = !one || imap_arg_mailbox(s, &name);
    if (ok && one && s->c == ' ') ok = imap_arg_word(s, &mechanism); /* there is no other */
    if (ok && imap_arg_end(s)) {
        int r = one ? imap_lookup(s, name, ACL_LOOKUP, NULL, &mbentry) : 0;
        if (r == IMAP_MAILBOX_BADNAME) r = IMAP_MAILBOX_NONEXISTENT;
        if (!r) r = reset(s, mbentry);
        if (r)
            imap_no(s, "Error removing key: %s", error_message(r));
        else if (one)
            imap_ok(s, "[URLMECH INTERNAL] key removed");
        else
            imap_ok(s, "All keys removed");
    }
    mbentry_free(&mbentry);
    extname_free(&name);
    buf_free(&mechanism);
}
