/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_logline -- one line of a sync log taken apart
 *
 * Lines come from programs that may have died while they wrote, so any bytes may come. A
 * line that is not understood is told apart from one of a later version's type; neither ends the reading.
 */
#include <config.h>

#include "sync_logline.h"

#include <string.h>
#include <strings.h>

#include "util.h"

static const struct {
    const char *word;
    enum sync_logtype type;
    int nargs;
} types[] = {
    { "USER", SYNC_LOG_USER, 1 },
    { "UNUSER", SYNC_LOG_UNUSER, 1 },
    { "META", SYNC_LOG_META, 1 },
    { "SIEVE", SYNC_LOG_META, 1 },
    { "MAILBOX", SYNC_LOG_MAILBOX, 1 },
    { "APPEND", SYNC_LOG_MAILBOX, 1 },
    { "DOUBLEMAILBOX", SYNC_LOG_DOUBLEMAILBOX, 2 },
    { "RENAME", SYNC_LOG_RENAME, 2 },
    { "UNMAILBOX", SYNC_LOG_UNMAILBOX, 1 },
    { "QUOTA", SYNC_LOG_QUOTA, 1 },
    { "ANNOTATION", SYNC_LOG_ANNOTATION, 1 },
    { "SEEN", SYNC_LOG_SEEN, 2 },
    { "SUB", SYNC_LOG_SUB, 2 },
    { "UNSUB", SYNC_LOG_SUB, 2 },
};

/* No name has control characters. */
static bool is_nameable(char c)
{
    return (unsigned char)c >= ' ' && c != 0x7f;
}

static const char *quoted(const char *p, struct buf *word)
{
    for (p++; *p != '"'; p++) {
        if (*p == '\\') p++;
        if (!is_nameable(*p)) return NULL;
        buf_putc(word, *p);
    }
    return p + 1;
}

/* The word at p; returns what is behind it and its space, NULL: garbage. */
static const char *take_word(const char *p, struct buf *word)
{
    buf_reset(word);
    if (*p == '"') {
        p = quoted(p, word);
        if (!p) return NULL;
    }
    else {
        for (; *p && *p != ' '; p++) {
            if (!is_nameable(*p)) return NULL;
            buf_putc(word, *p);
        }
        if (!buf_len(word)) return NULL;
    }
    if (*p == ' ' && p[1]) return p + 1;
    return *p ? NULL : p;
}

static int find_type(const char *word)
{
    for (size_t i = 0; i < array_size(types); i++)
        if (!strcasecmp(types[i].word, word)) return (int)i;
    return -1;
}

enum sync_logread sync_logline_parse(const char *text, struct sync_logline *line)
{
    int nargs = 0;
    const char *p = take_word(text, &line->args[0]);

    if (!p) return SYNC_LOGREAD_GARBAGE;
    if (!*p) return SYNC_LOGREAD_IGNORED;
    int i = find_type(buf_cstring(&line->args[0]));
    if (i < 0) return SYNC_LOGREAD_UNKNOWN;
    line->type = types[i].type;
    buf_reset(&line->args[1]);
    while (*p) {
        if (nargs == types[i].nargs) return SYNC_LOGREAD_GARBAGE;
        p = take_word(p, &line->args[nargs++]);
        if (!p) return SYNC_LOGREAD_GARBAGE;
    }
    return nargs == types[i].nargs ? SYNC_LOGREAD_OK : SYNC_LOGREAD_GARBAGE;
}

void sync_logline_fini(struct sync_logline *line)
{
    buf_free(&line->args[0]);
    buf_free(&line->args[1]);
}
