/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_logs -- log lines, session ids, proc files, and how programs start
 */
#include <config.h>

#include <errno.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exitcodes.h"
#include "global.h"
#include "imap_err.h"
#include "libconfig.h"
#include "proc.h"
#include "sessionid.h"
#include "testutil.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

static struct buf logged;
static char *dir;

static void tap(int pri, const char *line, void *rock)
{
    buf_printf(&logged, "%d %s\n", pri, line);
}

static void setup(void)
{
    dir = test_mkdtemp();
    char *conf = xasprintf("configdirectory: %s\nservername: host.example\n", dir);
    config_read_string(conf);
    free(conf);
    xsyslog_settap(tap, NULL);
}

static void teardown(void)
{
    xsyslog_settap(NULL, NULL);
    config_reset();
    buf_free(&logged);
    test_rmdir(dir);
}

#define ck_logged(text)                                 \
    do {                                                \
        ck_assert_str_eq(buf_cstring(&logged), (text)); \
        buf_reset(&logged);                             \
    } while (0)

static void ck_match(const char *text, const char *pattern)
{
    regex_t re;

    ck_assert_int_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    ck_assert_msg(!regexec(&re, text, 0, NULL, 0), "%s does not match %s", text, pattern);
    regfree(&re);
}

START_TEST(test_lines)
{
    errno = ENOENT;
    syslog(LOG_ERR, "open %s: %m", "x");
    ck_assert_int_eq(errno, ENOENT);
    ck_logged("3 open x: No such file or directory\n");

    syslog(LOG_NOTICE, "a\nb\tc\001\177\r\n");
    ck_logged("5 a\\012b\\011c\\001\\177\n");

    errno = EACCES;
    xsyslog(LOG_ERR, "IOERROR: open failed", "filename=<%s>", "/x");
    ck_assert_int_eq(errno, EACCES);
    ck_match(buf_cstring(&logged), "^3 IOERROR: open failed: filename=</x> "
                                   "syserror=<Permission denied> func=<test_lines[a-z_]*>\n$");
    buf_reset(&logged);

    xsyslog_errno(LOG_ERR, -ENOSPC, "IOERROR: write failed", NULL);
    ck_match(buf_cstring(&logged),
             "^3 IOERROR: write failed: syserror=<No space left on device> func=<[a-z_]+>\n$");
    buf_reset(&logged);
    xsyslog_errno(LOG_ERR, 0, "SYNCERROR: x", "a=<%d>", 1);
    ck_match(buf_cstring(&logged), "^3 SYNCERROR: x: a=<1> func=<[a-z_]+>\n$");
    buf_reset(&logged);

    errno = EACCES;
    xsyslog(LOG_NOTICE, "cmdtimer", "a=<%d>", 1);
    ck_logged("5 cmdtimer: a=<1> \n");

    xsyslog_setdebug(false);
    syslog(LOG_DEBUG, "x");
    ck_logged("");
    xsyslog_setdebug(true);
    syslog(LOG_DEBUG, "x");
    ck_logged("7 x\n");

    ck_assert_int_eq(xsyslog_facility("local6"), LOG_LOCAL6);
    ck_assert_int_eq(xsyslog_facility("zork"), -1);
}
END_TEST

START_TEST(test_file)
{
    struct buf text = BUF_INITIALIZER;
    char *path = test_path(dir, "log"), *moved = test_path(dir, "log.1");

    xsyslog_settap(NULL, NULL);
    unsetenv("CYRUS_SYSLOG_PREFIX");
    xsyslog_open("tool", "pre", -1);
    xsyslog_setfile(path);
    syslog(LOG_ERR, "one");
    test_readfile(path, &text);
    ck_match(buf_cstring(&text), "^20[0-9-]{8}T[0-9:]{8}\\.[0-9]{6}[+-][0-9]{2}:[0-9]{2} "
                                 "[^ ]+ pre/tool\\[[0-9]+\\]: one\n$");
    /* Rotated. */
    ck_assert_int_eq(rename(path, moved), 0);
    setenv("CYRUS_SYSLOG_PREFIX", "env", 1);
    xsyslog_open("tool", "pre", -1);
    syslog(LOG_ERR, "two");
    test_readfile(path, &text);
    ck_match(buf_cstring(&text), "^[^\n]* env/tool\\[[0-9]+\\]: two\n$");
    unsetenv("CYRUS_SYSLOG_PREFIX");

    /* A file that can't be opened loses nothing else. */
    xsyslog_setfile("/nonexistent/log");
    syslog(LOG_DEBUG, "to syslog");
    xsyslog_close();
    buf_free(&text);
    free(path);
    free(moved);
}
END_TEST

