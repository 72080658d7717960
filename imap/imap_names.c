/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_names -- mailbox names as this session spells them, and what it may do there
 *
 * Rule for almost every command: who lacks the right gets `Permission denied` when
 * he may see the mailbox, and `Mailbox does not exist` when he may not (handbook
 * 04 §2.7, §5.4).
 */
#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "imap_err.h"
#include "imap_session.h"
#include "index.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "netunicode.h"
#include "txn.h"
#include "user_record.h"
#include "utf7.h"
#include "xmalloc.h"

/* A user who is moving in is not there yet: only admins reach his mailboxes. */
static bool is_hidden(const struct imap_session *s, const char *intname)
{
    if (s->isadmin || (s->userid && mboxname_userownsmailbox(s->userid, intname))) return false;
    char *owner = mboxname_to_userid(intname);
    bool hidden = owner && user_record_is_hidden(owner);
    free(owner);
    return hidden;
}

/*
 * A mailbox is found by the very name that LIST has shown. Another name is the one that it would be made with: Net-Unicode
 * (RFC 5198 §2, RFC 6855 §3). Takes name over.
 */
static char *net_name(const struct imap_session *s, extname_t extname, char *name)
{
    struct buf net = BUF_INITIALIZER;

    if (mboxlist_lookup(name, NULL, NULL) != IMAP_MAILBOX_NONEXISTENT) return name;
    free(name);
    bool ok = netunicode(extname_text(extname), strlen(extname_text(extname)), &net);
    name = ok ? mboxname_from_external(extname_of(buf_cstring(&net)), &s->ns, s->userid) : NULL;
    buf_free(&net);
    return name;
}

char *imap_intname(const struct imap_session *s, extname_t extname)
{
    if (extname_isempty(extname)) return NULL;
    char *name = mboxname_from_external(extname, &s->ns, s->userid);
    if (name && s->ns.utf8) name = net_name(s, extname, name);
    if (name && is_hidden(s, name)) xzfree(name);
    return name;
}

extname_t imap_extname(const struct imap_session *s, const char *intname)
{
    return mboxname_to_shown(intname, &s->ns, s->userid);
}

extname_t imap_extname_in_text(const struct imap_session *s, const char *intname)
{
    struct namespace ns = s->ns;

    ns.utf8 = s->rev2;
    return mboxname_to_shown(intname, &ns, s->userid);
}

void imap_print_mailbox(struct imap_session *s, extname_t name)
{
    const char *text = extname_text(name);

    if (!s->ns.utf8 || prot_isquotable(text, strlen(text)) || !utf8_isvalid(text, strlen(text))) {
        prot_printastring(s->out, text);
        return;
    }
    prot_putc('"', s->out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') prot_putc('\\', s->out);
        prot_putc(*text, s->out);
    }
    prot_putc('"', s->out);
}

void imap_print_list(struct imap_session *s, const char *attributes, extname_t name, extname_t oldname)
{
    prot_printf(s->out, "* LIST (%s) \"%c\" ", attributes, s->ns.hier_sep);
    imap_print_mailbox(s, name);
    if (!extname_isnone(oldname) && strcmp(extname_text(name), extname_text(oldname))) {
        prot_puts(s->out, " (\"OLDNAME\" (");
        imap_print_mailbox(s, oldname);
        prot_puts(s->out, "))");
    }
    prot_puts(s->out, "\r\n");
}

void imap_print_named(struct imap_session *s, const char *intname, extname_t typed)
{
    extname_t name = imap_extname(s, intname);

    imap_print_list(s, "", name, typed);
    extname_free(&name);
}

uint32_t imap_rights(const struct imap_session *s, const mbentry_t *mbentry)
{
    return index_effective_rights(s->auth, s->isadmin, mbentry->acl);
}

bool imap_is_owner(const struct imap_session *s, const char *intname)
{
    return s->userid && mboxname_userownsmailbox(s->userid, intname);
}

int imap_lookup(const struct imap_session *s, extname_t extname, uint32_t need, char **intname,
                mbentry_t **mbentry)
{
    char *name = imap_intname(s, extname);
    int r = name ? mboxlist_lookup(name, mbentry, NULL) : IMAP_MAILBOX_BADNAME;

    if (!r) {
        uint32_t rights = imap_rights(s, *mbentry);
        if ((rights & need) != need)
            r = (rights & ACL_LOOKUP) ? IMAP_PERMISSION_DENIED : IMAP_MAILBOX_NONEXISTENT;
        /* Nobody is told of an entry that a power cut could take back. */
        if (!r) r = txn_wait(mboxlist_name_lsn(name));
        if (r) mbentry_free(mbentry);
    }
    if (r || !intname)
        free(name);
    else
        *intname = name;
    return r;
}

void imap_no_target(struct imap_session *s, const char *intname, int r)
{
    struct mboxlist_createargs args = {
        .name = intname,
        .isadmin = s->isadmin,
        .userid = s->userid,
        .auth = s->auth,
    };
    mbentry_t *mbentry = NULL;
    const char *code = "";

    if (r == IMAP_MAILBOX_NOTSUPPORTED) code = "[CANNOT] ";
    /* An existing mailbox that may not be seen must not be told from a missing one by its code. */
    if (r == IMAP_MAILBOX_NONEXISTENT && intname && mboxlist_lookup(intname, &mbentry, NULL) &&
        !mboxlist_createmailboxcheck(&args))
        code = "[TRYCREATE] ";
    mbentry_free(&mbentry);
    if (*code)
        imap_no(s, "%s%s", code, error_message(r));
    else
        imap_result(s, r);
}
