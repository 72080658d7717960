/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * service_client -- who is on the other end of a connection
 *
 * Names come from the resolver and are only for people to read: rights never hang
 * on them.
 */
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"
#include "util.h"
#include "xmalloc.h"

/* An IPv4 address that came over an IPv6 socket is an IPv4 address. */
static void unmap(struct sockaddr_storage *ss, socklen_t *len)
{
    struct sockaddr_in6 six;
    struct sockaddr_in four = { .sin_family = AF_INET };

    if (ss->ss_family != AF_INET6) return;
    memcpy(&six, ss, sizeof(six));
    if (!IN6_IS_ADDR_V4MAPPED(&six.sin6_addr)) return;
    memcpy(&four.sin_addr, &six.sin6_addr.s6_addr[12], 4);
    four.sin_port = six.sin6_port;
    memcpy(ss, &four, sizeof(four));
    *len = sizeof(four);
}

/* Address and port as text; -EINVAL for other families. */
static int addr_text(const struct sockaddr *addr, socklen_t len, char *host, size_t hostsize,
                     unsigned *port)
{
    char serv[NI_MAXSERV];
    uint32_t n;

    if (addr->sa_family != AF_INET && addr->sa_family != AF_INET6) return -EINVAL;
    if (getnameinfo(addr, len, host, (socklen_t)hostsize, serv, sizeof(serv),
                    NI_NUMERICHOST | NI_NUMERICSERV))
        return -EINVAL;
    if (parse_u32_cstr(serv, &n)) return -EINVAL;
    *port = n;
    return 0;
}

int service_addr_tosasl(const struct sockaddr *addr, socklen_t len, struct buf *out)
{
    char host[NI_MAXHOST];
    unsigned port;
    int r = addr_text(addr, len, host, sizeof(host), &port);

    if (!r) buf_printf(out, "%s;%u", host, port);
    return r;
}

static void set_peer(struct service_client *client, const struct sockaddr *addr, socklen_t len)
{
    char name[NI_MAXHOST];

    bool named = !getnameinfo(addr, len, name, sizeof(name), NULL, 0, NI_NAMEREQD);
    client->remotename = named ? xstrdup(name) : xasprintf("[%s]", client->remoteip);
    client->clienthost = named ? xasprintf("%s [%s]", name, client->remoteip)
                               : xasprintf("[%s]", client->remoteip);
}

/* A pipe or file, or a unix socket: no addresses. */
static int set_local(struct service_client *client, const char *text)
{
    client->remotename = xstrdup(text);
    client->clienthost = xstrdup(text);
    client->remoteip = xstrdup("");
    client->localip = xstrdup("");
    client->remoteaddr = xstrdup("");
    client->localaddr = xstrdup("");
    return 0;
}

static int set_inet(struct service_client *client, int fd, const struct sockaddr_storage *peer,
                    socklen_t peerlen)
{
    struct sockaddr_storage own;
    socklen_t ownlen = sizeof(own);
    char remote[NI_MAXHOST], local[NI_MAXHOST];

    if (getsockname(fd, (struct sockaddr *)&own, &ownlen)) return -errno;
    unmap(&own, &ownlen);
    int r = addr_text((const struct sockaddr *)peer, peerlen, remote, sizeof(remote),
                      &client->remoteport);
    if (!r)
        r = addr_text((struct sockaddr *)&own, ownlen, local, sizeof(local), &client->localport);
    if (r) return r;

    client->remoteip = xstrdup(remote);
    client->localip = xstrdup(local);
    client->remoteaddr = xasprintf("%s;%u", remote, client->remoteport);
    client->localaddr = xasprintf("%s;%u", local, client->localport);
    set_peer(client, (const struct sockaddr *)peer, peerlen);
    return 0;
}

/* The user whose process has connected, or who has made the pair. */
static int set_peeruid(struct service_client *client, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len)) return -errno;
    client->peeruid = peer.uid;
    return 0;
}

int service_client_init(struct service_client *client, int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);

    *client = (struct service_client){ .fd = fd };
    if (getpeername(fd, (struct sockaddr *)&peer, &len)) {
        if (errno != ENOTSOCK) return -errno;
        client->is_stdio = true;
        return set_local(client, "[stdio]");
    }
    if (len < sizeof(sa_family_t) || peer.ss_family == AF_UNIX) {
        int r = set_peeruid(client, fd);
        if (r) return r;
        client->is_unix = true;
        return set_local(client, "[unix socket]");
    }
    unmap(&peer, &len);
    int r = set_inet(client, fd, &peer, len);
    if (r) service_client_fini(client);
    return r;
}

void service_client_fini(struct service_client *client)
{
    xzfree(client->clienthost);
    xzfree(client->remotename);
    xzfree(client->remoteip);
    xzfree(client->localip);
    xzfree(client->remoteaddr);
    xzfree(client->localaddr);
}
