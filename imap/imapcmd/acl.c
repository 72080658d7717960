/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GETACL, SETACL, DELETEACL, LISTRIGHTS, MYRIGHTS (RFC 4314; handbook 04 §5.3)
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "libconfig.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "txn.h"
#include "xmalloc.h"

/* Right a; the owner passes by ownership too while implicit_owner_rights has a. */
static int lookup_admin(struct imap_session *s, extname_t extname, bool owner_too, char **intname,
                        mbentry_t **mbentry)
{
    int r = imap_lookup(s, extname, ACL_ADMIN, intname, mbentry);

    if (!r || !owner_too) return r;
    char *name = imap_intname(s, extname);
    uint32_t implicit = 0;
    cyrus_acl_strtomask(config_getstring(IMAPOPT_IMPLICIT_OWNER_RIGHTS), &implicit, NULL);
    if (name && imap_is_owner(s, name) && (implicit & ACL_ADMIN) &&
        !mboxlist_lookup(name, mbentry, NULL)) {
        if (intname) *intname = xstrdup(name);
        r = 0;
    }
    free(name);
    return r;
}

/* ---- GETACL ---- */

void cmd_getacl(struct imap_session *s)
{
    extname_t name = EXTNAME_NONE;
    mbentry_t *mbentry = NULL;
    char rights[ACL_MAXSTR];

    if (imap_arg_mailbox(s, &name) && imap_arg_end(s)) {
        int r = lookup_admin(s, name, true, NULL, &mbentry);
        if (!r) {
            struct acl_item item;
            const char *p = mbentry->acl ? mbentry->acl : "";
            prot_puts(s->out, "* ACL ");
            imap_print_mailbox(s, name);
            while (cyrus_acl_next(&p, &item)) {
                prot_putc(' ', s->out);
                prot_printamap(s->out, item.identifier, item.idlen);
                uint32_t mask = cyrus_acl_strtomask_lax(item.rights, item.rightslen);
                prot_putc(' ', s->out);
                prot_printastring(s->out, cyrus_acl_masktostr(mask, rights));
            }
            prot_puts(s->out, "\r\n");
        }
        imap_result(s, r);
    }
    mbentry_free(&mbentry);
    extname_free(&name);
}

/* ---- SETACL, DELETEACL ---- */

static int change_acl(struct imap_session *s, const char *intname, const char *id,
                      const char *rights)
{
    struct txn *txn = NULL;

    int r = txn_begin(&txn);
    if (!r) r = mboxlist_setacl(txn, intname, id, rights, s->isadmin, s->userid, s->auth);
    if (!r) r = txn_commit(&txn, NULL);
    txn_abort(&txn);
    return r;
}

static int check_change(struct imap_session *s, const char *id)
{
    if (!config_getswitch(IMAPOPT_ALLOWSETACL)) return IMAP_DISABLED;
    if (!*id) return IMAP_INVALID_IDENTIFIER;
    if (!s->isadmin && !config_getswitch(IMAPOPT_ANYONEUSERACL) && !strcmp(id, "anyone"))
        return IMAP_PERMISSION_DENIED;
    return 0;
}

/* A letter that is none: answered. */
static bool rights_ok(struct imap_session *s, const char *rights)
{
    uint32_t mask;
    char bad;

    if (*rights == '+' || *rights == '-') rights++;
    if (cyrus_acl_strtomask(rights, &mask, &bad)) return true;
    imap_bad(s, "The %c right is not supported", bad);
    return false;
}

static void set_acl(struct imap_session *s, bool set)
{
    extname_t name = EXTNAME_NONE;
    struct buf id = BUF_INITIALIZER, rights = BUF_INITIALIZER;
    mbentry_t *mbentry = NULL;
    char *intname = NULL;

    if (!imap_arg_mailbox(s, &name) || !imap_arg_astring(s, &id)) goto done;
    if (set && !imap_arg_astring(s, &rights)) goto done;
    if (!imap_arg_end(s)) goto done;
    if (set && !rights_ok(s, buf_cstring(&rights))) goto done;
    int r = check_change(s, buf_cstring(&id));
    if (!r) r = lookup_admin(s, name, false, &intname, &mbentry);
    if (!r) r = change_acl(s, intname, buf_cstring(&id), set ? buf_cstring(&rights) : NULL);
    imap_result(s, r);
done:
    mbentry_free(&mbentry);
    free(intname);
    extname_free(&name);
    buf_free(&id);
    buf_free(&rights);
}

