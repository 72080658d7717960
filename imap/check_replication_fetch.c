/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check_replication_fetch -- ask an IMAP server for all it knows of a user
 *
 * The administrator's session lists mailboxes, ACLs, shared annotations and quotas; the
 * user's reads messages, subscriptions and what is private (handbook 04 §3.5, §3.9, §3.12,
 * §3.17, §4.2). Both separators and both kinds of namespace are understood.
 * CID is asked for until the server says that it does not know it: it has no
 * conversations then.
 */
#include <config.h>

#include "check_replication_fetch.h"

#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "prot.h"
#include "util.h"
#include "xmalloc.h"

/* The state of one command. */
struct ask {
    struct check_end *end;
    struct check_user *user;
    struct check_mailbox *mbox;
    const char *prefix;
    strarray_t *list;
    bool bad; /* an answer could not be read */
};

typedef void take_fn(struct ask *ask, const struct dlist *response, const char *line);

struct take {
    struct ask *ask;
    const char *kind;
    take_fn *fn;
};

static int failed(struct check_end *end, int r, const char *what, const char *text)
{
    free(end->error);
    end->error = xasprintf("%s: %s", what, text && *text ? text : error_message(r));
    return r;
}

/* ---- commands ---- */

/* A string as an argument: a literal where quoting would need escapes. */
static void put_argument(struct buf *cmd, const char *s)
{
    bool plain = true;

    for (const char *p = s; *p; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
            plain = false;
    if (plain)
        buf_printf(cmd, " \"%s\"", s);
    else
        buf_printf(cmd, " {%zu+}\r\n%s", strlen(s), s);
}

/* The line, or what follows its number, begins with that word. */
static bool says(const char *line, const char *kind)
{
    size_t len = strlen(kind);

    while (cyr_isdigit(*line) || *line == ' ') line++;
    return !cyr_strncasecmp(line, kind, len) && (line[len] == ' ' || !line[len]);
}

static void on_untagged(void *rock, const char *line, size_t len)
{
    const struct take *take = rock;
    bool parsed = strcmp(take->kind, "OK") != 0;

    if (!says(line, take->kind)) return;
    struct dlist *response = parsed ? check_parse_response(line, len) : NULL;
    if (parsed && !response)
        take->ask->bad = true;
    else
        take->fn(take->ask, response, line);
    dlist_free(&response);
}

/* cmd is used up. quiet: a refusal is no error to be told. */
static int run(struct check_end *end, struct backend *b, struct buf *cmd, const struct take *take,
               bool quiet)
{
    struct buf text = BUF_INITIALIZER;
    struct take t = *take;
    int r = backend_imapcmd(b, on_untagged, &t, &text, "%s", buf_cstring(cmd));

    if (!r && take->ask->bad) {
        r = IMAP_PROTOCOL_ERROR;
        buf_setcstr(&text, "the answer cannot be understood");
    }
    if (r && (!quiet || prot_error(backend_in(b)))) {
        char *eol = strchr(cmd->s, '\r');
        if (eol) *eol = '\0';
        failed(end, r, cmd->s, buf_cstring(&text));
    }
    buf_free(&text);
    buf_free(cmd);
    return r;
}

/* ---- connections ---- */

static int connect_as(struct check_end *end, const char *userid, struct backend **bp)
{
    struct backend_args args = {
        .server = end->login.server,
        .protocol = &backend_imap,
        .userid = userid,
        .authname = end->login.authname,
        .password = end->login.password,
        .mechs = end->login.mechs,
        .require_tls = end->login.require_tls,
        .timeout = end->login.timeout,
        .logfd = -1,
    };
    struct buf text = BUF_INITIALIZER;
    int r = backend_connect(&args, bp, &text);

    if (r) {
        char *what = xasprintf("login%s%s", userid ? " as " : "", userid ? userid : "");
        failed(end, r, what, buf_cstring(&text));
        free(what);
    }
    buf_free(&text);
    return r;
}

static void take_namespace(struct ask *ask, const struct dlist *response, const char *line)
{
    struct check_names *names = ask->user ? &ask->end->user_names : &ask->end->admin_names;

    (void)line;
    if (!check_parse_namespace(names, response)) ask->bad = true;
}

static int learn_names(struct check_end *end, struct backend *b, struct check_user *user)
{
    struct ask ask = { .end = end, .user = user };
    struct take take = { &ask, "NAMESPACE", take_namespace };
    struct check_names *names = user ? &end->user_names : &end->admin_names;
    struct buf cmd = BUF_INITIALIZER;

    check_names_fini(names);
    if (user) names->userid = xstrdup(user->userid);
    buf_setcstr(&cmd, "NAMESPACE");
    int r = run(end, b, &cmd, &take, false);
    if (!r && !names->sep) r = failed(end, IMAP_PROTOCOL_ERROR, "NAMESPACE", "no answer");
    return r;
}

int check_end_open(struct check_end *end, const struct check_login *login)
{
    memset(end, 0, sizeof(*end));
    end->login = *login;
    int r = connect_as(end, NULL, &end->admin);
    if (!r) r = learn_names(end, end->admin, NULL);
    return r;
}

void check_end_close(struct check_end *end)
{
    backend_disconnect(&end->user);
    backend_disconnect(&end->admin);
    check_names_fini(&end->admin_names);
    check_names_fini(&end->user_names);
    free(end->error);
}

const char *check_end_error(const struct check_end *end)
{
    return end->error ? end->error : "";
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
static char *listed_name(struct ask *ask, const struct check_names *names,
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

static void take_user(struct ask *ask, const struct dlist *response, const char *line)
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
    struct ask ask = { .end = end, .list = users };
    struct take take = { &ask, "LIST", take_user };
    struct buf cmd = BUF_INITIALIZER;

    buf_printf(&cmd, "LIST \"\" \"user%c%%\"", end->admin_names.sep);
    return run(end, end->admin, &cmd, &take, false);
}

static void take_mailbox(struct ask *ask, const struct dlist *response, const char *line)
{
    char *name = listed_name(ask, &ask->end->admin_names, response, false);

    (void)line;
    if (name) check_user_addmailbox(ask->user, name);
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
    struct ask ask = { .end = end, .user = user };
    struct take take = { &ask, "LIST", take_mailbox };
    char *inbox = inbox_name(end, user->userid);
    char *below = xasprintf("%s%c*", inbox, end->admin_names.sep);
    struct buf cmd = BUF_INITIALIZER;

    buf_setcstr(&cmd, "LIST \"\"");
    put_argument(&cmd, inbox);
    int r = run(end, end->admin, &cmd, &take, false);
    user->exists = user->nmailboxes > 0;
    buf_setcstr(&cmd, "LIST \"\"");
    put_argument(&cmd, below);
    if (!r) r = run(end, end->admin, &cmd, &take, false);
    buf_free(&cmd);
    free(inbox);
    free(below);
    return r;
}

static void take_subscription(struct ask *ask, const struct dlist *response, const char *line)
{
    char *name = listed_name(ask, &ask->end->user_names, response, true);

    (void)line;
    if (name) strarray_append(&ask->user->subscriptions, name);
    free(name);
}

static int list_subscriptions(struct check_end *end, struct check_user *user)
{
    struct ask ask = { .end = end, .user = user };
    struct take take = { &ask, "LIST", take_subscription };
    struct buf cmd = BUF_INITIALIZER;

    buf_setcstr(&cmd, "LIST (SUBSCRIBED) \"\" \"*\"");
    return run(end, end->user, &cmd, &take, false);
}

/* ---- facts of a mailbox ---- */

static void take_acl(struct ask *ask, const struct dlist *response, const char *line)
{
    (void)line;
    if (!check_parse_acl(ask->mbox, response)) ask->bad = true;
}

static void take_metadata(struct ask *ask, const struct dlist *response, const char *line)
{
    (void)line;
    if (!check_parse_metadata(ask->mbox, response, ask->prefix)) ask->bad = true;
}

static void take_status(struct ask *ask, const struct dlist *response, const char *line)
{
    const struct dlist *list = dlist_getchildn(response, 2);
    const char *name;

    (void)line;
    if (!list || list->type != DL_LIST) return;
    for (const struct dlist *at = list->head; at && at->next; at = at->next->next)
        if (dlist_toatom(at, &name) && !cyr_strcasecmp(name, "CREATEDMODSEQ"))
            dlist_tonum64(at->next, &ask->mbox->createdmodseq);
}

/* QUOTAROOT mailbox root, and QUOTA root (name used limit ...) */
static void take_quota(struct ask *ask, const struct dlist *response, const char *line)
{
    const struct dlist *list = dlist_getchildn(response, 2);
    const char *root, *name;
    uint64_t used, limit;

    (void)line;
    if (!dlist_toatom(dlist_getchildn(response, 1), &root) || !list || list->type != DL_LIST) {
        ask->bad = true;
        return;
    }
    char *canonical = check_canonical_name(&ask->end->admin_names, root);
    struct check_quota *quota = check_user_quota(ask->user, canonical);
    free(ask->mbox->quotaroot);
    ask->mbox->quotaroot = canonical;
    if (quota->n) return; /* known from another mailbox */
    for (const struct dlist *at = list->head; at; at = at->next->next->next) {
        if (!at->next || !at->next->next || !dlist_toatom(at, &name) ||
            !dlist_tonum64(at->next, &used) || !dlist_tonum64(at->next->next, &limit)) {
            ask->bad = true;
            return;
        }
        check_quota_add(quota, name, used, limit);
    }
}

static int ask_mailbox(struct ask *ask, struct backend *b, const char *command, const char *name,
                       const char *rest, const char *kind, take_fn *fn)
{
    struct take take = { ask, kind, fn };
    struct buf cmd = BUF_INITIALIZER;

    buf_setcstr(&cmd, command);
    put_argument(&cmd, name);
    buf_appendcstr(&cmd, rest);
    return run(ask->end, b, &cmd, &take, false);
}

static int fetch_facts(struct check_end *end, struct check_user *user, struct check_mailbox *mbox)
{
    struct ask ask = { .end = end, .user = user, .mbox = mbox, .prefix = "/shared/" };
    char *name = check_session_name(&end->admin_names, mbox->name);
    char *own = check_session_name(&end->user_names, mbox->name);
    const char *raw = backend_has(end->admin, BACKEND_CAPA_QUOTARAW) ? " (RAW)" : "";

    int r = ask_mailbox(&ask, end->admin, "GETACL", name, "", "ACL", take_acl);
    if (!r)
        r = ask_mailbox(&ask, end->admin, "GETMETADATA", name, " \"/shared/*\"", "METADATA",
                        take_metadata);
    if (!r) r = ask_mailbox(&ask, end->admin, "GETQUOTAROOT", name, raw, "QUOTA", take_quota);
    ask.prefix = "/private/";
    if (!r)
        r = ask_mailbox(&ask, end->user, "GETMETADATA", own, " \"/private/*\"", "METADATA",
                        take_metadata);
    free(name);
    free(own);
    return r;
}

int check_fetch_user(struct check_end *end, struct check_user *user)
{
    int r = list_mailboxes(end, user);

    if (r || !user->nmailboxes) return r;
    backend_disconnect(&end->user);
    r = connect_as(end, user->userid, &end->user);
    if (!r) r = learn_names(end, end->user, user);
    if (!r) r = list_subscriptions(end, user);
    for (size_t i = 0; !r && i < user->nmailboxes; i++)
        r = fetch_facts(end, user, &user->mailboxes[i]);
    if (!r) check_user_sort(user);
    return r;
}

/* ---- messages ---- */

static void take_ok(struct ask *ask, const struct dlist *response, const char *line)
{
    (void)response;
    check_parse_okcode(ask->mbox, line);
}

static void take_fetch(struct ask *ask, const struct dlist *response, const char *line)
{
    (void)line;
    if (!check_parse_fetch(ask->mbox, response)) ask->bad = true;
}

#define ITEMS                                                                       \
    "UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ DIGEST.SHA1 CREATEDMODSEQ SAVEDATE " \
    "ANNOTATION (\"*\" (value.priv value.shared))"

static int fetch_all(struct check_end *end, struct check_mailbox *mbox, bool cids)
{
    struct ask ask = { .end = end, .mbox = mbox };
    struct take take = { &ask, "FETCH", take_fetch };
    struct buf cmd = BUF_INITIALIZER;

    check_mailbox_dropmessages(mbox);
    buf_printf(&cmd, "UID FETCH 1:* (%s%s)", ITEMS, cids ? " CID" : "");
    return run(end, end->user, &cmd, &take, cids);
}

int check_fetch_messages(struct check_end *end, struct check_mailbox *mbox)
{
    struct ask ask = { .end = end, .mbox = mbox };
    char *own = check_session_name(&end->user_names, mbox->name);

    int r = ask_mailbox(&ask, end->user, "STATUS", own, " (CREATEDMODSEQ)", "STATUS", take_status);
    if (!r) r = ask_mailbox(&ask, end->user, "EXAMINE", own, "", "OK", take_ok);
    free(own);
    if (r) return r;
    if (!end->no_cids) r = fetch_all(end, mbox, true);
    /* BAD: without conversations the item is unknown */
    if (r == IMAP_PROTOCOL_ERROR && !prot_error(backend_in(end->user))) {
        end->no_cids = true;
        r = 0;
    }
    if (!r && end->no_cids) r = fetch_all(end, mbox, false);
    mbox->has_cids = !end->no_cids;
    mbox->opened = !r;
    return r;
}
