/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mbname_wire -- names as counted bytes from a disk or a peer (handbook 01 §4.1, 03 §1, 06 §1.3)
 *
 * The sync and MUPDATE protocols carry internal names, mailboxes.db has them in its own form. Bytes that
 * could leave a directory, end early in a C string, or would be read as the name of another mailbox (an empty
 * component, a separator of the other form) stand for no name: NULL. What is accepted is spelled
 * again with the same bytes, except that the default domain is left out.
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mbname_internal.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct form {
    char domainsep, sep;
    const char *foreign; /* bytes that this form does not have in a component */
};

static const struct form internal_form = { '!', '.', "/" };
static const struct form db_form = { DB_DOMAINSEP_CHAR, DB_HIERSEP_CHAR, "/^" };

static bool domain_ok(const char *s, size_t len)
{
    if (!len || s[0] == '.') return false;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f || strchr("/!^@", s[i])) return false;
    }
    return true;
}

static bool components_ok(const struct form *form, const char *s, size_t len, bool has_domain)
{
    bool begins = true;

    for (size_t i = 0; i < len; i++) {
        if (s[i] == form->sep) {
            if (begins) return false;
            begins = true;
            continue;
        }
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f || strchr(form->foreign, s[i])) return false;
        /* the first '!' of an internal name ends its domain */
        if (s[i] == '!' && !has_domain) return false;
        begins = false;
    }
    return !begins;
}

static bool bytes_ok(const struct form *form, const char *s, size_t len)
{
    const char *mark = len ? memchr(s, form->domainsep, len) : NULL;
    size_t skip = mark ? (size_t)(mark - s) + 1 : 0;

    if (len >= MAX_MAILBOX_BUFFER || (mark && !domain_ok(s, skip - 1))) return false;
    return components_ok(form, s + skip, len - skip, mark != NULL);
}

static mbname_t *from_bytes(const struct form *form, mbname_t *(*parse)(const char *),
                            const char *s, size_t len)
{
    if (!bytes_ok(form, s, len)) return NULL;
    char *text = xstrndup(s, len);
    mbname_t *m = parse(text);
    free(text);
    return m;
}

bool mbname_issound(const mbname_t *mbname)
{
    const char *intname = mbname_intname(mbname);
    const char *mark = intname ? strchr(intname, '!') : NULL;
    size_t domain = mbname->domain ? strlen(mbname->domain) : 0;

    /* a '!' in a component would be taken for the end of the domain */
    if (!intname || (mark ? (size_t)(mark - intname) != domain : domain > 0)) return false;
    return bytes_ok(&internal_form, intname, strlen(intname));
}

bool mbname_isquotaroot(syncname_t name)
{
    if (name.wirelen < MAX_MAILBOX_BUFFER && name.wirelen > 1 && name.wire[name.wirelen - 1] == '!')
        return domain_ok(name.wire, name.wirelen - 1);
    return bytes_ok(&internal_form, name.wire, name.wirelen);
}

mbname_t *mbname_from_sync(syncname_t name)
{
    return from_bytes(&internal_form, mbname_from_intname, name.wire, name.wirelen);
}

mbname_t *mbname_from_mupdate(mupdatename_t name)
{
    return from_bytes(&internal_form, mbname_from_intname, name.quoted, name.quotedlen);
}

mbname_t *mbname_from_dbkey(dbname_t key)
{
    return from_bytes(&db_form, mbname_parse_dbname, key.key, key.keylen);
}

void mbname_log_refused(const char *what, const char *base, size_t len)
{
    struct buf hex = BUF_INITIALIZER;

    buf_appendhex(&hex, base, len < MAX_MAILBOX_BUFFER ? len : MAX_MAILBOX_BUFFER);
    xsyslog_errno(LOG_ERR, 0, what, "bytes=<%s> length=<%zu>", buf_cstring(&hex), len);
    buf_free(&hex);
}

void mbname_print_mupdate(const mbname_t *mbname, struct buf *out)
{
    const char *intname = mbname_intname(mbname);

    if (!intname) intname = "";
    buf_printf(out, "{%zu+}\r\n%s", strlen(intname), intname);
}
