/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 2087, RFC 9208; handbook 04 §4; raw usage: doc/raw-quota.md)
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>

#include "acl.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "quota_usage.h"
#include "util.h"
#include "xmalloc.h"

/* ---- GETQUOTA, GETQUOTAROOT ---- */

/* "(RAW)" behind the name, or nothing. */
static bool parse_parameters(struct imap_session *s, bool *raw)
{
    struct buf word = BUF_INITIALIZER;
    bool ok = true;

    *raw = false;
    if (s->c != ' ') return imap_arg_end(s);
    if ((s->c = prot_getc(s->in)) != '(') {
        imap_bad(s, "Unexpected extra arguments to %s", buf_cstring(&s->cmdname));
        return false;
    }
    do {
        s->c = getword(s->in, &word);
        buf_ucase(&word);
        ok = s->c >= 0 && !buf_cmpcstr(&word, "RAW") && !*raw;
        *raw = true;
    } while (ok && s->c == ' ');
    if (!ok)
        imap_bad(s, "Invalid parameter %s in %s", buf_cstring(&word), buf_cstring(&s->cmdname));
    else
        ok = imap_arg_close(s, &s->cmdname);
    buf_free(&word);
    return ok && imap_arg_end(s);
}

static void resource(struct imap_session *s, const char **sep, const char *prefix,
                     const struct quota *q, int res)
{
    if (q->limits[res] < 0) return;
    prot_printf(s->out, "%s%s%s %" PRId64 " %" PRId64, *sep, prefix, quota_names[res],
                q->useds[res] / quota_units[res], q->limits[res]);
    *sep = " ";
}

static int print_quota(struct imap_session *s, const char *root, bool with_raw)
{
    struct quota shown = { 0 }, raw = { 0 };
    const char *sep = "";

    int r = quota_read_usage(root, &shown, with_raw ? &raw : NULL);
    if (!r) {
        extname_t ext = imap_extname(s, root);
        prot_puts(s->out, "* QUOTA ");
        imap_print_mailbox(s, ext);
        prot_puts(s->out, " (");
        for (int res = 0; res < QUOTA_NUMRESOURCES; res++) resource(s, &sep, "", &shown, res);
        if (with_raw) resource(s, &sep, "X-RAW-", &raw, QUOTA_STORAGE);
        if (with_raw) resource(s, &sep, "X-RAW-", &raw, QUOTA_MESSAGE);
        prot_puts(s->out, ")\r\n");
        extname_free(&ext);
    }
    quota_free(&shown);
    quota_free(&raw);
    return r;
}

void cmd_getquota(struct imap_session *s)
{
    extname_t name = EXTNAME_NONE;
    char *root = NULL;
    bool raw;

    if (imap_arg_mailbox(s, &name) && parse_parameters(s, &raw)) {
        int r = s->isadmin ? 0 : IMAP_PERMISSION_DENIED;
        if (!r) root = imap_intname(s, name);
        if (!r) r = root ? print_quota(s, root, raw) : IMAP_QUOTAROOT_NONEXISTENT;
        imap_result(s, r);
    }
    free(root);
    extname_free(&name);
}

static int print_quotaroot(struct imap_session *s, extname_t extname, const char *intname,
                           bool raw)
{
    char *root = NULL;

    int r = quota_findroot(intname, NULL, &root);
    if (r) return r;
    prot_puts(s->out, "* QUOTAROOT ");
    imap_print_mailbox(s, extname);
    if (root) {
        extname_t ext = imap_extname(s, root);
        prot_putc(' ', s->out);
        imap_print_mailbox(s, ext);
        extname_free(&ext);
    }
    prot_puts(s->out, "\r\n");
    if (root) r = print_quota(s, root, raw);
    free(root);
    return r;
}

void cmd_getquotaroot(struct imap_session *s)
{
    extname_t name = EXTNAME_NONE;
    mbentry_t *mbentry = NULL;
    bool raw;

    if (imap_arg_mailbox(s, &name) && parse_parameters(s, &raw)) {
        int r = imap_lookup(s, name, s->isadmin ? 0 : ACL_READ, NULL, &mbentry);
        if (!r) r = print_quotaroot(s, name, mbentry->name, raw);
        imap_result(s, r);
    }
    mbentry_free(&mbentry);
    extname_free(&name);
}

/* ---- SETQUOTA ---- */

/* "(RES limit ...)". *unknown: a resource that is none. */
static bool parse_limits(struct imap_session *s, int64_t limits[QUOTA_NUMRESOURCES], bool *unknown)
{
    struct buf word = BUF_INITIALIZER, number = BUF_INITIALIZER;
    int64_t limit;
    bool ok = s->c == ' ' && (s->c = prot_getc(s->in)) == '(';

    while (ok) {
        s->c = getword(s->in, &word);
        if (s->c == ')' && !buf_len(&word)) break;
        ok = s->c == ' ' && buf_len(&word);
        if (ok) s->c = getword(s->in, &number);
        ok = ok && s->c >= 0 && !parse_i64(buf_base(&number), buf_len(&number), &limit) &&
             limit >= QUOTA_UNLIMITED;
        if (!ok) break;
        int res = quota_name_to_resource(buf_cstring(&word));
        if (res < 0)
            *unknown = true;
        else
            limits[res] = limit;
        if (s->c != ' ') break;
    }
    ok = ok && s->c == ')';
    if (ok)
        s->c = prot_getc(s->in);
    else
        imap_bad(s, "Invalid quota list in %s", buf_cstring(&s->cmdname));
    buf_free(&word);
    buf_free(&number);
    return ok;
}

static int set_quota(struct imap_session *s, extname_t extname, bool force, const int64_t *limits)
{
    struct txn *txn = NULL;

    if (!s->isadmin) return IMAP_PERMISSION_DENIED;
    char *root = strpbrk(extname_text(extname), "*%?") ? NULL : imap_intname(s, extname);
    if (!root) return IMAP_MAILBOX_BADNAME;
    int r = txn_begin(&txn);
    if (!r) r = mboxlist_setquotas(txn, root, limits, 0, force);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    /* What came of it (RFC 9208 §4.1.3). */
    if (!r) r = print_quota(s, root, false);
    free(root);
    return r;
}

void cmd_setquota(struct imap_session *s)
{
    struct buf arg = BUF_INITIALIZER;
    int64_t limits[QUOTA_NUMRESOURCES];
    bool unknown = false;

    for (int res = 0; res < QUOTA_NUMRESOURCES; res++) limits[res] = QUOTA_UNLIMITED;
    if (imap_arg_astring(s, &arg) && parse_limits(s, limits, &unknown)) {
        bool force = *buf_cstring(&arg) == '+'; /* no part of the name */
        extname_t name = extname_of(buf_cstring(&arg) + force);
        if (!imap_at_eol(s))
            imap_bad(s, "Unexpected extra arguments to SETQUOTA");
        else if (unknown && s->isadmin)
            imap_result(s, IMAP_UNSUPPORTED_QUOTA);
        else
            imap_result(s, set_quota(s, name, force, limits));
    }
    buf_free(&arg);
}
