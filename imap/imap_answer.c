/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_answer -- tagged answers, and the ends of a session
 *
 * A command ends with exactly one of these. OK and NO are preceded by what is new
 * in the selected mailbox (handbook 04 §2.4); BAD is not. Whatever of the command
 * line has not been read is skipped with its literals first, so that no byte of an
 * argument is ever taken for a command.
 */
#include <config.h>

#include "imap_err.h"
#include "imap_session.h"
#include "sync_wait.h"
#include "xsyslog.h"

void imap_skip(struct imap_session *s)
{
    if (s->c == '\n') return;
    if (s->c >= 0 || s->c == IMPARSE_BAD) eatline(s->in, s->c, 0);
    s->c = '\n';
}

/* The negative results that BAD can't express. True: the answer was given. */
static bool answer_parse_failure(struct imap_session *s)
{
    int c = s->c;

    if (c == IMPARSE_EOF) {
        s->closing = s->answered = true;
        return true;
    }
    if (imparse_is_fatal(c)) {
        const char *text = imparse_text(c);
        imap_bye(s, "%s%s", *text == '[' ? "" : "Fatal error: ", text);
        return true;
    }
    if (c != IMPARSE_TOOBIG) return false;
    /* The literal was not asked for, so the line is over. */
    s->c = '\n';
    s->answered = true;
    prot_printf(s->out, "%s NO %s in %s\r\n", buf_cstring(&s->tag), imparse_text(c),
                buf_cstring(&s->cmdname));
    return true;
}

void imap_bad(struct imap_session *s, const char *fmt, ...)
{
    va_list ap;

    if (answer_parse_failure(s)) return;
    imap_skip(s);
    s->answered = true;
    prot_printf(s->out, "%s BAD ", buf_cstring(&s->tag));
    va_start(ap, fmt);
    prot_vprintf(s->out, fmt, ap);
    va_end(ap);
    prot_puts(s->out, "\r\n");
}

const char imap_uidonly_text[] = "[UIDREQUIRED] Message numbers are not allowed with UIDONLY";

void imap_uid_required(struct imap_session *s)
{
    imap_bad(s, "%s", imap_uidonly_text);
}

static void report_changes(struct imap_session *s)
{
    unsigned flags = s->command ? s->command->flags : 0;

    if (!s->index || s->reported || (flags & CMD_QUIET)) return;
    imap_report(s, (flags & CMD_EXPUNGES) || s->usinguid, NULL);
}

static void answer(struct imap_session *s, const char *word, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

static void answer(struct imap_session *s, const char *word, const char *fmt, va_list ap)
{
    imap_skip(s);
    bool safe = sync_wait() || strcmp(word, "OK") != 0;
    report_changes(s);
    if (s->closing) return;
    s->answered = true;
    prot_printf(s->out, "%s %s ", buf_cstring(&s->tag), safe ? word : "NO");
    if (safe)
        prot_vprintf(s->out, fmt, ap);
    else
        prot_puts(s->out, "[UNAVAILABLE] It is done here, but not on as many replicas as it has to be yet");
    prot_puts(s->out, "\r\n");
}

void imap_ok(struct imap_session *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(s, "OK", fmt, ap);
    va_end(ap);
}

void imap_no(struct imap_session *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(s, "NO", fmt, ap);
    va_end(ap);
}

/* RFC 5530, RFC 9051 §7.1. To others only OVERQUOTA is told: the rest is as 3.6.1 has it. */
static const char *response_code(const struct imap_session *s, int r)
{
    static const struct {
        int error;
        const char *code;
    } codes[] = {
        { IMAP_QUOTA_EXCEEDED, "[OVERQUOTA] " },       { IMAP_PERMISSION_DENIED, "[NOPERM] " },
        { IMAP_MAILBOX_NONEXISTENT, "[NONEXISTENT] " }, { IMAP_MAILBOX_EXISTS, "[ALREADYEXISTS] " },
        { IMAP_MAILBOX_BADNAME, "[CANNOT] " },          { IMAP_MAILBOX_NOTSUPPORTED, "[CANNOT] " },
        { IMAP_MAILBOX_LOCKED, "[INUSE] " },            { IMAP_USERFLAG_EXHAUSTED, "[LIMIT] " },
        { IMAP_AGAIN, "[UNAVAILABLE] " },               { IMAP_SERVER_UNAVAILABLE, "[UNAVAILABLE] " },
        { IMAP_INTERNAL, "[SERVERBUG] " },
    };

    for (size_t i = 0; i < array_size(codes); i++)
        if (codes[i].error == r && (s->rev2 || r == IMAP_QUOTA_EXCEEDED || r == IMAP_SERVER_UNAVAILABLE)) return codes[i].code;
    return "";
}

void imap_result(struct imap_session *s, int r)
{
    if (r)
        imap_no(s, "%s%s", response_code(s, r), error_message(r));
    else
        imap_ok(s, "Completed");
}

void imap_bye(struct imap_session *s, const char *fmt, ...)
{
    va_list ap;

    s->closing = s->answered = true;
    prot_puts(s->out, "* BYE ");
    va_start(ap, fmt);
    prot_vprintf(s->out, fmt, ap);
    va_end(ap);
    prot_puts(s->out, "\r\n");
}
