/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * global -- how every program starts and ends
 *
 * cyrus_init() leaves a program with its configuration read, its log open, its umask
 * set, and without the rights of root; it returns only when all of that is so.
 */
#include <config.h>

#include "global.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "buf.h"
#include "diskio.h"
#include "exitcodes.h"
#include "libconfig.h"
#include "signals.h"
#include "strarray.h"
#include "times.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

static const char *fatal_prefix = "fatal error: ";
static void (*fatal_hook)(const char *message, int code);

/* -- the end -- */

static void tell_fatal(const char *message, int code)
{
    if (fatal_prefix) fprintf(stderr, "%s%s\n", fatal_prefix, message);
    if (fatal_hook) fatal_hook(message, code);
}

static void log_fatal(const char *message)
{
    syslog(LOG_ERR, "Fatal error: %s", message);
}

void cyrus_set_fatal_prefix(const char *prefix)
{
    fatal_prefix = prefix;
}

void cyrus_set_fatal_hook(void (*hook)(const char *message, int code))
{
    fatal_hook = hook;
}

/* -- the start -- */

static void set_umask(void)
{
    const char *text = config_getstring(IMAPOPT_UMASK);
    char *end;

    errno = 0;
    unsigned long mask = strtoul(text ? text : "077", &end, 8);
    if (errno || *end || mask > 0777) {
        syslog(LOG_ERR, "config error: umask %s is no octal number, using 077", text);
        mask = 077;
    }
    umask((mode_t)mask);
}

/* A log file that root makes belongs to those who will write it. */
static void own_log_file(void)
{
    const char *path = config_getstring(IMAPOPT_LOG_FILE);
    const struct passwd *pw = path && !geteuid() ? getpwnam(cyrus_user()) : NULL;

    if (!pw) return;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0) return; /* it is there already, or writing to it will tell */
    if (fchown(fd, pw->pw_uid, pw->pw_gid)) syslog(LOG_ERR, "can't give %s away: %m", path);
    close(fd);
}

static void set_log(const char *ident, bool obey_facility)
{
    const char *name = config_getstring(IMAPOPT_SYSLOG_FACILITY);
    int facility = obey_facility && name && *name ? xsyslog_facility(name) : -1;

    xsyslog_open(ident, config_getstring(IMAPOPT_SYSLOG_PREFIX), facility);
    own_log_file();
    xsyslog_setfile(config_getstring(IMAPOPT_LOG_FILE));
    xsyslog_setdebug(config_getswitch(IMAPOPT_DEBUG));
    if (obey_facility && name && *name && facility < 0)
        syslog(LOG_ERR, "config error: syslog name %s not recognised", name);
}

static void leave_root(unsigned flags)
{
    if (flags & CYRUSINIT_KEEPUID) return;
    if (geteuid()) return;
    if (flags & CYRUSINIT_SERVICE || become_cyrus() || !geteuid())
        fatal("must run as the Cyrus user", EX_USAGE);
}

void cyrus_init(const char *alt_config, const char *ident, unsigned flags, unsigned config_flags)
{
    bool is_master = !strcmp(ident, "master");

    if (flags & CYRUSINIT_SERVICE && !isatty(STDERR_FILENO)) fatal_prefix = NULL;
    fatal_set_cleanup(tell_fatal);
    fatal_set_logger(log_fatal);
    xsyslog_open(ident, NULL, -1);
    config_setident(ident);
    times_keep_zone();
    config_read(alt_config, config_flags);
    if (!is_master) set_umask();
    set_log(ident, !is_master);
    leave_root(flags);
    if (flags & CYRUSINIT_SIGNALS) signals_add_handlers();
}

void cyrus_done(void)
{
    xsyslog_close();
    config_reset();
    config_setident(NULL);
}

const char *cyrus_version(void)
{
    return "3.6.1-Cylinder-" PACKAGE_VERSION EXTRA_IDENT;
}

void cyrus_std_options(int argc, char **argv, const char *usage)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
        if (!strcmp(argv[i], "--help")) {
            fputs(usage, stdout);
            if (*usage && usage[strlen(usage) - 1] != '\n') putchar('\n');
        }
        else if (!strcmp(argv[i], "--version")) {
            printf("cyrus-imapd %s\n", cyrus_version());
        }
        else {
            continue;
        }
        exit(fflush(stdout) ? EX_IOERR : EX_OK);
    }
}

/* -- who we are -- */

static const char *from_env(const char *name)
{
    const char *val = getenv(name);

    return val && *val ? val : NULL;
}

const char *cyrus_user(void)
{
    const char *user = from_env("CYRUS_USER");

    if (!user) user = config_getstring(IMAPOPT_CYRUS_USER);
    return user && *user ? user : CYRUS_USER;
}

const char *cyrus_group(void)
{
    const char *group = from_env("CYRUS_GROUP");

    if (!group) group = config_getstring(IMAPOPT_CYRUS_GROUP);
    return group && *group ? group : NULL;
}

int become_cyrus(void)
{
    const char *user = cyrus_user(), *group = cyrus_group();
    const struct passwd *pw = getpwnam(user);

    if (!pw) {
        syslog(LOG_ERR, "no entry in /etc/passwd for user %s", user);
        return -1;
    }
    uid_t uid = pw->pw_uid;
    gid_t gid = pw->pw_gid;
    if (group) {
        const struct group *gr = getgrnam(group);
        if (!gr) {
            syslog(LOG_ERR, "no entry in /etc/group for group %s", group);
            return -1;
        }
        gid = gr->gr_gid;
    }
    if (uid == geteuid() && uid == getuid() && gid == getegid() && gid == getgid()) return 0;

    if (initgroups(user, gid)) {
        syslog(LOG_ERR, "unable to initialize groups for user %s: %m", user);
        return -1;
    }
    if (setgid(gid)) {
        syslog(LOG_ERR, "unable to set group id to %u for user %s: %m", (unsigned)gid, user);
        return -1;
    }
    if (setuid(uid)) {
        syslog(LOG_ERR, "unable to set user id to %u for user %s: %m", (unsigned)uid, user);
        return -1;
    }
    return 0;
}

bool cyrus_isdaemon(void)
{
    return from_env("CYRUS_ISDAEMON") != NULL;
}

/* -- messages of the administrator -- */

/* First line of <configdirectory>/msg/NAME; false when there is no such file. */
static bool first_line(const char *name, char *text, size_t size)
{
    if (!config_dir || !size) return false;

    char *path = xasprintf("%s/msg/%s", config_dir, name);
    int fd = diskio_open(path, O_RDONLY, 0);
    free(path);
    if (fd < 0) return false;

    ssize_t n = diskio_read(fd, text, size - 1);
    diskio_close(fd);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    return true;
}

bool shutdown_file(char *text, size_t size)
{
    bool there = false;

    if (config_ident && !strchr(config_ident, '/')) {
        char *name = xasprintf("shutdown.%s", config_ident);
        there = first_line(name, text, size);
        free(name);
    }
    return there || first_line("shutdown", text, size);
}

bool motd_file(char *text, size_t size)
{
    if (!first_line("motd", text, size)) return false;

    size_t skip = strspn(text, "[");
    memmove(text, text + skip, strlen(text + skip) + 1);
    return true;
}

bool capa_is_disabled(const char *capability)
{
    const char *list = config_getstring(IMAPOPT_SUPPRESS_CAPABILITIES);

    if (!list || !*list) return false;
    strarray_t *names = strarray_split(list, NULL, STRARRAY_TRIM);
    bool disabled = strarray_contains_case(names, capability);
    strarray_free(names);
    return disabled;
}
