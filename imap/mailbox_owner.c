/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mailbox_owner -- whose is a directory that several names lead to? (07 W041)
 *
 * 3.6.1 may give one uniqueid, and so one directory, to several mailboxes, which then show the messages of each
 * other. Here only the name that cyrus.header has gets in. Any other is refused with
 * IMAP_MAILBOX_MOVED, as a second name is when it is written, and an alarm in the log, until `reconstruct -I` gives
 * it a directory of its own. A header that names no live mailbox of this identity is not a clash, but damage of the header.
 */
#include <config.h>

#include "mailbox_internal.h"

#include <stdlib.h>
#include <string.h>

#include "diskio.h"
#include "imap_err.h"
#include "mailbox_path.h"
#include "mboxlist.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

/* Is the mailbox of that name a live one with the identity of entry? */
static bool has_identity(const char *name, const mbentry_t *entry, struct txn *txn)
{
    mbentry_t *other = NULL;

    bool same = !mboxlist_lookup(name, &other, txn) &&
                !strcmpnull(other->uniqueid, entry->uniqueid) &&
                !(other->mbtype & (MBTYPE_LEGACY_DIRS | MBTYPE_INTERMEDIATE));
    mbentry_free(&other);
    return same;
}

static bool is_clash(const struct mailbox_header *header, const mbentry_t *entry, struct txn *txn)
{
    if (!header->name || !strcmp(header->name, entry->name)) return false;
    if (!entry->uniqueid || entry->mbtype & MBTYPE_LEGACY_DIRS) return false;
    return has_identity(header->name, entry, txn);
}

int mailbox_refuse_clash(const struct mailbox *mailbox, const mbentry_t *entry)
{
    if (!is_clash(&mailbox->header, entry, mailbox->txn)) return 0;
    xsyslog_errno(LOG_ALERT, 0,
                  "DBERROR: two mailboxes have one uniqueid and directory, this one is refused",
                  "mailbox=<%s> owner=<%s> uniqueid=<%s> repair=<reconstruct -I>", entry->name,
                  mailbox->header.name, entry->uniqueid);
    return IMAP_MAILBOX_MOVED;
}

char *mailbox_directory_owner(const mbentry_t *entry, struct txn *txn)
{
    struct mailbox_header header = MAILBOX_HEADER_INITIALIZER;
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    struct mailbox_place place = mailbox_place_of(entry);
    struct buf path = BUF_INITIALIZER;
    char *owner = NULL;

    if (!mailbox_path_meta(&place, META_HEADER, &path) &&
        !diskio_map_file(buf_cstring(&path), &map, NULL) &&
        !mailbox_header_parse(&header, map.base ? map.base : "", map.len) &&
        is_clash(&header, entry, txn))
        owner = xstrdup(header.name);
    diskio_map_free(&map);
    mailbox_header_fini(&header);
    buf_free(&path);
    return owner;
}
