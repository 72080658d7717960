/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * STATUS (RFC 3501 §6.3.10, RFC 7162, RFC 7889, RFC 8438, RFC 8474, RFC 9208; handbook 04 §3.9)
 *
 * Numbers come from the index header where it has them; what depends on another
 * user's \Seen is counted.
 */
#include <config.h>

#include <inttypes.h>
#include <stdlib.h>

#include "acl.h"
#include "conversations.h"
#include "imap_err.h"
#include "imapcmd.h"
#include "mailbox.h"
#include "txn.h"
#include "seqset.h"
#include "xmalloc.h"

/* In the order of the answer. */
static const char *const names[] = {
    "MESSAGES", "RECENT",        "UIDNEXT",       "UIDVALIDITY", "MAILBOXID",   "UNSEEN",
    "SIZE",     "CREATEDMODSEQ", "HIGHESTMODSEQ", "XCONVEXISTS", "XCONVUNSEEN", "XCONVMODSEQ",
    "DELETED",  "DELETED-STORAGE", "APPENDLIMIT",
};

static bool item_bit(struct imap_session *s, struct buf *word, uint32_t *items)
{
    for (size_t i = 0; i < array_size(names); i++) {
        if (cyr_strcasecmp(buf_cstring(word), names[i])) continue;
        if (((1u << i) & STATUS_CONVERSATIONS) && !s->options->conversations) break;
        *items |= 1u << i;
        return true;
    }
    buf_lcase(word);
    imap_bad(s, "Invalid Status attributes %s", buf_cstring(word));
    return false;
}

bool imap_parse_status_items(struct imap_session *s, uint32_t *items)
{
    struct buf word = BUF_INITIALIZER;
    bool ok = false;

    *items = 0;
    if (!imap_arg_more(s)) return false;
    s->c = prot_getc(s->in);
    if (s->c != '(' || prot_peek(s->in) == ')') {
        imap_bad(s, "Bad status string");
        return false;
    }
    do {
        s->c = getword(s->in, &word);
        if (s->c < 0) {
            imap_bad(s, "Bad status string");
            goto done;
        }
        if (!item_bit(s, &word, items)) goto done;
    } while (s->c == ' ');
    ok = imap_arg_close(s, &s->cmdname);
done:
    buf_free(&word);
    return ok;
}

struct counts {
    struct seen_view *seen;
    uint32_t recent, unseen;
};

static int count_one(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    struct counts *counts = rock;

    (void)mailbox;
    if (seen_view_isrecent(counts->seen, rec)) counts->recent++;
    if (!seen_view_isseen(counts->seen, rec)) counts->unseen++;
    return 0;
}

/* What needs no more than the UID is known of messages whose records can't be read, too. */
static int count_damaged(struct mailbox *mailbox, uint32_t from, struct counts *counts)
{
    const struct seqset *damaged;
    int r = mailbox_damaged_uids(mailbox, &damaged);

    for (uint32_t uid = from; !r && (uid = seqset_after(damaged, uid));)
        count_one(mailbox, &(struct index_record){ .uid = uid }, counts);
    return r;
}

static int count(struct imap_session *s, struct mailbox *mailbox, uint32_t items,
                 struct counts *counts)
{
    uint32_t from = 0;

    if (!(items & (STATUS_RECENT | STATUS_UNSEEN))) return 0;
    int r = seen_view_open(mailbox, s->userid, &counts->seen);
    if (r) return r;
    counts->unseen = mailbox_index_header(mailbox)->unseen;
    /* The header knows the owner's unseen; then only new messages are looked at. */
    bool known = seen_view_internal(counts->seen) && index_header_counts_unseen(mailbox_index_header(mailbox));
    bool internal = known || !(items & STATUS_UNSEEN);
    uint32_t unseen = counts->unseen;
    if (internal)
        from = seen_view_recentuid(counts->seen);
    else
        counts->unseen = 0;
    if (!internal || from < mailbox_index_header(mailbox)->last_uid)
        r = mailbox_foreach(mailbox, from, 0, MAILBOX_ITER_SKIP_EXPUNGED | MAILBOX_ITER_STRICT, count_one, counts);
    bool by_uid = internal || !seen_view_internal(counts->seen); /* no flag of the record is asked for */
    if (r == IMAP_MAILBOX_CHECKSUM && by_uid) r = count_damaged(mailbox, from, counts);
    if (internal) counts->unseen = unseen;
    seen_view_free(&counts->seen);
    return r;
}

