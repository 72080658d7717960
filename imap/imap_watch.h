/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_IMAP_WATCH_H
#define INCLUDED_IMAP_WATCH_H
/*
 * imap_watch -- directories whose changes wake a session that waits
 *
 * The kernel tells when something in a directory changes: F_NOTIFY of fcntl(2), since it needs no more than a
 * descriptor, where inotify has room for 128 sessions of an account. SIGIO is read from a descriptor and is pending
 * once however much happens, so nothing queues up. It tells nothing of what has changed, and all watches of a process share it.
 */
#include <stdbool.h>

struct imap_watch {
    int fd; /* readable when something has changed, -1: the kernel can't tell */
    int *dirs;
    int ndirs;
};
#define IMAP_WATCH_INITIALIZER { .fd = -1 }

/* False: no notification; SIGIO stays blocked in this process for good. */
bool imap_watch_begin(struct imap_watch *watch);
/* False: this one can't be watched. */
bool imap_watch_dir(struct imap_watch *watch, const char *dir);
/* What was told so far is forgotten. */
void imap_watch_drain(struct imap_watch *watch);
/* No directory is watched any more, fd stays. */
void imap_watch_clear(struct imap_watch *watch);
void imap_watch_end(struct imap_watch *watch);

#endif
