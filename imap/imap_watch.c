/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_watch -- directories whose changes wake a session that waits
 */
#include <config.h>

#include "imap_watch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "diskio.h"
#include "xmalloc.h"

#define WATCH_MASK (DN_MODIFY | DN_CREATE | DN_DELETE | DN_RENAME | DN_MULTISHOT)

/* SIGIO stays blocked: nothing else asks for it. */
bool imap_watch_begin(struct imap_watch *watch)
{
    sigset_t sigio;

    sigemptyset(&sigio);
    sigaddset(&sigio, SIGIO);
    sigprocmask(SIG_BLOCK, &sigio, NULL);
    watch->fd = signalfd(-1, &sigio, SFD_NONBLOCK | SFD_CLOEXEC);
    return watch->fd >= 0;
}

bool imap_watch_dir(struct imap_watch *watch, const char *dir)
{
    int fd = diskio_open(dir, O_RDONLY | O_DIRECTORY, 0);

    if (fd < 0 || fcntl(fd, F_NOTIFY, (long)WATCH_MASK)) {
        if (fd >= 0) diskio_close(fd);
        return false;
    }
    watch->dirs = xreallocarray(watch->dirs, (size_t)watch->ndirs + 1, sizeof(*watch->dirs));
    watch->dirs[watch->ndirs++] = fd;
    return true;
}

void imap_watch_drain(struct imap_watch *watch)
{
    struct signalfd_siginfo info;

    while (watch->fd >= 0 && read(watch->fd, &info, sizeof(info)) > 0) continue;
}

void imap_watch_clear(struct imap_watch *watch)
{
    for (int i = 0; i < watch->ndirs; i++) diskio_close(watch->dirs[i]);
    xzfree(watch->dirs);
    watch->ndirs = 0;
}

void imap_watch_end(struct imap_watch *watch)
{
    imap_watch_clear(watch);
    if (watch->fd >= 0) close(watch->fd);
    watch->fd = -1;
}
