/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sync_accept -- who may replicate to this server though no account of SASL says so
 */
#include <config.h>

#include "sync_accept.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libconfig.h"
#include "service.h"
#include "strarray.h"
#include "util.h"

/* A name of the system's, or a number. */
static bool is_user(const char *word, uid_t uid)
{
    const struct passwd *pw = getpwnam(word);
    char number[24];

    snprintf(number, sizeof(number), "%u", (unsigned)uid);
    return (pw && pw->pw_uid == uid) || !strcmp(word, number);
}

static bool is_socket_user(uid_t uid)
{
    const char *option = config_getstring(IMAPOPT_SYNC_SOCKET_USERS);
    strarray_t *words = strarray_split(option ? option : "", NULL, 0);
    bool found = !uid || uid == geteuid();

    for (int i = 0; !found && i < strarray_size(words); i++)
        found = !strcmp(strarray_nth(words, i), "anyone") || is_user(strarray_nth(words, i), uid);
    strarray_free(words);
    return found;
}

bool sync_accept_unasked(const struct service_client *client, struct buf *why)
{
    if (!client->is_unix && !client->is_stdio) return false;
    if (service_is_standalone() || client->is_stdio || is_socket_user(client->peeruid)) return true;
    const struct passwd *pw = getpwuid(client->peeruid);
    buf_printf(why, "user %s (uid %u) is neither root nor this server's, nor in sync_socket_users",
               pw ? pw->pw_name : "unknown", (unsigned)client->peeruid);
    return false;
}
