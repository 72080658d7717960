/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_notify_list -- the mailboxes that a session with NOTIFY is told of
 */
#include <config.h>

#include "imap_notify_list.h"

#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "diskio.h"
#include "imap_err.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "txn.h"
#include "xmalloc.h"

bool notify_file_changed(struct notify_file *file, const char *path)
{
    struct notify_file now = { 0 };
    struct stat st;

    if (!diskio_stat(path, &st))
        now = (struct notify_file){ .inode = st.st_ino, .size = (uint64_t)st.st_size, .seconds = st.st_mtim.tv_sec,
                                    .nanoseconds = st.st_mtim.tv_nsec };
    bool changed = now.inode != file->inode || now.size != file->size || now.seconds != file->seconds ||
                   now.nanoseconds != file->nanoseconds;
    *file = now;
    return changed;
}

static void mailbox_fini(struct notify_mailbox *m)
{
    free(m->name);
    free(m->uniqueid);
    free(m->index);
    free(m->status);
    strarray_fini(&m->metadata);
}

void notify_list_fini(struct notify_list *list)
{
    for (size_t i = 0; i < list->n; i++) mailbox_fini(&list->v[i]);
    free(list->v);
    *list = (struct notify_list){ 0 };
}

static int by_name(const void *a, const void *b)
{
    const struct notify_mailbox *x = a, *y = b;

    return strcmp(x->name, y->name);
}

struct notify_mailbox *notify_list_find(const struct notify_list *list, const char *name)
{
    struct notify_mailbox key = { .name = (char *)name };

    return list->n ? bsearch(&key, list->v, list->n, sizeof(*list->v), by_name) : NULL;
}

struct notify_mailbox *notify_list_find_id(const struct notify_list *list, const char *uniqueid)
{
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->v[i].uniqueid, uniqueid)) return &list->v[i];
    return NULL;
}

/* ---- which mailboxes ---- */

static bool is_below(const char *name, const char *root)
{
    size_t len = strlen(root);

    return !strncmp(name, root, len) && (!name[len] || name[len] == '.');
}

static bool names_it(const struct imap_session *s, const struct notify_group *group, const strarray_t *subscribed,
                     const char *name)
{
    switch (group->filter) {
    case NOTIFY_INBOXES:
    case NOTIFY_PERSONAL: return mboxname_userownsmailbox(s->userid, name);
    case NOTIFY_SUBSCRIBED: return strarray_bsearch(subscribed, name) >= 0;
    case NOTIFY_MAILBOXES: return strarray_find(&group->names, name, 0) >= 0;
    case NOTIFY_SUBTREE:
        for (int i = 0; i < strarray_size(&group->names); i++)
            if (is_below(name, strarray_nth(&group->names, i))) return true;
        return false;
    case NOTIFY_SELECTED:
    case NOTIFY_SELECTED_DELAYED: break;
    }
    return false;
}

unsigned notify_events_of(const struct imap_session *s, const struct notify_args *args, const strarray_t *subscribed,
                          const char *name)
{
    for (size_t i = 0; i < args->ngroups; i++)
        if (names_it(s, &args->groups[i], subscribed, name)) return args->groups[i].events;
    return 0;
}

struct reader {
    const struct imap_session *s;
    const struct notify_args *args;
    const strarray_t *subscribed;
    struct notify_list *list;
};

static int take(const mbentry_t *entry, void *rock)
{
    struct reader *reader = rock;
    struct notify_list *list = reader->list;
    struct buf path = BUF_INITIALIZER;

    if (!entry->uniqueid || !(imap_rights(reader->s, entry) & ACL_LOOKUP)) return 0;
    unsigned events = notify_events_of(reader->s, reader->args, reader->subscribed, entry->name);
    if (!events) return 0;
    if (list->n == list->alloc) {
        list->alloc = list->alloc * 2 + 16;
        list->v = xreallocarray(list->v, list->alloc, sizeof(*list->v));
    }
    struct mailbox_place place = mailbox_place_of(entry);
    if (!mailbox_path_meta(&place, META_INDEX, &path)) {
        list->v[list->n++] = (struct notify_mailbox){
            .name = xstrdup(entry->name),
            .uniqueid = xstrdup(entry->uniqueid),
            .index = buf_newcstring(&path),
            .events = events,
            .own = mboxname_userownsmailbox(reader->s->userid, entry->name),
        };
    }
    buf_free(&path);
    return list->n > IMAP_NOTIFY_MAX ? IMAP_AGAIN : 0;
}

static int take_names(struct reader *reader, const strarray_t *names)
{
    int r = 0;

    for (int i = 0; i < strarray_size(names) && !r; i++) {
        mbentry_t *entry = NULL;
        r = mboxlist_lookup(strarray_nth(names, i), &entry, NULL);
        if (!r) r = take(entry, reader);
        if (r == IMAP_MAILBOX_NONEXISTENT || r == IMAP_MAILBOX_RESERVED) r = 0;
        mbentry_free(&entry);
    }
    return r;
}

static int take_group(struct reader *reader, const struct notify_group *group)
{
    int r = 0;

    switch (group->filter) {
    case NOTIFY_INBOXES:
    case NOTIFY_PERSONAL: return mboxlist_usermboxtree(reader->s->userid, take, reader, 0);
    case NOTIFY_SUBSCRIBED: return take_names(reader, reader->subscribed);
    case NOTIFY_MAILBOXES: return take_names(reader, &group->names);
    case NOTIFY_SUBTREE:
        for (int i = 0; i < strarray_size(&group->names) && !r; i++)
            r = mboxlist_mboxtree(strarray_nth(&group->names, i), take, reader, 0);
        return r;
    case NOTIFY_SELECTED:
    case NOTIFY_SELECTED_DELAYED: break;
    }
    return 0;
}

/* Groups may name a mailbox more than once; all entries of it are the same. */
static void unique(struct notify_list *list)
{
    size_t n = 0;

    if (list->n) qsort(list->v, list->n, sizeof(*list->v), by_name);
    for (size_t i = 0; i < list->n; i++) {
        if (n && !strcmp(list->v[n - 1].name, list->v[i].name))
            mailbox_fini(&list->v[i]);
        else
            list->v[n++] = list->v[i];
    }
    list->n = n;
}

int notify_list_read(const struct imap_session *s, const struct notify_args *args, const strarray_t *subscribed,
                     struct notify_list *list)
{
    struct reader reader = { s, args, subscribed, list };
    int r = 0;

    for (size_t i = 0; i < args->ngroups && !r; i++) r = take_group(&reader, &args->groups[i]);
    unique(list);
    return r ? r : txn_wait(mboxlist_seen_lsn());
}
