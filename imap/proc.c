/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proc -- who is connected
 *
 * The file of a process is made under another name and renamed once; after that
 * each command overwrites the line where it stands, with a single write, and cuts
 * off what a longer line left. A reader takes the first line, so it sees the old or
 * the new one. Readers trust only files of living processes.
 */
#include <config.h>

#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arrayu64.h"
#include "buf.h"
#include "imap_err.h"
#include "libconfig.h"
#include "strarray.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define NFIELDS 5
#define MAX_LINE 8192

static struct {
    int fd;
    pid_t pid;       /* whose file fd is: a forked child makes its own */
    struct buf line; /* what is in it */
} own = { .fd = -1 };

/* -- paths -- */

/* The directory; the caller frees. NULL without a configuration. */
static char *proc_dir(void)
{
    const char *path = config_getstring(IMAPOPT_PROC_PATH);

    if (path && path[0] == '/' && path[1]) return xstrdup(path);
    return config_dir ? xasprintf("%s/proc", config_dir) : NULL;
}

static char *proc_file(pid_t pid, const char *suffix)
{
    char *dir = proc_dir();
    char *path = dir ? xasprintf("%s/%d%s", dir, (int)pid, suffix) : NULL;

    free(dir);
    return path;
}

/* -- our own file -- */

static int open_new(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd >= 0 || errno != ENOENT) return fd;
    char *dir = proc_dir();
    if (!mkdir(dir, 0755)) syslog(LOG_NOTICE, "created proc directory");
    free(dir);
    return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

static bool write_line(int fd, const struct buf *line, size_t oldlen)
{
    if (pwrite(fd, line->s, line->len, 0) != (ssize_t)line->len) return false;
    return oldlen <= line->len || !ftruncate(fd, (off_t)line->len);
}

static int make_file(const struct buf *line)
{
    char *path = proc_file(getpid(), ""), *fresh = proc_file(getpid(), ".new");
    int fd = path ? open_new(fresh) : -1;

    if (fd < 0 || !write_line(fd, line, 0) || rename(fresh, path)) {
        xsyslog(LOG_ERR, "IOERROR: can't write proc file", "filename=<%s>", path ? path : "");
        if (fd >= 0) {
            close(fd);
            unlink(fresh);
        }
        fd = -1;
    }
    free(fresh);
    free(path);
    if (fd < 0) return IMAP_IOERROR;
    own.fd = fd;
    own.pid = getpid();
    return 0;
}

static void add_field(struct buf *line, const char *text, char end)
{
    for (const char *p = text ? text : ""; *p; p++)
        buf_putc(line, *p == '\t' || *p == '\n' || *p == '\r' ? ' ' : *p);
    buf_putc(line, end);
}

static void show_title(const char *service, const char *clienthost, const char *userid,
                       const char *mailbox, const char *cmd)
{
    const char *fields[] = { clienthost, userid, mailbox, cmd };
    struct buf title = BUF_INITIALIZER;

    buf_printf(&title, "%s:", service ? service : "");
    for (size_t i = 0; i < array_size(fields); i++)
        if (fields[i] && *fields[i]) buf_printf(&title, " %s", fields[i]);
    proc_settitle("%s", buf_cstring(&title));
    buf_free(&title);
}

int proc_register(const char *service, const char *clienthost, const char *userid,
                  const char *mailbox, const char *cmd)
{
    struct buf line = BUF_INITIALIZER;
    int r = 0;

    add_field(&line, service, '\t');
    add_field(&line, clienthost, '\t');
    add_field(&line, userid, '\t');
    add_field(&line, mailbox, '\t');
    add_field(&line, cmd, '\n');

    bool mine = own.fd >= 0 && own.pid == getpid();
    if (!mine) {
        if (own.fd >= 0) close(own.fd);
        own.fd = -1;
        r = make_file(&line);
    }
    else if (!buf_equal(&line, &own.line) && !write_line(own.fd, &line, own.line.len)) {
        xsyslog(LOG_ERR, "IOERROR: can't write proc file", NULL);
        r = IMAP_IOERROR;
    }
    if (!r) {
        buf_move(&own.line, &line);
        show_title(service, clienthost, userid, mailbox, cmd);
    }
    buf_free(&line);
    return r;
}

void proc_cleanup(void)
{
    if (own.fd < 0) return;
    close(own.fd);
    own.fd = -1;
    buf_free(&own.line);
    if (own.pid == getpid()) proc_remove(own.pid);
}

void proc_remove(pid_t pid)
{
    char *path = proc_file(pid, "");

    if (path && unlink(path) && errno != ENOENT)
        xsyslog(LOG_ERR, "IOERROR: unlink failed", "filename=<%s>", path);
    free(path);
}

/* -- all files -- */

/* The pid that a name stands for, or 0; false when the name has no business here. */
static bool pid_of_name(const char *name, uint64_t *pid)
{
    size_t len = strlen(name);

    *pid = 0;
    if (*name == '.' || (len > 4 && !strcmp(name + len - 4, ".new"))) return true;
    return !parse_u64(name, len, pid) && *pid && *pid <= INT32_MAX;
}

