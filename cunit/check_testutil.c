/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_testutil -- two views of one user, equal, for the tests of check_replication
 */
#include <config.h>

#include "check_testutil.h"

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "xmalloc.h"

struct buf cr_told = BUF_INITIALIZER;
struct check_user cr_a, cr_b;
struct check_run cr_run;

bool cr_recounts; /* cr_told too: of most tests they are not the matter */

static void tell(void *rock, const struct check_diff *d)
{
    (void)rock;
    if (d->what == CHECK_RECOUNTS && !cr_recounts) return;
    buf_printf(&cr_told, "%s %s %u %s: %s | %s%s%s\n", d->user, d->mailbox ? d->mailbox : "-", d->uid,
               d->field, d->a ? d->a : "-", d->b ? d->b : "-", d->note ? " # " : "",
               d->note ? d->note : "");
}

static void add_message(struct check_mailbox *mbox, uint32_t uid, const char *text)
{
    struct check_message *m = check_mailbox_addmessage(mbox, uid);

    message_guid_generate(&m->rec.guid, text, strlen(text));
    m->rec.size = (uint32_t)strlen(text) * 1000;
    m->rec.internaldate = 1700000000;
    m->rec.savedate = 1700000001;
    m->rec.modseq = 10 + uid;
    m->rec.createdmodseq = uid;
    m->rec.cid = 0xabc0 + uid;
    m->flags = xstrdup("\\Flagged kw");
    m->annotations = xstrdup("/comment value.shared x");
    m->seen = true;
}

struct check_mailbox *cr_add_mailbox(struct check_user *user, const char *name, const char *id)
{
    struct check_mailbox *mbox = check_user_addmailbox(user, name);

    free(mbox->uniqueid);
    mbox->uniqueid = xstrdup(id);
    free(mbox->quotaroot);
    mbox->quotaroot = xstrdup("user/anna");
    check_pairs_add(&mbox->acl, "bob", "lr");
    check_pairs_add(&mbox->acl, "anna", "lrswipkxte");
    check_pairs_add(&mbox->metadata, "/shared/comment", "hello");
    check_pairs_add(&mbox->metadata, "/private/specialuse", "\\Sent");
    mbox->opened = true;
    mbox->exists = 3;
    mbox->uidvalidity = 7;
    mbox->uidnext = 4;
    mbox->highestmodseq = 20;
    mbox->createdmodseq = 2;
    add_message(mbox, 1, "one");
    add_message(mbox, 2, "two");
    add_message(mbox, 3, "one");
    return mbox;
}

static void fill(struct check_user *user)
{
    check_user_init(user, "anna");
    user->exists = true;
    cr_add_mailbox(user, "user/anna/Work", "id2");
    cr_add_mailbox(user, "user/anna", "id1");
    strarray_append(&user->subscriptions, "user/anna/Work");
    strarray_append(&user->subscriptions, "user/anna");
    /* 6 copies, 2 distinct messages, of 3000 octets each */
    check_quota_add(check_user_quota(user, "user/anna"), "STORAGE", 17, 100);
    check_quota_add(check_user_quota(user, "user/anna"), "MESSAGE", 6, 50);
}

void cr_setup(void)
{
    fill(&cr_a);
    fill(&cr_b);
    buf_reset(&cr_told);
    cr_recounts = false;
    memset(&cr_run, 0, sizeof(cr_run));
    cr_run.report = tell;
    cr_run.facts[0] = cr_run.facts[1] = ~0U;
    cr_run.labels[0] = "A";
    cr_run.labels[1] = "B";
}

void cr_teardown(void)
{
    check_user_free(&cr_a);
    check_user_free(&cr_b);
}

static struct sync_stream messages(struct sync_array *array, const struct check_mailbox *m)
{
    struct sync_stream none = { NULL, NULL };

    return m ? sync_stream_array(array, m->messages, m->nmessages, sizeof(*m->messages)) : none;
}

const char *cr_compare(void)
{
    size_t n;

    check_user_sort(&cr_a);
    check_user_sort(&cr_b);
    struct check_twins *twins = check_pair_mailboxes(&cr_a, &cr_b, &n);
    check_compare_user(&cr_run, &cr_a, &cr_b);
    for (size_t i = 0; i < n; i++) {
        if (twins[i].a) check_user_count(&cr_a, twins[i].a);
        if (twins[i].b) check_user_count(&cr_b, twins[i].b);
        check_compare_mailbox(&cr_run, "anna", &twins[i]);
        struct sync_array arrays[2];
        int failed;
        int r = check_compare_messages(&cr_run, "anna", &twins[i], messages(&arrays[0], twins[i].a),
                                       messages(&arrays[1], twins[i].b), &failed);
        if (r) buf_printf(&cr_told, "%s %c\n", error_message(r), "AB"[failed]);
    }
    check_compare_quotas(&cr_run, &cr_a, &cr_b);
    free(twins);
    return buf_cstring(&cr_told);
}

void cr_set(char **at, const char *value)
{
    free(*at);
    *at = xstrdup(value);
}
