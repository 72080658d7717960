/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IDLE (RFC 2177, handbook 04 §3.18)
 *
 * The kernel tells when the directory of the index changes, or that of the administrator's
 * messages: F_NOTIFY of fcntl(2), since it needs no more than a descriptor, where inotify has
 * room for 128 sessions of an account. SIGIO is read from a descriptor and is pending once
 * however much happens, so nothing queues up. The timer of imapidlepoll is only for what the
 * kernel can't tell. Each wake-up compares the view with the mailbox once and tells what is new.
 */
#include <config.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "diskio.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "index.h"
#include "libconfig.h"
#include "mailbox.h"
#include "mailbox_path.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define WATCH_MASK (DN_MODIFY | DN_CREATE | DN_DELETE | DN_RENAME | DN_MULTISHOT)
#define MAX_WATCHES 2

struct idle {
    struct imap_session *s;
    int fd; /* where SIGIO is read, -1: none */
    int dirs[MAX_WATCHES];
    int ndirs;
};

static void watch(struct idle *idle, const char *dir)
{
    int fd = diskio_open(dir, O_RDONLY | O_DIRECTORY, 0);

    if (fd < 0 || fcntl(fd, F_NOTIFY, (long)WATCH_MASK)) {
        xsyslog(LOG_NOTICE, "IDLE: can't watch, polling", "filename=<%s> seconds=<%d>", dir,
                idle->s->options->idle_poll);
        if (fd >= 0) diskio_close(fd);
        return;
    }
    idle->dirs[idle->ndirs++] = fd;
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

/* SIGIO stays blocked in this process for good: nothing else asks for it. */
static int open_signal(void)
{
    sigset_t sigio;

    sigemptyset(&sigio);
    sigaddset(&sigio, SIGIO);
    sigprocmask(SIG_BLOCK, &sigio, NULL);
    return signalfd(-1, &sigio, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void drain(int fd)
{
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof(info)) > 0) continue;
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

    idle->fd = open_signal();
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
        for (int i = 0; i < idle->ndirs; i++) diskio_close(idle->dirs[i]);
        drain(idle->fd);
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
