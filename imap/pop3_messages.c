/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pop3_messages -- the TRANSACTION state: STAT, LIST, UIDL, RETR, TOP, DELE, RSET, NOOP, QUIT
 * (RFC 1939 §5-§7; texts handbook 04 §7.8)
 *
 * A message number is good while the message is there and not marked as deleted. Nothing is
 * changed before QUIT.
 */
#include <config.h>

#include <inttypes.h>

#include "imap_err.h"
#include "maildrop.h"
#include "pop3_session.h"
#include "sync_wait.h"

/* The only argument is the number of a message; else the answer is given. */
static bool one_message(struct pop3_session *s, const char *args, uint32_t *n)
{
    if (!pop3_parse_number(&args, n))
        pop3_err(s, "Not a number");
    else if (*args)
        pop3_err(s, "Unexpected extra argument");
    else if (!maildrop_exists(s->drop, *n))
        pop3_err(s, "No such message");
    else
        return true;
    return false;
}

void pop3_cmd_stat(struct pop3_session *s, const char *args)
{
    uint64_t octets;
    uint32_t count;

    (void)args;
    maildrop_stat(s->drop, &count, &octets);
    prot_printf(s->out, "+OK %" PRIu32 " %" PRIu64 "\r\n", count, octets);
}

/* One listing for all messages, or the line of one. */
static void listing(struct pop3_session *s, const char *args, const char *title,
                    void (*line)(struct pop3_session *s, uint32_t n))
{
    uint32_t n;

    if (*args) {
        if (!one_message(s, args, &n)) return;
        prot_puts(s->out, "+OK ");
        line(s, n);
        return;
    }
    pop3_ok(s, title);
    for (n = 1; n <= maildrop_last(s->drop); n++)
        if (maildrop_exists(s->drop, n)) line(s, n);
    prot_puts(s->out, ".\r\n");
}

static void size_line(struct pop3_session *s, uint32_t n)
{
    prot_printf(s->out, "%" PRIu32 " %" PRIu32 "\r\n", n, maildrop_size(s->drop, n));
}

static void uidl_line(struct pop3_session *s, uint32_t n)
{
    struct buf id = BUF_INITIALIZER;

    maildrop_uidl(s->drop, n, &id);
    prot_printf(s->out, "%" PRIu32 " %s\r\n", n, buf_cstring(&id));
    buf_free(&id);
}

void pop3_cmd_list(struct pop3_session *s, const char *args)
{
    listing(s, args, "scan listing follows", size_line);
}

void pop3_cmd_uidl(struct pop3_session *s, const char *args)
{
    listing(s, args, "unique-id listing follows", uidl_line);
}

/* False: it can't be read, and that was said. */
static bool send(struct pop3_session *s, uint32_t n, bool whole, uint32_t lines)
{
    struct buf message = BUF_INITIALIZER;

    int r = maildrop_read(s->drop, n, &message);
    if (r) {
        pop3_err(s, "[SYS/PERM] %s", r == IMAP_MESSAGE_DAMAGED ? "Message file is damaged"
                                                                : "Could not read message file");
        return false;
    }
    size_t len = buf_len(&message);
    if (!whole) len = pop3_top_length(buf_base(&message), len, lines);
    pop3_ok(s, "Message follows");
    pop3_send_message(s->out, buf_base(&message), len);
    buf_free(&message);
    return true;
}

void pop3_cmd_retr(struct pop3_session *s, const char *args)
{
    uint32_t n;

    if (!one_message(s, args, &n) || !send(s, n, true, 0)) return;
    maildrop_mark_read(s->drop, n);
    s->retr++;
}

void pop3_cmd_top(struct pop3_session *s, const char *args)
{
    uint32_t n, lines;

    if (!pop3_parse_number(&args, &n))
        pop3_err(s, "Not a number");
    else if (!*args)
        pop3_err(s, "Missing argument");
    else if (*args != ' ')
        pop3_err(s, "Unexpected extra argument");
    else if (!pop3_parse_number(&args, &lines))
        pop3_err(s, "Invalid number of lines");
    else if (*args)
        pop3_err(s, "Unexpected extra argument");
    else if (!maildrop_exists(s->drop, n))
        pop3_err(s, "No such message");
    else if (send(s, n, false, lines))
        s->top++;
}

void pop3_cmd_dele(struct pop3_session *s, const char *args)
{
    uint32_t n;

    if (!one_message(s, args, &n)) return;
    int r = maildrop_delete(s->drop, n);
    if (r) {
        pop3_err(s, "[SYS/PERM] %s", error_message(r));
        return;
    }
    s->dele++;
    pop3_ok(s, "message deleted");
}

void pop3_cmd_rset(struct pop3_session *s, const char *args)
{
    (void)args;
    maildrop_reset(s->drop);
    pop3_ok(s, "");
}

void pop3_cmd_noop(struct pop3_session *s, const char *args)
{
    (void)args;
    pop3_ok(s, "");
}

void pop3_cmd_quit(struct pop3_session *s, const char *args)
{
    (void)args;
    s->closing = true;
    sync_wait_begin(true);
    int r = s->drop ? maildrop_commit(s->drop) : 0;
    bool safe = sync_wait();
    if (r)
        pop3_err(s, "[SYS/TEMP] Unable to delete messages: %s", error_message(r));
    else if (!safe)
        pop3_err(s, "[SYS/TEMP] They are deleted here, but not on as many replicas as they have to be yet");
    else
        pop3_ok(s, "");
}
