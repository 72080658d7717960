/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proc_title -- what ps(1) shows
 *
 * The kernel shows the memory that argv and the environment stood in when the
 * program began. Both are copied away once; from then on that memory holds the
 * title, cut to its size.
 */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"
#include "xmalloc.h"

extern char **environ;

static char *title;
static size_t title_size;

/* A copy of a NULL-terminated list of n strings. */
static char **copy_list(char **list, int n)
{
    char **copy = xcalloc((size_t)n + 1, sizeof(*copy));

    for (int i = 0; i < n; i++) copy[i] = xstrdup(list[i]);
    return copy;
}

char **proc_settitle_init(int argc, char **argv)
{
    int nenv = 0;
    char *end = argc > 0 ? argv[0] : NULL;

    if (!end || title) return argv;
    while (environ[nenv]) nenv++;

    /* As far as the strings follow one another without a gap. */
    char *begin = end;
    for (int i = 0; i < argc && argv[i] == end; i++) end = argv[i] + strlen(argv[i]) + 1;
    for (int i = 0; i < nenv && environ[i] == end; i++) end = environ[i] + strlen(environ[i]) + 1;

    char **args = copy_list(argv, argc);
    environ = copy_list(environ, nenv);
    title = begin;
    title_size = (size_t)(end - begin);
    return args;
}

void proc_settitle(const char *fmt, ...)
{
    va_list args;

    if (!title) return;
    va_start(args, fmt);
    int n = vsnprintf(title, title_size, fmt, args);
    va_end(args);
    if (n < 0) n = 0;
    if ((size_t)n < title_size) memset(title + n, 0, title_size - (size_t)n);
}