static int list_pids(arrayu64_t *pids)
{
    char *dir = proc_dir();
    DIR *d = dir ? opendir(dir) : NULL;
    const struct dirent *de;
    uint64_t pid;

    while (d && (de = readdir(d))) {
        if (!pid_of_name(de->d_name, &pid))
            syslog(LOG_ERR, "IOERROR: bogus filename \"%s/%s\" in proc_foreach", dir, de->d_name);
        else if (pid)
            arrayu64_add(pids, pid);
    }
    int r = !d && errno != ENOENT ? IMAP_IOERROR : 0;
    if (r) xsyslog(LOG_ERR, "IOERROR: opendir failed", "filename=<%s>", dir ? dir : "");
    if (d) closedir(d);
    free(dir);
    return r;
}

static bool is_alive(pid_t pid)
{
    return !kill(pid, 0) || errno == EPERM;
}

void proc_remove_dead(void)
{
    arrayu64_t pids = ARRAYU64_INITIALIZER;

    list_pids(&pids);
    for (size_t i = 0; i < arrayu64_size(&pids); i++) {
        pid_t pid = (pid_t)arrayu64_nth(&pids, (ssize_t)i);
        if (!is_alive(pid)) proc_remove(pid);
    }
    arrayu64_fini(&pids);
}

/* The fields of the file into line, cut into words[]; false when there is none. */
static bool read_fields(pid_t pid, char *line, char *words[NFIELDS])
{
    char *path = proc_file(pid, "");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    free(path);
    if (fd < 0) return false;
    ssize_t n = pread(fd, line, MAX_LINE, 0);
    close(fd);
    if (n <= 0) return false;

    char *end = memchr(line, '\n', (size_t)n);
    if (!end) return false;
    *end = '\0';
    for (int i = 0; i < NFIELDS; i++) {
        words[i] = line ? line : end;
        line = line ? strchr(line, '\t') : NULL;
        if (line) *line++ = '\0';
    }
    return true;
}

int proc_foreach(proc_fn *fn, void *rock)
{
    arrayu64_t pids = ARRAYU64_INITIALIZER;
    char *line = xmalloc(MAX_LINE + 1), *w[NFIELDS];
    int r = list_pids(&pids);

    for (int i = 0; !r && i < (int)arrayu64_size(&pids); i++) {
        pid_t pid = (pid_t)arrayu64_nth(&pids, i);
        if (is_alive(pid) && read_fields(pid, line, w))
            r = fn(pid, w[0], w[1], w[2], w[3], w[4], rock);
    }
    free(line);
    arrayu64_fini(&pids);
    return r;
}

/* -- limits -- */

static int count_session(pid_t pid, const char *service, const char *clienthost, const char *userid,
                         const char *mailbox, const char *cmd, void *rock)
{
    struct proc_limits *limits = rock;

    if (pid == getpid() || !*userid) return 0;
    if (limits->clienthost && !strcmp(clienthost, limits->clienthost)) limits->host++;
    if (limits->userid && !strcmp(userid, limits->userid)) limits->user++;
    return 0;
}

/* The limits that there are. */
static void print_limits(const struct proc_limits *limits, struct buf *why)
{
    buf_setcstr(why, "Too many open connections (");
    if (limits->maxhost > 0) buf_printf(why, "%d of %d from %s", limits->host, limits->maxhost, limits->clienthost);
    if (limits->maxhost > 0 && limits->maxuser > 0) buf_appendcstr(why, ", ");
    if (limits->maxuser > 0) buf_printf(why, "%d of %d for %s", limits->user, limits->maxuser, limits->userid);
    buf_putc(why, ')');
}

bool proc_checklimits(struct proc_limits *limits, struct buf *why)
{
    limits->host = limits->user = 0;
    limits->maxhost = config_getint(IMAPOPT_MAXLOGINS_PER_HOST);
    limits->maxuser = config_getint(IMAPOPT_MAXLOGINS_PER_USER);
    if (limits->maxhost <= 0 && limits->maxuser <= 0) return false;

    proc_foreach(count_session, limits);
    bool over = (limits->maxhost > 0 && limits->host >= limits->maxhost) ||
                (limits->maxuser > 0 && limits->user >= limits->maxuser);
    if (over) print_limits(limits, why);
    return over;
}

/* -- asking sessions to end -- */

struct victims {
    const char *userid, *mailbox;
    int count;
};

static int ask_to_end(pid_t pid, const char *service, const char *clienthost, const char *userid,
                      const char *mailbox, const char *cmd, void *rock)
{
    struct victims *v = rock;

    if (pid == getpid()) return 0;
    if (v->userid && strcmp(v->userid, userid)) return 0;
    if (v->mailbox && strcmp(v->mailbox, mailbox)) return 0;
    if (!kill(pid, SIGTERM)) v->count++;
    return 0;
}

int proc_killuser(const char *userid)
{
    struct victims v = { .userid = userid };

    if (userid && *userid) proc_foreach(ask_to_end, &v);
    return v.count;
}

int proc_killmbox(const char *mailbox)
{
    struct victims v = { .mailbox = mailbox };

    if (mailbox && *mailbox) proc_foreach(ask_to_end, &v);
    return v.count;
}
