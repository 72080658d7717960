/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_replication_report -- differences as lines for people, or as one JSON document
 *
 * A line names the user, the mailbox, the UID and the field, and what each end has. The
 * line of a quota begins as operators know it: "Quota mismatch: used/limit vs used/limit".
 * Control bytes never reach the terminal; long values are cut in lines, never in JSON.
 */
#include <config.h>

#include "check_replication_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "util.h"
#include "xmalloc.h"

#define MAXVALUE 200 /* bytes of a value in a line */

struct check_report {
    FILE *out;
    const char *labels[2];
    json_t *differences, *errors, *not_compared; /* NULL: lines */
};

struct check_report *check_report_new(FILE *out, const char *const labels[2], bool json)
{
    struct check_report *r = xzmalloc(sizeof(*r));

    r->out = out;
    r->labels[0] = labels[0];
    r->labels[1] = labels[1];
    if (json) {
        r->differences = json_array();
        r->errors = json_array();
        r->not_compared = json_array();
    }
    return r;
}

/* ---- lines ---- */

static void put_value(struct buf *line, const char *value)
{
    size_t n = 0;

    for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
        if (++n > MAXVALUE) {
            buf_appendcstr(line, "...");
            break;
        }
        if (*p == '\n')
            buf_appendcstr(line, ", ");
        else if (*p < 0x20 || *p == 0x7f)
            buf_printf(line, "\\%03o", *p);
        else
            buf_putc(line, (char)*p);
    }
    if (!*value) buf_appendcstr(line, "none");
}

static void put_place(struct buf *line, const struct check_diff *diff)
{
    put_value(line, diff->user);
    if (diff->mailbox) {
        buf_putc(line, ' ');
        put_value(line, diff->mailbox);
    }
    if (diff->uid) buf_printf(line, " %" PRIu32, diff->uid);
    buf_putc(line, ' ');
    put_value(line, diff->field);
}

static void put_only(struct buf *line, const char *label, const char *value)
{
    buf_printf(line, ": only on %s", label);
    if (strcmp(value, "yes")) {
        buf_appendcstr(line, " (");
        put_value(line, value);
        buf_putc(line, ')');
    }
}

static void put_difference(struct check_report *r, struct buf *line, const struct check_diff *diff)
{
    put_place(line, diff);
    if (!diff->a || !diff->b) {
        put_only(line, r->labels[diff->a ? 0 : 1], diff->a ? diff->a : diff->b);
        return;
    }
    buf_printf(line, ": %s has ", r->labels[0]);
    put_value(line, diff->a);
    buf_printf(line, ", %s has ", r->labels[1]);
    put_value(line, diff->b);
    if (diff->informational) buf_appendcstr(line, " (no difference of contents)");
}

static void put_quota(struct check_report *r, struct buf *line, const struct check_diff *diff)
{
    buf_printf(line, "Quota mismatch: %s vs %s (", diff->a ? diff->a : "none",
               diff->b ? diff->b : "none");
    put_place(line, diff);
    buf_printf(line, ", %s vs %s", r->labels[0], r->labels[1]);
    if (diff->note) buf_printf(line, "; %s", diff->note);
    buf_putc(line, ')');
}

/* ---- JSON ---- */

/* Bytes that are no UTF-8 would make no JSON: they are written as \ooo. */
static json_t *text(const char *s)
{
    if (!s) return json_null();
    json_t *value = json_string(s);
    if (value) return value;
    struct buf b = BUF_INITIALIZER;
    for (; *s; s++) {
        if ((unsigned char)*s < 0x80)
            buf_putc(&b, *s);
        else
            buf_printf(&b, "\\%03o", (unsigned char)*s);
    }
    value = json_string(buf_cstring(&b));
    buf_free(&b);
    return value;
}

static json_t *diff_object(const struct check_diff *diff)
{
    json_t *o = json_object();

    json_object_set_new(o, "user", text(diff->user));
    json_object_set_new(o, "mailbox", text(diff->mailbox));
    json_object_set_new(o, "uid", diff->uid ? json_integer(diff->uid) : json_null());
    json_object_set_new(o, "field", text(diff->field));
    json_object_set_new(o, "a", text(diff->a));
    json_object_set_new(o, "b", text(diff->b));
    if (diff->note) json_object_set_new(o, "note", text(diff->note));
    if (diff->informational) json_object_set_new(o, "informational", json_true());
    return o;
}

void check_report_diff(void *report, const struct check_diff *diff)
{
    struct check_report *r = report;
    struct buf line = BUF_INITIALIZER;

    if (r->differences) {
        json_array_append_new(r->differences, diff_object(diff));
        return;
    }
    if (diff->what == CHECK_QUOTAS)
        put_quota(r, &line, diff);
    else
        put_difference(r, &line, diff);
    fprintf(r->out, "%s\n", buf_cstring(&line));
    buf_free(&line);
}