START_TEST(test_sessionid)
{
    char id[SESSIONID_MAX], out[SESSIONID_MAX], long_line[600];

    session_clear_id();
    snprintf(id, sizeof(id), "%s", session_id());
    ck_match(id, "^host\\.example-[0-9]{10}-[0-9]+-[0-9]+-[0-9]+$");
    ck_assert_str_eq(session_id(), id);
    session_new_id();
    ck_assert_str_ne(session_id(), id);

    parse_sessionid("a OK done SESSIONID=<x-1-2> more", out);
    ck_assert_str_eq(out, "x-1-2");
    parse_sessionid("a OK done SESSIONID=<x-1-2", out);
    ck_assert_str_eq(out, "unknown");
    parse_sessionid("", out);
    ck_assert_str_eq(out, "unknown");
    memset(long_line, 'x', sizeof(long_line));
    memcpy(long_line, "SESSIONID=<", 11);
    long_line[11 + 256] = '>';
    long_line[sizeof(long_line) - 1] = '\0';
    parse_sessionid(long_line, out);
    ck_assert_str_eq(out, "invalid");
    long_line[11 + 255] = '>';
    parse_sessionid(long_line, out);
    ck_assert_uint_eq(strlen(out), 255);

    char *conf = xasprintf("syslog_prefix: %0300d\n", 1);
    config_read_string(conf);
    session_new_id();
    ck_assert_int_eq(session_id()[128], '-');
    free(conf);
}
END_TEST

/* -- proc files -- */

static int join(pid_t pid, const char *service, const char *clienthost, const char *userid,
                const char *mailbox, const char *cmd, void *rock)
{
    buf_printf(rock, "%s|%s|%s|%s|%s|%s\n", pid == getpid() ? "me" : "other", service, clienthost,
               userid, mailbox, cmd);
    return 0;
}

START_TEST(test_proc)
{
    struct buf got = BUF_INITIALIZER, text = BUF_INITIALIZER;
    char *path = test_path(dir, "proc/%d", (int)getpid());
    char *bogus = test_path(dir, "proc/bogus"), *hidden = test_path(dir, "proc/.x");
    char *dead = test_path(dir, "proc/%d", 4194305); /* beyond pid_max */

    ck_assert_int_eq(proc_foreach(join, &got), 0); /* no directory yet */
    ck_assert_uint_eq(got.len, 0);
    ck_assert_int_eq(proc_register("imap", "localhost [127.0.0.1]", NULL, NULL, NULL), 0);
    test_readfile(path, &text);
    ck_assert_str_eq(buf_cstring(&text), "imap\tlocalhost [127.0.0.1]\t\t\t\n");
    ck_assert_int_eq(proc_register("imap", "localhost [127.0.0.1]", "alice", "user.a\tb\nc", "Uid"),
                     0);
    test_readfile(path, &text);
    ck_assert_str_eq(buf_cstring(&text), "imap\tlocalhost [127.0.0.1]\talice\tuser.a b c\tUid\n");
    /* A shorter line leaves nothing of the longer one. */
    ck_assert_int_eq(proc_register("imap", "localhost [127.0.0.1]", "alice", "", ""), 0);
    test_readfile(path, &text);
    ck_assert_str_eq(buf_cstring(&text), "imap\tlocalhost [127.0.0.1]\talice\t\t\n");

    test_writefile(bogus, "", 0);
    test_writefile(hidden, "", 0);
    test_writefile(dead, "imap\tx\ty\tz\tc\n", 13);
    buf_reset(&logged);
    ck_assert_int_eq(proc_foreach(join, &got), 0);
    ck_assert_str_eq(buf_cstring(&got), "me|imap|localhost [127.0.0.1]|alice||\n");
    ck_assert_ptr_nonnull(strstr(buf_cstring(&logged), "IOERROR: bogus filename"));

    proc_remove(4194305);
    ck_assert(!test_exists(dead));
    proc_cleanup();
    ck_assert(!test_exists(path));
    buf_free(&got);
    buf_free(&text);
    free(path);
    free(bogus);
    free(hidden);
    free(dead);
}
END_TEST

