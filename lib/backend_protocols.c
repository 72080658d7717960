/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend_protocols -- IMAP, LMTP, csync, POP3 and MUPDATE as tables, and their capabilities
 *
 * Tags are those of 3.6.1. A capability that nobody acts on is not kept.
 */
#include <config.h>

#include <string.h>

#include "backend_protocol.h"
#include "strarray.h"
#include "util.h"

_Static_assert(BACKEND_NCAPAS <= 8 * sizeof(((struct backend *)NULL)->capa), "each capability has a bit");

static const struct backend_capaname imap_capas[] = {
    { "AUTH", BACKEND_CAPA_AUTH, NULL },
    { "STARTTLS", BACKEND_CAPA_STARTTLS, NULL },
    { "COMPRESS", BACKEND_CAPA_COMPRESS, "DEFLATE" },
    { "SASL-IR", BACKEND_CAPA_SASLIR, NULL },
    { "IDLE", BACKEND_CAPA_IDLE, NULL },
    { "MUPDATE", BACKEND_CAPA_MUPDATE, NULL },
    { "MULTIAPPEND", BACKEND_CAPA_MULTIAPPEND, NULL },
    { "METADATA", BACKEND_CAPA_METADATA, NULL },
    { "LIST-EXTENDED", BACKEND_CAPA_LISTEXTENDED, NULL },
    { "X-REPLICATION", BACKEND_CAPA_REPLICATION, NULL },
    { "X-SIEVE-MAILBOX", BACKEND_CAPA_SIEVEMAILBOX, NULL },
    { "SIEVE-MAILBOX", BACKEND_CAPA_SIEVEMAILBOX, NULL },
    { "LITERAL+", BACKEND_CAPA_LITERALPLUS, NULL },
    { "X-RAWQUOTA", BACKEND_CAPA_QUOTARAW, NULL },
    { "X-SUBHISTORY", BACKEND_CAPA_SUBHISTORY, NULL },
    { "X-RENAMES", BACKEND_CAPA_RENAMES, NULL },
    { "X-USERSTATE", BACKEND_CAPA_USERSTATE, NULL },
    { "X-RANGES", BACKEND_CAPA_RANGES, NULL },
    { "X-PIPELINE", BACKEND_CAPA_XPIPELINE, NULL },
    { "X-ROLE", BACKEND_CAPA_ROLE, NULL },
    { "X-USAGE", BACKEND_CAPA_USAGE, NULL },
    { "X-SIEVEFILES", BACKEND_CAPA_SIEVEFILES, NULL },
    { "X-FOLDERS", BACKEND_CAPA_FOLDERS, NULL },
    { "X-NAMEHISTORY", BACKEND_CAPA_NAMEHISTORY, NULL },
    { "X-LEASE", BACKEND_CAPA_XLEASE, NULL },
    { "X-HOME", BACKEND_CAPA_HOME, NULL },
    { "X-TOGETHER", BACKEND_CAPA_TOGETHER, NULL },
    { "X-LEAVE", BACKEND_CAPA_LEAVE, NULL },
    { "X-UNMAILBOXES", BACKEND_CAPA_UNMAILBOXES, NULL },
    { NULL, 0, NULL },
};

static const struct backend_capaname csync_capas[] = {
    { "SASL", BACKEND_CAPA_AUTH, NULL },
    { "STARTTLS", BACKEND_CAPA_STARTTLS, NULL },
    { "COMPRESS", BACKEND_CAPA_COMPRESS, "DEFLATE" },
    { "X-COMPRESS", BACKEND_CAPA_ZSTD, "ZSTD" },
    { "SIEVE-MAILBOX", BACKEND_CAPA_SIEVEMAILBOX, NULL },
    { "X-SUBHISTORY", BACKEND_CAPA_SUBHISTORY, NULL },
    { "X-RENAMES", BACKEND_CAPA_RENAMES, NULL },
    { "X-USERSTATE", BACKEND_CAPA_USERSTATE, NULL },
    { "X-RANGES", BACKEND_CAPA_RANGES, NULL },
    { "X-PIPELINE", BACKEND_CAPA_XPIPELINE, NULL },
    { "X-ROLE", BACKEND_CAPA_ROLE, NULL },
    { "X-USAGE", BACKEND_CAPA_USAGE, NULL },
    { "X-SIEVEFILES", BACKEND_CAPA_SIEVEFILES, NULL },
    { "X-FOLDERS", BACKEND_CAPA_FOLDERS, NULL },
    { "X-NAMEHISTORY", BACKEND_CAPA_NAMEHISTORY, NULL },
    { "X-CLOCK", BACKEND_CAPA_CLOCK, NULL },
    { "X-INSTANCE", BACKEND_CAPA_INSTANCE, NULL },
    { "X-LEASE", BACKEND_CAPA_XLEASE, NULL },
    { "X-HOME", BACKEND_CAPA_HOME, NULL },
    { "X-TOGETHER", BACKEND_CAPA_TOGETHER, NULL },
    { "X-LEAVE", BACKEND_CAPA_LEAVE, NULL },
    { "X-UNMAILBOXES", BACKEND_CAPA_UNMAILBOXES, NULL },
    { NULL, 0, NULL },
};

