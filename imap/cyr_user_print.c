/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cyr_user_print -- a user as text and as JSON (cyr_user(8))
 *
 * Both show the same: text is made from the JSON object, a line a member. Times are UTC; what nobody knows is left out.
 */
#include <config.h>

#include "cyr_user.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap_err.h"
#include "mboxlist.h"
#include "mboxname.h"
#include "quota.h"
#include "times.h"
#include "user_record.h"
#include "xmalloc.h"

static void set_text(json_t *obj, const char *name, const char *value)
{
    if (value) json_object_set_new_nocheck(obj, name, json_string_nocheck(value));
}

static void set_time(json_t *obj, const char *name, time_t t)
{
    char text[64];

    if (!t) return;
    time_to_rfc3339(t, text, sizeof(text));
    set_text(obj, name, text);
}

static json_t *limits_object(const int64_t *limits, const int64_t *useds)
{
    json_t *obj = json_object();

    for (int i = 0; i < QUOTA_NUMRESOURCES; i++) {
        if (limits[i] == QUOTA_UNLIMITED) continue;
        json_t *one = json_object();
        json_object_set_new(one, "limit", json_integer(limits[i]));
        if (useds) json_object_set_new(one, "used", json_integer(useds[i] / quota_units[i]));
        json_object_set_new_nocheck(obj, quota_names[i], one);
    }
    return obj;
}

static json_t *of_record(const struct user_record *rec)
{
    json_t *obj = json_object();

    set_text(obj, "user", rec->userid);
    set_text(obj, "state", user_state_name(rec->state));
    if (rec->state == USER_DELETED) set_text(obj, "before", user_state_name(rec->before));
    set_text(obj, "reason", rec->reason);
    set_text(obj, "server", rec->server);
    set_text(obj, "home", rec->home);
    if (rec->home) json_object_set_new(obj, "epoch", json_integer((json_int_t)rec->epoch));
    set_text(obj, "id", rec->id);
    set_time(obj, "created", rec->created);
    set_time(obj, "changed", rec->changed);
    if (rec->nformer) {
        json_t *list = json_array();
        for (size_t i = 0; i < rec->nformer; i++) {
            json_t *one = json_object();
            set_text(one, "user", rec->former[i].userid);
            set_time(one, "until", rec->former[i].until);
            json_array_append_new(list, one);
        }
        json_object_set_new(obj, "former", list);
    }
    return obj;
}

/* ---- the rest of a user ---- */

static int count_mailbox(const mbentry_t *entry, void *rock)
{
    (void)entry;
    ++*(size_t *)rock;
    return 0;
}

struct roots {
    json_t *obj;
    const char *inbox;
};

static int add_root(const struct quota *q, void *rock)
{
    const struct roots *roots = rock;

    if (mboxname_is_prefix(q->root, roots->inbox))
        json_object_set_new_nocheck(roots->obj, q->root, limits_object(q->limits, q->useds));
    return 0;
}

static int add_quota(const struct user_record *rec, const char *inbox, json_t *obj)
{
    struct roots roots = { json_object(), inbox };
    int r = 0;

    if (rec->state == USER_DELETED) {
        for (size_t i = 0; i < rec->nlimits; i++)
            json_object_set_new_nocheck(roots.obj, rec->limits[i].root, limits_object(rec->limits[i].limits, NULL));
    }
    else {
        r = quota_foreach(inbox, add_root, &roots);
    }
    if (json_object_size(roots.obj))
        json_object_set_new(obj, "quota", roots.obj);
    else
        json_decref(roots.obj);
    return r;
}

static void print_value(const char *name, json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;

    if (json_is_string(value)) {
        printf("%s: %s\n", name, json_string_value(value));
    }
    else if (json_is_integer(value)) {
        printf("%s: %lld\n", name, (long long)json_integer_value(value));
    }
    else if (json_is_array(value)) {
        json_array_foreach(value, i, member) {
            const char *until = json_string_value(json_object_get(member, "until"));
            printf("%s: %s%s%s\n", name, json_string_value(json_object_get(member, "user")), until ? " until " : "",
                   until ? until : "");
        }
    }
    else {
        json_object_foreach(value, key, member) {
            const char *resource;
            json_t *one;
            printf("%s: %s", name, key);
            json_object_foreach(member, resource, one) {
                json_t *used = json_object_get(one, "used");
                printf(" %s ", resource);
                if (used) printf("%lld/", (long long)json_integer_value(used));
                printf("%lld", (long long)json_integer_value(json_object_get(one, "limit")));
            }
            putchar('\n');
        }
    }
}

static void print_object(json_t *obj, bool json)
{
    const char *name;
    json_t *value;

    if (json) {
        json_dumpf(obj, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
        return;
    }
    json_object_foreach(obj, name, value) print_value(name, value);
}

int cyr_user_show(const struct user_record *rec, bool json)
{
    json_t *obj = of_record(rec);
    char *inbox = mboxname_user_mbox(rec->userid, NULL);
    size_t mailboxes = 0;
    int r = inbox ? 0 : IMAP_INVALID_USER;

    if (!r && rec->state != USER_DELETED) {
        r = mboxlist_usermboxtree(rec->userid, count_mailbox, &mailboxes, 0);
        json_object_set_new(obj, "mailboxes", json_integer((json_int_t)mailboxes));
    }
    if (!r) r = add_quota(rec, inbox, obj);
    if (!r) print_object(obj, json);
    json_decref(obj);
    free(inbox);
    return r;
}

/* ---- many ---- */

struct cyr_user_list {
    bool json, any;
};

struct cyr_user_list *cyr_user_list_begin(bool json)
{
    struct cyr_user_list *list = xzmalloc(sizeof(*list));

    list->json = json;
    if (json) putchar('[');
    return list;
}

void cyr_user_list_add(struct cyr_user_list *list, const struct user_record *rec)
{
    if (list->json) {
        json_t *obj = of_record(rec);
        fputs(list->any ? ",\n " : "\n ", stdout);
        json_dumpf(obj, stdout, JSON_PRESERVE_ORDER);
        json_decref(obj);
    }
    else {
        printf("%s\t%s\t%s\n", rec->userid, user_state_name(rec->state), rec->id);
    }
    list->any = true;
}

void cyr_user_list_end(struct cyr_user_list **listp)
{
    if ((*listp)->json) fputs((*listp)->any ? "\n]\n" : "]\n", stdout);
    free(*listp);
    *listp = NULL;
}
