/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libconfig_value -- texts of imapd.conf as numbers (handbook 05 §2.3)
 *
 * Every parser takes the whole text or fails with -EINVAL; what does not fit the
 * type is -ERANGE for durations and sizes, and for ints the nearest limit, as
 * existing configurations write 99999999999 for "no limit".
 */
#include <config.h>

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "libconfig.h"
#include "libconfig_private.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

static int64_t seconds_of(char unit)
{
    switch (unit) {
    case 'd': return 86400;
    case 'h': return 3600;
    case 'm': return 60;
    case 's': return 1;
    default: return 0;
    }
}

int config_parseduration(const char *text, char unit, int64_t *seconds)
{
    bool negative = *text == '-';
    const char *p = text + negative, *end = p + strlen(p);
    int64_t sum = 0;

    if (p == end) return -EINVAL;
    while (p < end) {
        uint64_t n;
        int r = scan_u64(&p, end, &n);
        if (r) return r;

        int64_t factor = seconds_of(*p ? *p : unit), part;
        if (!factor) return -EINVAL;
        if (*p) p++;
        if (n > INT64_MAX || __builtin_mul_overflow((int64_t)n, factor, &part) ||
            __builtin_add_overflow(sum, part, &sum))
            return -ERANGE;
    }
    *seconds = negative ? -sum : sum;
    return 0;
}

/* Power of two of a unit letter, or -1. */
static int shift_of(char unit)
{
    switch (cyr_tolower(unit)) {
    case 'b': return 0;
    case 'k': return 10;
    case 'm': return 20;
    case 'g': return 30;
    default: return -1;
    }
}

int config_parsebytesize(const char *text, char unit, uint64_t *bytes)
{
    const char *p = text, *end = p + strlen(p);
    uint64_t n;

    int r = scan_u64(&p, end, &n);
    if (r) return r;
    while (p < end && cyr_isspace(*p)) p++;

    int shift = shift_of(p < end ? *p : unit);
    if (shift < 0) return -EINVAL;
    if (p < end) p++;
    /* K, KB and KiB are the same; B stands alone. */
    if (shift && p < end) {
        if (*p == 'i') p++;
        if (p < end && cyr_tolower(*p) == 'b')
            p++;
        else if (p[-1] == 'i')
            return -EINVAL;
    }
    if (p < end) return -EINVAL;
    if (n > UINT64_MAX >> shift) return -ERANGE;
    *bytes = n << shift;
    return 0;
}

/* 1, 0, or -1: the first letters decide, lower case. */
static int switch_value(const char *s)
{
    if (*s == '0' || *s == 'n' || *s == 'f' || strstarts(s, "of")) return 0;
    if (*s == '1' || *s == 'y' || *s == 't' || strstarts(s, "on")) return 1;
    return -1;
}

static int int_value(const char *text, int64_t *num)
{
    char *end;

    errno = 0;
    long long n = strtoll(text, &end, 0);
    if (end == text || *end) return -EINVAL;
    *num = n > INT_MAX ? INT_MAX : n < INT_MIN ? INT_MIN : n;
    return 0;
}

/* Finds a word; for an alias the word it stands for, and says so in *alias. */
static const struct imapopt_value *find_word(const struct imapopt_def *def, const char *word,
                                             size_t len, bool *alias)
{
    const struct imapopt_value *main_word = NULL;

    for (const struct imapopt_value *v = def->values; v->name; v++) {
        if (!v->alias) main_word = v;
        if (strlen(v->name) != len || memcmp(v->name, word, len)) continue;
        *alias = v->alias;
        return main_word;
    }
    return NULL;
}

/* "yes" and its like stand for on, "no" for off, where the list has these. */
static const char *enum_word(const char *text)
{
    static const char *const on[] = { "1", "yes", "t", "true" };
    static const char *const off[] = { "0", "no", "f", "false" };

    for (size_t i = 0; i < array_size(on); i++) {
        if (!strcmp(text, on[i])) return "on";
        if (!strcmp(text, off[i])) return "off";
    }
    return text;
}

static int word_value(const struct imapopt_def *def, const char *text, struct buf *out,
                      struct config_value *val, struct buf *why)
{
    const char *word = def->type == IMAPOPT_TYPE_ENUM ? enum_word(text) : text;
    bool alias;
    const struct imapopt_value *v = find_word(def, word, strlen(word), &alias);

    if (!v) {
        buf_printf(why, "invalid value '%s'", text);
        return -EINVAL;
    }
    val->num = (int64_t)v->value;
    buf_setcstr(out, v->name);
    return 0;
}

static int bitfield_value(const struct imapopt_def *def, const char *text, struct buf *out,
                          struct config_value *val, struct buf *why)
{
    uint64_t bits = 0;

    for (const char *p = text; *p;) {
        while (cyr_isspace(*p)) p++;
        size_t len = strcspn(p, " \t\r\n\v\f");
        if (!len) break;

        bool alias;
        const struct imapopt_value *v = find_word(def, p, len, &alias);
        if (!v) {
            buf_printf(why, "invalid value '%.*s'", (int)cyr_min(len, 200u), p);
            return -EINVAL;
        }
        if (alias)
            syslog(LOG_WARNING, "Value '%.*s' for option '%s' is deprecated in favor of value '%s'",
                   (int)len, p, def->name, v->name);
        bits |= v->value;
        p += len;
    }

    for (const struct imapopt_value *v = def->values; v->name; v++) {
        if (v->alias || !(bits & v->value)) continue;
        if (out->len) buf_putc(out, ' ');
        buf_appendcstr(out, v->name);
    }
    val->bits = bits;
    return 0;
}

/* Sets num or bits, and out to the text when that is not what was written. */
static int number_of(const struct imapopt_def *def, const char *text, struct buf *out,
                     struct config_value *val, struct buf *why)
{
    int r;

    switch (def->type) {
    case IMAPOPT_TYPE_INT:
        r = int_value(text, &val->num);
        if (r) buf_setcstr(why, "non-integer value");
        return r;
    case IMAPOPT_TYPE_SWITCH:
        r = switch_value(text);
        if (r < 0) {
            buf_setcstr(why, "non-switch value");
            return -EINVAL;
        }
        val->num = r;
        buf_setcstr(out, r ? "yes" : "no");
        return 0;
    case IMAPOPT_TYPE_ENUM:
    case IMAPOPT_TYPE_STRINGLIST: return word_value(def, text, out, val, why);
    case IMAPOPT_TYPE_BITFIELD: return bitfield_value(def, text, out, val, why);
    case IMAPOPT_TYPE_DURATION:
        r = config_parseduration(text, def->unit, &val->num);
        if (r) buf_printf(why, "unparsable duration '%s'", text);
        return r;
    case IMAPOPT_TYPE_BYTESIZE:
        r = config_parsebytesize(text, def->unit, &val->bits);
        if (r) buf_printf(why, "unparsable byte size '%s'", text);
        return r;
    case IMAPOPT_TYPE_NONE:
    case IMAPOPT_TYPE_STRING: return 0;
    }
    return 0;
}

int config_value_set(const struct imapopt_def *def, struct config_value *val, const char *text,
                     struct buf *why)
{
    struct config_value fresh = *val;
    struct buf out = BUF_INITIALIZER;

    buf_reset(why);
    int r = number_of(def, text, &out, &fresh, why);
    if (!r) {
        free(val->text);
        fresh.text = out.s ? buf_newcstring(&out) : xstrdup(text);
        *val = fresh;
    }
    buf_free(&out);
    return r ? -EINVAL : 0;
}
