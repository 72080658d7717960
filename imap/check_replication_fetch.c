/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_replication_fetch -- ask an IMAP server for all it knows of a user
 *
 * The administrator's session lists mailboxes, ACLs, shared annotations and quotas, and what only
 * the sync protocol tells (check_replication_sync.c); the user's reads subscriptions and what is
 * private (handbook 04 §3.5, §3.9, §3.17, §4.2). Both separators and both kinds of namespace are
 * understood.
 */
#include <config.h>

#include "check_replication_ask.h"

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "libconfig.h"
#include "util.h"
#include "xmalloc.h"

static bool has_fact(const struct check_end *end, enum check_fact fact)
{
    return end->facts & CHECK_FACT_BIT(fact);
}

/* ---- lists ---- */

static bool has_attribute(const struct dlist *list, const char *name)
{
    const char *s;

    for (const struct dlist *item = list ? list->head : NULL; item; item = item->next)
        if (dlist_toatom(item, &s) && !cyr_strcasecmp(s, name)) return true;
    return false;
}

/* Name of a LIST response that stands for a mailbox, canonical; NULL for none. */
static char *listed_name(struct check_ask *ask, const struct check_names *names,
                         const struct dlist *response, bool subscribed)
{
    const struct dlist *attribs = dlist_getchildn(response, 1);
    const char *name;

    if (!dlist_toatom(dlist_getchildn(response, 3), &name)) {
        ask->bad = true;
        return NULL;
    }
    if (!subscribed &&
        (has_attribute(attribs, "\\Noselect") || has_attribute(attribs, "\\NonExistent")))
        return NULL;
    if (subscribed && !has_attribute(attribs, "\\Subscribed")) return NULL;
    return check_canonical_name(names, name);
}

static int list(struct check_ask *ask, struct backend *b, const char *pattern,
                const struct check_take *takes)
{
    return check_ask_mailbox(ask, b, "LIST \"\"", pattern, "", takes);
}

static void take_user(struct check_ask *ask, const struct dlist *response, const char *line)
{
    const char *name;
    char *canonical;

    (void)line;
    if (!dlist_toatom(dlist_getchildn(response, 3), &name)) return;
    canonical = check_canonical_name(&ask->end->admin_names, name);
    if (strstarts(canonical, "user/") && !strchr(canonical + 5, '/')) {
        struct buf userid = BUF_INITIALIZER;
        buf_setcstr(&userid, canonical + 5);
        if (ask->end->admin_names.sep == '.') buf_replace_char(&userid, '^', '.');
        strarray_append(ask->list, buf_cstring(&userid));
        buf_free(&userid);
    }
    free(canonical);
}

int check_list_users(struct check_end *end, strarray_t *users)
{
    static const struct check_take takes[] = { { "LIST", take_user }, { NULL, NULL } };
    struct check_ask ask = { .end = end, .list = users };
    char pattern[] = "user.%";

    pattern[4] = end->admin_names.sep;
    return list(&ask, end->admin, pattern, takes);
}

/* Where 3.6.1 keeps Sieve scripts; those are compared one by one, wherever a server keeps them. */
static bool holds_scripts(const struct check_ask *ask, const char *name)
{
    const char *leaf = strrchr(name, '/');

    return has_fact(ask->end, CHECK_FACT_META) && leaf && !strcmp(leaf, "/#sieve");
}

static void take_mailbox(struct check_ask *ask, const struct dlist *response, const char *line)
{
    char *name = listed_name(ask, &ask->end->admin_names, response, false);

    (void)line;
    if (name && !holds_scripts(ask, name)) check_user_addmailbox(ask->user, name)->sealed = ask->prefix != NULL;
    free(name);
}

/* In the administrator's names; with the '.' separator a '.' of the user id shows as '^'. */
static char *inbox_name(const struct check_end *end, const char *userid)
{
    char *name = xasprintf("user%c%s", end->admin_names.sep, userid);

    if (end->admin_names.sep == '.')
        for (char *p = name + 5; *p; p++)
            if (*p == '.') *p = '^';
    return name;
}

static int list_mailboxes(struct check_end *end, struct check_user *user)
{
    static const struct check_take takes[] = { { "LIST", take_mailbox }, { NULL, NULL } };
    struct check_ask ask = { .end = end, .user = user };
    char sep = end->admin_names.sep;
    char *inbox = inbox_name(end, user->userid);
    char *below = xasprintf("%s%c*", inbox, sep);

    int r = list(&ask, end->admin, inbox, takes);
    user->exists = user->nmailboxes > 0;
    if (!r) r = list(&ask, end->admin, below, takes);
    if (!r && end->login.deleted) {
        free(below);
        ask.prefix = config_getstring(IMAPOPT_DELETEDPREFIX);
        below = xasprintf("%s%c%s%c*", ask.prefix, sep, inbox, sep);
        r = list(&ask, end->admin, below, takes);
    }
    free(inbox);
    free(below);
    return r;
}

static void take_subscription(struct check_ask *ask, const struct dlist *response, const char *line)
{
    char *name = listed_name(ask, &ask->end->user_names, response, true);

    (void)line;
    if (name) strarray_append(&ask->user->subscriptions, name);
    free(name);
}