void cmd_setacl(struct imap_session *s)
{
    set_acl(s, true);
}

void cmd_deleteacl(struct imap_session *s)
{
    set_acl(s, false);
}

/* ---- LISTRIGHTS, MYRIGHTS ---- */

/* What the identifier has whatever the ACL says. */
static uint32_t required_rights(const char *intname, const char *id)
{
    uint32_t mask = 0;

    if (mboxname_userownsmailbox(id, intname)) {
        const char *implicit = config_getstring(IMAPOPT_IMPLICIT_OWNER_RIGHTS);
        cyrus_acl_strtomask(implicit, &mask, NULL);
        return mask;
    }
    return mboxname_isusermailbox(intname, true) ? ACL_POST : 0;
}

static void print_listrights(struct imap_session *s, extname_t extname, const char *id,
                             uint32_t required)
{
    char text[ACL_MAXSTR], all[ACL_MAXSTR];

    cyrus_acl_masktostr(required, text);
    prot_puts(s->out, "* LISTRIGHTS ");
    imap_print_mailbox(s, extname);
    prot_putc(' ', s->out);
    prot_printastring(s->out, id);
    prot_putc(' ', s->out);
    prot_printastring(s->out, text);
    for (const char *p = cyrus_acl_masktostr(ACL_FULL, all); *p; p++)
        if (!strchr(text, *p)) prot_printf(s->out, " %c", *p);
    prot_puts(s->out, "\r\n");
}

void cmd_listrights(struct imap_session *s)
{
    extname_t name = EXTNAME_NONE;
    struct buf id = BUF_INITIALIZER;
    mbentry_t *mbentry = NULL;

    if (imap_arg_mailbox(s, &name) && imap_arg_astring(s, &id) && imap_arg_end(s)) {
        char canonical[AUTH_IDMAX];
        const char *who = buf_cstring(&id);
        int r = lookup_admin(s, name, true, NULL, &mbentry);
        if (!r && !auth_canonifyid(id.s, id.len, canonical, sizeof(canonical))) who = canonical;
        if (!r)
            print_listrights(s, name, buf_cstring(&id),
                             required_rights(mbentry->name, who));
        imap_result(s, r);
    }
    mbentry_free(&mbentry);
    extname_free(&name);
    buf_free(&id);
}

void imap_print_myrights(struct imap_session *s, extname_t extname, uint32_t rights)
{
    char text[ACL_MAXSTR];

    prot_puts(s->out, "* MYRIGHTS ");
    imap_print_mailbox(s, extname);
    prot_putc(' ', s->out);
    prot_printastring(s->out, cyrus_acl_masktostr(rights, text));
    prot_puts(s->out, "\r\n");
}

#define MYRIGHTS_VISIBLE \
    (ACL_LOOKUP | ACL_READ | ACL_INSERT | ACL_CREATE | ACL_DELETEMBOX | ACL_ADMIN)

void cmd_myrights(struct imap_session *s)
{
    extname_t name = EXTNAME_NONE;
    mbentry_t *mbentry = NULL;

    if (imap_arg_mailbox(s, &name) && imap_arg_end(s)) {
        int r = imap_lookup(s, name, 0, NULL, &mbentry);
        uint32_t rights = r ? 0 : imap_rights(s, mbentry);
        if (!r && !(rights & MYRIGHTS_VISIBLE)) r = IMAP_MAILBOX_NONEXISTENT;
        if (!r) imap_print_myrights(s, name, rights);
        imap_result(s, r);
    }
    mbentry_free(&mbentry);
    extname_free(&name);
}
