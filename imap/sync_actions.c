/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_actions -- the lines of a sync log, merged into what is to be done for each owner
 *
 * A rename belongs to both owners, and is a matter of whole users: the other names that
 * changed with it may be in lines that have not come yet.
 */
#include <config.h>

#include "sync_actions.h"

#include <stdlib.h>
#include <string.h>

#include "mboxname.h"
#include "sync_logline.h"
#include "xmalloc.h"
#include "xsyslog.h"

void sync_actions_init(struct sync_actions *actions)
{
    memset(actions, 0, sizeof(*actions));
    construct_hash_table(&actions->lines, 256);
    construct_hash_table(&actions->byowner, 64);
    construct_hash_table(&actions->named, 256);
}

static void free_unit(void *p)
{
    struct sync_unit *unit = p;

    free(unit->owner);
    strarray_fini(&unit->lines);
    strarray_fini(&unit->mailboxes);
    strarray_fini(&unit->unmailboxes);
    strarray_fini(&unit->quotas);
    strarray_fini(&unit->annotations);
    strarray_fini(&unit->seen);
    strarray_fini(&unit->subs);
    strarray_fini(&unit->others);
    free(unit);
}

void sync_actions_fini(struct sync_actions *actions)
{
    free_hash_table(&actions->lines, NULL);
    free_hash_table(&actions->byowner, NULL);
    free_hash_table(&actions->named, NULL);
    ptrarray_fini_with(&actions->units, free_unit);
}

size_t sync_actions_count(const struct sync_actions *actions)
{
    return hash_numrecords(&actions->lines);
}

struct sync_unit *sync_actions_unit(const struct sync_actions *actions, const char *owner)
{
    /* no key is empty */
    char *key = xasprintf("=%s", owner);
    struct sync_unit *unit = hash_lookup(key, &actions->byowner);

    free(key);
    return unit;
}

static struct sync_unit *unit_of(struct sync_actions *actions, const char *owner)
{
    struct sync_unit *unit = sync_actions_unit(actions, owner);

    if (!unit) {
        char *key = xasprintf("=%s", owner);
        unit = xzmalloc(sizeof(*unit));
        unit->owner = xstrdup(owner);
        ptrarray_append(&actions->units, unit);
        hash_insert(key, unit, &actions->byowner);
        free(key);
    }
    return unit;
}

static struct sync_unit *owner_of(struct sync_actions *actions, const char *mboxname)
{
    char *userid = mboxname_to_userid(mboxname);
    struct sync_unit *unit = unit_of(actions, userid ? userid : "");

    free(userid);
    return unit;
}

/* Each name once in each list; a list may become very long. */
static void add_name(struct sync_actions *actions, strarray_t *list, const char *name)
{
    char *key = xasprintf("%p %s", (void *)list, name);

    if (!hash_lookup(key, &actions->named)) {
        hash_insert(key, list, &actions->named);
        strarray_append(list, name);
    }
    free(key);
}

static bool is_about_user(enum sync_logtype type)
{
    return type == SYNC_LOG_USER || type == SYNC_LOG_UNUSER || type == SYNC_LOG_META || type == SYNC_LOG_SEEN ||
           type == SYNC_LOG_SUB;
}

static struct sync_unit *add_user_line(struct sync_actions *actions, const struct sync_logline *line, const char *a,
                                       const char *b)
{
    struct sync_unit *unit = unit_of(actions, a);

    if (line->type == SYNC_LOG_USER) unit->user = true;
    if (line->type == SYNC_LOG_UNUSER) unit->unuser = true;
    if (line->type == SYNC_LOG_META) unit->meta = true;
    if (line->type == SYNC_LOG_SEEN) add_name(actions, &unit->seen, b);
    if (line->type == SYNC_LOG_SUB) add_name(actions, &unit->subs, b);
    return unit;
}

/* The other owner may have nothing to be done, now or ever. */
static void shares_with_owner_of(struct sync_unit *unit, const char *mboxname)
{
    char *userid = mboxname_to_userid(mboxname);

    strarray_add(&unit->others, userid ? userid : "");
    free(userid);
}

static void rename_touches(struct sync_actions *actions, struct sync_unit *unit, const char *a, const char *b)
{
    add_name(actions, &unit->mailboxes, a);
    add_name(actions, &unit->mailboxes, b);
    if (*unit->owner) unit->user = true;
}

