/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_dbtool_batch -- the action "batch" of cyr_dbtool: commands from stdin (handbook 05 §3.5)
 *
 *     CMD [SP KEY [SP VALUE]] LF      KEY and VALUE: atom, quoted string, literal {N} or {N+}
 *
 * The first error ends it, with the number of the command's first line on stderr, exit code 1; a transaction that
 * is open then, or at the end, is aborted.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "cyr_dbtool.h"
#include "cyrusdb.h"
#include "dlist.h"
#include "util.h"

#define MAX_LITERAL (64u << 20)

struct batch {
    struct dbtool *tool;
    struct buf cmd, key, value, out;
    bool intxn;
    unsigned line;
    const char *error; /* NULL: none */
};

static int show(void *rock, const char *key, size_t keylen, const char *data, size_t datalen)
{
    struct batch *b = rock;
    buf_reset(&b->out);
    dlist_printstring(&b->out, key, keylen, false);
    buf_putc(&b->out, ' ');
    dlist_printstring(&b->out, data, datalen, false);
    buf_putc(&b->out, '\n');
    fwrite(b->out.s, 1, b->out.len, stdout);
    return 0;
}

/* ---- commands ---- */

static void check(struct batch *b, int r)
{
    if (r && r != CYRUSDB_NOTFOUND) b->error = cyrusdb_strerror(r);
}

static void do_begin(struct batch *b)
{
    if (b->intxn || b->tool->onetxn) {
        b->error = "a transaction is open already";
        return;
    }
    int r = cyrusdb_begin(b->tool->db, 0);
    check(b, r);
    b->intxn = !r;
}

static void do_end(struct batch *b, bool commit)
{
    if (!b->intxn) {
        b->error = "no transaction is open";
        return;
    }
    b->intxn = false;
    if (commit)
        check(b, cyrusdb_commit(b->tool->db));
    else
        cyrusdb_abort(b->tool->db);
}

static void do_commit(struct batch *b)
{
    do_end(b, true);
}

static void do_abort(struct batch *b)
{
    do_end(b, false);
}

static void do_show(struct batch *b)
{
    check(b, cyrusdb_foreach(b->tool->db, b->key.len ? b->key.s : "", b->key.len, show, b));
}

static void do_get(struct batch *b)
{
    const char *data;
    size_t len;
    int r = cyrusdb_fetch(b->tool->db, b->key.s, b->key.len, &data, &len);
    check(b, r);
    if (!r) show(b, b->key.s, b->key.len, data, len);
}

static void do_set(struct batch *b)
{
    check(b, cyrusdb_store(b->tool->db, b->key.s, b->key.len, b->value.len ? b->value.s : "", b->value.len));
}

static void do_delete(struct batch *b)
{
    check(b, cyrusdb_delete(b->tool->db, b->key.s, b->key.len, true));
}

static const struct {
    const char *name;
    void (*fn)(struct batch *b);
    bool needs_key;
} commands[] = {
    { "BEGIN", do_begin, false }, { "COMMIT", do_commit, false }, { "ABORT", do_abort, false },
    { "SHOW", do_show, false },   { "GET", do_get, true },        { "SET", do_set, true },
    { "DELETE", do_delete, true },
};

static void run_command(struct batch *b)
{
    const char *cmd = buf_cstring(&b->cmd);
    for (size_t i = 0; i < array_size(commands); i++) {
        if (strcmp(commands[i].name, cmd)) continue;
        if (commands[i].needs_key && !b->key.len)
            b->error = "a key is missing";
        else
            commands[i].fn(b);
        return;
    }
    b->error = "unknown command";
}

/* ---- reading ---- */

static int read_char(struct batch *b)
{
    int c = getchar();
    if (c == '\n') b->line++;
    return c;
}

static bool read_quoted(struct batch *b, struct buf *out)
{
    for (;;) {
        int c = read_char(b);
        if (c == '"') return true;
        if (c == '\\') c = read_char(b);
        if (c == EOF || c == '\n') return false;
        buf_putc(out, (char)c);
    }
}

static bool read_literal(struct batch *b, struct buf *out)
{
    uint32_t n = 0;
    char digits[16];
    size_t len = 0;
    int c;

    while ((c = read_char(b)) != '}' && c != '+') {
        if (!cyr_isdigit((char)c) || len == sizeof(digits)) return false;
        digits[len++] = (char)c;
    }
    if (c == '+' && read_char(b) != '}') return false;
    if (parse_u32(digits, len, &n) || n > MAX_LITERAL) return false;
    c = read_char(b);
    if (c == '\r') c = read_char(b);
    if (c != '\n') return false;
    for (; n; n--) {
        c = read_char(b);
        if (c == EOF) return false;
        buf_putc(out, (char)c);
    }
    return true;
}

/* One argument; the byte behind it is left to be read. */
static bool read_string(struct batch *b, struct buf *out)
{
    int c = read_char(b);
    if (c == '"') return read_quoted(b, out);
    if (c == '{') return read_literal(b, out);
    for (; c > ' '; c = read_char(b)) buf_putc(out, (char)c); /* more than an atom may have */
    if (c == '\n') b->line--;
    if (c != EOF) ungetc(c, stdin);
    return out->len;
}

static bool at_end(struct batch *b, int c)
{
    if (c == '\r') c = read_char(b);
    return c == '\n' || c == EOF;
}

/* One line: false at a syntax error. */
static bool read_command(struct batch *b, int c)
{
    for (; c >= 'A' && (cyr_isalpha((char)c)); c = read_char(b)) buf_putc(&b->cmd, (char)c);
    if (at_end(b, c)) return b->cmd.len;
    if (c != ' ' || !b->cmd.len) return false;
    if (!read_string(b, &b->key)) return false;
    c = read_char(b);
    if (at_end(b, c)) return true;
    if (c != ' ') return false;
    return read_string(b, &b->value) && at_end(b, read_char(b));
}

static void reset(struct batch *b)
{
    buf_reset(&b->cmd);
    buf_reset(&b->key);
    buf_reset(&b->value);
}

int dbtool_batch(struct dbtool *tool)
{
    struct batch b = { .tool = tool, .line = 1 };
    unsigned first = 1;
    int c;

    while (!b.error) {
        reset(&b);
        first = b.line;
        c = read_char(&b);
        if (c == EOF) break;
        if (c == '\n' || (c == '\r' && (c = read_char(&b)) == '\n')) continue;
        if (!read_command(&b, c))
            b.error = "syntax error";
        else
            run_command(&b);
    }
    if (b.error) {
        fflush(stdout);
        fprintf(stderr, "FAILED: line %u at cmd %s with error %s\n", first, buf_cstring(&b.cmd), b.error);
    }
    if (b.intxn || (b.error && tool->onetxn)) cyrusdb_abort(tool->db);
    buf_free(&b.cmd);
    buf_free(&b.key);
    buf_free(&b.value);
    buf_free(&b.out);
    return b.error ? 1 : 0;
}

void dbtool_say_absolute(void)
{
    puts("\nSorry, you cannot use this tool with relative path names.\n"
         "This is because some database backends do not\n"
         "always do what you would expect with them.\n"
         "\nPlease use absolute pathnames instead.\n");
}