/* A child that is registered, and ends at SIGTERM. */
static pid_t start_session(const char *userid)
{
    int ready[2];
    char c;

    ck_assert_int_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (!pid) {
        signal(SIGTERM, SIG_DFL); /* the check library has a handler */
        proc_register("imap", "h", userid, "user.alice", "");
        if (write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    ck_assert_int_eq(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

START_TEST(test_limits)
{
    struct proc_limits limits = { .clienthost = "h", .userid = "alice" };
    struct buf why = BUF_INITIALIZER;
    int status;

    config_reset();
    char *conf = xasprintf("configdirectory: %s\nmaxlogins_per_host: 2\nmaxlogins_per_user: 2\n",
                           dir);
    config_read_string(conf);
    free(conf);
    proc_register("imap", "h", "alice", "", "");
    pid_t one = start_session("alice"), none = start_session("");
    ck_assert(!proc_checklimits(&limits, &why));
    ck_assert_int_eq(limits.host, 1);
    ck_assert_int_eq(limits.user, 1);
    ck_assert_int_eq(limits.maxuser, 2);
    pid_t two = start_session("bob");
    ck_assert(proc_checklimits(&limits, &why)); /* of the host */
    ck_assert_int_eq(limits.host, 2);
    ck_assert_int_eq(limits.user, 1);
    ck_assert_str_eq(buf_cstring(&why), "Too many open connections (2 of 2 from h, 1 of 2 for alice)");
    buf_free(&why);

    ck_assert_int_eq(proc_killuser("alice"), 1);
    ck_assert_int_eq(waitpid(one, &status, 0), one);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    ck_assert_int_eq(proc_killuser(""), 0);
    ck_assert_int_eq(proc_killmbox("user.alice"), 2);
    ck_assert_int_eq(waitpid(none, &status, 0), none);
    ck_assert_int_eq(waitpid(two, &status, 0), two);
    proc_cleanup();
}
END_TEST

/* -- start -- */

START_TEST(test_messages)
{
    char text[16];
    char *msg = test_path(dir, "msg"), *all = test_path(dir, "msg/shutdown");
    char *own = test_path(dir, "msg/shutdown.imap"), *motd = test_path(dir, "msg/motd");

    ck_assert(!shutdown_file(text, sizeof(text)));
    ck_assert_int_eq(mkdir(msg, 0700), 0);
    test_writefile(all, "all down\r\nx", 11);
    ck_assert(shutdown_file(text, sizeof(text)));
    ck_assert_str_eq(text, "all down");
    test_writefile(own, "a text longer than the room", 27);
    ck_assert(shutdown_file(text, sizeof(text)));
    ck_assert_str_eq(text, "all down");
    config_setident("imap");
    ck_assert(shutdown_file(text, sizeof(text)));
    ck_assert_str_eq(text, "a text longer t");
    config_setident(NULL);
    test_writefile(motd, "[[x] y\n", 7);
    ck_assert(motd_file(text, sizeof(text)));
    ck_assert_str_eq(text, "x] y");

    config_read_string("suppress_capabilities: IDLE  url-Partial\n");
    ck_assert(capa_is_disabled("idle") && capa_is_disabled("URL-PARTIAL"));
    ck_assert(!capa_is_disabled("ID"));
    free(msg);
    free(all);
    free(own);
    free(motd);
}
END_TEST

START_TEST(test_init)
{
    char *conf = test_path(dir, "imapd.conf"), *log = test_path(dir, "log");
    char *text = xasprintf("configdirectory: %s\nlog_file: %s\numask: 027\nsyslog_facility: zork\n"
                           "cyrus_user: someone\n",
                           dir, log);
    struct buf got = BUF_INITIALIZER;

    test_writefile(conf, text, strlen(text));
    xsyslog_settap(NULL, NULL);
    cyrus_init(conf, "tool", CYRUSINIT_TOOL | CYRUSINIT_KEEPUID, 0);
    ck_assert_str_eq(config_ident, "tool");
    ck_assert_int_eq(umask(0), 027);
    test_readfile(log, &got);
    ck_match(buf_cstring(&got),
             " tool\\[[0-9]+\\]: config error: syslog name zork not recognised\n$");
    unsetenv("CYRUS_USER");
    ck_assert_str_eq(cyrus_user(), "someone");
    setenv("CYRUS_USER", "other", 1);
    ck_assert_str_eq(cyrus_user(), "other");
    cyrus_done();
    buf_free(&got);
    free(conf);
    free(log);
    free(text);
}
END_TEST

START_TEST(test_init_fails)
{
    xsyslog_settap(NULL, NULL);
    if (!freopen("/dev/null", "w", stderr)) return;
    cyrus_init("/nonexistent/imapd.conf", "tool", CYRUSINIT_TOOL, 0);
}
END_TEST

START_TEST(test_exit_names)
{
    ck_assert_str_eq(exitcode_name(78), "EX_CONFIG");
    ck_assert_str_eq(exitcode_name(1), "?");
}
END_TEST

Suite *logs_suite(void)
{
    Suite *s = suite_create("logs");
    TCase *t = tcase_create("logs");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_lines);
    tcase_add_test(t, test_file);
    tcase_add_test(t, test_sessionid);
    tcase_add_test(t, test_proc);
    tcase_add_test(t, test_limits);
    tcase_add_test(t, test_messages);
    tcase_add_test(t, test_init);
    tcase_add_exit_test(t, test_init_fails, EX_CONFIG);
    tcase_add_test(t, test_exit_names);
    suite_add_tcase(s, t);
    return s;
}
