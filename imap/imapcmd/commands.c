/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * commands -- the table of IMAP commands (handbook 04 §1.3)
 *
 * Sorted by name. Flags: imap_session.h. Expunges of other sessions are told at the end of
 * the commands of handbook 04 §2.4, and of all UID commands.
 */
#include <config.h>

#include "imapcmd.h"
#include "util.h"

#define SELECTED (CMD_AUTH | CMD_SELECTED)

static const struct imap_command commands[] = {
    { "APPEND", cmd_append, CMD_AUTH | CMD_WRITE | CMD_EXPUNGES },
    { "AUTHENTICATE", cmd_authenticate, CMD_QUIET },
    { "CANCELUPDATE", cmd_cancelupdate, SELECTED | CMD_EXPUNGES },
    { "CAPABILITY", cmd_capability, 0 },
    { "CHECK", cmd_check, SELECTED | CMD_EXPUNGES },
    { "CLOSE", cmd_close, SELECTED | CMD_QUIET },
    { "COMPRESS", cmd_compress, CMD_AUTH | CMD_QUIET },
    { "COPY", cmd_copy, SELECTED | CMD_WRITE | CMD_UID | CMD_NUMBERS },
    { "CREATE", cmd_create, CMD_AUTH | CMD_WRITE },
    { "DELETE", cmd_delete, CMD_AUTH | CMD_WRITE },
    { "DELETEACL", cmd_deleteacl, CMD_AUTH | CMD_WRITE },
    { "ENABLE", cmd_enable, CMD_AUTH },
    { "ESEARCH", cmd_esearch, CMD_AUTH | CMD_EXPUNGES },
    { "EXAMINE", cmd_examine, CMD_AUTH | CMD_QUIET },
    { "EXPUNGE", cmd_expunge, SELECTED | CMD_WRITE | CMD_UID | CMD_EXPUNGES },
    { "FETCH", cmd_fetch, SELECTED | CMD_UID | CMD_NUMBERS },
    { "GENURLAUTH", cmd_genurlauth, CMD_AUTH },
    { "GETACL", cmd_getacl, CMD_AUTH },
    { "GETANNOTATION", cmd_getannotation, CMD_AUTH },
    { "GETMETADATA", cmd_getmetadata, CMD_AUTH },
    { "GETQUOTA", cmd_getquota, CMD_AUTH },
    { "GETQUOTAROOT", cmd_getquotaroot, CMD_AUTH },
    { "ID", cmd_id, 0 },
    { "IDLE", cmd_idle, CMD_AUTH | CMD_EXPUNGES },
    { "LIST", cmd_list, CMD_AUTH },
    { "LISTRIGHTS", cmd_listrights, CMD_AUTH },
    { "LOGIN", cmd_login, CMD_QUIET },
    { "LOGOUT", cmd_logout, CMD_QUIET },
    { "LSUB", cmd_lsub, CMD_AUTH },
    { "MOVE", cmd_move, SELECTED | CMD_WRITE | CMD_UID | CMD_NUMBERS | CMD_EXPUNGES },
    { "MYRIGHTS", cmd_myrights, CMD_AUTH },
    { "NAMESPACE", cmd_namespace, CMD_AUTH },
    { "NOOP", cmd_noop, CMD_EXPUNGES },
    { "NOTIFY", cmd_notify, CMD_AUTH },
    { "RENAME", cmd_rename, CMD_AUTH | CMD_WRITE },
    { "REPLACE", cmd_replace, SELECTED | CMD_WRITE | CMD_UID | CMD_NUMBERS | CMD_EXPUNGES },
    { "RESETKEY", cmd_resetkey, CMD_AUTH },
    { "RLIST", cmd_list, CMD_AUTH },
    { "RLSUB", cmd_lsub, CMD_AUTH },
    { "SCAN", cmd_scan, CMD_AUTH },
    { "SEARCH", cmd_search, SELECTED | CMD_UID | CMD_NUMBERS },
    { "SELECT", cmd_select, CMD_AUTH | CMD_QUIET },
    { "SETACL", cmd_setacl, CMD_AUTH | CMD_WRITE },
    { "SETANNOTATION", cmd_setannotation, CMD_AUTH | CMD_WRITE },
    { "SETMETADATA", cmd_setmetadata, CMD_AUTH | CMD_WRITE },
    { "SETQUOTA", cmd_setquota, CMD_AUTH | CMD_WRITE },
    { "SORT", cmd_sort, SELECTED | CMD_UID | CMD_NUMBERS },
    { "STARTTLS", cmd_starttls, CMD_QUIET },
    { "STATUS", cmd_status, CMD_AUTH },
    { "STORE", cmd_store, SELECTED | CMD_WRITE | CMD_UID | CMD_NUMBERS },
    { "SUBSCRIBE", cmd_subscribe, CMD_AUTH | CMD_WRITE },
    { "SYNCAPPLY", cmd_syncapply, CMD_AUTH | CMD_ADMIN | CMD_WRITE },
    { "SYNCGET", cmd_syncget, CMD_AUTH | CMD_ADMIN },
    { "SYNCRESTART", cmd_syncrestart, CMD_AUTH | CMD_ADMIN },
    { "SYNCRESTORE", cmd_syncrestore, CMD_AUTH | CMD_ADMIN | CMD_WRITE },
    { "THREAD", cmd_thread, SELECTED | CMD_UID | CMD_NUMBERS },
    { "UNAUTHENTICATE", cmd_unauthenticate, CMD_AUTH | CMD_ADMIN | CMD_QUIET },
    { "UNSELECT", cmd_unselect, SELECTED | CMD_QUIET },
    { "UNSUBSCRIBE", cmd_unsubscribe, CMD_AUTH | CMD_WRITE },
    { "URLFETCH", cmd_urlfetch, CMD_AUTH },
    { "XFER", cmd_xfer, CMD_AUTH | CMD_WRITE },
    { "XLIST", cmd_xlist, CMD_AUTH },
    { "XMOVE", cmd_move, SELECTED | CMD_WRITE | CMD_UID | CMD_NUMBERS | CMD_EXPUNGES },
};

const struct imap_command *imap_command_find(const char *name)
{
    for (size_t i = 0; i < array_size(commands); i++)
        if (!cyr_strcasecmp(name, commands[i].name)) return &commands[i];
    return NULL;
}
