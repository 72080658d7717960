/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * imap_notify -- what a session is told of mailboxes without asking: NOTIFY (RFC 5465)
 *
 * Whatever happens to mailboxes of a user changes files in his directory (counters, conversations), so one watch is
 * enough for all of his; mailboxes of others are watched one by one, as long as there are few, otherwise
 * the timer of imapidlepoll has to do.
 */
#include <config.h>

#include "imap_notify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "annotate_db.h"
#include "crc32.h"
#include "imap_err.h"
#include "imap_notify_list.h"
#include "imap_watch.h"
#include "imapcmd.h"
#include "index.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "metadata.h"
#include "user.h"
#include "xmalloc.h"
#include "xsyslog.h"

#define MAX_WATCHES 128 /* directories, a descriptor each */

struct imap_notify {
    struct notify_args args;
    unsigned events; /* of all groups */
    struct imap_watch watch;
    struct notify_list list;
    strarray_t subscribed;      /* internal names, sorted */
    strarray_t server_metadata; /* as notify_mailbox.metadata */
    char *subfile, *seenfile; /* of the user; NULL: he has none */
    char *mboxlist, *annotations;
    struct notify_file mboxlist_at, annotations_at, sub_at, seen_at;
    bool over;  /* there are too many */
    bool dirty; /* there may have been a wake-up that nobody saw */
};

void notify_args_fini(struct notify_args *args)
{
    fetch_request_fini(&args->fetch);
    for (size_t i = 0; i < args->ngroups; i++) strarray_fini(&args->groups[i].names);
    free(args->groups);
    *args = (struct notify_args){ 0 };
}

static void notify_free(struct imap_notify *nt)
{
    if (!nt) return;
    notify_args_fini(&nt->args);
    imap_watch_end(&nt->watch);
    notify_list_fini(&nt->list);
    strarray_fini(&nt->subscribed);
    strarray_fini(&nt->server_metadata);
    free(nt->subfile);
    free(nt->seenfile);
    free(nt->mboxlist);
    free(nt->annotations);
    free(nt);
}

static void print_list(struct imap_session *s, const char *attributes, const char *name, const char *oldname)
{
    extname_t ext = imap_extname(s, name), old = EXTNAME_NONE;

    if (oldname) old = imap_extname(s, oldname);
    imap_print_list(s, attributes, ext, old);
    extname_free(&ext);
    extname_free(&old);
}

/* ---- STATUS ---- */

static uint32_t status_items(const struct imap_session *s, unsigned events)
{
    uint32_t items = STATUS_MESSAGES | STATUS_UIDNEXT | STATUS_UIDVALIDITY;

    if (events & NOTIFY_FLAG_CHANGE) items |= STATUS_UNSEEN | STATUS_HIGHESTMODSEQ;
    if (s->condstore) items |= STATUS_HIGHESTMODSEQ;
    return items;
}

static bool is_selected(const struct imap_session *s, const struct notify_mailbox *m)
{
    return s->index && !index_gone(s->index) && !strcmp(index_uniqueid(s->index), m->uniqueid);
}

/* Told when it is not what was told last, and not of the selected mailbox. What can't be read is tried again when it, or the list of
 * mailboxes, has changed. */
static void look_at_status(struct imap_session *s, struct notify_mailbox *m, bool tell)
{
    struct buf text = BUF_INITIALIZER;
    mbentry_t *entry = NULL;

    int r = mboxlist_lookup(m->name, &entry, NULL);
    if (!r && !(imap_rights(s, entry) & ACL_READ)) r = IMAP_PERMISSION_DENIED;
    if (!r) r = imap_status_text(s, entry, status_items(s, m->events), &text);
    if (!r && strcmpnull(m->status, buf_cstring(&text))) {
        if (tell && !is_selected(s, m)) {
            extname_t ext = imap_extname(s, m->name);
            imap_print_status_text(s, ext, buf_cstring(&text));
            extname_free(&ext);
        }
        free(m->status);
        m->status = buf_newcstring(&text);
    }
    else if (r)
        xzfree(m->status);
    mbentry_free(&entry);
    buf_free(&text);
}

static void look_at_messages(struct imap_session *s, bool tell)
{
    struct imap_notify *nt = s->notify;
    bool seen = nt->seenfile && notify_file_changed(&nt->seen_at, nt->seenfile);

    for (size_t i = 0; i < nt->list.n; i++) {
        struct notify_mailbox *m = &nt->list.v[i];
        if (!(m->events & NOTIFY_MESSAGES)) continue;
        bool changed = notify_file_changed(&m->file, m->index);
        if (changed || (seen && !m->own)) look_at_status(s, m, tell);
    }
}

/* ---- METADATA ---- */

