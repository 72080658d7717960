/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lmtp_client -- hand one message to an LMTP server for several recipients
 *
 * See lmtp_client.h. An address with a control byte would end the command early; it is never sent, but answered
 * here as the server would answer bad syntax.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "imap_err.h"
#include "lmtp_client.h"
#include "lmtp_session.h"
#include "prot.h"
#include "util.h"
#include "xmalloc.h"

#define UNSENT_CODE 501
#define UNSENT_TEXT "5.5.4 Syntax error in parameters"

static bool is_sendable(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f) return false;
    return true;
}

static void set_result(struct lmtp_result *result, int code, struct buf *text)
{
    const char *last = strrchr(buf_cstring(text), '\n');

    result->code = code;
    buf_setcstr(&result->text, last ? last + 1 : buf_cstring(text));
}

static void set_all(const struct lmtp_envelope *envelope, struct lmtp_result *results, int code,
                    const char *text)
{
    for (size_t i = 0; i < envelope->nrcpts; i++) {
        if (results[i].code) continue;
        results[i].code = code;
        buf_setcstr(&results[i].text, text);
    }
}

/* ---- envelope ---- */

static int send_mail(struct backend *b, const struct lmtp_envelope *envelope, int *code,
                     struct buf *text)
{
    struct buf params = BUF_INITIALIZER;

    if (!is_sendable(envelope->sender)) {
        *code = UNSENT_CODE;
        buf_setcstr(text, UNSENT_TEXT);
        return 0;
    }
    if (backend_has(b, BACKEND_CAPA_8BITMIME)) buf_appendcstr(&params, " BODY=8BITMIME");
    if (envelope->authid && backend_has(b, BACKEND_CAPA_AUTH)) {
        buf_appendcstr(&params, " AUTH=");
        lmtp_encode_xtext(envelope->authid, &params);
    }
    int r = backend_smtpcmd(b, code, text, "MAIL FROM:<%s>%s", envelope->sender,
                            buf_cstring(&params));
    buf_free(&params);
    return r;
}

/* Results of those that are refused; *accepted: the others. */
static int send_rcpts(struct backend *b, const struct lmtp_envelope *envelope,
                      struct lmtp_result *results, size_t *accepted, struct buf *text)
{
    const char *param = envelope->ignorequota && backend_has(b, BACKEND_CAPA_IGNOREQUOTA)
                            ? " IGNOREQUOTA"
                            : "";
    int code, r = 0;

    *accepted = 0;
    for (size_t i = 0; !r && i < envelope->nrcpts; i++) {
        if (!is_sendable(envelope->rcpts[i])) {
            buf_setcstr(text, UNSENT_TEXT);
            set_result(&results[i], UNSENT_CODE, text);
            continue;
        }
        r = backend_smtpcmd(b, &code, text, "RCPT TO:<%s>%s", envelope->rcpts[i], param);
        if (r) break;
        if (code / 100 == 2)
            *accepted += 1;
        else
            set_result(&results[i], code, text);
    }
    return r;
}

/* ---- the message ---- */

/* One piece of the message; *before is the byte before it, and then its last one. */
static void send_piece(struct protstream *out, const char *base, size_t len, char *before)
{
    const char *p = base, *end = base + len;

    while (p < end) {
        if (*before == '\n' && *p == '.') prot_putc('.', out);
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        const char *stop = lf ? lf : end;
        prot_write(out, p, (size_t)(stop - p));
        if (stop > p) *before = stop[-1];
        if (!lf) return;
        if (*before != '\r') prot_putc('\r', out);
        prot_putc('\n', out);
        *before = '\n';
        p = lf + 1;
    }
}

static int send_message(struct backend *b, struct protstream *message)
{
    struct protstream *out = backend_out(b);
    const char *base;
    char before = '\n';
    size_t n;

    while ((n = prot_readview(message, &base, PROT_BUFSIZE)) && !prot_error(out))
        send_piece(out, base, n, &before);
    if (prot_error(out)) return IMAP_SERVER_UNAVAILABLE;
    if (!prot_is_eof(message)) return IMAP_IOERROR;
    if (before == '\r')
        prot_putc('\n', out);
    else if (before != '\n')
        prot_puts(out, "\r\n");
    prot_puts(out, ".\r\n");
    return prot_flush(out) ? IMAP_SERVER_UNAVAILABLE : 0;
}

static int send_data(struct backend *b, const struct lmtp_envelope *envelope,
                     struct protstream *message, struct lmtp_result *results, struct buf *text)
{
    int code;

    int r = backend_smtpcmd(b, &code, text, "DATA");
    if (!r && code != 354) {
        set_all(envelope, results, code, buf_cstring(text));
        return 0;
    }
    if (!r) r = send_message(b, message);
    for (size_t i = 0; !r && i < envelope->nrcpts; i++) {
        if (results[i].code) continue;
        r = backend_smtpcmd(b, &code, text, NULL);
        if (!r) set_result(&results[i], code, text);
    }
    return r;
}

int lmtp_client_send(struct backend *b, const struct lmtp_envelope *envelope,
                     struct protstream *message, struct lmtp_result *results)
{
    struct buf text = BUF_INITIALIZER;
    size_t accepted = 0;
    int code = 0;

    for (size_t i = 0; i < envelope->nrcpts; i++) results[i] = (struct lmtp_result){ .code = 0 };
    int r = send_mail(b, envelope, &code, &text);
    if (!r && code / 100 != 2)
        set_all(envelope, results, code, buf_cstring(&text));
    else if (!r)
        r = send_rcpts(b, envelope, results, &accepted, &text);
    if (!r && accepted) r = send_data(b, envelope, message, results, &text);
    set_all(envelope, results, 451, "4.4.2 no answer");
    buf_free(&text);
    return r;
}

/* ---- results ---- */

static const struct {
    const char *status; /* RFC 3463 */
    int code;
} statuses[] = {
    { "5.1.1", IMAP_MAILBOX_NONEXISTENT }, { "5.7.1", IMAP_PERMISSION_DENIED },
    { "4.2.2", IMAP_QUOTA_EXCEEDED },      { "5.2.2", IMAP_QUOTA_EXCEEDED },
    { "5.2.3", IMAP_MESSAGE_TOO_LARGE },   { "4.2.1", IMAP_MAILBOX_DISABLED },
    { "5.5.4", IMAP_PROTOCOL_ERROR },      { "4.3.1", IMAP_NOSPACE },
    { "4.4.3", IMAP_SERVER_UNAVAILABLE },
};

/* "5.6.0 Message contains invalid header": the texts of the server are those of error_message. */
static int code_by_text(const char *text)
{
    const char *words = strchr(text, ' ');

    for (int code = IMAP_ERR_BEFORE + 1; words && code < IMAP_ERR_END; code++)
        if (!strcmp(words + 1, error_message(code))) return code;
    return 0;
}

int lmtp_result_code(const struct lmtp_result *result)
{
    const char *text = result->text.s;

    if (result->code / 100 == 2) return 0;
    for (size_t i = 0; text && i < array_size(statuses); i++)
        if (!strncmp(text, statuses[i].status, strlen(statuses[i].status))) return statuses[i].code;
    int code = text ? code_by_text(text) : 0;
    if (code) return code;
    return result->code / 100 == 4 ? IMAP_AGAIN : IMAP_PROTOCOL_ERROR;
}
