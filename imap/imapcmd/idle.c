/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IDLE (RFC 2177, handbook 04 §3.18)
 *
 * The session is woken when the directory of the index changes, or that of the administrator's
 * messages (imap_watch). The timer of imapidlepoll is only for what the
 * kernel can't tell. Each wake-up compares the view with the mailbox once and tells what is new.
 */
#include <config.h>

#include <stdlib.h>

#include "imap_err.h"
#include "imap_notify.h"
#include "imap_watch.h"
#include "imapcmd.h"
#include "index.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mailbox_path.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct idle {
    struct imap_session *s;
    struct imap_watch watch;
};

static void watch(struct idle *idle, const char *dir)
{
    if (imap_watch_dir(&idle->watch, dir)) return;
    xsyslog(LOG_NOTICE, "IDLE: can't watch, polling", "filename=<%s> seconds=<%d>", dir, idle->s->options->idle_poll);
}

static void watch_mailbox(struct idle *idle)
{
    struct mailbox *mailbox = idle->s->index ? index_mailbox(idle->s->index) : NULL;
    struct buf dir = BUF_INITIALIZER;

    if (!mailbox) return;
    struct mailbox_place place = mailbox_place_of(mailbox_mbentry(mailbox));
    if (!mailbox_path_metadir(&place, META_INDEX, &dir)) watch(idle, buf_cstring(&dir));
    buf_free(&dir);
}

static void watch_messages(struct idle *idle)
{
    char *dir = xasprintf("%s/msg", config_dir);

    watch(idle, dir);
    free(dir);
}

/* Something may be new. Nonzero ends the wait. */
static int look(struct protstream *in, void *rock)
{
    struct idle *idle = rock;
    struct imap_session *s = idle->s;

    (void)in;
    imap_watch_drain(&idle->watch);
    if (imap_session_alert(s)) {
        prot_flush(s->out);
        return 1;
    }
    if (s->index) imap_report(s, true, NULL);
    imap_notify_look(s);
    prot_flush(s->out);
    imap_session_rest(s);
    return s->closing || prot_error(s->out);
}

static void begin(struct idle *idle)
{
    struct imap_session *s = idle->s;

    if (!imap_watch_begin(&idle->watch))
        xsyslog(LOG_NOTICE, "IDLE: no notification, polling", "seconds=<%d>",
                s->options->idle_poll);
    else {
        watch_mailbox(idle);
        watch_messages(idle);
        prot_setwaitfd(s->in, idle->watch.fd, look, idle);
    }
    prot_setwaittimer(s->in, s->options->idle_poll * 1000, look, idle);
    prot_settimeout(s->in, s->options->idle_timeout);
}

static void end(struct idle *idle)
{
    struct imap_session *s = idle->s;

    prot_setwaittimer(s->in, 0, NULL, NULL);
    if (idle->watch.fd >= 0) prot_setwaitfd(s->in, idle->watch.fd, NULL, NULL);
    imap_watch_end(&idle->watch);
    imap_notify_touch(s);
    prot_settimeout(s->in, s->options->timeout);
}

void cmd_idle(struct imap_session *s)
{
    struct idle idle = { .s = s, .watch = IMAP_WATCH_INITIALIZER };
    struct buf word = BUF_INITIALIZER;

    if (!s->options->idle_poll) {
        imap_bad(s, "Unrecognized command");
        return;
    }
    if (!imap_arg_end(s)) return;
    begin(&idle);
    prot_puts(s->out, "+ idling\r\n");
    /* What came before the watch was there. */
    if (!look(s->in, &idle))
        s->c = getword(s->in, &word);
    else
        s->c = IMPARSE_EOF;
    end(&idle);

    if (s->c == IMPARSE_EOF) {
        /* No farewell to a client that idled too long, nor twice to one that was sent away. */
        s->closing = s->answered = s->no_farewell = true;
    }
    else if (imap_at_eol(s) && !cyr_strcasecmp(buf_cstring(&word), "DONE")) {
        s->reported = false;
        imap_ok(s, "Completed");
    }
    else
        imap_bad(s, "Invalid Idle continuation");
    buf_free(&word);
}