struct noter {
    enum metadata_scope scope;
    strarray_t lines;
};

static void note_entry(const char *entry, const struct buf *value, void *rock)
{
    struct noter *noter = rock;
    struct buf text = BUF_INITIALIZER;

    /* Computed values change with what they are made of, which is told otherwise. */
    const char *name = strchr(entry + 1, '/');
    const struct metadata_entry *known = name ? metadata_entry_find(noter->scope, name) : NULL;
    if (!value || (known && known->get)) return;
    buf_printf(&text, "%s %08" PRIx32 "-%zu", entry, crc32_buf(value), buf_len(value));
    strarray_append(&noter->lines, buf_cstring(&text));
    buf_free(&text);
}

static void add_differing(const strarray_t *a, const strarray_t *b, strarray_t *entries)
{
    for (int i = 0; i < strarray_size(a); i++) {
        const char *line = strarray_nth(a, i);
        if (strarray_bsearch(b, line) >= 0) continue;
        char *entry = xstrndup(line, strcspn(line, " "));
        strarray_add(entries, entry);
        free(entry);
    }
}

/* name NULL: the server. *before becomes what is now. */
static void look_at_entries(struct imap_session *s, const char *name, strarray_t *before, bool tell)
{
    const struct metadata_who who = imap_metadata_who(s);
    struct noter now = { .scope = name ? METADATA_MAILBOX : METADATA_SERVER };
    strarray_t entries = STRARRAY_INITIALIZER, patterns = STRARRAY_INITIALIZER;
    mbentry_t *entry = NULL;

    strarray_append(&patterns, "/shared/*");
    strarray_append(&patterns, "/private/*");
    int r = name ? mboxlist_lookup(name, &entry, NULL) : 0;
    if (!r) r = metadata_get(&who, entry, &patterns, note_entry, &now);
    if (!r || r == IMAP_PERMISSION_DENIED) {
        strarray_sort(&now.lines, NULL);
        if (tell) add_differing(&now.lines, before, &entries);
        if (tell) add_differing(before, &now.lines, &entries);
        strarray_fini(before);
        *before = now.lines;
        now.lines = (strarray_t)STRARRAY_INITIALIZER;
    }
    if (strarray_size(&entries)) {
        extname_t ext = name ? imap_extname(s, name) : extname_of(xstrdup(""));
        prot_puts(s->out, "* METADATA ");
        imap_print_mailbox(s, ext);
        for (int i = 0; i < strarray_size(&entries); i++) prot_printf(s->out, " %s", strarray_nth(&entries, i));
        prot_puts(s->out, "\r\n");
        extname_free(&ext);
    }
    strarray_fini(&now.lines);
    strarray_fini(&entries);
    strarray_fini(&patterns);
    mbentry_free(&entry);
}

static void look_at_metadata(struct imap_session *s, bool tell)
{
    struct imap_notify *nt = s->notify;

    if (!(nt->events & (NOTIFY_MAILBOX_METADATA_CHANGE | NOTIFY_SERVER_METADATA_CHANGE))) return;
    if (!notify_file_changed(&nt->annotations_at, nt->annotations)) return;
    if (nt->events & NOTIFY_SERVER_METADATA_CHANGE) look_at_entries(s, NULL, &nt->server_metadata, tell);
    for (size_t i = 0; i < nt->list.n; i++) {
        struct notify_mailbox *m = &nt->list.v[i];
        if (m->events & NOTIFY_MAILBOX_METADATA_CHANGE) look_at_entries(s, m->name, &m->metadata, tell);
    }
}

/* ---- names and subscriptions ---- */

static const char *subscribed_attribute(const struct imap_notify *nt, const char *name)
{
    return strarray_bsearch(&nt->subscribed, name) >= 0 ? "\\Subscribed" : "";
}

/* Who was in the old list, and is in the new one under this name or none. */
static void tell_lost(struct imap_session *s, const struct notify_list *old)
{
    for (size_t i = 0; i < old->n; i++) {
        const struct notify_mailbox *m = &old->v[i];
        mbentry_t *entry = NULL;

        if (!(m->events & NOTIFY_MAILBOX_NAME) || notify_list_find_id(&s->notify->list, m->uniqueid)) continue;
        if (notify_list_find(&s->notify->list, m->name)) continue;
        bool hidden = !mboxlist_lookup(m->name, &entry, NULL) && !strcmpnull(entry->uniqueid, m->uniqueid);
        if (!hidden || !(imap_rights(s, entry) & ACL_LOOKUP))
            print_list(s, hidden ? "\\NoAccess" : "\\NonExistent", m->name, NULL);
        mbentry_free(&entry);
    }
}

