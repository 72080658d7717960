/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * namespace -- how a session spells mailbox names
 *
 * mboxname_init_namespace() checks the configured prefixes once, so that no later
 * step has to. A prefix that is empty, too long, holds the separator, or makes two
 * parts of the name space the same, is IMAP_NAMESPACE_BADPREFIX; the caller
 * refuses to start.
 */
#include <config.h>

#include "namespace.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "imap_err.h"
#include "names_config.h"
#include "utf7.h"

static bool take_prefix(char dst[NAMESPACE_PREFIX_MAX], const char *prefix, char sep)
{
    size_t len = prefix ? strlen(prefix) : 0;

    if (!len || len >= NAMESPACE_PREFIX_MAX || strchr(prefix, sep)) return false;
    memcpy(dst, prefix, len + 1);
    return true;
}

static void set_prefix(struct namespace *ns, int part, const char *text)
{
    snprintf(ns->prefix[part], sizeof(ns->prefix[part]), "%s%c", text, ns->hier_sep);
}

int mboxname_init_namespace(struct namespace *ns, bool isadmin)
{
    struct names_config cfg;

    names_config_get(&cfg);
    memset(ns, 0, sizeof(*ns));
    ns->isadmin = isadmin;
    ns->hier_sep = cfg.unixhierarchysep ? '/' : '.';
    ns->isalt = cfg.altnamespace && !isadmin;
    ns->accessible[NAMESPACE_INBOX] = true;
    ns->accessible[NAMESPACE_USER] = isadmin || !cfg.disable_user_namespace;
    ns->accessible[NAMESPACE_SHARED] = isadmin || !cfg.disable_shared_namespace;

    if (!ns->isalt) {
        set_prefix(ns, NAMESPACE_INBOX, "INBOX");
        set_prefix(ns, NAMESPACE_USER, "user");
        return 0;
    }
    if (!take_prefix(ns->userprefix, cfg.userprefix, ns->hier_sep) ||
        !take_prefix(ns->sharedprefix, cfg.sharedprefix, ns->hier_sep) ||
        !take_prefix(ns->altprefix, cfg.altprefix, ns->hier_sep) ||
        !strncmp(ns->sharedprefix, ns->userprefix, strlen(ns->sharedprefix)))
        return IMAP_NAMESPACE_BADPREFIX;
    set_prefix(ns, NAMESPACE_USER, ns->userprefix);
    set_prefix(ns, NAMESPACE_SHARED, ns->sharedprefix);
    return 0;
}

static void print_prefix(const struct namespace *ns, const char *prefix, struct buf *out)
{
    struct buf utf8 = BUF_INITIALIZER;

    if (ns->utf8 && !utf7_to_utf8(prefix, strlen(prefix), &utf8)) prefix = buf_cstring(&utf8);
    buf_appendcstr(out, "((\"");
    for (; *prefix; prefix++) {
        if (*prefix == '"' || *prefix == '\\') buf_putc(out, '\\');
        buf_putc(out, *prefix);
    }
    buf_printf(out, "\" \"%c\"))", ns->hier_sep);
    buf_free(&utf8);
}

void namespace_print(const struct namespace *ns, struct buf *out)
{
    for (int part = NAMESPACE_INBOX; part <= NAMESPACE_SHARED; part++) {
        if (part) buf_putc(out, ' ');
        if (ns->accessible[part])
            print_prefix(ns, ns->prefix[part], out);
        else
            buf_appendcstr(out, "NIL");
    }
}
