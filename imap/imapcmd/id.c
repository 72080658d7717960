/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ID (RFC 2971, handbook 04 §3.2)
 */
#include <config.h>

#include <string.h>
#include <sys/utsname.h>

#include "global.h"
#include "imapcmd.h"
#include "libconfig.h"
#include "xsyslog.h"

#define ID_MAX_FIELD 30
#define ID_MAX_VALUE 1024
#define ID_MAX_PAIRS 30

static bool fail(struct imap_session *s, const char *text)
{
    imap_bad(s, "%s", text);
    return false;
}

static bool one_pair(struct imap_session *s, struct buf *field, struct buf *value, struct buf *log)
{
    bool nil = false;

    s->c = getstring(s->in, s->out, field);
    if (s->c != ' ') return fail(s, "Invalid field-value pair in Id");
    s->c = getnstring(s->in, s->out, value, &nil);
    if (s->c < 0) return fail(s, "Invalid field-value pair in Id");
    if (buf_len(field) > ID_MAX_FIELD) return fail(s, "field longer than 30 octets in Id");
    if (buf_len(value) > ID_MAX_VALUE) return fail(s, "value longer than 1024 octets in Id");
    buf_printf(log, " %s=<%s>", buf_cstring(field), nil ? "" : buf_cstring(value));
    return true;
}

static bool parse_pairs(struct imap_session *s, struct buf *log)
{
    struct buf field = BUF_INITIALIZER, value = BUF_INITIALIZER;
    bool ok = true;

    for (int n = 0; ok; n++) {
        ok = n < ID_MAX_PAIRS || fail(s, "too many (30) field-value pairs in ID");
        if (ok) ok = one_pair(s, &field, &value, log);
        if (ok && s->c != ' ') break;
    }
    if (ok && s->c != ')') ok = fail(s, "Invalid field-value pair in Id");
    if (ok) s->c = prot_getc(s->in);
    buf_free(&field);
    buf_free(&value);
    return ok;
}

static bool parse(struct imap_session *s, struct buf *log)
{
    struct buf word = BUF_INITIALIZER;

    if (!imap_arg_more(s)) return false;
    s->c = prot_getc(s->in);
    if (s->c == '(') return parse_pairs(s, log) && imap_arg_end(s);
    if (s->c >= 0) prot_ungetc(s->c, s->in);
    s->c = getword(s->in, &word);
    bool nil = s->c >= 0 && !cyr_strcasecmp(buf_cstring(&word), "NIL");
    buf_free(&word);
    if (!nil) return fail(s, "Invalid parameter list in Id");
    return imap_arg_end(s);
}

static void tell(struct imap_session *s)
{
    int info = config_getenum(IMAPOPT_SERVERINFO);
    struct utsname os;

    if (!config_getswitch(IMAPOPT_IMAPIDRESPONSE) || info == IMAP_ENUM_SERVERINFO_OFF) {
        prot_puts(s->out, "* ID NIL\r\n");
        return;
    }
    prot_puts(s->out, "* ID (\"name\" \"Cyrus IMAPD\"");
    if (info == IMAP_ENUM_SERVERINFO_ON)
        prot_printf(s->out, " \"version\" \"%s\"", cyrus_version());
    prot_puts(s->out, " \"vendor\" \"Cylinder\" \"support-url\" \"https://www.cyrusimap.org\"");
    if (info == IMAP_ENUM_SERVERINFO_ON && !uname(&os))
        prot_printf(s->out, " \"os\" \"%s\" \"os-version\" \"%s\"", os.sysname, os.release);
    prot_puts(s->out, ")\r\n");
}

void cmd_id(struct imap_session *s)
{
    struct buf log = BUF_INITIALIZER;

    if (parse(s, &log)) {
        if (buf_len(&log)) syslog(LOG_INFO, "client id:%s", buf_cstring(&log));
        if (s->userid || !s->id_told) tell(s);
        s->id_told = true;
        imap_ok(s, "Completed");
    }
    buf_free(&log);
}