/* What was known of a mailbox stays known; new ones and new names are told, unless it was only subscribed. */
static void tell_found(struct imap_session *s, struct notify_list *old, const strarray_t *before, bool tell)
{
    struct imap_notify *nt = s->notify;

    for (size_t i = 0; i < nt->list.n; i++) {
        struct notify_mailbox *m = &nt->list.v[i], *was = notify_list_find(old, m->name);
        if (!was || strcmp(was->uniqueid, m->uniqueid)) was = notify_list_find_id(old, m->uniqueid);
        bool renamed = was && strcmp(was->name, m->name);
        bool told = tell && (!was || renamed) && (m->events & NOTIFY_MAILBOX_NAME);
        if (told && (renamed || notify_events_of(s, &nt->args, before, m->name)))
            print_list(s, subscribed_attribute(nt, m->name), m->name, renamed ? was->name : NULL);
        if (!was) continue;
        if (was->status) m->file = was->file;
        m->status = was->status;
        m->metadata = was->metadata;
        was->status = NULL;
        was->metadata = (strarray_t)STRARRAY_INITIALIZER;
    }
}

static void tell_subscriptions(struct imap_session *s, const strarray_t *a, const strarray_t *b, const char *attribute)
{
    const struct notify_args *args = &s->notify->args;

    for (int i = 0; i < strarray_size(a); i++) {
        const char *name = strarray_nth(a, i);
        if (strarray_bsearch(b, name) >= 0) continue;
        /* "subscribed" names what was subscribed as well as what is */
        if (notify_events_of(s, args, a, name) & NOTIFY_SUBSCRIPTION_CHANGE) print_list(s, attribute, name, NULL);
    }
}

static char *directory_of(const char *path)
{
    const char *end = strrchr(path, '/');

    return xstrndup(path, end ? (size_t)(end - path) : 0);
}

static void watch_all(struct imap_session *s)
{
    struct imap_notify *nt = s->notify;
    strarray_t dirs = STRARRAY_INITIALIZER;

    imap_watch_clear(&nt->watch);
    strarray_appendm(&dirs, directory_of(nt->mboxlist));
    strarray_appendm(&dirs, directory_of(nt->annotations));
    if (nt->subfile) strarray_appendm(&dirs, directory_of(nt->subfile));
    for (size_t i = 0; i < nt->list.n && strarray_size(&dirs) < MAX_WATCHES; i++) {
        const struct notify_mailbox *m = &nt->list.v[i];
        if (!m->own && (m->events & NOTIFY_MESSAGES)) strarray_appendm(&dirs, directory_of(m->index));
    }
    if (s->index && index_mailbox(s->index) && nt->args.selected_events) {
        struct buf dir = BUF_INITIALIZER;
        struct mailbox_place place = mailbox_place_of(mailbox_mbentry(index_mailbox(s->index)));
        if (!mailbox_path_metadir(&place, META_INDEX, &dir)) strarray_append(&dirs, buf_cstring(&dir));
        buf_free(&dir);
    }
    strarray_sort(&dirs, NULL);
    for (int i = 0; i < strarray_size(&dirs); i++)
        if (!i || strcmp(strarray_nth(&dirs, i), strarray_nth(&dirs, i - 1)))
            imap_watch_dir(&nt->watch, strarray_nth(&dirs, i));
    strarray_fini(&dirs);
}

/* The user's files; they move when his INBOX is another. */
static void find_user_files(struct imap_session *s)
{
    struct imap_notify *nt = s->notify;
    struct user_meta *meta = NULL;

    xzfree(nt->subfile);
    xzfree(nt->seenfile);
    if (user_meta_lookup_or_legacy(s->userid, NULL, &meta)) return;
    nt->subfile = xstrdup(user_meta_path(meta, "sub"));
    nt->seenfile = xstrdup(user_meta_path(meta, "seen"));
    user_meta_free(&meta);
}

/* Nothing is told any more; the wait that is on may still ask. */
static void overflow(struct imap_session *s)
{
    struct imap_notify *nt = s->notify;

    prot_printf(s->out, "* OK [NOTIFICATIONOVERFLOW] More than %d mailboxes\r\n", IMAP_NOTIFY_MAX);
    imap_watch_clear(&nt->watch);
    notify_list_fini(&nt->list);
    notify_args_fini(&nt->args);
    nt->events = 0;
    nt->over = true;
}