static struct sync_unit *add_mailbox_line(struct sync_actions *actions, const struct sync_logline *line,
                                          const char *a, const char *b)
{
    struct sync_unit *unit = owner_of(actions, a);

    switch (line->type) {
    case SYNC_LOG_DOUBLEMAILBOX:
        add_name(actions, &unit->mailboxes, a);
        add_name(actions, &unit->mailboxes, b);
        shares_with_owner_of(unit, b);
        break;
    case SYNC_LOG_RENAME:
        shares_with_owner_of(unit, b);
        rename_touches(actions, unit, a, b);
        rename_touches(actions, owner_of(actions, b), a, b);
        break;
    case SYNC_LOG_UNMAILBOX: add_name(actions, &unit->unmailboxes, a); break;
    case SYNC_LOG_QUOTA: add_name(actions, &unit->quotas, a); break;
    case SYNC_LOG_ANNOTATION: add_name(actions, &unit->annotations, a); break;
    default: add_name(actions, &unit->mailboxes, a); break;
    }
    return unit;
}

static bool is_possible(const struct sync_logline *line, const char *a, const char *b)
{
    if (is_about_user(line->type)) {
        if (!*a || strchr(a, '/')) return false;
        return *b || (line->type != SYNC_LOG_SEEN && line->type != SYNC_LOG_SUB);
    }
    if (line->type == SYNC_LOG_RENAME || line->type == SYNC_LOG_DOUBLEMAILBOX) return *a && *b;
    return *a || line->type == SYNC_LOG_ANNOTATION;
}

static enum sync_logread add(struct sync_actions *actions, const char *text, bool retried)
{
    struct sync_logline line = SYNC_LOGLINE_INITIALIZER;
    enum sync_logread what = sync_logline_parse(text, &line);

    if (what == SYNC_LOGREAD_OK) {
        const char *a = buf_cstring(&line.args[0]), *b = buf_cstring(&line.args[1]);
        if (is_possible(&line, a, b)) {
            struct sync_unit *unit = is_about_user(line.type) ? add_user_line(actions, &line, a, b)
                                                              : add_mailbox_line(actions, &line, a, b);
            strarray_append(&unit->lines, text);
            unit->retried |= retried;
        }
        else {
            what = SYNC_LOGREAD_GARBAGE;
        }
    }
    sync_logline_fini(&line);
    return what;
}

void sync_actions_add(struct sync_actions *actions, const char *text, bool retried)
{
    if (!*text) return;
    if (hash_lookup(text, &actions->lines) && !retried) return;
    enum sync_logread what = add(actions, text, retried);
    if (what == SYNC_LOGREAD_OK) hash_insert(text, actions, &actions->lines);
    if (what == SYNC_LOGREAD_UNKNOWN) xsyslog(LOG_ERR, "SYNCERROR: unknown type in a sync log", "line=<%s>", text);
    if (what == SYNC_LOGREAD_GARBAGE)
        xsyslog(LOG_ERR, "SYNCERROR: garbage in a sync log, the line is skipped", "line=<%s>", text);
}

/* ---- who goes with whom ---- */

static struct sync_unit *root_of(struct sync_unit *unit)
{
    while (unit->with) unit = unit->with;
    return unit;
}

static void join(struct sync_unit *a, struct sync_unit *b)
{
    a = root_of(a);
    b = root_of(b);
    if (a != b) b->with = a;
}

static void join_others(const struct sync_actions *actions, struct sync_unit *unit)
{
    for (int i = 0; i < strarray_size(&unit->others); i++) {
        struct sync_unit *other = sync_actions_unit(actions, strarray_nth(&unit->others, i));
        if (other) join(unit, other);
    }
}

static ptrarray_t *group_of(ptrarray_t *groups, hash_table *known, const struct sync_unit *root)
{
    char *key = xasprintf("=%s", root->owner);
    ptrarray_t *group = hash_lookup(key, known);

    if (!group) {
        group = ptrarray_new();
        ptrarray_append(groups, group);
        hash_insert(key, group, known);
    }
    free(key);
    return group;
}

void sync_actions_groups(const struct sync_actions *actions, ptrarray_t *groups)
{
    hash_table known;

    construct_hash_table(&known, 64);
    for (int i = 0; i < ptrarray_size(&actions->units); i++) join_others(actions, ptrarray_nth(&actions->units, i));
    for (int i = 0; i < ptrarray_size(&actions->units); i++) {
        struct sync_unit *unit = ptrarray_nth(&actions->units, i);
        ptrarray_append(group_of(groups, &known, root_of(unit)), unit);
    }
    free_hash_table(&known, NULL);
}

void sync_group_free(void *group)
{
    ptrarray_free(group);
}

bool sync_actions_concern(const char *text, const char *owner)
{
    struct sync_actions one;

    sync_actions_init(&one);
    bool concern = false;
    (void)add(&one, text, false);
    for (int i = 0; i < ptrarray_size(&one.units); i++) {
        const struct sync_unit *unit = ptrarray_nth(&one.units, i);
        concern |= !strcmp(unit->owner, owner) || strarray_contains(&unit->others, owner);
    }
    sync_actions_fini(&one);
    return concern;
}
