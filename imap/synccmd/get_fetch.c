/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * get_fetch -- GET FETCH: one message file (handbook 03 §4)
 *
 * The file is found by its path, without a lock, so that it can still be had when the
 * mailbox was renamed meanwhile. Bytes that are not the GUID asked for are told
 * as NIL. Only a file that is not there is told as missing: who asks may draw
 * conclusions from that.
 */
#include <config.h>

#include "synccmd.h"

#include <errno.h>

#include "diskio.h"
#include "imap_err.h"
#include "mailbox_path.h"
#include "message_guid.h"
#include "sync_name.h"
#include "xsyslog.h"

/* Map the first of the four places that has the file. IMAP_IOERROR: one that has it can't be read. */
static int map_message(const char *name, const char *partition, const char *uniqueid, uint32_t uid,
                       struct diskio_map *map)
{
    struct mailbox_place places[2] = { { partition, name, uniqueid }, { partition, name, NULL } };
    struct buf path = BUF_INITIALIZER;
    int r = IMAP_MAILBOX_NONEXISTENT;
    bool unreadable = false;

    for (int i = 0; i < 4 && r; i++) {
        if (mailbox_path_message(&places[i / 2], i % 2, uid, &path)) continue;
        int e = diskio_map_file(buf_cstring(&path), map, NULL);
        if (!e) r = 0;
        if (!e || e == -ENOENT) continue;
        errno = -e;
        xsyslog(LOG_ERR, "IOERROR: message can't be read", "filename=<%s>", buf_cstring(&path));
        unreadable = true;
    }
    buf_free(&path);
    return r && unreadable ? IMAP_IOERROR : r;
}

int synccmd_get_fetch(struct synccmd_session *session, const struct dlist *dl, unsigned flags)
{
    const char *name, *partition, *uniqueid, *guidtext;
    struct message_guid guid, got;
    struct diskio_map map = DISKIO_MAP_INITIALIZER;
    struct buf data = BUF_INITIALIZER;
    uint32_t uid;

    if (!sync_getname(dl, "MBOXNAME", &name) || !dlist_getatom(dl, "PARTITION", &partition) ||
        !dlist_getatom(dl, "UNIQUEID", &uniqueid) || !dlist_getatom(dl, "GUID", &guidtext) ||
        !dlist_getnum32(dl, "UID", &uid) || !dlist_getguid(dl, "GUID", &guid))
        return IMAP_PROTOCOL_BAD_PARAMETERS;

    int r = map_message(name, partition, uniqueid, uid, &map);
    if (r) return r;
    message_guid_generate(&got, map.base, map.len);
    struct dlist *dlmsg = NULL;
    if (message_guid_equal(&got, &guid)) {
        buf_setmap(&data, map.base, map.len);
        dlmsg = dlist_newfilebuf(NULL, "MESSAGE", partition, &guid, &data);
    }
    else {
        dlmsg = dlist_newatom(NULL, "MESSAGE", NULL);
    }
    diskio_map_free(&map);
    buf_free(&data);
    return synccmd_put(session, dlmsg);
}
