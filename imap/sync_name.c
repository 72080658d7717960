/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_name -- names in what a peer of the sync protocol sent (handbook 03 §2)
 */
#include <config.h>

#include "sync_name.h"

#include <string.h>

#include "mboxname.h"

static void refused(const char *base, size_t len)
{
    mbname_log_refused("SYNCERROR: a peer sent what is no name", base, len);
}

/* The internal name is the end of what was sent: only the default domain is left out. */
static const char *name_in(const char *base, size_t len)
{
    mbname_t *m = mbname_from_sync(syncname_of(base, len));
    const char *name = m ? mbname_intname(m) : NULL;
    size_t namelen = name ? strlen(name) : 0;
    bool ends = namelen && namelen <= len && !memcmp(base + len - namelen, name, namelen);

    mbname_free(&m);
    return ends ? base + len - namelen : NULL;
}

bool sync_toname(const struct dlist *item, const char **name)
{
    const char *base;
    size_t len;

    if (!dlist_tomap(item, &base, &len)) return false;
    *name = name_in(base, len);
    if (!*name) refused(base, len);
    return *name != NULL;
}

bool sync_getname(const struct dlist *kl, const char *key, const char **name)
{
    return sync_toname(dlist_getchild(kl, key), name);
}

bool sync_getname_or_server(const struct dlist *kl, const char *key, const char **name)
{
    const struct dlist *item = dlist_getchild(kl, key);

    if (dlist_toatom(item, name) && !**name) return true;
    return sync_toname(item, name);
}

bool sync_toroot(const struct dlist *item, const char **root)
{
    if (dlist_toatom(item, root) && **root && (*root)[strlen(*root) - 1] == '!' &&
        mbname_isquotaroot(syncname_of(*root, strlen(*root))))
        return true;
    return sync_toname(item, root);
}

bool sync_getroot(const struct dlist *kl, const char *key, const char **root)
{
    return sync_toroot(dlist_getchild(kl, key), root);
}

bool sync_touserid(const struct dlist *item, const char **userid)
{
    const char *base;
    size_t len;

    if (!dlist_tomap(item, &base, &len) || !len) return false;
    mbname_t *m = dlist_toatom(item, userid) ? mbname_from_userid(*userid) : NULL;
    bool ok = m && mbname_localpart(m) && mbname_issound(m);
    mbname_free(&m);
    if (!ok) refused(base, len);
    return ok;
}

bool sync_getuserid(const struct dlist *kl, const char *key, const char **userid)
{
    return sync_touserid(dlist_getchild(kl, key), userid);
}
