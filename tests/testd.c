/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * testd -- a service to test master and the common part of services with
 *
 * Greets with `* SERVICE ID PID CLIENTHOST ARGUMENTS`, then does one word a line:
 *   who      the greeting again
 *   quit     ends the session
 *   stop     ends the process with 0 after the session
 *   fail     ends the process with 75
 *   fatal    calls fatal() (70)
 *   abort    dies of SIGABRT
 *   env X    value of an environment variable
 *   fds      numbers of the open descriptors
 *   title    sets the process title
 * With the option -i it fails in service_init.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "buf.h"
#include "global.h"
#include "libconfig.h"
#include "nonblock.h"
#include "proc.h"
#include "service.h"
#include "signals.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

const unsigned service_config_flags = 0;

static struct buf args;

int service_init(int argc, char **argv, char **envp)
{
    int c;

    while ((c = getopt(argc, argv, "ip:")) != -1) {
        if (c == 'i') return EX_UNAVAILABLE;
        buf_printf(&args, " -%c %s", c, c == 'p' ? optarg : "");
    }
    return 0;
}

void service_abort(int code)
{
    proc_cleanup();
    cyrus_done();
    exit(code);
}

static void say(const struct buf *text)
{
    retry_write(STDOUT_FILENO, text->s, text->len, -1);
}

static void greet(const struct service_client *client)
{
    struct buf out = BUF_INITIALIZER;

    buf_printf(&out, "* %s %u %d %s%s\n", service_name(), service_id(), (int)getpid(),
               client->clienthost, buf_cstring(&args));
    say(&out);
    buf_free(&out);
}

static bool is_number(const char *name, int n)
{
    uint32_t value;

    return !parse_u32_cstr(name, &value) && value == (uint32_t)n;
}

static void list_descriptors(struct buf *out)
{
    DIR *d = opendir("/proc/self/fd");
    const struct dirent *de;

    for (int fd = 0; fd < 64; fd++) {
        rewinddir(d);
        while ((de = readdir(d)))
            if (is_number(de->d_name, fd) && fd != dirfd(d)) buf_printf(out, "%d ", fd);
    }
    closedir(d);
}

/* 1: the session goes on; else what service_main is to return, negated for codes. */
static int command(const struct service_client *client, const char *line)
{
    struct buf out = BUF_INITIALIZER;

    if (!strcmp(line, "quit")) return 0;
    if (!strcmp(line, "fail")) return -EX_TEMPFAIL;
    if (!strcmp(line, "fatal")) fatal("as you wish", EX_SOFTWARE);
    if (!strcmp(line, "abort")) abort();
    if (!strcmp(line, "stop")) {
        service_abort(0);
    }
    else if (!strcmp(line, "who")) {
        greet(client);
    }
    else if (!strcmp(line, "title")) {
        proc_register(service_name(), client->clienthost, "alice", "user.alice", "Idle");
        buf_appendcstr(&out, "done");
    }
    else if (strstarts(line, "env ")) {
        const char *val = getenv(line + 4);
        buf_appendcstr(&out, val ? val : "(unset)");
    }
    else if (!strcmp(line, "fds")) {
        list_descriptors(&out);
    }
    else {
        buf_appendcstr(&out, "?");
    }
    if (out.len) {
        buf_putc(&out, '\n');
        say(&out);
    }
    buf_free(&out);
    return 1;
}

int service_main(const struct service_client *client, int argc, char **argv, char **envp)
{
    char line[256];
    size_t len = 0;
    int r = 1;

    syslog(LOG_DEBUG, "accepted connection");
    greet(client);
    while (r == 1) {
        struct pollfd pfd = { .fd = STDIN_FILENO, .events = POLLIN };

        if (signals_shutdown()) return 0;
        if (signals_poll_fds(&pfd, 1, -1) < 0) continue;
        if (len == sizeof(line) - 1 || read(STDIN_FILENO, line + len, 1) <= 0) return 0;
        if (line[len++] != '\n') continue;
        line[len - 1] = '\0';
        if (len > 1 && line[len - 2] == '\r') line[len - 2] = '\0';
        r = command(client, line);
        len = 0;
    }
    return -r;
}
