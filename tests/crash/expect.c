/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * expect -- what a recovered store must hold
 *
 * One command at a time: with command A answered and B begun, the state is that after A or
 * that after B, and nothing else. Many at a time: each message that was answered is there once,
 * each that was begun at most once, no other at all.
 */
#include <config.h>

#include "expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "disk.h"
#include "hash.h"
#include "strarray.h"
#include "util.h"
#include "xmalloc.h"

#define MAX_LINES 6u /* of a difference */

struct message {
    unsigned number;
    char *mailbox, *guid;
};

struct expect {
    struct buf *states;
    unsigned nstates;
    strarray_t parts; /* numbers of commands that do several things */
    strarray_t each;  /* ... at most one in each mailbox */
    struct message *messages;
    unsigned nmessages;
};

/* -- reading -- */

static bool read_file(const char *dir, const char *name, struct buf *out)
{
    char *path = xasprintf("%s/%s", dir, name), block[65536];
    FILE *f = fopen(path, "re");
    size_t n;

    free(path);
    if (!f) return false;
    while ((n = fread(block, 1, sizeof(block), f)) > 0) buf_appendmap(out, block, n);
    fclose(f);
    return true;
}

static void read_states(struct expect *expect, const char *dir)
{
    for (;;) {
        struct buf state = BUF_INITIALIZER;
        char name[32];
        snprintf(name, sizeof(name), "state.%u", expect->nstates);
        if (!read_file(dir, name, &state)) return;
        expect->states = xreallocarray(expect->states, expect->nstates + 1,
                                       sizeof(*expect->states));
        expect->states[expect->nstates++] = state;
    }
}

static void add_message(struct expect *expect, const char *line)
{
    strarray_t *parts = strarray_split(line, " ", 0);
    struct message m = { 0 };

    if (parts->count != 3 || parse_u32_cstr(strarray_nth(parts, 0), &m.number))
        fatal("bad line in the list of messages", EX_DATAERR);
    m.mailbox = xstrdup(strarray_nth(parts, 1));
    m.guid = xstrdup(strarray_nth(parts, 2));
    expect->messages = xreallocarray(expect->messages, expect->nmessages + 1, sizeof(m));
    expect->messages[expect->nmessages++] = m;
    strarray_free(parts);
}

static void read_numbers(const char *dir, const char *name, strarray_t *numbers)
{
    struct buf text = BUF_INITIALIZER;

    if (!read_file(dir, name, &text)) return;
    strarray_t *lines = strarray_split(buf_cstring(&text), "\n", 0);
    for (int i = 0; i < lines->count; i++) strarray_append(numbers, strarray_nth(lines, i));
    strarray_free(lines);
    buf_free(&text);
}

static bool has_number(const strarray_t *numbers, int command)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", command);
    return strarray_contains(numbers, number);
}

static void read_messages(struct expect *expect, const char *dir)
{
    struct buf text = BUF_INITIALIZER;

    if (!read_file(dir, "messages", &text)) return;
    strarray_t *lines = strarray_split(buf_cstring(&text), "\n", 0);
    for (int i = 0; i < lines->count; i++) {
        if (*strarray_nth(lines, i)) add_message(expect, strarray_nth(lines, i));
    }
    strarray_free(lines);
    buf_free(&text);
}

struct expect *expect_new(const char *dir)
{
    struct expect *expect = xzmalloc(sizeof(*expect));

    read_messages(expect, dir);
    if (!expect->nmessages) read_states(expect, dir);
    read_numbers(dir, "parts", &expect->parts);
    read_numbers(dir, "each", &expect->each);
    if (!expect->nmessages && !expect->nstates)
        fatal("nothing is known about the store to expect", EX_NOINPUT);
    return expect;
}

void expect_free(struct expect *expect)
{
    if (!expect) return;
    for (unsigned i = 0; i < expect->nstates; i++) buf_free(&expect->states[i]);
    for (unsigned i = 0; i < expect->nmessages; i++) {
        free(expect->messages[i].mailbox);
        free(expect->messages[i].guid);
    }
    strarray_fini(&expect->parts);
    strarray_fini(&expect->each);
    free(expect->states);
    free(expect->messages);
    free(expect);
}

/* -- one command at a time -- */

static void index_lines(const struct buf *text, strarray_t **lines, hash_table *index)
{
    struct buf copy = BUF_INITIALIZER;

    buf_copy(&copy, text);
    *lines = strarray_split(buf_cstring(&copy), "\n", 0);
    construct_hash_table(index, 1024);
    for (int i = 0; i < (*lines)->count; i++) hash_insert(strarray_nth(*lines, i), *lines, index);
    buf_free(&copy);
}

static void tell_lacking(const strarray_t *lines, const hash_table *index, const char *what,
                         struct buf *problems)
{
    unsigned told = 0;

    for (int i = 0; i < lines->count && told < MAX_LINES; i++) {
        const char *line = strarray_nth(lines, i);
        if (!*line || hash_lookup(line, index)) continue;
        buf_printf(problems, "  %s: %.400s\n", what, line);
        told++;
    }
}

