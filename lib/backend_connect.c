/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * backend_connect -- from the name of a server to a connected socket (handbook 06 §2.2)
 *
 * "host", "host:port", "[v6]:port", with "/tls" and "/noauth" behind the port, or the path of
 * a unix socket. All addresses are tried in turn, each within the time limit.
 */
#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend_protocol.h"
#include "imap_err.h"
#include "libconfig.h"
#include "nonblock.h"
#include "util.h"
#include "xmalloc.h"
#include "xsyslog.h"

struct address {
    char *host, *port;
};

static int bad_server(const struct backend_args *args, struct buf *text)
{
    buf_printf(text, "cannot understand the server name '%s'", args->server);
    return IMAP_BAD_SERVER;
}

/* Take "/tls/noauth" off the end of spec. */
static int take_options(struct backend *b, char *spec)
{
    char *slash = strchr(spec, '/'), *next;

    for (char *word = slash; word; word = next) {
        *word++ = '\0';
        next = strchr(word, '/');
        size_t len = next ? (size_t)(next - word) : strlen(word);
        if (len == 3 && !memcmp(word, "tls", 3))
            b->tls_at_once = true;
        else if (len == 6 && !memcmp(word, "noauth", 6))
            b->no_auth = true;
        else
            return IMAP_BAD_SERVER;
    }
    return 0;
}

/* spec without options: more than one colon without brackets is an IPv6 address. */
static int split_port(const char *spec, struct address *addr)
{
    const char *end, *port = NULL;

    if (*spec == '[') {
        end = strchr(++spec, ']');
        if (!end || (end[1] && end[1] != ':')) return IMAP_BAD_SERVER;
        if (end[1]) port = end + 2;
    }
    else {
        end = strchr(spec, ':');
        if (end && !strchr(end + 1, ':'))
            port = end + 1;
        else
            end = spec + strlen(spec);
    }
    if (end == spec || (port && !*port)) return IMAP_BAD_SERVER;
    addr->host = xstrndup(spec, (size_t)(end - spec));
    if (port) addr->port = xstrdup(port);
    return 0;
}

/* ---- sockets ---- */

/* 0 or an errno. */
static int connect_within(int fd, const struct sockaddr *addr, socklen_t len, int timeout)
{
    int err = 0;
    socklen_t errlen = sizeof(err);

    nonblock(fd, true);
    if (connect(fd, addr, len) && errno != EINPROGRESS && errno != EINTR && errno != EAGAIN)
        return errno;
    int r = wait_writable(fd, timeout > 0 ? timeout * 1000 : -1);
    if (r) return -r;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &errlen)) return errno;
    if (err) return err;
    nonblock(fd, false);
    return 0;
}

static void set_tcp_options(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    prot_setkeepalive(fd, true, config_getint(IMAPOPT_TCP_KEEPALIVE_CNT),
                      config_getduration(IMAPOPT_TCP_KEEPALIVE_IDLE),
                      config_getduration(IMAPOPT_TCP_KEEPALIVE_INTVL));
}

/* client_bind: our side of the connection has the address of client_bind_name. */
static int bind_client(int fd, int family)
{
    const char *name = config_getstring(IMAPOPT_CLIENT_BIND_NAME);
    struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM }, *ai;

    if (!config_getswitch(IMAPOPT_CLIENT_BIND)) return 0;
    if (!name) name = config_servername;
    if (getaddrinfo(name, NULL, &hints, &ai)) return EADDRNOTAVAIL;
    int r = bind(fd, ai->ai_addr, ai->ai_addrlen) ? errno : 0;
    freeaddrinfo(ai);
    return r;
}

static int try_address(struct backend *b, const struct addrinfo *ai, int timeout)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, ai->ai_protocol);

    if (fd < 0) return errno;
    int err = bind_client(fd, ai->ai_family);
    if (!err) err = connect_within(fd, ai->ai_addr, ai->ai_addrlen, timeout);
    if (err) {
        close(fd);
        return err;
    }
    set_tcp_options(fd);
    b->fd = fd;
    return 0;
}

static int unavailable(const char *server, const char *cause, struct buf *text)
{
    buf_printf(text, "cannot connect to %s: %s", server, cause);
    return IMAP_SERVER_UNAVAILABLE;
}

static int resolve(const struct backend *b, const struct address *addr, struct addrinfo **ai)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    int r = getaddrinfo(addr->host, addr->port, &hints, ai);

    if ((r == EAI_SERVICE || r == EAI_NONAME) && !strcmp(addr->port, b->protocol->name))
        r = getaddrinfo(addr->host, b->protocol->port, &hints, ai);
    return r;
}

static int open_tcp(struct backend *b, const struct address *addr, const struct backend_args *args,
                    struct buf *text)
{
    struct addrinfo *list;
    int r = resolve(b, addr, &list), err = ENOENT;

    if (r) return unavailable(addr->host, gai_strerror(r), text);
    for (const struct addrinfo *ai = list; ai && b->fd < 0; ai = ai->ai_next)
        err = try_address(b, ai, args->connect_timeout);
    freeaddrinfo(list);
    if (b->fd >= 0) return 0;
    return unavailable(args->server, err == ETIMEDOUT ? "timed out" : strerror(err), text);
}

static int open_unix(struct backend *b, const struct backend_args *args, struct buf *text)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    size_t len = strlen(args->server);

    b->is_unix = true;
    if (len >= sizeof(addr.sun_path)) return bad_server(args, text);
    memcpy(addr.sun_path, args->server, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int err = fd < 0 ? errno : 0;
    if (!err)
        err = connect_within(fd, (struct sockaddr *)&addr, sizeof(addr), args->connect_timeout);
    if (err) {
        if (fd >= 0) close(fd);
        return unavailable(args->server, strerror(err), text);
    }
    b->fd = fd;
    b->host = xstrdup(config_servername ? config_servername : "localhost");
    return 0;
}

int backend_open_socket(struct backend *b, const struct backend_args *args, struct buf *text)
{
    struct address addr = { NULL, NULL };
    int r;

    if (!args->server || !*args->server) return IMAP_BAD_SERVER;
    if (*args->server == '/') return open_unix(b, args, text);
    char *spec = xstrdup(args->server);
    r = take_options(b, spec);
    if (!r) r = split_port(spec, &addr);
    free(spec);
    if (!r) {
        if (!addr.port) addr.port = xstrdup(args->port ? args->port : b->protocol->name);
        b->host = xstrdup(addr.host);
        r = open_tcp(b, &addr, args, text);
    }
    else {
        r = bad_server(args, text);
    }
    free(addr.host);
    free(addr.port);
    return r;
}