static int list_subscriptions(struct check_end *end, struct check_user *user)
{
    static const struct check_take takes[] = { { "LIST", take_subscription }, { NULL, NULL } };
    struct check_ask ask = { .end = end, .user = user };
    struct buf cmd = BUF_INITIALIZER;

    if (!has_fact(end, CHECK_FACT_SUBSCRIBED)) return 0;
    buf_setcstr(&cmd, "LIST (SUBSCRIBED) \"\" \"*\"");
    return check_ask(&ask, end->user, &cmd, takes);
}

/* A server without conversations calls the item a syntax error. */
static int probe_cids(struct check_end *end, struct check_user *user)
{
    struct check_ask ask = { .end = end, .user = user };
    struct buf cmd = BUF_INITIALIZER;

    if (end->probed) return 0;
    buf_setcstr(&cmd, "EXAMINE INBOX");
    int r = check_try(&ask, end->user, &cmd, NULL);
    if (r) return check_end_lost(end) ? r : 0;
    buf_setcstr(&cmd, "UID FETCH 1 (UID CID)");
    r = check_try(&ask, end->user, &cmd, NULL);
    if (!r) end->facts |= CHECK_FACT_BIT(CHECK_FACT_CID);
    end->probed = !check_end_lost(end);
    return end->probed ? 0 : r;
}

/* ---- facts of a mailbox ---- */

static void take_acl(struct check_ask *ask, const struct dlist *response, const char *line)
{
    (void)line;
    if (!check_parse_acl(ask->mbox, response)) ask->bad = true;
}

static void take_metadata(struct check_ask *ask, const struct dlist *response, const char *line)
{
    (void)line;
    if (!check_parse_metadata(ask->mbox, response, ask->prefix)) ask->bad = true;
}

/* QUOTA root (name used limit ...) */
static void take_quota(struct check_ask *ask, const struct dlist *response, const char *line)
{
    const struct dlist *resources = dlist_getchildn(response, 2);
    const char *root, *name;
    uint64_t used, limit;

    (void)line;
    if (!dlist_toatom(dlist_getchildn(response, 1), &root) || !resources ||
        resources->type != DL_LIST) {
        ask->bad = true;
        return;
    }
    char *canonical = check_canonical_name(&ask->end->admin_names, root);
    struct check_quota *quota = check_user_quota(ask->user, canonical);
    free(ask->mbox->quotaroot);
    ask->mbox->quotaroot = canonical;
    if (quota->n) return; /* known from another mailbox */
    for (const struct dlist *at = resources->head; at; at = at->next->next->next) {
        if (!at->next || !at->next->next || !dlist_toatom(at, &name) ||
            !dlist_tonum64(at->next, &used) || !dlist_tonum64(at->next->next, &limit)) {
            ask->bad = true;
            return;
        }
        check_quota_add(quota, name, used, limit);
    }
}

/* What the administrator may read. */
static int fetch_shared(struct check_end *end, struct check_user *user, struct check_mailbox *mbox)
{
    static const struct check_take acl[] = { { "ACL", take_acl }, { NULL, NULL } };
    static const struct check_take metadata[] = { { "METADATA", take_metadata }, { NULL, NULL } };
    static const struct check_take quota[] = { { "QUOTA", take_quota }, { NULL, NULL } };
    struct check_ask ask = { .end = end, .user = user, .mbox = mbox, .prefix = "/shared/" };
    char *name = check_session_name(&end->admin_names, mbox->name);
    int r = 0;

    if (has_fact(end, CHECK_FACT_ACL))
        r = check_ask_mailbox(&ask, end->admin, "GETACL", name, "", acl);
    if (!r && has_fact(end, CHECK_FACT_METADATA))
        r = check_ask_mailbox(&ask, end->admin, "GETMETADATA", name, " \"/shared/*\"", metadata);
    if (!r && has_fact(end, CHECK_FACT_QUOTA))
        r = check_ask_mailbox(&ask, end->admin, "GETQUOTAROOT", name,
                              has_fact(end, CHECK_FACT_RAWQUOTA) ? " (RAW)" : "", quota);
    free(name);
    return r;
}

/* What belongs to the user. */
static int fetch_private(struct check_end *end, struct check_user *user, struct check_mailbox *mbox)
{
    static const struct check_take metadata[] = { { "METADATA", take_metadata }, { NULL, NULL } };
    struct check_ask ask = { .end = end, .user = user, .mbox = mbox, .prefix = "/private/" };

    if (mbox->sealed || !has_fact(end, CHECK_FACT_METADATA)) return 0;
    char *own = check_session_name(&end->user_names, mbox->name);
    int r = check_ask_mailbox(&ask, end->user, "GETMETADATA", own, " \"/private/*\"", metadata);
    free(own);
    return r;
}

int check_fetch_user(struct check_end *end, struct check_user *user)
{
    int r = list_mailboxes(end, user);

    if (r || !user->nmailboxes) return r;
    r = check_fetch_sync(end, user);
    if (!r && user->exists) r = check_end_become(end, user);
    if (!r && user->exists) r = probe_cids(end, user);
    if (!r && user->exists) r = list_subscriptions(end, user);
    for (size_t i = 0; !r && i < user->nmailboxes; i++) {
        r = fetch_shared(end, user, &user->mailboxes[i]);
        if (!r && user->exists) r = fetch_private(end, user, &user->mailboxes[i]);
    }
    if (!r) check_user_sort(user);
    return r;
}
