/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proc_title -- what ps(1) shows
 *
 * The kernel shows the memory that argv stood in when the program began, and when
 * that is full to its last byte goes on into the environment behind it. argv is
 * copied away once; from then on its memory holds the title, together with that of
 * the variable PROC_TITLE_ROOM, which master puts first for this very purpose. A longer
 * title is cut; the rest of the environment stays readable in /proc.
 */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"
#include "xmalloc.h"

extern char **environ;

static char *title;
static size_t title_size;
static char **args; /* what main goes on with, until the end of the process */

/* A copy of a NULL-terminated list of n strings. */
static char **copy_list(char **list, int n)
{
    char **copy = xcalloc((size_t)n + 1, sizeof(*copy));

    for (int i = 0; i < n; i++) copy[i] = xstrdup(list[i]);
    return copy;
}

char **proc_settitle_init(int argc, char **argv)
{
    static const char room[] = PROC_TITLE_ROOM "=";
    char *end = argc > 0 ? argv[0] : NULL;

    if (!end || title) return argv;

    /* As far as the strings follow one another without a gap. */
    char *begin = end;
    for (int i = 0; i < argc && argv[i] == end; i++) end = argv[i] + strlen(argv[i]) + 1;
    args = copy_list(argv, argc);
    if (environ[0] == end && !strncmp(end, room, sizeof(room) - 1)) {
        end += strlen(end) + 1;
        unsetenv(PROC_TITLE_ROOM);
    }
    title = begin;
    title_size = (size_t)(end - begin);
    return args;
}

void proc_settitle(const char *fmt, ...)
{
    va_list ap;

    if (!title) return;
    va_start(ap, fmt);
    int n = vsnprintf(title, title_size, fmt, ap);
    va_end(ap);
    if (n < 0) n = 0;
    if ((size_t)n < title_size) memset(title + n, 0, title_size - (size_t)n);
}
