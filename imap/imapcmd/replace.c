/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * REPLACE, UID REPLACE (RFC 8508)
 *
 * A message is appended to a mailbox, and one of the selected mailbox leaves, in one
 * transaction: a draft is there in its old form or in its new one, never in both or in none.
 */
#include <config.h>

#include <stdlib.h>

#include "acl.h"
#include "append_store.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "index.h"

struct replacement {
    struct imap_session *s;
    uint32_t rights;
    struct append_message *list;
    struct append_pending *pending;
    uint32_t uidvalidity;
    struct seqset *uids;
};

static int put(struct mailbox *target, int64_t freed, void *rock)
{
    struct replacement *rep = rock;

    rep->uidvalidity = mailbox_index_header(target)->uidvalidity;
    return append_put(rep->s, target, rep->rights, rep->list, rep->pending, freed, rep->uids);
}

/* One number or "*". The message number, 0: there is none. False: answered. */
static bool which(struct imap_session *s, uint32_t *msgno)
{
    struct buf text = BUF_INITIALIZER;
    bool ok = imap_arg_word(s, &text);

    if (ok) {
        const char *t = buf_cstring(&text);
        ok = !strcmp(t, "*") || (imparse_isnumber(t) && strspn(t, "0") < strlen(t));
        struct seqset *set = ok ? imap_sequence_msgnos(s, t) : NULL;
        ok = set != NULL;
        if (ok)
            *msgno = seqset_first(set);
        else
            imap_bad(s, "Invalid sequence in %s", buf_cstring(&s->modname));
        seqset_free(set);
    }
    buf_free(&text);
    return ok;
}

static bool parse_message(struct imap_session *s, struct append_message **list)
{
    if (!append_parse(s, list)) return false;
    if (!(*list)->next) return true;
    imap_bad(s, "Unexpected extra arguments to %s", buf_cstring(&s->cmdname));
    return false;
}

/* Before the message is asked for: what would be refused anyhow. */
static int check(struct imap_session *s, const char *intname, uint32_t msgno, mbentry_t **mbentry,
                 uint32_t *rights)
{
    if (index_gone(s->index)) return IMAP_MAILBOX_NONEXISTENT;
    if ((index_rights(s->index) & (ACL_DELETEMSG | ACL_EXPUNGE)) != (ACL_DELETEMSG | ACL_EXPUNGE))
        return IMAP_PERMISSION_DENIED;
    if (!msgno) return IMAP_NO_NOSUCHMSG;
    return append_target(s, intname, mbentry, rights);
}

static void answer(struct imap_session *s, const struct replacement *rep)
{
    struct buf code = BUF_INITIALIZER;

    /* The new UID is told before the old message goes (RFC 8508 §4.2). */
    if (rep->rights & ACL_READ) {
        append_uid_code(rep->uidvalidity, rep->uids, &code);
        prot_printf(s->out, "* OK %s Replacement message ready\r\n", buf_cstring(&code));
    }
    buf_free(&code);
    imap_report(s, true, NULL);
    if (!s->closing) imap_ok(s, "Completed");
}

void cmd_replace(struct imap_session *s)
{
    struct replacement rep = { .s = s, .uids = seqset_init(0, SEQ_SPARSE) };
    extname_t name = EXTNAME_NONE;
    mbentry_t *mbentry = NULL;
    char *intname = NULL;
    uint32_t msgno = 0;

    if (!which(s, &msgno) || !imap_arg_mailbox(s, &name)) goto done;
    intname = imap_intname(s, name);
    int r = check(s, intname, msgno, &mbentry, &rep.rights);
    if (!r) {
        if (!parse_message(s, &rep.list)) goto done;
        r = append_stage(rep.list, &rep.pending);
        if (!r) r = index_replace(s->index, msgno, mbentry, put, &rep);
    }
    if (r)
        imap_no_target(s, intname, r);
    else
        answer(s, &rep);
done:
    append_pending_free(&rep.pending);
    append_messages_free(&rep.list);
    seqset_free(rep.uids);
    mbentry_free(&mbentry);
    free(intname);
    extname_free(&name);
}
