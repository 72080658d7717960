/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NOTIFY (RFC 5465)
 */
#include <config.h>

#include <stdlib.h>

#include "imap_err.h"
#include "imap_notify.h"
#include "imapcmd.h"
#include "xmalloc.h"

static const struct {
    const char *name;
    unsigned bit;
} events[] = {
    { "MessageNew", NOTIFY_MESSAGE_NEW },
    { "MessageExpunge", NOTIFY_MESSAGE_EXPUNGE },
    { "FlagChange", NOTIFY_FLAG_CHANGE },
    { "MailboxName", NOTIFY_MAILBOX_NAME },
    { "SubscriptionChange", NOTIFY_SUBSCRIPTION_CHANGE },
    { "MailboxMetadataChange", NOTIFY_MAILBOX_METADATA_CHANGE },
    { "ServerMetadataChange", NOTIFY_SERVER_METADATA_CHANGE },
};

/* In the order of enum notify_filter. */
static const char *const filters[] = { "selected",   "selected-delayed", "inboxes",  "personal",
                                       "subscribed", "subtree",          "mailboxes" };

static bool bad_event(struct imap_session *s)
{
    struct buf names = BUF_INITIALIZER;

    for (size_t i = 0; i < array_size(events); i++) buf_printf(&names, "%s%s", i ? " " : "", events[i].name);
    imap_skip(s);
    imap_no(s, "[BADEVENT (%s)] Unknown event", buf_cstring(&names));
    buf_free(&names);
    return false;
}

static bool is_selected(enum notify_filter filter)
{
    return filter == NOTIFY_SELECTED || filter == NOTIFY_SELECTED_DELAYED;
}

/* "(" behind the blank of s->c comes next. */
static bool list_follows(struct imap_session *s)
{
    return s->c == ' ' && prot_peek(s->in) == '(';
}

/* ---- one group ---- */

/* SP mailbox, or SP (mailbox ...). What can't be a name names nothing. */
static bool mailboxes(struct imap_session *s, strarray_t *names)
{
    extname_t ext = EXTNAME_NONE;
    bool list = list_follows(s), ok;

    if (list) prot_getc(s->in);
    do {
        ok = imap_arg_mailbox(s, &ext);
        char *name = ok ? imap_intname(s, ext) : NULL;
        if (name) strarray_appendm(names, name);
        extname_free(&ext);
    } while (ok && list && s->c == ' ');
    return ok && (!list || imap_arg_close(s, &s->cmdname));
}

/* One word of the list, and of MessageNew what is to be fetched. */
static bool one_event(struct imap_session *s, enum notify_filter filter, struct notify_args *args, unsigned *bits)
{
    struct buf word = BUF_INITIALIZER;
    size_t i = 0;

    s->c = getword(s->in, &word);
    while (i < array_size(events) && cyr_strcasecmp(buf_cstring(&word), events[i].name)) i++;
    bool empty = !buf_len(&word);
    buf_free(&word);
    if (s->c < 0 || empty) {
        imap_bad(s, "Missing event in %s", buf_cstring(&s->cmdname));
        return false;
    }
    if (i == array_size(events)) return bad_event(s);
    *bits |= events[i].bit;
    if (!list_follows(s)) return true;
    if (events[i].bit != NOTIFY_MESSAGE_NEW || !is_selected(filter)) {
        imap_bad(s, "Items are for MessageNew of the selected mailbox");
        return false;
    }
    args->has_fetch = true;
    return fetch_parse_items(s, &args->fetch);
}

/* What RFC 5465 §5 wants together. */
static bool sensible(struct imap_session *s, unsigned bits)
{
    unsigned both = NOTIFY_MESSAGE_NEW | NOTIFY_MESSAGE_EXPUNGE;

    if (!(bits & NOTIFY_MESSAGES) || (bits & both) == both) return true;
    imap_bad(s, "MessageNew and MessageExpunge go together");
    return false;
}