/* The list anew when it or the subscriptions have changed; false: nothing is told any more. */
static bool look_at_names(struct imap_session *s, bool tell)
{
    struct imap_notify *nt = s->notify;
    struct notify_list old = nt->list;
    strarray_t subscribed = STRARRAY_INITIALIZER;
    bool names = notify_file_changed(&nt->mboxlist_at, nt->mboxlist);

    if (names) find_user_files(s);
    bool subs = nt->subfile && notify_file_changed(&nt->sub_at, nt->subfile);
    if (!names && !subs) return true;
    if (sub_list(s->userid, &subscribed)) {
        strarray_fini(&subscribed);
        return true; /* logged; what was known goes on */
    }
    strarray_sort(&subscribed, NULL);
    nt->list = (struct notify_list){ 0 };
    int r = notify_list_read(s, &nt->args, &subscribed, &nt->list);
    if (r) {
        notify_list_fini(&nt->list);
        nt->list = old;
        strarray_fini(&subscribed);
        if (r == IMAP_AGAIN) overflow(s);
        return !nt->over;
    }
    strarray_t before = nt->subscribed;
    nt->subscribed = subscribed;
    if (tell) tell_lost(s, &old);
    tell_found(s, &old, &before, tell);
    if (tell) tell_subscriptions(s, &before, &nt->subscribed, "");
    if (tell) tell_subscriptions(s, &nt->subscribed, &before, "\\Subscribed");
    strarray_fini(&before);
    notify_list_fini(&old);
    watch_all(s);
    return true;
}

/* ---- the session ---- */

void imap_notify_set(struct imap_session *s, struct notify_args *args)
{
    struct buf path = BUF_INITIALIZER;

    notify_free(s->notify);
    s->notify = NULL;
    if (!args) return;
    struct imap_notify *nt = s->notify = xzmalloc(sizeof(*nt));
    nt->watch.fd = -1;
    nt->args = *args;
    *args = (struct notify_args){ 0 };
    nt->dirty = true;
    for (size_t i = 0; i < nt->args.ngroups; i++) nt->events |= nt->args.groups[i].events;
    mboxlist_fname(&path);
    nt->mboxlist = buf_newcstring(&path);
    annotate_fname(&path);
    nt->annotations = buf_newcstring(&path);
    buf_free(&path);
    if (!imap_watch_begin(&nt->watch))
        xsyslog(LOG_NOTICE, "NOTIFY: no notification, polling", "seconds=<%d>", s->options->idle_poll);
    if (!look_at_names(s, false)) return;
    look_at_metadata(s, false);
    look_at_messages(s, nt->args.status);
}

void imap_notify_touch(struct imap_session *s)
{
    if (s->notify) s->notify->dirty = true;
}

void imap_notify_look(struct imap_session *s)
{
    if (!s->notify || s->notify->over) return;
    s->notify->dirty = false;
    imap_watch_drain(&s->notify->watch);
    if (!look_at_names(s, true)) return;
    look_at_metadata(s, true);
    look_at_messages(s, true);
}

void imap_notify_selected(struct imap_session *s)
{
    if (!s->notify || s->notify->over) return;
    watch_all(s);
    s->notify->dirty = true;
}

bool imap_notify_tells_flags(const struct imap_session *s)
{
    return s->notify && (s->notify->args.selected_events & NOTIFY_FLAG_CHANGE);
}

void imap_notify_new_messages(struct imap_session *s, uint32_t first)
{
    uint32_t exists = index_exists(s->index);

    if (!s->notify || !s->notify->args.has_fetch || first > exists) return;
    struct seqset *msgnos = seqset_init(0, SEQ_SPARSE);
    seqset_addrange(msgnos, first, exists);
    int r = fetch_messages(s, &s->notify->args.fetch, msgnos);
    if (r) prot_printf(s->out, "* NO %s\r\n", error_message(r));
    seqset_free(msgnos);
}

/* ---- between commands ---- */

/* Something may be new while the client has nothing to say. */
static int wake(struct protstream *in, void *rock)
{
    struct imap_session *s = rock;
    const struct notify_args *args = &s->notify->args;

    (void)in;
    imap_watch_drain(&s->notify->watch);
    s->between_commands = true;
    if (s->index && args->selected_events) imap_report(s, !args->delayed || s->uidonly, NULL);
    s->between_commands = false;
    if (!s->closing) imap_notify_look(s);
    prot_flush(s->out);
    imap_session_rest(s);
    return s->closing || prot_error(s->out);
}

void imap_notify_begin_wait(struct imap_session *s)
{
    struct imap_notify *nt = s->notify;

    if (!nt || nt->over) return;
    if (nt->watch.fd >= 0) prot_setwaitfd(s->in, nt->watch.fd, wake, s);
    if (nt->dirty) wake(s->in, s);
}

void imap_notify_poll(struct imap_session *s)
{
    if (s->notify && s->options->idle_poll) prot_setwaittimer(s->in, s->options->idle_poll * 1000, wake, s);
}

void imap_notify_end_wait(struct imap_session *s)
{
    if (s->notify && s->notify->watch.fd >= 0) prot_setwaitfd(s->in, s->notify->watch.fd, NULL, NULL);
}
