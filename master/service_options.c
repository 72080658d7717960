/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service_options -- the options that all services share
 *
 * An option and its argument are separate words: a word like -U30 is refused, as
 * it can't be told from two options of the service. An option that is not ours goes
 * on to the service, with the word behind it unless that begins with '-'.
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "libconfig.h"
#include "service_private.h"
#include "util.h"
#include "xsyslog.h"

#define DEFAULT_MAX_USE 250
#define DEFAULT_TIMEOUT 60

/* A number; what is below 0 is 0. */
static int take_number(const char *text, unsigned *n)
{
    int64_t value;
    int r = parse_i64_cstr(text, &value);

    if (r) return -EINVAL;
    *n = value < 0 ? 0 : value > INT_MAX ? INT_MAX : (unsigned)value;
    return 0;
}

static int take_option(char letter, const char *arg, struct service_options *opt)
{
    switch (letter) {
    case 'C': opt->config = arg; return 0;
    case 'U': return take_number(arg, &opt->max_use);
    case 'T': return take_number(arg, &opt->timeout);
    case 'D': opt->debug = true; return 0;
    default: opt->standalone = true; return 0;
    }
}

int service_options_parse(int argc, char **argv, struct service_options *opt, strarray_t *rest,
                          struct buf *err)
{
    int i;

    *opt = (struct service_options){ .max_use = DEFAULT_MAX_USE, .timeout = DEFAULT_TIMEOUT };
    if (argc > 0) strarray_append(rest, argv[0]);
    for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1] && strcmp(argv[i], "--"); i++) {
        char letter = argv[i][1];

        if (argv[i][2]) {
            buf_printf(err, "options and arguments MUST be separated by whitespace: %s", argv[i]);
            return -EINVAL;
        }
        if (!strchr("CUTDX", letter)) {
            strarray_append(rest, argv[i]);
            if (i + 1 < argc && argv[i + 1][0] != '-') strarray_append(rest, argv[++i]);
            continue;
        }
        bool wants_arg = letter != 'D' && letter != 'X';
        if (wants_arg && i + 1 == argc) {
            buf_printf(err, "option -%c needs an argument", letter);
            return -EINVAL;
        }
        if (wants_arg) i++;
        if (take_option(letter, argv[i], opt)) {
            buf_printf(err, "option -%c needs a number, not %s", letter, argv[i]);
            return -EINVAL;
        }
    }
    for (; i < argc; i++) strarray_append(rest, argv[i]);
    if (!opt->max_use) opt->max_use = 1;
    return 0;
}

void service_debug_text(const char *command, const char *program, const char *name, struct buf *out)
{
    static const char marks[] = "sds";
    size_t next = 0;

    for (const char *p = command; *p; p++) {
        if (*p != '%' || next == sizeof(marks) - 1 || p[1] != marks[next]) {
            buf_putc(out, *p);
            continue;
        }
        p++;
        if (next == 0) buf_appendcstr(out, program);
        if (next == 1) buf_printf(out, "%d", (int)getpid());
        if (next == 2) buf_appendcstr(out, name);
        next++;
    }
}

void service_debug_command(const char *program, const char *name)
{
    const char *command = config_getstring(IMAPOPT_DEBUG_COMMAND);
    struct buf text = BUF_INITIALIZER;

    if (!command || !*command) return;
    service_debug_text(command, program, name, &text);
    syslog(LOG_DEBUG, "running external debugger: %s", buf_cstring(&text));
    int r = system(buf_cstring(&text));
    syslog(LOG_DEBUG, "debugger returned exit status: %d", r);
    buf_free(&text);
}