/* SP NONE, or SP (event ...). */
static bool event_list(struct imap_session *s, enum notify_filter filter, struct notify_args *args, unsigned *bits)
{
    struct buf word = BUF_INITIALIZER;
    bool ok;

    if (!list_follows(s)) {
        ok = imap_arg_word(s, &word) && !cyr_strcasecmp(buf_cstring(&word), "NONE");
        if (!ok && !s->answered) imap_bad(s, "Missing events in %s", buf_cstring(&s->cmdname));
        buf_free(&word);
        return ok;
    }
    prot_getc(s->in);
    do {
        if (!one_event(s, filter, args, bits)) return false;
    } while (s->c == ' ');
    return imap_arg_close(s, &s->cmdname) && sensible(s, *bits);
}

static bool group_for_selected(struct imap_session *s, enum notify_filter filter, struct notify_args *args)
{
    if (args->selected) {
        imap_bad(s, "The selected mailbox is named twice");
        return false;
    }
    args->selected = true;
    args->delayed = filter == NOTIFY_SELECTED_DELAYED;
    return event_list(s, filter, args, &args->selected_events);
}

/* "(filter events)", s->c is the blank before it. */
static bool group(struct imap_session *s, struct notify_args *args)
{
    struct buf word = BUF_INITIALIZER;
    size_t filter = 0;

    bool ok = list_follows(s);
    if (ok) {
        prot_getc(s->in);
        s->c = getword(s->in, &word);
        while (filter < array_size(filters) && cyr_strcasecmp(buf_cstring(&word), filters[filter])) filter++;
    }
    buf_free(&word);
    if (!ok || s->c < 0 || filter == array_size(filters)) {
        imap_bad(s, "Invalid filter in %s", buf_cstring(&s->cmdname));
        return false;
    }
    if (is_selected(filter)) return group_for_selected(s, filter, args) && imap_arg_close(s, &s->cmdname);

    args->groups = xreallocarray(args->groups, args->ngroups + 1, sizeof(*args->groups));
    struct notify_group *g = &args->groups[args->ngroups++];
    *g = (struct notify_group){ .filter = filter, .names = STRARRAY_INITIALIZER };
    if ((filter == NOTIFY_SUBTREE || filter == NOTIFY_MAILBOXES) && !mailboxes(s, &g->names)) return false;
    return event_list(s, filter, args, &g->events) && imap_arg_close(s, &s->cmdname);
}

/* ---- the command ---- */

static bool parse_set(struct imap_session *s, struct notify_args *args)
{
    struct buf word = BUF_INITIALIZER;

    if (s->c == ' ' && !list_follows(s)) {
        args->status = imap_arg_word(s, &word) && !cyr_strcasecmp(buf_cstring(&word), "STATUS");
        if (!args->status && !s->answered) imap_bad(s, "Invalid argument to %s", buf_cstring(&s->cmdname));
        buf_free(&word);
        if (!args->status) return false;
    }
    do {
        if (!group(s, args)) return false;
    } while (s->c == ' ');
    return imap_arg_end(s);
}

void cmd_notify(struct imap_session *s)
{
    struct notify_args args = { 0 };
    struct buf word = BUF_INITIALIZER;

    if (!imap_arg_word(s, &word)) goto done;
    if (!cyr_strcasecmp(buf_cstring(&word), "NONE")) {
        if (!imap_arg_end(s)) goto done;
        imap_notify_set(s, NULL);
    }
    else if (!cyr_strcasecmp(buf_cstring(&word), "SET")) {
        if (!parse_set(s, &args)) goto done;
        /* Nobody is marked as having read what he has not asked for. */
        args.fetch.items = (args.fetch.items & ~(uint32_t)FETCH_SETSEEN) | (s->uidonly ? 0 : FETCH_UID);
        imap_notify_set(s, &args);
    }
    else {
        imap_bad(s, "Invalid argument to %s", buf_cstring(&s->cmdname));
        goto done;
    }
    imap_ok(s, "Completed");
done:
    notify_args_fini(&args);
    buf_free(&word);
}
