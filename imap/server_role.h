/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_SERVER_ROLE_H
#define INCLUDED_SERVER_ROLE_H
/*
 * server_role -- which end of a pair this server is, where somebody has said so (doc/failover.md)
 *
 * <configdirectory>/role, a line "ROLE SINCE PEER". Without it a server is what its configuration makes of it, as 3.6.1. A file that
 * can't be read makes a replica: nobody takes mail that the other end may take as well.
 */
#include <stdbool.h>
#include <time.h>

enum server_role {
    SERVER_ROLE_NONE,    /* nobody has said */
    SERVER_ROLE_PRIMARY, /* users and mail come here; nobody replicates to it */
    SERVER_ROLE_REPLICA, /* only admins and the primary's replication come in; it replicates to nobody */
};

struct server_role_mark {
    enum server_role role;
    time_t since;   /* UTC seconds */
    char peer[256]; /* the other end, as this one calls it; "": not known */
};

void server_role_read(struct server_role_mark *mark);
/* Durable when it returns. 0 or IMAP_IOERROR (logged). */
int server_role_write(const struct server_role_mark *mark);
bool server_role_is(enum server_role role);
/* "none", "primary", "replica" */
const char *server_role_name(enum server_role role);
bool server_role_parse(const char *text, enum server_role *role);

#endif
