/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_subs -- histories of subscriptions on the wire (doc/sync-extensions.md)
 */
#include <config.h>

#include "sync_subs.h"

#include <string.h>

#include "buf.h"
#include "dlist.h"
#include "imap_err.h"
#include "mboxname.h"
#include "sync_name.h"

#define NAME "SUBHISTORY"

struct dlist *sync_subs_digest(const char *userid, const struct sub_list *list)
{
    struct dlist *kl = dlist_newkvlist(NULL, NAME);
    struct buf digest = BUF_INITIALIZER;

    sub_list_digest(list, &digest);
    dlist_setatom(kl, "USERID", userid);
    dlist_setatom(kl, "DIGEST", buf_cstring(&digest));
    buf_free(&digest);
    return kl;
}

struct dlist *sync_subs_print(const char *userid, const struct sub_list *list, size_t *next)
{
    struct dlist *kl = dlist_newkvlist(NULL, NAME);

    dlist_setatom(kl, "USERID", userid);
    struct dlist *entries = dlist_newlist(kl, "ENTRIES");
    for (size_t i = 0; i < SYNC_SUBS_LINE && *next < list->n; i++, (*next)++) {
        const struct sub_entry *e = &list->v[*next];
        struct dlist *item = dlist_newkvlist(entries, NULL);
        dlist_setatom(item, "MBOXNAME", e->name);
        dlist_setnum32(item, "ON", e->on);
        dlist_setnum64(item, "STAMP", e->stamp);
        if (e->uniqueid) dlist_setatom(item, "UNIQUEID", e->uniqueid);
    }
    return kl;
}

static int parse_entry(const struct dlist *item, struct sub_list *list)
{
    const char *name, *uniqueid = NULL;
    struct sub_entry e = { 0 };
    uint32_t on;

    if (!sync_getname(item, "MBOXNAME", &name) ||
        !dlist_getnum32(item, "ON", &on) || on > 1 || !dlist_getnum64(item, "STAMP", &e.stamp) ||
        e.stamp > SUB_STAMP_MAX)
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    if (dlist_getatom(item, "UNIQUEID", &uniqueid) && !sub_uniqueid_isvalid(uniqueid))
        return IMAP_PROTOCOL_BAD_PARAMETERS;
    e.name = (char *)name;
    e.uniqueid = (char *)uniqueid;
    e.on = on;
    sub_list_merge(list, &e);
    return list->n > SYNC_SUBS_MAX ? IMAP_PROTOCOL_BAD_PARAMETERS : 0;
}

int sync_subs_parse(const struct dlist *kl, struct sub_list *list)
{
    struct dlist *entries;
    int r = 0;

    if (!dlist_getlist(kl, "ENTRIES", &entries)) return dlist_getchild(kl, "ENTRIES") ? IMAP_PROTOCOL_BAD_PARAMETERS : 0;
    for (const struct dlist *item = entries->head; item && !r; item = item->next) r = parse_entry(item, list);
    return r;
}
