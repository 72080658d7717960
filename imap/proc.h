/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proc -- who is connected: one small file a process (handbook 05 §1.12)
 *
 * `SERVICE TAB CLIENTHOST TAB USER TAB MAILBOX TAB COMMAND LF` in proc_path or
 * <configdirectory>/proc, named by the pid. MAILBOX is an internal name. Where the
 * system allows it, the process title says the same.
 */
#ifndef INCLUDED_PROC_H
#define INCLUDED_PROC_H

#include <stdbool.h>
#include <sys/types.h>

/* Variable whose memory titles may use, when it is the first of the environment. */
#define PROC_TITLE_ROOM "CYRUS_TITLE_ROOM"
/*
 * Keeps the memory of argv for process titles (setproctitle); once, at the start of main, before
 * threads. Returns argv, copied.
 */
char **proc_settitle_init(int argc, char **argv);
/* Process title by printf rules; nothing without proc_settitle_init. */
void proc_settitle(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Writes the file of this process; NULL fields are empty, TAB and LF in them become blanks.
 * Unchanged text writes nothing. 0 or IMAP_IOERROR (logged).
 */
int proc_register(const char *service, const char *clienthost, const char *userid,
                  const char *mailbox, const char *cmd);
/* Removes the file of this process, at the end of its connection. */
void proc_cleanup(void);
/* Removes the file that a process left behind which has ended; for master. */
void proc_remove(pid_t pid);
/* Removes the files of all processes that have ended; for master at its start. */
void proc_remove_dead(void);

/*
 * Calls fn for every live process with a file, in order of the pids; files of processes that are gone are
 * skipped. fn <> 0 ends the walk with that value.
 */
typedef int proc_fn(pid_t pid, const char *service, const char *clienthost, const char *userid,
                    const char *mailbox, const char *cmd, void *rock);
int proc_foreach(proc_fn *fn, void *rock);

/*
 * Other sessions that are logged in, to whatever service: from the host, and of the user. This
 * process is not counted.
 */
struct buf;
struct proc_limits {
    const char *clienthost, *userid;
    int host, user;       /* found */
    int maxhost, maxuser; /* maxlogins_per_host, maxlogins_per_user; 0: no limit */
};
/* Fills in counts and limits; true when this session would be one too many, and why as text for the client and the log (handbook 04 §3.1). */
bool proc_checklimits(struct proc_limits *limits, struct buf *why);
/* Asks (SIGTERM) other processes of the user to end; how many. */
int proc_killuser(const char *userid);
/* The same for the processes that have this mailbox selected (internal name). */
int proc_killmbox(const char *mailbox);

#endif