static const struct backend_capaname lmtp_capas[] = {
    { "AUTH", BACKEND_CAPA_AUTH, NULL },
    { "STARTTLS", BACKEND_CAPA_STARTTLS, NULL },
    { "PIPELINING", BACKEND_CAPA_PIPELINING, NULL },
    { "IGNOREQUOTA", BACKEND_CAPA_IGNOREQUOTA, NULL },
    { "8BITMIME", BACKEND_CAPA_8BITMIME, NULL },
    { "SIZE", BACKEND_CAPA_SIZE, NULL },
    { NULL, 0, NULL },
};

static const struct backend_capaname pop3_capas[] = {
    { "SASL", BACKEND_CAPA_AUTH, NULL },
    { "STLS", BACKEND_CAPA_STARTTLS, NULL },
    { "PIPELINING", BACKEND_CAPA_PIPELINING, NULL },
    { NULL, 0, NULL },
};

static const struct backend_capaname mupdate_capas[] = {
    { "AUTH", BACKEND_CAPA_AUTH, NULL },
    { "STARTTLS", BACKEND_CAPA_STARTTLS, NULL },
    { "COMPRESS", BACKEND_CAPA_COMPRESS, "DEFLATE" },
    { NULL, 0, NULL },
};

const struct backend_protocol backend_imap = {
    .name = "imap",
    .port = "143",
    .banner = "* OK",
    .form = CAPAFORM_IMAP,
    .capas = imap_capas,
    .capability = { "C01 CAPABILITY", "C01 OK", "C01 NO" },
    .starttls = { "S01 STARTTLS", "S01 OK", "S01 NO" },
    .compress = { "Z01 COMPRESS DEFLATE", "Z01 OK", "Z01 NO" },
    .noop = { "N01 NOOP", "N01 OK", "N01 NO" },
    .logout = { "Q01 LOGOUT", "Q01 ", NULL },
    .auth = { .command = "A01 AUTHENTICATE",
              .challenge = "+ ",
              .ok = "A01 OK",
              .fail = "A01 NO",
              .cancel = "*" },
};

const struct backend_protocol backend_csync = {
    .name = "csync",
    .port = "2005",
    .banner = "* OK",
    .form = CAPAFORM_BANNER,
    .capas = csync_capas,
    .banner_has_capas = true,
    .unix_trusted = true,
    .starttls = { "STARTTLS", "OK", "NO" },
    .compress = { "COMPRESS DEFLATE", "OK", "NO" },
    .zstd = { "COMPRESS ZSTD", "OK", "NO" },
    .noop = { "NOOP", "OK", "NO" },
    .logout = { "EXIT", "OK", NULL },
    .auth = { .command = "AUTHENTICATE",
              .initial_response = true,
              .challenge = "+ ",
              .ok = "OK",
              .fail = "NO",
              .cancel = "*" },
};

const struct backend_protocol backend_lmtp = {
    .name = "lmtp",
    .port = "2003",
    .banner = "220 ",
    .form = CAPAFORM_EHLO,
    .capas = lmtp_capas,
    .unix_trusted = true,
    .capability = { "LHLO %s", "250 ", NULL },
    .starttls = { "STARTTLS", "220", NULL },
    .noop = { "NOOP", "250", NULL },
    .logout = { "QUIT", "221", NULL },
    .auth = { .command = "AUTH",
              .initial_response = true,
              .maxcommand = 510, /* RFC 4954 §4 */
              .challenge = "334 ",
              .ok = "235",
              .cancel = "*" },
};

const struct backend_protocol backend_pop3 = {
    .name = "pop3",
    .sasl_service = "pop",
    .port = "110",
    .banner = "+OK",
    .form = CAPAFORM_POP3,
    .capas = pop3_capas,
    .capability = { "CAPA", ".", "-ERR" },
    .starttls = { "STLS", "+OK", "-ERR" },
    .noop = { "NOOP", "+OK", "-ERR" },
    .logout = { "QUIT", "+OK", NULL },
    .auth = { .command = "AUTH",
              .initial_response = true,
              .maxcommand = 253, /* RFC 5034 §4 */
              .challenge = "+ ",
              .ok = "+OK",
              .fail = "-ERR",
              .cancel = "*" },
};