static void tell_difference(const struct buf *want, const struct buf *got, struct buf *problems)
{
    strarray_t *wanted, *gotten;
    hash_table in_want = HASH_TABLE_INITIALIZER, in_got = HASH_TABLE_INITIALIZER;

    index_lines(want, &wanted, &in_want);
    index_lines(got, &gotten, &in_got);
    tell_lacking(wanted, &in_got, "lacks", problems);
    tell_lacking(gotten, &in_want, "has", problems);
    strarray_free(wanted);
    strarray_free(gotten);
    free_hash_table(&in_want, NULL);
    free_hash_table(&in_got, NULL);
}

static bool is_state(const struct expect *expect, int command, const struct buf *state)
{
    return command < (int)expect->nstates && buf_equal(&expect->states[command], state);
}

/* Splits a state: the lines about each mailbox, by its name; "": other files. */
static void by_mailbox(const struct buf *state, hash_table *mailboxes)
{
    const char *end = buf_base(state) + buf_len(state);

    construct_hash_table(mailboxes, 64);
    for (const char *line = buf_base(state); line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        next = next ? next + 1 : end;
        const char *name = memchr(line, ' ', (size_t)(next - line));
        if (name && !strstarts(line, "record ") && !strstarts(line, "file ")) {
            char *key = xstrndup(name + 1, strcspn(name + 1, " \n"));
            struct buf *text = hash_lookup(key, mailboxes);
            if (!text) hash_insert(key, text = xzmalloc(sizeof(*text)), mailboxes);
            buf_appendmap(text, line, (size_t)(next - line));
            free(key);
        }
        line = next;
    }
}

static void free_text(void *p)
{
    buf_free(p);
    free(p);
}

static bool same_text(const struct buf *a, const struct buf *b)
{
    return a && b ? buf_equal(a, b) : a == b;
}

struct each {
    hash_table old, new, now;
    struct buf *problems;
};

static void compare_mailbox(const char *name, void *data, void *rock)
{
    struct each *each = rock;
    const struct buf *now = hash_lookup(name, &each->now);

    (void)data;
    if (!same_text(now, hash_lookup(name, &each->old)) && !same_text(now, hash_lookup(name, &each->new)))
        buf_printf(each->problems, "%s is neither as it was nor as it is to be:\n%s", name,
                   now ? buf_cstring((struct buf *)now) : "  not there\n");
}

/* Each mailbox is as before or as after, whatever others are. */
static void compare_each(const struct buf *old, const struct buf *new, const struct buf *now, struct buf *problems)
{
    struct each each = { .problems = problems };

    by_mailbox(old, &each.old);
    by_mailbox(new, &each.new);
    by_mailbox(now, &each.now);
    hash_enumerate(&each.old, compare_mailbox, &each);
    hash_enumerate(&each.now, compare_mailbox, &each);
    free_hash_table(&each.old, free_text);
    free_hash_table(&each.new, free_text);
    free_hash_table(&each.now, free_text);
}

static void compare_states(const struct expect *expect, int answered, int begun,
                           const struct buf *state, struct buf *problems)
{
    /* The server had not started, or is half-way. */
    if (answered < 0 || (begun > answered && has_number(&expect->parts, begun))) return;
    if (answered >= (int)expect->nstates) fatal("no state is known after that command", EX_DATAERR);
    if (is_state(expect, answered, state) || is_state(expect, begun, state)) return;
    if (begun > answered && begun < (int)expect->nstates && has_number(&expect->each, begun)) {
        compare_each(&expect->states[answered], &expect->states[begun], state, problems);
        return;
    }

    buf_printf(problems, "not the state after command %d\n", answered);
    tell_difference(&expect->states[answered], state, problems);
    if (begun == answered || begun >= (int)expect->nstates) return;
    buf_printf(problems, "nor that after command %d\n", begun);
    tell_difference(&expect->states[begun], state, problems);
}

/* -- many at a time -- */

static unsigned count_message(const struct message *m, const struct buf *state)
{
    char *prefix = xasprintf("message %s ", m->mailbox);
    size_t len = strlen(prefix);
    const char *end = buf_base(state) + buf_len(state);
    unsigned n = 0;

    for (const char *line = buf_base(state); line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        next = next ? next + 1 : end;
        if ((size_t)(next - line) > len && !memcmp(line, prefix, len) &&
            memmem(line, (size_t)(next - line), m->guid, strlen(m->guid)))
            n++;
        line = next;
    }
    free(prefix);
    return n;
}

static void compare_messages(const struct expect *expect, const struct disk *disk, uint32_t pos,
                             const struct buf *state, struct buf *problems)
{
    for (unsigned i = 0; i < expect->nmessages; i++) {
        const struct message *m = &expect->messages[i];
        bool begun = false, answered = false;
        for (uint32_t k = 0; k < disk->nmarks && disk->marks[k].pos <= pos; k++) {
            if (disk->marks[k].number != m->number) continue;
            begun = true;
            answered |= disk->marks[k].answered;
        }
        unsigned n = count_message(m, state);
        if (n > begun || n < answered)
            buf_printf(problems, "message %u is %u times in %s, although %s\n", m->number, n,
                       m->mailbox,
                       answered ? "answered"
                       : begun  ? "begun"
                                : "not begun");
    }
}

void expect_compare(const struct expect *expect, const struct disk *disk, uint32_t pos,
                    const struct buf *state, struct buf *problems)
{
    int answered, begun;

    disk_commands(disk, pos, &answered, &begun);
    if (expect->nmessages)
        compare_messages(expect, disk, pos, state, problems);
    else
        compare_states(expect, answered, begun, state, problems);
}