static int add_deleted(struct mailbox *mailbox, const struct index_record *rec, void *rock)
{
    uint64_t *bytes = rock;

    (void)mailbox;
    if (rec->system_flags & FLAG_DELETED) *bytes += rec->size;
    return 0;
}

static int deleted_storage(struct mailbox *mailbox, uint32_t items, uint64_t *bytes)
{
    if (!(items & STATUS_DELETED_STORAGE) || !mailbox_index_header(mailbox)->deleted) return 0;
    return mailbox_foreach(mailbox, 0, 0, MAILBOX_ITER_SKIP_EXPUNGED | MAILBOX_ITER_STRICT, add_deleted, bytes);
}

struct status {
    uint64_t values[array_size(names)];
    char *uniqueid;
};

static int conversation_values(struct mailbox *mailbox, uint32_t items, struct status *st)
{
    struct conversations_state *state = NULL;
    struct conv_status cs;

    if (!(items & STATUS_CONVERSATIONS)) return 0;
    int r = conversations_open_mbox(mailbox, &state);
    if (r || !state) return r;
    memset(&cs, 0, sizeof(cs));
    r = conversation_getstatus(state, mailbox, &cs);
    st->values[9] = cs.threadexists;
    st->values[10] = cs.threadunseen;
    st->values[11] = cs.threadmodseq;
    conversations_close(&state);
    return r;
}

static int read_status(struct imap_session *s, const mbentry_t *mbentry, uint32_t items,
                       struct status *st)
{
    struct mailbox *mailbox = NULL;
    struct counts counts = { 0 };
    uint64_t lsn = 0;

    int r = mailbox_open_mbentry(mbentry, &mailbox);
    if (r) return r;
    r = count(s, mailbox, items, &counts);
    if (!r) r = conversation_values(mailbox, items, st);
    if (!r) r = deleted_storage(mailbox, items, &st->values[13]);
    const struct index_header *hdr = mailbox_index_header(mailbox);
    st->values[0] = hdr->exists;
    st->values[1] = counts.recent;
    st->values[2] = (uint64_t)hdr->last_uid + 1;
    st->values[3] = hdr->uidvalidity;
    st->values[5] = counts.unseen;
    st->values[6] = hdr->quota_mailbox_used;
    st->values[7] = hdr->createdmodseq;
    st->values[8] = hdr->highestmodseq;
    st->values[12] = hdr->deleted;
    st->values[14] = imap_appendlimit(s);
    st->uniqueid = xstrdup(mailbox_uniqueid(mailbox));
    lsn = mailbox_seen_lsn(mailbox);
    mailbox_close(&mailbox);
    return r ? r : txn_wait(lsn);
}

int imap_status_text(struct imap_session *s, const mbentry_t *mbentry, uint32_t items, struct buf *text)
{
    struct status st = { 0 };
    const char *sep = "";

    buf_reset(text);
    int r = read_status(s, mbentry, items, &st);
    for (size_t i = 0; !r && i < array_size(names); i++) {
        if (!(items & (1u << i))) continue;
        if ((1u << i) == STATUS_MAILBOXID)
            buf_printf(text, "%s%s (%s)", sep, names[i], st.uniqueid);
        else
            buf_printf(text, "%s%s %" PRIu64, sep, names[i], st.values[i]);
        sep = " ";
    }
    free(st.uniqueid);
    return r;
}

void imap_print_status_text(struct imap_session *s, extname_t extname, const char *text)
{
    prot_puts(s->out, "* STATUS ");
    imap_print_mailbox(s, extname);
    prot_printf(s->out, " (%s)\r\n", text);
}

int imap_print_status(struct imap_session *s, extname_t extname, const mbentry_t *mbentry,
                      uint32_t items)
{
    struct buf text = BUF_INITIALIZER;

    int r = imap_status_text(s, mbentry, items, &text);
    if (!r) imap_print_status_text(s, extname, buf_cstring(&text));
    buf_free(&text);
    return r;
}

void cmd_status(struct imap_session *s)
{
    extname_t name = EXTNAME_NONE;
    mbentry_t *mbentry = NULL;
    uint32_t items;

    if (imap_arg_mailbox(s, &name) && imap_parse_status_items(s, &items) && imap_arg_end(s)) {
        int r = imap_lookup(s, name, ACL_READ, NULL, &mbentry);
        if (!r) r = imap_print_status(s, name, mbentry, items);
        imap_result(s, r);
    }
    mbentry_free(&mbentry);
    extname_free(&name);
}