/* Compression is left out: 3.6.1 announces "DEFLATE" in a form its own client does not use. */
const struct backend_protocol backend_mupdate = {
    .name = "mupdate",
    .port = "3905",
    .banner = "* OK",
    .form = CAPAFORM_BANNER,
    .capas = mupdate_capas,
    .banner_has_capas = true,
    .starttls = { "S01 STARTTLS", "S01 OK", "S01 NO" },
    .noop = { "N01 NOOP", "N01 OK", "N01 NO" },
    .logout = { "Q01 LOGOUT", "Q01 ", NULL },
    .auth = { .command = "A01 AUTHENTICATE",
              .quoted_mech = true,
              .initial_response = true,
              .challenge = "",
              .ok = "A01 OK",
              .fail = "A01 NO",
              .cancel = "*" },
};

/* ---- capabilities ---- */

static uint64_t bit(enum backend_capa capa)
{
    return (uint64_t)1 << capa;
}

void backend_capa_clear(struct backend *b)
{
    b->capa = 0;
    for (size_t i = 0; i < BACKEND_NCAPAS; i++) buf_free(&b->params[i]);
}

const char *backend_param(const struct backend *b, enum backend_capa capa)
{
    return backend_has(b, capa) ? buf_base(&b->params[capa]) : NULL;
}

bool backend_has(const struct backend *b, enum backend_capa capa)
{
    return b->capa & bit(capa);
}

void backend_capa_list(const struct backend *b, struct buf *out)
{
    for (const struct backend_capaname *c = b->protocol->capas; c->name; c++)
        if (backend_has(b, c->capa)) buf_printf(out, "%s%s", buf_len(out) ? " " : "", c->name);
}

/* params: blank-separated, or "". */
static void add_capa(struct backend *b, const char *name, const char *params)
{
    const struct backend_capaname *c = b->protocol->capas;

    while (c->name && cyr_strcasecmp(c->name, name)) c++;
    if (!c->name || (c->param && cyr_strcasecmp(c->param, params))) return;
    b->capa |= bit(c->capa);
    struct buf *buf = &b->params[c->capa];
    if (*params && buf->len) buf_putc(buf, ' ');
    buf_appendcstr(buf, params);
    buf_cstring(buf);
}

/* "A B=x": each word is one. */
static void add_words(struct backend *b, const char *text, size_t len)
{
    strarray_t *words = strarray_nsplit(text, len, NULL, 0);

    for (int i = 0; i < strarray_size(words); i++) {
        struct buf word = BUF_INITIALIZER;
        buf_setcstr(&word, strarray_nth(words, i));
        char *eq = strchr(buf_cstring(&word), '=');
        if (eq) *eq = '\0';
        add_capa(b, word.s, eq ? eq + 1 : "");
        buf_free(&word);
    }
    strarray_free(words);
}

/* "NAME parameter ...": quotes around parameters are no part of them. */
static void add_named(struct backend *b, const char *text)
{
    strarray_t *words = strarray_split(text, NULL, 0);
    struct buf params = BUF_INITIALIZER;

    for (int i = 1; i < strarray_size(words); i++) {
        if (i > 1) buf_putc(&params, ' ');
        buf_appendcstr(&params, strarray_nth(words, i));
    }
    buf_replace_all(&params, "\"", "");
    if (strarray_size(words)) add_capa(b, strarray_nth(words, 0), buf_cstring(&params));
    buf_free(&params);
    strarray_free(words);
}

bool backend_capa_code(struct backend *b, const char *answer)
{
    static const char code[] = "[CAPABILITY ";

    for (const char *p = answer; (p = strchr(p, '[')); p++) {
        if (cyr_strncasecmp(p, code, sizeof(code) - 1)) continue;
        backend_capa_clear(b);
        p += sizeof(code) - 1;
        add_words(b, p, strcspn(p, "]"));
        return true;
    }
    return false;
}

void backend_capa_line(struct backend *b, const char *line)
{
    static const char imap[] = "* CAPABILITY ";

    switch (b->protocol->form) {
    case CAPAFORM_IMAP:
        if (!cyr_strncasecmp(line, imap, sizeof(imap) - 1))
            add_words(b, line + sizeof(imap) - 1, strlen(line) - (sizeof(imap) - 1));
        break;
    case CAPAFORM_BANNER:
        if (strstarts(line, "* ")) add_named(b, line + 2);
        break;
    case CAPAFORM_EHLO:
        if (strlen(line) > 4) add_named(b, line + 4);
        break;
    case CAPAFORM_POP3: add_named(b, line); break;
    }
}
