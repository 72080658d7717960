/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IDLE (RFC 2177, handbook 04 §3.18)
 *
 * The kernel tells (inotify) when the directory of the index changes, or that of
 * the administrator's messages; the timer of imapidlepoll is only for what it can't
 * tell. Each wake-up compares the view with the mailbox once and tells what is new.
 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "imap_err.h"
#include "imapcmd.h"
#include "index.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mailbox_path.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define WATCH_MASK (IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF)

struct idle {
    struct imap_session *s;
    int fd; /* inotify, -1: none */
};

static void watch_mailbox(struct idle *idle)
{
    struct mailbox *mailbox = idle->s->index ? index_mailbox(idle->s->index) : NULL;
    struct buf dir = BUF_INITIALIZER;

    if (!mailbox) return;
    struct mailbox_place place = mailbox_place_of(mailbox_mbentry(mailbox));
    if (!mailbox_path_metadir(&place, META_INDEX, &dir) &&
        inotify_add_watch(idle->fd, buf_cstring(&dir), WATCH_MASK) < 0)
        xsyslog(LOG_NOTICE, "IDLE: can't watch, polling", "filename=<%s>", buf_cstring(&dir));
    buf_free(&dir);
}

static void watch_messages(struct idle *idle)
{
    char *dir = xasprintf("%s/msg", config_dir);

    inotify_add_watch(idle->fd, dir, WATCH_MASK);
    free(dir);
}

static void drain(int fd)
{
    char events[4096] __attribute__((aligned(8)));

    while (read(fd, events, sizeof(events)) > 0) continue;
}

/* Something may be new. Nonzero ends the wait. */
static int look(struct protstream *in, void *rock)
{
    struct idle *idle = rock;
    struct imap_session *s = idle->s;

    (void)in;
    if (idle->fd >= 0) drain(idle->fd);
    if (imap_session_alert(s)) {
        prot_flush(s->out);
        return 1;
    }
    if (s->index) imap_report(s, true, NULL);
    prot_flush(s->out);
    imap_session_rest(s);
    return s->closing || prot_error(s->out);
}

static void begin(struct idle *idle)
{
    struct imap_session *s = idle->s;

    idle->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (idle->fd < 0)
        xsyslog(LOG_NOTICE, "IDLE: no notification, polling", "seconds=<%d>",
                s->options->idle_poll);
    else {
        watch_mailbox(idle);
        watch_messages(idle);
        prot_setwaitfd(s->in, idle->fd, look, idle);
    }
    prot_setwaittimer(s->in, s->options->idle_poll * 1000, look, idle);
    prot_settimeout(s->in, s->options->idle_timeout);
}

static void end(struct idle *idle)
{
    struct imap_session *s = idle->s;

    prot_setwaittimer(s->in, 0, NULL, NULL);
    if (idle->fd >= 0) {
        prot_setwaitfd(s->in, idle->fd, NULL, NULL);
        close(idle->fd);
    }
    prot_settimeout(s->in, s->options->timeout);
}

void cmd_idle(struct imap_session *s)
{
    struct idle idle = { .s = s, .fd = -1 };
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
