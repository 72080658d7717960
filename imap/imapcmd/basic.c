/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CAPABILITY, NOOP, CHECK, LOGOUT, NAMESPACE, ENABLE (RFC 3501, RFC 2342, RFC 5161; handbook 04 §1.2, §3.3, §3.4)
 */
#include <config.h>

#include "imap_err.h"
#include "imapcmd.h"
#include "namespace.h"

void cmd_capability(struct imap_session *s)
{
    struct buf list = BUF_INITIALIZER;

    if (!imap_arg_end(s)) return;
    imap_capabilities(s, true, &list);
    prot_printf(s->out, "* CAPABILITY %s\r\n", buf_cstring(&list));
    buf_free(&list);
    imap_ok(s, "Completed");
}

void cmd_noop(struct imap_session *s)
{
    if (imap_arg_end(s)) imap_ok(s, "Completed");
}

void cmd_check(struct imap_session *s)
{
    cmd_noop(s);
}

void cmd_logout(struct imap_session *s)
{
    if (!imap_arg_end(s)) return;
    prot_printf(s->out, "* BYE %s\r\n", error_message(IMAP_BYE_LOGOUT));
    imap_ok(s, "Completed");
    s->closing = true;
}

void cmd_namespace(struct imap_session *s)
{
    struct buf text = BUF_INITIALIZER;

    if (!imap_arg_end(s)) return;
    imap_session_check_inbox(s);
    namespace_print(&s->ns, &text);
    prot_printf(s->out, "* NAMESPACE %s\r\n", buf_cstring(&text));
    buf_free(&text);
    imap_ok(s, "Completed");
}

/* What is enabled is told once; unknown words are passed over (RFC 5161 §3.1). */
void cmd_enable(struct imap_session *s)
{
    const struct {
        const char *name;
        bool *on;
        bool implies_condstore;
    } known[] = {
        { "CONDSTORE", &s->condstore, false },
        { "QRESYNC", &s->qresync, true },
        { "UIDONLY", &s->uidonly, false },
        { "UTF8=ACCEPT", &s->utf8accept, false },
        { "IMAP4rev2", &s->rev2, false },
    };
    struct buf word = BUF_INITIALIZER;
    bool wanted[array_size(known)] = { false };
    const char *begin = "* ENABLED ";

    if (!imap_arg_more(s)) return;
    do {
        if (!imap_arg_word(s, &word)) goto done;
        for (size_t i = 0; i < array_size(known); i++) {
            if (cyr_strcasecmp(buf_cstring(&word), known[i].name)) continue;
            wanted[i] = true;
            if (known[i].implies_condstore) wanted[0] = true;
        }
    } while (s->c == ' ');
    if (!imap_arg_end(s)) goto done;

    for (size_t i = 0; i < array_size(known); i++) {
        if (!wanted[i] || *known[i].on) continue;
        *known[i].on = true;
        prot_printf(s->out, "%s%s", begin, known[i].name);
        begin = " ";
    }
    if (*begin == ' ') prot_puts(s->out, "\r\n");
    if (s->utf8accept || s->rev2) imap_session_set_utf8(s, true);
    imap_ok(s, "Completed");
done:
    buf_free(&word);
}