void check_report_error(struct check_report *r, int end, const char *user, const char *mailbox,
                        const char *what)
{
    struct buf line = BUF_INITIALIZER;

    buf_printf(&line, "check_replication: %s: ", r->labels[end]);
    if (user) buf_printf(&line, "%s: ", user);
    if (mailbox) buf_printf(&line, "%s: ", mailbox);
    put_value(&line, what);
    fflush(r->out);
    fprintf(stderr, "%s\n", buf_cstring(&line));
    buf_free(&line);
    if (!r->errors) return;
    json_t *o = json_object();
    json_object_set_new(o, "server", text(r->labels[end]));
    json_object_set_new(o, "user", text(user));
    json_object_set_new(o, "mailbox", text(mailbox));
    json_object_set_new(o, "error", text(what));
    json_array_append_new(r->errors, o);
}

/* ---- the end ---- */

/* What one or both servers cannot tell is never passed over in silence. */
static void print_not_compared(struct check_report *r, enum check_fact fact, int end)
{
    const char *name = check_fact_name(fact), *capability = check_fact_capability(fact);

    if (!r->differences) {
        fprintf(r->out, "not compared: %s (%s does not know %s)\n", name, r->labels[end],
                capability);
        return;
    }
    json_t *o = json_object();
    json_object_set_new(o, "what", text(name));
    json_object_set_new(o, "server", text(r->labels[end]));
    json_object_set_new(o, "capability", text(capability));
    json_array_append_new(r->not_compared, o);
}

static void print_all_not_compared(struct check_report *r, const struct check_run *run)
{
    for (int fact = 0; fact < CHECK_NFACTS; fact++)
        for (int end = 0; end < 2; end++)
            if (run->connected && !(run->facts[end] & CHECK_FACT_BIT(fact)))
                print_not_compared(r, (enum check_fact)fact, end);
    bool sealed = !check_run_knows(run, CHECK_FACT_META);
    if (run->deleted && run->connected && sealed && !r->differences)
        fprintf(r->out, "not compared: messages of deleted mailboxes, but for their checksums "
                        "(no session can examine them)\n");
}

static bool is_equal(const struct check_run *run)
{
    for (size_t i = 0; i < CHECK_NWHATS; i++)
        if (run->counts[i].differ) return false;
    return true;
}

static void print_table(struct check_report *r, const struct check_run *run)
{
    int wide[2];

    for (int i = 0; i < 2; i++) wide[i] = (int)cyr_max(strlen(r->labels[i]), (size_t)10);
    fprintf(r->out, "%-32s %*s %*s %10s\n", "compared", wide[0], r->labels[0], wide[1],
            r->labels[1], "different");
    for (size_t i = 0; i < CHECK_NWHATS; i++) {
        const struct check_count *c = &run->counts[i];
        fprintf(r->out, "%-32s %*" PRIu64 " %*" PRIu64 " %10" PRIu64 "\n",
                check_what_name((enum check_what)i), wide[0], c->a, wide[1], c->b, c->differ);
    }
    fprintf(r->out, "%s\n",
            run->failed     ? "NOT COMPLETE: not everything could be compared"
            : is_equal(run) ? "EQUAL"
                            : "DIFFERENT");
}

static void print_json(struct check_report *r, const struct check_run *run)
{
    json_t *doc = json_object(), *compared = json_object();

    for (size_t i = 0; i < CHECK_NWHATS; i++) {
        const struct check_count *c = &run->counts[i];
        json_object_set_new(compared, check_what_name((enum check_what)i),
                            json_pack("{s:I, s:I, s:I}", "a", (json_int_t)c->a, "b",
                                      (json_int_t)c->b, "different", (json_int_t)c->differ));
    }
    json_object_set_new(doc, "a", text(r->labels[0]));
    json_object_set_new(doc, "b", text(r->labels[1]));
    json_object_set_new(doc, "equal", json_boolean(!run->failed && is_equal(run)));
    json_object_set_new(doc, "complete", json_boolean(!run->failed));
    json_object_set(doc, "differences", r->differences);
    json_object_set(doc, "errors", r->errors);
    json_object_set(doc, "not_compared", r->not_compared);
    json_object_set_new(doc, "compared", compared);
    json_dumpf(doc, r->out, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    fputc('\n', r->out);
    json_decref(doc);
}

void check_report_end(struct check_report **rp, const struct check_run *run, bool table)
{
    struct check_report *r = *rp;

    print_all_not_compared(r, run);
    if (r->differences)
        print_json(r, run);
    else if (table)
        print_table(r, run);
    json_decref(r->differences);
    json_decref(r->errors);
    json_decref(r->not_compared);
    free(r);
    *rp = NULL;
}
